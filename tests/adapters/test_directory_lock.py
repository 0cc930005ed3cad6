"""One engine per directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from consul_kam.adapters.directory_lock import DirectoryLock
from consul_kam.errors import ConfigError

HOLD = """
import sys
from pathlib import Path
from consul_kam.adapters.directory_lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]), "vault.directory")
print("held", flush=True)
sys.stdin.read()
"""


def test_another_one_is_refused_until_the_first_gives_it_up(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path, "vault.directory")
    said = rf"cannot use vault.directory {tmp_path}: another engine already keeps it; choose another directory"
    with pytest.raises(ConfigError, match=said):
        DirectoryLock(tmp_path, "vault.directory")
    DirectoryLock(tmp_path.parent, "vault.directory").release()
    first.release()
    DirectoryLock(tmp_path, "vault.directory").release()
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_it_ends_with_the_process_however_that_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another engine already keeps it"):
            DirectoryLock(tmp_path, "vault.directory")
        other.kill()
        other.wait()
    DirectoryLock(tmp_path, "vault.directory").release()


def test_programs_that_are_started_meanwhile_do_not_hold_it(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path, "vault.directory")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        DirectoryLock(tmp_path, "vault.directory").release()
        child.kill()


def test_what_is_no_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot use vault.directory .*/none: No such file or directory"):
        DirectoryLock(tmp_path / "none", "vault.directory")
