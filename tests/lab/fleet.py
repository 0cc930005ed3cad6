"""SBCs and routers as they ship (examples/kamailio), each kept by a node of its own; between them, calls."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.lab.callee import Callee
from tests.lab.consul import ConsulAgent
from tests.lab.example import Example
from tests.lab.node import Node
from tests.lab.process import wait_for
from tests.lab.rpc import Unreachable
from tests.lab.sip import Sipp

HERE = Path(__file__).parent
SCENARIO = {"caller": HERE / "caller_hangs_up.xml", "callee": HERE / "callee_hangs_up.xml"}
QUICK = """\
[drain]
on_stop = "leave"
quiet_for = 1.5
announce_max = 6
deadline = 30
"""
REGISTERED = 'address = "127.0.0.1"\nevery = 0.3\ncheck_interval = 1\n'
PROBED = "[probes.http_status]\nperiod = 0.3\n[probes.sip_options]\nperiod = 0.3\n[probes.lists]\nperiod = 0.3\n"
"""A start that does not wait for a period."""
DEFINE = '#!define PING_EVERY 1\n#!define ALGORITHM "4"\n#!define SILENCE 10000'
"""Round robin: each router has its share. Nobody is silent but for want of CPU, which has to fail no call."""


class Member(Node):
    """A node with one of the shipped configurations; it is registered at 127.0.0.1 and the port of its Kamailio."""

    kamailio: Example

    @property
    def uri(self) -> str:
        return f"sip:127.0.0.1:{self.kamailio.sip_port}"

    def draining(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("draining")["drain"]
        return found

    def ready_but_for_drain(self, timeout: float = 30.0) -> None:
        wait_for("a node that is well", lambda: not self.ask("draining")["unwell"], timeout, self.log)

    def phase(self, name: str, timeout: float = 30.0) -> None:
        """Until it is in this phase."""
        wait_for(f"{name} of {self.directory.name}", lambda: self.draining()["phase"] == name, timeout, self.log)


def member(
    directory: Path,
    consul: ConsulAgent,
    role: str,
    sets: str,
    version: str = "",
    spawn: bool = True,
    drain: str = QUICK,
    define: str = DEFINE,
    registered: str = REGISTERED,
    **datasets: str,
) -> Member:
    """Not started. `sets`: lines of [datasets.dispatcher]; `datasets`: of others; `registered`: of [registration]."""
    directory.mkdir(parents=True)
    kamailio = Example(directory / "kam", role, version, define=define) if _made(directory / "kam") else None
    assert kamailio is not None
    return Member(
        directory / directory.name,
        kamailio,
        consul.address,
        role=role,
        spawn=spawn,
        registered=True,
        kamailio_lines="min_gap = 0.02\nprobing = true",
        dispatcher=sets,
        **datasets,
        more=f"{drain}[registration]\n{registered}port = {kamailio.sip_port}\n{PROBED}",
    )


def _made(path: Path) -> bool:
    path.mkdir()
    return True


def routers(sets: Sequence[str]) -> str:
    """Static destinations of set 2."""
    static = ", ".join(f'"{uri} 0 {10 - index}"' for index, uri in enumerate(sets))
    return f"[[datasets.dispatcher.sets]]\nsetid = 2\nstatic = [{static}]\n"


TO_ROUTERS = '[[datasets.dispatcher.sets]]\nsetid = 1\nservice = "router"\ncritical = "disable"\n'
"""As in examples/kamailio/sbc.toml."""


class Calls:
    """Calls through one SBC, in the background: `who` hangs up after `seconds`, with a re-INVITE in the middle."""

    def __init__(self, directory: Path, sbc: Example, callee: Callee, who: str, rate: int, calls: int, seconds: float):
        self._callee, self._who = callee, who
        callee.hangs_up, callee.reinvited = (seconds if who == "callee" else None), True
        self._sipp = Sipp(directory, sbc.sip_port, rate, calls, int(seconds * 500), SCENARIO[who])

    def running(self) -> bool:
        return self._sipp.running()

    def wait(self, timeout: float) -> tuple[int, int, list[str]]:
        """(calls, failed as the caller sees it, BYEs of the callee that failed)."""
        found = self._sipp.wait(timeout)
        if self._who == "callee":
            wait_for("the callee's last BYE", lambda: not self._callee.open, 30)
        return found.created, found.failed, list(self._callee.failed)

    def end(self, timeout: float) -> tuple[int, int, list[str]]:
        """No further calls; what is up ends as it would."""
        self._sipp.quit()
        return self.wait(timeout)

    def errors(self) -> str:
        return self._sipp.errors()

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *_: object) -> None:
        self._sipp.stop()


class Fleet:
    """`r1`, `r2`, ... and `sbc`, in front of one callee."""

    def __init__(
        self, stack: ExitStack, directory: Path, consul: ConsulAgent, define: str = DEFINE, registered: str = REGISTERED
    ) -> None:
        """`define`: lines of node.cfg; `registered`: of [registration]; of all."""
        self.stack, self.directory, self.consul = stack, directory, consul
        self._define, self._registered = define, registered
        self.callee = stack.enter_context(Callee())
        self.routers: list[Member] = []

    def start(self, count: int = 2, version: str = "", drain: str = QUICK, spawn: bool = True) -> "Fleet":
        """`drain`: the routers' [drain]; `spawn`: whether the routers start their Kamailio."""
        sets = routers([self.callee.uri])
        for number in range(1, count + 1):
            made = member(
                self.directory / f"r{number}",
                self.consul,
                "router",
                sets,
                version,
                spawn,
                drain,
                self._define,
                self._registered,
            )
            if not spawn:
                self.stack.enter_context(made.kamailio)
            self.routers.append(self.stack.enter_context(made))
        self.start_sbc(version)
        for node in self.routers:
            node.ready()
        self.expect(*["A"] * count)
        return self

    def start_sbc(self, version: str) -> None:
        """Another kind of SBC is for another fleet."""
        place = self.directory / "sbc"
        made = member(place, self.consul, "sbc", TO_ROUTERS, version, define=self._define, registered=self._registered)
        self.sbc = self.stack.enter_context(made)
        self.sbc.ready()
        self.front = self.sbc.kamailio

    def flags(self) -> list[str]:
        """What the SBC's Kamailio holds of r1, r2, ...: "A", "D", "I"; "" where one is not there."""
        try:
            found = {each.uri: each.flags[:1] for each in self.front.rpc.dispatcher().get(1, [])}
        except (OSError, Unreachable):
            return []
        return [found.get(router.uri, "") for router in self.routers]

    def expect(self, *flags: str, timeout: float = 30.0) -> None:
        wait_for(
            f"{flags} at the SBC, last {self.flags()}", lambda: self.flags() == list(flags), timeout, self.front.log
        )

    def calls(self, who: str, rate: int, calls: int, seconds: float = 2.0) -> Calls:
        directory = self.directory / "sipp"
        return Calls(directory, self.front, self.callee, who, rate, calls, seconds)


def cli(node: Node, *words: str, code: int = 0) -> str:
    """What `consul-kam` said on both streams."""
    argv = [sys.executable, "-m", "consul_kam", *words]
    done = subprocess.run(argv, env={**os.environ, **node.env}, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
