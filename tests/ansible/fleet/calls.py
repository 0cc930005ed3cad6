"""Calls through a fleet: a carrier that was never told of Consul, a gateway behind the routers, sipp in front."""

import re
import socket
from collections.abc import Iterable
from pathlib import Path

from tests.ansible.fleet.network import Namespace
from tests.ansible.fleet.site import ADDRESSES, REPO, Machine, Site
from tests.lab.callee import Callee, _headers
from tests.lab.fleet import SCENARIO
from tests.lab.kamailio import _VERSION, DOMAIN_ATTRS_HEADER, DOMAIN_HEADER
from tests.lab.process import wait_for
from tests.lab.sip import Sipp

PORT = 5060


class Gateway(Callee):
    """Who is called, in a namespace of its own. `routes`: Call-ID -> addresses of the proxies that it came through."""

    def __init__(self, namespace: Namespace, hangs_up: float | None = None) -> None:
        self._namespace, self.address = namespace, namespace.address
        self.routes: dict[str, set[str]] = {}
        super().__init__(PORT, hangs_up)

    def _open(self) -> socket.socket:
        with self._namespace.inside():
            return super()._open()

    def _answer(self, text: str) -> str | None:
        if text.startswith("INVITE"):
            found = _headers(text)
            passed = re.findall(r"sip:([\d.]+)", " ".join(found.get("record-route", [])))
            self.routes.setdefault(found["call-id"][0], set()).update(passed)
        return super()._answer(text)


def carrier(site: Site, *sbcs: str) -> Machine:
    """A Kamailio that calls these SBCs in turn, and the next one where one refuses or is silent."""
    site.boot("carrier", key=False)
    machine = site["carrier"]
    host = machine.host
    for path in (REPO / "examples" / "kamailio").glob("*.cfg"):
        host.copy(path, f"/etc/kamailio/{path.name}")
    host.write(
        "/etc/kamailio/node.cfg",
        f'#!define NODE_ADDRESS {machine.address}\n#!define PING_EVERY 1\n#!define ALGORITHM "4"\n'
        '#!define DISPATCHER_LIST "/etc/kamailio/dispatcher.list"\n#!define DBTEXT "text:///etc/kamailio/dbtext"\n',
    )
    host.write("/etc/default/kamailio", "CFGFILE=/etc/kamailio/router.cfg\n")
    targets = [ADDRESSES[name] for name in sbcs]
    host.write("/etc/kamailio/dispatcher.list", "".join(f"2 sip:{each}:{PORT} 0\n" for each in targets))
    rows = "".join(f"{number}:{each}:{each}:0\n" for number, each in enumerate(targets, 1))
    host.write("/etc/kamailio/dbtext/version", _VERSION)
    host.write("/etc/kamailio/dbtext/domain_attrs", DOMAIN_ATTRS_HEADER)
    host.write("/etc/kamailio/dbtext/domain", DOMAIN_HEADER + rows)
    host.systemctl("start", "kamailio.service")
    wait_for("the carrier", lambda: host.run("kamcmd", "core.uptime", check=False).returncode == 0, 30, every=0.1)
    return machine


class Calls:
    """Background calls to `target`: `rate` a second, `seconds` long, with a re-INVITE in the middle; `who` hangs up.

    The gateway has to be told as well: `hangs_up` is `seconds` where it is the callee.
    """

    def __init__(
        self, directory: Path, caller: Namespace, target: str, who: str, rate: int, seconds: float, local: str
    ) -> None:
        """`local`: an address that all on the way take for their own: an SBC's."""
        directory.mkdir(parents=True, exist_ok=True)
        scenario = directory / SCENARIO[who].name
        scenario.write_text(SCENARIO[who].read_text().replace("[remote_ip]:[remote_port]", f"{local}:{PORT}"))
        between = (caller.address, target)
        words = (rate, 1_000_000, int(seconds * 500), scenario)
        self._sipp = Sipp(directory, PORT, *words, between=between, enter=caller.enter())

    def running(self) -> bool:
        return self._sipp.running()

    def created(self) -> int:
        return self._sipp.stats().created

    def end(self, gateway: Gateway, timeout: float = 90.0) -> tuple[int, set[str]]:
        """No further calls. (calls, Call-IDs of those that failed, as caller or callee see it)."""
        self._sipp.quit()
        found = self._sipp.wait(timeout)
        wait_for("the gateway's last BYE", lambda: not gateway.open, 30)
        failed = set(_call_ids(self._sipp.errors().splitlines())) | {each.partition(":")[0] for each in gateway.failed}
        if found.failed and not failed:
            failed = {f"{found.failed} of whom sipp says nothing"}
        return found.created, failed

    def errors(self) -> str:
        return self._sipp.errors()

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *_: object) -> None:
        self._sipp.stop()


def _call_ids(lines: Iterable[str]) -> list[str]:
    """Of the messages that sipp did not expect, and of the calls that it gave up."""
    return [found[1].strip() for line in lines if (found := re.search(r"[Cc]all-[Ii][Dd]:? *'?([^\s',]+)", line))]
