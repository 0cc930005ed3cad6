"""A node that `consul-kam run` supervises: it starts consul-template and, spawned, Kamailio."""

import json
import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Any

from consul_kam.adapters import processes
from consul_kam.adapters.control import ControlUnreachable
from tests.lab.engine import ROOT, Engine
from tests.lab.kamailio import Kamailio
from tests.lab.process import PATIENCE, program, short_directory, tail, wait_for


class Node(Engine):
    """As Engine; `kamailio` was laid out, and with `spawn` not started. Whatever it leaves running ends with the `with`
    block, for it is meant to survive its supervisor.
    """

    def __init__(
        self,
        directory: Path,
        kamailio: Kamailio,
        consul: str,
        *,
        role: str = "sbc",
        spawn: bool = True,
        node_lines: str = "",
        kamailio_lines: str = "min_gap = 0.02",
        registered: bool = False,
        more: str = "",
        **options: Any,
    ) -> None:
        lines = [
            kamailio_lines,
            f'sip = ["udp:127.0.0.1:{kamailio.sip_port}"]',
            f'status_url = "http://127.0.0.1:{kamailio.http_port}/status"',
        ]
        if spawn:
            lines += ['mode = "spawn"', f"command = {json.dumps(kamailio.command)}"]
        name = f"node-{directory.name}"
        more += f"\n[registration]\nenabled = {str(registered).lower()}\nport = {kamailio.sip_port}\n" * (
            "[registration]" not in more
        )
        super().__init__(
            directory,
            kamailio,
            consul,
            node_lines=f'role = "{role}"\nname = "{name}"\n{node_lines}',
            kamailio_lines="\n".join(lines),
            more='[drain]\non_stop = "leave"\n' * ("[drain]" not in more)  # a drain takes half a minute and more
            + f'[consul_template]\npath = "{program("consul-template")}"\n' * ("[consul_template]" not in more)
            + more,
            **options,
        )

    def process(self, name: str = "kamailio") -> dict[str, Any]:
        """As `status` says it."""
        return next(entry for entry in self.ask("status")["node"]["processes"] if entry["name"] == name)

    def pid_of(self, name: str = "kamailio") -> int:
        return int(self.process(name)["pid"])

    def identity(self, name: str = "kamailio") -> processes.Identity | None:
        """Whom the record in the state directory names."""
        return processes.recorded(self.state / name / "process")

    def ready(self, timeout: float = 30.0) -> None:
        """Until it waits for nothing."""

        def ready() -> bool:
            try:
                return not self.ask("status")["node"]["waits_for"]
            except ControlUnreachable:
                return False

        wait_for("a node that is ready", ready, timeout, self.log, 0.02)

    def runs(self, name: str = "kamailio", other_than: int = 0, timeout: float = 20.0) -> int:
        """The pid of the program, once it is RUNNING as another process than that."""

        def running() -> bool:
            try:
                found = self.process(name)
            except ControlUnreachable:  # between two configurations
                return False
            return bool(found["state"] == "RUNNING" and found["pid"] != other_than)

        wait_for(f"{name} running", running, timeout, self.log, 0.02)
        return self.pid_of(name)

    def restarts(self) -> None:
        """Kamailio, by an operator's word; until it is up again."""
        told = self.ask("restart", 60.0)
        assert told["ok"], told

    def hup(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def logged(self, text: str, timeout: float = PATIENCE) -> str:
        """The first line of the log that holds `text`."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in self.log.read_text().splitlines() if text in line]
            return bool(found)

        wait_for(f"{text!r} in {tail(self.log)}", look, timeout)
        return found[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for name in ("kamailio", "consul-template"):
            left = self.identity(name)
            if left is not None:
                processes.empty(left)


class Rtp(Node):
    """A node of role `rtp`: no Kamailio, no list, an RTPEngine at `ng`, and its registration."""

    def __init__(self, directory: Path, consul: str, ng: int, drain: str = 'on_stop = "leave"') -> None:
        self.directory, self.log, self.listen = directory, directory / "engine.log", None
        self.state = short_directory(self) / "state"
        self.config = directory / "consul-kam.toml"
        self.env = {"CONSUL_KAM_CONFIG": str(self.config), "PYTHONPATH": str(ROOT)}
        self._process, self._wanted, self._wrapper = None, True, []
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'[node]\nrole = "rtp"\nname = "node-{directory.name}"\nstate_dir = "{self.state}"\n'
            f'[consul]\naddress = "{consul}"\n[http]\nlisten = ""\n'
            f'[rtpengine]\nng = "udp:127.0.0.1:{ng}"\n[registration]\nttl = 2\nevery = 0.5\n'
            f"[probes.rtpengine_ng]\nperiod = 0.2\ntimeout = 0.5\n[drain]\n{drain}\n"
        )
