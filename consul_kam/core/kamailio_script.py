"""What a Kamailio configuration says: modules, modparams, globals, defines, and its script without comments.

Tolerant: it proves nothing (`kamailio -c` does), it only looks. Takes the whole text, includes in place
(core/kamailio_cfg.py). Sources: src/core/cfg.lex and ppcfg.c of Kamailio 5.6.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_DIRECTIVE = re.compile(r"^[ \t]*(?:#!|!!)(\w+)[ \t]*(.*)$")
_PIECE = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*')|(/\*.*?(?:\*/|\Z))|(\#[^\n]*)""", re.DOTALL)
_TEXT = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""
_VALUE = rf"(?:{_TEXT}|-?\w+)"
_LOAD = re.compile(rf"\bloadmodulex?\s*\(?\s*({_TEXT})")
_PARAM = re.compile(rf"\bmodparamx?\s*\(\s*({_VALUE})\s*,\s*({_VALUE})\s*,\s*({_VALUE})\s*\)")
_GLOBAL = re.compile(r"^[ \t]*([a-z][a-z0-9_]*)(?:\.\w+)?[ \t]*=[ \t]*([^\n;]+?)[ \t]*;?[ \t]*$", re.MULTILINE)
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_STRINGS = re.compile(_TEXT)
_DEFINES = ("define", "def", "trydefine", "trydef", "redefine", "redef")
_DEEPEST = 10

Value = int | str


@dataclass(frozen=True, slots=True)
class Script:
    """`params`: (module, name) -> every value given, in order. `text`: the script, without comments and directives."""

    modules: frozenset[str] = frozenset()
    params: Mapping[tuple[str, str], tuple[Value, ...]] = field(default_factory=dict)
    globals: Mapping[str, str] = field(default_factory=dict)
    listens: tuple[str, ...] = ()
    defines: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def all(self, module: str, name: str) -> tuple[Value, ...]:
        """Each value of a modparam that may come several times."""
        return self.params.get((module, name), ())

    def number(self, module: str, name: str, default: int) -> int:
        """The last one wins. What is no number counts as the module's own default."""
        value = (self.all(module, name) or (default,))[-1]
        return value if isinstance(value, int) else default

    def word(self, module: str, name: str, default: str = "") -> str:
        """As `number`."""
        return str((self.all(module, name) or (default,))[-1])

    def on(self, name: str, default: bool) -> bool:
        """A global of yes and no."""
        return self.globals.get(name, "yes" if default else "no").lower() in ("yes", "on", "true", "1", "enable")

    def calls(self, function: str) -> Iterator[list[str]]:
        """The arguments of each call in the script, without their quotes, defines in place."""
        for found in re.finditer(rf"\b(?:{function})\s*\(((?:{_TEXT}|[^()\"'])*)\)", self.text):
            words = re.findall(rf"{_TEXT}|[^,\s]+", found[1])
            yield [str(_value(word, self.defines)) for word in words]


def read_script(text: str, given: Mapping[str, str] | None = None) -> Script:
    """`given`: what the command line defines (-A NAME=VALUE)."""
    defines = dict(given or {})
    plain = _PIECE.sub(lambda m: m[1] if m[1] else "\n" * m[0].count("\n"), _chosen(text, defines))
    params: dict[tuple[str, str], tuple[Value, ...]] = {}
    for found in _PARAM.finditer(plain):
        whose, name, value = (_value(found[index], defines) for index in (1, 2, 3))
        for module in str(whose).split("|"):
            params[module, str(name)] = (*params.get((module, str(name)), ()), value)
    modules = {str(_value(found[1], defines)).rpartition("/")[2].removesuffix(".so") for found in _LOAD.finditer(plain)}
    said = [(name, _filled(value, defines)) for name, value in _GLOBAL.findall(_outside(plain))]
    listens = tuple(value for name, value in said if name == "listen")
    return Script(frozenset(modules), params, dict(said), listens, defines, plain)


def _chosen(text: str, defines: dict[str, str]) -> str:
    """Without directives and what they leave out; fills `defines`."""
    kept, open_ = list[str](), list[bool]()
    for line in text.split("\n"):
        found = _DIRECTIVE.match(line)
        if found is None:
            kept.append(line if all(open_) else "")
            continue
        kept.append("")
        word, rest = found[1].lower(), found[2].split("#")[0].strip() if '"' not in found[2] else found[2].strip()
        name, _, value = rest.partition(" ")
        if word in ("ifdef", "ifndef"):
            open_.append((name in defines) == (word == "ifdef"))
        elif word == "ifexp":
            open_.append(True)
        elif word == "else" and open_:
            open_[-1] = not open_[-1]
        elif word == "endif" and open_:
            open_.pop()
        elif all(open_) and word in _DEFINES and (word.startswith("redef") or name not in defines):
            defines[name] = value.strip()
    return "\n".join(kept)


def _value(word: str, defines: Mapping[str, str]) -> Value:
    for _ in range(_DEEPEST):
        if word not in defines or word == defines[word]:
            break
        word = defines[word]
    if word[:1] in ("'", '"') and word[-1:] == word[:1] and len(word) > 1:
        return word[1:-1]
    try:
        return int(word, 0)
    except ValueError:
        return word


def _filled(text: str, defines: Mapping[str, str]) -> str:
    for _ in range(_DEEPEST):
        filled = _WORD.sub(lambda match: defines.get(match[0], match[0]).strip("\"'"), text)
        if filled == text:
            break
        text = filled
    return text.strip("\"'")


def _outside(text: str) -> str:
    """What stands in no block."""
    kept, depth = list[str](), 0
    for line in text.split("\n"):
        bare = _STRINGS.sub("", line)
        kept.append(line if depth == 0 and "{" not in bare else "")
        depth = max(0, depth + bare.count("{") - bare.count("}"))
    return "\n".join(kept)
