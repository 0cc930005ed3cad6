"""Another user of this host, who means no good: Python that runs as somebody else. Needs root, or sudo.

What a stranger can reach has to lie outside pytest's directories, which are closed to all but their owner:
`open_place`.
"""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab.process import program

UID = 54_321
"""Nobody's on any host that we know."""

_AS = """
import errno, fcntl, json, os, socket, sys, threading, time
os.setgroups({groups}); os.setgid({uid}); os.setuid({uid}); os.umask(0)
given = json.loads(sys.argv[1])
def said(call, *args):
    try:
        call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""


def as_root(*argv: str | Path) -> list[str]:
    """The command, by sudo where we are not root."""
    command = [program(str(argv[0])), *map(str, argv[1:])]
    return command if os.geteuid() == 0 else [program("sudo"), "-n", *command]


def by_root(*argv: str | Path) -> None:
    subprocess.run(as_root(*argv), check=True, timeout=30)


def does(code: str, given: object = None, uid: int = UID, groups: tuple[int, ...] = ()) -> Any:
    """What the stranger's `code` prints, as JSON. `given` is there by this name; `said(call, ...)`: "done" or EXXX."""
    done = subprocess.run(_command(code, given, uid, groups), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


@contextmanager
def goes_on(
    code: str, given: object = None, uid: int = UID, groups: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """The stranger runs on: from the line that `code` prints first until the end of the block (then by SIGKILL)."""
    # sudo passes no signal on, but a closed standard input ends whoever waits for it
    process = subprocess.Popen(
        _command(code + "\nsys.stdin.read()", given, uid, groups),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline(), "the stranger ended"
        yield process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def _command(code: str, given: object, uid: int, groups: tuple[int, ...]) -> list[str]:
    # the interpreter starts as root: it may lie where the stranger cannot reach
    text = _AS.format(uid=uid, groups=list(groups)) + textwrap.dedent(code)
    return as_root(sys.executable, "-IS", "-c", text, json.dumps(given))


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory that everybody may walk through, removed afterwards whoever owns what is in it."""
    place = Path(tempfile.mkdtemp(prefix="ck-open-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        by_root("rm", "-rf", place)
