"""Checking list files without an engine, a Kamailio or a Consul."""

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from consul_kam import datasets
from consul_kam.adapters import files
from consul_kam.config import Settings, known_datasets
from consul_kam.core.dataset import Dataset, dataset_of
from consul_kam.core.grammar import BadValue
from consul_kam.core.lines import is_staging
from consul_kam.core.records import Problem, Record
from consul_kam.core.twins import without_twins
from consul_kam.errors import ConfigError, ListError


@dataclass(frozen=True)
class Checked:
    """What is to be said of one file."""

    file: str
    dataset: str
    native: bool = False
    """In Kamailio's own format."""
    records: tuple[Record, ...] = ()
    dropped: tuple[Problem, ...] = ()
    error: str = ""
    """Why the file as a whole cannot be used, or ""."""

    @property
    def good(self) -> bool:
        return not (self.error or self.dropped)


def check(name: str | None, file: str, data: bytes, settings: Settings) -> Checked:
    """`name`: the dataset, or None to guess. Raises ConfigError where it cannot be told."""
    return check_as(_dataset(name or guess(file, data, settings)), file, data)


def check_as(dataset: Dataset, file: str, data: bytes) -> Checked:
    """A list of this dataset."""
    name, staged = dataset.name, is_staging(data)
    try:
        answer = without_twins(dataset.parse_staging(file, data) if staged else dataset.parse_native(file, data))
    except ListError as error:
        return Checked(file, name, not staged, error=str(error))
    records, late = dataset.settled(answer.records)
    return Checked(file, name, not staged, tuple(records), (*answer.problems, *late))


def _dataset(name: str) -> Dataset:
    try:
        return datasets.dataset(name)
    except BadValue as bad:
        raise ConfigError(f"cannot check: {bad}") from None


def guess(file: str, data: bytes, settings: Settings) -> str:
    """By the end line of a staging file, the configured live file, or the name ("dispatcher.list", "domain@dc2")."""
    known = known_datasets()
    for dataset in settings.enabled:
        if Path(file).absolute() == dataset.file:
            return dataset.name
    named = dataset_of(Path(file).name.split("@")[0].split(".")[0])
    ending = _end_line(data) or named
    if ending.partition(":")[0] not in known:
        raise ConfigError(f"cannot tell which dataset {file} is: name it first, one of {', '.join(known)}")
    return ending


def _end_line(data: bytes) -> str:
    last = data.rstrip().rpartition(b"\n")[2]
    try:
        end = json.loads(last).get("end", "") if last[:1] == b"{" else ""
    except (ValueError, RecursionError):
        return ""
    return end if isinstance(end, str) else ""


def read(file: str, staged: bool = False) -> bytes:
    """`-` is standard input, and a pipe is read; not so where the engine `staged` it. Raises ConfigError.

    A byte more than the engine takes is read at most, which is said of the file then.
    """
    try:
        if staged:
            return files.read_regular(Path(file), closed=True)
        with contextlib.nullcontext(sys.stdin.buffer) if file == "-" else open(file, "rb") as given:
            return given.read(files.LARGEST + 1)
    except OSError as error:
        why = str(error.strerror)
        if isinstance(error, FileNotFoundError) and file.isidentifier():
            why = f"no such file, and no dataset: those are {', '.join(known_datasets())}"
        raise ConfigError(f"cannot read {file}: {why}") from None
