# The least for an operator's own token, on a machine that is no node: `explain`, `doctor`, `render`, `env`, `env import`.
# What goes through a node's engine (`status`, `drain`, `undrain`, `restart`, `approve`) needs no token of his: the node has one.

# `explain`, `doctor` and `render` of every list.
service_prefix "" { policy = "read" }
# Without this each instance is left out.
node_prefix "" { policy = "read" }
# `explain`, `doctor` and `render` of records that stand in KV.
key_prefix "consul_kam/" { policy = "read" }
# `env import`, and all that reads variables: write is also read.
key_prefix "c4/" { policy = "write" }
