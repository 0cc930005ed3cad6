"""Order between lists, case by case; test_order_search.py tries every order of events."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from consul_kam.core import order
from consul_kam.core.dataset import Dataset
from consul_kam.core.order import Gated, Ties, View, gate
from consul_kam.core.plan import make_release
from consul_kam.core.records import Key, Problem, Record, Release, Seen, Source, Use
from consul_kam.core.state import State
from consul_kam.datasets import dataset

PATIENCE = 10.0
TRUST = replace(dataset("domain"), name="trust", host=lambda key: str(key[0]))
MIDDLE = replace(TRUST, name="middle")
ROUTE = replace(dataset("dispatcher"), name="route", host=lambda key: str(key[0]))
ASKED = {("router", "")}


def record(host: str, id: str = "", group: str = "1", **more: Any) -> Record:
    source = Source("router", id, "n") if id else Source()
    return Record((host,), group, (), f"line of {host}", (host,), source=source, **more)


def release(*records: Record) -> Release:
    return make_release(records)


def view(
    of: Dataset, wanted: Release | None, memory: Release | None, known: Release | None = None, **more: Any
) -> View:
    """At rest with `memory` as its target, unless `state` says otherwise."""
    there = (
        None if memory is None else tuple(Seen(r.key, (), disabled=r.key in memory.disabled) for r in memory.records)
    )
    state = State(newest=memory, target=memory, memory=there, **more.pop("state", {}))
    records = {r.key: r for r in (*(memory.records if memory else ()), *(known.records if known else ()))}
    return View(of, state, wanted, records, **more)


def keys(gated: Gated) -> set[object]:
    return {r.key[0] for r in gated.release.records}


A1, A2, A9 = record("10.0.0.1", "r1"), record("10.0.0.2", "r2"), record("10.0.0.9", "r9")
NONE, ONE, BOTH = release(), release(A1), release(A1, A2)


def routing(wanted: Release, memory: Release, trust: View, now: float = 0.0, before: Gated | None = None) -> Gated:
    return gate(view(ROUTE, wanted, memory), [(trust, ASKED)], [], before, now, PATIENCE)


def trusting(wanted: Release, memory: Release, route: View, now: float = 0.0, before: Gated | None = None) -> Gated:
    return gate(view(TRUST, wanted, memory), [], [route], before, now, PATIENCE)


# ---- who waits


def test_nothing_is_changed_where_nothing_waits() -> None:
    assert routing(BOTH, ONE, view(TRUST, BOTH, BOTH)).release is BOTH
    assert trusting(ONE, BOTH, view(ROUTE, ONE, ONE)).release is ONE
    assert gate(view(ROUTE, BOTH, ONE), [], [], None, 0.0, PATIENCE) == Gated(BOTH)


def test_before_memory_was_read_nothing_is_decided() -> None:
    assert gate(view(ROUTE, BOTH, None), [(view(TRUST, NONE, NONE), ASKED)], [], None, 0.0, PATIENCE) == Gated(BOTH)


@pytest.mark.parametrize(
    ("trust", "waits"),
    [
        (view(TRUST, BOTH, ONE), True),  # on its way
        (view(TRUST, ONE, ONE), True),  # not rendered yet, but asked for
        (view(TRUST, None, None), True),  # nothing known of it yet
        (view(TRUST, BOTH, None), True),  # Kamailio was away
        (view(TRUST, BOTH, BOTH, state={}), False),
        (replace(view(TRUST, BOTH, BOTH), state=replace(view(TRUST, BOTH, BOTH).state, newest=ONE)), True),  # leaves
        (replace(view(TRUST, BOTH, BOTH), state=replace(view(TRUST, BOTH, BOTH).state, target=ONE)), True),
        (replace(view(TRUST, BOTH, BOTH), state=replace(view(TRUST, BOTH, BOTH).state, target=None)), False),
    ],
)
def test_one_that_is_new_waits_until_it_is_surely_trusted(trust: View, waits: bool) -> None:
    gated = routing(BOTH, ONE, trust)
    assert (keys(gated), set(gated.waits)) == (({"10.0.0.1"}, {A2.key}) if waits else ({"10.0.0.1", "10.0.0.2"}, set()))
    for wait in gated.waits.values():
        assert (wait.other, wait.adding, wait.until, wait.why) == ("trust", True, 10.0, "trust does not have it yet")


@pytest.mark.parametrize(
    ("new", "named", "waits"),
    [
        (record("10.0.0.9"), [], False),  # of no service
        (record("10.0.0.9"), [record("10.0.0.9")], True),
        (record("10.0.0.9"), [record("10.0.0.0/24")], True),
        (record("sip.example"), [record("SIP.example")], True),
        (record("sip.example"), [record("other.example")], False),
        (record("", "r9"), [], True),
        (record("10.0.0.9", "r9", part="dc2"), [], False),  # that data centre is not asked for it
        (record("10.0.0.9", "r9", part="dc2"), [record("10.0.0.10", "r9")], False),
        (record("10.0.0.9", "r9", part="dc2"), [record("name.example", "r9")], True),
        (record("10.0.0.9", "r9", use=Use.DRAINING), [record("10.0.0.9")], False),  # gets no calls
    ],
)
def test_only_what_has_a_counterpart_waits(new: Record, named: list[Record], waits: bool) -> None:
    gated = routing(release(A1, new), ONE, view(TRUST, release(A1, *named), ONE))
    assert bool(gated.waits) == waits


def test_one_that_is_disabled_and_comes_back_waits_disabled() -> None:
    out = replace(A2, use=Use.DRAINING)
    gated = routing(BOTH, release(A1, out), view(TRUST, BOTH, ONE))
    assert gated.release.disabled == {A2.key}
    assert set(gated.waits) == {A2.key}
    adopted = view(ROUTE, BOTH, release(A1, out))
    adopted = replace(adopted, known={})  # of which only memory tells
    assert keys(gate(adopted, [(view(TRUST, BOTH, ONE), ASKED)], [], None, 0.0, PATIENCE)) == {"10.0.0.1"}


@pytest.mark.parametrize(
    ("route", "stays"),
    [
        (view(ROUTE, BOTH, BOTH), True),  # not rendered yet
        (view(ROUTE, ONE, BOTH), True),  # on its way
        (
            replace(view(ROUTE, ONE, ONE), state=replace(view(ROUTE, ONE, ONE).state, target=BOTH)),
            True,
        ),  # being written
        (replace(view(ROUTE, ONE, ONE), state=replace(view(ROUTE, ONE, ONE).state, newest=BOTH)), True),
        (view(ROUTE, ONE, None, BOTH, state={"lkg": BOTH}), True),  # Kamailio may have loaded it
        (view(ROUTE, None, None), False),
        (view(ROUTE, ONE, ONE, state={"lkg": BOTH}), False),
        (view(ROUTE, ONE, release(A1, replace(A2, use=Use.DISABLED))), False),  # gets no calls
        (view(ROUTE, ONE, release(A1, record("10.0.0.7"))), False),
    ],
)
def test_one_that_leaves_stays_trusted_while_it_may_be_in_use(route: View, stays: bool) -> None:
    gated = trusting(ONE, BOTH, route)
    assert keys(gated) == ({"10.0.0.1", "10.0.0.2"} if stays else {"10.0.0.1"})
    assert [(w.why, w.since, w.until) for w in gated.waits.values()] == [("route may still use it", 0.0, 10.0)] * stays


def test_one_that_something_else_covers_may_leave() -> None:
    network = record("10.0.0.0/30")
    assert keys(trusting(release(A1, network), BOTH, view(ROUTE, BOTH, BOTH))) == {"10.0.0.1", "10.0.0.0/30"}
    moved = record("10.0.0.22", "r2")  # the same instance elsewhere covers nothing here
    assert keys(trusting(release(A1, moved), BOTH, view(ROUTE, BOTH, BOTH))) == {"10.0.0.1", "10.0.0.2", "10.0.0.22"}


def test_what_was_not_ours_is_not_kept() -> None:
    mine = replace(view(TRUST, ONE, BOTH), known={})
    assert gate(mine, [], [view(ROUTE, BOTH, BOTH)], None, 0.0, PATIENCE) == Gated(ONE)


# ---- for how long


def test_a_wait_is_over_after_the_patience_and_its_clock_runs_on() -> None:
    stuck = view(TRUST, BOTH, ONE)
    first = routing(BOTH, ONE, stuck, 100.0)
    later = routing(BOTH, ONE, stuck, 109.9, first)
    assert later.waits == first.waits
    over = routing(BOTH, ONE, stuck, 110.0, later)
    assert (over.release, over.waits, set(over.late)) == (BOTH, {}, {A2.key})
    assert set(routing(BOTH, ONE, stuck, 500.0, over).late) == {A2.key}
    assert routing(BOTH, BOTH, stuck, 501.0, over).late == {}
    assert routing(BOTH, ONE, stuck, 600.0, Gated(BOTH)).waits[A2.key].until == 610.0


def test_a_held_record_is_waited_for_and_a_while_longer() -> None:
    held = view(ROUTE, BOTH, BOTH, held={A2.key: 60.0})
    first = trusting(ONE, BOTH, held)
    assert first.waits[A2.key].until == 70.0
    assert trusting(ONE, BOTH, view(ROUTE, BOTH, BOTH), 70.0, first).late.keys() == {A2.key}


@pytest.mark.parametrize("held", [{A1.key: 60.0, A2.key: 20.0}, {A1.key: 20.0, A2.key: 60.0}])
def test_what_covers_several_held_records_waits_for_the_last_of_them(held: Mapping[Key, float]) -> None:
    network = record("10.0.0.0/24")
    assert trusting(NONE, release(network), view(ROUTE, BOTH, BOTH, held=held)).waits[network.key].until == 70.0


def test_a_record_that_waited_to_come_and_now_waits_to_go_has_a_new_clock() -> None:
    came = Gated(BOTH, {A2.key: order.Wait("trust", True, 0.0, 10.0)})
    assert trusting(ONE, BOTH, view(ROUTE, BOTH, BOTH), 9.0, came).waits[A2.key].since == 9.0


def test_of_three_lists_the_last_waits_for_both_and_the_first_is_rid_of_it_last() -> None:
    trust, middle = view(TRUST, BOTH, BOTH), view(MIDDLE, BOTH, ONE)
    route = view(ROUTE, BOTH, ONE)
    gated = gate(route, [(trust, ASKED), (middle, ASKED)], [], None, 0.0, PATIENCE)
    assert gated.waits[A2.key].other == "middle"
    both = gate(route, [(view(TRUST, BOTH, ONE), ASKED), (middle, ASKED)], [], None, 0.0, PATIENCE)
    assert both.waits[A2.key].other == "trust"
    held = view(ROUTE, BOTH, BOTH, held={A2.key: 60.0})
    old = Gated(ONE, {A2.key: order.Wait("middle", False, 0.0, 10.0)})
    first = gate(view(TRUST, ONE, BOTH), [], [view(MIDDLE, BOTH, BOTH), held], old, 20.0, PATIENCE)
    assert (keys(first), first.waits[A2.key].other, first.late) == ({"10.0.0.1", "10.0.0.2"}, "route", {})


# ---- sets whose newcomers wait


@pytest.mark.parametrize(
    ("before", "after", "gone", "shrink", "kept"),
    [
        ("1", "9", "", 0.5, "1"),  # the only one is replaced
        ("1", "9", "1", 0.5, "1"),  # even where Consul calls it unfit: there is no other
        ("12", "19", "", 0.5, "1"),
        ("123", "19", "", 0.5, "12"),
        ("123", "19", "2", 0.5, "13"),
        ("123", "19", "", 0.6, "12"),  # a part of a record is a whole one
        ("1234", "19", "", 0.5, "12"),  # one newcomer stands for one
        ("12", "89", "", 0.5, "1"),
        ("12", "89", "", 0.0, "12"),
        ("12", "89", "", 1.0, "1"),
        ("12", "1289", "", 0.5, "12"),
    ],
)
def test_a_set_does_not_shrink_below_what_guards_allow(
    before: str, after: str, gone: str, shrink: float, kept: str
) -> None:
    def of(numbers: str) -> Release:
        return release(*(record(f"10.0.0.{n}", f"r{n}") for n in numbers))

    gone_keys = {(f"10.0.0.{n}",) for n in gone}
    route = view(ROUTE, of(after), of(before), gone=lambda: gone_keys, max_shrink=shrink)
    gated = gate(route, [(view(TRUST, of(after), of(before)), ASKED)], [], None, 0.0, PATIENCE)
    assert keys(gated) == keys(Gated(of(kept)))


def test_other_sets_and_disabled_records_stand_in_for_nobody() -> None:
    other, off = record("10.0.0.3", "r3", group="2"), record("10.0.0.4", "r4", use=Use.DISABLED)
    route = view(ROUTE, release(A9), release(other, off))
    assert keys(gate(route, [(view(TRUST, NONE, NONE), ASKED)], [], None, 0.0, PATIENCE)) == set()
    others = [record(f"10.0.1.{n}", f"o{n}", group="2") for n in range(4)]
    route = view(ROUTE, release(A9, record("10.0.0.8", "r8"), *others), release(A1, A2, *others))
    trust = view(TRUST, release(*others), release(*others))
    assert keys(gate(route, [(trust, ASKED)], [], None, 0.0, PATIENCE)) == {"10.0.0.1", *(r.key[0] for r in others)}


def test_the_same_answer_is_the_same_release_and_what_it_leaves_out_rides_along() -> None:
    trust = view(TRUST, BOTH, ONE)
    assert routing(BOTH, ONE, trust).release is ONE
    bad = (Problem("list", 3, 1, "why not"),)
    held = replace(BOTH, held={A1.key: "why"}, refused=(A9.key,), dropped=bad, named={A1.key: "spared"})
    gated = routing(held, ONE, trust).release
    assert (gated.digest, gated.held, gated.refused) == (ONE.digest, {A1.key: "why"}, (A9.key,))
    assert (gated.dropped, gated.named) == (bad, {A1.key: "spared"})
    fresh = view(ROUTE, BOTH, ONE)
    fresh = replace(fresh, state=replace(fresh.state, newest=None, target=None))
    assert gate(fresh, [(trust, ASKED)], [], None, 0.0, PATIENCE).release == ONE


def test_shares_are_settled_anew_among_those_that_go() -> None:
    asked: list[int] = []
    route = replace(ROUTE, settled=lambda records: (asked.append(len(records)) or records, ()))
    gate(view(route, BOTH, ONE), [(view(TRUST, BOTH, ONE), ASKED)], [], None, 0.0, PATIENCE)
    assert asked == [1]


# ---- ties


@pytest.mark.parametrize(
    ("mine", "its", "tied"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.1/32", True),
        ("10.0.0.1", "10.0.0.0/31", True),
        ("10.0.0.0/24", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.7/24", True),  # host bits
        ("10.0.0.0/24", "10.0.0.128/25", True),
        ("10.0.0.0/24", "10.0.1.0/24", False),
        ("10.0.0.1", "10.0.1.0/24", False),
        ("[2001:DB8::1]", "2001:db8:0::1", True),
        ("2001:db8::/32", "[2001:db8::1]", True),
        ("10.0.0.0/8", "2001:db8::1", False),
        ("10.0.0.0/8", "2001:db8::/32", False),
        ("A.example", "a.EXAMPLE", True),
        ("a.example", "10.0.0.0/8", False),
        ("10.0.0.0/8", "a.example", False),
        ("a/b", "A/B", True),  # neither address nor network: a name
        ("", "", False),
    ],
)
def test_hosts_are_tied(mine: str, its: str, tied: bool) -> None:
    one, other = release(record(mine)), release(record(its))
    for left, right in ((one, other), (other, one)):
        ties = Ties(view(ROUTE, left, left), [left.records[0].key])
        assert bool(ties.of(view(TRUST, right, right), right.records[0].key)) == tied


@pytest.mark.parametrize(
    ("mine", "its", "tied"),
    [
        (record("a.example", "r1"), record("10.0.0.1", "r1"), True),
        (record("10.0.0.1", "r1"), record("", "r1"), True),
        (record("10.0.0.1", "r1"), record("10.0.0.2", "r1"), False),
        (record("a.example", "r1"), record("10.0.0.1", "r2"), False),
        (record("a.example", "r1"), replace(record("b.example"), source=Source("router", "r1", "elsewhere")), False),
        (*(replace(record(f"{name}.example"), source=Source("router")) for name in "ab"), False),  # of no instance
    ],
)
def test_instances_are_tied_unless_their_addresses_speak(mine: Record, its: Record, tied: bool) -> None:
    ties = Ties(view(ROUTE, release(mine), NONE), [mine.key])
    assert ties.found(view(TRUST, None, release(its)), [its.key]) == ({mine.key} if tied else set())


def test_nothing_is_looked_for_where_there_is_nothing() -> None:
    class Never(Mapping[Key, Record]):
        def __getitem__(self, key: Key) -> Record:
            raise AssertionError("nobody asked for this")

        __iter__ = __len__ = __getitem__  # type: ignore[assignment]

    assert Ties(view(ROUTE, NONE, NONE), []).found(view(TRUST, NONE, NONE), Never()) == set()


@pytest.mark.parametrize(
    ("name", "key", "host"),
    [
        ("dispatcher", (1, "sip:10.0.0.1:5060;transport=tcp"), "10.0.0.1"),
        ("dispatcher", (1, "sips:[2001:db8::1]"), "[2001:db8::1]"),
        ("dispatcher", (1, "sip:user@a.example"), "a.example"),
        ("dispatcher", (1, "nonsense"), ""),
        ("domain", ("a.example",), "a.example"),
        ("address", (1, "10.0.0.1", 32, 0), "10.0.0.1/32"),
        ("address", (1, "2001:db8::", 64, 5060), "2001:db8::/64"),
        ("address", (1, "a.example", 0, 0), "a.example"),
        ("rtpengine", (0, "udp:10.0.0.1:2223"), "10.0.0.1"),
        ("rtpengine", (0, "udp6:[2001:db8::1]:2223"), "[2001:db8::1]"),
        ("rtpengine", (0, "ws://a.example:80/x"), "a.example"),
        ("rtpengine", (0, "unix:/run/x"), ""),
        ("rtpengine", (0, "UNIX:run.example"), ""),
        ("rtpengine", (0, "udp:[::1"), ""),
        ("rtpengine", (0, "udp:"), ""),
    ],
)
def test_the_host_of_a_key(name: str, key: Key, host: str) -> None:
    assert dataset(name).host(key) == host
