"""What the keys of a node mean together: its role gives the defaults of all that the file leaves out."""

from collections.abc import Mapping

from consul_kam.settings.node import Consul, ConsulTemplate, Drain, Kamailio, Node, Registration, Rtpengine
from consul_kam.settings.schema import replace

RTP = "rtp"
"""The role without Kamailio."""
COMMAND = ["kamailio", "-f", "/etc/kamailio/kamailio.cfg"]
SIP_PORT = 5060
STATUS_URL = "http://127.0.0.1:8000/status"
"""The article's page of Kamailio's xhttp."""
TTL = 15.0
"""Seconds: Consul has no check of its own for RTPEngine's NG protocol, so role `rtp` feeds one."""

CONSUL_VARIABLES = {
    "address": "CONSUL_HTTP_ADDR",
    "token_file": "CONSUL_HTTP_TOKEN_FILE",
    "ca_file": "CONSUL_CACERT",
    "cert_file": "CONSUL_CLIENT_CERT",
    "key_file": "CONSUL_CLIENT_KEY",
}
TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""As Consul's own programs, and consul-template, understand $CONSUL_HTTP_SSL [Go, strconv.ParseBool]."""


def consul(given: Consul, environ: Mapping[str, str]) -> Consul:
    """Consul's own variables stand in for what is not given."""
    found = {
        key: environ[name] for key, name in CONSUL_VARIABLES.items() if not getattr(given, key) and environ.get(name)
    }
    found.setdefault("address", given.address or "127.0.0.1:8500")
    if "://" not in found["address"] and environ.get("CONSUL_HTTP_SSL") in TRUE:
        found["address"] = f"https://{found['address']}"
    return replace(given, **found)


def node(given: Node, hostname: str) -> Node:
    return replace(given, name=given.name or hostname)


def consul_template(given: ConsulTemplate, role: str) -> ConsulTemplate:
    return replace(given, mode=given.mode or ("spawn" if role and role != RTP else "attach"))


def registration(given: Registration, node: Node, rtpengine: Rtpengine, status_url: str) -> Registration:
    """`status_url`: Kamailio's, complete."""
    rtp = node.role == RTP
    ng = int(rtpengine.ng.rpartition(":")[2])
    return replace(
        given,
        enabled=bool(node.role) if given.enabled is None else given.enabled,
        name=given.name or node.role or "kamailio",
        id=given.id or node.name,
        port=given.port or (ng if rtp else SIP_PORT),
        tags=[node.role, "rtpengine" if rtp else "kamailio"] if given.tags is None and node.role else given.tags or [],
        check_url=given.check_url or ("" if rtp else status_url),
        ttl=(TTL if rtp else 0.0) if given.ttl is None else given.ttl,
    )


def kamailio(given: Kamailio, node: Node, registered: Registration) -> Kamailio:
    """All but `rpc`, which is looked for on the disk."""
    mode = given.mode or ("none" if node.role == RTP else "attach")
    there = bool(node.role) and mode != "none"
    host = registered.address or "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    sip = [f"udp:{host}:{registered.port or SIP_PORT}"] if there else []
    return replace(
        given,
        mode=mode,
        command=given.command or COMMAND,
        sip=sip if given.sip is None else given.sip,
        status_url=given.status_url or (STATUS_URL if there else ""),
    )


def drain(given: Drain, mode: str) -> Drain:
    """`mode`: of Kamailio. One that is not ours goes on without us, and so shall its calls: it stays in Consul."""
    return replace(given, on_stop=given.on_stop or ("drain" if mode == "spawn" else "announce"))
