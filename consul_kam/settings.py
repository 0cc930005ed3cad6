"""Every configuration key: its type, range, default and meaning. docs/configuration.md is generated from this file.

The keys that only one dataset's sets have are in its own file (`Dataset.set_keys`); `set_table` makes a table of them.
A duration is a number of seconds. This is the only file that uses msgspec.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

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
DATASET = r"^[A-Za-z0-9_]+(:[A-Za-z0-9_-]+)?\Z"
TEXT = r"^[^\x00-\x1f\x7f]*\Z"
Name = Annotated[str, Meta(pattern=NAME)]
Path = Annotated[str, Meta(pattern=PATH)]
SERVICE = r"^[A-Za-z0-9_-]*\Z"
TAG = r"^[A-Za-z0-9._:=-]*\Z"
PREFIX = r"^[A-Za-z0-9._/-]*\Z"
RPC = r"^((unix|fifo):/.+|(tcp|udp):.+:[0-9]+|https?://[!-~]+|kamcmd:.*)?\Z"
PATTERNS = {
    SERVICE: "letters, digits, `_` and `-`",
    TAG: "letters, digits, `_`, `-`, `.`, `:` and `=`",
    NAME: "letters, digits, `.`, `_` and `-`",
    PATH: "an absolute path",
    DATASET: "a dataset's name",
    TEXT: "text of one line",
    PREFIX: "letters, digits, `.`, `_`, `-` and `/`",
    RPC: "`unix:PATH`, `tcp:HOST:PORT`, `udp:HOST:PORT`, `fifo:PATH`, `http://HOST:PORT/PATH`, "
    "`https://HOST:PORT/PATH` or `kamcmd:[PREFIX ...]`",
}


def doc(text: str, default: str = "") -> Meta:
    """What the reference says of a key; `default` describes one that is worked out at start."""
    return Meta(description=text, extra_json_schema={"x-default": default} if default else {})


class Keys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables."""


class Node(Keys, frozen=True):
    """This node."""

    state_dir: Annotated[
        Path,
        doc(
            "Where staging, releases, journal and control socket live. `$CONSUL_KAM_STATE_DIR` wins over it.",
            "/var/lib/consul_kam where that can be written, else $XDG_STATE_HOME/consul_kam",
        ),
    ] = ""


class Consul(Keys, frozen=True):
    """How to reach Consul. What is not given is taken from `CONSUL_HTTP_ADDR`, `CONSUL_CACERT` and the like."""

    address: Annotated[
        str,
        Meta(pattern=TEXT),
        doc("HOST:PORT, URL or `unix:///PATH` of the agent.", "$CONSUL_HTTP_ADDR, else 127.0.0.1:8500"),
    ] = ""
    token_file: Annotated[
        Path,
        doc("File that holds the ACL token.", "$CONSUL_HTTP_TOKEN_FILE; $CONSUL_HTTP_TOKEN holds the token itself"),
    ] = ""
    ca_file: Annotated[
        Path, doc("Authorities that the agent's certificate is checked with (PEM).", "$CONSUL_CACERT")
    ] = ""
    cert_file: Annotated[Path, doc("Our client certificate (PEM).", "$CONSUL_CLIENT_CERT")] = ""
    key_file: Annotated[Path, doc("Its key (PEM).", "$CONSUL_CLIENT_KEY")] = ""
    datacenter: Annotated[Name, doc("Data centre of the sets that name none.", "the agent's own")] = ""


class ConsulTemplate(Keys, frozen=True):
    """The consul-template that `status` and `render` run once to see what would be staged now."""

    path: Annotated[Path, doc("The program.", "the consul-template in PATH")] = ""
    templates: Annotated[
        Path,
        doc(
            "Directory of the templates that you have changed, named as `templates export` names them.",
            "the shipped ones, with the sets configured here",
        ),
    ] = ""


class Kamailio(Keys, frozen=True):
    """The Kamailio whose memory is kept right."""

    rpc: Annotated[
        str,
        Meta(pattern=RPC),
        doc(
            "Where its RPC interface listens: binrpc on ctl's socket (unix, tcp, udp), jsonrpcs's FIFO, jsonrpcs over "
            "HTTP (without TLS on loopback only; PATH is /RPC where there is none), or the command kamcmd.",
            "unix:/run/kamailio/kamailio_ctl, or the same below /var/run where only that is there",
        ),
    ] = ""
    rpc_reply_dir: Annotated[
        Path,
        doc("With `fifo:`: where the replies' FIFOs are made; jsonrpcs's `fifo_reply_dir` without its last slash."),
    ] = "/tmp"
    rpc_password_file: Annotated[
        Path, doc("With `http:` and `https:`: file that holds `user:password` for basic authentication, mode 0600.")
    ] = ""
    rpc_ca_file: Annotated[
        Path, doc("With `https:`: authorities that Kamailio's certificate is checked with (PEM).", "the system's")
    ] = ""
    rpc_deadline: Annotated[Deadline, doc("Longest wait for one RPC, s.")] = 5.0
    min_gap: Annotated[
        Seconds | None,
        doc("Least time between two writes to one module, s.", "the dataset's own: 0.1 s + 0.5 ms a record"),
    ] = None
    probing: Annotated[
        bool,
        doc("Whether Kamailio probes its destinations (`ds_probing_mode` 1 or 3), so that held ones may wait for it."),
    ] = False


class Set(Keys, frozen=True):
    """One source of records: a service, static entries, a KV prefix, or any of them together."""

    service: Annotated[str, Meta(pattern=SERVICE), doc("Service in Consul.")] = ""
    tag: Annotated[str, Meta(pattern=TAG), doc("Only instances with this tag.")] = ""
    datacenter: Annotated[Name, doc("Data centre to ask; its records get a staging file of their own.")] = ""
    static: Annotated[
        list[Annotated[str, Meta(pattern=TEXT, min_length=1)]],
        doc("Entries that are always there, in Kamailio's words."),
    ] = []
    kv: Annotated[str, Meta(pattern=PREFIX), doc("Prefix in Consul's KV; each key below holds one entry.")] = ""
    warning: Annotated[Literal["in", "out", "disable"], doc("What becomes of an instance with a warning check.")] = "in"
    critical: Annotated[Literal["out", "disable", "in"], doc("What becomes of an instance with a critical check.")] = (
        "out"
    )
    address: Annotated[
        Literal["", "lan", "wan"], doc("Which tagged address to use.", "the service's, else its node's")
    ] = ""


@cache
def set_table(name: str, text: str, own: tuple[SetKey, ...]) -> type[Set]:
    """The table of a dataset's sets: the keys of `Set` and its own. `text` is its docstring."""
    fields = [(key.name, _kind(key), key.default) for key in own]
    # forbid_unknown_fields and kw_only are inherited
    made = msgspec.defstruct(f"{name}_set", fields, bases=(Set,), namespace={"__doc__": text}, frozen=True)
    assert issubclass(made, Set)
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


class Dataset(Keys, frozen=True):
    """One kind of list."""

    file: Annotated[
        Path,
        doc(
            "The live file, which Kamailio reads. Enables the dataset; what it is, each dataset says below.",
            "the dataset's own, where it says one below; else none: not enabled",
        ),
    ] = ""
    staging: Annotated[Path, doc("What consul-template writes.", "state_dir/staging/DATASET")] = ""
    mode: Annotated[Mode | None, doc("`observe` writes nothing and says what it would do.", "the top-level mode")] = (
        None
    )
    min_records: Annotated[
        Count, doc("Removals are held where fewer live records than this would remain in a set.")
    ] = 1
    max_records: Annotated[Count, doc("Beyond this many, new records are dropped and known ones stay.")] = 10_000
    max_shrink: Annotated[
        float,
        Meta(ge=0, le=1),
        doc("Removals are held where a set falls below this part of its peak of the last 10 min."),
    ] = 0.5
    hold_for: Annotated[Seconds, doc("How long a removal is held at most, s.")] = 60.0
    min_callable: Annotated[Count, doc("The last so many records of a set are never disabled for draining.")] = 1
    on_bad_record: Annotated[
        Literal["drop", "reject"], doc("`drop` leaves a bad record out, alone; `reject` refuses the whole release.")
    ] = "drop"
    resolve_deadline: Annotated[Deadline, doc("Longest wait for the host names of a release to resolve, s.")] = 2.0
    sets: Annotated[
        Annotated[list[dict[str, Any]], Meta(min_length=1)] | None,
        doc("Where its records come from.", "one set, see below"),
    ] = None


class Alert(Keys, frozen=True):
    """What to run when a release is HELD, REJECTED or DEGRADED."""

    command: Annotated[list[str], doc("Program and arguments; it gets the event as JSON on its standard input.")] = []
    deadline: Annotated[Deadline, doc("It is killed after so many seconds.")] = 10.0


class Log(Keys, frozen=True):
    """What is written to standard error."""

    format: Annotated[Literal["text", "json"], doc("One line per event, as `key=value` or as JSON.")] = "text"
    level: Annotated[Literal["debug", "info", "warning", "error"], doc("The least severe level that is written.")] = (
        "info"
    )


class File(Keys, frozen=True):
    """A whole configuration file."""

    mode: Annotated[Mode, doc("`observe` writes nothing at all and says what it would do.")] = "apply"
    order: Annotated[
        list[Annotated[str, Meta(pattern=DATASET)]] | None,
        doc(
            "Lists that belong together: who is new is added in this order, who leaves is removed against it.",
            'those of `["address", "dispatcher"]` that are enabled: trusted before it is routed to',
        ),
    ] = None
    order_wait: Annotated[float, Meta(ge=0, le=600), doc("How long one list waits for another at most, s.")] = 10.0
    verify_every: Annotated[float, Meta(ge=1), doc("How often memory is compared with the target, s.")] = 30.0
    node: Node = Node()
    consul: Consul = Consul()
    consul_template: ConsulTemplate = ConsulTemplate()
    kamailio: Kamailio = Kamailio()
    datasets: dict[str, Dataset] = {}
    alert: Alert = Alert()
    log: Log = Log()


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


def replace(value: T, **changes: str) -> T:
    """A copy with some members changed."""
    return msgspec.structs.replace(value, **changes)
