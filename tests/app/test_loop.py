"""The decision thread's loop, and what becomes of an engine in which something breaks that nobody expected."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from consul_kam.app.loop import Loop

BROKEN = """
import sys, threading, time
from consul_kam.app.loop import Worker, end_loudly
threading.excepthook = end_loudly
def job():
    raise KeyError("nobody thought of this")
Worker("disk").submit(job)
time.sleep(30)
"""


def test_a_defect_in_a_worker_ends_the_engine_loudly() -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 70
    assert "KeyError: 'nobody thought of this'" in done.stderr


def test_it_ends_too_where_nobody_reads_the_log() -> None:
    script = BROKEN.replace("def job", "sys.stderr.close()\ndef job")
    assert subprocess.run([sys.executable, "-c", script], timeout=20, check=False).returncode == 70


def test_a_flood_of_calls_does_not_keep_timers_waiting() -> None:
    loop, calls = Loop(), [0]

    def flood() -> None:
        calls[0] += 1
        if calls[0] == 1000:
            pytest.fail("the timer never ran")
        loop.post(flood)

    loop.post(flood)
    loop.at(time.monotonic(), loop.stop)
    loop.run(lambda: None)


@contextmanager
def running(loop: Loop) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=lambda: loop.run(lambda: None), daemon=True)
    thread.start()
    yield thread
    loop.post(loop.stop)
    thread.join(10)
    assert not thread.is_alive()


def _somewhere(call: object) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_who_has_news_decides_here_and_now_where_nobody_else_does() -> None:
    loop, who = Loop(), list[threading.Thread]()
    with running(loop):
        up = threading.Event()
        loop.post(up.set)
        assert up.wait(10)
        while loop._turn.locked():
            time.sleep(0.001)
        loop.take(lambda: loop.take(lambda: who.append(threading.current_thread())))
        assert who == [threading.current_thread()], "and with all that follows from it"


def test_what_comes_while_another_thread_decides_is_decided_there_in_order() -> None:
    loop, done, deciding, go = Loop(), list[object](), threading.Event(), threading.Event()

    def first() -> None:
        deciding.set()
        go.wait(10)
        done.append("first")

    with running(loop) as thread:
        loop.post(first)
        assert deciding.wait(10)
        loop.leave(lambda: done.append("left"))
        loop.take(lambda: done.append(threading.current_thread()))
        assert done == []
        go.set()
    assert done == ["first", "left", thread]


def test_nothing_is_decided_before_it_runs_nor_after_it_was_stopped() -> None:
    loop, done = Loop(), list[str]()
    loop.take(lambda: done.append("early"))
    assert done == []
    with running(loop):
        pass
    loop.take(lambda: done.append("late"))
    assert done == ["early"]


def test_a_call_is_never_lost_nor_run_beside_another() -> None:
    loop, inside, counted = Loop(), list[int](), [0]

    def call() -> None:
        inside.append(1)
        assert len(inside) == 1
        counted[0] += 1
        inside.pop()

    with running(loop):
        threads = [_somewhere(lambda: [loop.take(call) for _ in range(500)]) for _ in range(4)]
        for thread in threads:
            thread.join(20)
    assert counted == [2000]


def test_what_came_just_before_the_turn_was_given_back_is_not_left_lying() -> None:
    loop, done = Loop(), list[str]()

    class Turn:
        """Another thread, which found the turn taken, left its call in the last moment."""

        def __init__(self) -> None:
            self._lock, self.acquire = loop._turn, loop._turn.acquire

        def release(self) -> None:
            if done == ["first"]:
                loop.leave(lambda: done.append("second"))
            self._lock.release()

    with running(loop):
        up = threading.Event()
        loop.post(up.set)
        assert up.wait(10)
        while loop._turn.locked():
            time.sleep(0.001)
        loop._turn = Turn()  # type: ignore[assignment]
        loop.take(lambda: done.append("first"))
        assert done == ["first", "second"]


def test_what_a_call_raises_on_a_worker_ends_the_loop_where_it_runs() -> None:
    loop, raised = Loop(), list[BaseException]()

    def run() -> None:
        try:
            loop.run(lambda: None)
        except KeyError as error:
            raised.append(error)

    thread = _somewhere(run)
    _somewhere(lambda: loop.take(lambda: {}["nobody thought of this"])).join(10)
    thread.join(10)
    assert str(raised) == "[KeyError('nobody thought of this')]"


def test_a_timer_that_is_due_sooner_than_the_one_waited_for_wakes_it() -> None:
    loop, rang = Loop(), threading.Event()
    loop.at(time.monotonic() + 3600, loop.stop)
    with running(loop):
        loop.take(lambda: loop.at(time.monotonic() + 0.01, rang.set))
        assert rang.wait(10)
