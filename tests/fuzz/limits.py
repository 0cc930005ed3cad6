"""What an input may cost, and what an error may look like: a breach of either is a find."""

import resource
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SECONDS = 20.0
"""For one input, on a machine that does other things as well. None needs a tenth of it."""
SPACE = 2**30
"""Bytes of address space that an input may add; a thread of ours takes some 70 MB of it for nothing."""
PEAK = 16 * 2**20
"""Bytes of Python's own memory that a short input may need at its peak."""
EACH = 400
"""Bytes more for each byte of the input: what a list of one-letter records takes."""
LONGEST = 1_000
"""Characters of an error."""


class Hang(BaseException):
    """An input took longer than SECONDS. No Exception, so that nothing takes it for one of ours."""


class Unclear(AssertionError):
    """An error that is not one clear line."""


def clear(error: object) -> None:
    """Raises Unclear unless what a user reads is one short line that says what cannot be done."""
    text = str(error)
    if not text.startswith("cannot ") or not text.isprintable() or len(text) > LONGEST:
        raise Unclear(f"{type(error).__name__}: {text[: LONGEST + 1]!r}")


@contextmanager
def bounded(seconds: float = SECONDS, space: int = SPACE) -> Iterator[None]:
    """Ends what hangs with Hang, and what takes too much with MemoryError. On the main thread only."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"longer than {seconds:g} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, end)
    resource.setrlimit(resource.RLIMIT_AS, (_used() + space, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def peak(run: Callable[[bytes], object], data: bytes) -> int:
    """Bytes of Python's memory that `run(data)` needs at its peak."""
    tracemalloc.start()
    try:
        run(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def allowed(data: bytes) -> int:
    """The peak that an input may have."""
    return PEAK + EACH * len(data)


def _used() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
