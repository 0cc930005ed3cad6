"""What every table of the configuration is made of: its keys' types, and errors that name file, key, expected, got.

This is the only file that uses msgspec.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta as Meta
from msgspec import Struct

from consul_kam.core.dataset import SetKey
from consul_kam.core.grammar import Choice, Number, Text
from consul_kam.errors import ConfigError

Mode = Literal["apply", "observe"]
Seconds = Annotated[float, Meta(ge=0)]
Deadline = Annotated[float, Meta(gt=0, le=600)]
MANY = 2**31 - 1
Count = Annotated[int, Meta(ge=0, le=MANY)]
NAME = r"^[A-Za-z0-9._-]*\Z"
PATH = r"^(/[^\x00-\x1f\x7f]*)?\Z"
FILE = r"^(/[^\x00-\x1f\x7f]+)?\Z"
"""Of a file that is read: as PATH, and not the same text, by which keys that take `secret://` are known."""
REFERENCE = r"^(secret://[a-z][a-z0-9_]{0,31}/[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?\Z"
DATASET = r"^[A-Za-z0-9_]+(:[A-Za-z0-9_-]+)?\Z"
TEXT = r"^[^\x00-\x1f\x7f]*\Z"
LISTEN = r"^([^\x00-\x20]+:[0-9]{1,5})?\Z"
ENDPOINT = r"^(udp|tcp):[^\x00-\x20]+:[0-9]{1,5}\Z"
URL = r"^(https?://[!-~]+)?\Z"
SERVICE = r"^[A-Za-z0-9_-]*\Z"
TAG = r"^[A-Za-z0-9._:=-]*\Z"
PREFIX = r"^[A-Za-z0-9._/-]*\Z"
LAYER = r"^([A-Za-z0-9._/-]|\{role\}|\{node\})+\Z"
GLOB = r"^[A-Za-z0-9_*?]+\Z"
TABLE = r"^[A-Za-z0-9_-]{1,64}\Z"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*\Z"
CFG_VARIABLE = r"^([A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*)?\Z"
VAULT_PATH = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)+\Z"
MOUNT = r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?\Z"
RPC = r"^((unix|fifo):/.+|(tcp|udp):.+:[0-9]+|https?://[!-~]+|kamcmd:.*)?\Z"
Line = Annotated[str, Meta(pattern=TEXT)]
Name = Annotated[str, Meta(pattern=NAME)]
Path = Annotated[str, Meta(pattern=PATH)]
ReadFile = Annotated[str, Meta(pattern=FILE)]
Url = Annotated[str, Meta(pattern=URL)]
Endpoint = Annotated[str, Meta(pattern=ENDPOINT)]
PATTERNS = {
    SERVICE: "letters, digits, `_` and `-`",
    TAG: "letters, digits, `_`, `-`, `.`, `:` and `=`",
    NAME: "letters, digits, `.`, `_` and `-`",
    PATH: "an absolute path",
    FILE: "an absolute path or `secret://NAME/FIELD`",
    REFERENCE: "`secret://NAME/FIELD`",
    DATASET: "a dataset's name",
    TEXT: "text of one line",
    LAYER: "letters, digits, `.`, `_`, `-`, `/`, `{role}` and `{node}`",
    GLOB: "letters, digits, `_`, `*` and `?`",
    TABLE: "1 to 64 letters, digits, `_` and `-`",
    VARIABLE: "letters, digits and `_`, no digit first",
    CFG_VARIABLE: "`GROUP.NAME`",
    PREFIX: "letters, digits, `.`, `_`, `-` and `/`",
    VAULT_PATH: "a path of Vault's: letters, digits, `.`, `_`, `-` and, within, `/`",
    MOUNT: "letters, digits, `.`, `_`, `-` and, within, `/`",
    LISTEN: "`HOST:PORT`",
    ENDPOINT: "`udp:HOST:PORT` or `tcp:HOST:PORT`",
    URL: "an `http://` or `https://` URL",
    RPC: "`unix:PATH`, `tcp:HOST:PORT`, `udp:HOST:PORT`, `fifo:PATH`, `http://HOST:PORT/PATH`, "
    "`https://HOST:PORT/PATH` or `kamcmd:[PREFIX ...]`",
}


def doc(text: str, default: str = "") -> Meta:
    """What the reference says of a key; `default` describes one that is worked out at start."""
    return Meta(description=text, extra_json_schema={"x-default": default} if default else {})


class Keys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables."""


def table(name: str, text: str, base: type[Keys], own: tuple[SetKey, ...]) -> type[Keys]:
    """A table of the keys of `base` and `own` ones. `text` is its docstring."""
    fields = [(key.name, _kind(key), key.default) for key in own]
    # forbid_unknown_fields and kw_only are inherited
    made = msgspec.defstruct(name, fields, bases=(base,), namespace={"__doc__": text}, frozen=True)
    assert issubclass(made, Keys)
    return made


def _kind(key: SetKey) -> Any:
    """The type that msgspec checks: `key.grammar`, and None where that is the default."""
    grammar: Any
    if isinstance(key.grammar, Number):
        grammar = Annotated[int, Meta(ge=key.grammar.low, le=key.grammar.high)]
    elif isinstance(key.grammar, Choice):
        grammar = Literal.__getitem__(key.grammar.values)
    elif isinstance(key.grammar, Text):
        whole = rf"^(?:{key.grammar.pattern.pattern})\Z"
        grammar = Annotated[str, Meta(pattern=whole, extra_json_schema={"x-allowed": key.grammar.allowed})]
    else:
        grammar = bool
    return Annotated[grammar if key.default is not None else grammar | None, doc(key.doc, key.otherwise)]


T = TypeVar("T", bound=Struct)


def convert(raw: object, to: type[T], source: str, prefix: str = "") -> T:
    """`raw` as a `to`. Raises ConfigError: which file, which key, what was expected, what was found."""
    try:
        return msgspec.convert(raw, to)
    except msgspec.ValidationError as error:
        raise _explained(str(error), raw, to, source, prefix) from None


def plain(value: object) -> Any:
    """Structs and dataclasses as dicts and lists, every member present; paths as text."""
    return msgspec.to_builtins(value, enc_hook=str)


def describe(schema: Mapping[str, Any]) -> str:
    """What a JSON schema asks for, in words: "a number from 0"."""
    if "anyOf" in schema:
        return " or ".join(describe(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        return "one of " + ", ".join(str(value) or '""' for value in schema["enum"])
    if "pattern" in schema:
        return str(schema.get("x-allowed") or PATTERNS[schema["pattern"]])
    if schema.get("type") == "array":
        return f"a list of {'at least one, each ' if schema.get('minItems') else ''}{describe(schema['items'])}"
    words = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "string": "text"}
    least, above, most = (schema.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    return (
        words.get(schema.get("type", ""), "a table")
        + (f" above {above}" if above is not None else "")
        + (f" from {least}" if least is not None else "")
        + (f" to {most}" if most not in (None, MANY) else "")
    )


def schema_at(kind: type[Struct], steps: Sequence[str | int]) -> Mapping[str, Any]:
    """The JSON schema of what stands at the end of a path through Structs and lists."""
    whole = msgspec.json.schema(kind)
    found: Mapping[str, Any] = whole
    for step in (*steps, None):
        found = next((part for part in found.get("anyOf", ()) if part.get("type") != "null"), found)
        found = whole["$defs"][found["$ref"].rsplit("/", 1)[1]] if "$ref" in found else found
        if step is not None:
            found = found["properties"][step] if isinstance(step, str) else found["items"]
    return found


def _explained(message: str, raw: Any, to: type[Struct], source: str, prefix: str) -> ConfigError:
    text, _, path = message.partition(" - at `$")
    path = path.rstrip("`")
    steps = [name or int(index) for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path)]
    key, schema, value = (prefix + path).lstrip("."), schema_at(to, steps), raw
    unknown = re.match(r"Object contains unknown field `(.*)`", text, re.DOTALL)
    if unknown:
        return unknown_key(source, f"{key}." if key else "", unknown[1], list(schema["properties"]))
    for step in steps:
        value = value[step]
    if isinstance(value, str):
        value = re.sub(r"//.*@", "//...@", value)  # what may be a password is not repeated
    return ConfigError(f"cannot use {source}: {key}: expected {describe(schema)}, got {value!r}")


def unknown_key(source: str, prefix: str, name: str, known: Sequence[str]) -> ConfigError:
    """The error for a key that there is not, with the nearest one that there is."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return ConfigError(f"cannot use {source}: {prefix}{name}: expected one of {', '.join(known)}, got {name!r}{hint}")


def replace(value: T, **changes: object) -> T:
    """A copy with some members changed."""
    return msgspec.structs.replace(value, **changes)
