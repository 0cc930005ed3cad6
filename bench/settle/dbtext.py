"""When db_text reads a changed file again: its mtime against what?"""

import os
import time
from pathlib import Path

from bench.settle.common import attempt, put, say
from tests.lab import Kamailio, Lab
from tests.lab.kamailio import DOMAIN_HEADER


def run(directory: Path) -> None:
    with Lab(directory) as lab:
        kam = lab.kamailio(domain=True)
        start = int(time.time())
        _try(kam, "first file, mtime = now + 1", start + 1, "one")
        _try(kam, "changed file, the same mtime", start + 1, "two")
        _try(kam, "mtime 1 s later than the cached file's (still in the past soon)", start + 2, "three")
        _try(kam, "mtime 1 s EARLIER than the cached file's", start + 1, "four")
        _try(kam, "mtime an hour in the future", start + 3600, "five")
        _try(kam, "mtime = now, earlier than the cached file's", int(time.time()), "six")
        _try(kam, "an hour in the future, + 1", start + 3601, "seven")
        _try(kam, "an hour in the future, + 1 s and 0.5 s more (same whole second)", start + 3601.5, "eight")
        put(kam.dbtext / "domain", "", start + 3610)
        say("zero-byte file, newer", attempt(kam.rpc, "domain.reload"))
        _try(kam, "good file after a failed load, mtime OLDER than everything", start - 1000, "nine")
        _try(kam, "after that, mtime 1 s newer than that old one", start - 999, "ten")
        time.sleep(1)
        _try(kam, "a file older than the load but newer than the cached file", start - 500, "eleven")
        kam.restart()
        say("restart reads whatever is there", kam.rpc.domains())
        _two_tables(lab)


def _try(kam: Kamailio, what: str, mtime: float, name: str) -> None:
    path = kam.dbtext / "domain"
    put(path, f"{DOMAIN_HEADER}1:{name}:{name}:0\n")
    os.utime(path, (mtime, mtime))
    answer = attempt(kam.rpc, "domain.reload")
    seen = [domain for domain, _ in kam.rpc.domains()]
    say(what, f"{answer}; {'READ' if seen == [name] else 'STALE'} {seen}")


def _two_tables(lab: Lab) -> None:
    """The version table is read the same way."""
    kam = lab.kamailio(domain=True)
    version = kam.dbtext / "version"
    text = version.read_text()
    put(version, text.replace("domain:2", "domain:99"), int(time.time()) + 5)
    _try(kam, "version table says domain:99 now", int(time.time()) + 6, "twelve")
    kam.stop()
    try:
        kam.start()
        say("a start with version domain:99", "starts")
    except AssertionError as error:
        say("a start with version domain:99", str(error).splitlines()[0])
    put(version, text)
