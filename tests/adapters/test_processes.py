"""Processes: real ones, their groups, their identity, and their end, our own children and adopted ones alike."""

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters import processes
from consul_kam.adapters.processes import Identity, ProcessError, alive, empty, members, recorded
from consul_kam.adapters.watcher import Watcher
from tests.lab import wait_for

ENVIRONMENT = {"PATH": os.environ["PATH"]}
LEADER = 'sleep 300 & sleep 300 & echo ready >"$1"; wait'
"""A program with two workers."""


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    opened = Watcher()
    yield opened
    opened.close()


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "program"
    yield path
    found = recorded(path)
    if found is not None:
        empty(found)


def identity(record: Path, started: Identity) -> Identity:
    """Once the process has written it down."""
    wait_for("the record", lambda: recorded(record) is not None, 20)
    assert recorded(record) == started
    return started


def leader(record: Path, tmp_path: Path) -> Identity:
    started = processes.spawn(["sh", "-c", LEADER, "sh", str(tmp_path / "up")], record, ENVIRONMENT)
    wait_for("the workers", (tmp_path / "up").exists, 20)
    return identity(record, started)


def test_a_program_writes_down_who_it_is_before_it_is_executed(record: Path) -> None:
    found = identity(record, processes.spawn(["sleep", "300"], record, ENVIRONMENT))
    assert alive(found)
    assert found.program.endswith("/sleep")
    wait_for("the program", lambda: Path(f"/proc/{found.pid}/comm").read_text() == "sleep\n", 20)
    assert alive(found)
    assert os.getsid(found.pid) == found.pid


def test_the_number_alone_is_nobody(record: Path) -> None:
    found = identity(record, processes.spawn(["sleep", "300"], record, ENVIRONMENT))
    stranger = found._replace(started=found.started - 1)
    assert not alive(stranger)
    assert members(stranger) == []
    empty(stranger)
    assert alive(found)


@pytest.mark.parametrize("text", ["", "boot\n", "boot\n1 (x) S\n/bin/x\n", "boot\nx (y) S" + " 1" * 30 + "\n/bin/x\n"])
def test_a_record_that_says_nothing_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "r").write_text(text)
    assert recorded(tmp_path / "r") is None
    assert recorded(tmp_path / "none") is None


def test_a_record_of_another_boot_names_nobody(record: Path) -> None:
    identity(record, processes.spawn(["sleep", "300"], record, ENVIRONMENT))
    text = record.read_text()
    record.write_text("another" + text)
    assert recorded(record) is None
    record.write_text(text)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"^cannot start no-such-program: there is no such program"):
        processes.spawn(["no-such-program"], tmp_path / "r", ENVIRONMENT)


def test_a_full_disk_does_not_keep_a_program_down(tmp_path: Path) -> None:
    up = tmp_path / "up"
    pid = processes.spawn(["sh", "-c", f"echo up >{up}"], tmp_path / "no" / "place", ENVIRONMENT).pid
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert up.read_text() == "up\n"


def test_python_ignores_sigpipe_and_its_children_do_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pid = processes.spawn(["sh", "-c", f"grep SigIgn /proc/self/status >{out}"], tmp_path / "r", ENVIRONMENT).pid
    os.waitpid(pid, 0)
    assert int(out.read_text().split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_workers_that_outlive_their_leader_are_found_and_ended(record: Path, tmp_path: Path) -> None:
    found = leader(record, tmp_path)
    assert len(members(found)) == 3
    os.kill(found.pid, signal.SIGKILL)
    os.waitpid(found.pid, 0)
    assert not alive(found)
    assert len(members(found)) == 2
    empty(found)
    assert members(found) == []


def test_the_end_of_a_child_is_told_and_its_group_goes_with_it(record: Path, tmp_path: Path, watcher: Watcher) -> None:
    found, told = leader(record, tmp_path), queue.Queue[str]()
    watcher.watch(found.pid, told.put)
    assert watcher.pids == {found.pid}
    os.kill(found.pid, signal.SIGKILL)
    assert told.get(timeout=20) == "signal 9"
    wait_for("the end of the group", lambda: members(found) == [], 20)
    with pytest.raises(ChildProcessError):
        os.waitpid(found.pid, os.WNOHANG)
    assert watcher.pids == frozenset()


def test_an_exit_code_is_told(record: Path, watcher: Watcher) -> None:
    told = queue.Queue[str]()
    watcher.watch(processes.spawn(["sh", "-c", "exit 14"], record, ENVIRONMENT).pid, told.put)
    assert told.get(timeout=20) == "exit code 14"


def test_one_that_is_no_child_of_ours_is_watched_too(record: Path, tmp_path: Path, watcher: Watcher) -> None:
    """As adopted from a supervisor that was killed."""
    code = f"""if True:
        from pathlib import Path
        from consul_kam.adapters import processes
        processes.spawn(["sleep", "300"], Path({str(record)!r}), {ENVIRONMENT!r})"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
    wait_for("the record", lambda: recorded(record) is not None, 20)
    found, told = recorded(record), queue.Queue[str]()
    assert found is not None
    assert alive(found)
    watcher.watch(found.pid, told.put)
    os.kill(found.pid, signal.SIGKILL)
    assert told.get(timeout=20) == "ended"
    assert not alive(found)


def test_the_end_of_one_that_is_gone_already_is_told(watcher: Watcher) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    told = queue.Queue[str]()
    watcher.watch(child.pid, told.put)
    assert told.get(timeout=20) == "ended"


def seen(found: Identity) -> tuple[int, str]:
    facts = processes.facts(found)
    return (facts.members, facts.status) if facts is not None else (0, "")


def test_what_a_program_needs_is_told_of_all_its_processes(record: Path, tmp_path: Path) -> None:
    found = leader(record, tmp_path)
    wait_for("all of it", lambda: seen(found) == (3, "sleeping"), 10)
    facts = processes.facts(found)
    assert facts is not None
    assert 0 < facts.rss < 100 * 2**20
    assert facts.cpu >= 0
    empty(found)
    assert processes.facts(found) is None


def test_what_a_program_says_and_how_it_ends() -> None:
    assert processes.output(["sh", "-c", "echo a; echo b >&2; exit 3"], ENVIRONMENT, 5) == (3, ["a", "b"])
    with pytest.raises(ProcessError, match=r"^cannot run sleep 9: it did not end within 0.1 s$"):
        processes.output(["sleep", "9"], ENVIRONMENT, 0.1)
    with pytest.raises(ProcessError, match=r"^cannot run no-such: No such file or directory; install it"):
        processes.output(["no-such"], ENVIRONMENT, 5)


def test_a_kill_takes_the_whole_group_and_no_stranger(record: Path, tmp_path: Path) -> None:
    found = leader(record, tmp_path)
    processes.kill(found._replace(started=1))
    assert len(members(found)) == 3
    processes.kill(found)
    wait_for("the end", lambda: members(found) == [], 20)
    os.waitpid(found.pid, 0)
    processes.kill(found)


def test_orphans_are_reaped_and_no_exit_status_is_stolen() -> None:
    """In a process of its own, which takes orphans as PID 1 of a container does [prctl(2), PR_SET_CHILD_SUBREAPER]."""
    code = """if True:
        import ctypes, os, psutil, subprocess, time
        from consul_kam.adapters.processes import Reaper
        ctypes.CDLL(None).prctl(36, 1)
        known = subprocess.Popen(["sh", "-c", "exit 7"])
        waited = subprocess.Popen(["sh", "-c", "exit 3"])
        subprocess.run(["sh", "-c", "(sleep 0.05; exit 5) & exit 0"])
        until = time.monotonic() + 15
        ended = lambda: [each for each in psutil.Process().children() if each.status() == psutil.STATUS_ZOMBIE]
        while len(ended()) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        reaper = Reaper(lambda: frozenset([known.pid]))
        first = reaper.look()
        assert waited.wait() == 3
        print(first, reaper.look(), reaper.look(), known.wait())
        assert reaper.look() == 0"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.split() == ["0", "1", "0", "7"], done.stderr


def test_with_no_children_there_is_nothing_to_reap() -> None:
    code = "from consul_kam.adapters.processes import Reaper; print(Reaper(frozenset).look())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "0\n", done.stderr
