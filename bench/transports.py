"""What each way to Kamailio costs: one call, one read-back, and a change from staging to memory through the engine.

Each way has a Kamailio and an engine of its own; all ways take turns. No Consul: the bench stages what its template
would, so that the figures differ by the way alone. Figures in ms, medians; ratios against binrpc on the unix socket.
"""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

from bench.pipelines import BIG, host
from consul_kam.adapters.rpc import connect
from consul_kam.core.ports import Rpc
from consul_kam.errors import RpcTooBig
from tests.lab import Engine, Fault, Kamailio, Lab, free_port
from tests.lab import Rpc as Eyes

WAYS = ("unix", "tcp", "udp", "kamcmd", "fifo", "http", "https")
SIZES = {10: (100, 40, 20), 1_000: (100, 20, 10), 10_000: (40, 4, 4)}
"""Destinations -> calls, read-backs, changes."""
TOO_BIG = "cannot carry it"
PATIENCE = 60.0
"""Seconds."""
NOWHERE = "127.0.0.1:1"
"""A Consul that nobody needs here."""


@dataclass
class Way:
    """One way with its own Kamailio. `engine` is None where the way cannot carry the list."""

    name: str
    kamailio: Kamailio
    rpc: Rpc
    engine: Engine | None = None

    def holds(self, number: int) -> bool:
        """Whether memory has this destination, asked past the way that is measured."""
        try:
            self.kamailio.rpc.call("dispatcher.set_state", "a", 1, f"sip:{host(number)}:5060")
        except Fault:
            return False
        return True

    def change(self, numbers: Sequence[int], number: int, join: bool) -> float:
        """ms from a staging file that is there to a memory that has, or has not, destination `number`."""
        assert self.engine is not None
        began = _stage(self.engine, numbers)
        while self.holds(number) is not join:
            if monotonic() > began + PATIENCE:
                raise AssertionError(f"{self.name}: destination {number} is not right in {PATIENCE} s")
            sleep(0.001)
        return (monotonic() - began) * 1000


def run() -> dict[str, Any]:
    """{"10": {"unix": {"uptime_ms": ..., ...}, ...}, ...}; a way that cannot carry a list says so."""
    return {str(size): _one(size) for size in SIZES}


def _one(size: int) -> dict[str, Any]:
    calls, reads, changes = SIZES[size]
    options: dict[str, object] = {"reload_delta": 0, **(BIG if size > 1_000 else {})}
    with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab, ExitStack() as stack:
        ways = [_open(lab, stack, name, size, options) for name in WAYS]
        sleep(2.0)
        uptime = _turns(ways, calls, lambda way, _: _timed(way.rpc, "core.uptime"))
        read = _turns(ways, reads, lambda way, _: _timed(way.rpc, "dispatcher.list"))
        for way in ways:
            if read[way.name] == TOO_BIG:  # over udp a list may come through once, and not the next time
                way.engine = None
        changed = _turns([way for way in ways if way.engine], changes, lambda way, turn: _change(way, size, turn))
        found = {
            way.name: {
                "uptime_ms": uptime[way.name],
                "readback_ms": read[way.name],
                "change_ms": changed.get(way.name, TOO_BIG),
            }
            for way in ways
        }
    first = dict(found["unix"])
    for figures in found.values():
        figures |= {f"{name[:-3]}_ratio": _ratio(figures[name], first[name]) for name in first}
    return found


def _open(lab: Lab, stack: ExitStack, name: str, size: int, options: dict[str, object]) -> Way:
    port = free_port()
    listen = {
        "tcp": f'modparam("ctl","binrpc","tcp:127.0.0.1:{port}")',
        "udp": f'modparam("ctl","binrpc","udp:127.0.0.1:{port}")',
    }
    http = {"http": "tcp", "https": "tls"}.get(name, "")
    kamailio = lab.kamailio(fifo=name == "fifo", http_rpc=http, modparams=listen.get(name, ""), **options)
    spec = {
        "unix": f"unix:{kamailio.ctl}",
        "kamcmd": f"kamcmd:kamcmd -s unixs:{kamailio.ctl}",
        "fifo": f"fifo:{kamailio.fifo}",
    }.get(name, f"{name}://127.0.0.1:{kamailio.rpc_port}/RPC" if http else f"{name}:127.0.0.1:{port}")
    ca_file = str(kamailio.ca_file) if http == "tls" else ""
    way = Way(name, kamailio, connect(spec, str(kamailio.run), ca_file=ca_file))
    kamailio.list_file.write_text("".join(f"1 sip:{host(n)}:5060 0 10 duid=r{n};rweight=1\n" for n in range(size)))
    Eyes(kamailio.ctl, 60.0).call("dispatcher.reload")
    try:
        way.rpc.call("dispatcher.list", deadline=PATIENCE)
    except RpcTooBig:
        return way
    way.engine = _engine(stack, kamailio, spec, ca_file)
    _stage(way.engine, range(size))
    way.engine.wait("the list published", lambda s: (s["verdict"], s["records"]) == ("PUBLISHED", size), PATIENCE)
    return way


def _engine(stack: ExitStack, kamailio: Kamailio, spec: str, ca_file: str) -> Engine:
    limits = "max_records = 20000"
    place = kamailio.directory / "engine"
    engine = Engine(place, kamailio, NOWHERE, start=False, dispatcher=limits, verify_every=3600.0)
    stack.enter_context(engine)
    text = engine.config.read_text()
    more = f'rpc = "{spec}"\nrpc_reply_dir = "{kamailio.run}"\nrpc_ca_file = "{ca_file}"\nrpc_deadline = {PATIENCE}'
    engine.config.write_text(text.replace(f'rpc = "unix:{kamailio.ctl}"', more))
    return engine.start()


def _stage(engine: Engine, numbers: Sequence[int]) -> float:
    """As consul-template writes it: a file beside, then a rename. Returns the moment of the rename (monotonic s)."""
    lines = [
        f'{{"source":{{"id":"r{n}"}},"setid":1,"entry":"sip:{host(n)}:5060 0 10 duid=r{n};rweight=1"}}' for n in numbers
    ]
    lines.append(json.dumps({"end": "dispatcher", "records": len(numbers)}))
    beside = engine.directory / "staged"
    beside.write_text("\n".join(lines) + "\n")
    target = engine.staging / "dispatcher"
    scratch = target.with_name(".dispatcher.new")
    scratch.write_bytes(beside.read_bytes())
    began = monotonic()
    os.replace(scratch, target)
    return began


def _change(way: Way, size: int, turn: int) -> float:
    """Joins and leavings in turn, each of another destination, so that no guard holds it."""
    number, join = size + turn // 2, turn % 2 == 0
    took = way.change([*range(size), *([number] if join else [])], number, join)
    assert way.engine is not None
    way.engine.wait("rest", lambda s: s["phase"] == "IDLE", PATIENCE)
    sleep(0.05)
    return took


def _timed(rpc: Rpc, method: str) -> float | str:
    began = monotonic()
    try:
        rpc.call(method, deadline=PATIENCE)
    except RpcTooBig:
        return TOO_BIG
    return (monotonic() - began) * 1000


def _turns(ways: Sequence[Way], count: int, measure: Callable[[Way, int], float | str]) -> dict[str, float | str]:
    """The median of `count` measures for each way, which take turns; the first turn warms up and is not counted.

    Another way begins each turn: who comes after a pause pays for cold caches.
    """
    took: dict[str, list[float | str]] = {way.name: [] for way in ways}
    for turn in range(count + 1):
        begin = turn % len(ways)
        for way in [*ways[begin:], *ways[:begin]]:
            took[way.name].append(measure(way, turn))
    return {
        name: TOO_BIG if TOO_BIG in values else median(float(value) for value in values[1:])
        for name, values in took.items()
    }


def _ratio(value: float | str, first: float | str) -> float | str:
    return TOO_BIG if isinstance(value, str) or isinstance(first, str) else value / first


def rows(result: dict[str, Any]) -> list[list[str]]:
    """As a table: one row for each size and way."""
    table = [["destinations", "way", "core.uptime", "x", "read-back", "x", "change -> memory", "x"]]
    for size, ways in result.items():
        for name, figures in ways.items():
            row = [f"{int(size):,}", name]
            for what in ("uptime", "readback", "change"):
                ms, ratio = figures[f"{what}_ms"], figures[f"{what}_ratio"]
                row += (
                    [ms, ""] if isinstance(ms, str) else [f"{ms:.2f} ms" if ms < 10 else f"{ms:.0f} ms", f"{ratio:.1f}"]
                )
            table.append(row)
    return table
