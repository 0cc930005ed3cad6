"""Exhaustive: whatever five things befall agent and node, in any order, the right registration stands in the end."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from consul_kam.core.registered import CRITICAL, PASSING, Check, Record, Service
from consul_kam.core.registration import State
from tests.core.registration_world import (
    ASKED,
    HTTP,
    MAINTENANCE,
    SERVICE,
    TTL,
    Node,
    Paper,
    maintenance,
    right,
)

FAULTS = 5
LOOKS = 24
THEIRS = "theirs"
OLD = Service("old1", "sbc", SERVICE.tags, "10.0.0.1", 5060, SERVICE.meta, 7)


def faults(node: Node) -> Iterator[tuple[str, Node]]:
    agent = node.agent
    yield "ready or not", node.on(ready=not node.ready)
    yield "crash", node.on(state=State())
    for cut in range(len(node.plan().actions)):
        yield f"crash after {cut} actions", node.look(cut)
    yield "agent emptied", node.on(agent=replace(agent, services=(), checks=()))
    yield "catalog emptied", node.on(agent=replace(agent, in_catalog=False))
    there = agent.get("host1")
    if there is None:
        return
    for name, change in {"tags": {"tags": ("x",)}, "rival": {"address": "10.9.9.9"}}.items():
        yield f"changed: {name}", node.by_hand(**change)
    for owner, check in agent.checks:
        if check.id == HTTP:
            yield "agent restarted", node.on(agent=agent.with_check(owner, replace(check, status=CRITICAL, output="")))
            asked = replace(check, status=PASSING, output=ASKED)
            yield "asked", node.on(agent=agent.with_check(owner, asked))
            yield "another check", node.on(agent=agent.with_check(owner, Check(HTTP, PASSING, "ttl", "by hand")))
        if check.id == TTL:
            yield "ttl expired", node.on(agent=agent.with_check(owner, replace(check, status=CRITICAL)))
            yield "check gone", node.on(agent=agent.without_check(TTL))
    for notes in (THEIRS, "consul_kam: drain"):
        yield f"maintenance: {notes}", node.on(agent=agent.with_check("host1", maintenance(notes)))


def rests(node: Node) -> Node:
    """What it comes to when nothing more happens: ready, and time goes by."""
    node = node.on(ready=True)
    for _ in range(LOOKS):
        ahead = node.look()
        ahead = ahead.on(now=max(node.now + 2.0, ahead.state.hold_until))
        if right(ahead) == "" and ahead.agent == node.agent:
            return ahead
        if ahead.agent.get("host1") == SERVICE:  # Consul asks, and finds it well
            for owner, check in ahead.agent.checks:
                if check.id == HTTP and check.status == CRITICAL:
                    well = replace(check, status=PASSING, output=ASKED)
                    ahead = ahead.on(agent=ahead.agent.with_check(owner, well))
        node = ahead
    raise AssertionError(right(node) or "no end")


def search(starts: list[Node], budget: int) -> int:
    """Those with more faults to spare go first: what they reach, the others need not visit again."""
    seen, level = dict.fromkeys(starts, ""), starts
    for left in range(budget, -1, -1):
        queue, below = deque(level), list[Node]()
        while queue:
            node = queue.popleft()
            judge(node, seen[node])
            ahead = node.look()
            if ahead not in seen:
                seen[ahead] = f"{seen[node]} > look"
                queue.append(ahead)
            below.append(node)
        level = []
        for node in below if left else ():
            for name, other in faults(node):
                if other not in seen:
                    seen[other] = f"{seen[node]} > {name}"
                    level.append(other)
    return len(seen)


def judge(node: Node, trace: str) -> None:
    try:
        end = rests(node)
    except AssertionError as wrong:
        raise AssertionError(f"{wrong}: after{trace}\n{node}") from wrong
    kept = [check.notes for check in node.agent.checks_of("host1") if check.id == MAINTENANCE]
    if kept == [THEIRS]:
        notes = [check.notes for check in end.agent.checks_of("host1") if check.id == MAINTENANCE]
        assert notes == [THEIRS], f"their maintenance is gone: after{trace}"


def test_any_five_faults_in_any_order_and_the_right_registration_in_the_end() -> None:
    known = Record("lab", "old1", "sbc", "10.0.0.1", 5060)
    stale = replace(SERVICE, address="10.0.0.8")
    starts = [
        Node(ready=False),
        Node().look(),
        Node(Paper(services=(OLD,)), known),
        Node(Paper(services=(stale,)), Record("lab", "host1", "sbc", "10.0.0.8", 5060), ready=False),
    ]
    assert search(starts, FAULTS) > 10_000
