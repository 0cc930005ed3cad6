"""What reaches a running Kamailio: keys of an htable of ours, and cfg variables. Compared with what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consul_kam.core.env_spec import CFG, HTABLE, Spec, as_number
from consul_kam.core.ports import Call

UNREAD = "cannot be read (loadmodule cfg_rpc.so), and is not set blindly"
Held = str | int
Place = tuple[str, str]
"""Group and name of a cfg variable."""


@dataclass(frozen=True, slots=True)
class Live:
    """`table`: key -> value of the htable; `cfg`: the variables. As wanted, or as read back."""

    table: Mapping[str, Held] = field(default_factory=dict)
    cfg: Mapping[Place, Held] = field(default_factory=dict)


def wanted(specs: Sequence[Spec], texts: Mapping[str, str]) -> Live:
    """An optional variable that nobody sets is no key of the table; a cfg variable keeps what it has."""
    table: dict[str, Held] = {}
    cfg: dict[Place, Held] = {}
    for spec in specs:
        if spec.name not in texts:
            continue
        number = as_number(spec, texts[spec.name])
        value = texts[spec.name] if number is None else number
        if spec.change == HTABLE:
            table[spec.name] = value
        elif spec.change == CFG:
            cfg[spec.cfg] = value
    return Live(table, cfg)


def calls(table: str, want: Live, seen: Live) -> list[Call]:
    """What makes `seen` what is wanted: new keys and values first, then what goes; nothing where all is right.

    A cfg variable that is not seen is not there, or cannot be read: nothing is set blindly.
    """
    puts = [_put(table, key, value) for key, value in want.table.items() if seen.table.get(key) != value]
    drops: list[Call] = [("htable.delete", (table, key)) for key in seen.table if key not in want.table]
    sets = [_set(place, value) for place, value in want.cfg.items() if place in seen.cfg and seen.cfg[place] != value]
    return [*puts, *sets, *drops]


def differences(want: Live, seen: Live) -> list[str]:
    """What is not as wanted, one line each, without values."""
    keys = [key for key in want.table if seen.table.get(key) != want.table[key]]
    extra = [key for key in seen.table if key not in want.table]
    return [
        *(f"{key} is not in its htable as it shall be" for key in keys),
        *(f"{key} is still in its htable" for key in extra),
        *(
            f"cfg variable {'.'.join(place)} " + ("has another value" if place in seen.cfg else UNREAD)
            for place, value in want.cfg.items()
            if seen.cfg.get(place) != value
        ),
    ]


def _put(table: str, key: str, value: Held) -> Call:
    return "htable.seti" if isinstance(value, int) else "htable.sets", (table, key, value)


def _set(place: Place, value: Held) -> Call:
    return "cfg.seti" if isinstance(value, int) else "cfg.sets", (*place, value)
