"""Kamailio's htable module in the lab: how to load it, and what a table holds."""

from collections.abc import Mapping
from pathlib import Path

from tests.lab.rpc import Rpc, Struct

HEADER = "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n"
Held = Mapping[str, str | int]


def options(directory: Path, *tables: str, others: tuple[str, ...] = (), size: int = 4) -> dict[str, str]:
    """For `Kamailio(directory, **options(directory, "carriers"))`: tables from `live/dbtext`, `others` from nowhere."""
    dbtext = directory / "live" / "dbtext"
    dbtext.mkdir(parents=True, exist_ok=True)
    lines = ['loadmodule "htable.so"', f'modparam("htable","db_url","text://{dbtext}")']
    for name in tables:
        (dbtext / name).write_text(HEADER)
        lines.append(f'modparam("htable","htable","{name}=>size={size};dbtable={name};")')
    lines += [f'modparam("htable","htable","{name}=>size={size};")' for name in others]
    return {"modparams": "\n".join(lines)}


def held(rpc: Rpc, table: str) -> Held:
    """htable.dump: keys and values, a value of type int as a number."""
    found: dict[str, str | int] = {}
    for slot in rpc.call("htable.dump", table):
        assert isinstance(slot, Struct)
        items = slot["slot"]
        assert isinstance(items, Struct)
        for _, item in items.members:
            assert isinstance(item, Struct)
            assert isinstance(item["value"], int if item["type"] == "int" else str)
            assert str(item["name"]) not in found
            found[str(item["name"])] = item["value"]  # type: ignore[assignment]
    return found
