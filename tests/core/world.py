"""A small world around the release machine: disk, Kamailio and the shell, all in values, with faults at any point.

Model time stands still but for timers: a world is always at time 0, and what lies ahead or behind is kept relative to
it, so that equal situations are equal values. The shell obeys what docs/architecture asks of it: results come in the
order of the actions, a `Refuse` is answered by `Wanted` before anything else, and a fresh engine takes over what the
disk says: the last known good, and the marks of live file and last known good together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from consul_kam.core import events as e
from consul_kam.core.events import Phase
from consul_kam.core.records import Key, Memory, Record, Release, Seen
from consul_kam.core.release import State, step

GAP = 1.0
WINDOW = 2.0
NO_KEYS: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Row:
    """One record: its name, its value, whether the release wants it disabled."""

    name: str
    value: str = "v"
    disabled: bool = False

    @property
    def key(self) -> Key:
        """As Kamailio knows it."""
        return (self.name,)


@dataclass(frozen=True)
class Universe:
    """What may be staged, in this order; the name that Kamailio refuses, the value that it changes on loading.

    `insists`: the guards do not allow to go on without a refused record.
    """

    versions: tuple[tuple[Row, ...], ...]
    refuses: str = ""
    garbles: str = ""
    insists: bool = False

    def loads(self, version: int) -> bool:
        """Whether this version, less what may be left out, is ever found in memory."""
        rows = self.versions[version]
        refused = self.insists and any(row.name == self.refuses for row in rows)
        return not refused and all(row.value != self.garbles for row in rows)


@cache
def release(rows: tuple[Row, ...], refused: frozenset[Key] = NO_KEYS, copy: int = 0) -> Release:
    """The shell's plan. `copy` makes another object that is equal."""
    rows = tuple(row for row in rows if row.key not in refused)
    records = tuple(Record(row.key, "1", (row.value,), f"{row.name} {row.value}", (row.name,)) for row in rows)
    digest = " ".join(record.line + "/D" * row.disabled for record, row in zip(records, rows, strict=True))
    return Release(digest, records, frozenset(row.key for row in rows if row.disabled), refused=tuple(refused))


@dataclass(frozen=True)
class File:
    """The live file: its rows, what it marks as ours, and which release it is the canonical form of."""

    rows: Memory = ()
    ours: frozenset[Key] = NO_KEYS
    by_operator: frozenset[Key] = NO_KEYS
    """Rows that are disabled because somebody did it by hand: not written there, but the truth."""
    canonical: str | None = None


@dataclass(frozen=True)
class World:
    """Everything, the engine's state included. Times are seconds from now on, or ago."""

    universe: Universe
    engine: State
    doing: e.DoRead | e.DoWrite | e.DoApply | e.DoPublish | None = None
    timer: e.Arm | None = None
    staged: int = 0
    refused: frozenset[Key] = NO_KEYS
    retried: bool = False
    live: File = File()
    lkg: Release | None = None
    lkg_ours: frozenset[Key] = NO_KEYS
    memory: Memory = ()
    up: bool = True
    by_operator: frozenset[Key] = NO_KEYS
    """Keys that are disabled in memory because somebody did it by hand."""
    read_by_operator: frozenset[Key] = NO_KEYS
    """The same, as of the last read."""
    applied_ago: float = GAP
    wrote_ago: float = GAP
    window: float = 0.0

    def __str__(self) -> str:
        state, live = self.engine, self.live
        wants = state.newest and state.newest.digest
        return (
            f"{state.phase.name} newest [{wants}] target [{state.target and state.target.digest}]"
            f" tries {state.tries} standin {state.standin} published {state.published} ours {_names(state.ours)}"
            f" not before {state.not_before} doing {type(self.doing).__name__} | memory [{_lines(self.memory)}]"
            f" up {self.up} by operator {_names(self.by_operator)} | live [{_lines(live.rows)}] {live.canonical}"
            f" ours {_names(live.ours)} | lkg [{self.lkg and self.lkg.digest}] ours {_names(self.lkg_ours)}"
        )


def _lines(memory: Memory) -> str:
    return " ".join(f"{row.key[0]} {row.seen[0]}{'/D' * row.disabled}" for row in memory)


def _names(keys: frozenset[Key]) -> str:
    return "{" + " ".join(sorted(str(key[0]) for key in keys)) + "}"


SEEN: set[tuple[Phase, type[e.Event], Phase]] = set()
"""Every (phase, event, next phase) that any world came through."""


class Broken(AssertionError):
    """A promise of the machine that a step broke."""


def fresh(universe: Universe) -> World:
    """Nothing was ever staged, written or loaded."""
    return World(universe, State(gap=lambda records: GAP, ordered=True))


# --- events in, actions out ----------------------------------------------------------------------------------------


def tell(world: World, event: e.Event) -> World:
    """Give the engine an event; carry out what it says to the shell at once, note what takes time."""
    before = world.engine
    state, actions = step(before, event, 0.0)
    SEEN.add((before.phase, type(event), state.phase))
    world = replace(world, engine=state)
    replies: list[e.Event] = []
    for action in actions:
        match action:
            case e.Refuse(keys):
                world = replace(world, refused=world.refused | set(keys))
                replies.append(e.Wanted(planned(world)))
            case e.Unresolve():
                replies.append(e.Wanted(planned(world)))
            case e.Arm():
                world = replace(world, timer=action)
            case e.DoRead() | e.DoWrite() | e.DoApply() | e.DoPublish():
                _check(world, action)
                world = replace(world, doing=action)
            case e.Report():
                pass
    if world.doing is not None and world.doing.op != state.op:
        if not isinstance(world.doing, e.DoRead | e.DoApply):
            raise Broken(f"{type(world.doing).__name__} was left to itself by {event}")
        world = replace(world, doing=None)
    for reply in replies:
        world = tell(world, reply)
    return tidy(world)


def _check(world: World, action: e.Action) -> None:
    """What holds for every action, whatever happened before."""
    if isinstance(world.doing, e.DoWrite | e.DoPublish):
        raise Broken(f"{type(action).__name__} while {type(world.doing).__name__} is under way: {world}")
    if world.engine.halted and isinstance(action, e.DoPublish | e.DoWrite):
        raise Broken(f"{type(action).__name__} while halted")
    if isinstance(action, e.DoWrite):
        if action.enable & action.release.disabled:
            raise Broken(f"enables {action.enable & action.release.disabled}, which shall be disabled")
        if taken := {key for key in action.enable & world.by_operator if key in _disabled(world.memory)}:
            raise Broken(f"clears the disabling of {taken}, which is the operator's")


def tidy(world: World) -> World:
    """Equal situations as equal values: operations numbered anew, counters only as far as they matter."""
    state = world.engine
    doing = world.doing and replace(world.doing, op=0)
    timer = world.timer
    if timer is not None:
        timer = replace(timer, event=replace(timer.event, op=0)) if timer.event.op == state.op else None
    used = state.phase in (Phase.WRITING, Phase.APPLYING)
    engine = replace(
        state,
        op=0,
        failures=min(state.failures, 1),
        not_before=max(state.not_before, 0.0),
        memory=state.memory if used else () if state.memory is not None else None,
        trouble="",
    )
    read_by_operator = world.read_by_operator if used else NO_KEYS
    return replace(world, engine=engine, doing=doing, timer=timer, read_by_operator=read_by_operator)


def planned(world: World) -> Release:
    """The release of what is staged, without the refused; a new object whenever it is planned anew."""
    rows = world.universe.versions[world.staged]
    without = NO_KEYS if world.universe.insists else world.refused
    plan = release(rows, without)
    return release(rows, without, copy=1) if plan is world.engine.newest else plan


def later(world: World, seconds: float) -> World:
    """The same, so many seconds on."""
    engine = replace(world.engine, not_before=world.engine.not_before - seconds)
    timer = world.timer and replace(world.timer, at=world.timer.at - seconds)
    return replace(
        world,
        engine=engine,
        timer=timer,
        applied_ago=min(GAP, world.applied_ago + seconds),
        wrote_ago=min(GAP, world.wrote_ago + seconds),
        window=max(0.0, world.window - seconds),
    )


# --- what goes as it should ----------------------------------------------------------------------------------------


def onward(world: World) -> World | None:
    """The next thing that happens without any further fault; None where all is quiet, and would be after a Tick."""
    if world.doing is not None:
        return tell(*carried_out(world))
    if not world.up:
        return replace(world, up=True, **loaded(world, world.live))
    if world.timer is not None:
        world = later(world, max(0.0, world.timer.at))
        assert world.timer is not None
        return tell(replace(world, timer=None), world.timer.event)
    if world.engine.halted:
        return tell(world, e.Halt(on=False))
    if world.refused and (not world.retried or world.refused != {(world.universe.refuses,)}):
        world = replace(world, refused=NO_KEYS, retried=True)
        return tell(world, e.Wanted(planned(world)))
    ticked = tell(world, e.Tick())
    assert ticked.doing is not None
    seen = tell(*carried_out(ticked))
    return None if seen == world else ticked


def carried_out(world: World) -> tuple[World, e.Event]:
    """The world after the action under way, and the event that tells of it."""
    match world.doing:
        case e.DoRead(op):
            if not world.up:
                return idle(world), e.Unreachable(op)
            return replace(idle(world), read_by_operator=world.by_operator), _read(world, op)
        case e.DoWrite(op):
            return written(world), e.Wrote(op)
        case e.DoApply(op):
            if not world.up:
                return idle(world), e.Unreachable(op)
            if world.window:
                return idle(world), e.Busy(op, world.window)
            return applied(world), e.Applied(op)
        case e.DoPublish(op):
            return published(canonical(world)), e.Published(op)
    raise AssertionError(world)


def idle(world: World) -> World:
    """Nothing is under way."""
    return replace(world, doing=None)


def _read(world: World, op: int) -> e.Read:
    lkg = world.engine.lkg
    return e.Read(op, world.memory, file_right=lkg is not None and world.live.canonical == lkg.digest)


def written(world: World) -> World:
    """The live file as the shell writes it: states ride, but for those of `enable`."""
    action = world.doing
    assert isinstance(action, e.DoWrite)
    riding = _disabled(action.memory) - action.enable | action.release.disabled
    rows = tuple(Seen(r.key, r.seen, disabled=r.key in riding) for r in action.release.records)
    carried = world.read_by_operator & riding & {row.key for row in rows}
    return replace(idle(world), live=File(rows, action.ours, carried), wrote_ago=0.0)


def applied(world: World) -> World:
    """Kamailio has loaded the live file."""
    if world.applied_ago < GAP:
        raise Broken(f"a reload {world.applied_ago} s after the last one")
    return replace(idle(world), applied_ago=0.0, **loaded(world, world.live))


def loaded(world: World, file: File) -> dict[str, object]:
    """What Kamailio makes of a file."""
    kept = (row for row in file.rows if row.key[0] != world.universe.refuses)
    memory = tuple(replace(row, seen=("?",)) if row.seen == (world.universe.garbles,) else row for row in kept)
    return {"memory": memory, "by_operator": file.by_operator & _disabled(memory)}


def canonical(world: World) -> World:
    """The first half of a publish: the live file."""
    action = world.doing
    assert isinstance(action, e.DoPublish)
    rows = tuple(Seen(r.key, r.seen, disabled=r.key in action.release.disabled) for r in action.release.records)
    return replace(world, live=File(rows, action.ours, world.by_operator & _disabled(rows), action.release.digest))


def published(world: World) -> World:
    """The second half: the last known good."""
    action = world.doing
    assert isinstance(action, e.DoPublish)
    return replace(idle(world), lkg=action.release, lkg_ours=action.ours)


def _disabled(memory: Memory) -> frozenset[Key]:
    return frozenset(row.key for row in memory if row.disabled)


# --- what goes wrong -----------------------------------------------------------------------------------------------


def faults(world: World) -> Iterator[tuple[str, World]]:
    """Every single thing that may go wrong, or change, now."""
    yield from _engine_faults(world)
    yield from _kamailio_faults(world)
    yield from _reply_faults(world)
    if world.staged + 1 < len(world.universe.versions):
        newer = replace(world, staged=world.staged + 1, refused=NO_KEYS, retried=False)
        yield "staged", tell(newer, e.Wanted(planned(newer)))
    yield "staged again", tell(world, e.Wanted(planned(world)))
    yield "tick", tell(world, e.Tick())
    if not world.engine.halted:
        yield "halt", tell(world, e.Halt(on=True))


def _engine_faults(world: World) -> Iterator[tuple[str, World]]:
    yield "crash", crashed(world)
    if isinstance(world.doing, e.DoPublish):
        yield "crash in publish", crashed(canonical(world))
    if world.doing is not None and not isinstance(world.doing, e.DoRead):
        yield "crash after", crashed(carried_out(world)[0])


def crashed(world: World) -> World:
    """A fresh engine that knows what is on disk, and is told what is staged."""
    engine = State(
        gap=world.engine.gap,
        ordered=True,
        lkg=world.lkg,
        ours=world.live.ours | world.lkg_ours,
        not_before=GAP - world.wrote_ago,
    )
    world = replace(world, engine=engine, doing=None, timer=None, refused=NO_KEYS, retried=False)
    return tell(world, e.Wanted(planned(world)))


def _kamailio_faults(world: World) -> Iterator[tuple[str, World]]:
    if not world.up:
        yield "up", tell(replace(world, up=True, **loaded(world, world.live)), e.KamailioUp())
        return
    yield "restart", tell(replace(world, window=0.0, **loaded(world, world.live)), e.KamailioUp())
    yield "down", tell(replace(world, up=False, window=0.0), e.KamailioDown())
    yield "extra by hand", replace(world, memory=(*world.memory, Seen(("z",), ("v",))))
    if world.memory:
        yield "removed by hand", replace(world, memory=world.memory[1:])
    marked = world.engine.ours | world.live.ours | world.lkg_ours | _disabled(world.memory)
    free = [row for row in world.memory if row.key not in marked]
    # Between the read and the reload, nobody can know of it.
    if free and not isinstance(world.doing, e.DoWrite | e.DoApply):
        key = free[0].key
        memory = tuple(replace(row, disabled=row.disabled or row.key == key) for row in world.memory)
        yield "disabled by hand", replace(world, memory=memory, by_operator=world.by_operator | {key})


def _reply_faults(world: World) -> Iterator[tuple[str, World]]:
    match world.doing:
        case e.DoRead(op):
            yield "malformed", tell(idle(world), e.ReadFailed(op, "malformed"))
            yield "read timeout", tell(idle(world), e.Unreachable(op))
        case e.DoWrite(op):
            yield "disk full", tell(idle(world), e.WriteFailed(op, "full"))
            yield "unresolved", tell(idle(world), e.Unresolved(op, ("host",)))
        case e.DoApply(op) if world.up:
            yield "idle reply", tell(idle(world), e.Applied(op))
            yield "fault", tell(idle(world), e.Faulted(op, "500"))
            yield "busy", tell(replace(idle(world), window=WINDOW), e.Busy(op, WINDOW))
            if not world.window:
                yield "lost reply", tell(applied(world), e.Faulted(op, "timeout"))
                yield "lost connection", tell(applied(world), e.Unreachable(op))
        case e.DoPublish(op):
            yield "disk full", tell(idle(world), e.PublishFailed(op, "full"))
            yield "disk full at the last known good", tell(idle(canonical(world)), e.PublishFailed(op, "full"))
