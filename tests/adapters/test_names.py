"""Host names whose servers are slow, or say no."""

import threading

from consul_kam.adapters.names import failing, no_way, unanswered


def test_a_name_that_does_not_exist_is_answered_and_one_whose_server_is_silent_is_not() -> None:
    """Anybody can register a name that does not exist: that must not slow each change down."""
    ending = threading.Event()
    answers = {"gone": lambda: False, "there": lambda: True, "silent": lambda: ending.wait(30)}
    try:
        assert unanswered(answers, 0.5, lambda name: answers[name]()) == ("silent",)
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
    wrong = {"127.255.255.255", "[fe80::1]"}
    assert no_way({*wrong, "127.0.0.1", "0.0.0.0", "10.66.66.66", "[2001:db8::1]"}) == tuple(sorted(wrong))
    assert no_way(()) == ()
