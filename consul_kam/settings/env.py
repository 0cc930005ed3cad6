"""The keys of `[env]` and `[env.vars.NAME]`, and what they come to: core.env_spec.Spec."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from consul_kam.core.env import references
from consul_kam.core.env_define import MOST
from consul_kam.core.env_spec import (
    BARE,
    CFG,
    FLAG,
    HTABLE,
    NONE,
    OWN,
    RESTART,
    STRING,
    SUBST,
    Spec,
    is_secret,
    why_not,
    why_not_defined,
    why_not_name,
)
from consul_kam.core.grammar import INT_MAX
from consul_kam.core.secret_reference import read
from consul_kam.errors import ConfigError
from consul_kam.settings.schema import CFG_VARIABLE, GLOB, LAYER, REFERENCE, TABLE, TEXT, Keys, Meta, convert, doc
from consul_kam.settings.schema import Path as PathText

Words = list[Annotated[str, Meta(pattern=TEXT, min_length=1)]]
Number = Annotated[int, Meta(ge=-INT_MAX - 1, le=INT_MAX)]


class Env(Keys, frozen=True):
    """Variables from Consul's KV, see [environment](environment.md). On where `layers` names any."""

    layers: Annotated[
        list[Annotated[str, Meta(pattern=LAYER)]],
        doc("KV prefixes, later ones win; `{role}` and `{node}` are those of `[node]`. A key below one is a variable."),
    ] = []
    allow: Annotated[
        list[Annotated[str, Meta(pattern=GLOB)]],
        doc(
            "Names, with `*` and `?`, that reach the environment of programs without being declared below; others are "
            "ignored, and named by `consul-kam env`."
        ),
    ] = []
    include: Annotated[
        PathText,
        doc("The file of `#!define`s that is made for Kamailio's configuration to include; none where it is empty."),
    ] = ""
    htable: Annotated[
        str,
        Meta(pattern=TABLE),
        doc('Kamailio\'s htable for variables with `change = "htable"`, with no keys of others in it.'),
    ] = "consul_kam_env"
    every: Annotated[
        float,
        Meta(ge=0.2, le=3600),
        doc("How often Kamailio is compared with it, and a secret looked at, s; a change of KV is known at once."),
    ] = 2.0


class Var(Keys, frozen=True):
    """One declared variable; NAME is its name, a key below the prefixes of `[env] layers`."""

    type: Annotated[
        Literal["text", "int", "bool", "address", "socket", "enum", "uri"],
        doc(
            "What its value has to be. `address`: HOST or HOST:PORT, IPv6 in brackets; `socket`: that behind `udp:`, "
            "`tcp:`, `tls:` or `sctp:`."
        ),
    ] = "text"
    required: Annotated[bool, doc("Without a value, and without a last good one, no program is started.")] = False
    value: Annotated[
        str,
        Meta(pattern=REFERENCE),
        doc(
            "`secret://NAME/FIELD`: its value is that field of a secret of [Vault's](vault.md), whatever KV says. "
            "Always secret, and required unless it has a `default`.",
            "what the layers say",
        ),
    ] = ""
    default: Annotated[str | int | bool | None, doc("Its value where no layer has one.", "none")] = None
    min: Annotated[Number, doc("With `int`: the least.")] = -INT_MAX - 1
    max: Annotated[Number, doc("With `int`: the greatest.")] = INT_MAX
    values: Annotated[Words, doc("With `enum`: what it may be.")] = []
    schemes: Annotated[Words, doc("With `uri`: allowed schemes; any where there are none.")] = []
    pattern: Annotated[
        str, Meta(pattern=TEXT), doc("A regular expression that the whole value has to match; any where it is empty.")
    ] = ""
    define: Annotated[
        Literal["", "string", "bare", "flag", "subst", "none"],
        doc(
            'How the include defines it: `string`: `#!define NAME "VALUE"`; `bare`: without quotes (numbers, IP '
            "addresses, words of an enum); `flag`: there or not, for `#!ifdef`; `subst`: `#!substdef`, within strings "
            "too; `none`: not.",
            "bare for `int`, flag for `bool`, else string",
        ),
    ] = ""
    change: Annotated[
        Literal["restart", "htable", "cfg"],
        doc(
            "What becomes of a new value: it waits for the next restart, or goes at once to a key of `[env] htable` or "
            "to a cfg variable."
        ),
    ] = "restart"
    cfg: Annotated[
        str,
        Meta(pattern=CFG_VARIABLE),
        doc(
            'With `change = "cfg"`: GROUP.NAME of the cfg variable.',
            "consul_kam.NAME in lower case, which the include declares",
        ),
    ] = ""
    dollar: Annotated[
        bool, doc("Whether a `$` may stand in what is defined: some functions of a script expand it as a variable.")
    ] = False
    secret: Annotated[
        bool | None,
        doc(
            "Whether its value is shown nowhere.",
            "where its name sounds so: SECRET, PASSW, TOKEN, PRIVATE, DBURL, _KEY",
        ),
    ] = None


@dataclass(frozen=True)
class EnvSettings:
    """`[env]`, complete. `layers` have no placeholders left; none: off. `include`: None for none."""

    layers: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    include: Path | None = None
    htable: str = "consul_kam_env"
    every: float = 2.0
    specs: tuple[Spec, ...] = ()
    secrets: Path = Path()
    """The directory of Vault's secrets."""

    @property
    def on(self) -> bool:
        return bool(self.layers) or self.leased

    @property
    def leased(self) -> bool:
        """Whether a variable's value is Vault's."""
        return bool(self.origins)

    @property
    def origins(self) -> tuple[str, ...]:
        """Names of the secrets that are values."""
        return tuple(dict.fromkeys(spec.origin[0] for spec in self.specs if spec.leased))

    def spec(self, name: str) -> Spec:
        """Of an undeclared one: text, for the environment alone."""
        return next((spec for spec in self.specs if spec.name == name), Spec(name, secret=is_secret(name)))


def complete(given: Env, raw: Mapping[str, object], role: str, node: str, secrets: str, source: str) -> EnvSettings:
    """`raw`: the tables of `[env.vars]`; `secrets`: Vault's directory. Raises ConfigError."""
    if given.layers and not role and any("{role}" in layer for layer in given.layers):
        raise ConfigError(f"cannot use {source}: env.layers: expected no {{role}}, since [node] role is not set")
    specs = [_spec(name, table, source) for name, table in raw.items()]
    defines = sum(spec.define != NONE for spec in specs)
    if defines > MOST:
        raise ConfigError(f"cannot use {source}: env.vars: expected at most {MOST} that are defined, got {defines}")
    rivals = tuple(spec.name for spec in specs if spec.define == SUBST)
    for spec in specs:
        rival = next((name for name in rivals if name != spec.name and name in spec.name), "")
        if rival and spec.define == SUBST:
            where = f"cannot use {source}: env.vars.{spec.name}"
            raise ConfigError(f"{where}: expected a name without {rival}, which #!subst replaces in every string")
    whole = tuple(_checked(replace(spec, rivals=rivals), source) for spec in specs)
    return EnvSettings(
        layers=tuple(layer.strip("/").format(role=role, node=node) for layer in given.layers),
        allow=tuple(given.allow),
        include=Path(given.include) if given.include else None,
        htable=given.htable,
        every=given.every,
        specs=whole,
        secrets=Path(secrets),
    )


def refuse_secrets(env: EnvSettings, command: Sequence[str], source: str) -> None:
    """Whoever is on the host reads the arguments of its programs. Raises ConfigError."""
    secret = next((name for name in references(command) if env.on and env.spec(name).secret), "")
    if secret:
        where = f"cannot use {source}: kamailio.command"
        raise ConfigError(f"{where}: expected no secret, got ${{{secret}}}: everybody reads arguments")


def _spec(name: str, raw: object, source: str) -> Spec:
    wrong = why_not_name(name)
    if wrong:
        raise ConfigError(f"cannot use {source}: env.vars.{name}: {wrong}")
    given = convert(raw, Var, source, f"env.vars.{name}")
    group, _, variable = given.cfg.partition(".")
    default = given.default
    reference = read(given.value)
    if reference is not None and given.secret is False:
        where = f"cannot use {source}: env.vars.{name}.secret"
        raise ConfigError(f"{where}: expected true: its value is Vault's, got False")
    return Spec(
        name=name,
        kind=given.type,
        required=given.required,
        default=None if default is None else str(default).lower() if isinstance(default, bool) else str(default),
        low=given.min,
        high=given.max,
        values=tuple(given.values),
        schemes=tuple(scheme.lower() for scheme in given.schemes),
        pattern=given.pattern,
        define=given.define or {"int": BARE, "bool": FLAG}.get(given.type, STRING),
        change={"htable": HTABLE, "cfg": CFG}.get(given.change, RESTART),
        cfg=((group, variable) if group else (OWN, name.lower())) if given.change == "cfg" else ("", ""),
        dollar=given.dollar,
        secret=reference is not None or (is_secret(name) if given.secret is None else given.secret),
        origin=(reference.name, reference.field) if reference is not None else ("", ""),
    )


_FITS: Mapping[str, tuple[str, ...]] = {BARE: ("int", "address", "socket", "enum"), FLAG: ("bool",)}
_WORD = re.compile(r"[A-Za-z0-9_]+")


def _checked(spec: Spec, source: str) -> Spec:
    def bad(key: str, expected: str, got: Any) -> ConfigError:
        return ConfigError(f"cannot use {source}: env.vars.{spec.name}.{key}: expected {expected}, got {got!r}")

    fits = _FITS.get(spec.define)
    if fits is not None and spec.kind not in fits:
        raise bad("define", f"another than {spec.define}, which is for {', '.join(fits)}", spec.define)
    wrong = why_not_defined(spec.name) if spec.define != NONE else ""
    if wrong:
        raise ConfigError(f'cannot use {source}: env.vars.{spec.name}: {wrong}; rename it, or define = "none"')
    if spec.kind == "enum" and not spec.values:
        raise bad("values", "what an enum may be", [])
    if spec.kind == "enum" and spec.define == BARE and not all(map(_WORD.fullmatch, spec.values)):
        raise bad("values", 'words of letters, digits and _, for define = "bare"', list(spec.values))
    if spec.change == CFG and spec.cfg == (OWN, "env"):
        raise bad("cfg", "another one: consul_kam.env is ours", "consul_kam.env")
    try:
        re.compile(spec.pattern)
    except (re.error, OverflowError, RecursionError):
        raise bad("pattern", "a regular expression", spec.pattern) from None
    wrong = why_not(spec, spec.default) if spec.default is not None else ""
    if wrong:
        raise ConfigError(f"cannot use {source}: env.vars.{spec.name}.default: it {wrong}")
    return spec
