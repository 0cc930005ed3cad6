"""The db_text notation: a table in a file, as domain, rtpengine, htable and others read it; and the `version` file.

Grammar: src/modules/db_text/dbt_file.c of Kamailio 5.6 (dbt_load_file). One thing wrong fails the whole load there, and
a last row without its newline is dropped without a word; here a bad row is left out alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from consul_kam.core.grammar import BadValue, Number, shown
from consul_kam.core.lines import Bad, Entry, LineCache, Nothing, answer, check_size, part_of
from consul_kam.core.records import Answer, Record
from consul_kam.errors import ListError

ESCAPES = {"\\": "\\\\", ":": "\\:", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_READ = {text: char for char, text in ESCAPES.items()}
_SPECIAL = re.compile(r"[\\:\n\r\t\0]")
_FIELD = re.compile(r"(?:[^\\:]|\\.)*", re.DOTALL)
_ESCAPE = re.compile(r"\\.?", re.DOTALL)
_INT = re.compile(r"-?\d+", re.ASCII)
_DOUBLE = re.compile(r"-?\d+(?:\.\d*)?", re.ASCII)
_PLAIN = re.compile(r"[\w ()]{1,60}", re.ASCII)
_COLUMN = re.compile(r" *(?P<name>[^ (]+) *\( *(?P<type>[sSiIdDbBtT][^,)]*)(?:, *(?P<flag>[nNaA])[^)]*)?\) *")

VERSION_HEADER = "table_name(string) table_version(int)"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a module asks for, with the types that it takes: `int`, or `time` too; `string`, or `str` too.

    `null`: whether the module looks at the type of a field only where the field is not null.
    """

    name: str
    types: tuple[str, ...]
    null: bool = False


@dataclass(frozen=True, slots=True)
class DbText:
    """Writes one table. `versions`: the tables, this one and those beside it, that Kamailio looks up at its start."""

    header: str
    versions: Mapping[str, int]
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, lines: Sequence[str]) -> bytes:
        """Header and rows, each with its newline. A table without rows ends with a blank line: it is meant."""
        return ("\n".join([self.header, *(lines or [""])]) + "\n").encode("utf-8", "surrogateescape")

    def companion(self, existing: bytes | None) -> tuple[str, bytes] | None:
        """The `version` file with our tables; all rows of others, and ours that are there already, are kept."""
        if not self.versions:
            return None
        text = existing or f"{VERSION_HEADER}\n".encode()
        if not text.endswith(b"\n"):
            text += b"\n"
        listed = {line.partition(b":")[0] for line in text.split(b"\n")[1:]}
        rows = [f"{name}:{number}\n".encode() for name, number in self.versions.items() if name.encode() not in listed]
        return "version", text + b"".join(rows)

    def needs(self) -> Mapping[str, bytes]:
        """Other tables that the module reads: (name, content to make it with where it is missing)."""
        return self.beside


def escape(text: str) -> str:
    """A field as it stands in a row."""
    return _SPECIAL.sub(lambda match: ESCAPES[match[0]], text)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a column stands in the rows of a file."""

    at: int
    type: str
    null: bool
    """Whether it may be empty: declared null, or auto, which db_text counts by itself [dbt_table_check_row]."""
    auto: bool = False
    empty: bool = False
    """Whether it has to be: its type is none that the module takes."""


class Row:
    """One row; `text` and `number` read a column's field, typed by the file's header."""

    def __init__(self, fields: Sequence[tuple[str, int]], places: Mapping[str, _Place]) -> None:
        self._fields, self._places = fields, places

    def text(self, name: str) -> str:
        """The unescaped text of a field, "" where it is null."""
        raw, _ = self._fields[self._places[name].at]
        return _unescape(name, raw) if "\\" in raw else raw

    def number(self, field: Number) -> int:
        """A whole number in the column that `field` names."""
        return field.read(self.text(field.name))

    def has(self, name: str) -> bool:
        """Whether the file has such a column."""
        return name in self._places

    def column(self, name: str) -> int:
        """Where the field begins in the line, from 1; 1 for what is no column."""
        return self._fields[self._places[name].at][1] if name in self._places else 1


class DbTextReader:
    """Reads such a table. `read`: (row, part) -> its record; raises BadValue."""

    def __init__(self, table: str, columns: Sequence[Column], read: Callable[[Row, str], Record]) -> None:
        self._table, self._columns, self._read = table, columns, read
        self._cache = LineCache()

    def __call__(self, file: str, data: bytes) -> Answer:
        """Raises ListError where Kamailio would fail the load, drop the last row, or empty the table by accident."""
        check_size(file, data)
        header, *lines = data.split(b"\n")
        places = self._header(file, header)
        if not lines or lines.pop():
            number = len(lines) + 2
            raise ListError(file, number, 1, "the last line has no newline: db_text drops it; end the file with one")
        part = part_of(file)
        entries = self._cache.read((part, header), lines, lambda line: self._entry(line, places, part))
        if not any(isinstance(entry, Record | Bad) for entry in entries) and lines != [b""]:
            raise ListError(file, 2, 1, "it has a header and no rows: it would empty the table; render it again")
        return answer(file, entries, first=2, native=True)

    def _header(self, file: str, line: bytes) -> Mapping[str, _Place]:
        text = line.decode("utf-8", "surrogateescape")
        places: dict[str, _Place] = {}
        at = count = 0
        auto = False
        while at < len(text):
            match = _COLUMN.match(text, at)
            if match is None:
                wanted = "NAME(TYPE[,null|auto]) ..., type int, double, string or str"
                raise ListError(file, 1, at + 1, f"no column begins here, expected {wanted}, and a plain newline")
            flag = (match["flag"] or "").lower()
            if flag == "a" and (auto or match["type"][0].lower() != "i"):
                raise ListError(file, 1, at + 1, "only one column is auto, and of type int: any other fails the load")
            auto = auto or flag == "a"
            # of two columns of one name the module gets the first
            name = match["name"] if match["name"] not in places else f"{match['name']} ({count})"
            places[name] = _Place(count, _type(match["type"].lower()), flag != "", flag == "a")
            at, count = match.end(), count + 1
        for column in self._columns:
            place = places.get(column.name)
            if place is not None and place.type in column.types:
                continue
            if place is None or not (column.null and place.null) or place.auto:
                wanted = f"{column.name}({column.types[0]})"
                raise ListError(file, 1, 1, f"the header has no {wanted}: {self._table} needs it")
            places[column.name] = replace(place, empty=True)
        return places

    def _entry(self, line: bytes, places: Mapping[str, _Place], part: str) -> Entry:
        if not line:
            return Nothing.HERE
        text = line.decode("utf-8", "surrogateescape")
        fields = _fields(text)
        if len(fields) != len(places):
            return Bad(
                1, f"the row has {len(fields)} fields, the header {len(places)}: a colon in a value is written \\:"
            )
        row = Row(fields, places)
        try:
            for name, place in places.items():
                _check(name, fields[place.at][0], place)
            return self._read(row, part)
        except BadValue as bad:
            return Bad(bad.column or row.column(bad.field), str(bad))


def _type(text: str) -> str:
    """The type that db_text takes a word for: by its first letter, and "string" for one in s that has an i."""
    if text[0] == "s":
        return "string" if "i" in text else "str"
    return {"i": "int", "t": "time", "d": "double", "b": "blob"}[text[0]]


def _label(column: str) -> str:
    """A column's name in a message: it is the file's own, and may be anything."""
    return column if _PLAIN.fullmatch(column) else shown(column)


def _unescape(name: str, raw: str) -> str:
    """The text of a field; an escape that there is not fails the whole load, in a column that nobody asks for, too."""
    try:
        return _ESCAPE.sub(lambda match: _READ[match[0]], raw)
    except KeyError as error:
        allowed = "\\: \\\\ \\n \\r \\t \\0"
        raise BadValue(_label(name), error.args[0], f"the escapes {allowed}") from None


def _check(name: str, raw: str, place: _Place) -> None:
    """What db_text itself asks of a field."""
    if raw and place.empty:
        raise BadValue(_label(name), raw, "nothing: the header gives the column another type")
    if not raw and not place.null:
        raise BadValue(_label(name), raw, "a value: the column is not declared null")
    if raw and place.type in ("int", "time") and not _INT.fullmatch(raw):
        raise BadValue(_label(name), raw, "a whole number")
    if raw and place.type == "double" and not _DOUBLE.fullmatch(raw):
        raise BadValue(_label(name), raw, "a decimal number")
    if "\\" in raw:
        _unescape(name, raw)


def _fields(text: str) -> list[tuple[str, int]]:
    """(raw field, its column) of a row."""
    if "\\" not in text:
        fields, column = [], 1
        for raw in text.split(":"):
            fields.append((raw, column))
            column += len(raw) + 1
        return fields
    found, at = [], 0
    while at <= len(text):
        match = _FIELD.match(text, at)
        assert match is not None
        end = match.end() if match.end() == len(text) or text[match.end()] == ":" else len(text)
        found.append((text[at:end], at + 1))
        at = end + 1
    return found
