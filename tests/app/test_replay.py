"""A recording, played: what would have gone live when, been held until when, been rejected."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consul_kam.app import recording
from consul_kam.app.recording import Recorder, Staged, recorded
from consul_kam.app.replay import Tried, play, replay
from consul_kam.config import Settings, parse
from consul_kam.errors import ConfigError, ListError

HOLD = 60.0
HOUR = 3600.0
NO_WINDOW = Tried(window=0.0)


def settings(more: str = "", limits: str = "") -> Settings:
    table = f'[datasets.dispatcher]\nfile = "/l/dispatcher.list"\n{limits}\n'
    return parse(f'{more}\n[node]\nstate_dir = "/s"\n{table}', "x", {})


def staged(*hosts: int, dataset: str = "dispatcher", **more: object) -> bytes:
    """192.0.2.HOST each."""
    lines = [{"setid": 1, "address": f"192.0.2.{host}", "port": 5060, **more} for host in hosts]
    text = [json.dumps(line) for line in (*lines, {"end": dataset, "records": len(lines)})]
    return ("\n".join(text) + "\n").encode()


def at(when: float, *hosts: int, **more: Any) -> Staged:
    return Staged(when, "dispatcher", "", staged(*hosts, **more))


def told(changes: Sequence[Staged], tried: Tried = NO_WINDOW, chosen: Settings | None = None) -> Any:
    return play(chosen or settings(), list(changes), tried)


def verdicts(found: Any) -> list[tuple[float, str, int | None]]:
    return [(round(entry["at"], 1), entry["verdict"], entry.get("records")) for entry in found["entries"]]


def hosts(found: Any) -> list[int]:
    return sorted(int(line.split()[1].split(":")[1].rpartition(".")[2]) for line in found["final"]["dispatcher"])


def test_what_is_good_goes_live_at_once() -> None:
    found = told([at(HOUR, 1, 2), at(HOUR + 5, 1, 2, 3)])
    assert verdicts(found) == [(HOUR, "PUBLISHED", 2), (HOUR + 5, "PUBLISHED", 3)]
    assert found["entries"][1]["counts"] == {"added": 1, "removed": 0, "changed": 0}
    assert hosts(found) == [1, 2, 3]
    assert found["holds"] == []


def test_a_sudden_loss_is_held_and_let_go() -> None:
    found = told([at(HOUR, 1, 2, 3, 4), at(HOUR + 10, 1)])
    assert verdicts(found) == [(HOUR, "PUBLISHED", 4), (HOUR + 10, "HELD", 4), (HOUR + 10 + HOLD, "PUBLISHED", 1)]
    assert {(hold["since"], hold["until"], hold["end"]) for hold in found["holds"]} == {
        (HOUR + 10, HOUR + 10 + HOLD, "let go")
    }
    assert [hold["key"] for hold in found["holds"]] == [f"1 sip:192.0.2.{host}:5060" for host in (2, 3, 4)]
    assert found["holds"][0]["why"].startswith("set 1 fell from 4 to 1")


def test_what_comes_back_while_it_is_held() -> None:
    found = told([at(HOUR, 1, 2, 3, 4), at(HOUR + 10, 1), at(HOUR + 20, 1, 2, 3, 4)])
    assert {(hold["until"], hold["end"]) for hold in found["holds"]} == {(HOUR + 20, "came back")}
    assert verdicts(found)[-1] == (HOUR + 20, "PUBLISHED", 4)


def test_other_guards_may_be_tried() -> None:
    changes = [at(HOUR, 1, 2, 3, 4), at(HOUR + 10, 1)]
    assert len(told(changes, Tried(max_shrink=1.0, window=0.0))["holds"]) == 0
    longer = told(changes, Tried(hold_for=300.0, window=0.0))
    assert {hold["until"] for hold in longer["holds"]} == {HOUR + 310}
    least = told(changes, Tried(min_records=2, window=0.0))
    assert {(hold["until"], hold["end"]) for hold in least["holds"]} == {(None, "")}
    assert hosts(least) == [1, 2, 3, 4]
    assert len(told(changes, NO_WINDOW, settings(limits="max_shrink = 1.0"))["holds"]) == 0


def test_a_bad_file_is_rejected_and_a_bad_record_dropped() -> None:
    bad = Staged(HOUR + 1, "dispatcher", "", b'{"setid":1}\n')
    found = told([at(HOUR, 1, 2), bad, at(HOUR + 2, 1, 2, 3, port=99_999)])
    assert verdicts(found)[:2] == [(HOUR, "PUBLISHED", 2), (HOUR + 1, "REJECTED", None)]
    assert found["entries"][1]["reason"].startswith("cannot use dispatcher:")
    assert len(found["entries"][2]["dropped"]) == 3
    assert hosts(found) == [1, 2]


def test_kamailios_window_is_waited_for_and_the_newest_wins() -> None:
    found = told([at(HOUR, 1), at(HOUR + 1, 1, 2), at(HOUR + 2, 1, 2, 3)], Tried(window=5.0))
    assert [(when, verdict) for when, verdict, _ in verdicts(found)] == [
        (HOUR, "PUBLISHED"), (HOUR + 1, "BUSY"), (HOUR + 2, "SUPERSEDED"), (HOUR + 5, "PUBLISHED"),
    ]  # fmt: skip
    assert hosts(found) == [1, 2, 3]


def test_a_list_waits_for_the_one_that_trusts() -> None:
    source = {"service": "router", "id": "r1", "node": "n"}
    record = {"group": 1, "address": "192.0.2.9", "status": "passing", "source": source}
    trust = "\n".join([json.dumps(record), json.dumps({"end": "address", "records": 1})]) + "\n"
    table = '[datasets.address]\nfile = "/l/address"\n[[datasets.address.sets]]\nservice = "router"\n'
    chosen = settings(limits=f'[[datasets.dispatcher.sets]]\nservice = "router"\n{table}')
    assert chosen.order == ("address", "dispatcher")
    changes = [
        Staged(HOUR, "address", "", b'{"end":"address","records":0}\n'),
        at(HOUR, 9, source=source),
        Staged(HOUR + 2, "address", "", trust.encode()),
    ]
    found = told(changes, NO_WINDOW, chosen)
    published = [(entry["at"], entry["dataset"]) for entry in found["entries"] if entry.get("records") == 1]
    assert [name for _, name in published] == ["address", "dispatcher"]
    assert published[1][0] >= HOUR + 2


# ---- recordings


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    warned: list[str] = []
    recorder = Recorder(tmp_path / "r", warned.append)
    contents = [staged(1), b"\xff\xfe\n\x00", "ü\n".encode()]
    for content in contents:
        recorder.staged("dispatcher", "dc2", content)
    recorder.close()
    with (tmp_path / "r").open("rb") as file:
        found = list(recorded("r", file))
    assert [each.content for each in found] == contents
    assert {(each.dataset, each.part) for each in found} == {("dispatcher", "dc2")}
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600
    assert not warned


def test_a_recording_is_bounded_and_a_full_disk_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "LARGEST", 1000)
    recorder = Recorder(tmp_path / "r", lambda _: None)
    for _ in range(10):
        recorder.staged("dispatcher", "", b"x" * 400)
    recorder.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4000
    warned: list[str] = []
    recorder = Recorder(tmp_path / "no" / "such", warned.append)
    for _ in range(3):
        recorder.staged("dispatcher", "", b"x")
    recorder.close()
    assert warned == [f"cannot record to {tmp_path}/no/such: No such file or directory"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("x", "it is no JSON"),
        ("[1]", "expected an object"),
        ('{"at":"1"}', "at: expected seconds, got '1'"),
        ('{"at":NaN}', "at: expected seconds, got nan"),
        ('{"at":1,"content":""}', "dataset: expected text, got None"),
        ('{"at":1,"dataset":"domain","part":2,"content":""}', "part: expected text, got 2"),
        ('{"at":1,"dataset":"domain","content":"\\ud800"}', "content: a surrogate stands alone"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_place(line: str, why: str) -> None:
    with pytest.raises(ListError) as raised:
        list(recorded("r", io.BytesIO(b"\n" + line.encode())))
    assert str(raised.value) == f"cannot use r:2:0: {why}"


def test_a_clock_that_was_set_back_stands_still() -> None:
    lines = [json.dumps({"at": when, "dataset": "domain", "content": ""}) for when in (5, 3, 6)]
    assert [each.at for each in recorded("r", io.BytesIO("\n".join(lines).encode()))] == [5, 5, 6]


def test_only_one_dataset_and_none_that_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "r"
    lines = [
        {"at": 1, "dataset": "nonsense", "content": ""},
        {"at": 2, "dataset": "dispatcher", "content": staged(1).decode()},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [entry["verdict"] for entry in replay(settings(), str(path), "dispatcher", Tried())["entries"]] == [
        "PUBLISHED"
    ]
    with pytest.raises(ConfigError, match="cannot find dataset 'nonsense'"):
        replay(settings(), str(path), None, Tried())
    with pytest.raises(ConfigError, match="cannot read /no/such"):
        replay(settings(), "/no/such", None, Tried())
