node "HOST" { policy = "write" }
