"""Staging against what Consul says: records count, not bytes."""

import json
from typing import Any

import pytest

from consul_kam.core import fresh
from consul_kam.core.fresh import DIFFERS, EQUAL, SHOWN, UNKNOWN, Fresh
from consul_kam.core.records import Answer
from consul_kam.datasets import dataset

DISPATCHER = dataset("dispatcher")


def entry(number: int, **more: Any) -> dict[str, Any]:
    source = {"service": "router", "id": f"r{number}", "node": "n"}
    return {"setid": 1, "address": f"10.0.0.{number}", "port": 5060, "source": source, "status": "passing", **more}


def staged(*entries: dict[str, Any]) -> Answer:
    lines = [*map(json.dumps, entries), json.dumps({"end": "dispatcher", "records": len(entries)})]
    return DISPATCHER.parse_staging("dispatcher", "\n".join([*lines, ""]).encode())


def native(*numbers: int) -> Answer:
    return DISPATCHER.parse_native("dispatcher", "".join(f"1 sip:10.0.0.{n}:5060 0 10\n" for n in numbers).encode())


ONE, TWO = entry(1, priority=10), entry(2, priority=10)
BAD = entry(3, port=0)
OTHER_ID = entry(1, priority=10, source={"service": "router", "id": "other", "node": "n"})


@pytest.mark.parametrize(
    ("mine", "its", "state", "missing", "extra"),
    [
        (staged(ONE, TWO), staged(TWO, ONE), EQUAL, 0, 0),
        (staged(BAD, ONE), staged(ONE, BAD), EQUAL, 0, 0),
        (staged(ONE), staged(ONE, TWO), DIFFERS, 1, 0),
        (staged(ONE, TWO), staged(ONE), DIFFERS, 0, 1),
        (staged(ONE), staged(ONE, BAD), DIFFERS, 1, 0),
        (staged(ONE), staged(OTHER_ID), DIFFERS, 1, 1),
        (staged(ONE), staged(entry(1, priority=10, status="warning")), DIFFERS, 1, 1),
        (staged(ONE), staged(entry(1, priority=10, status="critical")), DIFFERS, 1, 1),
        (staged(ONE, ONE), staged(ONE), DIFFERS, 0, 1),
        (native(1, 2), native(2, 1), EQUAL, 0, 0),
        (native(1), staged(entry(1, priority=10, duid=""), entry(2, status="critical")), EQUAL, 0, 0),
        (native(1), native(2), DIFFERS, 1, 1),
    ],
)
def test_records_count_by_line_use_and_source(mine: Answer, its: Answer, state: str, missing: int, extra: int) -> None:
    found = fresh.compare(DISPATCHER, mine, "", its)
    assert (found.state, len(found.missing), len(found.extra)) == (state, missing, extra)
    assert bool(found.difference) == bool(found.reason) == (state == DIFFERS)


def test_what_differs_is_told_bounded_and_known_again() -> None:
    consul = staged(*(entry(number) for number in range(1, 51)))
    found = fresh.compare(DISPATCHER, staged(entry(99)), "", consul)
    assert found.reason == "50 records that Consul has are not staged; 1 records that are staged Consul has not"
    assert len(found.missing) == SHOWN
    assert found.extra == ("1 sip:10.0.0.99:5060 0 10 (router/r99 on n, passing: in)",)
    assert found == fresh.compare(DISPATCHER, staged(entry(99)), "", consul)
    fewer = staged(*(entry(number) for number in range(1, 50)))
    assert fresh.compare(DISPATCHER, staged(entry(99)), "", fewer).difference != found.difference


def test_nothing_usable_in_staging_differs_from_any_answer() -> None:
    for consul, missing in ((staged(), 0), (staged(ONE), 1)):
        found = fresh.compare(DISPATCHER, None, "nothing is staged", consul)
        assert (found.state, len(found.missing), found.reason[:17]) == (DIFFERS, missing, "nothing is staged")


def test_of_several_files_the_worst_counts() -> None:
    away, stale = Fresh(UNKNOWN, "away"), Fresh(DIFFERS, "old", ("a",), ("b",), "digest")
    assert fresh.together([("", Fresh(EQUAL)), ("dc2", Fresh(EQUAL))]) == Fresh(EQUAL)
    assert fresh.together([("", Fresh(EQUAL)), ("dc2", away)]) == Fresh(UNKNOWN, "data centre dc2: away")
    assert fresh.together([("", stale), ("dc2", away)]) == stale
    newer = Fresh(DIFFERS, "new", ("c",), (), "other")
    both = Fresh(DIFFERS, "old; data centre dc2: new", ("a", "c"), ("b",), "digest other")
    assert fresh.together([("", stale), ("dc2", newer), ("dc3", away)]) == both


def test_bytes_that_are_no_text_are_compared_too() -> None:
    odd = DISPATCHER.parse_native("dispatcher", b"1 sip:10.0.0.1:5060 0 10 duid=\xff\n")
    found = fresh.compare(DISPATCHER, odd, "", native(1))
    assert (found.state, len(found.missing), len(found.extra)) == (DIFFERS, 1, 1)
