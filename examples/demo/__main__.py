"""`python -m examples.demo [--secure] [--once] [--plain] [--json] [--lines] [--no-engine]`; see `--help`."""

import argparse
import contextlib
import fcntl
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from examples.demo import sweep
from examples.demo.now import look
from examples.demo.play import Result, play
from examples.demo.stage import Stage
from examples.demo.view import View, whole

PREFIX = "ck-demo-"
WIDTH = 120
"""Columns where there is no terminal."""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("demo", description="Routers come and go in Consul while calls follow them.")
    parser.add_argument(
        "--secure",
        action="store_true",
        help="with Vault, and a Consul with ACLs and mutual TLS: secrets rotate meanwhile",
    )
    parser.add_argument("--once", action="store_true", help="end after the acts: 0 if each ended as promised, else 1")
    parser.add_argument("--plain", action="store_true", help="consul-template and kamcmd alone, without consul_kam")
    parser.add_argument("--json", action="store_true", help="what came of it as JSON on stdout; implies --once")
    parser.add_argument(
        "--lines", action="store_true", help="lines instead of a live picture (as where no terminal is)"
    )
    parser.add_argument("--no-engine", action="store_true", help="without consul_kam's engine, which has to fail")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 where each act ended as promised and no call failed, 1 otherwise, 130 after Ctrl-C."""
    chosen = arguments(argv)
    signal.signal(signal.SIGTERM, _leave)
    # a shell starts what runs in the background with this one ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    console = Console(stderr=chosen.json, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=chosen.json, highlight=False, width=WIDTH)
    try:
        result = perform(chosen, console)
    except KeyboardInterrupt:
        return 130
    console.print(whole(result))
    if chosen.json:
        print(json.dumps(result.told(), indent=1))
    return 0 if result.ok else 1


def perform(chosen: argparse.Namespace, console: Console) -> Result:
    """Play, and without `--once` stay until Ctrl-C. Every program is gone afterwards. Raises KeyboardInterrupt."""
    began = time.monotonic()
    result = Result(chosen.plain)
    lines = chosen.lines or chosen.json or not console.is_terminal
    once = chosen.once or chosen.json
    with ExitStack() as stack, View(console, lines) as view:
        place = stack.enter_context(workspace(Path(tempfile.gettempdir())))
        stage = Stage(stack, place, chosen.plain, view.say, chosen.secure)
        try:
            stage.open(engine=not chosen.no_engine)
            view.watch(stage)
            play(stage, result, view)
            result.now = look(stage)
            if once:
                stage.end_calls()
        except (AssertionError, OSError) as error:
            # LabError among them: a program is missing or has ended
            result.error = str(error)
        if stage.secure is not None:
            result.rotations = stage.secure.rotations()
        result.calls, result.seconds = stage.calls(), time.monotonic() - began
        if not once and not result.error:
            with contextlib.suppress(KeyboardInterrupt):
                view.stay(stage)
    return result


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A directory for everything, removed at the end; those that killed demos left are removed first.

    The kernel gives a lock back when its holder dies, however it dies.
    """
    for left in parent.glob(f"{PREFIX}*/lock"):
        with contextlib.suppress(OSError), left.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sweep.end(left.parent)
            shutil.rmtree(left.parent, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # what the lab makes for itself goes in here too
            tempfile.tempdir = str(directory)
            with sweep.swept(directory):
                yield directory
    finally:
        tempfile.tempdir = None
        shutil.rmtree(directory, ignore_errors=True)


def _leave(number: int, frame: FrameType | None) -> None:
    # unwinds every `with`, so that the programs are stopped in order
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
