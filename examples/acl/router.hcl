# The least that a router with router.toml and [env] needs, for `consul-kam run` and its consul-template together.
# HOST is the name of its Consul agent and of the node. Line by line: docs/acl.md. Leave out what you do not use.

# Its own registration, checks, maintenance; the other routers (`drain`, `restart --rolling`, list domain).
service "router" { policy = "write" }
# List dispatcher.
service "gateway" { policy = "read" }
# List domain.
service "sbc" { policy = "read" }
# List rtpengine.
service "rtp" { policy = "read" }
# An answer about a service names the nodes of its instances: without this each of them is left out.
node_prefix "" { policy = "read" }
# Which agent answers, before the first registration.
agent "HOST" { policy = "read" }
# The layers of [env].
key_prefix "c4/global/" { policy = "read" }
key_prefix "c4/role/router/" { policy = "read" }
key_prefix "c4/node/HOST/" { policy = "read" }
# `restart --rolling`: the turn is a key, held by a session of this node.
key "consul_kam/rolling/router" { policy = "write" }
session "HOST" { policy = "write" }
