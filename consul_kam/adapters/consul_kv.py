"""Consul's KV as layers of variables: read whole, changed in transactions that see nobody else's change in between."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from consul_kam.adapters.consul import Consul
from consul_kam.core.env import Layer
from consul_kam.errors import ConsulError, ConsulRefused

MOST = 64
"""Operations in a transaction [Consul HTTP API, Transactions]."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A layer as it stands in KV. `indexes`: NAME -> ModifyIndex; `index`: of the answer."""

    layer: Layer
    indexes: Mapping[str, int]
    index: int = 0


def read(consul: Consul, prefix: str, datacenter: str = "", after: int = 0, wait: float = 0.0) -> Kept:
    """All keys below `prefix`, with `after` once they have another index, or after `wait` s.

    Raises ConsulError, for an answer that ACLs shortened as well: it is not "none".
    """
    where = [("dc", datacenter)] if datacenter else []
    answer = consul.get(f"/v1/kv/{quote(prefix)}/", ("recurse", ""), *where, after=after, wait=wait)
    if answer.filtered:
        raise ConsulError(f"cannot read KV {prefix}/: ACLs hide some of it from our token (key_prefix, read)")
    entries: dict[str, bytes] = {}
    indexes: dict[str, int] = {}
    found = answer.json() if answer.code == 200 else []
    for entry in found if isinstance(found, list) else [found]:
        name, raw, index = _entry(entry, prefix)
        if name and not name.endswith("/"):  # a folder
            entries[name], indexes[name] = raw, index
    return Kept(Layer(prefix, entries, folder=bool(found) and not entries), indexes, answer.consul_index)


def layers(consul: Consul, prefixes: Sequence[str], datacenter: str = "") -> list[Layer]:
    """Read in turn, the weakest first (app/env_layers.py says why). Raises ConsulError."""
    return [read(consul, prefix, datacenter).layer for prefix in prefixes]


def _entry(entry: Any, prefix: str) -> tuple[str, bytes, int]:
    try:
        name = str(entry["Key"]).removeprefix(f"{prefix}/")
        return name, base64.b64decode(entry["Value"] or "", validate=True), int(entry["ModifyIndex"])
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise ConsulError(f"cannot understand Consul: KV {prefix}/ has an entry of another shape") from None


def write(consul: Consul, kept: Kept, puts: Mapping[str, str], drops: Sequence[str] = (), datacenter: str = "") -> None:
    """Put and drop variables of a layer, each only where it is still as it was read.

    All at once up to MOST; more in several transactions. Raises ConsulError; then one of them was not carried out, and
    the message says how many were.
    """
    prefix = kept.layer.place
    operations = [_put(f"{prefix}/{name}", text, kept.indexes.get(name, 0)) for name, text in puts.items()]
    operations += [
        {"KV": {"Verb": "delete-cas", "Key": f"{prefix}/{name}", "Index": kept.indexes[name]}} for name in drops
    ]
    where = [("dc", datacenter)] if datacenter else []
    for done in range(0, len(operations), MOST):
        try:
            consul.put("/v1/txn", operations[done : done + MOST], *where)
        except ConsulRefused as refused:
            why = "somebody changed it meanwhile" if refused.code == 409 else str(refused)
            raise ConsulError(f"cannot write KV {prefix}/ ({done} of {len(operations)} written): {why}") from None


def _put(key: str, text: str, index: int) -> dict[str, Any]:
    return {"KV": {"Verb": "cas", "Key": key, "Value": base64.b64encode(text.encode()).decode(), "Index": index}}
