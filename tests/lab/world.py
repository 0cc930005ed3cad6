"""The whole pipeline in one object: Consul, consul-template, an engine, Kamailio, and an eye on its memory.

Router number n is service `router`, ID `rNN`, 127.0.0.1 and port BASE + n: in this order Kamailio shall hold them.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consul_kam.config import known_datasets
from tests.lab import VERSIONS, ConsulAgent, Dispatcher, Engine, Kamailio, Lab, Sampler, uris, wait_for
from tests.lab.consul_template import Template
from tests.lab.ports import is_free

__all__ = ["BASE", "World", "agent", "consul", "empty", "every_version", "flags", "lab", "uri"]


def _base() -> int:
    """Another run on this machine has other ports: four digits, so that text order is number order."""
    while True:
        base = random.SystemRandom().randrange(1_200, 9_700, 100)
        if all(is_free(base + offset) for offset in (*range(1, 10), 51, 52, 53)):
            return base


BASE = _base()


def uri(number: int) -> str:
    return f"sip:127.0.0.1:{BASE + number}"


def flags(memory: Dispatcher | None, number: int, setid: int = 1) -> str:
    """FLAGS of a router, "" where it is not in memory."""
    return next((d.flags for d in (memory or {}).get(setid, []) if d.uri == uri(number)), "")


class World:
    """`kamailio`: options of the lab's Kamailio; `env`: of consul-template; the rest: options of the lab's Engine."""

    def __init__(
        self,
        lab: Lab,
        consul: ConsulAgent,
        kamailio: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        dispatcher: str | None = "",
        templates: bool = True,
        token: str = "",
        **engine: Any,
    ) -> None:
        self.lab, self.consul = lab, consul
        self.kam: Kamailio = lab.kamailio(**{"reload_delta": 0, **(kamailio or {})})
        self.seen: Sampler[Dispatcher] = lab.sampler(self.kam)
        self.engine: Engine = lab.engine(self.kam, consul, dispatcher=dispatcher, **engine)
        datasets = {"dispatcher": dispatcher, **{n: engine.get(n) for n in known_datasets() if n != "dispatcher"}}
        wanted: list[Template] = [self.engine.template(name) for name, lines in datasets.items() if lines is not None]
        if templates:
            self.ct = lab.consul_template(consul, wanted, env, token)

    def add(self, *numbers: int, **options: Any) -> None:
        for number in numbers:
            self.consul.register("router", f"r{number:02d}", port=BASE + number, **options)

    def remove(self, *numbers: int) -> None:
        for number in numbers:
            self.consul.deregister(f"r{number:02d}")

    def at_once(self, *change: Callable[[], object]) -> None:
        """Changes that consul-template sees as one."""
        self.ct.stop()
        for each in change:
            each()
        self.ct.start()

    def drain(self, number: int, on: bool = True) -> None:
        self.consul.maintenance(f"r{number:02d}", on)

    def expect(self, *numbers: int, timeout: float = 15.0) -> float:
        """When memory came to hold these routers in set 1, in order, and nothing else."""
        wanted = [uri(number) for number in numbers]
        return self.seen.wait_until(lambda memory: uris(memory) == wanted and set(memory) <= {1}, timeout)

    def expect_flags(self, timeout: float = 15.0, **wanted: str) -> None:
        """`expect_flags(r1="DX", r2="AX")`."""
        states = {int(name[1:]): state for name, state in wanted.items()}
        self.seen.wait_until(lambda memory: all(flags(memory, n) == s for n, s in states.items()), timeout)

    def flags(self, number: int) -> str:
        """Asked now, not sampled."""
        return flags(self.kam.rpc.dispatcher(), number)

    def set_state(self, state: str, number: int) -> None:
        """An operator's word, past the engine."""
        self.kam.rpc.call("dispatcher.set_state", state, 1, uri(number))

    def said(self, verdict: str, held: Iterable[int] | None = None, timeout: float = 15.0) -> dict[str, Any]:
        """The first entry of the journal with this verdict, and with exactly these routers held."""
        wanted = {f"1 {uri(number)}" for number in held} if held is not None else None
        found: list[dict[str, Any]] = []

        def look() -> bool:
            entries = (entry for entry in self.engine.journal() if entry.get("verdict") == verdict)
            found[:] = (entry for entry in entries if wanted is None or entry.get("held", {}).keys() == wanted)
            return bool(found)

        wait_for(f"{verdict} in the journal, held: {wanted}", look, timeout, self.engine.log, every=0.02)
        return found[0]

    def verdict(self, word: str, timeout: float = 15.0) -> dict[str, Any]:
        """The status of dispatcher once it gives this verdict."""
        self.engine.wait(f"verdict {word}", lambda status: status["verdict"] == word, timeout)
        return self.engine.status()

    def rest(self, timeout: float = 15.0, dataset: str = "dispatcher") -> dict[str, Any]:
        """The status once nothing is on its way and memory, live file and staging are taken in."""
        self.engine.wait("rest", _rests, timeout, dataset)
        return self.engine.status(dataset)

    def restart_engine(self) -> None:
        """SIGTERM, and a new one."""
        assert self.engine.stop() == 0
        self.engine.start()


def _rests(status: Mapping[str, Any]) -> bool:
    return bool(
        status["phase"] == "IDLE" and status["memory"]["state"] == "equal" and status["live"]["state"] == "equal"
    )


def empty(agent: ConsulAgent) -> None:
    """Take every service and key out of an agent."""
    services = agent.ask("GET", "/v1/agent/services")
    assert isinstance(services, dict)
    for id in services:
        agent.deregister(id)
    agent.kv_delete("", recurse=True)


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulAgent]:
    """One Consul for all tests that do not hurt it."""
    with ConsulAgent(tmp_path_factory.mktemp("consul")) as started:
        yield started


@pytest.fixture
def consul(agent: ConsulAgent) -> ConsulAgent:
    """The shared agent, emptied."""
    empty(agent)
    return agent


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(tmp_path, getattr(request, "param", "")) as opened:
        yield opened


every_version = pytest.mark.parametrize("lab", VERSIONS, indirect=True)
"""For tests (or as a module's `pytestmark`) whose `lab` shall have each version of Kamailio in turn."""
