"""Kamailio as the judge of check: 2,000 lists a dataset agree, and the pages say what was measured.

`./dev oracle` draws others; what it finds stands in cases/ and is replayed by test_cases.py.
"""

from collections.abc import Mapping
from functools import cache

import pytest

from consul_kam.datasets import datasets
from tests.lab.kamailio import find
from tools import kamailio_roots
from tools.oracle import pages
from tools.oracle.adapter import adapters
from tools.oracle.datasets import dispatcher
from tools.oracle.excuses import EXCUSES
from tools.oracle.judge import Fate
from tools.oracle.lists import LEAST, again, draw
from tools.oracle.run import Outcome, run

LISTS = 2_000
ADAPTERS = adapters()
NAMES = tuple(ADAPTERS)


@cache
def outcome(name: str) -> Outcome:
    """The lists of one dataset on the Kamailio that all tests use; drawn and judged once."""
    print(f"{name}: {LISTS} lists, seed {pages.SEED}")
    return run(ADAPTERS[name], find(), draw(ADAPTERS[name], LISTS, pages.SEED))


@cache
def sampled(name: str, version: str) -> Outcome:
    """What the pages are about; the lists of `outcome` hold it."""
    if version == find().version:
        return outcome(name)
    return run(ADAPTERS[name], kamailio_roots.of_version(version), pages.sample(ADAPTERS[name]))


def test_each_dataset_has_an_adapter() -> None:
    assert set(NAMES) == set(datasets())


@pytest.mark.parametrize("name", NAMES)
def test_check_and_kamailio_agree(name: str) -> None:
    found = outcome(name)
    assert len(found.judged) == LISTS
    assert [(d.trouble, d.drawn) for d in found.disagreements] == [], f"seed {pages.SEED}: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_lists_are_accepted_and_each_row_has_its_share(name: str) -> None:
    found = outcome(name)
    assert found.accepted * 2 >= LISTS
    few: Mapping[str, int] = {row.name: found.rows[row.name] for row in ADAPTERS[name].rows}
    assert min(few.values()) >= LEAST, few


@pytest.mark.parametrize("version", kamailio_roots.DEBIAN)
def test_ipv6_addresses_where_kamailio_takes_none(version: str) -> None:
    """A good list, of which this machine leaves out these lines and no others."""
    adapter = dispatcher.without_ipv6()
    lists = [again(adapter, dispatcher.NO_IPV6, pages.SEED, number) for number in range(LEAST)]
    found = run(adapter, kamailio_roots.of_version(version), lists)
    assert [(d.trouble, d.drawn) for d in found.disagreements] == []
    assert {judged.fate for _, judged in found.judged} == {Fate.DROPPED}
    assert found.accepted == LEAST


def test_the_exceptions_are_ten_at_most_and_each_is_needed() -> None:
    used = {(name, excuse) for name in NAMES for excuse in outcome(name).excuses}
    assert len(EXCUSES) <= 10
    assert {(name, excuse.name) for excuse in EXCUSES for name in excuse.datasets} == used
    assert all(excuse.why and excuse.source for excuse in EXCUSES)


@pytest.mark.parametrize("version", [version for version in kamailio_roots.DEBIAN if version != find().version])
@pytest.mark.parametrize("name", NAMES)
def test_they_agree_on_the_other_version(name: str, version: str) -> None:
    assert [(d.trouble, d.drawn) for d in sampled(name, version).disagreements] == []


def test_the_pages_are_what_was_measured() -> None:
    first, second = kamailio_roots.DEBIAN
    pairs = [(sampled(name, first), sampled(name, second)) for name in NAMES]
    found = {
        "bad-lists.md": pages.bad_lists([left for left, _ in pairs]),
        "kamailio-versions.md": pages.versions(pairs),
    }
    for page, text in found.items():
        stale = set(text.splitlines()) ^ set((pages.DOCS / page).read_text(encoding="utf-8").splitlines())
        assert not stale, f"{page} is stale: run ./dev oracle --docs"
