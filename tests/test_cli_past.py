"""Commands about what was, run as `consul-kam` runs them, on a state directory without an engine."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consul_kam import cli
from consul_kam.adapters import journal
from consul_kam.adapters.journal import Journal
from consul_kam.adapters.releases import Releases
from consul_kam.app.stored import about
from consul_kam.core.plan import live_file, make_release
from consul_kam.core.records import Use
from consul_kam.datasets import dataset
from tests.lab.process import wait_for

REPO = Path(__file__).parents[1]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, standard output, standard error) of `consul-kam ARGUMENTS`, with a state directory of its own."""
    monkeypatch.setenv("CONSUL_KAM_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("CONSUL_KAM_CONFIG", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.run(["--debug", *map(str, arguments)])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        said = capsys.readouterr()
        assert not said.err or said.err.startswith("cannot ")
        return code, said.out, said.err

    return call


def publish(state: Path, *lines: str, disabled: Sequence[str] = ()) -> str:
    """The name of a release of dispatcher."""
    kind = dataset("dispatcher")
    answer = kind.parse_native("x", "".join(f"{line}\n" for line in lines).encode())
    records = [replace(r, use=Use.DISABLED) if r.line.split()[1] in disabled else r for r in answer.records]
    release = make_release(records)
    content = live_file(kind, release, {}, frozenset())
    return Releases(state / "releases" / "dispatcher").publish(
        release.digest, content, about(release, frozenset(), 1.0)
    )


# ---- diff A B


ONE, TWO, THREE = (f"1 sip:192.0.2.{n}:5060 0 10" for n in (1, 2, 3))


def test_diff_tells_what_a_release_changed(run: Run, tmp_path: Path) -> None:
    first = publish(tmp_path, ONE, TWO)
    second = publish(tmp_path, ONE, THREE, "1 sip:192.0.2.4:5060 0 9")
    code, out, _ = run("diff", first, second, "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["a"]["release"], found["b"]["release"], found["a"]["records"]) == (first, second, 2)
    assert [line.split()[1] for line in found["added"]] == ["sip:192.0.2.3:5060", "sip:192.0.2.4:5060"]
    assert [line.split()[1] for line in found["removed"]] == ["sip:192.0.2.2:5060"]
    assert not found["changed"]
    code, out, _ = run("diff", "1")
    assert code == 1
    assert "dispatcher: - 1 sip:192.0.2.2:5060" in out
    assert "dispatcher: + 1 sip:192.0.2.3:5060" in out


def test_diff_knows_releases_by_name_number_and_digest(run: Run, tmp_path: Path) -> None:
    first = publish(tmp_path, ONE)
    publish(tmp_path, ONE, TWO)
    number, digest = first.split("-")
    for name in (first, number, number.lstrip("0"), digest):
        assert json.loads(run("diff", "--json", name)[1])["a"]["release"] == first
    assert run("diff", first, first)[0] == 0


def test_diff_tells_of_values_of_order_and_of_the_disabled(run: Run, tmp_path: Path) -> None:
    publish(tmp_path, ONE, TWO)
    publish(tmp_path, "1 sip:192.0.2.1:5060 0 8 duid=a", TWO)
    publish(tmp_path, "1 sip:192.0.2.1:5060 0 8 duid=a", TWO, disabled=["sip:192.0.2.2:5060"])
    found = json.loads(run("diff", "1", "2", "--json")[1])
    assert [("duid" in each["before"], "duid" in each["after"]) for each in found["changed"]] == [(False, True)]
    assert found["reordered"]
    code, out, _ = run("diff", "2", "3")
    assert code == 1
    assert "(disabled)" in out
    assert "sip:192.0.2.1" not in out


def test_diff_says_which_releases_there_are(run: Run, tmp_path: Path) -> None:
    assert run("diff", "1")[::2] == (
        1,
        f"cannot compare releases of dispatcher: there are none in {tmp_path}/releases/dispatcher\n",
    )
    name = publish(tmp_path, ONE)
    assert f"cannot find release 7 of dispatcher: there are {name} to {name}" in run("diff", "7")[2]
    assert run("diff", "1", "--dataset", "htable:x")[0] == 2
    (tmp_path / "releases/dispatcher" / f"{name}.list").write_text("nonsense\n")
    assert "one of them is damaged" in run("diff", "1", "1")[2]


# ---- history --follow


def entry(at: float, **more: Any) -> dict[str, Any]:
    return {"at": at, "dataset": "dispatcher", "verdict": "PUBLISHED", **more}


def test_follow_shows_what_was_and_what_comes_through_a_full_journal(tmp_path: Path) -> None:
    written = Journal(tmp_path / "journal.jsonl")
    for number in range(5):
        written.write(entry(number))
    environment = {**os.environ, "CONSUL_KAM_STATE_DIR": str(tmp_path)}
    argv = [sys.executable, "-m", "consul_kam", "history", "--follow", "--json", "--limit", "2"]
    with subprocess.Popen(argv, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        shown = [json.loads(follower.stdout.readline())["at"] for _ in range(2)]
        written.write(entry(5, reason="x" * journal.LARGEST))
        Journal(tmp_path / "journal.jsonl").write(entry(6))
        shown += [json.loads(follower.stdout.readline())["at"] for _ in range(2)]
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130
    assert shown == [3, 4, 5, 6]


def test_follow_shows_one_line_each_and_steers_no_terminal(tmp_path: Path) -> None:
    held = {"1 sip:evil\x1b[2J": "it left\nMONDAY"}
    Journal(tmp_path / "journal.jsonl").write(entry(1, records=3, counts={"added": 2}, held=held))
    environment = {**os.environ, "CONSUL_KAM_STATE_DIR": str(tmp_path)}
    out = tmp_path / "out"
    with out.open("w") as file:
        argv = [sys.executable, "-m", "consul_kam", "history", "--follow"]
        with subprocess.Popen(argv, cwd=REPO, env=environment, stdout=file, text=True) as follower:
            wait_for("a line", lambda: "\n" in out.read_text(), 20)
            follower.send_signal(signal.SIGINT)
            follower.wait(20)
    (line,) = out.read_text().splitlines()
    assert "dispatcher  PUBLISHED  3 records  +2  held: 1 sip:evil\\x1b[2J (it left\\nMONDAY)" in line


# ---- journal export


def test_export_prints_all_of_it_in_order(run: Run, tmp_path: Path) -> None:
    written = Journal(tmp_path / "journal.jsonl")
    for number in (1, 2):
        written.write(entry(number))
    (tmp_path / "journal.jsonl").rename(tmp_path / "journal.jsonl.1")
    for number in (3, 4):
        written.write({**entry(number), "dataset": "domain"})
    lines = run("journal", "export")[1].splitlines()
    assert [json.loads(line)["at"] for line in lines] == [1, 2, 3, 4]
    since = run("journal", "export", "--since", "1970-01-01T00:00:02Z", "--until", "1970-01-01T00:00:03Z")[1]
    assert [json.loads(line)["at"] for line in since.splitlines()] == [2, 3]
    assert len(run("journal", "export", "--dataset", "domain")[1].splitlines()) == 2
    assert "'x': expected 90s" in run("journal", "export", "--since", "x")[2]


def test_export_as_csv_is_whole_and_no_formula(run: Run, tmp_path: Path) -> None:
    full = entry(
        1.5, reason='=cmd|"x"\n', digest="abc", records=2, counts={"added": 1}, held={"-1": "why, so"}, ms={"read": 1.0}
    )
    Journal(tmp_path / "journal.jsonl").write(full)
    head, row = csv.reader(io.StringIO(run("journal", "export", "--format", "csv")[1]))
    found = dict(zip(head, row, strict=True))
    assert found["time"] == "1970-01-01T00:00:01Z"
    assert (found["what"], found["release"], found["records"], found["added"]) == ("PUBLISHED", "abc", "2", "1")
    assert found["reason"] == '\'=cmd|"x"\\n'
    assert found["held"] == "'-1: why, so"
    assert json.loads(found["entry"]) == full


def test_export_says_what_it_leaves_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"at":1}\n{"at"\n')
    code, out, said = run("journal", "export")
    assert (code, out) == (0, '{"at": 1}\n')
    assert said == f"cannot read 1 lines of {tmp_path}/journal.jsonl: they are left out\n"
    (tmp_path / "journal.jsonl").unlink()
    assert run("journal", "export") == (0, "", "")
