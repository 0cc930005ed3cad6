"""The three pages: from the server's thread to the decision thread and back; who is told what, and when."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from consul_kam.adapters.http import Answer, Make
from consul_kam.adapters.http_wire import Request, Response
from consul_kam.app.loop import Loop
from consul_kam.app.status_http import DEADLINE, StatusHttp
from consul_kam.core.vitals import Spread, Vitals
from consul_kam.errors import ConfigError
from tests.core.vitals import FULL
from tests.lab.http import get, get_json, post, readiness, scrape, value
from tests.lab.ports import free_port
from tests.lab.process import wait_for


class Node:
    """A decision thread of its own, with pages that show `vitals`."""

    def __init__(self, vitals: Vitals = FULL) -> None:
        self.vitals, self.looks, self.threads = vitals, 0, set[int]()
        self.loop, self.warned = Loop(), list[str]()
        self.listen = f"127.0.0.1:{free_port()}"
        self.pages = 0
        self.web = StatusHttp(self.loop, self._look, self.listen, True, "node-1", self._page)
        self.thread = threading.Thread(target=lambda: self.loop.run(lambda: None))

    def _page(self, vitals: Vitals) -> Make:
        self.pages += 1
        self.threads.add(threading.get_ident())
        return lambda: Response(200, vitals.node.encode(), "text/html", (("X-Mine", "yes"),))

    def _look(self, lag: Spread) -> Vitals:
        self.looks += 1
        self.threads.add(threading.get_ident())
        return replace(self.vitals, lag=lag)


@contextmanager
def running(vitals: Vitals = FULL) -> Iterator[Node]:
    node = Node(vitals)
    node.web.start(node.warned.append)
    node.thread.start()
    try:
        yield node
    finally:
        node.loop.post(node.web.close)
        node.loop.post(node.loop.stop)
        node.thread.join()


READY = replace(FULL, reasons={})
NOBODY = "it is asked for, and nobody answered within 2 s: look again\n"


def test_readiness_is_a_status_and_its_reasons() -> None:
    with running() as node:
        told = readiness(node.listen)
        assert (told["ready"], told["reasons"]) == (False, {"rpc": "cannot reach it"})
        assert told["probes"]["sip_options"]["healthy"] is True
        node.vitals = READY
        assert readiness(node.listen)["reasons"] == {}
        assert get_json(node.listen, "/readyz")[0] == 200


def test_alive_is_what_the_probes_of_that_level_say() -> None:
    with running() as node:
        assert get_json(node.listen, "/livez") == (200, {"alive": True})
        node.vitals = replace(FULL, alive=False)
        assert get_json(node.listen, "/livez") == (503, {"alive": False})


def test_what_is_not_there_is_said_in_json() -> None:
    with running() as node:
        error = 'cannot find /x"y: expected one of /, /livez, /readyz, /metrics'
        assert get_json(node.listen, '/x"y') == (404, {"error": error})
        assert get(node.listen, "/livez", "DELETE")[0] == 405
        assert node.looks == 0


def test_forms_go_to_whom_they_are_for() -> None:
    node, taken = Node(), list[dict[str, str]]()

    def act(form: Mapping[str, str], answer: Answer) -> None:
        taken.append(dict(form))
        if form["do"] == "drain":
            answer(lambda: Response(303, b"", "text/plain", (("Location", "/"),)))

    web = StatusHttp(node.loop, node._look, node.listen, True, "node-1", node._page, act)
    web.start(node.warned.append)
    try:
        assert post(node.listen, "/", do="drain", token="t") == (303, "")
        assert taken == [{"do": "drain", "token": "t"}]
        assert post(node.listen, "/livez", do="drain") == (405, '{"error": "cannot change /livez"}\n')
        assert post(node.listen, "/nothing", do="drain")[0] == 404
        assert len(taken) == 1
        assert post(node.listen, "/", do="undrain") == (202, NOBODY)
    finally:
        web.close()
    with running() as other:
        assert post(other.listen, "/", do="drain")[0] == 405


def test_only_the_decision_thread_looks() -> None:
    with running() as node:
        for path in ("/livez", "/readyz", "/metrics", "/"):
            get(node.listen, path)
        assert node.threads == {node.thread.ident}


def test_a_stuck_decision_thread_is_not_alive_and_lives_again_afterwards() -> None:
    with running(READY) as node:
        stuck, free = threading.Event(), threading.Event()

        def hang() -> None:
            stuck.set()
            free.wait()

        node.loop.post(hang)
        stuck.wait()
        try:
            reason = f"the decision thread gave no answer within {DEADLINE:g} s"
            assert get_json(node.listen, "/livez") == (503, {"alive": False, "reason": reason})
            told = readiness(node.listen)
            assert (told["ready"], told["reasons"]) == (False, {"engine": reason})
            assert get(node.listen, "/metrics")[0] == 503
            assert get(node.listen, "/") == (503, f"cannot show this node: {reason}\n")
            assert get(node.listen, "/nothing")[0] == 404
        finally:
            free.set()
        assert get_json(node.listen, "/livez") == (200, {"alive": True})
        assert readiness(node.listen)["ready"]


def test_all_who_ask_while_it_is_busy_share_one_look() -> None:
    with running(READY) as node:
        free, codes = threading.Event(), list[int]()
        node.loop.post(free.wait)
        paths = ["/livez", "/"] * 4
        askers = [
            threading.Thread(target=lambda path=path: codes.append(get(node.listen, path)[0]))  # type: ignore[misc]
            for path in paths
        ]
        for asker in askers:
            asker.start()
        wait_for("all have asked", lambda: len(node.web._waiting) == 8, 10.0)
        free.set()
        for asker in askers:
            asker.join()
        assert codes == [200] * 8
        assert (node.looks, node.pages) == (1, 1)


def test_each_is_answered_once() -> None:
    with running(READY) as node:
        answers: list[list[Make]] = [[], [], []]
        for each in answers:
            node.web.handle(Request("GET", "/livez", "localhost"), each.append)
            wait_for("an answer", lambda each=each: each, 10.0)
        assert [[make().body for make in each] for each in answers] == [[b'{"alive": true}\n']] * 3


def test_how_late_the_decision_thread_was_is_counted() -> None:
    with running() as node:
        count = value(scrape(node.listen), "consul_kam_loop_lag_seconds_count")
        assert count is not None
        assert count >= 1
        wait_for("it goes on", lambda: value(scrape(node.listen), "consul_kam_loop_lag_seconds_count") != count, 10.0)


def test_the_page_is_looked_for_when_somebody_asks_and_says_so_in_its_own_headers() -> None:
    with running() as node:
        get(node.listen, "/livez")
        assert node.pages == 0
        host, _, port = node.listen.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reply = b"".join(iter(lambda: client.recv(4096), b"")).decode()
        head, body = reply.split("\r\n\r\n")
        assert {"Content-Type: text/html", "X-Mine: yes", "Cache-Control: no-store"} <= set(head.split("\r\n"))
        assert (body, node.pages) == ("node-1", 1)


def test_where_there_is_no_page_none_is_served() -> None:
    web = StatusHttp(Loop(), lambda lag: FULL, "", True, "node-1")
    answers: list[Make] = []
    web.handle(Request("GET", "/", "localhost"), answers.append)
    assert answers[0]().status == 404


def test_nowhere_is_nowhere() -> None:
    web = StatusHttp(Loop(), lambda lag: FULL, "", True, "node-1")
    web.start(pytest.fail)
    web.close()


def test_a_taken_port_is_fatal_where_it_was_asked_for_and_else_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"^cannot listen at {taken}: another program does"):
            StatusHttp(Loop(), lambda lag: FULL, taken, True, "node-1").start(pytest.fail)
        warned: list[str] = []
        web = StatusHttp(Loop(), lambda lag: FULL, taken, False, "node-1")
        web.start(warned.append)
        web.close()
        assert warned[0].startswith(f"cannot listen at {taken}: another program does")
        assert warned[0].endswith("/livez, /readyz and /metrics are not served")
