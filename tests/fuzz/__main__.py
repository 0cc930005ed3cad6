"""Fuzzing guided by coverage (`./dev fuzz`): for each target a process whose corpus outlives it; a table at the end."""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.limits import SECONDS
from tests.fuzz.targets import CORPUS, TARGETS, inputs

MEMORY = 1_024
"""MB that a process may have."""
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "consul_kam" / "fuzz"


@dataclass(frozen=True)
class Outcome:
    """`began`, `ended`: edges of consul_kam that seeds and earlier runs reached, and those at the end."""

    name: str
    inputs: int
    began: int
    ended: int
    kept: int
    finds: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without any")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all of them together (30)")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs of these targets kept")
    options = parser.parse_args()
    for name in options.targets:
        if name not in TARGETS:
            parser.error(f"there is no target {name}: known are {', '.join(TARGETS)}")
    names = options.targets or list(TARGETS)
    seconds = max(1, round(options.minutes * 60 / len(names)))
    outcomes = [_fuzz(name, seconds, options.fresh) for name in names]
    print(f"\n{'target':18} {'inputs':>10} {'edges at first':>14} {'in the end':>10} {'kept':>6} finds")
    for each in outcomes:
        print(f"{each.name:18} {each.inputs:10,} {each.began:14,} {each.ended:10,} {each.kept:6,} {len(each.finds)}")
    finds = [find for each in outcomes for find in each.finds]
    print(f"{'together':18} {sum(each.inputs for each in outcomes):10,} {'':32} {len(finds)}")
    return 1 if finds else 0


def _fuzz(name: str, seconds: int, fresh: bool) -> Outcome:
    print(f"== {name}: {seconds} s", flush=True)
    kept, finds = _CACHE / name, CORPUS / name
    for old in kept.glob("*") if fresh else ():
        old.unlink()
    for directory in (kept, finds):
        directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ck-fuzz-seeds-") as seeds:
        for data in inputs(name):
            (Path(seeds) / hashlib.sha256(data).hexdigest()).write_bytes(data)
        said = _run(name, finds, [str(kept), seeds], seconds)
    _keep_stopped(finds)
    if not any(finds.iterdir()):
        finds.rmdir()
    edges = [int(found) for found in re.findall(r"cov: (\d+)", said)] or [0]
    began = re.search(r"INITED cov: (\d+)", said)
    count = re.search(r"number_of_executed_units: (\d+)", said) or re.search(r"#(\d+)\s+DONE", said)
    found = tuple(re.findall(r"^FIND (.*)$", said, re.MULTILINE)) + tuple(re.findall(r"ERROR: libFuzzer: .*", said))
    for find in found:
        print(f"   {find}")
    kept_now = len(list(kept.iterdir()))
    return Outcome(
        name, int(count[1]) if count else 0, int(began[1]) if began else edges[0], edges[-1], kept_now, found
    )


def _run(name: str, finds: Path, corpora: Sequence[str], seconds: int) -> str:
    """What libFuzzer said. A process that a hang or too much memory ended is one find, and the end of this run."""
    options = [
        f"-max_total_time={seconds}", f"-timeout={SECONDS:g}", f"-rss_limit_mb={MEMORY}", "-max_len=8192",
        f"-artifact_prefix={finds}/stopped-", "-print_final_stats=1", "-close_fd_mask=0",
    ]  # fmt: skip
    argv = [sys.executable, "-m", "tests.fuzz.guided", name, str(finds), *corpora, *options]
    done = subprocess.run(argv, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace")
    if done.returncode and "ERROR: libFuzzer" not in said and "FIND" not in said:
        raise SystemExit(f"cannot fuzz {name}: {said[-2000:]}")
    return said


def _keep_stopped(finds: Path) -> None:
    """A hang's input under the name of a find; those that were only slow are no find."""
    for path in finds.glob("stopped-*"):
        if path.name.startswith("stopped-slow-unit"):
            path.unlink()
        else:
            path.rename(path.with_name(f"find-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"))


if __name__ == "__main__":
    sys.exit(main())
