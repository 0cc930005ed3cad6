"""Kamailio has memory left: the shared one (`core.shmmem`) and each process's own (`pkg.stats`).

A word only: what is short is given to it by `-m` and `-M` at its next start.
"""

from consul_kam.core.health import Outcome, Probe, asked
from consul_kam.core.ports import Struct, Value
from consul_kam.core.world import KAMAILIO, NO_KAMAILIO, World

SHARED, OWN = 0.1, 0.1
"""Least free share of each; below it an allocation of a large list may already fail."""


def run(world: World, timeout: float) -> Outcome:
    facts, wrong = _shared(world, timeout)
    stats = asked(world, "pkg.stats", timeout)
    if stats is not None:
        more, also = _own(stats)
        facts, wrong = {**facts, **more}, {**wrong, **also}
    return Outcome(not wrong, "; ".join(wrong.values()), facts, frozenset(wrong))


Found = tuple[dict[str, float], dict[str, str]]
"""Figures, and what is short."""


def _shared(world: World, timeout: float) -> Found:
    (shared,) = world.rpc("core.shmmem", deadline=timeout)
    total, free = _bytes(shared, "total"), _bytes(shared, "free")
    facts = {"shm_total_bytes": total, "shm_free_bytes": free}
    wrong = {}
    if free < SHARED * total:
        wrong["shared"] = f"{free / 2**20:.1f} of {total / 2**20:g} MiB shared memory are free: give it more by -m"
    return facts, wrong


def _own(stats: tuple[Value, ...]) -> Found:
    # One that has just started did not say yet what it uses: all are 0, what is free as well.
    known = [one for one in stats if _bytes(one, "real_used")]
    if not known:
        return {}, {}
    least = min(known, key=lambda one: _bytes(one, "free") / _bytes(one, "total_size"))
    total, free = _bytes(least, "total_size"), _bytes(least, "free")
    facts, wrong = {"pkg_total_bytes": total, "pkg_free_bytes": free}, {}
    if free < OWN * total:
        who = f"process {_member(least, 'pid')} ({_member(least, 'desc')})"
        wrong["own"] = f"{free / 2**20:.1f} of {total / 2**20:g} MiB are free in {who}: give it more by -M"
    return facts, wrong


def _member(value: Value, name: str) -> str:
    members: dict[str, Value] = dict(_struct(value))
    return str(members[name])


def _bytes(value: Value, name: str) -> float:
    return float(_member(value, name))


def _struct(value: Value) -> Struct:
    if isinstance(value, str):
        raise TypeError(f"expected a struct, got {value!r}")
    return value


PROBE = Probe(
    name="kamailio_memory",
    doc="`core.shmmem`, and `pkg.stats` where module kex is loaded: at least 10 % of the shared memory, and of each "
    "process's own, is free.",
    run=run,
    applies=lambda node: node.kamailio != NO_KAMAILIO,
    applies_doc="there is a Kamailio",
    period=10.0,
    timeout=2.0,
    target=KAMAILIO,
)
