"""The lists over which check and Kamailio once differed: they agree now, on each version."""

import json
from pathlib import Path

import pytest

from tools import kamailio_roots
from tools.oracle.adapter import adapters
from tools.oracle.lists import Drawn
from tools.oracle.run import judge_all, loader

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))


@pytest.mark.parametrize("version", kamailio_roots.DEBIAN)
@pytest.mark.parametrize("name", sorted({json.loads(case.read_text())["dataset"] for case in CASES}))
def test_they_agree_now(name: str, version: str) -> None:
    adapter, found = adapters()[name], {}
    with loader(adapter, kamailio_roots.of_version(version)) as kamailio:
        for path in CASES:
            case = json.loads(path.read_text())
            if case["dataset"] == name:
                data = case["list"].encode("utf-8", "surrogateescape")
                found[path.name] = judge_all(adapter, Drawn(name, case["row"], case["seed"], 0, data), kamailio)[1]
    assert {name: trouble for name, trouble in found.items() if trouble} == {}
    assert found
