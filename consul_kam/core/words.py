"""The notation of words: a record a line, its fields separated by blanks, "#" comments (dispatcher, later address)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from consul_kam.core.grammar import BadValue
from consul_kam.core.lines import Bad, Entry, LineCache, Nothing, answer, check_size, part_of
from consul_kam.core.records import Answer, Record
from consul_kam.errors import ListError

MAX_LINE = 1023
"""Bytes of a line without its newline: fgets(line, 1024) takes what follows for another line [dispatch.c]."""

EMPTY = "# empty on purpose (consul-kam)"
"""Our own mark in a list without records: any other such file is an accident."""

_WORD = re.compile(r"[^ \t\r]+")
_BLANKS = b" \t\r"
_COMMENT = re.compile(rb"(?:^|[ \t\r])#")
_T = TypeVar("_T")


class Word(str):
    """A word and its column in the line, counted from 1."""

    __slots__ = ("column",)
    column: int

    def __new__(cls, text: str, column: int) -> Self:
        word = super().__new__(cls, text)
        word.column = column
        return word


def at(word: Word, read: Callable[[str], _T]) -> _T:
    """`read(word)`; its BadValue gets the word's column."""
    try:
        return read(word)
    except BadValue as bad:
        bad.column = word.column
        raise


def split(line: str, open_words: int) -> list[Word]:
    """The words of a line before its comment; a "#" starts one between words, and within the first `open_words`."""
    words: list[Word] = []
    for match in _WORD.finditer(line):
        text, hash_sign, _ = match[0].partition("#") if len(words) < open_words else (match[0], "", "")
        if text and not text.startswith("#"):
            words.append(Word(text, match.start() + 1))
        if hash_sign or not text or text.startswith("#"):
            break
    return words


@dataclass(frozen=True, slots=True)
class Words:
    """Writes the file."""

    def write(self, lines: Sequence[str]) -> bytes:
        """A newline ends each line; a list without records says that it is meant."""
        return ("\n".join(lines or [EMPTY]) + "\n").encode("utf-8", "surrogateescape")

    def companion(self, existing: bytes | None) -> tuple[str, bytes] | None:
        """None: the file stands alone."""
        return None

    def needs(self) -> Mapping[str, bytes]:
        """Nothing."""
        return {}


class WordsReader:
    """Reads such files. `read`: (line, part) -> its record, None where it holds none; raises BadValue with a column."""

    def __init__(self, read: Callable[[str, str], Record | None]) -> None:
        self._read = read
        self._cache = LineCache()

    def __call__(self, file: str, data: bytes) -> Answer:
        """Raises ListError for a file without any line of data: Kamailio would load it and drop all."""
        check_size(file, data)
        lines = data.split(b"\n")
        part = part_of(file)
        entries = self._cache.read(part, lines, lambda line: self._entry(line, part))
        if all(entry is Nothing.HERE for entry in entries) and EMPTY.encode() not in lines:
            raise ListError(file, 0, 0, "it holds comments only: it would wipe the whole list; render it again")
        return answer(file, entries, native=True)

    def _entry(self, line: bytes, part: str) -> Entry:
        if len(line) > MAX_LINE and not _ends_harmlessly(line):
            return Bad(MAX_LINE + 1, f"the line is {len(line)} bytes long, allowed: {MAX_LINE}")
        nul = line.find(b"\0")
        if nul >= 0 and not _COMMENT.search(line[:nul]):
            return Bad(nul + 1, "a NUL byte hides the rest of the line, allowed: text")
        try:
            return self._read(line[:MAX_LINE].decode("utf-8", "surrogateescape"), part) or Nothing.HERE
        except BadValue as bad:
            return Bad(bad.column or 1, str(bad))


def _ends_harmlessly(line: bytes) -> bool:
    """Whether what Kamailio reads first is complete, and it takes the rest for blank lines or comments."""
    first, *pieces = [line[at : at + MAX_LINE] for at in range(0, len(line), MAX_LINE)]
    whole = _COMMENT.search(first) or first[-1:] in _BLANKS or pieces[0][:1] in _BLANKS
    return bool(whole) and all(piece.lstrip(_BLANKS)[:1] in (b"", b"#") for piece in pieces)
