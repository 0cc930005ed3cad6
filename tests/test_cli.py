"""The command line, run as `consul-kam` runs it, against files and against a control server with prepared replies."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consul_kam import cli
from consul_kam.adapters.control import Server
from tests.lab import ConsulAgent

REPO = Path(__file__).parents[1]
GOOD = "1 sip:192.0.2.1:5060 0 10\n"
BAD = "1 sip:192.0.2.1:99999 0 10\n"
STAGED = (
    '{"setid":1,"address":"192.0.2.1","port":5060,"source":{"service":"router","id":"r1","node":"n1"}}\n'
    '{"setid":1,"address":"192.0.2.2\\n1 sip:6.6.6.6","source":{"service":"router","id":"evil","node":"n1"}}\n'
    '{"end":"dispatcher","records":2}\n'
)
DATASET: dict[str, Any] = {
    "name": "dispatcher", "phase": "IDLE", "verdict": "PUBLISHED", "reason": "", "at": 1.0, "digest": "a", "records": 2,
    "staging": [{"path": "/s/dispatcher", "digest": "d", "state": "ok", "error": "", "at": 1.0}],
    "live": {"path": "/l", "state": "equal"}, "memory": {"state": "equal", "difference": "", "records": 2},
    "held": [], "dropped": [], "refused": [], "draining": [], "named": [], "blocked": [], "states": {},
    "paused": False, "observe": False, "pinned": None, "unverifiable": {}, "next": "",
}  # fmt: skip
STATUS = {
    "ok": True, "version": "1", "pid": 7, "since": 1.0, "detached": False, "datasets": [DATASET],
    "kamailio": {"rpc": "unix:/k", "reachable": True, "up_since": "Mon Nov 23", "trouble": ""},
}  # fmt: skip

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, standard output, standard error) of `consul-kam ARGUMENTS`, with a state directory of its own."""
    monkeypatch.setenv("CONSUL_KAM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("CONSUL_KAM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.run(["--debug", *map(str, arguments)])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert said.err.count("\n") <= 1
        assert not said.err or said.err.startswith("cannot ")
        return code, said.out, said.err

    return call


class Engine:
    """A control server that gives prepared replies by verb, and remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.replies: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, object]] = []
        self.server = Server(path, self._handle)

    def _handle(self, request: dict[str, object], reply: Any) -> None:
        self.asked.append(request)
        reply(self.replies.get(str(request["do"]), {"ok": False, "error": "cannot do that"}))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = Engine(tmp_path / "state" / "control.sock")
    yield found
    found.server.close()


# ---- check


@pytest.mark.parametrize(("text", "code"), [(GOOD, 0), (BAD, 1), (GOOD + BAD, 1), ("", 1)])
def test_check_says_whether_a_list_is_good(run: Run, tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "dispatcher.list").write_text(text)
    assert run("check", "dispatcher.list")[0] == code
    assert run("check", "dispatcher", "dispatcher.list")[0] == code


def test_a_dataset_may_be_named_with_its_table(run: Run, tmp_path: Path, engine: Engine) -> None:
    staged = '{"key":"a","value":"x"}\n{"end":"htable:carriers","records":1}\n'
    for name in ("x", "htable-carriers@dc2"):
        (tmp_path / name).write_text(staged)
        code, out, _ = run("check", name)
        assert (code, out) == (0, f"{name}: htable:carriers: good: 1 records, 0 dropped\n")
    (tmp_path / "htable-carriers").write_text(
        "key_name(string) key_type(int) value_type(int) key_value(string)\na:0:0:x\n"
    )
    assert "htable:carriers: good" in run("check", "htable-carriers")[1]
    assert run("check", "htable:carriers", "x")[0] == 0
    assert run("check", "htable:other", "x")[0] == 1
    assert run("check", "domain:x", "x") == (2, "", "cannot check: dataset is 'domain:x', allowed: domain\n")
    engine.replies["approve"] = {"ok": True, "datasets": ["htable:carriers"]}
    assert run("approve", "--dataset", "htable:carriers")[0] == 0
    assert engine.asked[-1]["dataset"] == "htable:carriers"
    assert run("approve", "--dataset", "nonsense:carriers")[0] == 2


def test_check_names_the_bad_record_and_who_made_it_and_steers_no_terminal(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(STAGED)
    code, out, _ = run("check", "x")
    assert code == 1
    assert "cannot use x:2:" in out
    assert "router/evil on n1" in out
    assert "\n1 sip:6.6.6.6" not in out
    assert "x: dispatcher: bad: 1 records, 1 dropped" in out


def test_check_takes_many_files_and_prints_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dispatcher.list").write_text(GOOD)
    (tmp_path / "other").write_text(STAGED)
    code, out, _ = run("check", "--json", "dispatcher.list", "other")
    first, second = json.loads(out)["files"]
    assert code == 1
    assert (first["good"], first["native"], first["dataset"]) == (True, True, "dispatcher")
    assert (second["good"], second["native"], len(second["dropped"])) == (False, False, 1)
    assert second["records"][0]["source"] == "router/r1 on n1"


def test_check_without_files_takes_what_is_staged(run: Run, tmp_path: Path) -> None:
    assert run("check") == (3, "", run("check")[2])
    staging = tmp_path / "state" / "staging"
    staging.mkdir(parents=True)
    (staging / "dispatcher").write_text(STAGED)
    assert run("check")[0] == 1
    assert run("check", "dispatcher")[0] == 1
    assert run("check", "domain")[0] == 3


def test_check_says_unprotected(run: Run, tmp_path: Path) -> None:
    live = tmp_path / "dispatcher.list"
    live.write_text(GOOD)
    config = tmp_path / "c.toml"
    config.write_text(f'[datasets.dispatcher]\nfile = "{live}"\nstaging = "{live}"\n')
    assert ": unprotected: " in run("--config", config, "check", live)[1]
    assert ": unprotected: " not in run("check", live)[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check", "nosuch"], "cannot read nosuch: no such file, and no dataset: those are address, dispatcher, "),
        (["check", "./nosuch"], "cannot read ./nosuch: No such file or directory"),
        (["check", "odd"], "cannot tell which dataset odd is: name it first, one of "),
        (["nosuch"], "cannot run consul-kam: No such command 'nosuch'"),
        (["status", "--nosuch"], "cannot run consul-kam status: No such option"),
        (["templates"], "cannot run consul-kam templates: Missing command"),
        (["diff", "--dataset", "x"], "cannot run consul-kam diff: Invalid value for '--dataset'"),
        (["--config", "/nope", "status"], "cannot read /nope"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said_in_one_line(
    run: Run, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (tmp_path / "odd").write_text(GOOD)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(expected)


def test_render_says_why_consul_template_got_nowhere(run: Run, tmp_path: Path) -> None:
    fake = tmp_path / "consul-template"
    fake.write_text(
        "#!/bin/sh\ncase \"$*\" in *-log-level=warn*) echo '2026-01-01T00:00:00Z [WARN] (view) refused';; esac\n"
        "echo '2026-01-01T00:00:00Z [ERR] (runner) sending server error back to caller'\nexec sleep 60\n"
    )
    fake.chmod(0o755)
    code, out, err = run("render", "--program", fake, "--deadline", "0.5")
    assert (code, out) == (3, "")
    assert err.endswith("nothing within 0.5 s; is Consul there? consul-template: refused\n")


# ---- a running engine


def test_without_an_engine_the_cure_is_named(run: Run) -> None:
    for verb in ("status", "apply", "diff", "history", "rollback", "approve", "pause", "resume"):
        code, out, err = run(verb)
        assert (code, out) == (3, "")
        assert "start one with `consul-kam run`" in err


def test_the_engines_no_is_the_answer(run: Run, engine: Engine) -> None:
    assert run("rollback", "r1", "--dataset", "domain") == (1, "", "cannot do that\n")
    assert engine.asked == [{"do": "rollback", "dataset": "domain", "release": "r1"}]


def test_a_rollback_says_to_what(run: Run, engine: Engine) -> None:
    engine.replies["rollback"] = {"ok": True, "dataset": "dispatcher", "release": "000007-abc"}
    code, out, _ = run("rollback")
    assert (code, out.startswith("dispatcher: pinned to 000007-abc; ")) == (0, True)


def test_status_says_each_thing_once(run: Run, engine: Engine) -> None:
    why, differs = "cannot use /s/dispatcher:0:0: it is empty", "3 missing, 1 extra"
    staging = [{**DATASET["staging"][0], "state": "rejected", "error": why}]
    rejected = {**DATASET, "reason": why, "staging": staging, "consul": {"state": "differs", "reason": why}}
    observed = {**DATASET, "reason": differs, "memory": {"state": "differs", "difference": differs, "records": 1}}
    away = "cannot reach Kamailio at unix:/k: No such file"
    waiting = {**DATASET, "phase": "WAITING", "verdict": "BUSY", "reason": away}
    kamailio = {**STATUS["kamailio"], "reachable": False, "trouble": away}
    engine.replies["status"] = {**STATUS, "kamailio": kamailio, "datasets": [rejected, observed, waiting]}
    _, out, _ = run("status")
    assert (out.count(why), out.count(differs), out.count(away)) == (1, 1, 1)


def test_status_is_ok_where_all_is_equal(run: Run, engine: Engine) -> None:
    engine.replies["status"] = STATUS
    code, out, _ = run("status")
    assert code == 0
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1))
    assert "Kamailio at unix:/k up since Mon Nov 23" in out
    assert [cell for line in out.splitlines() for cell in line.split() if "dispatcher" in line] == [
        "dispatcher", "PUBLISHED", *since.split(), "2", "ok", "equal", "equal", "IDLE",
    ]  # fmt: skip
    assert json.loads(run("status", "--json")[1]) == {**STATUS, "unprotected": []}


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"memory": {"state": "differs", "difference": "1 missing", "records": 1}}, 1, "1 missing"),
        ({"memory": {"state": "unknown", "difference": "", "records": 0}}, 1, "unknown"),
        ({"phase": "DEGRADED", "reason": "cannot write /l: No space left"}, 1, "cannot write /l: No space left"),
        ({"blocked": ["r1.example"]}, 1, "blocked: r1.example"),
        ({"staging": [{**DATASET["staging"][0], "state": "rejected", "error": "cannot use x"}]}, 1, "cannot use x"),
        ({"staging": [{**DATASET["staging"][0], "state": "native"}]}, 0, "not proof against injection"),
        ({"held": [{"key": "1 sip:a", "why": "flapping", "until": 1.0}]}, 0, "held: 1 sip:a: flapping, until 19"),
        ({"dropped": ["cannot use \x1b[31m[red]"]}, 0, "dropped: cannot use \\x1b[31m[red]"),
        ({"draining": ["1 sip:a"], "next": "consul-kam approve"}, 0, "next: consul-kam approve"),
        ({"pinned": "r1", "paused": True}, 0, "pinned to r1"),
    ],
)
def test_status_says_what_is_not_as_it_was(
    run: Run, engine: Engine, change: dict[str, Any], code: int, said: str
) -> None:
    engine.replies["status"] = {**STATUS, "datasets": [{**DATASET, **change}]}
    found, out, _ = run("status")
    assert said in out
    assert found == code


def test_apply_says_verdicts(run: Run, engine: Engine) -> None:
    good = {"dataset": "dispatcher", "verdict": "PUBLISHED", "release": "abc", "detail": ""}
    engine.replies["apply"] = {"ok": True, "verdicts": [good], "waiting": []}
    assert run("apply", "--wait", "1")[0] == 0
    assert engine.asked[0] == {"do": "apply", "wait": 1.0}
    bad = {**good, "verdict": "REJECTED", "detail": "cannot use x"}
    engine.replies["apply"] = {"ok": True, "verdicts": [bad], "waiting": []}
    code, out, _ = run("apply")
    assert (code, "cannot use x" in out) == (1, True)
    engine.replies["apply"] = {"ok": True, "verdicts": [good], "waiting": ["domain"]}
    assert run("apply", "--json")[0] == 1


def test_diff_is_no_where_memory_differs(run: Run, engine: Engine) -> None:
    entry = {
        "name": "dispatcher",
        "known": True,
        "equal": True,
        "missing": [],
        "extra": [],
        "changed": [],
        "misordered": [],
    }
    engine.replies["diff"] = {"ok": True, "datasets": [entry]}
    assert run("diff")[0] == 0
    changed = [{"key": "1 sip:c", "wanted": "1 sip:c 0 5", "memory": ["0", "10"]}]
    entry |= {"equal": False, "missing": ["1 sip:a"], "extra": ["1 sip:b"], "changed": changed}
    code, out, _ = run("diff", "--dataset", "dispatcher")
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["+", "-", "~"]
    entry |= {"equal": True, "missing": [], "extra": [], "changed": [], "stale": True, "read_at": 86400.0}
    code, out, _ = run("diff")
    assert (code, "memory cannot be read now; at 1970-01-0" in out) == (1, True)
    engine.replies["diff"] = {"ok": True, "datasets": [{"name": "dispatcher", "known": False}]}
    assert run("diff")[0] == 1


def test_history_shows_entries_and_releases(run: Run, engine: Engine) -> None:
    entry = {"at": 1.0, "dataset": "dispatcher", "verdict": "PUBLISHED", "digest": "abc", "counts": {"added": 3}}
    said = {"at": 1.0, "dataset": "dispatcher", "event": "rollback", "release": "r0"}
    engine.replies["history"] = {"ok": True, "entries": [entry, said], "releases": {"dispatcher": ["r0", "r1"]}}
    code, out, _ = run("history", "--limit", "5")
    assert code == 0
    assert "+3" in out
    assert "r0, r1" in out
    assert engine.asked[0] == {"do": "history", "limit": 5, "dataset": None}
    run("history", "--since", "1970-01-01T00:00:07Z")
    assert engine.asked[1] == {"do": "history", "limit": 100_000, "dataset": None, "since": 7.0}


@pytest.mark.parametrize("verb", ["approve", "pause", "resume"])
def test_an_operators_words_are_passed_on(run: Run, engine: Engine, verb: str) -> None:
    engine.replies[verb] = {"ok": True, "datasets": ["domain"]}
    assert run(verb, "--dataset", "domain")[0] == 0
    assert json.loads(run(verb, "--json")[1]) == engine.replies[verb]
    assert [request["dataset"] for request in engine.asked] == ["domain", None]


PS: dict[str, Any] = {
    "ok": True, "role": "sbc", "name": "sbc-1", "waits_for": "",
    "processes": [
        {"name": "kamailio", "state": "RUNNING", "pid": 12, "since": 1.0, "restarts": 3, "adopted": True,
         "reason": "signal 9", "rss": 2**20 * 50, "cpu": 1.25, "members": 9},
    ],
    "probes": [
        {"name": "rpc", "healthy": True, "level": "alive", "action": "restart", "since": 1.0, "reason": "",
         "took_ms": 0.5},
    ],
    "registration": {"state": "registered", "id": "sbc-1", "name": "sbc", "node": "n1", "trouble": ""},
}  # fmt: skip


def test_ps_shows_programs_health_and_registration(run: Run, engine: Engine) -> None:
    engine.replies["ps"] = PS
    code, out, _ = run("ps")
    assert code == 0
    for text in (
        "kamailio (adopted)",
        "RUNNING",
        "50.0 MB",
        "1.2 s",
        "signal 9",
        "rpc",
        "well",
        "sbc sbc-1: registered with n1",
    ):
        assert text in out
    assert json.loads(run("ps", "--json")[1]) == PS


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"waits_for": "sip_options: no answer; lists: differ"}, "not ready: lists: differ"),
        ({"processes": [{**PS["processes"][0], "state": "BACKOFF", "pid": None, "rss": None, "cpu": None}]}, "BACKOFF"),
    ],
)
def test_ps_is_no_where_something_is_not_well(run: Run, engine: Engine, change: dict[str, Any], shown: str) -> None:
    engine.replies["ps"] = {**PS, **change}
    code, out, _ = run("ps")
    assert code == 1
    assert shown in out


def test_restart_says_what_became_of_it(run: Run, engine: Engine) -> None:
    engine.replies["restart"] = {"ok": True, "process": "kamailio", "pid": 13}
    assert run("restart") == (0, "kamailio: up, process 13\n", "")
    engine.replies["restart"] = {"ok": False, "error": "cannot restart kamailio: /k.cfg:3:1: syntax error; it goes on"}
    code, _, err = run("restart", "kamailio", "--json")
    assert (code, "/k.cfg:3:1" in err) == (1, True)
    assert [request["process"] for request in engine.asked] == ["kamailio", "kamailio"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")]
)
def test_spans_are_told_in_two_units(seconds: float, text: str) -> None:
    from consul_kam.cli.show import span

    assert span(seconds) == text


# ---- the rest


def test_render_asks_consul_and_checks_what_it_says(run: Run, tmp_path: Path) -> None:
    with ConsulAgent(tmp_path / "consul") as consul:
        consul.register("router", "r1", "192.0.2.1", 5060)
        config = tmp_path / "c.toml"
        config.write_text(f'consul.address = "{consul.address}"\n')
        code, out, _ = run("--config", config, "render", "--deadline", "30")
        assert code == 0
        assert "sip:192.0.2.1:5060" in out
        consul.register("router", "r2", "192.0.2.2\n1 sip:6.6.6.6", 5060)
        code, out, _ = run("--config", config, "render", "--json", "--deadline", "30")
        (file,) = json.loads(out)["files"]
        assert (code, len(file["records"]), len(file["dropped"])) == (1, 1, 1)


def test_render_says_who_is_away(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('consul.address = "127.0.0.1:1"\n')
    code, out, err = run("--config", config, "render", "--deadline", "0.5")
    assert (code, out) == (3, "")
    assert err.startswith("cannot render dispatcher: nothing within 0.5 s")
    code, _, err = run("render", "--program", "no-such-program")
    assert (code, err[:26]) == (3, "cannot run no-such-program")


def test_templates_export_bakes_the_sets_in(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[[datasets.dispatcher.sets]]\nsetid = 77\nservice = "gateway"\n')
    code, out, _ = run("--config", config, "templates", "export", tmp_path / "out")
    assert code == 0
    assert f"{tmp_path}/out/dispatcher.ctmpl -> {tmp_path}/state/staging/dispatcher" in out
    assert '"gateway"' in (tmp_path / "out" / "dispatcher.ctmpl").read_text()


def test_config_show_tells_what_is_in_force(run: Run, tmp_path: Path) -> None:
    assert f'state_dir = "{tmp_path}/state"' in run("config", "show")[1]
    assert json.loads(run("config", "show", "--json")[1])["datasets"]["dispatcher"]["hold_for"] == 60.0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run: Run, shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "_CONSUL_KAM_COMPLETE" in out


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["check", "d"], ["file,d", "plain,dispatcher", "plain,domain"]),
        (["check", "/etc/ka"], ["file,/etc/ka"]),
        (["check", "dispatcher", "d"], ["file,d"]),
        (["--config", "/et"], ["file,/et"]),
        (["render", "--program", "/us"], ["file,/us"]),
        (["templates", "export", "/et"], ["dir,/et"]),
        (["diff", "--dataset", "dis"], ["plain,dispatcher"]),
        (["stat"], ["plain,status"]),
    ],
)
def test_what_is_completed(words: list[str], completed: list[str]) -> None:
    asked = {"COMP_WORDS": " ".join(["consul-kam", *words]), "COMP_CWORD": str(len(words))}
    done = spawned(_CONSUL_KAM_COMPLETE="bash_complete", **asked)
    assert done.stdout.splitlines() == completed


def test_help_of_each_command_has_exit_codes_or_examples_where_they_matter(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert "Exit codes of every command" in out
    for name in cli.cli.commands:
        assert run(name, "--help")[0] == 0


def spawned(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consul_kam", *arguments]
    return subprocess.run(
        command, cwd=REPO, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def test_colours_survive_a_pipe_only_where_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "dispatcher.list"
    file.write_text(BAD)
    plain, forced = spawned("check", str(file)), spawned("check", str(file), FORCE_COLOR="1")
    none = spawned("check", str(file), FORCE_COLOR="1", NO_COLOR="1")
    assert ("\x1b" in plain.stdout, "\x1b" in forced.stdout, "\x1b" in none.stdout) == (False, True, False)
    assert len(plain.stdout.splitlines()) == len(forced.stdout.splitlines()) == 2


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "dispatcher.list"
    file.write_text("".join(f"1 sip:192.0.2.1:{port} 0 10\n" for port in range(1, 5000)))
    command = f"{sys.executable} -m consul_kam check --json {file} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=REPO, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_defect_of_ours_is_one_line_and_a_traceback_only_with_debug() -> None:
    broken = "from consul_kam import cli; cli.local.version.callback = lambda **_: 1 / 0; "
    for debug in (False, True):
        program = broken + f"import sys; sys.argv[1:] = {['--debug'] * debug + ['version']}; cli.main()"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, timeout=60, check=False
        )
        assert ("Traceback" in done.stderr) is debug
        if not debug:
            assert done.returncode == cli.INTERNAL_ERROR
            assert done.stderr.startswith("cannot go on: internal error: ZeroDivisionError: division by zero; please")


def test_run_imports_nothing_that_only_others_need() -> None:
    unwanted = {"rich", "sh", "hvac", "consul", "prometheus_client"}
    code = f"import consul_kam.cli, consul_kam.app.wiring, sys; print(*{unwanted} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "\n"


def test_the_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "tools/gen_docs.py", "--check"],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
