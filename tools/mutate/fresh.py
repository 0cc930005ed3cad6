"""Judges what runs at import: for each mutant a process that imports the package anew, with the mutant in force.

mutmut imports everything once and forks: a table, a grammar, a decorator or an answer that was cached while the tests
were collected is then made already, and no mutant of what made it can be noticed.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# Imported before the fork, so that it costs each mutant nothing; nothing of consul_kam, which each imports for itself.
import hypothesis.extra.pytestplugin  # noqa: F401
import msgspec  # noqa: F401
import pytest
from mutmut.mutation.trampoline import set_mutant_under_test

from tools.mutate.tree import SELECTION

SECONDS = 60
"""Of CPU; all tests together need 5."""


def judge(copy: Path, names: Iterable[str], tell: Callable[[str, int], None]) -> None:
    """Runs all tests once for each mutant and tells what pytest exited with, 24 for one that ran out of time.

    Raises RuntimeError where they fail without any mutant.
    """
    if code := _run(copy, ""):
        raise RuntimeError(f"cannot judge: the tests fail without a mutant, pytest exits with {code}")
    for name in names:
        tell(name, _run(copy, name))


def _run(copy: Path, name: str) -> int:
    child = os.fork()
    if child == 0:
        _child(copy, name)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else -signal.Signals(-status)


def _child(copy: Path, name: str) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    set_mutant_under_test(name)
    code = 3
    try:
        code = int(pytest.main(["--rootdir=.", "--tb=no", "-x", "-q", *SELECTION]))
    finally:
        os._exit(code)
