"""Drawing lists: from a seed, always the same ones."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tools.oracle.adapter import Adapter, Row

LEAST = 50
"""Lists of each row."""

_HOSTILE = [
    " ",
    "\t",
    "\r",
    "\n",
    "\0",
    "#",
    ";",
    ",",
    ":",
    "\\",
    '"',
    "'",
    "=",
    "[",
    "]",
    "<",
    ">",
    "@",
    "%",
    "?",
    "/",
]
_HOSTILE += ["-", "+", ".", "0", "1", "9", "a", "X", "\x7f", "\u00e4", "\udcff", "{", "(", ")", "*", "_", "&", "\v"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A list, and how it can be drawn again: `seed` and `number` among those of its row."""

    dataset: str
    row: str
    seed: int
    number: int
    data: bytes


def draw(adapter: Adapter, count: int, seed: int) -> Iterator[Drawn]:
    """`count` lists (at least LEAST of each row from 2,000 on): more than half of good rows, then bad, then mutated."""
    fine = [row for row in adapter.rows if row.fine]
    bad = [row for row in adapter.rows if not row.fine]
    each = min(max(LEAST, count // 10 // len(bad)), max(1, count * 12 // 25 // len(bad)))
    good = count * 103 // 200
    yield from _of(adapter, bad, each * len(bad), seed)
    yield from _of(adapter, fine, good, seed)
    yield from _of(adapter, [mutated(fine)], count - good - each * len(bad), seed)


def again(adapter: Adapter, row: Row, seed: int, number: int) -> Drawn:
    """The same list once more."""
    name = adapter.dataset.name
    return Drawn(name, row.name, seed, number, row.make(Random(f"{seed}/{name}/{row.name}/{number}")))


def _of(adapter: Adapter, rows: Sequence[Row], count: int, seed: int) -> Iterator[Drawn]:
    for at in range(count):
        yield again(adapter, rows[at % len(rows)], seed, at // len(rows))


def mutated(fine: Sequence[Row]) -> Row:
    """A good list with one accident: nobody knows beforehand what comes of it."""

    def make(rng: Random) -> bytes:
        text = rng.choice(fine).make(rng).decode("utf-8", "surrogateescape")
        return rng.choice(_ACCIDENTS)(rng, text).encode("utf-8", "surrogateescape")

    return Row("one accident anywhere", make)


def _put(rng: Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_HOSTILE) * rng.choice((1, 1, 1, 2)) + text[at:]


def _replace(rng: Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(_HOSTILE) + text[at + 1 :]


def _cut(rng: Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + text[at + rng.choice((1, 1, 2, 5, len(text))) :]


def _again(rng: Random, text: str) -> str:
    lines = text.split("\n")
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return "\n".join(lines)


def _words(rng: Random, text: str) -> str:
    """One word away, twice, or in another's place."""
    words = re.split(r"([ :;\n]+)", text)
    at, other = rng.randrange(len(words)), rng.randrange(len(words))
    words[at] = rng.choice(("", words[at] * 2, words[other], words[at] + "0" * 10))
    return "".join(words)


_ACCIDENTS = (_put, _put, _replace, _replace, _cut, _again, _words)
