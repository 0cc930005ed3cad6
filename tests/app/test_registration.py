"""The Registrar's threads: what is on disk when, and an end that waits for nobody. Real Consul: tests/integration."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consul_kam import config
from consul_kam.app.loop import Loop
from consul_kam.app.registration import Registrar
from consul_kam.core.registered import Action, Deregister, Forget, Register, Seen
from consul_kam.errors import ConsulError, ConsulRefused
from tests.core.registration_world import Paper

TOML = '[node]\nrole = "rtp"\nname = "host1"\nstate_dir = "{}"\n[registration]\naddress = "10.0.0.1"\nevery = 0.2\n'


class Agent:
    """The agent of paper, with a hook before each thing that is done; `open` unset: it hangs."""

    def __init__(self) -> None:
        self.paper, self.done = Paper(), list[Action]()
        self.before: Callable[[Action], object] = lambda action: None
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    def look(self, id: str, name: str, old: str = "", pinned: str = "", catalog: bool = True) -> Seen:
        self.asked.set()
        self.open.wait(20)
        return self.paper.seen(id, old)

    def do(self, action: Action) -> None:
        self.before(action)
        self.done.append(action)
        self.paper = self.paper.do(action)


class Running:
    def __init__(self, directory: Path) -> None:
        self.agent, self.loop = Agent(), Loop()
        settings = config.parse(TOML.format(directory), "test", {})
        self.record = directory / "registration.json"
        self.registrar = Registrar(self.loop, settings, lambda: self.agent, lambda: True)  # type: ignore[arg-type, return-value]
        self.thread = threading.Thread(target=self.loop.run, args=(lambda: None,))

    def start(self) -> None:
        self.thread.start()
        self.loop.post(self.registrar.start)

    def until(self, probe: Callable[[], Any]) -> None:
        for _ in range(2000):
            if probe():
                return
            threading.Event().wait(0.01)
        pytest.fail(f"never: {self.agent.done}")

    def on_disk(self) -> dict[str, Any]:
        return dict(json.loads(self.record.read_text())) if self.record.exists() else {}

    def leave(self) -> None:
        left = threading.Event()
        self.loop.post(lambda: self.registrar.leave(left.set))
        assert left.wait(20)


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Running]:
    """Not begun yet, so that a hook is there from the first action on."""
    running = Running(tmp_path)
    yield running
    running.agent.open.set()
    running.loop.post(running.registrar.close)
    running.loop.post(running.loop.stop)
    running.thread.join(10)


@pytest.fixture
def run(idle: Running) -> Running:
    idle.start()
    return idle


def test_what_is_about_to_be_registered_is_on_disk_before(idle: Running) -> None:
    seen: list[str] = []

    def note(action: Action) -> None:
        if isinstance(action, Register):
            seen.append(idle.on_disk().get("id", ""))

    idle.agent.before = note
    idle.start()
    idle.until(lambda: idle.agent.done)
    assert seen == ["host1"]


def test_what_could_not_be_done_is_said_and_tried_again(idle: Running) -> None:
    said: list[dict[str, Any]] = []

    def refuse(action: Action) -> None:
        if isinstance(action, Register) and not said:
            idle.loop.post(lambda: said.append(idle.registrar.status()))
            raise ConsulError("cannot today")

    idle.agent.before = refuse
    idle.start()
    idle.until(lambda: idle.agent.done)
    idle.loop.post(lambda: said.append(idle.registrar.status()))
    idle.until(lambda: said and said[-1]["trouble"] == "")


def test_an_agent_that_hangs_is_said_and_holds_up_nobodys_end(run: Running) -> None:
    run.until(lambda: run.agent.done)
    run.agent.open.clear()
    run.agent.asked.clear()
    run.until(run.agent.asked.is_set)
    run.leave()  # though the worker is stuck for longer
    assert not any(isinstance(action, Deregister) for action in run.agent.done)
    assert run.on_disk()["id"] == "host1"
    run.agent.open.set()
    run.until(lambda: isinstance(run.agent.done[-1], Forget))


def test_nothing_is_registered_after_the_end(run: Running) -> None:
    """By a look that was under way."""
    run.until(lambda: run.agent.done)
    run.agent.open.clear()
    run.agent.asked.clear()
    run.until(run.agent.asked.is_set)
    run.agent.paper = Paper()
    run.loop.post(lambda: run.registrar.leave(lambda: None))
    run.agent.open.set()
    done = len(run.agent.done)
    run.until(lambda: run.on_disk()["id"] == "")
    run.loop.post(run.registrar.changed)
    run.leave()
    assert not any(isinstance(action, Register) for action in run.agent.done[done:])


def test_a_catalog_without_a_leader_does_not_keep_the_record(run: Running) -> None:
    run.until(lambda: run.agent.done)

    def refuse(action: Action) -> None:
        if isinstance(action, Forget):
            raise ConsulRefused("cannot put: 500 No cluster leader", 500)

    run.agent.before = refuse
    run.leave()
    run.until(lambda: run.on_disk()["id"] == "")
