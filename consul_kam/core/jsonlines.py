"""The JSON Lines that our templates render: one object a line, and a last line that counts them.

    {"setid":1,"address":"10.0.0.1","port":5060,"status":"passing","source":{"service":"router","id":"r1"}}
    {"end":"dispatcher","records":1}

A value of a service can be no line of its own, and a file that was cut or is another's is known by its last line.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from consul_kam.core.grammar import BadValue, shown
from consul_kam.core.lines import Bad, Entry, LineCache, Nothing, answer, check_size, part_of
from consul_kam.core.policy import use_of
from consul_kam.core.records import Answer, Record, Source, Use
from consul_kam.errors import ListError

Fields = Mapping[str, object]

DEEPEST = 100
"""Objects and lists within each other: ours need 2. Python's own bound is another in every version."""

_SIGN = re.compile(r'"(?:[^"\\]|\\.?)*+"?|[\[{\]}]')
"""A whole text, or one bracket."""


@dataclass(frozen=True, slots=True)
class Common:
    """What every dataset's objects say in the same members."""

    use: Use
    source: Source
    part: str


class JsonLines:
    """Reads the staging files of one dataset. `build` makes a record of one object, or raises BadValue."""

    def __init__(self, dataset: str, build: Callable[[Fields, Common], Record], disables: bool = True) -> None:
        self._dataset, self._build, self._disables = dataset, build, disables
        self._cache = LineCache()

    def __call__(self, file: str, data: bytes) -> Answer:
        """Raises ListError for a file that is cut, miscounted, empty, too long or of another dataset."""
        check_size(file, data)
        lines = data.rstrip(b" \t\r\n").split(b"\n")
        count = self._end(file, len(lines), lines.pop())
        part = part_of(file)
        entries = self._cache.read(part, lines, lambda line: self._read(line, part))
        found = len(entries) - list(map(type, entries)).count(Nothing)
        if found != count:
            raise ListError(
                file, len(lines) + 1, 1, f"it ends with records {count}, but holds {found}: render it again"
            )
        return answer(file, entries)

    def _end(self, file: str, number: int, line: bytes) -> int:
        """The count in the last line."""
        wanted = f'{{"end":"{self._dataset}","records":N}}'
        try:
            end = _loads(line.decode())
        except ValueError:
            raise ListError(file, number, 1, f"the last line is not {wanted}: the file is cut") from None
        if not isinstance(end, dict) or "end" not in end:
            raise ListError(file, number, 1, f"the last line is not {wanted}: the file is cut")
        if end["end"] != self._dataset:
            raise ListError(file, number, 1, f"it is a list of {shown(end['end'])}, expected {wanted}")
        count = end.get("records")
        if type(count) is not int:
            raise ListError(file, number, 1, f"records is {shown(count)}, expected {wanted}")
        return count

    def _read(self, line: bytes, part: str) -> Entry:
        if not line.strip():
            return Nothing.HERE
        try:
            text = line.decode()
            fields = _loads(text)
        except UnicodeDecodeError as error:
            return Bad(error.start + 1, f"byte {line[error.start]:#04x} is not UTF-8")
        except json.JSONDecodeError as error:
            at = _fault(text, error.pos)
            return Bad(at + 1, f"it is not JSON: {shown(text[at:]) if text[at:].strip() else 'it ends too early'}")
        except ValueError:
            return Bad(1, "it is not JSON: a number too long, or nested too deep")
        if not isinstance(fields, dict):
            return Bad(1, f"it is {shown(fields)}, expected an object")
        return self._record(text, fields, part)

    def _record(self, text: str, fields: Fields, part: str) -> Entry:
        status = fields.get("status", "passing")
        source = _source(fields.get("source"), status)
        known = source if "source" in fields else None
        try:
            use = use_of(status, fields.get("warning", "in"), fields.get("critical", "out"), self._disables)
            return self._build(fields, Common(use, source, part))
        except BadValue as bad:
            return Bad(_column(text, bad.field), str(bad), known, _text(fields.get("setid", "")))


def _loads(text: str) -> object:
    """Raises ValueError: a JSONDecodeError with the place where that can be told."""
    if text.count("[") + text.count("{") > DEEPEST:
        depth = 0
        for sign in _SIGN.findall(text):
            depth += (sign in "[{") - (sign in "]}")
            if depth > DEEPEST:
                raise ValueError("nested too deep")
    return json.loads(text)


def _fault(text: str, at: int) -> int:
    """Where the fault is: for a comma too many, Python names the comma from 3.13 on, before that what follows."""
    before = text[:at].rstrip()
    return len(before) - 1 if before.endswith(",") and text[at : at + 1] in ("]", "}") else at


def _source(value: object, status: object) -> Source:
    found = value if isinstance(value, dict) else {}
    service, id, node, dc = (_text(found.get(name, "")) for name in ("service", "id", "node", "dc"))
    return Source(service, id, node, dc, _text(status))


def _text(value: object) -> str:
    """Text that can be shown and stored: no half of a surrogate pair."""
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, str | int) else ""


def _column(text: str, field: str) -> int:
    """Where the member stands in the line; one inside an entry counts as the entry."""
    match = re.search(rf'"{re.escape(field)}"\s*:', text) or re.search(r'"entry"\s*:', text)
    return match.start() + 1 if match else 1
