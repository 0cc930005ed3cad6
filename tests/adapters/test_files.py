"""Files that others read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.files import write_atomic


@pytest.fixture
def narrow() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("narrow")
def test_a_new_file_can_be_read_by_a_kamailio_of_another_user_whatever_the_umask(tmp_path: Path) -> None:
    write_atomic(tmp_path / "list", b"1")
    assert mode(tmp_path / "list") == 0o644


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"1")
    (tmp_path / "list").chmod(0o640)
    write_atomic(tmp_path / "list", b"2")
    assert (mode(tmp_path / "list"), (tmp_path / "list").read_bytes()) == (0o640, b"2")


def test_a_state_file_is_ours_alone(tmp_path: Path) -> None:
    write_atomic(tmp_path / "memory.json", b"{}", 0o600)
    assert mode(tmp_path / "memory.json") == 0o600
