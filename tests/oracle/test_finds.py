"""Would it find a rule that is wrong? Copies of a grammar with a rule less, and with one that nobody needs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from consul_kam.core.records import Answer, Problem
from consul_kam.datasets import dataset
from tests.lab.kamailio import find
from tools.oracle.adapter import Adapter, adapters
from tools.oracle.lists import draw
from tools.oracle.run import CASES, Disagreement, Outcome, run

DOMAIN = dataset("domain")
LISTS = 400


def judged(parse: Callable[[str, bytes], Answer]) -> Outcome:
    adapter: Adapter = replace(adapters()["domain"], dataset=replace(DOMAIN, parse_native=parse))
    return run(adapter, find(), draw(adapter, LISTS, seed=1))


def test_a_rule_less_is_found() -> None:
    """The last row needs no newline, this one says."""

    def parse(file: str, data: bytes) -> Answer:
        return DOMAIN.parse_native(file, data if data.endswith(b"\n") else data + b"\n")

    found = judged(parse).disagreements
    rows = [disagreement for disagreement in found if disagreement.drawn.row == "a last row without its newline"]
    assert rows
    assert "check accepts it, and Kamailio: entries left out" in rows[0].trouble
    assert rows[0].drawn.data.count(b"\n") == 1, "shrunk to the header and that row"


def test_an_invented_rule_is_found() -> None:
    """No name has a hyphen, this one says."""

    def parse(file: str, data: bytes) -> Answer:
        answer = DOMAIN.parse_native(file, data)
        bad = [
            (record, line) for record, line in zip(answer.records, answer.lines, strict=True) if "-" in str(record.key)
        ]
        problems = [Problem(file, line, 1, f"domain is {record.key[0]!r}, allowed: no hyphen") for record, line in bad]
        kept = [(r, line) for r, line in zip(answer.records, answer.lines, strict=True) if (r, line) not in bad]
        records, lines = tuple(r for r, _ in kept), tuple(line for _, line in kept)
        return replace(answer, records=records, lines=lines, problems=(*answer.problems, *problems))

    found = [disagreement for disagreement in judged(parse).disagreements if "no hyphen" in disagreement.trouble]
    assert found
    assert "Kamailio loads it whole, and check: " in found[0].trouble
    assert found[0].drawn.data.rstrip(b"\n").count(b"\n") == 1


def test_a_disagreement_becomes_a_case(tmp_path: Path) -> None:
    (first, *_) = draw(adapters()["domain"], 100, seed=1)
    path = Disagreement(first, "why").write("5.6.3", tmp_path)
    assert path.parent == tmp_path != CASES
    assert '"dataset": "domain"' in path.read_text()
