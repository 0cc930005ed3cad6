"""The include that gives Kamailio the environment: #!define, #!substdef and cfg variables, from values that were let
through by core.env_spec.

Sources: src/core/cfg.lex and ppcfg.c of Kamailio 5.6 and 6.0; what was tried: docs/environment.md.
"""

from collections.abc import Iterator, Mapping, Sequence

from consul_kam.core.env import digest
from consul_kam.core.env_spec import BARE, CFG, FLAG, NONE, OWN, STRING, SUBST, TRUE, Spec, as_number, quoted

VARIABLE = "env"
"""The cfg variable of group OWN that says which values Kamailio was started with."""
MOST = 256
"""Defines that we make; 5.6.3 has room for 507 in all, 6.0.1 for 505 [cfg.lex, MAX_DEFINES; tried]."""
_HEAD = """\
# Made by consul_kam from Consul's KV, anew at each change; read at Kamailio's next start. Do not edit.
# docs/environment.md says what each line is.
"""


def include(specs: Sequence[Spec], texts: Mapping[str, str], found: str = "") -> str:
    """The file's text. Declarations come first: a define could stand for a word in them. `found`: core.env.digest.

    With a secret of Vault's in it Kamailio leaves no core, which would hold that; a later line of the operator's wins.
    """
    found = found or digest(specs, texts)
    lines = ["disable_core_dump=yes"] if any(spec.leased and spec.name in texts for spec in specs) else []
    lines += [f"{OWN}.{VARIABLE} = {quoted(found)} desc {quoted('what the environment was at the start')}"]
    there = [(spec, texts[spec.name]) for spec in specs if spec.name in texts]
    lines += [_declared(spec, text) for spec, text in there if spec.change == CFG and spec.cfg[0] == OWN]
    lines += [line for spec, text in there for line in _defined(spec, text)]
    return _HEAD + "".join(f"{line}\n" for line in lines)


def _declared(spec: Spec, text: str) -> str:
    number = as_number(spec, text)
    value = quoted(text) if number is None else str(number)
    return f"{OWN}.{spec.cfg[1]} = {value} desc {quoted(spec.name)}"


def _defined(spec: Spec, text: str) -> Iterator[str]:
    """A define that is a flag is there or is not, as #!ifdef asks."""
    if spec.define == FLAG:
        if text.lower() in TRUE:
            yield f"#!define {spec.name}"
    elif spec.define == BARE:
        yield f"#!define {spec.name} {int(text) if spec.kind == 'int' else text}"
    elif spec.define == SUBST:
        # \x01 separates, which no value holds; substdefs gives the define its quotes, substdef leaves a number bare
        word = "substdef" if spec.kind == "int" else "substdefs"
        value = str(int(text)) if spec.kind == "int" else text
        yield f'#!{word} "\\x01{spec.name}\\x01{value}\\x01g"'
    elif spec.define == STRING:
        yield f"#!define {spec.name} {quoted(text)}"
    else:
        assert spec.define == NONE
