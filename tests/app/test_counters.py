"""What is counted of verdicts and stages, and that it agrees with the journal."""

from pathlib import Path

from consul_kam.adapters.journal import Journal
from consul_kam.app.counters import Counters
from consul_kam.app.reports import Reporter
from consul_kam.core.events import Report, Verdict
from consul_kam.core.plan import make_release


def test_verdicts_are_counted_by_dataset_and_the_last_publication_is_known() -> None:
    counters = Counters()
    counters.verdict("domain", Verdict.BUSY, {})
    assert counters.tally("domain").published_at is None
    for verdict in (Verdict.PUBLISHED, Verdict.HELD, Verdict.PUBLISHED):
        counters.verdict("domain", verdict, {})
    counters.busy("domain")
    tally = counters.tally("domain")
    assert tally.verdicts == {"BUSY": 1, "PUBLISHED": 2, "HELD": 1}
    assert tally.busy == 1
    assert tally.published_at is not None
    assert counters.tally("dispatcher").verdicts == {}


def test_a_tally_stays_as_it_is() -> None:
    counters = Counters()
    counters.verdict("domain", Verdict.PUBLISHED, {"parse": 1.0})
    before = counters.tally("domain")
    counters.verdict("domain", Verdict.PUBLISHED, {"parse": 1.0})
    counters.busy("domain")
    assert (before.verdicts, before.busy, before.stages["parse"].counts[0]) == ({"PUBLISHED": 1}, 0, 1)


def test_the_stages_of_a_change_are_spread_in_seconds() -> None:
    counters = Counters()
    counters.verdict("domain", Verdict.PUBLISHED, {"parse": 2.0, "verified": 40.0, "unheard of": 1.0})
    stages = counters.tally("domain").stages
    assert {stage: spread.total for stage, spread in stages.items()} == {"parse": 0.002, "verified": 0.04}


def test_what_was_read_between_changes_is_no_change() -> None:
    counters = Counters()
    counters.verdict("domain", Verdict.PUBLISHED, {"read": 50_000.0})
    assert counters.tally("domain").stages == {}


def test_counted_is_what_the_journal_has(tmp_path: Path) -> None:
    reporter = Reporter(Journal(tmp_path / "journal.jsonl"))
    said = [
        Report(Verdict.BUSY, None, "closed"),
        Report(Verdict.BUSY, None, "closed"),
        Report(Verdict.PUBLISHED, make_release([])),
    ]
    for report in said:
        reporter.report("domain", report, None, {})
    reporter.close()
    written = [entry["verdict"] for entry in reporter.tail(10, None)]
    assert written == ["BUSY", "PUBLISHED"]
    assert reporter.counters.tally("domain").verdicts == {"BUSY": 1, "PUBLISHED": 1}
