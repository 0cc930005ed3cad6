"""The two pipelines that the bench compares, each with a Consul agent and a Kamailio of its own, in one run."""

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.lab import ConsulAgent, Kamailio, Lab, Rpc
from tests.lab.engine import Engine
from tests.lab.ports import free_port

PLAIN_TEMPLATE = Path(__file__).parent / "baseline" / "dispatcher-list.tpl"
"""The article's own, as in ../shared/baseline."""
TXN = 64
"""Operations in one transaction; Consul takes 128 at most."""


class Witness:
    """Says whether memory has a destination, by a process of Kamailio's that nobody else speaks to.

    ctl serves one client after the other: asked there, the answer would come once our read-back is through (2 ms at
    1,000, 95 ms at 10,000), and that would count for the time to memory, which it is no part of.
    """

    def __init__(self, port: int) -> None:
        """`port`: of jsonrpcs's datagram socket, on loopback."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(60.0)
        self._id = 0

    def holds(self, uri: str) -> bool:
        """set_state on an unknown destination is a fault, so the reply is short, however long the list."""
        self._id += 1
        call = {"jsonrpc": "2.0", "method": "dispatcher.set_state", "params": ["a", 1, uri], "id": self._id}
        self._socket.send(json.dumps(call).encode())
        while True:
            reply = json.loads(self._socket.recv(65_536))
            if reply["id"] == self._id:
                return "result" in reply


@dataclass
class Pipeline:
    """`plain` or `ours`; `engine` is None for the plain one."""

    name: str
    consul: ConsulAgent
    kamailio: Kamailio
    rpc: Rpc
    engine: Engine | None
    template: tuple[Path, Path, Any]
    """Source, destination and command of consul-template's one stanza."""
    lab: Lab
    witness: Witness

    def register(self, number: int) -> None:
        self.consul.register("router", f"r{number:05d}", host(number), 5060)

    def deregister(self, number: int) -> None:
        self.consul.deregister(f"r{number:05d}")

    def holds(self, number: int) -> bool:
        """Whether memory has this destination."""
        return self.witness.holds(f"sip:{host(number)}:5060")

    def start(self) -> None:
        """Start consul-template."""
        self.lab.consul_template(self.consul, [self.template])

    def until(self, number: int, there: bool, timeout: float = 60.0) -> float:
        """The moment (monotonic s) from which memory has (or has not) this destination."""
        deadline = monotonic() + timeout
        while self.holds(number) is not there:
            if monotonic() > deadline:
                raise AssertionError(f"{self.name}: destination {number} not {'in' if there else 'out'} in {timeout} s")
            sleep(0.001)
        return monotonic()

    def fill(self, count: int) -> None:
        """Register `count` destinations, then start consul-template, and wait until memory has them all."""
        self._in_bulk(range(count))
        self.start()
        self.until(count - 1, True, 300.0)
        if self.engine is not None:
            self.engine.wait(
                "the list published", lambda s: s["verdict"] == "PUBLISHED" and s["records"] == count, 300.0
            )

    def _in_bulk(self, numbers: range) -> None:
        """Through the catalog, since an agent takes minutes for 10,000 services of its own."""
        node = {"Node": "bulk", "Address": "127.0.0.1", "SkipNodeUpdate": False}
        self.consul.ask("PUT", "/v1/catalog/register", node)
        for first in range(0, len(numbers), TXN):
            services = [_service(number) for number in numbers[first : first + TXN]]
            verbs = [{"Service": {"Verb": "set", "Node": "bulk", "Service": service}} for service in services]
            self.consul.ask("PUT", "/v1/txn", verbs)

    def count(self) -> int:
        return len(self.rpc.dispatcher().get(1, []))


def _service(number: int) -> dict[str, object]:
    return {"ID": f"r{number:05d}", "Service": "router", "Address": host(number), "Port": 5060}


def host(number: int) -> str:
    """A loopback address for each number up to 16 million."""
    return f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}" if number else "127.1.0.0"


def plain(lab: Lab, **kamailio: object) -> Pipeline:
    """The article's: consul-template writes the live file and calls kamcmd."""
    consul, (kam, witness) = lab.consul(), _watched(lab, **kamailio)
    command = f"kamcmd -s unix:{kam.ctl} dispatcher.reload"
    return Pipeline("plain", consul, kam, Rpc(kam.ctl), None, (PLAIN_TEMPLATE, kam.list_file, command), lab, witness)


def ours(lab: Lab, lines: Sequence[str] = (), dispatcher: str = "", **kamailio: object) -> Pipeline:
    """Ours: consul-template writes staging, the engine does the rest."""
    consul, (kam, witness) = lab.consul(), _watched(lab, **kamailio)
    engine = lab.engine(kam, consul, kamailio_lines="\n".join(lines), dispatcher=dispatcher)
    return Pipeline("ours", consul, kam, Rpc(kam.ctl), engine, engine.template(), lab, witness)


def _watched(lab: Lab, **options: Any) -> tuple[Kamailio, Witness]:
    port = free_port()
    # jsonrpcs over HTTP (1), as in the lab's own configuration, and by datagrams (4)
    lines = f'modparam("jsonrpcs", "transport", 5)\nmodparam("jsonrpcs", "dgram_socket", "udp:127.0.0.1:{port}")'
    return lab.kamailio(**options, modparams=lines), Witness(port)


BIG = {"ctl_body": 8192, "ctl_struct": 4096, "shm": 256, "pkg": 64}
"""ctl limits and memory for lists above about 3,000 destinations (kamailio-facts.md, 1)."""
