"""What jsonrpcs said to each recorded call reads as what ctl said to it, fault for fault and value for value."""

import pytest

from consul_kam.adapters.jsonrpc_wire import decode_reply
from consul_kam.errors import RpcFault
from consul_kam.testing import VERSIONS, Recording, recorded

RECORDED = {
    f"{version}/{name}": reply
    for version in VERSIONS
    for name, reply in recorded(version).items()
    if reply.json and reply.method != "core.uptime"  # asked twice, it says two times of day
}


@pytest.mark.parametrize("reply", RECORDED.values(), ids=RECORDED.keys())
def test_both_say_the_same(reply: Recording) -> None:
    if reply.fault is None:
        assert decode_reply(reply.method, reply.json, 1) == reply.values
        return
    with pytest.raises(RpcFault) as caught:
        decode_reply(reply.method, reply.json, 1)
    assert (caught.value.code, caught.value.reason) == reply.fault


def test_there_is_something_to_compare() -> None:
    assert {name.split("/")[1] for name in RECORDED} >= {"core", "dispatcher", "domain", "rtpengine", "address"}
