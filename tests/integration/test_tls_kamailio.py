"""Kamailio's certificate: taken from files, loaded, proven by a handshake, and calls over TLS go on meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import ConsulAgent, Lab, Uas, free_port, wait_for
from tests.lab.node import Node
from tests.lab.process import tail
from tests.lab.sip_tls import Phones
from tests.lab.tls import Authority, Issued, shows
from tests.lab.world import agent, consul, every_version, lab

__all__ = ["agent", "consul", "lab"]


class Secure:
    """A node whose Kamailio listens on TLS at `port`, with the certificates of `issued`."""

    def __init__(self, lab: Lab, consul: ConsulAgent, directory: Path, lines: str = "", shm: int = 64) -> None:
        self.authority = Authority(directory / "ca")
        self.issued = Issued(directory / "issued" / "sip", self.authority)
        self.port, self.directory = free_port(), directory / "tls"
        self._lab, self._consul, self._lines, self._shm = lab, consul, lines, shm

    @property
    def table(self) -> str:
        own = f'directory = "{self.directory}"\nconnect = "127.0.0.1:{self.port}"\ngap = 1\n'
        return f"[kamailio.tls]\n{self.issued.lines}\n{self.issued.ca_line}\n{own}{self._lines}\n"

    def options(self, cfg: Path | None = None) -> dict[str, object]:
        """Of its Kamailio."""
        return {
            "shm": self._shm,
            "globals": f"enable_tls=yes\nlisten=tls:127.0.0.1:{self.port}",
            "modparams": f'loadmodule "tls.so"\nmodparam("tls", "config", "{cfg or self.directory / "tls.cfg"}")',
        }

    def node(self, more: str = "", cfg: Path | None = None, **options: Any) -> Node:
        self.engine: Node = self._lab.node(self._consul, kamailio=self.options(cfg), more=self.table + more, **options)
        self.kam = self.engine.kamailio
        return self.engine

    def told(self, use: str = "kamailio") -> dict[str, Any]:
        found = self.engine.ask("status")["node"]["certificates"]
        return next(each for each in found if each["use"] == use)

    def until(self, what: str, probe: Callable[[], object], timeout: float = 20.0) -> None:
        wait_for(f"{what}\n{self.told()}\n{tail(self.kam.log)}", probe, timeout, self.engine.log, 0.05)

    def proves(self, wanted: str) -> None:
        """Kamailio shows it to strangers, and the node says so."""
        self.until(f"certificate {wanted[:12]}", lambda: shows(self.port) == self.told()["fingerprint"] == wanted)
        self.until("no trouble", lambda: not self.told()["trouble"])

    def refuses(self, text: str, old: str) -> None:
        self.until(f"{text!r}", lambda: text in self.told()["trouble"])
        assert shows(self.port) == self.told()["fingerprint"] == old


@pytest.fixture
def secure(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> Iterator[Secure]:
    with Uas() as callee:
        consul.register("router", "r01", port=callee.port)
        yield Secure(lab, consul, tmp_path)


@every_version
def test_calls_go_on_over_each_new_certificate(secure: Secure) -> None:
    first = secure.issued.renew()
    secure.node().ready()
    secure.proves(first)
    with Phones(secure.port) as phones:
        for _ in range(4):
            done = phones.old.done
            secure.proves(secure.issued.renew())
            secure.until("calls", lambda done=done: phones.old.done > done + 3)
    assert (phones.old.failed, phones.new.failed) == (0, 0), phones.errors[:3]
    assert phones.new.done
