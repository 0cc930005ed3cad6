"""The environment of a node: layers of Consul's KV, later ones win; what is wrong keeps its last good value.

One flow: layers and the last good values in, an `Env` out. Whoever holds it writes the include, sets what is live, and
starts Kamailio only where nothing is `missing`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from consul_kam.core.env_spec import HTABLE, NAME, RESTART, Spec, is_secret, why_not, why_not_name
from consul_kam.core.grammar import shown as shown_value

HIDDEN = "(hidden)"
_PASSWORD = re.compile(r"(://[^:/@\s]*:)\S*@")


@dataclass(frozen=True, slots=True)
class Layer:
    """`place`: a KV prefix; `entries`: NAME -> value as it stands there; `folder`: it is empty, and there."""

    place: str
    entries: Mapping[str, bytes]
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """`source`: a KV path, `default`, or either behind `last known: `; `vault NAME` of one that is `leased`, which is
    written to no disk.
    """

    text: str
    source: str
    leased: bool = False


@dataclass(frozen=True, slots=True)
class Env:
    """`troubles`: what is not as it should be, and is lived with. `missing`: why nothing may be started with this."""

    values: Mapping[str, Value] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        return {name: value.text for name, value in self.values.items()}


DEFAULT, KEPT = "default", "last known: "


Secrets = Mapping[str, bytes | str]
"""NAME of a variable that is `leased` -> its value, or why there is none."""


def resolve(
    specs: Sequence[Spec],
    allow: Sequence[str],
    layers: Sequence[Layer] | None,
    known: Mapping[str, Value],
    secrets: Secrets | None = None,
) -> Env:
    """What the layers come to. None: nobody can say, and the last good values `known` go on.

    `allow`: patterns (of fnmatch) of names that are taken without being declared; they reach the environment alone.
    `secrets`: the last layer; only what is `leased` is taken from it, and that from nowhere else.
    """
    values: dict[str, Value] = {}
    troubles: list[str] = []
    missing: list[str] = []
    found = _merged(layers) if layers is not None else {}
    for spec in specs:
        place, raw = found.pop(spec.name, ("", None))
        if spec.leased:
            value, wrong = _leased(spec, (secrets or {}).get(spec.name, "it was not read"), known.get(spec.name))
            if raw is not None:
                troubles.append(f"{place}/{spec.name}: ignored: its value is {reference(spec)}")
        else:
            value, wrong = _taken(spec, place, raw, known.get(spec.name), asked=layers is not None)
        if value is not None:
            values[spec.name] = value
        if wrong:
            needed = raw is not None or spec.required or spec.leased
            (troubles if value is not None or not needed else missing).append(wrong)
    if layers is None:
        declared = {spec.name for spec in specs if spec.leased}
        rest = {name: value for name, value in known.items() if name not in values and name not in declared}
        found = {name: ("", value.text.encode()) for name, value in rest.items()}
    for name, (place, raw) in sorted(found.items()):
        wrong = _undeclared(name, allow, raw)
        if wrong:
            told = name if NAME.fullmatch(name) else shown_value(name)  # a key of KV may hold anything
            troubles.append(f"{place}/{told}: {wrong}" if place else f"{told}: {wrong}")
        else:
            values[name] = Value(raw.decode(), f"{place}/{name}" if place else _kept(known[name].source))
    return Env(dict(sorted(values.items())), tuple(troubles), tuple(missing))


def emptied(layers: Sequence[Layer], known: Mapping[str, Value]) -> str:
    """Why a KV that said something before is not believed that it has nothing; "" where it is believed, or has.

    Somebody deleted too much, or a new Consul knows nothing yet: as with a list, none at all is no answer.
    """
    if not layers or any(layer.entries or layer.folder for layer in layers):
        return ""
    if not any(not value.leased and value.source.removeprefix(KEPT) != DEFAULT for value in known.values()):
        return ""
    places = ", ".join(f"{layer.place}/" for layer in layers)
    return f"KV has nothing any more below {places}: not believed; put a variable there, or the key {layers[0].place}/"


def _merged(layers: Sequence[Layer]) -> dict[str, tuple[str, bytes]]:
    return {name: (layer.place, raw) for layer in layers for name, raw in layer.entries.items()}


def _taken(spec: Spec, place: str, raw: bytes | None, last: Value | None, asked: bool) -> tuple[Value | None, str]:
    """Its value, and what is wrong with what KV has. `asked`: whether KV was."""
    good = last is not None and not why_not(spec, last.text)
    kept = Value(last.text, _kept(last.source)) if last is not None and good else None
    if raw is not None:
        wrong = unfit(spec, raw)
        if not wrong:
            return Value(raw.decode(), f"{place}/{spec.name}"), ""
        rest = "; its last good value stays" if kept is not None else "; there is no last good one"
        return kept, f"{place}/{spec.name} {wrong}{rest}"
    if not asked and kept is not None:
        return kept, ""
    if spec.default is not None:
        return Value(spec.default, DEFAULT), ""
    if not spec.required:
        return None, ""
    where = "in no layer" if asked else "not known while Consul does not answer"
    return kept, f"{spec.name} is required and {where}" + ("; its last good value stays" if kept is not None else "")


def reference(spec: Spec) -> str:
    """Of a variable that is `leased`, as the configuration has it."""
    return f"secret://{'/'.join(spec.origin)}"


def _leased(spec: Spec, found: bytes | str, last: Value | None) -> tuple[Value | None, str]:
    """A secret that is no more is not used on: that its files are gone was decided where leases are known."""
    if isinstance(found, str):
        value = None if spec.default is None else Value(spec.default, DEFAULT)
        return value, f"{spec.name}: {found}" + ("" if value is None else "; its default goes")
    wrong = unfit(spec, found)
    if not wrong:
        return Value(found.decode(), f"vault {spec.origin[0]}", leased=True), ""
    where = f"{spec.name}: {reference(spec)} {wrong}"
    if last is None or not last.leased or why_not(spec, last.text):
        return None, f"{where}; there is no last good one"
    return replace(last, source=_kept(last.source)), f"{where}; its last good value stays"


def _kept(source: str) -> str:
    return source if source.startswith(KEPT) else KEPT + source


def unfit(spec: Spec, raw: bytes) -> str:
    """Why these bytes of KV are no value of the variable, or ""."""
    try:
        return why_not(spec, raw.decode())
    except UnicodeDecodeError:
        return "is no UTF-8"


def _undeclared(name: str, allow: Sequence[str], raw: bytes) -> str:
    wrong = why_not_name(name)
    if wrong:
        return wrong
    if not any(fnmatchcase(name, pattern) for pattern in allow):
        return f"ignored: neither [env.vars.{name}] nor [env] allow names it"
    return unfit(Spec(name), raw)


def noted(specs: Sequence[Spec], texts: Mapping[str, str], key: str) -> dict[str, str]:
    """What may be written down of values: of one that is `leased`, only what tells it from others.

    `key`: known to nobody else, so that nobody can try what a short secret might be.
    """
    leased = {spec.name for spec in specs if spec.leased}
    return {name: _print(name, text, key) if name in leased else text for name, text in texts.items()}


def _print(name: str, text: str, key: str) -> str:
    return "leased " + hmac.new(key.encode(), f"{name}={text}".encode(), "sha256").hexdigest()[:16]


def digest(specs: Sequence[Spec], texts: Mapping[str, str]) -> str:
    """Of all that only a restart brings to Kamailio; `texts` as `noted`, since it is shown."""
    live = {spec.name for spec in specs if spec.change != RESTART}
    whole = "\0".join(f"{name}={text}" for name, text in sorted(texts.items()) if name not in live)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def needs_restart(specs: Sequence[Spec], running: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names whose new value waits for a restart."""
    live = {spec.name for spec in specs if spec.change != RESTART}
    return [name for name in sorted({*running, *now}) if name not in live and running.get(name) != now.get(name)]


@dataclass(frozen=True, slots=True)
class Change:
    """One variable's; None: it is not there."""

    name: str
    before: str | None
    after: str | None

    @property
    def sign(self) -> str:
        return "+" if self.before is None else "-" if self.after is None else "~"


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """What differs, by name."""
    names = sorted({*before, *after})
    return [Change(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)]


def shown(specs: Sequence[Spec], name: str, text: str) -> str:
    """A value for people: a secret is hidden, and so is a password in a URI."""
    secret = next((spec.secret for spec in specs if spec.name == name), is_secret(name))
    return HIDDEN if secret else _PASSWORD.sub(r"\1...@", text)


def policy(specs: Sequence[Spec], name: str) -> str:
    """What becomes of a new value: `restart`, `htable`, or `cfg GROUP.NAME`."""
    spec = next((spec for spec in specs if spec.name == name), Spec(name))
    return spec.change if spec.change in (RESTART, HTABLE) else f"{spec.change} {'.'.join(spec.cfg)}"


_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def references(words: Sequence[str]) -> list[str]:
    """The names of each `${NAME}` in a command."""
    return [name for word in words for name in _REFERENCE.findall(word)]


def filled(words: Sequence[str], texts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Words of a command with each `${NAME}` replaced, and the names that nobody knows. A word stays one word."""
    unknown = [name for name in references(words) if name not in texts]
    return [_REFERENCE.sub(lambda found: texts.get(found[1], ""), word) for word in words], unknown
