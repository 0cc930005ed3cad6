"""One target under atheris, which keeps the inputs that reach new code and goes on from them. Run by `./dev fuzz`.

python -m tests.fuzz.guided TARGET FINDS DIRECTORY... [libFuzzer's own options]
"""

import hashlib
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

SHRINKING = 5.0
"""Seconds spent on making a find small."""


class Watched:
    """Runs a target and goes on after a find: what fails in another place than those before is kept in a file."""

    def __init__(self, run: Callable[[bytes], None], finds: Path) -> None:
        self._run, self._finds = run, finds
        self._places: set[str] = set()

    def __call__(self, data: bytes) -> None:
        place, said = self._fails(data)
        if place and place not in self._places:
            self._places.add(place)
            small = self._shrunk(data, place)
            path = self._finds / f"find-{hashlib.sha256(small).hexdigest()[:8]}"
            path.write_bytes(small)
            print(f"FIND {path}: {place}: {said}", file=sys.stderr, flush=True)

    def _fails(self, data: bytes) -> tuple[str, str]:
        """(where and as what, or "", and its text)."""
        try:
            self._run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a find
            frames = traceback.extract_tb(error.__traceback__)
            last = next((frame for frame in reversed(frames) if "consul_kam" in frame.filename), frames[-1])
            return f"{type(error).__name__} {Path(last.filename).name}:{last.lineno}", ascii(str(error)[:200])
        return "", ""

    def _shrunk(self, data: bytes, place: str) -> bytes:
        """With as much left out as the same failure allows."""
        until, size = time.monotonic() + SHRINKING, len(data) // 2
        while size and time.monotonic() < until:
            at = 0
            while at < len(data) and time.monotonic() < until:
                fewer = data[:at] + data[at + size :]
                if self._fails(fewer)[0] == place:
                    data = fewer
                else:
                    at += size
            size //= 2
        return data


def main() -> None:
    name, finds, *rest = sys.argv[1:]
    with atheris.instrument_imports(include=["consul_kam", "tomllib"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *rest], Watched(TARGETS[name], Path(finds)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
