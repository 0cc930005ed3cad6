"""Draining: its table, its rules one by one, and a search over what may happen while a node leaves."""

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from consul_kam.core.drain import (
    END,
    GOES,
    GONE,
    OPERATOR,
    TABLE,
    Asked,
    Counts,
    Drain,
    Event,
    Looked,
    Phase,
    Policy,
    Undone,
    dump,
    load,
    step,
)
from consul_kam.errors import InvalidTransition

POLICY = Policy(quiet_for=35, announce_max=60)
ASKED = Asked("new kernel", OPERATOR, 300)


def looked(drain: Drain, calls: int | None = 5, accepted: int | None = 7, busy: int = 0, **more: object) -> Looked:
    """A look that began in the phase in which it is now."""
    epoch = str(more.pop("epoch", "monday"))
    given = {"announced": True, "counts": Counts(calls, accepted, busy, epoch), **more}
    return Looked(drain.phase, **given)  # type: ignore[arg-type]


def silent(drain: Drain, **more: object) -> Looked:
    return looked(drain, counts=None, trouble="cannot reach Kamailio", **more)


def play(drain: Drain, *steps: tuple[float, Event]) -> Drain:
    for now, event in steps:
        drain = step(drain, event, now, POLICY)
    return drain


def announcing(asked: Asked = ASKED) -> Drain:
    drain = play(Drain(), (0, asked))
    return play(drain, (1, looked(drain)))


def refusing(asked: Asked = ASKED) -> Drain:
    drain = announcing(asked)
    return play(drain, (36, looked(drain)))


def settling() -> Drain:
    drain = refusing()
    return play(drain, (40, looked(drain, calls=0, busy=1)))


def drained() -> Drain:
    drain = settling()
    return play(drain, (41, looked(drain, calls=0)))


MADE = {
    Phase.NONE: Drain(),
    Phase.ANNOUNCING: announcing(),
    Phase.REFUSING: refusing(),
    Phase.SETTLING: settling(),
    Phase.DRAINED: drained(),
}


def test_each_phase_is_reached_and_takes_each_event() -> None:
    assert all(drain.phase is phase for phase, drain in MADE.items())
    assert all(set(row) == set(get_args(Event)) for row in TABLE.values())
    assert set(TABLE) == set(Phase)
    assert {handler.__name__ for row in TABLE.values() for handler in row.values()} == set(GOES)


def test_a_handler_is_held_to_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOES, "undo", ())
    with pytest.raises(InvalidTransition, match="cannot go from ANNOUNCING to NONE by undo"):
        step(announcing(), Undone(), 2, POLICY)


def test_what_each_phase_wants_done() -> None:
    assert [phase for phase, drain in MADE.items() if not drain.announces] == [Phase.NONE]
    assert [phase for phase, drain in MADE.items() if drain.refuses] == [Phase.REFUSING, Phase.SETTLING, Phase.DRAINED]


# ---- announcing


def test_quiet_is_counted_from_the_announcement_and_from_each_new_call() -> None:
    drain = play(Drain(), (0, ASKED))
    for now in range(1, 20):
        drain = play(drain, (now, looked(drain, announced=False)))
    drain = play(drain, (20, looked(drain)), (54, looked(drain)))
    assert drain.phase is Phase.ANNOUNCING
    drain = play(drain, (54.5, looked(drain, accepted=8)), (55, looked(drain, accepted=8)))
    assert drain.phase is Phase.ANNOUNCING, "somebody called"
    drain = play(drain, (60, looked(drain, accepted=9)))
    assert drain.phase is Phase.REFUSING, "announce_max"


def test_it_is_quiet_after_quiet_for() -> None:
    drain = announcing()
    assert play(drain, (35.9, looked(drain))).phase is Phase.ANNOUNCING
    assert play(drain, (36, looked(drain))).phase is Phase.REFUSING


@pytest.mark.parametrize("unseen", [{"accepted": None}, {"announced": False}, {"counts": None}])
def test_who_cannot_see_that_it_is_quiet_waits_for_announce_max(unseen: dict[str, None]) -> None:
    drain = play(Drain(), (0, ASKED))
    for now in range(1, 60):
        drain = play(drain, (now, looked(drain, **unseen)))  # type: ignore[arg-type]
        assert drain.phase is Phase.ANNOUNCING
    assert play(drain, (60, looked(drain, **unseen))).phase is Phase.REFUSING  # type: ignore[arg-type]


def test_where_nobody_can_be_told_it_refuses_at_once() -> None:
    assert play(Drain(), (0, replace(ASKED, announces=False))).phase is Phase.REFUSING


# ---- refusing and settling


def test_no_call_and_no_transaction_is_drained() -> None:
    drain = refusing()
    drain = play(drain, (37, looked(drain, calls=1)))
    assert drain.phase is Phase.REFUSING
    drain = play(drain, (38, looked(drain, calls=0, busy=2)))
    assert drain.phase is Phase.SETTLING
    drain = play(drain, (39, looked(drain, calls=0, busy=2)), (40, looked(drain, calls=0)))
    assert (drain.phase, drain.how, drain.clean) == (Phase.DRAINED, "no call is left", True)


def test_a_look_that_began_before_we_refused_proves_nothing() -> None:
    early = looked(announcing(), calls=0)
    assert play(refusing(), (37, early)).phase is Phase.REFUSING
    assert play(settling(), (41, early)).phase is Phase.SETTLING


def test_a_call_that_slipped_in_is_waited_for() -> None:
    drain = settling()
    assert play(drain, (41, looked(drain, calls=1))).phase is Phase.REFUSING


def test_a_transaction_that_never_ends_is_not_waited_for_for_ever() -> None:
    drain = settling()
    assert play(drain, (74.9, looked(drain, calls=0, busy=1))).phase is Phase.SETTLING
    drain = play(drain, (75, looked(drain, calls=0, busy=1)))
    assert (drain.phase, drain.clean) == (Phase.DRAINED, True)
    assert drain.how == "no call is left; 1 transactions did not end within 35 s"


def test_who_does_not_answer_is_not_without_calls() -> None:
    assert play(refusing(), (37, silent(refusing()))).phase is Phase.REFUSING
    assert play(settling(), (41, silent(settling()))).phase is Phase.SETTLING


# ---- what cannot be counted


def test_without_the_dialog_module_there_is_the_deadline() -> None:
    drain = play(Drain(), (0, ASKED))
    for now in range(1, 300):
        drain = play(drain, (now, looked(drain, calls=None, accepted=None)))
        assert drain.phase in (Phase.ANNOUNCING, Phase.REFUSING)
    drain = play(drain, (300, looked(drain, calls=None, accepted=None)))
    assert (drain.phase, drain.clean) == (Phase.DRAINED, False)
    assert drain.how == "the deadline has passed: nobody knows how many calls are left"
    assert "no dialog module" in drain.blind


@pytest.mark.parametrize("make", [refusing, settling])
def test_a_restart_forgets_calls_that_go_on(make: object) -> None:
    drain = MADE[Phase.REFUSING] if make is refusing else MADE[Phase.SETTLING]
    for now in (41, 42, 43):
        drain = play(drain, (now, looked(drain, calls=0, epoch="tuesday")))
        assert drain.phase is Phase.REFUSING
    assert "started anew" in drain.blind
    assert play(drain, (300, looked(drain, calls=0, epoch="tuesday"))).phase is Phase.DRAINED


@pytest.mark.parametrize("phase", [Phase.ANNOUNCING, Phase.REFUSING, Phase.SETTLING])
def test_the_deadline_ends_each_phase(phase: Phase) -> None:
    drain = play(MADE[phase], (300, looked(MADE[phase], calls=3)))
    assert (drain.phase, drain.how) == (Phase.DRAINED, "the deadline has passed: 3 calls are left")
    assert not drain.clean


@pytest.mark.parametrize("phase", [Phase.ANNOUNCING, Phase.REFUSING, Phase.SETTLING])
def test_who_is_gone_for_a_while_is_not_waited_for(phase: Phase) -> None:
    drain = play(MADE[phase], (41, silent(MADE[phase], gone=True)))
    assert drain.phase is phase
    back = play(drain, (42, looked(drain)))
    assert back.gone_since is None
    drain = play(drain, (41 + GONE, silent(drain, gone=True)))
    assert (drain.phase, drain.clean) == (Phase.DRAINED, True)


# ---- words


def test_asked_again_the_deadline_is_new_and_the_phase_stays() -> None:
    for phase in (Phase.ANNOUNCING, Phase.REFUSING, Phase.SETTLING, Phase.DRAINED):
        after = play(MADE[phase], (100, Asked("longer", OPERATOR, 500)))
        assert (after.phase, after.deadline, after.reason) == (phase, 600, "longer")


def test_the_end_of_run_asks_for_no_more_time_and_undoes_no_operators_word() -> None:
    after = play(refusing(), (100, Asked("SIGTERM", END, 300)))
    assert (after.deadline, after.reason, after.by) == (300, "new kernel", OPERATOR)
    after = play(refusing(replace(ASKED, by=END)), (100, ASKED))
    assert (after.by, after.deadline) == (OPERATOR, 400)
    assert play(drained(), (50, Asked("SIGTERM", END, 300))).phase is Phase.DRAINED


def test_more_time_for_calls_that_were_left() -> None:
    drain = play(refusing(), (300, looked(refusing(), calls=3)))
    after = play(drain, (310, Asked("again", OPERATOR, 100)))
    assert (after.phase, after.how, after.deadline) == (Phase.ANNOUNCING, "", 410)
    assert play(drain, (310, Asked("SIGTERM", END, 100))).phase is Phase.DRAINED


@pytest.mark.parametrize("phase", Phase)
def test_undone_is_as_if_it_had_never_been(phase: Phase) -> None:
    assert play(MADE[phase], (50, Undone())) == Drain()


def test_what_is_idle_or_drained_only_looks_on() -> None:
    assert play(Drain(), (1, looked(Drain()))) == Drain()
    after = play(drained(), (90, looked(drained(), calls=2)), (91, silent(drained())))
    assert (after.phase, after.counts) == (Phase.DRAINED, Counts(2, 7, 0, "monday"))
    assert after.trouble == "cannot reach Kamailio"


# ---- what outlives a supervisor


@pytest.mark.parametrize("phase", Phase)
def test_it_survives_on_disk(phase: Phase) -> None:
    drain = MADE[phase]
    told = dump(drain, 1_000_000)
    again = load(told, 1_000_000 - 500)  # another boot: its clock began anew
    assert (again.phase, again.counts, again.reason, again.by) == (phase, drain.counts, drain.reason, drain.by)
    assert again.deadline == drain.deadline + 500
    assert load(told, 1_000_000) == drain


@pytest.mark.parametrize("raw", [None, {}, [], {"phase": "LOST"}, {**dump(Drain(), 0), "since": "x"}])
def test_what_is_damaged_raises(raw: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        load(raw, 0)


# ---- a search


def test_whatever_happens_it_ends_by_the_deadline_and_never_with_a_call_that_it_saw() -> None:
    """Every row of five looks out of these: DRAINED early only where the last look saw no call."""
    kinds = [
        {"calls": 1}, {"calls": 0}, {"calls": 0, "busy": 1}, {"counts": None}, {"announced": False}, {"accepted": 8},
        {"calls": 0, "epoch": "tuesday"},
    ]  # fmt: skip
    for row in product(kinds, repeat=5):
        drain, now = play(Drain(), (0, ASKED)), 0.0
        for kind in row:
            now += 25
            before, event = drain, looked(drain, **kind)  # type: ignore[arg-type]
            drain = play(drain, (now, event))
            if drain.phase is Phase.DRAINED and before.phase is not Phase.DRAINED:
                assert event.counts is not None
                assert (event.counts.calls, drain.blind) == (0, "")
                assert before.refuses
        end = play(drain, (300, looked(drain)), (300, looked(drain)))
        assert end.phase is Phase.DRAINED
