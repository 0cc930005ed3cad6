"""Keeping one program running: one TABLE of (stage, event) -> handler. `step` is pure: (service, event, now, policy).

The first restart after quiet running is immediate, then each waits twice as long; a crash loop is told, and ends in
FAILED where that is the policy. An event of a process or timer that is not the one under way is late and ignored.
docs/supervision.md is generated from TABLE and from what each handler declares with `leads_to`; `step` holds every
handler to its word.
"""

from collections.abc import Callable
from dataclasses import replace

from consul_kam.core import service as s
from consul_kam.core.backoff import backoff
from consul_kam.core.service import Action, Announce, Arm, Event, GiveUp, Kill, Policy, Service, Spawn, Stage, Stop
from consul_kam.errors import InvalidTransition

Step = tuple[Service, tuple[Action, ...]]
Handler = Callable[[Service, Event, float, Policy], Step]
GOES: dict[str, tuple[Stage, ...]] = {}
"""Handler name -> the stages it may lead to."""
SPREAD = 0.1
"""Share of a wait that chance adds at most."""
KILL_AGAIN = 2.0
"""Seconds after which SIGKILL is sent again: a process in uninterruptible sleep dies later."""


def leads_to(*stages: Stage) -> Callable[[Callable[..., Step]], Callable[..., Step]]:
    """Declare where a handler may lead; no stage means that it stays."""

    def declare(handler: Callable[..., Step]) -> Callable[..., Step]:
        GOES[handler.__name__] = stages
        return handler

    return declare


def _to(service: Service, stage: Stage, now: float, **changes: object) -> Service:
    return replace(service, stage=stage, since=now, op=service.op + 1, **changes)  # type: ignore[arg-type]


# --- handlers ----------------------------------------------------------------------------------------------------


@leads_to()
def stay(service: Service, event: Event, now: float, policy: Policy) -> Step:
    """Ignored here, on purpose."""
    return service, ()


@leads_to(Stage.STARTING)
def start(service: Service, event: Event, now: float, policy: Policy) -> Step:
    return _spawn(replace(service, wanted=True, failures=0, crashes=()), now)


@leads_to(Stage.STARTING)
def start_again(service: Service, event: Event, now: float, policy: Policy) -> Step:
    """Out of the wait after a crash."""
    return _spawn(service, now)


def _spawn(service: Service, now: float, *first: Action) -> Step:
    """The deadline runs from when the process is there: emptying the old one's group is not its fault."""
    starting = _to(service, Stage.STARTING, now, pid=0, blamed=False)
    return starting, (*first, Spawn(starting.op))


@leads_to()
def spawned(service: Service, event: s.Spawned, now: float, policy: Policy) -> Step:
    known = replace(service, pid=event.pid, op=service.op + 1, since=now)
    return known, (Announce("started"), Arm(known.op, now + policy.start_timeout))


@leads_to(Stage.STARTING)
def adopt(service: Service, event: s.Adopted, now: float, policy: Policy) -> Step:
    """It has to show that it is ready, as one that we started."""
    adopted = _to(service, Stage.STARTING, now, pid=event.pid, wanted=True)
    return adopted, (Announce("adopted"), Arm(adopted.op, now + policy.start_timeout))


@leads_to(Stage.RUNNING)
def ready(service: Service, event: s.Ready, now: float, policy: Policy) -> Step:
    if event.pid != service.pid or not service.pid:
        return service, ()
    running = _to(service, Stage.RUNNING, now, why="")
    return running, (Announce("ready"), Arm(running.op, now + policy.quiet))


@leads_to()
def quiet(service: Service, event: s.Due, now: float, policy: Policy) -> Step:
    return replace(service, failures=0), ()


@leads_to(Stage.STARTING, Stage.BACKOFF, Stage.FAILED)
def crashed(service: Service, event: s.Exited, now: float, policy: Policy) -> Step:
    if event.pid != service.pid:
        return service, ()
    return _after_crash(service, event.how, event.spread, now, policy)


@leads_to(Stage.STARTING, Stage.BACKOFF, Stage.FAILED)
def not_spawned(service: Service, event: s.SpawnFailed, now: float, policy: Policy) -> Step:
    return _after_crash(service, event.why, event.spread, now, policy)


def _after_crash(service: Service, why: str, spread: float, now: float, policy: Policy) -> Step:
    crashes = (*(at for at in service.crashes if at > now - policy.crash_window), now)
    failures = service.failures + 1
    loop = 0 < policy.crash_limit < len(crashes)
    after = replace(service, pid=0, why=why, crashes=crashes, failures=failures, restarts=service.restarts + 1)
    told: tuple[Action, ...] = (Announce("ended", why),)
    if loop and policy.give_up:
        reason = f"ended {len(crashes)} times within {policy.crash_window:g} s; last: {why}"
        return _to(after, Stage.FAILED, now, wanted=False), (*told, Announce("failed", reason), GiveUp(reason))
    if loop and len(service.crashes) <= policy.crash_limit:
        told = (*told, Announce("crash loop", f"{len(crashes)} times within {policy.crash_window:g} s"))
    if failures == 1:
        return _spawn(after, now, *told)
    wait = backoff(failures - 1, policy.first, policy.longest) * (1 + SPREAD * spread)
    waiting = _to(after, Stage.BACKOFF, now)
    return waiting, (*told, Arm(waiting.op, now + wait))


@leads_to(Stage.KILLING)
def too_slow(service: Service, event: s.Due, now: float, policy: Policy) -> Step:
    """Not ready in time."""
    why = f"not ready within {policy.start_timeout:g} s"
    return _kill(replace(service, blamed=True, why=why), now, Announce("killed", why))


@leads_to(Stage.KILLING)
def does_not_end(service: Service, event: s.Due, now: float, policy: Policy) -> Step:
    why = f"did not end within {policy.stop_timeout:g} s"
    return _kill(service, now, Announce("killed", why))


@leads_to()
def kill_again(service: Service, event: s.Due, now: float, policy: Policy) -> Step:
    again = replace(service, op=service.op + 1)
    return again, (Kill(service.pid), Arm(again.op, now + KILL_AGAIN))


def _kill(service: Service, now: float, told: Action) -> Step:
    killing = _to(service, Stage.KILLING, now)
    return killing, (told, Kill(service.pid), Arm(killing.op, now + KILL_AGAIN))


@leads_to(Stage.STOPPING)
def stop(service: Service, event: s.StopRequested, now: float, policy: Policy) -> Step:
    return _stopping(replace(service, wanted=False, why=event.why), now, policy)


@leads_to(Stage.STOPPING)
def restart(service: Service, event: s.RestartRequested, now: float, policy: Policy) -> Step:
    """One that is not even there is started as it would have been."""
    if not service.pid:
        return service, ()
    told = Announce("restarting", event.why)
    after, actions = _stopping(replace(service, wanted=True, blamed=event.blame, why=event.why), now, policy)
    return after, (told, *actions)


def _stopping(service: Service, now: float, policy: Policy) -> Step:
    """Asked for while the spawn is under way, the end comes as soon as the process is there."""
    stopping = _to(service, Stage.STOPPING, now)
    if not service.pid:
        return replace(stopping, op=service.op), ()
    return stopping, (Stop(service.pid), Arm(stopping.op, now + policy.stop_timeout))


@leads_to()
def spawned_in_vain(service: Service, event: s.Spawned, now: float, policy: Policy) -> Step:
    known = replace(service, pid=event.pid, op=service.op + 1)
    return known, (Stop(event.pid), Arm(known.op, now + policy.stop_timeout))


@leads_to(Stage.STOPPED, Stage.STARTING)
def none_to_stop(service: Service, event: s.SpawnFailed, now: float, policy: Policy) -> Step:
    after, actions = _ended(service, event.spread, now, policy)
    told = service.wanted and not service.blamed  # a crash is told with what it was blamed for
    return after, (Announce("ended", event.why), *actions) if told else actions


@leads_to(Stage.STOPPED, Stage.STARTING, Stage.BACKOFF, Stage.FAILED)
def ended(service: Service, event: s.Exited, now: float, policy: Policy) -> Step:
    """What was asked to end has ended."""
    if event.pid != service.pid:
        return service, ()
    return _ended(service, event.spread, now, policy)


def _ended(service: Service, spread: float, now: float, policy: Policy) -> Step:
    """How it ended is no news: it was asked to, and that was told."""
    if not service.wanted:
        return _to(service, Stage.STOPPED, now, pid=0), (Announce("stopped", service.why),)
    if service.blamed:
        return _after_crash(service, service.why, spread, now, policy)
    return _spawn(replace(service, restarts=service.restarts + 1), now)


@leads_to()
def run_after_all(service: Service, event: s.StartRequested, now: float, policy: Policy) -> Step:
    """Whoever asks for it twice hears of it once."""
    told = () if service.wanted else (Announce("restarting", service.why),)
    return replace(service, wanted=True), told


@leads_to()
def not_again(service: Service, event: s.StopRequested, now: float, policy: Policy) -> Step:
    return replace(service, wanted=False, why=event.why), ()


@leads_to(Stage.STOPPED)
def stop_waiting(service: Service, event: s.StopRequested, now: float, policy: Policy) -> Step:
    return _to(service, Stage.STOPPED, now, wanted=False, why=event.why), (Announce("stopped", event.why),)


# --- the table -----------------------------------------------------------------------------------------------------


def _row(**handlers: Handler) -> dict[type, Handler]:
    return {getattr(s, name): handler for name, handler in handlers.items()}


TABLE: dict[Stage, dict[type, Handler]] = {
    Stage.STOPPED: _row(
        StartRequested=start, StopRequested=stay, RestartRequested=stay, Adopted=adopt, Ready=stay, Exited=stay,
        Due=stay,
    ),
    Stage.STARTING: _row(
        StartRequested=stay, StopRequested=stop, RestartRequested=restart, Ready=ready, Exited=crashed,
        Spawned=spawned, SpawnFailed=not_spawned, Due=too_slow,
    ),
    Stage.RUNNING: _row(
        StartRequested=stay, StopRequested=stop, RestartRequested=restart, Ready=stay, Exited=crashed, Due=quiet,
    ),
    Stage.STOPPING: _row(
        StartRequested=run_after_all, StopRequested=not_again, RestartRequested=run_after_all, Ready=stay,
        Exited=ended, Spawned=spawned_in_vain, SpawnFailed=none_to_stop, Due=does_not_end,
    ),
    Stage.KILLING: _row(
        StartRequested=run_after_all, StopRequested=not_again, RestartRequested=run_after_all, Ready=stay,
        Exited=ended, Due=kill_again,
    ),
    Stage.BACKOFF: _row(
        StartRequested=start_again, StopRequested=stop_waiting, RestartRequested=start_again, Ready=stay, Exited=stay,
        Due=start_again,
    ),
    Stage.FAILED: _row(
        StartRequested=start, StopRequested=stop_waiting, RestartRequested=start, Ready=stay, Exited=stay, Due=stay,
    ),
}  # fmt: skip


def step(service: Service, event: Event, now: float, policy: Policy) -> Step:
    """One step. Raises InvalidTransition for an event that the table does not know here: a defect of ours."""
    if getattr(event, "op", service.op) != service.op:
        return service, ()
    handler = TABLE[service.stage].get(type(event))
    if handler is None:
        raise InvalidTransition(f"cannot take {type(event).__name__} in {service.stage.name}")
    after, actions = handler(service, event, now, policy)
    if after.stage is not service.stage and after.stage not in GOES[handler.__name__]:
        raise InvalidTransition(f"cannot go from {service.stage.name} to {after.stage.name} by {handler.__name__}")
    return after, actions
