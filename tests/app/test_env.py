"""The environment that is kept: what a start gets of it while it is being written down."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.journal import Journal
from consul_kam.app.env import Environment
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.reports import Reporter
from consul_kam.core.env_known import Known
from consul_kam.core.ports import Value
from consul_kam.errors import ConsulKamError, RpcUnreachable
from tests.app.secret_world import Place

ENV = """
[env]
include = "{include}"
every = 0.2
[env.vars.USER]
value = "secret://db/username"
[kamailio]
mode = "spawn"
command = ["kamailio"]
"""
PATIENCE = 20.0
"""Seconds."""


class Away:
    """No Kamailio runs."""

    generation = 0

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        raise RpcUnreachable("nobody there")

    def close(self) -> None:
        pass


class Held(Environment):
    """Writes nothing new down while `may` is not set."""

    may: threading.Event
    reached: threading.Event

    def _written(self, known: Known) -> str:
        if known != self._kept:
            self.reached.set()
            assert self.may.wait(PATIENCE)
        return super()._written(known)


def no_consul() -> Consul:
    raise AssertionError("there are no layers")


@contextmanager
def held(place: Place) -> Iterator[Held]:
    """With a secret u1, and a loop of its own."""
    include = place.secrets.parent / "env.cfg"
    settings = place.settings(more=ENV.format(include=include), change=lambda text: text.replace('"rtp"', '"sbc"'))
    loop, rpc = Loop(), Worker("rpc")
    put(place, 1)
    place.state.mkdir()
    reporter = Reporter(Journal(place.state / "journal.jsonl"))
    made = Held(loop, settings, no_consul, (rpc, Away()), reporter)
    made.may, made.reached = threading.Event(), threading.Event()
    thread = threading.Thread(target=loop.run, args=(lambda: None,))
    thread.start()
    try:
        loop.post(made.start)
        yield made
    finally:
        made.may.set()
        loop.post(made.close)
        loop.post(loop.stop)
        thread.join(PATIENCE)
        rpc.close(PATIENCE)
        reporter.close()


def waiting(made: Held) -> object:
    told = made.status()
    assert told is not None
    return told["restart"]


def put(place: Place, number: int) -> None:
    """A generation of the secret, as the engine lays it down."""
    made = place.secrets / f".db.{number}"
    made.mkdir(0o700, parents=True)
    place.secrets.chmod(0o700)
    (made / "username").touch(0o600)
    (made / "username").write_text(f"u{number}")
    (place.secrets / "new").symlink_to(made.name)
    (place.secrets / "new").rename(place.secrets / "db")


def until(probe: object) -> None:
    assert callable(probe)
    for _ in range(2000):
        if probe():
            return
        threading.Event().wait(0.01)
    pytest.fail("never")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as place:
        yield place


def test_nothing_is_started_before_the_include_is_written(place: Place) -> None:
    include = place.secrets.parent / "env.cfg"
    include.write_text("# of yesterday\n")
    with held(place) as made:
        assert made.reached.wait(PATIENCE)
        assert made.waits_for == "the environment from Consul's KV"
        with pytest.raises(ConsulKamError, match="cannot start Kamailio: the environment from Consul's KV"):
            made.for_start(["kamailio"])
        assert include.read_text() == "# of yesterday\n"
        made.may.set()
        until(lambda: not made.waits_for)
        assert "u1" in include.read_text()
        assert made.for_start(["kamailio"]).digest in include.read_text()


def test_a_start_in_the_middle_of_a_change_is_one_with_what_the_include_says(place: Place) -> None:
    include = place.secrets.parent / "env.cfg"
    with held(place) as made:
        made.may.set()
        until(lambda: not made.waits_for)
        first = made.for_start(["kamailio"]).digest
        made.started(first)
        until(lambda: waiting(made) == [] and (kept := made._kept) is not None and kept.started == first)
        made.may.clear()
        put(place, 2)
        until(lambda: (told := made.status()) is not None and told["digest"] != first)
        assert made.for_start(["kamailio"]).digest == first
        assert first in include.read_text()
        assert waiting(made) == [], "who restarts now would not have it"
        made.may.set()
        until(lambda: waiting(made) == ["USER"])
        assert made.for_start(["kamailio"]).digest != first
        assert "u2" in include.read_text()
