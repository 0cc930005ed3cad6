"""consul_kam: what Consul says and what Kamailio routes with are the same, proven by reading Kamailio back."""

__version__ = "0.1.0"
