"""Kamailio judges what check says: lists drawn from a seed, loaded, read back, compared (`./dev oracle`)."""

import argparse
import random
import sys

from tools import kamailio_roots
from tools.oracle import pages
from tools.oracle.adapter import Adapter, adapters
from tools.oracle.lists import draw
from tools.oracle.run import Outcome, run


def main() -> int:
    known = adapters()
    parser = argparse.ArgumentParser(prog="./dev oracle", description=__doc__)
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help=f"of {', '.join(known)}; all without any")
    parser.add_argument("--lists", type=int, default=10_000, help="lists a dataset (10000)")
    parser.add_argument("--seed", type=int, default=None, help="draw the same lists again; else one by chance")
    parser.add_argument(
        "--kamailio",
        default=kamailio_roots.own_version(),
        help=f"of {', '.join(kamailio_roots.DEBIAN)}; else the machine's",
    )
    parser.add_argument(
        "--docs", action="store_true", help="write docs/bad-lists.md and docs/kamailio-versions.md anew"
    )
    options = parser.parse_args()
    for name in options.datasets:
        if name not in known:
            parser.error(f"there is no dataset {name}: known are {', '.join(known)}")
    if options.docs:
        print(f"wrote {', '.join(map(str, pages.write()))}")
        return 0
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    chosen = [known[name] for name in options.datasets or known]
    program = kamailio_roots.of_version(options.kamailio)
    return 1 if sum(_judge(adapter, program, options.lists, seed) for adapter in chosen) else 0


def _judge(adapter: Adapter, program: kamailio_roots.Kamailio, count: int, seed: int) -> int:
    """Prints what came of it; returns the number of disagreements."""
    print(f"== {adapter.dataset.name}: {count} lists, seed {seed}, Kamailio {program.version}", flush=True)
    outcome = run(adapter, program, draw(adapter, count, seed))
    for found in outcome.disagreements:
        print(f"   {found.drawn.row}, number {found.drawn.number}: {found.trouble}\n   {found.write(program.version)}")
    _rows(outcome)
    print(f"   {outcome}", flush=True)
    return len(outcome.disagreements)


def _rows(outcome: Outcome) -> None:
    for name, count in outcome.rows.items():
        print(f"   {count:6} {name}")
    print(f"   exceptions used: {', '.join(f'{name} {count}' for name, count in outcome.excuses.items()) or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
