"""What the experiments share."""

import os
import time
from pathlib import Path

from tests.lab import Fault, Rpc


def say(question: str, answer: object) -> None:
    """One finding, one line."""
    print(f"{question}: {answer}", flush=True)


def put(path: Path, text: str | bytes, mtime: int | None = None) -> None:
    """Replace a file atomically; `mtime` in whole s."""
    temp = path.with_name(path.name + ".new")
    temp.write_bytes(text.encode() if isinstance(text, str) else text)
    if mtime is not None:
        os.utime(temp, (mtime, mtime))
    temp.rename(path)


def attempt(rpc: Rpc, method: str, *args: int | str) -> str:
    """The reply or fault of one call as text."""
    try:
        return f"ok {rpc.call(method, *args)}"
    except Fault as fault:
        return f"fault {fault.code} {fault.reason}"


def at_second(fraction: float = 0.02) -> float:
    """Sleep until just after a whole second of the wall clock (both windows count those); returns time.time()."""
    now = time.time()
    time.sleep(1 - now % 1 + fraction)
    return time.time()
