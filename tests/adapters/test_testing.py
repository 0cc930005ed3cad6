"""The shipped fake behaves as the port promises."""

import pytest

from consul_kam.core.ports import Rpc
from consul_kam.errors import RpcFault, RpcTimeout
from consul_kam.testing import VERSIONS, FakeKamailio, dispatcher, recording


def test_a_fake_is_an_rpc() -> None:
    memory: dict[int, list[tuple[str, str, int, str]]] = {}

    def reload() -> tuple[str, ...]:
        memory[1] = [("sip:10.0.0.1:5060", "AX", 10, "duid=r1")]
        return recording("dispatcher", "reload_ok")()

    fake = FakeKamailio({"dispatcher.reload": reload, "dispatcher.list": lambda: dispatcher(memory)})
    rpc: Rpc = fake
    with pytest.raises(RpcFault, match="No Destination Sets"):
        rpc.call("dispatcher.list", deadline=1)
    fake.fail_next("dispatcher.reload", recording("dispatcher", "reload_too_soon"))
    fake.fail_next("dispatcher.reload", RpcTimeout("cannot tell"), carried_out=True)
    with pytest.raises(RpcFault):
        rpc.call("dispatcher.reload", deadline=1)
    assert not memory
    with pytest.raises(RpcTimeout):
        rpc.call("dispatcher.reload", deadline=1)
    assert "sip:10.0.0.1:5060" in str(rpc.call("dispatcher.list", deadline=1))
    assert fake.calls == {"dispatcher.list": 2, "dispatcher.reload": 2}
    with pytest.raises(RpcFault, match=r"command no\.such not found"):
        rpc.call("no.such", deadline=1)


def test_calls_in_order_fail_each_by_itself() -> None:
    fake = FakeKamailio({"dispatcher.reload": lambda: ("Ok",)})
    fault = RpcFault("dispatcher.list", 500, "No Destination Sets")
    fake.fail_next("dispatcher.list", fault)
    calls = [("dispatcher.list", ("short",)), ("dispatcher.reload", ())]
    assert fake.call_in_order(calls, deadline=1) == [fault, ("Ok",)]
    fake.fail_next("dispatcher.list", RpcTimeout("cannot tell"))
    with pytest.raises(RpcTimeout):
        fake.call_in_order(calls, deadline=1)
    assert fake.log == [("dispatcher.list", "short"), ("dispatcher.reload",), ("dispatcher.list", "short")]


def test_a_restart_shows() -> None:
    fake = FakeKamailio()
    fake.uptime = 7
    before = fake.generation
    assert dict(fake.call("core.uptime", deadline=1)[0])["uptime"] == "7"  # type: ignore[arg-type]
    fake.restart()
    assert fake.generation > before
    assert dict(fake.call("core.uptime", deadline=1)[0])["uptime"] == "0"  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_reply_or_fault_is_an_answer(version: str) -> None:
    fake = FakeKamailio({"rtpengine.show": recording("rtpengine", "states", version)}, version)
    fake.fail_next("rtpengine.reload", recording("rtpengine", "reload_too_soon", version))
    with pytest.raises(RpcFault, match="Too short reload interval - try later"):
        fake.call("rtpengine.reload", deadline=1)
    assert len(fake.call("rtpengine.show", "all", deadline=1)) == 4
