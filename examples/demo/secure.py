"""`--secure`: Consul with ACLs and mutual TLS, and a Vault that gives the node its secrets, which rotate meanwhile."""

import contextlib
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from examples.demo.programs import Sbc
from tests.lab import Fault, LabError, Rpc, Unreachable
from tests.lab.environment import value_of
from tests.lab.process import Watching
from tests.lab.secured import CONSUL_LINES, Laid, Lives, Secured
from tests.lab.tls import shows

LIVES = Lives(token=24, certificate=30)
"""Seconds; each is replaced at two thirds of it."""
EVERY = 5.0
"""Seconds between two values that an operator writes to Vault."""
LOOK = 0.25
LEAST = 2
"""Of each rotation, or the demo has proven nothing."""
NAME, TABLE, GREETING = "node-node", "consul_kam_env", "GREETING"
MEMORY = "memory"
"""In the demo's directory: a symlink to where its secrets are, for whoever has to clear up."""
TOML = """\
[vault.secrets.greeting]
kind = "kv"
path = "secret/data/kamailio/greeting"
every = 0.5
[env]
include = "{place}/env.cfg"
every = 0.3
[env.vars.GREETING]
value = "secret://greeting/text"
change = "htable"
"""
CFG = """\
include_file "{place}/env.cfg"
loadmodule "htable.so"
modparam("htable", "htable", "consul_kam_env=>size=4;")
"""


class Rotations(NamedTuple):
    """How often something was seen to be another: Consul's token, the certificate that Kamailio shows to strangers, and
    the value in its memory."""

    tokens: int
    certificates: int
    values: int

    @property
    def ok(self) -> bool:
        return min(self) >= LEAST


class Secure:
    """With an ExitStack that ends its programs. `rotations`: seen so far, by one who asks nobody of consul_kam."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.world = Secured(stack, directory / "secure", LIVES, database=False)
        (directory / MEMORY).symlink_to(self.world.place)
        self.consul = self.world.consul
        self._write(0)
        self._laid: Laid | None = None
        self._watch: Watch | None = None
        self._stack = stack

    def lay(self, sbc: Sbc) -> str:
        """Kamailio's configuration gets its TLS; returns what is to be in consul-kam.toml."""
        laid = self._laid = self.world.lay(NAME, "sbc", database=False, version=sbc.options.version, apply="reload")
        sbc.more = laid.cfg + CFG.format(place=laid.place)
        sbc.write_cfg()
        return laid.toml + TOML.format(place=laid.place)

    @property
    def lines(self) -> str:
        """Of [consul]."""
        return CONSUL_LINES

    def watch(self, sbc: Sbc) -> None:
        """From now on."""
        assert self._laid is not None
        self._watch = self._stack.enter_context(Watch(self, sbc, self._laid))

    def rotations(self) -> Rotations:
        return self._watch.seen() if self._watch is not None else Rotations(0, 0, 0)

    def _write(self, number: int) -> None:
        self.world.vault.kv("kamailio/greeting", {"text": f"greeting {number}"})

    def again(self, number: int) -> None:
        """An operator writes another value."""
        with contextlib.suppress(OSError, LabError):
            self._write(number)

    def plain(self) -> dict[str, Any]:
        """For the plain pipeline's consul-template: its token is Vault's first one, and nobody brings another."""
        token = self.world.vault.ask("GET", "consul/creds/sbc")["data"]["token"]
        certificate, key = self.consul.us.pair.names
        ssl = {"enabled": True, "verify": True, "ca_cert": str(self.consul.us.ca), "cert": certificate, "key": key}
        retry = {"enabled": True, "attempts": 0, "backoff": "50ms", "max_backoff": "1s"}
        return {"consul": {"address": f"127.0.0.1:{self.consul.port}", "token": token, "ssl": ssl, "retry": retry}}

    def curl(self) -> str:
        """What lets a curl in."""
        header = self.world.place / "header"
        header.touch(0o600)
        header.write_text(f"X-Consul-Token: {self.consul.token}\n")
        certificate, key = self.consul.us.pair.names
        return f"--cacert {self.consul.us.ca} --cert {certificate} --key {key} -H @{header} "


class Watch(Watching):
    """A thread: which token is in force, whom Kamailio's TLS socket shows to be, which value it holds."""

    def __init__(self, secure: Secure, sbc: Sbc, laid: Laid) -> None:
        super().__init__()
        self._secure, self._laid = secure, laid
        self._rpc = Rpc(sbc.ctl)
        self._seen: dict[str, list[object]] = {"token": [], "certificate": [], "value": []}

    def seen(self) -> Rotations:
        return Rotations(*(max(0, len(set(each)) - 1) for each in self._seen.values()))

    def _watch(self) -> None:
        number, due = 0, time.monotonic() + EVERY
        while not self._ending.wait(LOOK):
            if time.monotonic() >= due:
                number, due = number + 1, due + EVERY
                self._secure.again(number)
            self._note("token", self._token())
            self._note("certificate", shows(self._laid.tls))
            self._note("value", self._value())
        self._rpc.close()

    def _note(self, what: str, found: object) -> None:
        seen = self._seen[what]
        if found not in ("", None) and (not seen or seen[-1] != found):
            seen.append(found)

    def _token(self) -> str:
        try:
            return (self._laid.place / "secrets" / "consul" / "token").read_text()
        except OSError:
            return ""

    def _value(self) -> object:
        try:
            return value_of(self._rpc, TABLE, GREETING)
        except (Fault, Unreachable, TimeoutError):
            return None
