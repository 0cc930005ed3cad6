"""A router is killed -9 under calls that fail over: until the SBC calls it no more, until its list says so, and calls.

Three ways to die, each behind an SBC that consul_kam keeps and behind one on the plain pipeline, each once with the
caller and once with the callee hanging up. The routers are the same in both, kept by consul_kam; timers are those that
ship: Consul's check each 10 s, pings each 5 s, silence of 2 s.
"""

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.drain import ROUTERS, SECONDS, PlainFleet
from consul_kam.adapters import processes
from tests.integration.registering import passing
from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.fleet import Calls, Fleet, Member
from tests.lab.process import meanwhile

RATE = 20
DEFINE = '#!define PING_EVERY 5\n#!define ALGORITHM "4"'
"""As it ships, but round robin: each router has its share of calls."""
REGISTERED = 'address = "127.0.0.1"\n'
"""As it ships."""
WATCHED = 25.0
"""Seconds from the kill in which the SBC's memory is watched."""
EVERY = 0.02
PATIENCE = 200.0
"""Seconds for the last calls: an INVITE that the router has answered by 100 waits for fr_inv_timer, 120 s."""
QUIET, CRITICAL, OUT = "not called after, s", "critical in Consul after, s", "out of the list after, s"
CHANCE = (CRITICAL, OUT, "calls")
_FAILED = re.compile(r"^.*(?:bort|timeout).*?(\d+-\d+@127\.0\.0\.1)|^.*?(\d+-\d+@127\.0\.0\.1).*(?:bort|timeout)", re.M)
"""A call in sipp's account of errors; a message that came late is there as well, and is no failure."""


def run() -> dict[str, Any]:
    """Seconds and calls by way to die, pipeline and who hangs up; then ours against the plain pipeline."""
    found: dict[str, Any] = {}
    for name, kill in KILLS.items():
        for who in ("caller", "callee"):
            pair = {kind: _one(fleet, kill, who) for kind, fleet in (("plain", PlainFleet), ("ours", Fleet))}
            print(f"{name}, the {who} hangs up: {pair}", file=sys.stderr, flush=True)
            found[f"{name}, the {who} hangs up"] = {**pair, "ours_to_plain": _ratios(pair["ours"], pair["plain"])}
    return found


def _one(kind: type[Fleet], kill: "Kill", who: str) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix="ck-bench-"))
    try:
        with Lab(place / "lab") as lab, ExitStack() as stack:
            consul: ConsulAgent = lab.consul()
            fleet = kind(stack, place, consul, DEFINE, REGISTERED)
            fleet.start(ROUTERS)
            with fleet.calls(who, RATE, 1_000_000, SECONDS) as calls:
                wait_for("calls", lambda: fleet.callee.calls > RATE * SECONDS, 60)
                with kill(fleet.routers[0]):
                    seen = _watch(fleet)
                    began = time.monotonic()
                    ended = calls.end(PATIENCE)
                    seen["until the last call ended, s"] = round(time.monotonic() - began, 1)
                    return {**seen, **_count(fleet, calls, *ended)}
    finally:
        shutil.rmtree(place, ignore_errors=True)


# ---- ways to die

Kill = Callable[[Member], Any]
"""Makes a context manager: the router is dead, as it is called, in the `with` block."""


@contextmanager
def _back(router: Member) -> Iterator[None]:
    """Kamailio's main process; `run` starts it anew."""
    os.kill(router.pid_of(), signal.SIGKILL)
    yield


@contextmanager
def _for_good(router: Member) -> Iterator[None]:
    """`run`, Kamailio with its workers, consul-template, as when the host loses its power."""
    left = [router.identity("kamailio"), router.identity("consul-template")]
    router.kill9()
    for each in left:
        assert each is not None
        processes.empty(each)
    yield


@contextmanager
def _again_and_again(router: Member) -> Iterator[None]:
    """Kamailio alone with its workers, and each one that `run` starts, before it answers anybody."""

    def kill() -> None:
        found = router.identity("kamailio")
        if found is not None and processes.alive(found):
            with suppress(processes.ProcessError):
                processes.empty(found)

    with meanwhile(kill, 0.005):
        yield


KILLS: dict[str, Kill] = {
    "its main process": _back,
    "for good": _for_good,
    "again and again": _again_and_again,
}


# ---- what is seen


def _watch(fleet: Fleet) -> dict[str, float | str]:
    """Seconds from now until the SBC calls the first router no more (anything but active), until Consul knows, and
    until the SBC's list has it disabled or not at all; "never" where that was not seen. Asked by the lab's own client.
    """
    began, seen, flags = time.monotonic(), dict[str, float](), list[str]()
    while (now := time.monotonic() - began) < WATCHED:
        flags = fleet.flags() or flags
        if flags and flags[0] != "A":
            seen.setdefault(QUIET, round(now, 2))
        if flags and flags[0] in ("D", ""):
            seen.setdefault(OUT, round(now, 2))
        if CRITICAL not in seen and len(passing(fleet.consul, "router")) < ROUTERS:
            seen[CRITICAL] = round(now, 2)
        time.sleep(EVERY)
    return {QUIET: "never", CRITICAL: "never", OUT: "never", **seen, "in the end": flags[0] or "absent"}


def _count(fleet: Fleet, calls: Calls, created: int, failed: int, cut: list[str]) -> dict[str, int]:
    """`failed`: calls, as either side sees it, that had another way. Those that had reached the callee through the dead
    router alone have their route set through it: `lost with it` of them could not be ended, or changed.
    """
    dead = fleet.routers[0].kamailio.sip_port
    named = {each or other for each, other in _FAILED.findall(calls.errors())}
    bad = named | {each.partition(":")[0] for each in cut}
    lost = {each for each in bad if fleet.callee.came.get(each) == {dead}}
    return {"calls": created, "failed": len(bad - lost) + max(0, failed - len(named)), "lost with it": len(lost)}


def _ratios(ours: dict[str, Any], plain: dict[str, Any]) -> dict[str, float]:
    """Below 1 is quicker, or fewer. When Consul's next check comes is chance, and no ratio."""
    return {
        key: round(value / max(plain[key], 1), 2) if isinstance(value, int) else round(value / plain[key], 2)
        for key, value in ours.items()
        if isinstance(value, int | float) and isinstance(plain[key], int | float) and key not in CHANCE
    }
