"""What is particular to rtpengine: draining by weight 0, an operator's disabling, health, rtpengine.show."""

import pytest

from consul_kam.core.ports import Value
from consul_kam.core.records import Host, Record, Seen, Use
from consul_kam.datasets import dataset
from consul_kam.errors import ListError, RpcMalformed
from consul_kam.testing import OLDEST, VERSIONS
from tests.datasets.common import reply

RTPENGINE = dataset("rtpengine")


def memory(name: str, version: str = OLDEST) -> tuple[Seen, ...]:
    return RTPENGINE.decode([reply("rtpengine", name, version)])  # type: ignore[list-item]


every_version = pytest.mark.parametrize("version", VERSIONS)


def one(text: str = '"weight":5') -> Record:
    data = f'{{"setid":3,"url":"udp:10.0.0.1:22222",{text}}}\n{{"end":"rtpengine","records":1}}\n'.encode()
    (record,) = RTPENGINE.parse_staging("rtpengine", data).records
    return record


@every_version
def test_no_node_is_no_value_or_a_fault_that_means_empty(version: str) -> None:
    assert memory("none", version) == memory("none_left", version) == ()
    assert RTPENGINE.decode([()]) == ()
    assert RTPENGINE.readback[0].empty == ((500, "Initializing - try later"),)


@every_version
def test_nodes_are_known_by_set_and_url(version: str) -> None:
    found = {entry.key: entry for entry in memory("several", version)}
    assert found[0, "udp:127.0.0.1:2223"] == Seen((0, "udp:127.0.0.1:2223"), (1,), "1")
    assert found[0, "udp:127.0.0.1:2224"] == Seen((0, "udp:127.0.0.1:2224"), (5,), "1(permanent)")
    assert found[3, "udp6:[::1]:2223"] == Seen((3, "udp6:[::1]:2223"), (0,), "1", disabled=True)
    assert found[4, "udp:127.0.0.1:2223"].seen == (3,)


@every_version
def test_one_that_does_not_answer_is_no_difference_but_gets_no_calls(version: str) -> None:
    """6.0 says the same in other words: `disabled` is for good there, and `active` 0 is silence."""
    found = memory("states", version)
    assert [entry.state for entry in found] == ["0", "1", "1(permanent)", "1(permanent)"]
    assert [RTPENGINE.active(entry.state) for entry in found] == [True, False, False, False]
    assert not any(entry.disabled for entry in found)


def test_a_draining_node_has_weight_0_and_keeps_its_calls() -> None:
    record = one('"weight":5,"status":"maintenance"')
    assert record.use is Use.DRAINING
    assert record.seen == (5,)
    assert RTPENGINE.line(record, "0", True, True) == "0:3:udp\\:10.0.0.1\\:22222:0:0:1"
    assert RTPENGINE.as_disabled is not None
    assert RTPENGINE.as_disabled(record).seen == (0,)
    assert RTPENGINE.as_disabled(record).line == "0:3:udp\\:10.0.0.1\\:22222:0:0:0"
    assert RTPENGINE.as_disabled(one('"weight":0')) == one('"weight":0')


def test_what_an_operator_disabled_rides() -> None:
    assert RTPENGINE.carry is not None
    assert [RTPENGINE.carry(state, False) for state in ("0", "1", "1(permanent)")] == ["", "", "1(permanent)"]
    line = RTPENGINE.line(one(), "1(permanent)", False, False)
    assert line == "0:3:udp\\:10.0.0.1\\:22222:5:1:0"
    assert RTPENGINE.ours(RTPENGINE.notation.write([line])) == frozenset()


def test_only_a_weight_of_0_with_our_mark_is_ours() -> None:
    lines = [RTPENGINE.line(one(), "", True, True), "0:4:udp\\:10.0.0.1\\:22222:0:0:0"]
    assert RTPENGINE.ours(RTPENGINE.notation.write(lines)) == {(3, "udp:10.0.0.1:22222")}
    assert RTPENGINE.ours(b"") == frozenset()
    assert RTPENGINE.line(one(), "", False, True) == "0:3:udp\\:10.0.0.1\\:22222:5:0:0"
    assert RTPENGINE.line(one(), "", True, False) == "0:3:udp\\:10.0.0.1\\:22222:0:0:0"
    with pytest.raises(ListError, match=r"^cannot use live file:1:1: "):
        RTPENGINE.ours(b"nonsense")


@pytest.mark.parametrize(
    "value", ["text", (), (("url", "a"), ("set", "x"), ("weight", "1")), (("url", "a"), ("set", "1"), ("weight", "1"))]
)
def test_another_shape_is_malformed(value: Value) -> None:
    with pytest.raises(RpcMalformed, match=r"^cannot read rtpengine\.show"):
        RTPENGINE.decode([(value,)])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("udp:rtp.example:22222", Host("rtp.example", 4)),
        ("UDP6:rtp.example", Host("rtp.example", 6)),
        ("udp:10.0.0.1:22222", Host("10.0.0.1", 4)),
        ("udp6:[2001:db8::1]:22222", Host("[2001:db8::1]", 6)),
        ("ws://rtp.example:8080/ng", None),
        ("unix:/run/rtp.example", None),
        ("unix:rtp.example", None),
    ],
)
def test_a_host_that_a_load_looks_up_and_connects_to_is_known(url: str, host: Host | None) -> None:
    """One that fails shuts Kamailio's window for good: it must not come into the file."""
    staged = f'{{"url":"{url}","status":"passing"}}\n{{"end":"rtpengine","records":1}}\n'.encode()
    (record,) = dataset("rtpengine").parse_staging("rtpengine", staged).records
    assert record.host == host


def test_a_node_is_one_of_its_set_and_comes_from_its_service() -> None:
    record = one('"source":{"service":"rtp","id":"r1","node":"n","dc":"dc1"},"status":"passing"')
    assert (record.group, record.sort) == ("3", (3, "udp:10.0.0.1:22222"))
    assert str(record.source) == "rtp/r1 on n in dc1"


def test_a_node_without_port_has_none_in_its_url() -> None:
    for port in ('"",', "null,"):
        data = f'{{"port":{port}"address":"10.0.0.1"}}\n{{"end":"rtpengine","records":1}}\n'.encode()
        assert [record.key for record in RTPENGINE.parse_staging("l", data).records] == [(0, "udp:10.0.0.1")]
