"""docker-compose's env file, read: NAME=VALUE lines, as its `env_file:` takes them.

Sources: the compose specification, `env_file`; github.com/compose-spec/compose-go, dotenv. What compose would replace
(`$NAME`, `${NAME}`) or take from the caller's environment (a name alone) is refused: nobody here knows those values.
"""

import re

from consul_kam.core.env_spec import why_not_name
from consul_kam.core.grammar import shown
from consul_kam.errors import ListError

_ENTRY = re.compile(r"[ \t]*(?:export[ \t]+)?([^=\s#'\"]+)[ \t]*=[ \t]*")
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"([^\n]*?)[ \t]*(?:(?<![^ \t])#[^\n]*)?(?=\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
_REPLACED = re.compile(r"(?<!\\)\$(?:\{|[A-Za-z_])")


def parse(file: str, data: bytes) -> dict[str, str]:
    """NAME -> value. Raises ListError: the line, and why it is not taken."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ListError(file, data[: error.start].count(b"\n") + 1, 0, "no UTF-8") from None
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        nothing = _NOTHING.match(text, at)
        if nothing is not None:
            at = nothing.end()
            continue
        line = text.count("\n", 0, at) + 1
        name, value, at = _entry(file, line, text, at)
        if name in found:
            raise ListError(file, line, 0, f"{name} is there twice")
        found[name] = value
    return found


def _entry(file: str, line: int, text: str, at: int) -> tuple[str, str, int]:
    head = _ENTRY.match(text, at)
    if head is None:
        word = shown(text[at:].partition("\n")[0])
        raise ListError(file, line, 0, f"expected NAME=VALUE, got {word}; a name alone would be the caller's variable")
    name = head[1]
    wrong = why_not_name(name)
    if wrong:
        raise ListError(file, line, 0, f"{shown(name)}: {wrong}")
    value, end = _value(file, line, name, text, head.end())
    rest = _NOTHING.match(text, end)
    if rest is None:
        raise ListError(file, line, 0, f"{name}: expected nothing behind the closing quote")
    return name, value, rest.end()


def _value(file: str, line: int, name: str, text: str, at: int) -> tuple[str, int]:
    if text.startswith("'", at):
        found = _SINGLE.match(text, at)
    elif text.startswith('"', at):
        found = _DOUBLE.match(text, at)
    else:
        found = _BARE.match(text, at)
    if found is None:
        raise ListError(file, line, 0, f"{name}: its quote is not closed")
    value = found[1]
    if text[at : at + 1] != "'" and _REPLACED.search(value):
        raise ListError(file, line, 0, f"{name}: compose would replace a $ in it; write the value in single quotes")
    if text[at : at + 1] == '"':
        value = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), value)
    return value, found.end()
