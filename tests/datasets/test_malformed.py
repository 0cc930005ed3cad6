"""Replies of another shape than Kamailio's: which RPC, what was expected, what came."""

import pytest

from consul_kam.core.ports import Value
from consul_kam.datasets import dataset
from consul_kam.errors import RpcMalformed

ODD: Value = (("odd", "x"),)


def dest(**members: Value) -> Value:
    """A dispatcher.list with one destination."""
    whole = {"URI": "sip:a.example", "FLAGS": "AX", "PRIORITY": "1", "ATTRS": (("BODY", ""),), **members}
    struct = tuple((name, value) for name, value in whole.items() if value != "left out")
    return (("RECORDS", (("SET", (("ID", "1"), ("TARGETS", (("DEST", struct),)))),)),)


def host(**members: Value) -> Value:
    """An entry of permissions.addressDump or subnetDump."""
    item = {"ip": "10.0.0.0", "mask": "24", "port": "0", "tag": "x", **members}
    return (("group", "1"), ("item", tuple((name, value) for name, value in item.items() if value != "left out")))


def node(**members: Value) -> Value:
    """An entry of rtpengine.show."""
    row = {"url": "udp:10.0.0.1", "set": "1", "weight": "1", "disabled": "0", "active": "1", **members}
    return tuple((name, value) for name, value in row.items() if value != "left out")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ODD, "expected a struct, got ''"),
        ((("RECORDS", (("SET", (("ID", "1"),)),)),), "expected a struct, got ''"),
        ((("RECORDS", (("SET", (("ID", "1"), ("TARGETS", (("DEST", "odd"),)))),)),), "expected a struct, got 'odd'"),
        (dest(FLAGS="left out"), "expected text in FLAGS, got None"),
        (dest(URI="left out"), "expected text in URI, got None"),
        (dest(PRIORITY="high"), "expected a number in PRIORITY, got 'high'"),
        (dest(ATTRS="odd"), "expected a struct, got 'odd'"),
        (dest(ATTRS=()), "expected text in BODY, got None"),
    ],
)
def test_dispatcher_list(value: Value, message: str) -> None:
    with pytest.raises(RpcMalformed) as error:
        dataset("dispatcher").decode([(value,)])
    assert str(error.value) == f"cannot read dispatcher.list: {message}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((("group", "1"),), "expected a struct, got ''"),
        ((("group", "x"), ("item", ())), "expected a number in group, got 'x'"),
        (host(ip="left out"), "expected text in ip, got None"),
        (host(tag="left out"), "expected text in tag, got None"),
        (host(port="x"), "expected a number in port, got 'x'"),
    ],
)
@pytest.mark.parametrize("dump", ["addressDump", "subnetDump"])
def test_permissions_dumps(dump: str, value: Value, message: str) -> None:
    answers = [(value,) if name == dump else () for name in ("addressDump", "subnetDump", "domainDump")]
    with pytest.raises(RpcMalformed) as error:
        dataset("address").decode(answers)
    assert str(error.value) == f"cannot read permissions.{dump}: {message}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ODD, "expected a struct, got ''"),
        ((("domains", (("", "odd"),)),), "expected a struct, got 'odd'"),
        ((("domains", (("", (("did", "a"),)),)),), "expected text in domain, got None"),
        ((("domains", (("", (("domain", "a"),)),)),), "expected text in did, got None"),
    ],
)
def test_domain_dump(value: Value, message: str) -> None:
    with pytest.raises(RpcMalformed) as error:
        dataset("domain").decode([(value,)])
    assert str(error.value) == f"cannot read domain.dump: {message}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ODD, "expected a struct, got ''"),
        ((("slot", (("", "odd"),)),), "expected a struct, got 'odd'"),
        ((("slot", (("", (("type", "str"),)),)),), "expected text in name, got None"),
        ((("slot", (("", (("name", "a"), ("type", "x"))),)),), "expected str or int in type, got 'x'"),
        ((("slot", (("", (("name", "a"), ("type", "str"))),)),), "expected text in value, got None"),
        ((("slot", (("", (("name", "a"), ("type", "int"), ("value", "x"))),)),), "expected a number in value, got 'x'"),
    ],
)
def test_htable_dump(value: Value, message: str) -> None:
    with pytest.raises(RpcMalformed) as error:
        dataset("htable").decode([(value,)])
    assert str(error.value) == f"cannot read htable.dump: {message}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("odd", "expected a struct, got 'odd'"),
        (node(set="x"), "expected a number in set, got 'x'"),
        (node(url="left out"), "expected text in url, got None"),
        (node(weight="x"), "expected a number in weight, got 'x'"),
        (node(disabled="left out"), "expected text in disabled, got None"),
        (node(active=()), "expected text in active, got ()"),
    ],
)
def test_rtpengine_show(value: Value, message: str) -> None:
    with pytest.raises(RpcMalformed) as error:
        dataset("rtpengine").decode([(value,)])
    assert str(error.value) == f"cannot read rtpengine.show: {message}"
