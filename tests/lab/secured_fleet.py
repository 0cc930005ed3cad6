"""SBCs and routers as they ship, all of whose secrets are Vault's."""

from contextlib import ExitStack
from pathlib import Path

from tests.lab.example import Example
from tests.lab.fleet import QUICK, REGISTERED, TO_ROUTERS, Fleet, Member, routers
from tests.lab.secured import CONSUL_LINES, GUEST, GUESTS, PROBED, Secured

DEFINE = '#!define PING_EVERY 5\n#!define ALGORITHM "4"\n#!define SILENCE 10000'
"""As it ships, but round robin: each router has its share of calls. Nobody is silent here but for want of CPU: with the
2 s that ship a callee that got none for so long was a call that failed."""


class WithDatabase(Example):
    """Its table of PostgreSQL is in htable.so, which drain.cfg loads."""

    def __init__(self, directory: Path, role: str, version: str, define: str, database: str) -> None:
        self._database = database
        super().__init__(directory, role, version, define=define)

    def write_cfg(self) -> None:
        super().write_cfg()
        common, after = self.directory / "common.cfg", 'include_file "drain.cfg"\n'
        assert after in common.read_text()
        common.write_text(common.read_text().replace(after, after + self._database))


class SecureFleet(Fleet):
    """Two routers and an SBC as they ship, all of whose secrets are Vault's; the routers' Kamailio reads a table of
    PostgreSQL as the user whom Vault made."""

    def __init__(self, stack: ExitStack, directory: Path, world: Secured, database: bool = True) -> None:
        """`database`: whether the routers have one; only this machine's own Kamailio has a module for it."""
        super().__init__(stack, directory, world.consul)
        self._database = database
        self.world, self.tls = world, dict[str, int]()

    @property
    def nodes(self) -> list[Member]:
        return [self.sbc, *self.routers]

    def start(self, count: int = 2, version: str = "", drain: str = QUICK, spawn: bool = True) -> "SecureFleet":
        assert spawn, "they are ours"
        guests = f'[[datasets.dispatcher.sets]]\nsetid = {GUESTS}\nservice = "{GUEST}"\n'
        sets = routers([self.callee.uri]) + guests
        self.routers = [self._member(f"r{number}", "router", sets, version, drain) for number in range(1, count + 1)]
        self.sbc = self._member("sbc", "sbc", TO_ROUTERS + guests, version, drain)
        self.front = self.sbc.kamailio
        for node in self.nodes:
            self.stack.enter_context(node)
        for node in self.nodes:
            node.ready(60)
        self.expect(*["A"] * count)
        return self

    def _member(self, name: str, role: str, sets: str, version: str, drain: str) -> Member:
        place = self.directory / name
        (place / "kam").mkdir(parents=True)
        laid = self.world.lay(name, role, role == "router" and self._database, version)
        self.tls[name] = laid.tls
        kamailio = WithDatabase(place / "kam", role, version, f"{DEFINE}\n{laid.cfg}", laid.database)
        return Member(
            place / name,
            kamailio,
            self.consul.address,
            role=role,
            registered=True,
            kamailio_lines="min_gap = 0.02\nprobing = true",
            dispatcher=sets,
            consul_lines=CONSUL_LINES,
            more=f"{drain}{laid.toml}[registration]\n{REGISTERED}port = {kamailio.sip_port}\n{PROBED}",
        )
