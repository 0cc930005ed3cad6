"""`explain` and `doctor` on the command line, against prepared replies and bare places."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from consul_kam.core.known import Listed, Staged, Subject
from tests.test_cli import Engine, Run, engine, run

__all__ = ["engine", "run"]

LISTED = Listed(name="dispatcher", staging=(Staged("/s/dispatcher", "ok", "", 1.0),), live="/l", read_at=2.0)
SUBJECT = Subject(
    dataset="dispatcher", key="1 sip:192.0.2.1:5060", id="static", where="/s/dispatcher:1", use="in", wanted=True,
    live=True, in_memory=True, state="AX", callable=True,
)  # fmt: skip
NOBODY = Path("/nowhere/kamailio_ctl")


@pytest.fixture(autouse=True)
def no_consul(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")


def answers(engine: Engine, *subjects: Subject) -> None:
    engine.replies["diff"] = {"ok": True, "datasets": []}
    engine.replies["explain"] = {
        "ok": True, "datasets": [asdict(LISTED)], "subjects": [asdict(each) for each in subjects],
    }  # fmt: skip


def test_one_line_a_stage(run: Run, engine: Engine) -> None:
    answers(engine, SUBJECT)
    code, out, _ = run("explain", "192.0.2.1")
    assert code == 0
    assert out.splitlines()[0] == "dispatcher: 1 sip:192.0.2.1:5060 (static): in memory, gets calls"
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["ok", "registered"], ["ok", "staged"], ["ok", "checked"], ["ok", "live"], ["ok", "memory"],
    ]  # fmt: skip
    assert [each["do"] for each in engine.asked] == ["diff", "explain"]
    assert engine.asked[1]["what"] == "192.0.2.1"


def test_who_gets_no_calls_makes_it_a_no(run: Run, engine: Engine) -> None:
    dead = Subject.load({**asdict(SUBJECT), "state": "IP", "callable": False})
    answers(engine, SUBJECT, dead)
    code, out, _ = run("explain", "192.0.2.1", "--json")
    told = json.loads(out)
    assert (code, told["good"], [each["callable"] for each in told["matches"]]) == (0, True, [True, False])
    answers(engine, dead)
    code, out, _ = run("explain", "192.0.2.1")
    assert code == 1
    assert "gets no calls; memory: in memory, state IP: found dead" in out


def test_what_a_service_says_steers_no_terminal(run: Run, engine: Engine) -> None:
    evil = Subject.load({**asdict(SUBJECT), "id": "r\x1b[2J\n1", "service": "router", "dropped": ["a\x1b]0;b\x07"]})
    answers(engine, evil)
    code, out, _ = run("explain", "192.0.2.1")
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\\x1b[2J\\n1" in out


def test_nothing_that_matches(run: Run, engine: Engine) -> None:
    answers(engine)
    code, out, _ = run("explain", "nobody")
    assert (code, out.partition(":")[0]) == (1, "nobody")


def test_no_engine_and_nothing_that_one_left(run: Run) -> None:
    code, _, err = run("explain", "r1")
    assert code == 3
    assert err.startswith("cannot ")


def test_the_engine_says_no(run: Run, engine: Engine) -> None:
    engine.replies["diff"] = {"ok": True, "datasets": []}
    code, _, err = run("explain", "r1")
    assert (code, err) == (1, "cannot do that\n")


def test_doctor_in_a_bare_place(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[kamailio]\nrpc = "unix:{NOBODY}"\n[datasets.dispatcher]\nfile = "{tmp_path}/no/list"\n')
    code, out, _ = run("--config", config, "doctor", "--cfg", tmp_path / "none.cfg", "--json")
    found = json.loads(out)
    assert (code, found["good"]) == (1, False)
    assert {each["trap"] for each in found["found"]} >= {"rpc_unreachable", "cfg_unread", "live_closed"}
    assert not (tmp_path / "state").exists(), "it only looks"
    code, out, _ = run("--config", config, "doctor", "--cfg", tmp_path / "none.cfg")
    assert code == 1
    assert f"error: live_closed: there is no directory {tmp_path}/no" in out
    assert "    cure: install -d -o " in out
    assert out.splitlines()[-1] == "3 errors, 1 note"


def test_what_is_ignored_is_shown_with_its_reason_and_does_not_count(run: Run, tmp_path: Path) -> None:
    config, state = tmp_path / "c.toml", tmp_path / "state"
    state.mkdir(mode=0o770)
    state.chmod(0o770)
    (state / "scratch-left").mkdir()
    os.utime(state / "scratch-left", (1, 1))
    text = f'[node]\nrole = "rtp"\nstate_dir = "{state}"\n[registration]\nenabled = false\n'
    config.write_text(text)
    code, out, _ = run("--config", config, "doctor")
    assert (code, "error: state_open: " in out) == (1, True)
    config.write_text(f'{text}[doctor.ignore]\nstate_open = "the lab\'s own"\n')
    code, out, _ = run("--config", config, "doctor", "--fix")
    assert code == 0
    assert "error: " not in out
    assert "ignored: state_open: " in out
    assert "    because: the lab's own\n" in out
    assert out.splitlines()[-1] == "1 warning, 1 ignored"
    assert not (state / "scratch-left").exists()
    assert state.stat().st_mode & 0o777 == 0o770, "what may stay is not mended"
    code, out, _ = run("--config", config, "doctor", "--json")
    found = json.loads(out)
    assert (code, found["good"]) == (0, True)
    assert [(each["trap"], each["ignored"]) for each in found["found"]] == [("state_open", "the lab's own")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'state_opne = "why"',
            "doctor.ignore.state_opne: expected a trap, got none of that name (did you mean state_open?)",
        ),
        ('state_open = " "', "doctor.ignore.state_open: expected why it may stay, got no reason"),
    ],
)
def test_only_what_is_known_is_ignored_and_only_with_a_reason(run: Run, tmp_path: Path, line: str, said: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[node]\nrole = "rtp"\n[doctor.ignore]\n{line}\n')
    code, _, err = run("--config", config, "doctor")
    assert code == 2
    assert err.startswith(f"cannot use {config}: ")
    assert said in err


def test_doctor_of_a_node_without_kamailio(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[node]\nrole = "rtp"\n')
    _, out, _ = run("--config", config, "doctor", "--json")
    assert {each["trap"] for each in json.loads(out)["found"]} <= {"consul_unreachable"}


def test_a_fix_that_cannot_be_done_is_told(run: Run, tmp_path: Path) -> None:
    from consul_kam.app import doctor
    from consul_kam.config import parse
    from consul_kam.core.trap import Facts

    settings = parse("", "", {"CONSUL_KAM_STATE_DIR": str(tmp_path)})
    other = tmp_path / "elsewhere" / "scratch-1"
    other.mkdir(parents=True)
    (tmp_path / "scratch-2").symlink_to(other)
    facts = Facts(scratch=(str(other), str(tmp_path / "scratch-2"), str(tmp_path / "scratch-3")))
    found = doctor.examine(settings, facts, fix=True)
    assert [each.fixed.partition(":")[0] for each in found] == ["not done"] * 3
    assert not doctor.good(found)
    assert other.is_dir()
