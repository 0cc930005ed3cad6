"""Host names whose servers are slow, or say no."""

import threading

from consul_kam.adapters.names import STALE, Lookups, unanswered
from consul_kam.core.records import Host
from tests.lab import wait_for


def test_a_name_that_does_not_exist_is_answered_and_one_whose_server_is_silent_is_not() -> None:
    """Anybody can register a name that does not exist: that must not slow each change down."""
    ending = threading.Event()
    answers = {"gone": lambda: False, "there": lambda: True, "silent": lambda: ending.wait(30)}
    try:
        assert unanswered(answers, 2.0, lambda name: answers[name]()) == ("silent",)
    finally:
        ending.set()


def test_names_that_wait_for_the_silent_ones_are_unanswered_too() -> None:
    ending = threading.Event()
    many = [f"n{number:02d}" for number in range(40)]
    try:
        assert unanswered(many, 0.1, lambda name: ending.wait(30)) == tuple(many)
    finally:
        ending.set()


def test_nothing_to_look_up() -> None:
    assert unanswered((), 1) == Lookups().failing((), 1) == ()


def test_nothing_connects_to_a_broadcast_address_nor_to_one_that_lacks_its_scope() -> None:
    """127.255.255.255: so it is without any route, too."""
    wrong = Host("127.255.255.255", 4), Host("[fe80::1]", 6)
    right = {Host(each, 4) for each in ("127.0.0.1", "0.0.0.0", "10.66.66.66")} | {Host("[2001:db8::1]", 6)}
    assert Lookups().failing({*wrong, *right}, 0.0) == wrong


def test_a_name_is_looked_up_in_the_family_that_is_asked_for() -> None:
    """As getaddrinfo(3) reads it, 2130706433 is a name for 127.0.0.1, and 2147483647 one for a broadcast address."""
    there, other, everywhere = Host("2130706433", 4), Host("2130706433", 6), Host("2147483647", 4)
    asked = {there, other, everywhere, Host("2130706433"), Host("2147483647"), Host("none.invalid"), Host("a." * 200)}
    assert Lookups().failing(asked, 10.0) == (other, everywhere, Host("a." * 200), Host("none.invalid"))


def test_an_answer_that_comes_late_is_that_of_the_next_question_and_one_is_asked_at_a_time() -> None:
    ending, asked, host = threading.Event(), list[Host](), Host("late.example", 4)

    def look(host: Host) -> bool:
        asked.append(host)
        return ending.wait(30)

    lookups = Lookups(look)
    for _ in range(3):
        assert lookups.failing([host], 0.05) == (host,)
        assert lookups.failing([host], 0.05, surely=True) == (), "nobody knows"
    assert asked == [host]
    ending.set()
    assert lookups.failing([host], 10.0) == ()
    assert asked == [host]
    assert lookups.failing([host], 10.0) == ()
    assert asked == [host, host], "it is looked up anew"


def test_an_answer_that_nobody_heard_in_time_is_none_later() -> None:
    ending, answers, host, now = threading.Event(), [False, True], Host("a.example"), [0.0]

    def look(host: Host) -> bool:
        ending.wait(30)
        return answers.pop(0)

    lookups = Lookups(look, lambda: now[0])
    assert lookups.failing([host], 0.05) == (host,)
    ending.set()
    wait_for("the answer", lookups._under_way[host][0].done, 10)
    now[0] = STALE + 1
    assert lookups.failing([host], 10.0) == (), "by the other one"


def test_who_says_no_and_who_says_nothing() -> None:
    says: dict[str, bool | None] = {"no": False, "nothing": None, "yes": True}
    lookups = Lookups(lambda host: says[host.name])
    hosts = [Host(name) for name in says]
    assert lookups.failing(hosts, 10.0) == (Host("no"), Host("nothing"))
    assert lookups.failing(hosts, 10.0, surely=True) == (Host("no"),)
