"""What a probe may ask, and what it is told. `consul_kam.app.world` implements `World`; any thread may call it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from consul_kam.core.fresh import Fresh
from consul_kam.core.ports import Value

KAMAILIO, CONSUL_TEMPLATE = "kamailio", "consul-template"
"""The programs that may be ours to keep."""
ATTACH, SPAWN, NO_KAMAILIO = "attach", "spawn", "none"
RTP = "rtp"
"""The role without Kamailio."""


@dataclass(frozen=True)
class NodeFacts:
    """What the configuration says of this node; complete. Endpoints are `udp:HOST:PORT` or `tcp:HOST:PORT`."""

    role: str = ""
    kamailio: str = ATTACH
    """attach, spawn or none."""
    consul_template: str = ATTACH
    """attach or spawn."""
    sip: tuple[str, ...] = ()
    status_url: str = ""
    ng: str = ""
    lists: tuple[str, ...] = ()
    """Datasets that are enabled."""
    stale_after: float = 60.0
    """Seconds."""

    def keeps(self, program: str) -> bool:
        """Whether `run` starts that program, and may restart it."""
        return {KAMAILIO: self.kamailio, CONSUL_TEMPLATE: self.consul_template}.get(program) == SPAWN


class SipReply(NamedTuple):
    """`code`: of the final response, 0 where there was none and `error` says why."""

    code: int
    error: str = ""


@dataclass(frozen=True)
class ProcessFacts:
    """One program, its children included. `cpu_s`: seconds of CPU that it used since its start."""

    pid: int
    alive: bool
    zombie: bool = False
    rss_bytes: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class ListFacts:
    """One dataset. `equal`: whether Kamailio's memory is what it shall be; None: it was not read, or nothing is wanted.

    `halted`: paused or only observed, so that nobody is going to change it. `trouble`: what stands in the way, or "".
    """

    name: str
    equal: bool | None
    phase: str = ""
    halted: bool = False
    trouble: str = ""


class World(Protocol):
    """Everything raises `Unanswered` (or RpcError) where nobody answers; durations are in seconds."""

    @property
    def node(self) -> NodeFacts: ...

    def rpc(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        """As `Rpc.call`, over a connection that is not the engine's. Raises RpcError."""
        ...

    def options(self, endpoints: Sequence[str], timeout: float) -> Mapping[str, SipReply]:
        """One OPTIONS to each, at the same time; raises nothing."""
        ...

    def http_get(self, url: str, timeout: float) -> int:
        """The status code; redirects are not followed."""
        ...

    def ng_ping(self, endpoint: str, timeout: float) -> str:
        """What RTPEngine says to a ping: "pong"."""
        ...

    def process(self, name: str) -> ProcessFacts | None:
        """A program that `run` keeps (KAMAILIO, CONSUL_TEMPLATE); None while there is none."""
        ...

    def lists(self) -> Sequence[ListFacts]:
        """Every enabled dataset."""
        ...

    def rendered(self, timeout: float) -> Mapping[str, Fresh]:
        """Dataset -> is its staging what Consul says now? Costs a run of consul-template."""
        ...

    def consul_leader(self, timeout: float) -> str:
        """The address of the leader that the local agent knows, "" for none."""
        ...
