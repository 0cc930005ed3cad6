"""The differential: a real Kamailio judges what `consul-kam check` says of generated lists (`./dev oracle`)."""
