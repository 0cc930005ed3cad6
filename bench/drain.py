"""Three routers are restarted in turn under calls with a re-INVITE, by `restart --rolling`: once the caller hangs up,
once the callee; behind an SBC that consul_kam keeps, and behind one on the plain pipeline.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.pipelines import PLAIN_TEMPLATE
from tests.integration.registering import passing
from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.example import Example
from tests.lab.fleet import Fleet

RATE, SECONDS, ROUTERS = 50, 3.0, 3
TAIL = 250
"""Calls that begin after the last router is back, about."""
DRAIN = """\
[drain]
on_stop = "leave"
quiet_for = 3
announce_max = 20
deadline = 60
"""


class PlainFleet(Fleet):
    """Its SBC is on the article's pipeline: consul-template writes the list and calls kamcmd."""

    def start_sbc(self, version: str) -> None:
        """After the routers: a reload within 5 s of another is refused, and nobody tries it again."""
        for router in self.routers:
            router.ready()
        wait_for("routers", lambda: len(passing(self.consul, "router")) == len(self.routers), 30)
        place = self.directory / "sbc"
        place.mkdir()
        self.front = Example(place, "sbc", version, define=self._define)
        self.stack.enter_context(self.front)
        lab = self.stack.enter_context(Lab(self.directory / "ct"))
        template = place / "list.tpl"
        # 16 is "no look-up", with which ds_is_from_list knows nobody: every request within a call would be refused
        template.write_text(PLAIN_TEMPLATE.read_text().replace(" 16 10", " 0 10"))
        # The article's command is refused within 5 s of the last one, and the list stays as it was: then a drain is not
        # heard of at all. This one tries again, so that what is measured is the record that vanishes.
        command = f"until kamcmd -s unix:{self.front.ctl} dispatcher.reload | grep -q Ok; do sleep 0.5; done"
        lab.consul_template(self.consul, [(template, self.front.list_file, command)])


def run() -> dict[str, Any]:
    """Calls and failures by pipeline and by who hangs up."""
    found: dict[str, Any] = {}
    for who in ("caller", "callee"):
        for name, kind in (("plain", PlainFleet), ("ours", Fleet)):
            found[f"{name}, the {who} hangs up"] = _roll(kind, who)
    return found


def _roll(kind: type[Fleet], who: str) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix="ck-bench-"))
    try:
        with Lab(place / "lab") as lab, ExitStack() as stack:
            consul: ConsulAgent = lab.consul()
            fleet = kind(stack, place, consul)
            fleet.start(ROUTERS, drain=DRAIN)
            return _under_calls(fleet, who)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _under_calls(fleet: Fleet, who: str) -> dict[str, Any]:
    with fleet.calls(who, RATE, 1_000_000, SECONDS) as calls:
        wait_for("calls", lambda: fleet.callee.calls > RATE * SECONDS, 60)
        began = time.monotonic()
        going = [_restart(router.env) for router in fleet.routers]
        codes = [each.wait(300) for each in going]
        took = time.monotonic() - began
        time.sleep(TAIL / RATE)
        created, failed, cut = calls.end(60)
    return {"calls": created, "failed": failed, "cut": len(cut), "seconds": round(took, 1), "exit codes": codes}


def _restart(env: dict[str, str]) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "consul_kam", "restart", "--rolling"]
    return subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
