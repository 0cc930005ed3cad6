"""Ends what a demo that was killed left running: a node's programs outlive their supervisor on purpose.

`python -m examples.demo.sweep DIRECTORY` waits on its standard input for the end of the demo that started it.
"""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consul_kam.adapters import processes
from consul_kam.adapters.processes import Identity, ProcessError
from examples.demo.secure import MEMORY

IN_ORDER = 10.0
"""Seconds for a supervisor that lost its demo to end its programs itself."""


def left(directory: Path) -> list[Identity]:
    """The programs of nodes below a demo's directory that run."""
    found = map(processes.recorded, directory.glob("*/state-*/*/process"))
    return [each for each in found if each is not None and processes.members(each)]


def end(directory: Path) -> None:
    """All of them, with their workers, by SIGKILL; and the secrets that they had in memory."""
    for each in left(directory):
        with contextlib.suppress(ProcessError):
            processes.empty(each)
    memory = directory / MEMORY
    if memory.is_symlink():
        shutil.rmtree(memory.resolve(), ignore_errors=True)


@contextmanager
def swept(directory: Path) -> Iterator[None]:
    """Inside, a demo may even be killed."""
    argv = [sys.executable, "-m", "examples.demo.sweep", str(directory)]
    # a session of its own: Ctrl-C is for the demo
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as sweeper:
        try:
            yield
        finally:
            assert sweeper.stdin is not None
            sweeper.stdin.close()


def main() -> None:
    directory = Path(sys.argv[1])
    # the kernel closes the other end when the demo ends, however it ends
    sys.stdin.buffer.read()
    until = time.monotonic() + IN_ORDER
    while left(directory) and time.monotonic() < until:
        time.sleep(0.1)
    end(directory)


if __name__ == "__main__":
    main()
