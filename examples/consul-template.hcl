# consul-template for consul_kam: one stanza for each list, and one for each data centre that a list is fed from.
#
#   consul-kam templates export /etc/consul_kam/templates      bakes the configured sets in
#   consul-template -config /etc/consul_kam/consul-template.hcl
#
# The staging directory is state_dir/staging of consul-kam.toml. kam-apply hands over what is staged and starts an engine
# where none runs. Under `consul-kam run` the command can go: it watches the files itself.

consul {
  address = "127.0.0.1:8500"

  retry {
    attempts    = 0 # for ever; by default it gives up after 12 and ends
    max_backoff = "5s"
  }
}

template {
  source      = "/etc/consul_kam/templates/dispatcher.ctmpl"
  destination = "/var/lib/consul_kam/staging/dispatcher"
  exec {
    command = ["kam-apply"]
  }
}

template {
  source      = "/etc/consul_kam/templates/domain.ctmpl"
  destination = "/var/lib/consul_kam/staging/domain"
  exec {
    command = ["kam-apply"]
  }
}

template {
  source      = "/etc/consul_kam/templates/rtpengine.ctmpl"
  destination = "/var/lib/consul_kam/staging/rtpengine"
  exec {
    command = ["kam-apply"]
  }
}

template {
  source      = "/etc/consul_kam/templates/address.ctmpl"
  destination = "/var/lib/consul_kam/staging/address"
  exec {
    command = ["kam-apply"]
  }
}

template {
  source      = "/etc/consul_kam/templates/htable.ctmpl"
  destination = "/var/lib/consul_kam/staging/htable"
  exec {
    command = ["kam-apply"]
  }
}
