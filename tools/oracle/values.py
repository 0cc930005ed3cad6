"""Good and bad single values, for the lists of all datasets."""

from collections.abc import Callable, Sequence
from random import Random

NAMES = ("localhost", "router.invalid", "r-1.dc_2.invalid", "Router.INVALID", "xn--bcher-kva.invalid", "a", "9.to.5x")
PRINTABLE = "abcXYZ019-_.!~*()/+$&"
CONTROL = "\x01\x07\x1b\x7f\n\r\t"


def ipv4(rng: Random) -> str:
    """An address of one host."""
    return ".".join(str(rng.randint(1, 255)) for _ in range(4))


def ipv6(rng: Random) -> str:
    """Without brackets."""
    groups = [f"{rng.randint(0, 65535):x}" for _ in range(8)]
    if rng.random() < 0.6:
        at = rng.randint(0, 5)
        groups[at : at + rng.randint(2, 8 - at)] = [""]
        if groups[0] == "":
            groups[:1] = ["", ""]
        if groups[-1] == "":
            groups[-1:] = ["", ""]
    text = ":".join(groups)
    return "2001:db8::1" if not text.strip("0:") else rng.choice((text, text.upper()))


def text(rng: Random, letters: str = PRINTABLE, longest: int = 12) -> str:
    """Some letters, one at least."""
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, longest)))


def beyond(rng: Random) -> str:
    """More than a C int holds."""
    return rng.choice(
        ("2147483648", "4294967296", "4294967297", "99999999999", "9" * 20, str(2**31 + rng.randrange(2**31)))
    )


def no_number(rng: Random) -> str:
    """What a person may write for a number."""
    return rng.choice(
        ("abc", "-1", "+5", "1.5", "0x10", "1e3", "ten", "1,2", "-", "~1", "\u0661", "16abc", "x16", "--1")
    )


def insert(rng: Random, lines: Sequence[str], bad: str) -> list[str]:
    """One more line at any place."""
    at = rng.randint(0, len(lines))
    return [*lines[:at], bad, *lines[at:]]


def unique(rng: Random, count: int, make: Callable[[Random], str], key: Callable[[str], str]) -> list[str]:
    """`count` values, none twice by `key`."""
    found: dict[str, str] = {}
    while len(found) < count:
        value = make(rng)
        found.setdefault(key(value), value)
    return list(found.values())
