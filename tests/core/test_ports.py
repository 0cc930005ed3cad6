"""Calls in order over a transport that sends one at a time."""

import pytest

from consul_kam.core.ports import Value, one_after_the_other
from consul_kam.errors import RpcError, RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable
from consul_kam.testing import FakeKamailio


class Telling(FakeKamailio):
    """Answers with what it was asked for."""

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        super().call(method, *params, deadline=deadline)
        return (method, *map(str, params), str(deadline))


def test_each_call_gets_its_reply_its_parameters_and_the_whole_deadline() -> None:
    rpc = Telling({"b": lambda *params: ()})
    calls = [("core.uptime", ()), ("b", (1, "x"))]
    assert one_after_the_other(rpc, calls, 2.5) == [("core.uptime", "2.5"), ("b", "1", "x", "2.5")]


@pytest.mark.parametrize("error", [RpcFault("a", 500, "no"), RpcTooBig("big"), RpcMalformed("odd")])
def test_what_one_reply_stands_for_does_not_stop_the_next(error: RpcError) -> None:
    rpc = FakeKamailio({"a": lambda: ("1",), "b": lambda: ("2",)})
    rpc.fail_next("a", error)
    assert one_after_the_other(rpc, [("a", ()), ("b", ())], 1.0) == [error, ("2",)]


@pytest.mark.parametrize("error", [RpcUnreachable("away"), RpcTimeout("late")])
def test_without_a_reply_nothing_more_is_sent(error: RpcError) -> None:
    rpc = FakeKamailio({"a": lambda: ("1",), "b": lambda: ("2",)})
    rpc.fail_next("a", error)
    with pytest.raises(type(error)):
        one_after_the_other(rpc, [("a", ()), ("b", ())], 1.0)
    assert rpc.calls == {"a": 1}
