"""Kamailio's configuration as one text: what it includes stands in place of the line that includes it.

So a configuration that came up can be kept whole, whatever becomes of its files [core/cfg.lex: include_file and
import_file, also after #! or !!; a path is tried as it is, then beside the file that names it].
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_INCLUDE = re.compile(r'^[ \t]*(?:#!|!!)?(include_file|import_file)[ \t]+"([^"\n]+)"[ \t\r]*$')
_DEEPEST = 10
"""Kamailio's own limit is 10 as well [cfg.lex, MAX_INCLUDE_DEPTH]."""
_COMPLAINT = re.compile(r"parse error in config file (\S+), line (\d+)(?:, column (\d+)[\d-]*)?: (\S.*)")
_LOGGED = re.compile(r"^\s*\d+\(\d+\) (?:CRITICAL|ERROR|ALERT|EMERG): (?:<?\w+>? \[[^]]*\]: )?(?:\w+\(\): )?(\S.*)")
_PLAIN = re.compile(r"^ERROR: (\S.*)")

Read = Callable[[str], str | None]
"""The text of a file, or None where it cannot be read."""


@dataclass(frozen=True, slots=True)
class Whole:
    """`files`: what it was made of, in order. `missing`: what is included and was not there."""

    text: str
    files: tuple[str, ...]
    missing: tuple[str, ...] = ()


def whole(path: str, read: Read) -> Whole:
    """The configuration in `path` with all that it includes. A file that is not there is left to Kamailio to name."""
    files: list[str] = []
    missing: list[str] = []
    text = _inlined(path, read(path), read, files, missing, 0)
    return Whole(text, tuple(files), tuple(missing))


def _inlined(path: str, text: str | None, read: Read, files: list[str], missing: list[str], depth: int) -> str:
    files.append(path)
    if text is None:
        missing.append(path)
        return ""
    lines, comment = [], False
    for line in text.split("\n"):
        found = None if comment or depth == _DEEPEST else _INCLUDE.match(line)
        if found is None:
            comment = _in_comment(line, comment)
            lines.append(line)
            continue
        name, inner = _found(found[2], path, read)
        if inner is not None:
            lines.append(_inlined(name, inner, read, files, missing, depth + 1))
        elif found[1] == "include_file":
            missing.append(name)
            lines.append(line)
    return "\n".join(lines)


def _found(name: str, path: str, read: Read) -> tuple[str, str | None]:
    beside = name if name.startswith("/") else f"{path.rpartition('/')[0]}/{name}"
    text = read(name)
    return (name, text) if text is not None or beside == name else (beside, read(beside))


def _in_comment(line: str, comment: bool) -> bool:
    """Whether a block comment is open after this line; one in a line comment does not open."""
    opened = line if comment else line.split("#")[0]
    return opened.rfind("/*") > opened.rfind("*/") if "/*" in opened or "*/" in opened else comment


def complaint(said: Sequence[str]) -> str:
    """The one line of `kamailio -c`'s output, or of a start's log, that says what is wrong; file:line:column first."""
    for line in said:
        found = _COMPLAINT.search(line)
        if found is not None:
            return ":".join(filter(None, found.group(1, 2, 3))) + f": {found[4]}"
    for pattern in (_LOGGED, _PLAIN):
        for line in said:
            found = pattern.match(line)
            if found is not None:
                return found[1]
    return next((line.strip() for line in reversed(said) if line.strip()), "it says nothing")
