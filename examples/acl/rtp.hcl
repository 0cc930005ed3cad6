# The least that an RTPEngine with [env] needs, for `consul-kam run`: role rtp keeps no list.
# HOST is the name of its Consul agent and of the node. Line by line: docs/acl.md. Leave out what you do not use.

# Its own registration, checks, maintenance; the other RTPEngines (`drain`, `restart --rolling`).
service "rtp" { policy = "write" }
# An answer about a service names the nodes of its instances: without this each of them is left out.
node_prefix "" { policy = "read" }
# Which agent answers, before the first registration.
agent "HOST" { policy = "read" }
# The layers of [env].
key_prefix "c4/global/" { policy = "read" }
key_prefix "c4/role/rtp/" { policy = "read" }
key_prefix "c4/node/HOST/" { policy = "read" }
# `restart --rolling --run CMD`: the turn is a key, held by a session of this node.
key "consul_kam/rolling/rtp" { policy = "write" }
session "HOST" { policy = "write" }
