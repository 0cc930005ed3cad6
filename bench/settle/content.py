"""What a reload and a reading cost Kamailio, by what the lines say: CPU ms of its processes, so that a busy machine
counts less; each kind of list has a Kamailio of its own, and they take turns.
"""

import time
from pathlib import Path
from statistics import median

from bench.pipelines import BIG, host
from bench.settle.common import put, say
from tests.lab import Kamailio, Lab

LINES = {
    "flags 16": "1 sip:{host}:5060 16 10",
    "flags 0": "1 sip:{host}:5060 0 10",
    "rweight": "1 sip:{host}:5060 0 10 rweight=1",
    "duid and rweight": "1 sip:{host}:5060 0 10 duid=r{number:05d};rweight=1",
}
TIMES = {1_000: 20, 10_000: 12}


def run(directory: Path) -> None:
    for size, times in TIMES.items():
        with Lab(directory / str(size)) as lab:
            _content(lab, size, times)


def _content(lab: Lab, size: int, times: int) -> None:
    lists = {name: lab.kamailio(reload_delta=0, **(BIG if size > 1_000 else {})) for name in LINES}
    took: dict[str, list[float]] = {name: [] for name in LINES}
    for turn in range(times):
        for name, line in LINES.items():
            lines = [line.format(host=host(number), number=number) for number in reversed(range(size + turn % 2))]
            put(lists[name].list_file, "\n".join(lines) + "\n")
            time.sleep(0.1 + 0.0001 * size)
            took[name].append(_cost(lists[name], "dispatcher.reload"))
    for name, each in took.items():
        say(f"{size}, {name}: reload", f"p50 {median(each):.1f} ms, least {min(each):.1f} ms")
    for words in (("short",), ()):
        each = [_cost(lists["duid and rweight"], "dispatcher.list", *words) for _ in range(9)]
        say(f"{size}, dispatcher.list {' '.join(words)}", f"p50 {median(each):.1f} ms, least {min(each):.1f} ms")


def _cost(kam: Kamailio, method: str, *words: str) -> float:
    before = _cpu(kam)
    kam.rpc.call(method, *words)
    return _cpu(kam) - before


def _cpu(kam: Kamailio) -> float:
    """ms that all its processes have run: schedstat counts ns."""
    children = Path(f"/proc/{kam.pid}/task/{kam.pid}/children").read_text().split()
    pids = [str(kam.pid), *children]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e6
