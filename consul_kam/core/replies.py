"""Reading the replies of Kamailio's RPC: the shape that is expected, or RpcMalformed."""

from collections.abc import Mapping, Sequence

from consul_kam.core.grammar import shown
from consul_kam.core.ports import Struct, Value
from consul_kam.errors import RpcMalformed


def struct(value: Value, what: str) -> Struct:
    """The members of a struct or array; `what` names it in the error."""
    if isinstance(value, tuple):
        return value
    raise RpcMalformed(f"cannot read {what}: expected a struct, got {shown(value)}")


def members(value: Value, what: str) -> Mapping[str, Value]:
    """A struct whose names do not repeat, as a mapping."""
    return dict(struct(value, what))


def repeated(value: Value, names: Sequence[str], what: str) -> list[Mapping[str, Value]]:
    """A struct in which these members come again and again: one mapping for each time."""
    columns = [[member for name, member in struct(value, what) if name == wanted] for wanted in names]
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(f"{len(column)} {name}" for name, column in zip(names, columns, strict=True))
        raise RpcMalformed(f"cannot read {what}: expected as many of each member, got {counts}")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def text(found: Mapping[str, Value], name: str, what: str) -> str:
    """A member that is a scalar."""
    value = found.get(name)
    if isinstance(value, str):
        return value
    raise RpcMalformed(f"cannot read {what}: expected text in {name}, got {shown(value)}")


def number(found: Mapping[str, Value], name: str, what: str) -> int:
    """A member that is a whole number."""
    value = text(found, name, what)
    try:
        return int(value)
    except ValueError:
        raise RpcMalformed(f"cannot read {what}: expected a number in {name}, got {shown(value)}") from None


def word(found: Mapping[str, Value], name: str, allowed: Sequence[str], what: str) -> str:
    """A member that is one of a few words."""
    value = text(found, name, what)
    if value in allowed:
        return value
    raise RpcMalformed(f"cannot read {what}: expected {' or '.join(allowed)} in {name}, got {shown(value)}")
