"""Leaving, as far as it needs no program: who may go, what is said, and what a damaged record means."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consul_kam import config
from consul_kam.adapters.journal import Journal
from consul_kam.app.drain import FILE, Draining, nobody_else
from consul_kam.app.drain_operator import DrainOperator
from consul_kam.app.leaving import progress
from consul_kam.app.loop import Loop
from consul_kam.app.registration import Registrar
from consul_kam.app.reports import Reporter
from consul_kam.app.rolling import DONE, FAILED, UNDER_WAY, why_not
from consul_kam.config import Settings
from consul_kam.core.drain import END, OPERATOR, Drain, Phase, dump
from consul_kam.core.registered import Instance
from consul_kam.errors import ConsulKamError
from tests.lab import wait_for

A, B = Instance("a", "n1", True), Instance("b", "n2", True)
GONE = Instance("c", "n3", False, "maintenance: consul_kam: kernel")


# ---- who may go


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ((A, B), ""),
        ((B, GONE), ""),
        ((), "cannot drain: there is no other sbc in Consul to take the calls; --force"),
        ((A,), "cannot drain: there is no other sbc in Consul to take the calls; --force"),
        ((A, GONE), "cannot drain: no other sbc passes: c on n3: maintenance: consul_kam: kernel; --force"),
    ],
)
def test_somebody_else_has_to_take_the_calls(known: tuple[Instance, ...], said: str) -> None:
    assert nobody_else("sbc", "a", known, "--force") == said


@pytest.mark.parametrize(
    ("known", "before", "said"),
    [
        ((A, B), {}, ""),
        ((A, B), {"node": "b", "state": DONE}, ""),
        ((A, B), {"node": "b", "state": UNDER_WAY}, ""),
        ((A,), {"node": "b", "state": DONE}, ""),
        ((A, B), {"node": "a", "state": FAILED}, ""),
        ((A, B, GONE), {}, "not every other one passes: c on n3: maintenance: consul_kam: kernel"),
        ((A,), {"node": "b", "state": UNDER_WAY}, "b went before and did not come back (under way: no word)"),
        ((A,), {"node": "b", "state": FAILED, "why": "x"}, "b went before and did not come back (failed: x)"),
        ((A,), {"node": "b"}, "b went before and did not come back (unknown: no word)"),
    ],
)
def test_a_turn_is_for_a_service_that_is_whole(known: tuple[Instance, ...], before: dict[str, str], said: str) -> None:
    assert why_not("a", known, before) == said


# ---- what is said


def told(**more: Any) -> str:
    found = {"phase": "ANNOUNCING", "announced": True, "quiet": 3.9, "quiet_for": 35.0, "calls": 7, "transactions": 2}
    return progress({**found, "blind": "", "trouble": "", "how": "no call is left", **more})


def test_progress_in_one_line() -> None:
    assert told() == "announcing: told Consul, 7 calls, quiet for 3 of 35 s"
    assert told(announced=False, calls=None).startswith("announcing: Consul does not know yet, calls unknown, ")
    assert told(phase="REFUSING", trouble="no htable") == "refusing new calls: 7 calls; no htable"
    assert told(phase="SETTLING") == "no call is left: 2 transactions"
    assert told(phase="DRAINED", blind="forgotten") == "drained: no call is left; forgotten"


@pytest.mark.parametrize("request_", [{"lasts": 0}, {"lasts": "9"}, {"reason": "a\nb"}, {"reason": 7}, {}])
def test_a_word_that_cannot_be_meant_is_refused(request_: dict[str, object]) -> None:
    with pytest.raises(ConsulKamError, match=r"^cannot drain: "):
        DrainOperator(None).verbs["drain"](request_, lambda _: None)


# ---- what outlives a run


class Alone:
    """A node that is registered nowhere, with a decision thread."""

    def __init__(self, directory: Path) -> None:
        text = f'[node]\nrole = "rtp"\nname = "n"\nstate_dir = "{directory}"\n[registration]\nenabled = false\n'
        self.settings: Settings = config.parse(f'{text}[rtpengine]\nng = "udp:127.0.0.1:9"\n', "test", {})
        self.journal = Journal(directory / "journal.jsonl")
        self.reporter = Reporter(self.journal)
        self.loop = Loop()
        registrar = Registrar(self.loop, self.settings, _nobody, lambda: True, self.reporter)
        self.draining = Draining(self.loop, self.settings, registrar, _nobody, self.reporter)
        self._thread = threading.Thread(target=self.loop.run, args=(lambda: None,))
        self._thread.start()

    def do(self, call: Callable[[], Any]) -> Any:
        got, done = list[Any](), threading.Event()
        self.loop.post(lambda: (got.append(call()), done.set()))
        assert done.wait(10)
        return got[0]

    def close(self) -> None:
        self.do(self.draining.close)
        self.loop.post(self.loop.stop)
        self._thread.join(10)
        self.reporter.close()


def _nobody() -> Any:
    raise AssertionError("nobody is to be asked")


@pytest.mark.parametrize(
    ("text", "phase", "said"),
    [
        ("{", "NONE", "cannot read "),
        ('{"phase": "LOST"}', "NONE", "cannot read "),
        ("", "NONE", None),
        (json.dumps(dump(Drain(Phase.DRAINED, "kernel", OPERATOR), 0)), "DRAINED", "drain goes on"),
        (json.dumps(dump(Drain(Phase.REFUSING, "SIGTERM", END), 0)), "NONE", "drain undone"),
    ],
)
def test_what_a_run_before_us_left(tmp_path: Path, text: str, phase: str, said: str | None) -> None:
    (tmp_path / FILE).write_text(text)
    alone = Alone(tmp_path)
    alone.do(alone.draining.start)
    assert alone.do(alone.draining.status)["phase"] == phase
    alone.close()
    events = [entry["event"] for entry in alone.journal.tail(10)]
    assert bool(events) is (said is not None)
    if said is not None:
        assert events[0].startswith(said)
    if "undone" in (said or ""):
        wait_for("its end", lambda: not (tmp_path / FILE).exists(), 20)


def test_without_consul_it_refuses_at_once_and_who_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    alone, replies = Alone(tmp_path), list[dict[str, Any]]()
    alone.do(lambda: alone.draining.begin("kernel", None, False, replies.append))
    wait_for("its reply", lambda: replies, 10)
    assert replies[0]["drain"]["phase"] == "REFUSING"
    assert json.loads((tmp_path / FILE).read_text())["reason"] == "kernel"
    assert alone.do(alone.draining.gate) == "REFUSING: kernel"
    wait_for("its end", lambda: alone.do(alone.draining.status)["phase"] == "DRAINED", 30)  # core.drain.GONE
    assert "nothing to wait for" in alone.do(alone.draining.status)["how"]
    alone.do(lambda: alone.draining.undo(replies.append))
    wait_for("its reply", lambda: len(replies) == 2, 10)
    assert (replies[1]["ok"], replies[1]["was"]) == (True, "DRAINED")
    assert alone.do(alone.draining.gate) == ""
    assert not (tmp_path / FILE).exists()
    alone.close()
