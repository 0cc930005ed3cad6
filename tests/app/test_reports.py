"""The reporter: a log that cannot be written takes neither the journal nor itself with it."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from consul_kam.adapters.journal import Journal
from consul_kam.app.reports import RECENT, Reporter


def test_the_journal_goes_on_where_the_log_is_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(full, write_through=True))
        reporter = Reporter(Journal(tmp_path / "journal.jsonl"))
        reporter.note("dispatcher", "one")
        reporter.note("dispatcher", "two")
        reporter.close()
        monkeypatch.undo()
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in entries] == ["one", "two"]


def test_the_newest_entries_are_kept_those_of_the_engine_before_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write({"at": 1, "event": "of the engine before"})
    reporter = Reporter(journal)
    reporter.recall()
    for number in range(RECENT + 5):
        reporter.note("dispatcher", str(number))
        if number == 2:
            reporter.close()
            assert [entry["event"] for entry in reporter.recent] == ["of the engine before", "0", "1", "2"]
            reporter = Reporter(journal, recent=reporter.recent)
    reporter.close()
    assert len(reporter.recent) == RECENT
    assert reporter.recent[-1]["event"] == str(RECENT + 4)
