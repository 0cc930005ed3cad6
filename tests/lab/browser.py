"""Chromium without a window: what it makes of a page, what it complains of, how it looks."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0")
TIMEOUT = 120


@dataclass(frozen=True)
class Seen:
    """`complaints`: of its console, as where a policy stopped something."""

    document: str
    complaints: list[str]


def browse(profile: Path, url: str, *options: str, seconds: float = 0.0) -> Seen:
    """The document after so many seconds of the page's own time, which does not pass on the wall."""
    budget = f"--virtual-time-budget={seconds * 1000:.0f}"
    done = _run(profile, budget, *options, "--dump-dom", url)
    return Seen(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])


def picture(profile: Path, url: str, file: Path, width: int, height: int, *options: str) -> None:
    """A PNG of the top of a page. No window is narrower than 500 pixels: put such a page into a frame."""
    _run(profile, f"--window-size={width},{height}", *options, f"--screenshot={file}", url)


def _run(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["chromium", *OPTIONS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=True)
