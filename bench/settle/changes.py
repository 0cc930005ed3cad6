"""What one reload does to memory and calls: a set of one, swapped URIs, a vanished set, 500 of 1,000, algorithm 8."""

import time
from collections.abc import Callable
from pathlib import Path

from bench.settle.common import attempt, put, say
from tests.lab import Destination, Kamailio, Lab, Sampler, Uas, wait_for
from tests.lab.sampler import Dispatcher

_GAP = 0.1  # s between two writes


def run(directory: Path) -> None:
    for experiment in (_set_of_one, _swap, _vanished_set, _five_hundred, _algorithm_8):
        with Lab(directory / experiment.__name__) as lab:
            experiment(lab)


def _load(kam: Kamailio, lines: list[str]) -> float:
    """Write and reload; the reload's ms."""
    put(kam.list_file, "".join(line + "\n" for line in lines))
    began = time.perf_counter()
    kam.rpc.call("dispatcher.reload")
    return (time.perf_counter() - began) * 1000


def _set_of_one(lab: Lab) -> None:
    kam, first, second = lab.kamailio(reload_delta=0), lab.uas(), lab.uas()
    _load(kam, [f"1 {first.uri}"])
    calls, changes = lab.sipp(kam, rate=200, calls=1800), 0
    while calls.running():
        changes += 1
        _load(kam, [f"1 {(first, second)[changes % 2].uri} 0 0 duid=r1"])
        time.sleep(_GAP)
    say("set of one, the URI changed by reload each 0.1 s, 200 calls/s", f"{changes} changes, {calls.wait(30)}")
    say("  calls at the two routers", (first.calls, second.calls))
    calls, changes = lab.sipp(kam, rate=200, calls=1800), 0
    while calls.running():
        changes += 1
        old, new = ((first, second), (second, first))[changes % 2]
        kam.rpc.call("dispatcher.remove", 1, old.uri)
        kam.rpc.call("dispatcher.add", 1, new.uri)
        time.sleep(_GAP)
    say("the same by remove, then add", f"{changes} changes, {calls.wait(30)}")


def _swap(lab: Lab) -> None:
    kam = lab.kamailio(reload_delta=0)
    a, b = "sip:10.0.0.1:5060", "sip:10.0.0.2:5060"
    straight, crossed = [f"1 {a} 0 5 duid=r1", f"1 {b} 0 5 duid=r2"], [f"1 {b} 0 5 duid=r1", f"1 {a} 0 5 duid=r2"]
    _load(kam, straight)
    seen = lab.sampler(kam, every=0.0)
    for turn in range(50):
        _load(kam, (crossed, straight)[turn % 2])
        time.sleep(0.05)
    say("two records swap URIs by reload, 50 times: samples, states seen", (seen.samples, _kinds(seen)))
    mixed = lab.sampler(kam, every=0.0)
    for turn in range(50):
        for uri, duid in ((b, "r1"), (a, "r2")) if turn % 2 == 0 else ((a, "r1"), (b, "r2")):
            kam.rpc.call("dispatcher.remove", 1, uri)
            kam.rpc.call("dispatcher.add", 1, uri, 0, 5, f"duid={duid}")
            time.sleep(0.025)
    say("by remove and add", (mixed.samples, _kinds(mixed)))
    _load(kam, straight)
    kam.rpc.call("dispatcher.set_state", "ip", 1, a)
    _load(kam, [f"1 {b} 0 5 duid=r1", f"1 {a} 9 5 duid=r2"])
    say("dead address a, states carried by URI: r1 now on b, r2 on a", kam.rpc.dispatcher()[1])


def _kinds(seen: Sampler[Dispatcher]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for sample in seen.history:
        kind = "; ".join(f"{item.attrs} {item.uri}" for item in (sample.value or {}).get(1, []))
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _vanished_set(lab: Lab) -> None:
    kam, uas = lab.kamailio(reload_delta=0, setid=2), lab.uas()
    other = "1 sip:10.0.0.1:5060"
    _load(kam, [other, f"2 {uas.uri}"])
    say("set 2 is there", (kam.rpc.dispatcher(), lab.sipp(kam, 20, 10).wait(30)))
    _load(kam, [other, f"2 {uas.uri} 4"])
    say("set 2 all disabled", (kam.rpc.dispatcher(), _first_reply(lab, kam)))
    _load(kam, [other, f"2 {uas.uri}"])
    ongoing = lab.sipp(kam, rate=100, calls=100, duration=3000)
    wait_for("100 calls besides the first 10", lambda: uas.calls == 110, 10)
    _load(kam, [other])
    say("set 2 gone from the file", (kam.rpc.dispatcher(), _first_reply(lab, kam)))
    say("calls that were up then", ongoing.wait(60))
    say("set_state on it", attempt(kam.rpc, "dispatcher.set_state", "ap", 2, uas.uri))
    _load(kam, [])
    say("the last set gone too", (attempt(kam.rpc, "dispatcher.list"), _first_reply(lab, kam)))


def _first_reply(lab: Lab, kam: Kamailio) -> str:
    calls = lab.sipp(kam, 10, 3)
    counts = calls.wait(60)
    errors = [line for line in calls.errors().splitlines() if "SIP/2.0" in line]
    return f"{counts} {errors[:1]}"


def _five_hundred(lab: Lab) -> None:
    kam, live = lab.kamailio(reload_delta=0), lab.uas()
    names = [f"sip:10.1.{n // 250}.{n % 250}:5060" for n in range(1500)]
    _load(kam, [f"1 {live.uri} 0 1000 duid=live", *(f"2 {uri} 0 5 duid=r{n}" for n, uri in enumerate(names[:1000]))])
    for uri in names[:10]:
        kam.rpc.call("dispatcher.set_state", "ip", 2, uri)
    seen, calls, took = lab.sampler(kam, every=0.0), lab.sipp(kam, rate=50, calls=400), []
    for turn in range(20):
        kept, fresh = names[:500], names[500:1000] if turn % 2 else names[1000:]
        lines = [f"2 {uri} {9 if n < 10 else 0} 5 duid=r{n}" for n, uri in enumerate(kept)]
        lines += [f"2 {uri} 0 5 duid=r{n}" for n, uri in enumerate(fresh, 500)]
        took.append(_load(kam, [f"1 {live.uri} 0 1000 duid=live", *lines]))
        time.sleep(0.3)
    sizes = {_sorts(sample.value[2], set(names[500:1000])) for sample in seen.history if sample.value}
    say("500 of 1,000 changed by one reload, 20 times: ms", [round(ms, 1) for ms in took])
    say("  samples, (size, dead, of the one 500, of the other) seen, calls", (seen.samples, sizes, calls.wait(60)))
    began, ran = time.perf_counter(), 0
    for uri, new in zip(names[500:510], names[1000:1010], strict=True):
        kam.rpc.call("dispatcher.remove", 2, uri)
        kam.rpc.call("dispatcher.add", 2, new)
        ran += 2
        time.sleep(0.5)
    say("10 of them by remove and add: ms each", round(((time.perf_counter() - began) - 5) * 1000 / ran, 1))


def _sorts(items: list[Destination], group: set[str]) -> tuple[int, int, int, int]:
    """(all, inactive ones, those of `group`, those of neither `group` nor the first 500)."""
    dead, ours = sum(item.flags.startswith("I") for item in items), sum(item.uri in group for item in items)
    return len(items), dead, ours, len(items) - 500 - ours


def _algorithm_8(lab: Lab) -> None:
    kam = lab.kamailio(reload_delta=0, algorithm=8)
    routers = [lab.uas() for _ in range(3)]
    wanted = [f"1 {uas.uri} 0 10 duid=r{n}" for n, uas in enumerate(routers)]
    extra = "1 sip:10.0.0.9:5060 0 10 duid=z"

    def went(what: str, change: Callable[[], object]) -> None:
        change()
        before = [uas.calls for uas in routers]
        counts = lab.sipp(kam, 40, 20).wait(60)
        order = [item.attrs or item.uri for item in kam.rpc.dispatcher()[1]]
        say(f"algorithm 8, {what}: order, calls", (order, _taken(routers, before), counts.failed))

    went("file in the wanted order", lambda: _load(kam, wanted))
    went("file in REVERSE of the wanted order", lambda: _load(kam, wanted[::-1]))
    went("an unrelated record joins at its place", lambda: _load(kam, [extra, *wanted[::-1]]))
    went("it leaves", lambda: _load(kam, wanted[::-1]))
    went("the same file again", lambda: _load(kam, wanted[::-1]))
    went("unrelated dispatcher.add in another set", lambda: kam.rpc.call("dispatcher.add", 7, "sip:10.0.0.9:5060"))
    went(
        "the first one disabled in the file", lambda: _load(kam, [*wanted[:0:-1], wanted[0].replace(" 0 10", " 4 10")])
    )


def _taken(routers: list[Uas], before: list[int]) -> list[int]:
    return [uas.calls - was for uas, was in zip(routers, before, strict=True)]
