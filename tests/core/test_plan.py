"""From what the staging files say to a release: twins, limits, names, refused records, guards, order."""

import hashlib
from dataclasses import replace

import pytest

from consul_kam.core.dataset import Dataset
from consul_kam.core.guards import Limits
from consul_kam.core.plan import Known, Plan, Policy, live_file, make_release, plan
from consul_kam.core.records import Answer, Host, Problem, Record, Release, Source, Use
from consul_kam.datasets import dataset

DISPATCHER, RTPENGINE = dataset("dispatcher"), dataset("rtpengine")
FREE = Limits(min_records=0, max_shrink=1.0, hold_for=0.0, min_callable=0)
"""Guards that hold nothing."""


def records(*lines: str) -> list[Record]:
    answer = DISPATCHER.parse_native("list", "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    assert answer.problems == ()
    return list(answer.records)


A, B, C, D = records(*(f"1 sip:{letter}.example 0 {9 - at}" for at, letter in enumerate("abcd")))
LOST = Host("lost.example")


def made(
    *wanted: Record,
    known: Known | None = None,
    policy: Policy | None = None,
    of: Dataset = DISPATCHER,
    now: float = 0.0,
) -> Plan:
    return plan(of, {"": Answer(wanted)}, known or Known(), policy or Policy(FREE), now)


def release(*args: Record, known: Known | None = None, policy: Policy | None = None) -> Release:
    found = made(*args, known=known, policy=policy).release
    assert found is not None
    return found


def said(found: Release) -> list[str]:
    return [str(problem) for problem in found.dropped]


def test_the_records_of_all_files_are_one_release_in_the_wanted_order() -> None:
    answers = {"": Answer((C, A)), "dc2": Answer((replace(B, part="dc2"), D))}
    found = plan(DISPATCHER, answers, Known(), Policy(), 0.0)
    assert found.release == make_release([A, B, C, D])
    assert (found.rejected, found.release.dropped, found.release.refused) == ("", (), ())


def test_what_is_out_is_not_in_the_release_and_what_drains_is_disabled() -> None:
    found = release(replace(A, use=Use.OUT), replace(B, use=Use.DRAINING), replace(C, use=Use.DISABLED), D)
    assert [record.key for record in found.records] == [B.key, C.key, D.key]
    assert found.disabled == {B.key, C.key}
    assert [record.use for record in found.records] == [Use.DRAINING, Use.DISABLED, Use.IN]


def test_where_disabled_is_a_value_the_record_gets_it() -> None:
    (node,) = RTPENGINE.parse_native("t", TABLE + b"0:1:udp\\:10.0.0.1\\:2223:5:0:0\n").records
    found = made(replace(node, use=Use.DRAINING), of=RTPENGINE).release
    assert found is not None
    assert [(record.seen, record.line) for record in found.records] == [((0,), "0:1:udp\\:10.0.0.1\\:2223:0:0:0")]


TABLE = b"id(int,auto) setid(int) url(string) weight(int) disabled(int) stamp(int)\n"


# ---- bad records


def bad(at: int) -> Problem:
    return Problem("list", at, 3, "it is odd", Source("s", "i"))


def test_bad_records_and_twins_are_named_in_the_order_of_the_steps() -> None:
    answer = Answer((A, replace(A, line="other")), (bad(7),), file="list", lines=(1, 2))
    found = plan(DISPATCHER, {"": answer}, Known(), Policy(FREE), 0.0).release
    assert found is not None
    assert said(found) == [
        "cannot use list:7:3: it is odd (s/i)",
        "cannot use list:2:1: 1 sip:a.example stands already in line 1, allowed: once",
    ]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer((A,), (bad(7), bad(8))), "cannot use list:7:3: it is odd (s/i)"),
        (Answer((A, A), file="list", lines=(1, 2)), "cannot use list:2:1: 1 sip:a.example stands already in line 1,"),
    ],
    ids=["a bad record", "a twin"],
)
def test_an_operator_can_have_them_reject_the_release(answer: Answer, why: str) -> None:
    found = plan(DISPATCHER, {"": answer}, Known(), Policy(reject_bad_records=True), 0.0)
    assert (found.release, found.decision) == (None, None)
    assert found.rejected.startswith(why)
    accepted = plan(DISPATCHER, {"": Answer((A,))}, Known(), Policy(reject_bad_records=True), 0.0)
    assert accepted.release is not None


def test_what_can_only_be_said_of_all_records_together_is_a_problem_too() -> None:
    odd = Problem("all", 1, 2, "does not fit")
    other = replace(DISPATCHER, settled=lambda records: (list(records)[:1], (odd,)))
    found = made(A, B, of=other).release
    assert found is not None
    assert (found.records, found.dropped) == ((A,), (odd,))


# ---- max_records


def test_up_to_max_records_all_are_in() -> None:
    found = release(A, B, replace(C, use=Use.OUT), policy=Policy(FREE, max_records=2))
    assert (found.records, found.dropped) == ((A, B), ())


def test_beyond_max_records_known_ones_stay_and_new_ones_are_left_out_and_named() -> None:
    known = Known(last=make_release([C, D]))
    late = replace(B, source=Source("router", "b"))
    found = release(A, late, C, D, known=known, policy=Policy(FREE, max_records=3))
    assert found.records == (A, C, D)
    (problem,) = found.dropped
    reason = "there are 4 records, max_records is 3: new ones are left out"
    assert problem == Problem("1 sip:b.example", 0, 0, reason, late.source, "1", B.key)
    assert str(problem) == f"cannot use 1 sip:b.example:0:0: {reason} (router/b)"


def test_without_a_last_release_the_first_in_order_are_in() -> None:
    assert release(D, C, B, A, policy=Policy(FREE, max_records=2)).records == (A, B)


def test_what_is_out_is_no_surplus() -> None:
    found = release(replace(D, use=Use.OUT), A, B, policy=Policy(FREE, max_records=1))
    assert (found.records, [problem.key for problem in found.dropped]) == ((A,), [B.key])


def test_no_more_than_ten_thousand_unless_said_otherwise() -> None:
    many = [replace(A, key=(1, f"sip:{at}"), sort=(at,)) for at in range(10_001)]
    found = plan(DISPATCHER, {"": Answer(tuple(many))}, Known(), Policy(), 0.0).release
    assert found is not None
    assert (len(found.records), len(found.dropped)) == (10_000, 1)


# ---- names that do not resolve, records that Kamailio does not load

(NAME,) = records("1 sip:name.example 0 3")


def test_the_record_of_a_name_that_does_not_resolve_is_left_out_and_named_and_not_held() -> None:
    known = Known(last=make_release([A, NAME]), lost=frozenset({Host("name.example")}))
    literal = records("1 sip:10.0.0.1 0 2")[0]
    found = release(replace(NAME, source=Source("s", "n")), A, literal, known=known, policy=Policy())
    assert found.records == (A, literal)
    assert said(found) == [
        "cannot use 1 sip:name.example:0:0: the name name.example does not resolve; tried again (s/n)"
    ]
    assert found.dropped[0].group == "1"
    assert found.held == {}


def test_a_refused_record_is_left_out_and_not_held_until_it_is_another() -> None:
    known = Known(last=make_release([A, B]), refused={B.key: B})
    found = release(A, B, known=known, policy=Policy())
    assert (found.records, found.refused, found.held, found.dropped) == ((A,), (B.key,), {}, ())
    changed = replace(B, line="1 sip:b.example 0 7")
    again = release(A, changed, known=known, policy=Policy())
    assert (again.records, again.refused) == ((A, changed), ())


def test_what_is_neither_refused_nor_lost_can_be_held_all_the_same() -> None:
    for known in (
        Known(last=make_release([A, B, C]), refused={B.key: B}),
        Known(last=make_release([A, replace(B, host=LOST), C]), lost=frozenset({LOST})),
    ):
        assert [r.key for r in release(known=known, policy=Policy()).records] == [A.key, C.key]


# ---- guards


def test_held_records_are_in_the_release_with_the_reason() -> None:
    known = Known(last=make_release([A, B]))
    found = made(known=known, policy=Policy(), now=100.0)
    assert found.release is not None
    assert found.decision is not None
    assert found.release.records == (A, B)
    assert set(found.release.held) == {A.key, B.key}
    assert set(found.release.held.values()) == {"only 0 left, at least 1 wanted"}
    assert found.decision.newly_held == (A.key, B.key)


def test_a_held_record_stands_as_it_was_whatever_it_is_now() -> None:
    known = Known(last=make_release([A]))
    policy = Policy(Limits(min_callable=0))
    (found,) = release(replace(A, use=Use.DISABLED, line="another"), known=known, policy=policy).records
    assert (found.use, found.line) == (Use.IN, A.line)


def test_the_time_and_an_operators_word_reach_the_guards() -> None:
    known = Known(last=make_release([A, B, C]))
    first = plan(DISPATCHER, {"": Answer((A,))}, known, Policy(), 100.0)
    assert first.decision is not None
    assert first.decision.wake == 160.0
    approved = plan(DISPATCHER, {"": Answer((A,))}, known, Policy(), 100.0, approved=True)
    assert approved.release is not None
    assert approved.release.records == (A,)
    later = plan(DISPATCHER, {"": Answer((A,))}, replace(known, past=first.decision.past), Policy(), 160.0)
    assert later.release is not None
    assert later.release.records == (A,)


def test_the_last_one_that_can_take_calls_is_spared_and_named() -> None:
    draining = replace(A, use=Use.DRAINING)
    found = release(draining, policy=Policy())
    assert (found.records, found.disabled) == ((A,), frozenset())
    assert found.named == {A.key: "it is among the last 1 of set 1 that can take calls"}


# ---- digest and live file


def test_the_digest_covers_lines_and_what_is_disabled_and_nothing_else() -> None:
    same = [
        make_release([A, B]),
        make_release([replace(B, source=Source("x")), A], held={A.key: "w"}, dropped=(bad(1),)),
    ]
    others = [
        make_release([A]),
        make_release([]),
        make_release([A, replace(B, line="1 sip:b.example 0 99")]),
        make_release([A, replace(B, use=Use.DISABLED)]),
        make_release([replace(A, use=Use.DISABLED), B]),
        make_release([replace(A, use=Use.DISABLED), replace(B, use=Use.DISABLED)]),
    ]
    assert len({release.digest for release in same}) == 1
    assert len({release.digest for release in others} | {same[0].digest}) == 7
    assert make_release([A, replace(B, use=Use.DRAINING)]).digest == others[3].digest


def test_a_known_digest() -> None:
    """Releases on disk are compared by it: it may not change between versions."""
    assert make_release([A, replace(B, use=Use.DRAINING)]).digest == KNOWN_DIGEST
    two = make_release([replace(A, use=Use.DISABLED), replace(B, use=Use.DRAINING)])
    assert (
        two.digest
        == hashlib.sha256(
            b"1 sip:a.example 0 9\n1 sip:b.example 0 8\0(1, 'sip:a.example')\n(1, 'sip:b.example')"
        ).hexdigest()
    )
    assert len(make_release(records("1 sip:10.0.0.1 0 0 x=\udcff")).digest) == 64


KNOWN_DIGEST = "dff81c7921bc86d7b8f13d1766aa6d223f116a0fd949c1e0fb365946c9d5bc2e"


def test_the_live_file_is_canonical_without_states_and_marks() -> None:
    assert live_file(DISPATCHER, make_release([B, A]), {}, frozenset()) == b"1 sip:a.example 0 9\n1 sip:b.example 0 8\n"
    same = records("1 sip:x.example 0 1", "1 sip:y.example 0 1")
    turned = live_file(DISPATCHER, make_release(same), {}, frozenset())
    assert turned == b"1 sip:y.example 0 1\n1 sip:x.example 0 1\n"


def test_in_the_live_file_states_ride_and_our_disabling_is_marked() -> None:
    found = make_release([A, replace(B, use=Use.DRAINING), C])
    assert live_file(DISPATCHER, found, {A.key: "IP"}, frozenset({B.key})).decode().splitlines() == [
        "1 sip:a.example 9 9",
        "1 sip:b.example 4 8 # draining (consul-kam)",
        "1 sip:c.example 0 7",
    ]
    tells = replace(DISPATCHER, line=lambda record, state, disabled, ours: repr((state, disabled, ours)))
    told = live_file(tells, make_release([A, B]), {A.key: "IP"}, frozenset({B.key})).decode().splitlines()
    assert told == ["('IP', False, False)", "('', False, True)"]
    only = make_release([A])
    assert live_file(DISPATCHER, only, {A.key: "IX"}, frozenset()) == b"1 sip:a.example 1 9\n"
    ours = live_file(DISPATCHER, only, {}, frozenset({A.key}))
    assert ours == b"1 sip:a.example 0 9 # draining (consul-kam)\n"
    assert (
        live_file(DISPATCHER, make_release([replace(A, use=Use.DISABLED)]), {}, frozenset()) == b"1 sip:a.example 4 9\n"
    )


def test_of_twins_the_one_that_is_there_stays() -> None:
    there, newcomer = (replace(A, line=A.line, source=Source("s", id, "n")) for id in ("z", "a"))
    assert release(newcomer, there).records[0].source.id == "a"
    assert release(newcomer, there, known=Known(last=make_release([there]))).records[0].source.id == "z"
