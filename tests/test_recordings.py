"""What the fakes answer from: recordings of every supported Kamailio, which our own reader reads as the tests' does."""

import pytest

from consul_kam.adapters.binrpc_wire import Decoder
from consul_kam.adapters.jsonrpc_wire import decode_reply
from consul_kam.core.dataset import Ask
from consul_kam.datasets import datasets
from consul_kam.errors import RpcFault
from consul_kam.testing import VERSIONS, FakeKamailio, Recording, dispatcher, domain, recorded, rtpengine
from tests.lab import VERSIONS as SUPPORTED
from tools.record_replies import CHANGES

ALL = [(version, name) for version in VERSIONS for name in recorded(version)]


def same(found: Recording, ask: Ask) -> bool:
    """The same RPC, though perhaps of another table than a dataset without a configuration names."""
    return found.method == ask.method and len(found.params) == len(ask.params)


def test_every_supported_version_is_recorded_alike() -> None:
    assert set(VERSIONS) == set(SUPPORTED)
    assert len({frozenset(recorded(version)) for version in VERSIONS}) == 1


@pytest.mark.parametrize(("version", "name"), ALL)
def test_what_came_over_the_wire_reads_as_the_independent_client_read_it(version: str, name: str) -> None:
    found = recorded(version)[name]
    values = Decoder().decode(found.method, found.body, found.params)
    if found.fault is not None:
        assert values == (str(found.fault[0]), found.fault[1])
    else:
        assert values == found.values
        assert FakeKamailio({found.method: found}).call(found.method, *found.params, deadline=1) == values


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(datasets()))
def test_every_rpc_of_every_dataset_is_recorded(version: str, name: str) -> None:
    """What it is loaded and read back by, the fault for "too soon" and each that means "empty" but one."""
    found = {each for place, each in recorded(version).items() if place.startswith(f"{name}/")}
    dataset = datasets()[name]
    asks = [dataset.reload, *dataset.readback, *([dataset.states.ask] if dataset.states else [])]
    for ask in asks:
        good = [each for each in found if same(each, ask) and not each.fault]
        assert good, f"{ask.method} {ask.params}: tools/scenes.py records none"
    faults = {each.fault for each in found if each.fault}
    assert all(any(text in fault[1].lower() for fault in faults) for text in dataset.window.faults)
    # the one that a start shows for some ms at most (docs/findings.md, Faults)
    assert {empty for ask in asks for empty in ask.empty} - {(500, "Initializing - try later")} <= faults


@pytest.mark.parametrize(("version", "name"), [one for one in ALL if one[1] != "core/uptime"])
def test_jsonrpcs_says_the_same_and_reads_the_same(version: str, name: str) -> None:
    found = recorded(version)[name]
    if not found.json:
        assert CHANGES.search(found.method)
    elif found.fault is not None:
        with pytest.raises(RpcFault) as caught:
            decode_reply(found.method, found.json, 1)
        assert (caught.value.code, caught.value.reason) == found.fault
    else:
        assert decode_reply(found.method, found.json, 1) == found.values


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name, found in datasets().items() if len(found.readback) == 1])
def test_every_read_back_is_read(version: str, name: str) -> None:
    dataset = datasets()[name]
    (ask,) = dataset.readback
    shown = [each for each in recorded(version).values() if same(each, ask)]
    assert any(dataset.decode([each.values]) for each in shown if each.fault is None)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_fakes_make_is_read_as_it_was_meant(version: str) -> None:
    sets = {
        1: [("sip:a.example", "IP", 9, "duid=a;weight=5"), ("sip:10.0.0.1", "AX", 0, "")],
        7: [("sip:b", "DX", 1, "")],
    }
    found = {entry.key: entry for entry in datasets()["dispatcher"].decode([dispatcher(sets, version)])}
    assert list(found) == [(1, "sip:a.example"), (1, "sip:10.0.0.1"), (7, "sip:b")]
    assert found[1, "sip:a.example"].seen == (9, (("duid", "a"), ("weight", "5")))
    assert [entry.state for entry in found.values()] == ["IP", "AX", "DX"]
    assert "ATTRS" not in str(dispatcher(sets, version, short=True))
    with pytest.raises(RpcFault, match="No Destination Sets"):
        dispatcher({}, version)
    shown = datasets()["domain"].decode([domain([("a.example", "b"), ("a.example", "b")], version)])
    assert [(entry.key, entry.seen) for entry in shown] == [(("a.example",), ("b",))] * 2
    assert datasets()["domain"].decode([domain([], version)]) == ()
    nodes = [
        (3, "udp:10.0.0.1:2223", 5, "answers"),
        (3, "udp:10.0.0.2", 0, "silent"),
        (4, "udp:10.0.0.3", 1, "disabled"),
    ]
    held = datasets()["rtpengine"].decode([rtpengine(nodes, version)])
    assert [(entry.key, entry.seen) for entry in held] == [((s, url), (weight,)) for s, url, weight, _ in nodes]
    assert [entry.state for entry in held] == ["0", "1", "1(permanent)"]
    assert datasets()["rtpengine"].decode([rtpengine([], version)]) == ()
