"""What the lab lacks for the demo: routers that die between two calls, and the SBC with a cfg of its own."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.lab import Kamailio, Rpc, Struct, Uas

CFG = Path(__file__).with_name("kamailio.cfg")


class Life(NamedTuple):
    """Which Kamailio it is, and whether it answers OPTIONS. `pid`: of the main process, by its own word."""

    pid: int
    answers: bool


class Instance(Uas):
    """One running router. It knows its calls, so that it can end between two of them, as one that was drained does.

    A call that is up on a router which dies is lost whatever the SBC does: the demo promises nothing about those.
    """

    def __init__(self, port: int | None = None) -> None:
        self.dying = False
        self._up: set[str] = set()
        super().__init__(port)

    @property
    def invites(self) -> int:
        """Calls that were sent here, answered or not."""
        return self.calls

    def revive(self) -> None:
        self.dying = self.silent = False

    def _answer(self, text: str) -> str | None:
        if self.dying and not self._up:
            self.silent = True
        reply = super()._answer(text)
        call = next((line for line in text.split("\r\n") if line.lower().startswith("call-id:")), "")
        if reply is not None and text.startswith("INVITE "):
            self._up.add(call)
        if text.startswith("BYE "):
            self._up.discard(call)
        return reply


class Sbc(Kamailio):
    """A Kamailio with examples/demo/kamailio.cfg. `more`: what follows on where its modules are, at the next start."""

    more = ""

    def write_cfg(self) -> None:
        values = {
            "SIP_PORT": self.sip_port,
            "HTTP_PORT": self.http_port,
            "MODULES": self.found.modules,
            "CTL": self.ctl,
            "LIST_FILE": self.list_file,
        }
        text = CFG.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        place = f'mpath="{self.found.modules}/"\n'
        assert place in text
        self.cfg.write_text(text.replace(place, place + self.more))

    def life(self, rpc: Rpc) -> Life:
        """Raises as `Rpc.call`."""
        (first, *_) = rpc.call("core.psx")
        assert isinstance(first, Struct)
        return Life(int(str(first["PID"])), self.answers_options(2.0))

    def kamcmd(self, *words: str) -> str:
        """What somebody types at a shell."""
        done = subprocess.run(
            [self.found.kamcmd, "-s", f"unix:{self.ctl}", *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return (done.stdout + done.stderr).strip()
