"""When to renew, when to ask for another, when it is over."""

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consul_kam.core.lease import (
    BRIEFEST,
    FIRST,
    HURRY,
    LONGEST,
    SOONEST,
    Held,
    Lease,
    Login,
    Retry,
    Standing,
    Verb,
    end_of,
    ended_by,
    extended,
    failed,
    given_up,
    lent,
    next_login,
    next_secret,
    standing,
)

times = st.floats(0, 1e9)
lives = st.floats(0.001, 1e8)
draws = st.floats(0, 1, exclude_max=True)
NEVER = (math.inf, Verb.REST)
LOGIN = Login("t", "l", lent(0, 900, True, "l", 0))


def held(lease: Lease, login: str = "l", want: str = "w") -> Held:
    return Held(1, want, login, "d", lease)


@given(times, lives, draws)
def test_a_lease_is_due_in_the_last_quarter_to_half_but_never_after_two_thirds(
    taken: float, life: float, draw: float
) -> None:
    lease = lent(taken, life, True, "id", draw)
    gone = (lease.due - taken) / life
    slack = 1e-6 + 2e-7 * taken / life
    if life > 2:
        assert 0.6 - slack <= gone <= 2 / 3 + slack
    else:  # what is gone before it can be used is not asked for without a pause
        assert lease.due >= taken + BRIEFEST
    assert lease.ends == taken + life


def test_chance_has_it_renewed_earlier_each_time() -> None:
    """A fleet that started together spreads, and stays so."""
    lease = lent(0, 150, True, "id", 0.5)
    assert lease.due == pytest.approx(95)
    assert [extended(lease, 60, 150, True, draw).due for draw in (0, 0.5)] == pytest.approx([160, 155])


def test_what_has_no_seconds_does_not_end() -> None:
    lease = lent(5, 0, False, "", 0.5)
    assert (lease.ends, lease.due) == (math.inf, math.inf)
    again = extended(lease, 9, 0, False, 0.1)
    assert (again.ends, again.over) == (math.inf, False)
    ending = extended(lease, 9, 1, False, 0.1)
    assert (ending.ends, ending.over) == (10, False)
    last = extended(lent(0, 60, True, "", 0), 50, 0, True, 0)
    assert (last.ends, last.over) == (50, True), "one that ended in the same second is not without end"


@given(times, lives, lives, draws)
def test_a_renewal_that_gives_less_than_half_is_the_last(taken: float, first: float, later: float, draw: float) -> None:
    lease = extended(lent(0, first, True, "id", 0), taken, later, True, draw)
    assert lease.over == (later < first / 2)
    assert lease.due == taken if lease.over else lease.due > taken - 1
    assert (lease.ends, lease.first, lease.id) == (taken + later, first, "id")


def test_a_renewal_that_gives_half_may_be_followed_by_another_if_vault_says_so() -> None:
    lease = lent(0, 60, True, "id", 0)
    assert extended(lease, 40, 30, True, 0) == Lease(40, 30, 60, True, "id")
    assert extended(lease, 40, 30, False, 0) == Lease(40, 30, 60, False, "id")


@given(lives, st.floats(0, 2))
def test_who_gives_up_renewing_asks_at_once_and_the_end_stays(life: float, gone: float) -> None:
    lease = lent(0, life, True, "id", 0)
    now = life * gone
    after = given_up(lease, now)
    assert after.due == now
    assert after.ends == pytest.approx(max(life, now))
    assert given_up(lent(0, 90, True, "id", 0), 60) == Lease(60, 30, 90, False, "id", over=True)
    assert given_up(Lease(0), 7) == Lease(7, over=True), "no end is no number, which JSON could not carry"


@given(lives, lives)
def test_what_hangs_on_something_ends_with_it(life: float, ends: float) -> None:
    assert ended_by(lent(0, life, True, "id", 0), ends).ends == pytest.approx(min(life, ends))
    assert ended_by(Lease(10), 3).ends == 10
    assert ended_by(Lease(0), math.inf) == Lease(0)


@given(st.integers(0, 200), times, draws)
def test_the_wait_after_a_failure_is_drawn_from_what_doubles(failures: int, now: float, draw: float) -> None:
    after = failed(Retry(failures), now, draw)
    assert after.failures == failures + 1
    assert now + SOONEST <= after.until <= now + max(SOONEST, min(LONGEST, FIRST * 2**failures))
    assert failed(Retry(failures), now, 0.0).until == now + SOONEST


def test_the_jitter_is_full() -> None:
    assert [failed(Retry(4), 0, draw).until for draw in (0.25, 0.5)] == [2, 4]
    assert failed(Retry(30), 0, 0.9).until == 0.9 * LONGEST


@given(st.integers(0, 200), lives, draws)
def test_a_wait_leaves_room_for_tries_before_the_end(failures: int, left: float, draw: float) -> None:
    after = failed(Retry(failures), 100, draw, 100 + left)
    assert after.until <= 100 + max(SOONEST, left * HURRY) + 1e-6


@given(
    st.floats(1, 1e6) | st.floats(2, 100),
    st.floats(0, 0.999),
    st.lists(draws | st.just(0.99), min_size=1, max_size=30),
    draws,
)
@example(life=5.0, back=0.9, chances=[0.9], draw=0.0)
def test_whenever_vault_comes_back_before_the_end_it_is_asked_before_the_end(
    life: float, back: float, chances: list[float], draw: float
) -> None:
    """From the moment that a lease is due nobody answers until `back` (a share of what is left then)."""
    lease = lent(0, life, True, "id", draw)
    now, retry, turn = lease.due, Retry(), 0
    back = now + (lease.ends - now) * back
    while now < back:
        retry = failed(retry, now, chances[turn % len(chances)], lease.ends)
        now, turn = retry.until, turn + 1
    assert now < lease.ends or lease.ends - back <= SOONEST


def test_what_is_over_already_hurries_nobody() -> None:
    assert failed(Retry(30), 100, 0.5, 100).until == 100 + LONGEST / 2


def test_the_login() -> None:
    assert next_login(None, Retry(), 5) == (-math.inf, Verb.LOG_IN)
    assert next_login(None, Retry(1, 7), 5) == (7, Verb.LOG_IN)
    assert next_login(LOGIN, Retry(), 5) == (600, Verb.PROLONG)
    assert next_login(LOGIN, Retry(1, 700), 5) == (700, Verb.PROLONG)
    assert next_login(LOGIN, Retry(), 900) == (1, Verb.LOG_IN)
    assert next_login(LOGIN, Retry(1, 901), 900) == (901, Verb.LOG_IN)
    last = replace(LOGIN, lease=lent(5, 0.001, True, "l", 0))
    assert next_login(last, Retry(), 5.002) == (6, Verb.LOG_IN), "a token in its last moments, that is taken again"
    fixed = replace(LOGIN, lease=lent(0, 900, False, "l", 0))
    assert next_login(fixed, Retry(), 5) == (600, Verb.LOG_IN)
    short = replace(LOGIN, lease=extended(LOGIN.lease, 600, 300, True, 0))
    assert next_login(short, Retry(), 601) == (600, Verb.LOG_IN)
    assert next_login(replace(LOGIN, lease=lent(0, 0, False, "l", 0)), Retry(), 5) == NEVER
    assert "t'" not in repr(LOGIN)


LEASED = held(lent(0, 90, True, "db/1", 0))


@pytest.mark.parametrize(
    ("have", "every", "login", "retry", "then"),
    [
        (None, None, None, Retry(), NEVER),
        (None, None, LOGIN, Retry(), (-math.inf, Verb.ASK)),
        (None, None, LOGIN, Retry(1, 8), (8, Verb.ASK)),
        (LEASED, None, LOGIN, Retry(), (60, Verb.RENEW)),
        (LEASED, None, LOGIN, Retry(2, 70), (70, Verb.RENEW)),
        (replace(LEASED, want="other"), None, LOGIN, Retry(), (-math.inf, Verb.ASK)),
        (replace(LEASED, login="before"), None, LOGIN, Retry(), (-math.inf, Verb.ASK)),
        (replace(LEASED, login="before", lease=Lease(0)), None, LOGIN, Retry(), NEVER),
        (held(lent(0, 90, False, "db/1", 0)), None, LOGIN, Retry(), (60, Verb.ASK)),
        (held(lent(0, 90, True, "", 0)), None, LOGIN, Retry(), (60, Verb.ASK)),
        (held(given_up(LEASED.lease, 61)), None, LOGIN, Retry(), (61, Verb.ASK)),
        (held(Lease(40)), 30.0, LOGIN, Retry(), (70, Verb.ASK)),
        (held(Lease(40)), 30.0, LOGIN, Retry(1, 75), (75, Verb.ASK)),
    ],
)
def test_a_secret(
    have: Held | None, every: float | None, login: Login | None, retry: Retry, then: tuple[float, Verb]
) -> None:
    assert next_secret(have, "w", every, login, retry) == then


def test_a_lease_ends_with_its_login_and_a_certificate_does_not() -> None:
    short = replace(LOGIN, lease=lent(0, 50, True, "l", 0))
    assert end_of(LEASED, short) == 50
    assert end_of(LEASED, LOGIN) == 90
    assert end_of(LEASED, None) == 90
    assert end_of(replace(LEASED, login="before"), short) == 90
    assert end_of(held(lent(0, 90, False, "", 0)), short) == 90


def test_how_it_stands() -> None:
    short = replace(LOGIN, lease=lent(0, 50, True, "l", 0))
    assert [standing(LEASED, short, Retry(), now) for now in (49, 50)] == [Standing.GOOD, Standing.EXPIRED]
    assert standing(None, LOGIN, Retry(1), 0) is Standing.WAITING
    assert standing(LEASED, LOGIN, Retry(), 89) is Standing.GOOD
    assert standing(LEASED, LOGIN, Retry(1), 89) is Standing.LATE
    assert standing(LEASED, LOGIN, Retry(), 90) is Standing.EXPIRED
