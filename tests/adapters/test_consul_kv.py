"""Consul's KV as an agent answers that is none, or not well. What a real one does is in the integration tests."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from consul_kam.adapters import consul_kv
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_kv import MOST, Kept
from consul_kam.core.env import Layer
from consul_kam.errors import ConsulError


@contextmanager
def agent(
    *answers: tuple[int, str, dict[str, str]], after: float = 0.0, deadline: float = 20.0
) -> Iterator[tuple[Consul, list[tuple[str, str]]]]:
    """(a client of it, what it was asked: path and body). The last answer is given again and again, each `after` s."""
    asked: list[tuple[str, str]] = []
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, body.decode()))
            stopped.wait(after)
            code, text, headers = answers[min(len(asked), len(answers)) - 1]
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_PUT = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Consul(f"127.0.0.1:{server.server_port}", deadline=deadline), asked
        finally:
            stopped.set()
            server.shutdown()
            thread.join()


def test_a_layer() -> None:
    entries = [
        {"Key": "c4/g/", "Value": None, "ModifyIndex": 1},
        {"Key": "c4/g/A", "Value": "eA==", "ModifyIndex": 7},
        {"Key": "c4/g/EMPTY", "Value": None, "ModifyIndex": 8},
        {"Key": "c4/g/sub/B", "Value": "eQ==", "ModifyIndex": 9},
    ]
    with agent((200, json.dumps(entries), {})) as (consul, asked):
        kept = consul_kv.read(consul, "c4/g", "dc2")
    assert asked == [("/v1/kv/c4/g/?recurse=&dc=dc2", "")]
    assert kept.layer == Layer("c4/g", {"A": b"x", "EMPTY": b"", "sub/B": b"y"})
    assert kept.indexes == {"A": 7, "EMPTY": 8, "sub/B": 9}


def test_what_is_newer_is_waited_for_and_then_no_longer() -> None:
    """Consul may take a sixteenth longer than it was asked to [Consul HTTP API, Blocking Queries]."""
    answer = (200, json.dumps([{"Key": "g/A", "Value": "eA==", "ModifyIndex": 9}]), {"X-Consul-Index": "12"})
    with agent(answer, after=0.5, deadline=0.2) as (consul, asked):
        kept = consul_kv.read(consul, "g", "dc2", after=7, wait=30)
        assert (kept.index, kept.layer.entries) == (12, {"A": b"x"})
        assert asked == [("/v1/kv/g/?recurse=&dc=dc2&index=7&wait=30s", "")]
        with pytest.raises(ConsulError, match=r"no answer within 0\.2 s"):
            consul_kv.read(consul, "g", wait=30)
        with pytest.raises(ConsulError, match=r"no answer within 0\.306"):
            consul_kv.read(consul, "g", after=7, wait=0.1)


@pytest.mark.parametrize("said", ["", "x", "-3", "1.5", "9" * 5000])
def test_an_index_that_is_none_is_not_waited_behind(said: str) -> None:
    with agent((404, "", {"X-Consul-Index": said} if said else {})) as (consul, _):
        assert consul_kv.read(consul, "g").index == 0


def test_a_folder_alone_is_there() -> None:
    with agent((200, json.dumps([{"Key": "g/", "Value": None, "ModifyIndex": 1}]), {})) as (consul, _):
        assert consul_kv.read(consul, "g").layer == Layer("g", {}, folder=True)


def test_no_keys_are_no_error_but_hidden_ones_are() -> None:
    with agent((404, "", {})) as (consul, _):
        assert consul_kv.read(consul, "g").layer == Layer("g", {})
    with (
        agent((404, "", {"X-Consul-Results-Filtered-By-ACLs": "true"})) as (consul, _),
        pytest.raises(ConsulError) as e,
    ):
        consul_kv.read(consul, "g")
    assert str(e.value) == "cannot read KV g/: ACLs hide some of it from our token (key_prefix, read)"


@pytest.mark.parametrize(
    "body",
    ["3", "null", "{", '"x"', "[3]", '[{"Key": "g/A"}]', '[{"Key": "g/A", "Value": "?", "ModifyIndex": 1}]', "[[]]"],
)
def test_an_answer_of_another_shape(body: str) -> None:
    with agent((200, body, {})) as (consul, _), pytest.raises(ConsulError, match="cannot understand Consul"):
        consul_kv.read(consul, "g")


def test_what_is_written_and_that_it_is_parted() -> None:
    puts = {f"A{number}": "x" for number in range(MOST)}
    kept = Kept(Layer("g", {"A0": b"", "OLD": b""}), {"A0": 5, "OLD": 6})
    with agent((200, "{}", {})) as (consul, asked):
        consul_kv.write(consul, kept, puts, ["OLD"])
    first, second = (json.loads(body) for _, body in asked)
    assert first[0] == {"KV": {"Verb": "cas", "Key": "g/A0", "Value": "eA==", "Index": 5}}
    assert (len(first), first[1]["KV"]["Index"]) == (MOST, 0)
    assert second == [{"KV": {"Verb": "delete-cas", "Key": "g/OLD", "Index": 6}}]


def test_what_was_changed_meanwhile_is_not_written() -> None:
    puts = {f"A{number}": "x" for number in range(MOST + 1)}
    kept = Kept(Layer("g", {}), {})
    with agent((200, "{}", {}), (409, '{"Errors":[]}', {})) as (consul, _), pytest.raises(ConsulError) as caught:
        consul_kv.write(consul, kept, puts)
    assert str(caught.value) == f"cannot write KV g/ ({MOST} of {MOST + 1} written): somebody changed it meanwhile"
