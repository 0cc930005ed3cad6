# The least that an SBC with sbc.toml, [env] and lists from KV needs, for `consul-kam run` and its consul-template together.
# HOST is the name of its Consul agent and of the node. Line by line: docs/acl.md. Leave out what you do not use.

# Its own registration, checks, maintenance; the other SBCs (`drain`, `restart --rolling`, list domain).
service "sbc" { policy = "write" }
# List dispatcher.
service "router" { policy = "read" }
# An answer about a service names the nodes of its instances: without this each of them is left out.
node_prefix "" { policy = "read" }
# Which agent answers, before the first registration.
agent "HOST" { policy = "read" }
# List address: the gateways.
key_prefix "consul_kam/gateways/" { policy = "read" }
# Table htable:carriers.
key_prefix "consul_kam/carriers/" { policy = "read" }
# The layers of [env].
key_prefix "c4/global/" { policy = "read" }
key_prefix "c4/role/sbc/" { policy = "read" }
key_prefix "c4/node/HOST/" { policy = "read" }
# `restart --rolling`: the turn is a key, held by a session of this node.
key "consul_kam/rolling/sbc" { policy = "write" }
session "HOST" { policy = "write" }
