# The least that consul_kam needs of Vault, for a node with a secret of each kind; leave out what yours does not have.
# Write it with: vault policy write consul-kam policy.hcl; and name it in the role that the node logs in with.
# Each rule was taken away in a test, and something broke (tests/secure/test_vault_policy.py).

# kind = "kv": reads the newest version. KV version 2: the path has `data` in it. Neither list nor metadata is needed.
path "secret/data/kamailio/*" {
  capabilities = ["read"]
}

# kind = "database": a user of the database is made at each read.
path "database/creds/kamailio" {
  capabilities = ["read"]
}

# kind = "consul": a token of Consul is made at each read.
path "consul/creds/node" {
  capabilities = ["read"]
}

# kind = "pki": a certificate is issued at each write. `update` and not `create`: Vault asks for that one here.
path "pki/issue/kamailio" {
  capabilities = ["update"]
}

# A lease lives on. In Vault's policy `default` too, which each token has unless its role says otherwise.
path "sys/leases/renew" {
  capabilities = ["update"]
}

# A generation that nobody uses any more is taken back before its lease ends. Without this it ends by itself, and a
# warning says so. Vault lets a token with this right revoke any lease whose id it knows: ids are random, and shown to
# nobody.
path "sys/leases/revoke" {
  capabilities = ["update"]
}

# The login lives on, instead of another one at each end. In Vault's policy `default` too.
path "auth/token/renew-self" {
  capabilities = ["update"]
}

# With method = "token": how long that token lives. In Vault's policy `default` too.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
