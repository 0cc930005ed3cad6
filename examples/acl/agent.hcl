# The least for a node's Consul agent itself (acl.tokens.agent in its configuration). HOST is its name. Line by line: docs/acl.md.

# Its own node: it tells the servers its addresses and its meta.
node "HOST" { policy = "write" }
