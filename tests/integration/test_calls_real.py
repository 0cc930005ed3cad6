"""What a drain counts, of real Kamailios, by each way to them."""

from pathlib import Path

import pytest

from consul_kam import config
from consul_kam.app.calls import KamailioCalls, Look, calls_of
from consul_kam.core.drain import Counts
from tests.lab import VERSIONS, Fault, Kamailio, Lab, Uas, free_port, wait_for
from tests.lab.callee import Callee
from tests.lab.example import Example
from tests.lab.fleet import SCENARIO
from tests.lab.sip import Sipp


def calls(kamailio: Kamailio, rpc: str = "", reply: int = 503) -> KamailioCalls:
    way = rpc or f"unix:{kamailio.ctl}"
    text = f'[node]\nrole = "router"\n[kamailio]\nrpc = "{way}"\n'
    text += f'sip = ["udp:127.0.0.1:{kamailio.sip_port}"]\n[drain]\nreply = {reply}\n'
    made = calls_of(config.parse(text, "test", {"CONSUL_KAM_STATE_DIR": str(kamailio.run)}))
    assert isinstance(made, KamailioCalls)
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_calls_that_are_up_and_all_that_there_were(tmp_path: Path, version: str) -> None:
    (tmp_path / "kam").mkdir()
    with (
        Lab(tmp_path),
        Callee() as callee,
        Example(tmp_path / "kam", "router", version, [f"2 {callee.uri} 0 1"]) as kam,
    ):
        ours = calls(kam, reply=480)
        first = ours.look(False)
        assert (first.trouble, first.gone) == ("", False)
        assert first.counts is not None
        assert (first.counts.calls, first.counts.accepted, first.counts.busy) == (0, 0, 0)
        assert first.counts.epoch
        with Sipp(tmp_path / "sipp", kam.sip_port, 10, 10, 4000, SCENARIO["caller"]) as sipp:
            wait_for("calls", lambda: _counts(ours).calls == 10, 20)
            assert _counts(ours).accepted == 10, "neither re-INVITEs nor what is sent again"
            assert ours.look(True).trouble == ""
            with Sipp(tmp_path / "refused", kam.sip_port, 10, 5) as refused:
                assert refused.wait(30).failed == 5
                assert "SIP/2.0 480 Leaving" in refused.errors()
            assert _counts(ours).accepted == 10
            assert sipp.wait(60).failed == 0, "calls that are up go on"
        wait_for("the end of all", lambda: _counts(ours) == Counts(0, 10, 0, first.counts.epoch), 10)
        assert ours.allow() == ""
        assert ours.allow() == "", "it was not refusing"
        with pytest.raises(Fault):
            kam.rpc.call("htable.get", "consul_kam", "refuse")
        kam.restart()
        wait_for("another epoch", lambda: _counts(ours).epoch != first.counts.epoch, 20)  # type: ignore[union-attr]
        by_command = calls(kam, f"kamcmd:[kamcmd -s {kam.ctl}]")
        assert _counts(by_command) == _counts(ours)
        assert by_command.look(True).trouble == ""
        assert by_command.allow() == ""


def _counts(ours: KamailioCalls) -> Counts:
    found = ours.look(False).counts
    return found if found is not None else Counts(None)


def test_a_transaction_that_is_not_done_is_busy(tmp_path: Path) -> None:
    (tmp_path / "kam").mkdir()
    with Lab(tmp_path), Uas() as silent:
        silent.silent = True
        define = "#!define PING_EVERY 600\n#!define SILENCE 20000"
        with Example(tmp_path / "kam", "router", "", [f"2 {silent.uri} 0 1"], define) as kam:
            ours = calls(kam)
            with Sipp(tmp_path / "sipp", kam.sip_port, 1, 1):
                wait_for("its INVITE", lambda: silent.calls == 1, 20)
                assert _counts(ours).busy == 1
                assert _counts(ours).calls == 1, "one that rings is a call"


def test_what_a_kamailio_lacks_is_said(lab: Lab) -> None:
    look = calls(lab.kamailio()).look(True)
    assert look.counts is not None
    assert (look.counts.calls, look.counts.accepted) == (None, None)
    assert look.trouble.startswith("cannot refuse new calls: cannot htable.seti: ")


def test_nobody_there_is_gone_and_silence_alone_is_not(lab: Lab) -> None:
    kam = lab.kamailio()
    wrong = calls(kam, f"unix:{kam.run}/nobody")
    wait_for("SIP answers", lambda: not wrong.look(False).gone, 20)
    assert wrong.look(False).counts is None
    kam.stop()
    look = calls(kam).look(True)
    assert look == Look(None, look.trouble, gone=True)
    assert "within 10 s it does by itself" in calls(kam).allow()


def test_no_rtpengine_is_gone() -> None:
    text = f'[node]\nrole = "rtp"\n[rtpengine]\nng = "udp:127.0.0.1:{free_port()}"'
    look = calls_of(config.parse(text, "test", {})).look(True)
    assert (look.counts, look.gone) == (None, True)
