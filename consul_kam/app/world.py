"""What the probes may ask, for real. Their threads call it; nothing here touches what is the decision thread's."""

import threading
from collections.abc import Callable, Mapping, Sequence

from consul_kam.adapters import http_get, ng, rpc, sip
from consul_kam.adapters.consul import Consul
from consul_kam.app.engine import Lane
from consul_kam.app.freshness import Freshness, Looked
from consul_kam.app.loop import Loop
from consul_kam.config import Settings
from consul_kam.core.compare import Difference
from consul_kam.core.fresh import Fresh
from consul_kam.core.ports import Rpc, Value
from consul_kam.core.state import State, compare
from consul_kam.core.world import ListFacts, NodeFacts, ProcessFacts, SipReply
from consul_kam.errors import Unanswered


def node_facts(settings: Settings) -> NodeFacts:
    """What a probe may know of the configuration."""
    return NodeFacts(
        role=settings.node.role,
        kamailio=settings.kamailio.mode,
        consul_template=settings.consul_template.mode,
        sip=tuple(settings.kamailio.sip or ()),
        status_url=settings.kamailio.status_url,
        ng=settings.rtpengine.ng,
        lists=tuple(each.name for each in settings.enabled),
        stale_after=settings.consul_template.stale_after,
    )


class NodeWorld:
    """`core.world.World`. `process`: what psutil says of a program; `consul` makes a client."""

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        lanes: Mapping[str, Lane],
        freshness: Freshness | None,
        consul: Callable[[], Consul],
        process: Callable[[str], ProcessFacts | None],
    ) -> None:
        self.node = node_facts(settings)
        self._loop, self._way, self._freshness, self._process = loop, settings.kamailio, freshness, process
        self._lanes = {name: _Memory(lane) for name, lane in lanes.items()}
        self._make_consul = consul
        self._own = threading.local()

    def rpc(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        """A connection for each probe's thread, so that none waits for another's answer."""
        client: Rpc | None = getattr(self._own, "rpc", None)
        if client is None:
            way = self._way
            client = self._own.rpc = rpc.connect(way.rpc, way.rpc_reply_dir, way.rpc_password_file, way.rpc_ca_file)
        return client.call(method, *params, deadline=deadline)

    def options(self, endpoints: Sequence[str], timeout: float) -> Mapping[str, SipReply]:
        return sip.options(endpoints, timeout)

    def http_get(self, url: str, timeout: float) -> int:
        return http_get.status(url, timeout)

    def ng_ping(self, endpoint: str, timeout: float) -> str:
        return ng.ping(endpoint, timeout)

    def process(self, name: str) -> ProcessFacts | None:
        return self._process(name)

    def lists(self) -> Sequence[ListFacts]:
        return [memory.facts() for memory in self._lanes.values()]

    def rendered(self, timeout: float) -> Mapping[str, Fresh]:
        """Asked for on the decision thread; waited for here."""
        if self._freshness is None:
            return {}
        ask, come, found = self._freshness.ask, threading.Event(), list[Looked]()

        def then(looked: Looked) -> None:
            found.append(looked)
            come.set()

        self._loop.post(lambda: ask(then))
        if not come.wait(timeout):
            raise Unanswered(f"cannot see what Consul says: no answer within {timeout:g} s")
        return {name: found[0].of(name) for name in self.node.lists}

    def consul_leader(self, timeout: float) -> str:
        client: Consul | None = getattr(self._own, "consul", None)
        if client is None:
            client = self._own.consul = self._make_consul()
        return client.leader()


class _Memory:
    """One dataset. Its state is replaced as a whole, never changed, so that any thread may read it; comparing it takes
    time, and is done once for each pair of target and memory.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._compared: tuple[State, Difference] | None = None

    def facts(self) -> ListFacts:
        pipeline = self._lane.pipeline
        state = pipeline.state
        equal = None if state.target is None or state.memory is None else not self._difference(state)
        trouble = state.trouble or (f"waits for {state.waits_for}" if state.waits_for else "")
        halted = pipeline.observe or pipeline.paused
        return ListFacts(pipeline.dataset.name, equal, state.phase.value, halted, trouble)

    def _difference(self, state: State) -> Difference:
        assert state.memory is not None
        known = self._compared
        if known is None or not _same(known[0], state):
            known = self._compared = state, compare(state, state.memory)
        return known[1]


def _same(one: State, other: State) -> bool:
    """Whether they compare alike, without a look at the records."""
    return one.target is other.target and one.memory is other.memory and one.ours == other.ours
