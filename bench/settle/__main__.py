"""`python -m bench.settle NAME [NAME ...]`: run experiments by name (a file here each) and print what happened."""

import importlib
import sys
import tempfile
from pathlib import Path


def main(names: list[str]) -> int:
    here = Path(__file__).parent
    known = sorted(path.stem for path in here.glob("*.py") if not path.stem.startswith("_") and path.stem != "common")
    if not names or not set(names) <= set(known):
        print(f"usage: python -m bench.settle NAME ...   names: {' '.join(known)}", file=sys.stderr)
        return 2
    for name in names:
        with tempfile.TemporaryDirectory(prefix="settle-") as directory:
            importlib.import_module(f"bench.settle.{name}").run(Path(directory))
    return 0


sys.exit(main(sys.argv[1:]))
