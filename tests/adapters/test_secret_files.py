"""A secret's fields are read of one generation."""

import os
from pathlib import Path

import pytest

from consul_kam.adapters import secret_files


def generation(directory: Path, name: str, number: int, **fields: str) -> None:
    place = directory / f".{name}.{number}"
    place.mkdir()
    for field, text in fields.items():
        (place / field).write_text(text)
    (directory / f".{name}.new").symlink_to(place.name)
    (directory / f".{name}.new").replace(directory / name)


def test_its_fields_as_they_are(tmp_path: Path) -> None:
    generation(tmp_path, "db", 1, username="u\n", password="")
    assert secret_files.read(tmp_path, "db", ["username", "password"]) == {"username": b"u\n", "password": b""}


def test_fields_of_two_generations_never_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Swapped between the first field and the second."""
    generation(tmp_path, "db", 1, username="1", password="1")
    opened = os.open

    def swapping(path: object, *words: object, **more: object) -> int:
        if path == "password" and not (tmp_path / ".db.2").exists():
            generation(tmp_path, "db", 2, username="2", password="2")
        return opened(path, *words, **more)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "open", swapping)
    assert secret_files.read(tmp_path, "db", ["username", "password"]) == {"username": b"1", "password": b"1"}
    assert secret_files.read(tmp_path, "db", ["username", "password"]) == {"username": b"2", "password": b"2"}


def test_a_generation_that_goes_meanwhile_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generation(tmp_path, "db", 1, username="1")
    opened = os.open

    def swapping(path: object, *words: object, **more: object) -> int:
        if path == "username" and (tmp_path / ".db.1").exists():
            generation(tmp_path, "db", 2, username="2")
            (tmp_path / ".db.1" / "username").unlink()
            (tmp_path / ".db.1").rmdir()
        return opened(path, *words, **more)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "open", swapping)
    assert secret_files.read(tmp_path, "db", ["username"]) == {"username": b"2"}


def test_what_is_not_there_or_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert secret_files.read(tmp_path, "db", ["a"]) == {"a": "there is no secret db"}
    generation(tmp_path, "db", 1, a="1", big="x" * 65_537)
    (tmp_path / "db" / "link").symlink_to("a")
    os.mkfifo(tmp_path / "db" / "fifo")
    found = secret_files.read(tmp_path, "db", ["a", "none", "big", "link", "fifo"])
    assert found == {
        "a": b"1",
        "none": "secret db: there is no none",
        "big": "secret db: big has more than 65536 bytes",
        "link": "secret db: cannot read link: Too many levels of symbolic links",
        "fifo": "secret db: fifo is no regular file",
    }
    (tmp_path / "file").write_text("x")
    assert secret_files.read(tmp_path, "file", ["a"]) == {"a": "cannot read secret file: Not a directory"}
