"""One node with everything on: all kinds of secrets, certificates for Kamailio, Consul and its endpoint, all lists."""

import http.client
from pathlib import Path

from tests.lab import htable
from tests.lab.kamailio import Kamailio
from tests.lab.node import Node
from tests.lab.ports import free_port
from tests.lab.secured import CONSUL_LINES, Secured
from tests.lab.tls import anybody

PAGE = """\
[vault.secrets.page]
kind = "kv"
path = "secret/data/kamailio/page"
every = 0.5
[http]
listen = "127.0.0.1:{port}"
cert_file = "secret://sip/certificate.pem"
key_file = "secret://sip/key.pem"
token_file = "secret://page/token"
[registration]
address = "127.0.0.1"
every = 0.5
port = {sip}
"""
SETS = {
    "dispatcher": '[[datasets.dispatcher.sets]]\nsetid = 1\nservice = "router"\n',
    "domain": '[[datasets.domain.sets]]\nservice = "sbc"\n',
    "rtpengine": '[[datasets.rtpengine.sets]]\nsetid = 0\nservice = "rtp"\n',
    "address": '[[datasets.address.sets]]\ngroup = 1\nkv = "consul_kam/gateways"\n',
    "htable:carriers": '[[datasets."htable:carriers".sets]]\nkv = "consul_kam/carriers"\n',
}
RIGHTS = """\
service "rtp" { policy = "read" }
key_prefix "consul_kam/gateways/" { policy = "read" }
key_prefix "consul_kam/carriers/" { policy = "read" }
"""


def whole(directory: Path, world: Secured) -> Node:
    """Not started. `world`'s policy for an SBC has to have RIGHTS as well. Nobody calls it by TLS, so that even an old
    Kamailio may be told to reload.
    """
    page(world, 0)
    world.consul.register("router", "r1", port=5071)
    world.consul.kv_put("consul_kam/gateways/a", "192.0.2.1/32")
    world.consul.kv_put("consul_kam/carriers/a", "1")
    laid = world.lay("whole", "sbc", database=True, apply="reload")
    kam, place = directory / "kam", directory / "whole"
    tables = htable.options(kam, "carriers")["modparams"]
    live = kam / "live"
    address = f'loadmodule "permissions.so"\nmodparam("permissions","address_file","{live}/address.list")'
    (live / "address.list").touch()
    first, _, rest = laid.cfg.partition("loadmodule")
    kamailio = Kamailio(
        kam,
        shm=256,
        domain=True,
        rtpengine=True,
        globals=f'{first}include_file "{laid.place}/env.cfg"',
        modparams=f"loadmodule{rest}\n{tables}\n{address}",
    )
    port = free_port()
    more = PAGE.format(port=port, sip=kamailio.sip_port)
    options = {name: sets for name, sets in SETS.items() if name != "dispatcher"}
    node = Node(
        place,
        kamailio,
        world.consul.address,
        role="sbc",
        registered=True,
        listen=None,
        consul_lines=CONSUL_LINES,
        dispatcher=SETS["dispatcher"],
        more=laid.toml + more,
        **options,
    )
    node.listen = f"127.0.0.1:{port}"
    return node


def scrape(node: Node) -> bool:
    """One /metrics of its endpoint, over a TLS connection of its own, from any thread."""
    host, _, port = (node.listen or "").rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=5, context=anybody())
    try:
        connection.request("GET", "/metrics")
        return b"consul_kam_vault_up 1" in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def page(world: Secured, number: int) -> None:
    """Another token of the status page."""
    world.vault.kv("kamailio/page", {"token": f"page-{number:032d}"})
