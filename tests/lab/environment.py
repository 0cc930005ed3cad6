"""The environment of a node, as its status and its Kamailio show it."""

from collections.abc import Callable
from typing import Any

from tests.lab.node import Node
from tests.lab.process import PATIENCE, wait_for
from tests.lab.rpc import Fault, Rpc, Struct, Unreachable

AWAY = "no answer"


def environment(node: Node) -> dict[str, Any]:
    """Of its status."""
    found = node.ask("status")["node"]["environment"]
    assert isinstance(found, dict)
    return found


def shown(node: Node, key: str, table: str = "shown") -> object:
    """A value of an htable, by the tests' own client; None: there is no such key; AWAY: nobody said so."""
    rpc = Rpc(node.kamailio.ctl)
    try:
        return value_of(rpc, table, key)
    except Fault:
        return None
    except (Unreachable, TimeoutError):
        return AWAY
    finally:
        rpc.close()


def value_of(rpc: Rpc, table: str, key: str) -> object:
    """Raises Fault where there is no such key."""
    found = rpc.call("htable.get", table, key)[0]
    assert isinstance(found, Struct)
    item = found["item"]
    assert isinstance(item, Struct)
    return item["value"]


def cfg(node: Node, *name: str) -> object:
    """A cfg variable."""
    rpc = Rpc(node.kamailio.ctl)
    try:
        return rpc.call("cfg.get", *name)[0]
    finally:
        rpc.close()


def until(node: Node, what: str, probe: Callable[[], object], timeout: float = PATIENCE) -> None:
    wait_for(what, lambda: bool(probe()), timeout, node.log, 0.05)
