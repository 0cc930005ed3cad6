"""db_text tables as a person reads them, and the ways to write one badly that all tables share [facts, 3]."""

import re
from collections.abc import Callable, Sequence
from random import Random

from tools.oracle import values
from tools.oracle.adapter import Row

_COLUMN = re.compile(r"([^ (]+) *\(([^)]*)\)")
_FIELD = re.compile(r"((?:[^\\:]|\\.)*)(?::|$)", re.DOTALL)
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", ":": ":", "\\": "\\"}
Fields = list[str]
"""One row, in the header's order, not escaped."""


def read(data: bytes) -> list[dict[str, str]]:
    """Each row by its columns; a field too many or one that is missing is "", and "?" tells of it."""
    header, *lines = data.decode("utf-8", "surrogateescape").split("\n")
    names = [name for name, _ in _COLUMN.findall(header)]
    rows = []
    for line in lines:
        if not line.strip("\r"):
            continue
        fields = [_unescape(raw) for raw in _split(line.removesuffix("\r"))]
        row: dict[str, str] = {}
        for name, field in zip(names, fields, strict=False):
            row.setdefault(name, field)
        rows.append(row | ({} if len(names) == len(fields) else {"?": str(len(fields))}))
    return rows


def _split(line: str) -> list[str]:
    fields, at = [], 0
    while at <= len(line):
        match = _FIELD.match(line, at)
        if match is None:  # a lone backslash at the end
            return [*fields, line[at:]]
        fields.append(match[1])
        at = match.end() if match[0].endswith(":") and match.end() > match.end(1) else len(line) + 1
    return fields


def _unescape(raw: str) -> str:
    return re.sub(r"\\(.)", lambda match: _UNESCAPED.get(match[1], match[0]), raw, flags=re.DOTALL)


def number(text: str) -> int | str:
    """As a person reads it; other text stays text."""
    return int(text) if re.fullmatch(r"-?\d+", text, re.ASCII) else text


def escape(text: str) -> str:
    """As the manual asks for it."""
    return "".join(
        {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}.get(c, f"\\{c}" if c in ":\\" else c) for c in text
    )


class Table:
    """Makes tables: `rows` gives good rows, of which no two share a key."""

    def __init__(self, header: str, rows: Callable[[Random], list[Fields]], ints: Sequence[int]) -> None:
        self.header, self.rows, self._ints = header, rows, ints

    def good(self, rng: Random) -> bytes:
        """As it should be."""
        return self.file([self.line(row) for row in self.rows(rng)])

    def line(self, row: Fields) -> str:
        return ":".join(map(escape, row))

    def file(self, lines: Sequence[str], header: str = "", end: str = "\n") -> bytes:
        return (end.join([header or self.header, *lines]) + end).encode("utf-8", "surrogateescape")

    def with_line(self, change: Callable[[Random, Fields], str | None]) -> Callable[[Random], bytes]:
        """One row changed: in place, or as the text returned."""

        def make(rng: Random) -> bytes:
            lines = [self.line(row) for row in self.rows(rng)]
            row = rng.choice(self.rows(rng))
            text = change(rng, row)
            return self.file(values.insert(rng, lines, self.line(row) if text is None else text))

        return make

    def with_field(self, at: int, make: Callable[[Random], str]) -> Callable[[Random], bytes]:
        """One row with this field."""

        def change(rng: Random, row: Fields) -> None:
            row[at] = make(rng)

        return self.with_line(change)

    def bad(self) -> list[Row]:
        """What no table may hold."""
        return [
            Row("nothing at all (zero bytes), or a first line that is blank", self._blank_first),
            Row("a header and no rows", lambda rng: self.file([], self.header)),
            Row("a last row without its newline", lambda rng: self.good(rng)[:-1]),
            Row("CRLF at the ends of lines", lambda rng: self.good(rng).replace(b"\n", b"\r\n")),
            Row("a comment", self.with_line(lambda rng, row: rng.choice(("# why", "#", "#" + self.line(row))))),
            Row("a field too many, or one missing", self.with_line(self._fields)),
            Row(
                "a colon that is not escaped",
                self.with_line(lambda rng, row: self.line(row).replace("\\:", ":") + ":0"),
            ),
            Row("text in a column of numbers", self.with_line(self._no_number)),
            Row("nothing in a column that is not declared null", self.with_line(self._nothing)),
            Row("an escape that there is not", self.with_line(self._escape)),
            Row("a column missing, or of another type", self._header, steady=False),
        ]

    def fine(self) -> list[Row]:
        """What is harmless."""
        return [
            Row("good rows", self.good, fine=True),
            Row("nothing in the column that is declared auto", self._auto, fine=True),
            Row("blank lines between rows", self._blank_lines, fine=True),
            Row("blanks in the header, types in capitals or longer", self._wide_header, fine=True),
        ]

    def _auto(self, rng: Random) -> bytes:
        return self.file([self.line(["", *row[1:]]) for row in self.rows(rng)])

    def _blank_first(self, rng: Random) -> bytes:
        return rng.choice((b"", b"\n" + self.good(rng)))

    def _fields(self, rng: Random, row: Fields) -> None:
        if rng.random() < 0.5:
            row.insert(rng.randrange(len(row) + 1), str(rng.randrange(10)))
        else:
            del row[rng.randrange(len(row))]

    def _no_number(self, rng: Random, row: Fields) -> None:
        row[rng.choice(self._ints)] = rng.choice(("abc", "1x", "0x10", "1.5", "+", "-", "1 2"))

    def _nothing(self, rng: Random, row: Fields) -> None:
        kinds = [kind for _, kind in _COLUMN.findall(self.header)]
        row[rng.choice([at for at, kind in enumerate(kinds) if not re.search("null|auto", kind)])] = ""

    def _escape(self, rng: Random, row: Fields) -> str:
        line = self.line(row)
        at = rng.choice([at for at, char in enumerate(line) if char == ":"])
        return line[:at] + rng.choice(("\\q", "\\x41", "\\ ", "\\a")) + line[at:]

    def _header(self, rng: Random) -> bytes:
        columns = self.header.split(" ")
        at = rng.randrange(1, len(columns) - 1)
        columns[at] = rng.choice(
            (
                columns[at].replace("(", "x("),
                columns[at].replace("int", "string"),
                "x(blob)",
                "x",
                columns[at].replace(")", ",auto)"),
            )
        )
        if columns == self.header.split(" "):
            columns[at] = "y(int)"
        return self.file([self.line(row) for row in self.rows(rng)], " ".join(columns))

    def _blank_lines(self, rng: Random) -> bytes:
        lines = [self.line(row) for row in self.rows(rng)]
        return self.file([text for line in lines for text in (*[""] * rng.choice((0, 0, 1, 3)), line)])

    def _wide_header(self, rng: Random) -> bytes:
        header = self.header.replace("(", rng.choice((" (", "( ", "(", " ( "))).replace(" ", rng.choice((" ", "  ")))
        header = header.replace("int", rng.choice(("int", "INT", "integer"))).replace(
            "string", rng.choice(("string", "String"))
        )
        return self.file([self.line(row) for row in self.rows(rng)], header)
