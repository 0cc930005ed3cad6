"""Host names whose servers are slow, or say no."""

import threading

from consul_kam.adapters.names import failing, unanswered
from consul_kam.core.records import Host


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
    assert unanswered((), 1) == failing((), 1) == ()


def test_nothing_connects_to_a_broadcast_address_nor_to_one_that_lacks_its_scope() -> None:
    """127.255.255.255: so it is without any route, too."""
    wrong = Host("127.255.255.255", 4), Host("[fe80::1]", 6)
    right = {Host(each, 4) for each in ("127.0.0.1", "0.0.0.0", "10.66.66.66")} | {Host("[2001:db8::1]", 6)}
    assert failing({*wrong, *right}, 0.0) == wrong


def test_a_name_is_looked_up_in_the_family_that_is_asked_for() -> None:
    """As getaddrinfo(3) reads it, 2130706433 is a name for 127.0.0.1, and 2147483647 one for a broadcast address."""
    there, other, everywhere = Host("2130706433", 4), Host("2130706433", 6), Host("2147483647", 4)
    asked = {there, other, everywhere, Host("2130706433"), Host("2147483647"), Host("none.invalid"), Host("a." * 200)}
    assert failing(asked, 10.0) == (other, everywhere, Host("a." * 200), Host("none.invalid"))
