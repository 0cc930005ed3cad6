"""What `consul-kam run` with everything on holds after ever more rotations: memory, file descriptors, threads, files on
tmpfs. Leases are as short as they may be: what leaks with each rotation shows.

`python -m bench.rotations_memory [ROTATIONS]`.
"""

import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.lab import Lab, wait_for
from tests.lab.node import Node
from tests.lab.process import meanwhile
from tests.lab.secure import shipped
from tests.lab.secured import Lives, Secured, generation
from tests.lab.secured_whole import RIGHTS, page, scrape, whole

ROTATIONS, FIRST = 1000, 100
MOST_MB, MOST_GROWTH = 96.0, 1.1
LIVES = Lives(token=4, password=3, certificate=4)
SLACK = {"fds": 5, "threads": 3, "files": 20}
"""What may be more than it was: something is always on its way."""
SECRETS = ("consul", "consul_tls", "db", "sip", "page")
PATIENCE = 30.0
"""Seconds for one rotation, at most."""


def run(rotations: int = ROTATIONS) -> dict[str, Any]:
    """`after N`: what it held after N rotations. `ok`: within the limits."""
    place = Path(tempfile.mkdtemp(prefix="ck-bench-"))
    try:
        with Lab(place / "lab"), ExitStack() as stack, rotating(stack, place) as (node, world):
            return judged(_watch(node, world, rotations), rotations)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def rotating(stack: ExitStack, place: Path) -> Iterator[tuple[Node, Secured]]:
    """A whole node whose secrets all change as fast as they may, and which is asked for its metrics all the while."""
    world = Secured(stack, place, LIVES)
    world.consul.policy("sbc", shipped("sbc", world.consul.host) + RIGHTS)
    node = stack.enter_context(whole(place, world))
    node.ready(60)
    number = itertools.count(1)
    with (
        meanwhile(lambda: page(world, next(number)), 0.5),
        meanwhile(lambda: world.trust(world.consul.authority), 2.0),
        meanwhile(lambda: scrape(node), 0.5),
    ):
        yield node, world


def rotated(node: Node) -> int:
    """All that there were."""
    return sum(generation(node, name) for name in SECRETS) - len(SECRETS)


def held(node: Node, world: Secured) -> dict[str, float]:
    """What the engine holds now. `files`: below the directory of secrets."""
    process = Path(f"/proc/{node.pid}")
    lines = (process / "status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
    return {
        "rss_mb": round(resident, 1),
        "fds": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
        "files": sum(path.is_file() for path in (world.place / "whole").rglob("*")),
    }


def _watch(node: Node, world: Secured, rotations: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    began = time.monotonic()
    for after in range(FIRST, rotations + 1, FIRST):
        wait_for(f"{after} rotations", lambda after=after: rotated(node) >= after, FIRST * PATIENCE, node.log, 0.2)
        found[f"after {after}"] = told = held(node, world)
        print(f"after {after}, {time.monotonic() - began:.0f} s: {told}", file=sys.stderr, flush=True)
    assert scrape(node), "its endpoint answers by the newest certificate"
    found["by secret"] = {name: generation(node, name) for name in SECRETS}
    return found


def judged(found: dict[str, Any], rotations: int) -> dict[str, Any]:
    """Adds `growth`, from after FIRST to the end, and `ok`."""
    first, last = found[f"after {FIRST}"], found[f"after {rotations // FIRST * FIRST}"]
    growth = round(last["rss_mb"] / first["rss_mb"], 3)
    more = any(last[what] > first[what] + slack for what, slack in SLACK.items())
    return {**found, "growth": growth, "ok": last["rss_mb"] < MOST_MB and growth <= MOST_GROWTH and not more}


def main() -> int:
    found = run(int(sys.argv[1]) if len(sys.argv) > 1 else ROTATIONS)
    print(json.dumps(found, indent=1))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
