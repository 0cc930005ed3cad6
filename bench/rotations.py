"""Everything that rotates does, under calls and changes: Consul's token, the database's password, Kamailio's
certificate, Consul's authority; and Vault is sealed for a minute.

An SBC and two routers as they ship, all of whose secrets are Vault's. Calls have a re-INVITE; half of them are ended by
the caller, half by the callee. Instances come and go in Consul meanwhile, and each of these changes has to be seen in
the memory of each node. `python -m bench.rotations [--short] [WHAT...]` for some of it.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import Lab, LabError, wait_for
from tests.lab.environment import environment, shown
from tests.lab.fleet import Calls, Member
from tests.lab.guests import Guests
from tests.lab.process import meanwhile
from tests.lab.secured import GUEST, GUESTS, Lives, Secured, generation, told
from tests.lab.secured_fleet import SecureFleet
from tests.lab.sip_tls import Phones
from tests.lab.tls import shows

RATE, SECONDS = 30, 2.0
PHONES = 2.0
"""Calls a second over TLS, of each phone: three keep their connection, one makes another for each call."""
BEAT = 0.02
"""Seconds between two beats of a thread that does nothing else: "stall, s" is how long this process got no CPU at most.
The callee is one of its threads."""
SLOWEST = 120.0
"""Seconds that one rotation may take in all, beyond the life of its lease."""


@dataclass(frozen=True)
class Size:
    """How much of it. `lease`: s, of what rotates; `rotations`: while the caller, and while the callee hangs up."""

    lease: int
    rotations: int


@dataclass(frozen=True)
class Phase:
    """One thing that rotates. `act`: makes, or waits for, one rotation more; raises LabError."""

    full: Size
    short: Size
    lives: Callable[[int], Lives]
    act: Callable[["Going", int], None]
    version: str = ""
    """Of the Kamailios: "" is this machine's own, which alone has a module for the database."""
    phones: bool = False
    """Whether there are calls over TLS to the SBC as well. Their callers hang up soon: not where the callee does."""
    sealed: float = 0.0
    """Seconds that Vault is sealed, in the middle; a sixth of it in short."""


@dataclass
class Going:
    """What an act knows. `was`: counts by node, from before."""

    world: Secured
    fleet: SecureFleet
    lease: int
    was: dict[str, int] = field(default_factory=dict)
    number: int = 0


def run(names: list[str] | None = None, short: bool = False, rate: int = RATE) -> dict[str, Any]:
    """By what rotates and who hangs up. `ok`: no call failed and no change was lost."""
    found: dict[str, Any] = {}
    for name in names or PHASES:
        place = Path(tempfile.mkdtemp(prefix="ck-bench-"))
        try:
            with Lab(place / "lab"), ExitStack() as stack:
                found |= _phase(stack, place, name, short, rate)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    bad = [each for each in found.values() if each["failed"] or each["lost"]]
    return {**found, "ok": not bad}


def _phase(stack: ExitStack, place: Path, name: str, short: bool, rate: int) -> dict[str, Any]:
    phase, found = PHASES[name], dict[str, Any]()
    size = phase.short if short else phase.full
    world = Secured(stack, place, phase.lives(size.lease))
    fleet = SecureFleet(stack, place / "fleet", world, database=not phase.version)
    going = Going(world, fleet.start(version=phase.version), size.lease)
    for who in ("caller", "callee"):
        found[f"{name}, the {who} hangs up"] = told_of = _one(going, phase, size, who, rate, short)
        print(f"{name}, the {who} hangs up: {told_of}", file=sys.stderr, flush=True)
    return found


def _one(going: Going, phase: Phase, size: Size, who: str, rate: int, short: bool) -> dict[str, Any]:
    fleet, sealed = going.fleet, phase.sealed / (6 if short else 1)
    going.was.clear()
    by_tls = phase.phones and who == "caller"
    phones = Phones(fleet.tls["sbc"], rate=PHONES) if by_tls else None
    beats, before = [time.monotonic()], fleet.callee.calls
    with (
        meanwhile(lambda: beats.append(time.monotonic()), BEAT),
        Guests(going.world.consul, GUEST, GUESTS, fleet.nodes, every=1.0) as guests,
        fleet.calls(who, rate, 1_000_000, SECONDS) as calls,
    ):
        wait_for("calls", lambda: fleet.callee.calls > before + rate * SECONDS, 60)
        with phones or nullcontext():
            for number in range(size.rotations):
                if sealed and number == size.rotations // 2:
                    _seal(going, sealed)
                phase.act(going, number)
        seen = guests.end()
        lost = seen.lost + [each for each in map(_unheard, fleet.nodes) if each]
        ended = calls.end(60)
    return {
        "rotations": size.rotations,
        "seconds": round(beats[-1] - beats[0]),
        **_calls(calls, *ended, phones),
        "answered": fleet.callee.calls - before,
        "changes": seen.changes,
        "lost": len(lost),
        "slowest change, s": seen.slowest,
        "change, p50, s": seen.middle,
        "stall, s": round(max(after - one for one, after in itertools.pairwise(beats)) - BEAT, 2),
        **({"what was lost": lost[:5]} if lost else {}),
    }


def _calls(calls: Calls, created: int, failed: int, cut: list[str], phones: Phones | None) -> dict[str, Any]:
    over_tls, broken = phones.counted if phones is not None else (0, 0)
    told: dict[str, Any] = {"calls": created + over_tls, "over TLS": over_tls, "failed": failed + len(cut) + broken}
    if failed or cut:
        told["what failed"] = calls.errors()[-2000:] + "; ".join(cut[:3])
    if phones is not None and broken:
        told["what failed over TLS"] = phones.errors[:3]
    return told


def _unheard(node: Member) -> str:
    """Why Consul does not know the node, as it is, by what is in force in the end; or ""."""
    told: dict[str, Any] = {}

    def well() -> bool:
        told.update(node.ask("status")["node"]["registration"])
        return told["state"] == "registered" and not told["trouble"]

    try:
        wait_for(f"the registration of {node.directory.name}", well, 20, every=0.1)
    except LabError:
        return f"{node.directory.name}: {told['state']}: {told['trouble']}"
    return ""


def rows(found: dict[str, Any]) -> list[list[str]]:
    """For a table, its head first; who hangs up stands with what rotates."""
    keys = ["rotations", "calls", "failed", "changes", "lost", "change, p50, s", "slowest change, s", "stall, s"]
    return [
        ["what", "rotations", "calls", "failed", "changes", "lost", "p50, s", "slowest, s", "stall, s"],
        *(
            [name.replace("the ", "").removesuffix(" hangs up"), *(str(each[key]) for key in keys)]
            for name, each in found.items()
            if isinstance(each, dict)
        ),
    ]


# ---- what rotates


def _each_has_more(going: Going, secret: str) -> None:
    """Until each node has another one than at the last time."""
    for node in going.fleet.nodes:
        key = f"{secret} {node.directory.name}"
        was = going.was.setdefault(key, generation(node, secret))
        another = lambda node=node, was=was: generation(node, secret) > was  # noqa: E731
        wait_for(f"another {secret} at {node.directory.name}", another, going.lease + SLOWEST, node.log, 0.1)
        going.was[key] += 1


def _token(going: Going, number: int) -> None:
    _each_has_more(going, "consul")


def _certificate(going: Going, number: int) -> None:
    """Kamailio of each node shows it to strangers."""
    _each_has_more(going, "sip")
    for node in going.fleet.nodes:
        _shown(going, node)


def _shown(going: Going, node: Member) -> None:
    name = node.directory.name

    def right() -> bool:
        found = told(node)
        return found["fingerprint"] == shows(going.fleet.tls[name]) and not found["trouble"]

    wait_for(f"the certificate of {name}", right, 60, node.kamailio.log, 0.1)


def _authority(going: Going, number: int) -> None:
    going.number += 1
    going.world.another_authority(going.fleet.nodes, going.number)


def _password(going: Going, number: int) -> None:
    """Another one for each router; both are restarted in turn, before the old one ends; then only new ones are used."""
    world, routers = going.world, going.fleet.routers
    for router in routers:
        needed = lambda router=router: "DBURL" in environment(router)["restart"]  # noqa: E731
        wait_for(f"another password at {router.directory.name}", needed, going.lease + SLOWEST, router.log, 0.1)
    going.number += 1
    key = f"row{going.number}"
    world.postgres.ask(f"INSERT INTO htable (key_name, key_value) VALUES ('{key}', '1')")
    argv = [sys.executable, "-m", "consul_kam", "restart", "--rolling"]
    restarts = [subprocess.Popen(argv, env={**os.environ, **router.env}, **_PIPE) for router in routers]
    for each, router in zip(restarts, routers, strict=True):
        said, _ = each.communicate(timeout=SLOWEST * 2)
        assert each.returncode == 0, said
        wait_for("the new row", lambda router=router: shown(router, key, "numbers") == "1", 20, router.log, 0.1)
        assert not [line for line in environment(router)["troubles"] if "ended" in line], "too late"


_PIPE: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def _seal(going: Going, seconds: float) -> None:
    going.world.vault.seal()
    time.sleep(seconds)
    going.world.vault.unseal()


PHASES: dict[str, Phase] = {
    "token": Phase(Size(20, 15), Size(6, 2), lambda life: Lives(token=life), _token),
    "password": Phase(Size(90, 2), Size(60, 1), lambda life: Lives(password=life), _password),
    "certificate": Phase(
        Size(20, 5), Size(10, 2), lambda life: Lives(certificate=life), _certificate, "6.0.1", phones=True
    ),
    "authority": Phase(Size(0, 2), Size(0, 1), lambda life: Lives(), _authority),
    "sealed": Phase(Size(20, 4), Size(6, 2), lambda life: Lives(token=life, certificate=life), _token, sealed=60.0),
}


def main() -> int:
    """Exit code 1 where a call failed or a change was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.rotations", description="What rotates, under calls.")
    parser.add_argument("names", nargs="*", metavar="WHAT", help=f"of {', '.join(PHASES)}")
    parser.add_argument("--short", action="store_true", help="few rotations, of short leases")
    parser.add_argument("--rate", type=int, default=RATE, help="calls a second")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in PHASES:
            parser.error(f"cannot run {name!r}: expected one of {', '.join(PHASES)}")
    found = run(asked.names or None, asked.short, asked.rate)
    print(json.dumps(found, indent=1))
    for row in rows(found):
        print("".join(cell.ljust(24 if cell is row[0] else 12) for cell in row).rstrip())
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
