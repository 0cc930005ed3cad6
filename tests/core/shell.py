"""What runs in the small world: the engine's shell, disk and Kamailio, step by step, while all goes well."""

from collections.abc import Sequence
from dataclasses import replace

from consul_kam.core import events as e
from consul_kam.core.change import Base, key_by_key
from consul_kam.core.dataset import Ask, ByKey
from consul_kam.core.events import Phase
from consul_kam.core.records import Release, Seen
from consul_kam.core.release import step
from tests.core.world import NO_KEYS, File, World, disabled, release

SEEN: set[tuple[Phase, type[e.Event], Phase]] = set()
"""Every (phase, event, next phase) that any world came through."""


class Broken(AssertionError):
    """A promise of the machine that a step broke."""


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
        if taken := {key for key in action.enable & world.by_operator if key in disabled(world.memory)}:
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
        applied_ago=min(world.universe.gap, world.applied_ago + seconds),
        wrote_ago=min(world.universe.gap, world.wrote_ago + seconds),
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
    riding = disabled(action.memory) - action.enable | action.release.disabled
    rows = tuple(Seen(r.key, r.seen, disabled=r.key in riding) for r in action.release.records)
    carried = world.read_by_operator & riding & {row.key for row in rows}
    return replace(idle(world), live=File(rows, action.ours, carried), wrote_ago=0.0)


def applied(world: World) -> World:
    """Kamailio has loaded the live file, or has changed each key."""
    if world.applied_ago < world.universe.gap:
        raise Broken(f"a reload {world.applied_ago} s after the last one")
    asks, world = change(idle(world))
    if asks is not None:
        return asked(world, asks)
    return replace(world, applied_ago=0.0, **loaded(world, world.live))


BY_KEY = ByKey(put=lambda record: Ask("put", (record.line,)), drop=lambda key: Ask("drop", key))


def change(world: World) -> tuple[tuple[Ask, ...] | None, World]:
    """What the shell asks for instead of a reload; the world in which it knows that it did."""
    state = world.engine
    assert state.memory is not None
    assert state.target is not None
    asks, base = key_by_key(BY_KEY if world.universe.by_key else None, world.base, state.memory, state.target)
    return asks, replace(world, base=base)


def asked(world: World, asks: Sequence[Ask]) -> World:
    """Kamailio has carried these out. What is in memory by then counts, not what was when they were planned."""
    memory = {row.key: row for row in world.memory}
    for ask in asks:
        name, _, value = str(ask.params[0]).partition(" ")
        if ask.method == "drop":
            memory.pop((name,), None)
        elif name != world.universe.refuses:
            memory[name,] = Seen((name,), ("?" if value == world.universe.garbles else value,))
    return replace(world, memory=tuple(sorted(memory.values(), key=lambda row: row.key)))


def loaded(world: World, file: File) -> dict[str, object]:
    """What Kamailio makes of a file."""
    kept = (row for row in file.rows if row.key[0] != world.universe.refuses)
    memory = tuple(replace(row, seen=("?",)) if row.seen == (world.universe.garbles,) else row for row in kept)
    return {"memory": memory, "by_operator": file.by_operator & disabled(memory)}


def canonical(world: World) -> World:
    """The first half of a publish: the live file."""
    action = world.doing
    assert isinstance(action, e.DoPublish)
    rows = tuple(Seen(r.key, r.seen, disabled=r.key in action.release.disabled) for r in action.release.records)
    return replace(world, live=File(rows, action.ours, world.by_operator & disabled(rows), action.release.digest))


def published(world: World) -> World:
    """The second half: the last known good."""
    action = world.doing
    assert isinstance(action, e.DoPublish)
    return replace(idle(world), lkg=action.release, lkg_ours=action.ours, base=Base(action.release))
