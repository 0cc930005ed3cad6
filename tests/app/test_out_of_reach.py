"""Addresses that Kamailio could not connect a socket to: its rtpengine module would let no list in any more."""

from collections.abc import Collection
from errno import EACCES, ENETUNREACH
from pathlib import Path

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.plan import make_release
from consul_kam.core.records import Memory, Release, Seen
from consul_kam.datasets import dataset
from consul_kam.testing import FakeKamailio

RTPENGINE = dataset("rtpengine")
GOOD, OTHER, ALL, FAR = "udp:10.0.0.1:9", "udp:10.0.0.2:9", "udp:255.255.255.255:9", "udp6:[2001:db8::1]:9"
WHY = {"255.255.255.255": EACCES, "[2001:db8::1]": ENETUNREACH}


def release(*urls: str) -> Release:
    staged = "".join(f'{{"url":"{url}","status":"passing"}}\n' for url in urls)
    staged += f'{{"end":"rtpengine","records":{len(urls)}}}\n'
    return make_release(RTPENGINE.parse_staging("rtpengine", staged.encode()).records)


def memory(*urls: str) -> Memory:
    return tuple(Seen((0, url), (1,), "0") for url in urls)


def working(directory: Path, **why: int) -> Work:
    """To whose addresses there is no way, for these reasons."""

    def no_way(addresses: Collection[str]) -> dict[str, int]:
        return {each: (WHY | why)[each] for each in addresses if each in WHY | why}

    return Work(RTPENGINE, FakeKamailio(), directory / "rtpengine", Releases(directory / "releases"), no_way=no_way)


def written(work: Work, wanted: Release, there: Memory) -> events.Event:
    return work.write(events.DoWrite(1, wanted, there, frozenset(), frozenset()))


@pytest.mark.parametrize("url", [ALL, FAR])
def test_a_new_one_is_not_written_and_one_that_is_loaded_counts_no_more(tmp_path: Path, url: str) -> None:
    work, host = working(tmp_path), url.partition(":")[2].removesuffix(":9")
    assert written(work, release(GOOD, url), memory(GOOD)) == events.Unresolved(1, (host,))
    assert not work.live.exists()
    assert written(work, release(GOOD, url), memory(GOOD, url)) == events.Wrote(1)
    assert "255.255.255.255" in work.live.read_text() or "2001" in work.live.read_text()


def test_without_a_network_it_is_not_they_who_are_wrong(tmp_path: Path) -> None:
    cut_off = {"10.0.0.1": ENETUNREACH, "10.0.0.2": ENETUNREACH}
    work = working(tmp_path, **cut_off)
    assert written(work, release(GOOD, OTHER), ()) == events.Wrote(1)
    assert written(work, release(GOOD, ALL), ()) == events.Unresolved(1, ("255.255.255.255",))


def test_names_and_addresses_together(tmp_path: Path) -> None:
    work = working(tmp_path)
    work.resolve = lambda names, deadline: tuple(names)
    wanted = release(GOOD, ALL, "udp:rtp.example:9")
    assert written(work, wanted, ()) == events.Unresolved(1, ("rtp.example", "255.255.255.255"))
    assert work.failing({"rtp.example", "255.255.255.255", "10.0.0.1"}) == ("rtp.example", "255.255.255.255")


def test_a_kamailio_that_starts_gets_none_either(tmp_path: Path) -> None:
    work = working(tmp_path)
    assert work.lay_down(release(GOOD, ALL), frozenset()) == ""
    text = work.live.read_text()
    assert "10.0.0.1" in text
    assert "255.255.255.255" not in text
