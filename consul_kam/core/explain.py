"""Why is it in, or absent? One line a stage, from Consul to Kamailio's memory, out of plain facts.

Each stage is a function of `Facts`; STAGES is their order. The first one that says NO is the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass

from consul_kam.core.known import Check, Facts, Instance, Subject, is_maintenance

OK, NO, NOTE, UNKNOWN = "ok", "no", "note", "unknown"
"""A stage lets it pass; it stops here; it is otherwise than usual; nobody can say now."""

OURS = "consul_kam"
"""How the reason of a maintenance begins that is ours (core/registered.py)."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`times`: (word before it, wall clock s), shown behind the text."""

    name: str
    mark: str
    text: str
    times: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """One match. `callable`: in memory, and gets calls. `why`: the stage that stops it, "" where none does."""

    dataset: str
    key: str
    source: str
    callable: bool
    why: str
    stages: tuple[Stage, ...]


def explain(facts: Facts) -> Explained:
    """From Consul to memory."""
    stages = tuple(stage for each in STAGES if (stage := each(facts)) is not None)
    subject = facts.subject
    why = next((f"{stage.name}: {stage.text}" for stage in stages if stage.mark == NO), "")
    own = subject.in_memory and subject.callable and not subject.stands_for
    return Explained(subject.dataset, subject.key, _source(subject), own, "" if own else why, stages)


def _source(subject: Subject) -> str:
    return f"{subject.service}/{subject.id}" if subject.service else subject.id


# --- the stages ------------------------------------------------------------------------------------------------------


def _registered(facts: Facts) -> Stage | None:
    subject, found, name = facts.subject, facts.instance, "registered"
    if subject.id == "static":
        return Stage(name, OK, "a static entry of the configuration; Consul has no part in it")
    if facts.consul:
        return Stage(name, UNKNOWN, facts.consul)
    if subject.id.startswith("kv:"):
        path = subject.id.removeprefix("kv:")
        return Stage(name, OK, f"KV {path}") if facts.in_kv else Stage(name, NO, f"Consul's KV has no {path} now")
    if found is not None:
        at = f" at {found.address}:{found.port}" if found.address else ""
        return Stage(name, OK, f"service {found.service}, ID {found.id}, on node {found.node}{at}")
    times = ((f"last {subject.last_word}", subject.last_at),) if subject.last_at is not None else ()
    if subject.id:
        return Stage(name, NO, f"Consul has no {_source(subject)} on {subject.node or 'any node'} now", times)
    where = ", ".join(sorted({ask.service for ask in facts.asks if ask.service})) or "any service"
    return Stage(name, NOTE, f"Consul has nothing of it in {where}; which source gave it is not known any more", times)


def _health(facts: Facts) -> Stage | None:
    found = facts.instance
    if found is None:
        return None
    bad = [check for check in found.checks if check.status != "passing" or is_maintenance(check)]
    if not bad:
        return Stage("health", OK, f"passing, {len(found.checks)} checks")
    text = "; ".join(_said(check) for check in sorted(bad, key=lambda c: (not is_maintenance(c), c.status)))
    return Stage("health", NOTE, f"{found.status}: {text}")


def _said(check: Check) -> str:
    if is_maintenance(check):
        whole = "the node" if check.id == "_node_maintenance" else "the service"
        whom = "by consul_kam" if check.notes.startswith(OURS) else "by hand or another program"
        return f"{whole} is in maintenance {whom}, reason: {check.notes or 'none given'}"
    output = " ".join(check.output.split())[:300]
    return f"check {check.name or check.id} ({check.id}) is {check.status}, output: {output or 'none'}"


def _set(facts: Facts) -> Stage | None:
    found, subject, name = facts.instance, facts.subject, "set"
    if found is None:
        return None
    asks = [ask for ask in facts.asks if ask.service == found.service]
    if not asks:
        services = ", ".join(sorted({ask.service for ask in facts.asks if ask.service})) or "none"
        return Stage(name, NO, f"no set of {subject.dataset} asks for service {found.service}, only for: {services}")
    tagged = [ask for ask in asks if not ask.tag or ask.tag in found.tags]
    if not tagged:
        wanted = ", ".join(sorted({ask.tag for ask in asks}))
        return Stage(name, NO, f"tag filter: the set wants {wanted}, it has {', '.join(found.tags) or 'no tag'}")
    policies = {ask.policy.get(found.status, "in") for ask in tagged}
    if found.status == "maintenance":
        return Stage(name, NOTE, "wanted, as one that drains until it deregisters")
    if policies == {"out"}:
        return Stage(name, NO, f"policy: {found.status} = out")
    if "disable" in policies and "in" not in policies:
        return Stage(name, NOTE, f"policy: {found.status} = disable")
    return Stage(name, OK, f"asked for as service {found.service}" + (f", {found.status} = in" if _ill(found) else ""))


def _ill(found: Instance) -> bool:
    return found.status != "passing"


def _engine(facts: Facts) -> Stage | None:
    return Stage("engine", NOTE, facts.engine) if facts.engine else None


def _staged(facts: Facts) -> Stage | None:
    subject, files, name = facts.subject, facts.listed.staging, "staged"
    for each in files:
        if each.error:
            since = (("since", each.at),) if each.at is not None else ()
            return Stage(name, NO if not subject.where else NOTE, f"rejected: {each.error}", since)
    if subject.where:
        mine = [each for each in files if subject.where.startswith(each.path)]
        at = tuple(("taken in", each.at) for each in mine if each.at is not None)
        unprotected = any(each.state == "unprotected" for each in files)
        more = "; unprotected: staging is the live file" if unprotected else ""
        return Stage(name, NOTE if unprotected else OK, subject.where + more, at[:1])
    if not files or all(each.state == "absent" for each in files):
        where = ", ".join(each.path for each in files)
        return Stage(name, NO, f"nothing is staged at {where}: is consul-template running?")
    times = tuple(("staging is of", each.at) for each in files if each.at is not None)
    mark = NO if facts.instance is not None else NOTE
    text = "not rendered yet: consul-template has not staged it" if facts.instance is not None else "not in staging"
    return Stage(name, mark, text, times[:1])


def _checked(facts: Facts) -> Stage | None:
    subject = facts.subject
    if subject.dropped:
        return Stage("checked", NO, "dropped: " + "; ".join(subject.dropped))
    if subject.stands_for:
        return Stage("checked", NO, f"another one with this key is in use: {subject.stands_for}")
    return (
        Stage("checked", OK, "a good record" + (f", {subject.use}" if subject.use else "")) if subject.where else None
    )


def _guards(facts: Facts) -> Stage | None:
    subject = facts.subject
    if subject.held_why:
        until = (("until", subject.held_until),) if subject.held_until is not None else ()
        end = "" if until else ", until others live or `consul-kam approve`"
        return Stage("guards", NOTE, f"held in the list although Consul wants it out: {subject.held_why}{end}", until)
    if subject.named:
        return Stage("guards", NOTE, f"not disabled although Consul wants that: {subject.named}; `consul-kam approve`")
    return None


def _refused(facts: Facts) -> Stage | None:
    subject = facts.subject
    if subject.blocked:
        since = (("since", subject.blocked_since),) if subject.blocked_since is not None else ()
        mark = NOTE if subject.in_memory else NO
        return Stage("names", mark, f"blocked: {subject.blocked}", since)
    if subject.refused_times:
        again = (("tried again", subject.refused_retry),) if subject.refused_retry is not None else ()
        text = f"Kamailio does not load it, tried {subject.refused_times} times; its log says why"
        return Stage("refused", NO, text, again)
    return None


def _order(facts: Facts) -> Stage | None:
    subject = facts.subject
    if not subject.waits_why:
        return None
    until = (("until", subject.waits_until),) if subject.waits_until is not None else ()
    return Stage("order", NOTE if subject.in_memory else NO, f"withheld by order: {subject.waits_why}", until)


def _operator(facts: Facts) -> Stage | None:
    listed, differs = facts.listed, facts.subject.wanted != facts.subject.in_memory
    mark = NO if differs else NOTE
    if listed.pinned:
        return Stage("operator", mark, f"pinned to release {listed.pinned}: newer ones wait for `consul-kam approve`")
    if listed.paused:
        return Stage("operator", mark, "paused: nothing is written until `consul-kam resume`")
    if listed.observe:
        return Stage("operator", mark, 'mode = "observe": nothing is ever written')
    return None


def _draining(facts: Facts) -> Stage | None:
    subject = facts.subject
    if not subject.disabled:
        return None
    if subject.use == "draining":
        return Stage("draining", NO, "kept, disabled: it drains until it deregisters")
    return Stage("draining", NO, "kept, disabled by the set's policy")


def _live(facts: Facts) -> Stage | None:
    subject, path = facts.subject, facts.listed.live
    if subject.live is None:
        return Stage("live file", UNKNOWN, f"{path} cannot be read")
    if subject.live:
        return Stage("live file", OK, path)
    mark = NO if subject.wanted else NOTE
    return Stage("live file", mark, f"not in {path}" + (f": {_trouble(facts)}" if _trouble(facts) else ""))


def _trouble(facts: Facts) -> str:
    listed = facts.listed
    return f"{listed.phase}, {listed.verdict} {listed.reason}".strip() if listed.reason else ""


def _memory(facts: Facts) -> Stage | None:
    subject, listed = facts.subject, facts.listed
    times = (("read", listed.read_at),) if listed.read_at is not None else ()
    if not listed.memory_known:
        return Stage("memory", UNKNOWN, "Kamailio has not been read, or is away" + _behind(_trouble(facts)), times)
    if not subject.in_memory:
        trouble = _trouble(facts) if subject.wanted else ""
        return Stage("memory", NO, "not in Kamailio's memory" + _behind(trouble), times)
    state = f", state {subject.state}" if subject.state else ""
    if subject.callable:
        return Stage("memory", OK, f"in memory{state}: it gets calls", times)
    whom = "by us" if subject.ours else "by hand" if subject.state.startswith("D") else ""
    text = f": disabled {whom}" if whom else ": found dead, or not answering"
    return Stage("memory", NO, f"in memory{state}{text}; it gets no calls", times)


def _behind(text: str) -> str:
    return f": {text}" if text else ""


STAGES: tuple[Callable[[Facts], Stage | None], ...] = (
    _registered, _health, _set, _engine, _staged, _checked, _guards, _refused, _order, _operator, _draining, _live,
    _memory,
)  # fmt: skip
