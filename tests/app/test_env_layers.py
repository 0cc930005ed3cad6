"""KV followed by blocking queries: what is asked when, and what becomes of each answer.

A real one is followed in tests/integration/test_env_node.py.
"""

import base64
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from consul_kam.adapters.consul import Consul, Response
from consul_kam.app.env_layers import PACE, WAIT, Layers
from consul_kam.app.loop import Loop
from consul_kam.config import Settings
from consul_kam.core.env import Layer
from consul_kam.errors import ConsulUnreachable

PATIENCE = 20.0
"""Seconds."""


class Store:
    """Consul's KV, as an agent answers for it. `asked`: (prefix, index to wait behind); `hurries`: it never waits."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.kept: dict[str, tuple[int, dict[str, str]]] = {}
        self.asked: list[tuple[str, int]] = []
        self.away = self.ends = self.hurries = False
        self.reads: list[str] = []
        self.fails = 0
        """So many of the next readings."""
        self.meanwhile: Callable[[str], None] = lambda prefix: None

    def put(self, prefix: str, index: int, **entries: str) -> None:
        with self.changed:
            self.kept[prefix] = index, entries
            self.changed.notify_all()

    def goes(self, away: bool) -> None:
        with self.changed:
            self.away = away
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.ends = True
            self.changed.notify_all()

    def get(self, path: str, *params: tuple[str, str], after: int = 0, wait: float = 0.0) -> Response:
        assert params == (("recurse", ""), ("dc", "dc2"))
        prefix = path.removeprefix("/v1/kv/").rstrip("/")
        assert wait in (WAIT, 0.0)
        with self.changed:
            if not wait:
                return self._read(prefix)
            self.asked.append((prefix, after))
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.ends or self.away or self.hurries or self._is_news(prefix, after))
            return self._answer(prefix)

    def _read(self, prefix: str) -> Response:
        """All of them are read in turn; meanwhile somebody may do something."""
        self.reads.append(prefix)
        if self.fails:
            self.fails -= 1
            raise ConsulUnreachable("cannot reach Consul at here: no answer")
        answer = self._answer(prefix)
        self.meanwhile(prefix)
        return answer

    def _answer(self, prefix: str) -> Response:
        if self.away or self.ends:
            raise ConsulUnreachable("cannot reach Consul at here: gone")
        index, entries = self.kept.get(prefix, (0, {}))
        rows = [
            {"Key": f"{prefix}/{name}", "Value": base64.b64encode(text.encode()).decode(), "ModifyIndex": index}
            for name, text in entries.items()
        ]
        return Response(200 if rows else 404, json.dumps(rows), False, index)

    def _is_news(self, prefix: str, after: int) -> bool:
        return prefix in self.kept and self.kept[prefix][0] != after

    def was_asked_of(self, these: set[tuple[str, int]]) -> None:
        """Until all of these were asked."""
        with self.changed:
            assert self.changed.wait_for(lambda: these <= set(self.asked), PATIENCE), self.asked

    def was_asked(self, *these: tuple[str, int]) -> None:
        """Until these were the last questions."""
        with self.changed:
            found = self.changed.wait_for(lambda: self.asked[-len(these) :] == list(these), PATIENCE)
            assert found, self.asked


class Hasty(Loop):
    """Its timers go off at once; `due`: when they would have."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[float] = []

    def at(self, when: float, call: Callable[[], object]) -> None:
        self.due.append(when)
        super().at(time.monotonic(), call)


class Follow:
    def __init__(self, *prefixes: str) -> None:
        self.store, self.loop = Store(), Hasty()
        self.news: queue.Queue[list[Layer] | str | None] = queue.Queue()
        given = SimpleNamespace(env=SimpleNamespace(layers=prefixes), consul=SimpleNamespace(datacenter="dc2"))
        settings, made = cast(Settings, given), cast(Callable[[], Consul], lambda: self.store)
        self.layers = Layers(self.loop, settings, made, lambda: self.news.put(self.layers.now()))
        self.thread = threading.Thread(target=self.loop.run, args=(lambda: None,))

    def start(self) -> None:
        self.thread.start()
        self.loop.post(self.layers.start)

    def on_the_loop(self, call: Callable[[], Any]) -> Any:
        done = threading.Event()
        found: list[Any] = []

        def job() -> None:
            found.append(call())
            done.set()

        self.loop.post(job)
        assert done.wait(PATIENCE)
        return found[0]

    def comes(self) -> Any:
        """What the next news is."""
        return self.news.get(timeout=PATIENCE)

    def close(self) -> None:
        self.on_the_loop(self.layers.close)
        self.loop.post(self.loop.stop)
        self.thread.join(PATIENCE)
        self.store.end()


@pytest.fixture
def follow() -> Iterator[Callable[..., Follow]]:
    made: list[Follow] = []

    def make(*prefixes: str) -> Follow:
        made.append(Follow(*prefixes))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_change_is_known_at_once_and_nothing_is_asked_meanwhile(follow: Callable[..., Follow]) -> None:
    one = follow("g")
    one.store.put("g", 7, A="x")
    one.start()
    assert one.comes() == [Layer("g", {"A": b"x"})]
    one.store.was_asked(("g", 0), ("g", 7))
    one.store.put("g", 9, A="y")
    assert one.comes() == [Layer("g", {"A": b"y"})]
    one.store.was_asked(("g", 0), ("g", 7), ("g", 9))
    assert len(one.store.asked) == 3


def test_all_are_read_in_their_order_once_one_of_them_answered(follow: Callable[..., Follow]) -> None:
    one = follow("g", "n")
    assert one.layers.now() is None
    one.store.put("n", 3, B="y")
    one.start()
    assert one.comes() == [Layer("g", {}), Layer("n", {"B": b"y"})]
    one.store.put("g", 5, A="x")
    assert one.comes() == [Layer("g", {"A": b"x"}), Layer("n", {"B": b"y"})]
    assert one.store.reads == ["g", "n", "g", "n"]


def test_a_variable_that_is_moved_is_missing_at_no_moment(follow: Callable[..., Follow]) -> None:
    """It is put into the stronger layer before it goes from the weaker one, and just while both are read."""
    one = follow("g", "n")
    one.store.put("g", 1, A="x")
    one.store.put("n", 1)
    one.start()
    assert one.comes() == [Layer("g", {"A": b"x"}), Layer("n", {})]
    one.store.was_asked_of({("g", 1), ("n", 1)})

    def move(prefix: str) -> None:
        if prefix == "g":
            one.store.meanwhile = lambda prefix: None
            one.store.put("n", 3, A="x")
            one.store.put("g", 4)

    one.store.meanwhile = move
    one.store.put("g", 2, A="x", B="y")
    seen = [one.comes()]
    while seen[-1] != [Layer("g", {}), Layer("n", {"A": b"x"})]:
        seen.append(one.comes())
    assert all(any("A" in layer.entries for layer in found) for found in seen)


def test_what_changes_while_all_are_read_is_read_again(follow: Callable[..., Follow]) -> None:
    one = follow("g")
    one.store.put("g", 1, A="x")
    one.start()
    assert one.comes() == [Layer("g", {"A": b"x"})]
    one.store.was_asked(("g", 1))

    def change(prefix: str) -> None:
        """The bell has rung when it asks for what is newer than this."""
        one.store.meanwhile = lambda prefix: None
        one.store.put("g", 3, A="z")
        assert one.store.changed.wait_for(lambda: ("g", 3) in one.store.asked, PATIENCE)

    one.store.meanwhile = change
    one.store.put("g", 2, A="y")
    assert one.comes() == [Layer("g", {"A": b"y"})]
    assert one.comes() == [Layer("g", {"A": b"z"})]


def test_a_reading_that_fails_is_tried_again_though_nothing_changes(follow: Callable[..., Follow]) -> None:
    one = follow("g")
    one.store.put("g", 1, A="x")
    one.store.fails = 1
    one.start()
    assert one.comes() == "cannot reach Consul at here: no answer"
    assert one.comes() == [Layer("g", {"A": b"x"})]


def test_no_layers_are_known_at_once(follow: Callable[..., Follow]) -> None:
    one = follow()
    assert one.layers.now() == []
    one.start()


def test_who_does_not_answer_is_told_of_and_asked_anew_for_all_there_is(follow: Callable[..., Follow]) -> None:
    one = follow("g")
    one.store.put("g", 7, A="x")
    one.start()
    assert one.comes() == [Layer("g", {"A": b"x"})]
    one.store.was_asked(("g", 7))
    one.store.goes(True)
    assert one.comes() == "cannot reach Consul at here: gone"
    one.store.was_asked(("g", 0), ("g", 0))
    assert one.news.empty(), "the same trouble is no news"
    one.store.goes(False)
    assert one.comes() == [Layer("g", {"A": b"x"})]


def test_an_index_that_went_back_is_not_waited_behind(follow: Callable[..., Follow]) -> None:
    """Another store: 9 is far ahead of all that comes to it."""
    one = follow("g")
    one.store.put("g", 9, A="x")
    one.start()
    assert one.comes() == [Layer("g", {"A": b"x"})]
    one.store.was_asked(("g", 9))
    one.store.put("g", 2, A="y")
    assert one.comes() == [Layer("g", {"A": b"y"})]
    one.store.was_asked(("g", 9), ("g", 0), ("g", 2))


def test_a_store_that_changes_all_the_time_is_asked_once_in_a_while(follow: Callable[..., Follow]) -> None:
    one = follow("g")
    one.store.put("g", 1)
    one.store.hurries = True
    began = time.monotonic()
    one.start()
    with one.store.changed:
        assert one.store.changed.wait_for(lambda: len(one.store.asked) > 2, PATIENCE)
    assert one.store.asked[:3] == [("g", 0), ("g", 1), ("g", 1)]
    assert one.loop.due[0] >= began + PACE


def test_what_is_asked_at_the_end_is_not_waited_for(follow: Callable[..., Follow]) -> None:
    one = follow("g")
    one.store.put("g", 7)
    one.start()
    assert one.comes() == [Layer("g", {})]
    one.store.was_asked(("g", 7))
    one.on_the_loop(one.layers.close)
    one.store.put("g", 8, A="x")
    time.sleep(0.1)
    assert one.news.empty()
    assert one.on_the_loop(one.layers.now) == [Layer("g", {})]
