"""`./dev bench [NAME ...]`: measures ours against the plain pipeline, interleaved, in one run. JSON and a table."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import (
    burst,
    change,
    dead,
    drain,
    footprint,
    killed,
    plugin,
    registration,
    rename,
    restart,
    rotations,
    rotations_memory,
    storm,
    transports,
)

BENCHES: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "change-10": ("change -> memory, 10 destinations", lambda: change.run(10, 200)),
    "change-1000": ("change -> memory, 1,000 destinations", lambda: change.run(1000, 200)),
    "change-10000": ("change -> memory, 10,000 destinations (25 min)", lambda: change.run(10_000, 200, 2.9)),
    "rename-10": ("rename -> memory, 10 destinations", lambda: rename.run(10, 100)),
    "rename-1000": ("rename -> memory, 1,000 destinations", lambda: rename.run(1000, 100)),
    "rename-10000": ("rename -> memory, 10,000 destinations", lambda: rename.run(10_000, 10)),
    "burst-5": ("40 changes back to back, default reload_delta", lambda: burst.run(None)),
    "burst-0": ("40 changes back to back, reload_delta 0", lambda: burst.run(0)),
    "dead": ("calls with a dead router and unrelated changes", dead.run),
    "drain": ("rolling restart of 3 routers at 50 calls/s of 3 s (5 min)", drain.run),
    "footprint": ("memory and idle CPU of the engine", footprint.run),
    "storm": ("a storm of changes with pings on, 60 s each", storm.run),
    "killed": ("a router killed -9 at 20 calls/s of 3 s (12 min)", killed.run),
    "kam-apply": ("kam-apply, engine running", plugin.run),
    "registration": ("registration back after what befalls Consul, seconds", registration.run),
    "restart": ("kill -9 of Kamailio's main process: until the new instance answers", restart.run),
    "rotations": ("every secret rotates at 30 calls/s, with changes all the while (20 min)", rotations.run),
    "rotations-memory": ("memory, descriptors, threads after 1,000 rotations (6 min)", rotations_memory.run),
    "transports": ("each way to Kamailio, against binrpc on the unix socket", transports.run),
}


def main() -> int:
    """Exit code 1 where a bench says that it did not hold what it promises; else the figures judge themselves."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all where none is given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in BENCHES:
            parser.error(f"cannot run {name!r}: expected one of {', '.join(BENCHES)}")
    results = {}
    console = Console()
    for name in arguments.names or BENCHES:
        title, run = BENCHES[name]
        print(f"running {name}: {title} ...", file=sys.stderr, flush=True)
        results[name] = run()
        _show(console, title, results[name])
    text = json.dumps(results, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    print(text)
    return int(any(result.get("ok") is False for result in results.values()))


def _show(console: Console, title: str, result: dict[str, Any]) -> None:
    tables = {BENCHES["transports"][0]: transports.rows, BENCHES["rotations"][0]: rotations.rows}
    if title in tables:
        head, *rows = tables[title](result)
        table = Table(*head, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    table = Table(title=title, show_header=False)
    for key, value in _flat(result):
        table.add_row(key, f"{value:.2f}" if isinstance(value, float) else str(value))
    console.print(table)


def _flat(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


if __name__ == "__main__":
    raise SystemExit(main())
