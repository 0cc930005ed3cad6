"""consul-template's configuration, HCL or JSON: only what a trap may hide in. Tolerant; it proves nothing."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*|//[^\n]*|/\*.*?\*/|,)|<<-?(?P<here>\w+)\n(?P<doc>.*?)\n[ \t]*(?P=here)\b"""
    r"""|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<mark>[{}\[\]=:])|(?P<word>[^\s{}\[\]=,:"]+)""",
    re.DOTALL,
)
Pair = tuple[str, object]


@dataclass(frozen=True, slots=True)
class Stanza:
    """One template. `command`: words, or one text for a shell; empty where it has none."""

    source: str = ""
    destination: str = ""
    command: tuple[str, ...] = ()
    contents: str = ""


@dataclass(frozen=True, slots=True)
class Templating:
    """`attempts`: of the retry of Consul, None where it is not set (then 12); 0: for ever."""

    stanzas: tuple[Stanza, ...] = ()
    attempts: int | None = None
    retry: bool = True
    kill_signal: str = ""


def read_templating(text: str) -> Templating:
    """Raises ValueError for what is neither."""
    tree = _of_json(json.loads(text)) if text.lstrip()[:1] == "{" else _Hcl(text).block("")
    consul = [pair for value in _all(tree, "consul") for pair in _pairs(value)]
    retry = [pair for value in _all(consul, "retry") for pair in _pairs(value)]
    attempts = next((value for value in reversed(_all(retry, "attempts"))), None)
    enabled = next((value for value in reversed(_all(retry, "enabled"))), True)
    number = int(str(attempts)) if str(attempts).lstrip("-").isdecimal() else None
    stanzas = tuple(_stanza(_pairs(value)) for value in _all(tree, "template"))
    signal = str((_all(tree, "kill_signal") or [""])[-1])
    return Templating(stanzas, number, enabled not in (False, "false"), signal)


def _stanza(pairs: Sequence[Pair]) -> Stanza:
    inner = [pair for value in _all(pairs, "exec") for pair in _pairs(value)]
    commands = [*_all(pairs, "command"), *_all(inner, "command")]
    last = commands[-1] if commands else ""
    words = tuple(map(str, last)) if isinstance(last, list) else tuple(filter(None, [str(last)]))
    texts = [str((_all(pairs, name) or [""])[-1]) for name in ("source", "destination", "contents")]
    return Stanza(texts[0], texts[1], words, texts[2])


def _all(pairs: Sequence[Pair], name: str) -> list[object]:
    return [value for key, value in pairs if key == name]


def _pairs(value: object) -> list[Pair]:
    return [pair for pair in value if isinstance(pair, tuple)] if isinstance(value, list) else []


def _of_json(value: object) -> list[Pair]:
    """An object's members as pairs; a list of objects is the same member several times."""
    found: list[Pair] = []
    for name, inner in value.items() if isinstance(value, dict) else ():
        several = inner if isinstance(inner, list) and inner and isinstance(inner[0], dict) else [inner]
        found += [(name, _of_json(each) if isinstance(each, dict) else each) for each in several]
    return found


class _Hcl:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def block(self, end: str) -> list[Pair]:
        """Pairs until `end`, or the end of the text. Raises ValueError."""
        found: list[Pair] = []
        while self._at < len(self._tokens):
            kind, name = self._next()
            if kind == "mark" and name == end:
                return found
            if kind == "mark":
                raise ValueError(f"{name} where a name is expected")
            while self._peek()[0] == "text":  # a label
                self._next()
            if self._peek() in (("mark", "="), ("mark", ":")):
                self._next()
            found.append((name, self._value()))
        if end:
            raise ValueError(f"it ends where {end} is expected")
        return found

    def _value(self) -> object:
        kind, text = self._next()
        if (kind, text) == ("mark", "{"):
            return self.block("}")
        if (kind, text) == ("mark", "["):
            found: list[object] = []
            while self._peek() != ("mark", "]"):
                found.append(self._value())
            self._next()
            return found
        return text

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        if not token[0]:
            raise ValueError("it ends too early")
        self._at += 1
        return token


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"not understood: {text[at : at + 20]!r}")
        at = found.end()
        if found["doc"] is not None:
            yield "text", found["doc"]
        elif found["skip"] is None:
            kind = "text" if found["text"] is not None else "mark" if found["mark"] else "word"
            yield kind, found[kind].replace('\\"', '"')
