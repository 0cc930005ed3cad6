"""What goes wrong in the small world of tests.core.world, one fault at a time."""

from collections.abc import Iterator
from dataclasses import replace

from consul_kam.core import events as e
from consul_kam.core.change import Base
from consul_kam.core.records import Host, Seen
from consul_kam.core.state import State
from tests.core.shell import applied, asked, canonical, carried_out, change, idle, loaded, planned, tell
from tests.core.world import NO_KEYS, WINDOW, World, disabled


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
        ordered=world.engine.ordered,
        lkg=world.lkg,
        ours=world.live.ours | world.lkg_ours,
        not_before=max(0.0, world.universe.gap - world.wrote_ago),
    )
    world = replace(world, engine=engine, doing=None, timer=None, refused=NO_KEYS, retried=False, base=Base(world.lkg))
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
    marked = world.engine.ours | world.live.ours | world.lkg_ours | disabled(world.memory)
    free = [row for row in world.memory if row.key not in marked and not world.universe.by_key]
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
            yield "unresolved", tell(idle(world), e.Unresolved(op, (Host("host"),)))
        case e.DoApply(op) if world.up:
            asks, tried = change(idle(world))
            yield "idle reply", tell(tried, e.Applied(op))
            yield "fault", tell(tried, e.Faulted(op, "500"))
            if asks is None:
                yield "busy", tell(replace(tried, window=WINDOW), e.Busy(op, WINDOW))
            for part in range(1, len(asks or ())):
                yield "part of the keys", tell(asked(tried, (asks or ())[:part]), e.Faulted(op, "timeout"))
                yield "crash among the keys", crashed(asked(tried, (asks or ())[:part]))
            if not world.window:
                yield "lost reply", tell(applied(world), e.Faulted(op, "timeout"))
                yield "lost connection", tell(applied(world), e.Unreachable(op))
        case e.DoPublish(op):
            yield "disk full", tell(idle(world), e.PublishFailed(op, "full"))
            yield "disk full at the last known good", tell(idle(canonical(world)), e.PublishFailed(op, "full"))
