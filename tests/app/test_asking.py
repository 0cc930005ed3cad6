"""Requests for a restart of Kamailio: by a file, at once, and then less and less often."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from consul_kam.adapters.journal import Journal
from consul_kam.app.asking import Asker
from consul_kam.app.reports import Reporter
from consul_kam.core.health import NOT_READY, READY, ProbeState


def probe(healthy: bool | None, advice: str = "restart kamailio.service") -> ProbeState:
    return ProbeState(
        name="rpc", level=READY, action=NOT_READY, target="kamailio", rise=1, fall=1, since=0.0, advice=advice,
        healthy=healthy, reason="no answer",
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "restart-kamailio"


def at_once(job: Callable[[], None]) -> None:
    job()


def asker(file: Path) -> Asker:
    return Asker(str(file), at_once, Reporter(Journal(file.with_name("journal"))))


def asked(asker: Asker, file: Path, healthy: bool | None, now: float) -> bool:
    """Whether this look asks; the request is taken away, as the unit does."""
    asker.look([probe(healthy)], now)
    there = file.exists()
    file.unlink(missing_ok=True)
    return there


def test_it_asks_at_once_and_then_less_and_less_often(file: Path) -> None:
    ours = asker(file)
    times = [now for now in range(1, 1000) if asked(ours, file, False, float(now))]
    assert times == [1, 31, 91, 211, 451, 751]


def test_it_asks_for_what_is_unwell_alone(file: Path) -> None:
    ours = asker(file)
    assert not asked(ours, file, None, 1.0)
    assert not asked(ours, file, True, 2.0)
    assert asked(ours, file, False, 3.0)
    assert not asked(ours, file, True, 4.0)


def test_who_is_well_for_a_moment_is_not_asked_for_at_once(file: Path) -> None:
    ours = asker(file)
    well = {2, 40, 100}
    times = [now for now in range(1, 200) if asked(ours, file, now in well, float(now))]
    assert times == [1, 31, 91]
    assert not asked(ours, file, True, 300.0)
    assert asked(ours, file, False, 301.0), "well for long enough"


def test_what_we_restart_ourselves_is_not_asked_for(file: Path) -> None:
    asker(file).look([probe(False, advice="")], 1.0)
    assert not file.exists()


def test_the_request_says_why(file: Path) -> None:
    asker(file).look([probe(False)], 1.0)
    assert file.read_text() == "rpc: no answer\n"


def test_without_a_file_nothing_is_asked(tmp_path: Path) -> None:
    Asker("", at_once, Reporter(Journal(tmp_path / "journal"))).look([probe(False)], 1.0)
    assert os.listdir(tmp_path) == []


def test_a_request_that_cannot_be_made_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(Journal(tmp_path / "journal"))
    Asker(str(tmp_path / "none" / "file"), at_once, reporter).look([probe(False)], 1.0)
    reporter.close()
    assert "cannot ask for a restart of Kamailio by" in capfd.readouterr().err
