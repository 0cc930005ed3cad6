"""Kamailio's permissions module in the lab: how to load it, what it holds, and whom it lets in."""

import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lab.kamailio import Kamailio
from tests.lab.rpc import Rpc, Struct

# an OPTIONS request with an X-IP asks: may this address and port, in this group? 200 or 403
ROUTE = """\
request_route {
  if ($hdr(X-IP) == $null) { sl_send_reply("200","Keepalive"); exit; }
  $var(ip) = $hdr(X-IP); $var(group) = $(hdr(X-Group){s.int}); $var(port) = $(hdr(X-Port){s.int});
  if (allow_address("$var(group)", "$var(ip)", "$var(port)")) { sl_send_reply("200","In"); exit; }
  sl_send_reply("403","Out"); exit;
}
"""


class Address(NamedTuple):
    """One entry of memory; `ip` is a canonical address (host bits kept), or a name as it is; `mask` -1 for a name."""

    group: int
    ip: str
    mask: int
    port: int
    tag: str


def options(
    directory: Path, reload_delta: int | None = 0, text: str = "# none yet\n", more: str = ""
) -> dict[str, str]:
    """For `Kamailio(directory, **options(directory))`: the module, with `live/address.list`, and ROUTE."""
    path = directory / "live" / "address.list"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    lines = ['loadmodule "permissions.so"', f'modparam("permissions","address_file","{path}")', more]
    if reload_delta is not None:
        lines.append(f'modparam("permissions","reload_delta",{reload_delta})')
    return {"modparams": "\n".join(lines), "route": ROUTE}


def addresses(rpc: Rpc) -> list[Address]:
    """The three dumps, hosts first, each in the order given."""
    return [*_hosts(rpc), *_subnets(rpc), *_names(rpc)]


def _hosts(rpc: Rpc) -> Iterator[Address]:
    for group, item in _entries(rpc.call("permissions.addressDump")):
        address = ipaddress.ip_address(str(item["ip"]))
        yield Address(group, str(address), address.max_prefixlen, *_rest(item))


def _subnets(rpc: Rpc) -> Iterator[Address]:
    for group, item in _entries(rpc.call("permissions.subnetDump")):
        address = ipaddress.ip_address(str(item["ip"]))
        yield Address(group, str(address), int(str(item["mask"])), *_rest(item))


def _names(rpc: Rpc) -> Iterator[Address]:
    """One struct, in which table, group and item come again for each."""
    (whole,) = rpc.call("permissions.domainDump")
    assert isinstance(whole, Struct)
    for group, item in zip(whole.all("group"), whole.all("item"), strict=True):
        assert isinstance(item, Struct)
        yield Address(int(str(group)), str(item["domain_name"]), -1, *_rest(item))


def _entries(values: list[object]) -> Iterator[tuple[int, Struct]]:
    for value in values:
        assert isinstance(value, Struct)
        item = value["item"]
        assert isinstance(item, Struct)
        yield int(str(value["group"])), item


def _rest(item: Struct) -> tuple[int, str]:
    return int(str(item["port"])), str(item["tag"])


def allows(kam: Kamailio, group: int, ip: str, port: int = 5060) -> bool:
    """Whether Kamailio lets this source in: an OPTIONS request that ROUTE answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect(("127.0.0.1", kam.sip_port))
        own, branch = client.getsockname()[1], time.monotonic_ns()
        lines = [
            f"OPTIONS sip:127.0.0.1:{kam.sip_port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{branch}",
            f"From: <sip:lab@127.0.0.1>;tag={branch}",
            f"To: <sip:127.0.0.1:{kam.sip_port}>",
            f"Call-ID: {branch}@lab",
            f"X-IP: {ip}\r\nX-Group: {group}\r\nX-Port: {port}",
            "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        ]
        client.send("\r\n".join(lines).encode())
        answer = client.recv(65535)
    assert answer[:11] in (b"SIP/2.0 200", b"SIP/2.0 403"), answer
    return answer.startswith(b"SIP/2.0 200")
