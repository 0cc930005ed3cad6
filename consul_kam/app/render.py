"""consul-template, once, into a scratch directory: what would be staged now."""

import contextlib
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consul_kam.adapters import consul_tls, files
from consul_kam.adapters.identity import files_of
from consul_kam.app import templates
from consul_kam.app.client import OutOfReach
from consul_kam.app.surroundings import used_by_consul_template
from consul_kam.config import DatasetSettings, Settings
from consul_kam.core.dataset import dataset_of

PROGRAM = "consul-template"
SAID = 4096
"""Bytes of what consul-template said last that are looked at."""
_STAMP = re.compile(r"^\S+ \[[A-Z]+\] (\([a-z]+\) )?")
PATIENCE = 1.0
"""Seconds for each step of finding out what is wrong with TLS."""
_TLS = re.compile(r"x509|\btls: |certificate|PEM|key pair|CA cert", re.IGNORECASE)
_EMPTY = "sending server error back to caller"
"""What consul-template says after each try that failed; why, it said before, at level warn."""


class RenderFailed(OutOfReach):
    """consul-template is not there, or rendered nothing before the deadline (exit code 3)."""


@dataclass(frozen=True)
class Rendered:
    """One staging file as it would be now. `part` is "" or what follows the "@" in its name."""

    dataset: str
    part: str
    file: str
    content: bytes


@dataclass(frozen=True)
class Attempt:
    """`failed`: the files that were not rendered, and why."""

    rendered: tuple[Rendered, ...]
    failed: Mapping[str, str]


@dataclass
class Renderer:
    """Runs one consul-template at a time. `retry`: whether it tries Consul again until the deadline."""

    settings: Settings
    retry: bool = True
    program: str = ""
    """Default: `[consul_template] path`, else the one in PATH."""
    directory: Path | None = None
    """Where scratch directories are made; default: the system's own place."""
    _stopped: threading.Event = field(default_factory=threading.Event)
    _running: subprocess.Popen[bytes] | None = None

    def attempt(self, datasets: Collection[DatasetSettings], deadline: float) -> Attempt:
        """Render the templates of `datasets`; the scratch directory is private (0700) and gone afterwards.

        `deadline`: seconds. Raises RenderFailed (there is no consul-template), ConfigError, OSError.
        """
        until = time.monotonic() + deadline
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=self.directory) as name:
            scratch = Path(name)
            sources = self._sources(datasets, scratch)
            failed = self._round(scratch, sources, until)
            if failed and not self.retry:
                # What ended it may concern one source alone (a data centre that is away, a forbidden prefix).
                for file in list(failed) if len(sources) > 1 else ():
                    self._round(scratch, {file: sources[file]}, until, failed)
            found = [_rendered(file, scratch / file) for file in sources if file not in failed]
            return Attempt(tuple(found), failed)

    def stop(self) -> None:
        """From any thread, for good: what is under way ends at once."""
        self._stopped.set()
        self._kill(self._running)

    def _sources(self, datasets: Collection[DatasetSettings], scratch: Path) -> dict[str, Path]:
        """Staging file's name -> its template: the operator's own where it is known, else ours."""
        own, found = self.settings.consul_template.templates, {}
        for dataset in datasets:
            for file, text in templates.exported({dataset.name: dataset.sets}).items():
                source = Path(own) / file if own else scratch / file
                if not own or not source.exists():
                    source = scratch / file
                    source.write_text(text, encoding="utf-8")
                found[file.removesuffix(".ctmpl")] = source
        return found

    def _round(
        self, scratch: Path, sources: Mapping[str, Path], until: float, failed: dict[str, str] | None = None
    ) -> dict[str, str]:
        """One run. Returns `failed` (those of `sources` that were not rendered, and why), brought up to date."""
        failed = {} if failed is None else failed
        said = self._run([f"-template={source}:{scratch / file}" for file, source in sources.items()], scratch, until)
        for file in sources:
            failed.pop(file, None)
            if not (scratch / file).exists():
                failed[file] = said
        return failed

    def _run(self, wanted: Sequence[str], scratch: Path, until: float) -> str:
        """What it said last, or why it said nothing. Raises RenderFailed."""
        program = self.program or program_of(self.settings)
        command = [program, "-once", "-log-level=warn", *consul_flags(self.settings), *wanted]
        command += [] if self.retry else ["-consul-retry=false"]
        began, late = time.monotonic(), ""
        with (scratch / ".said").open("w+b") as said:
            try:
                # A session of its own: whatever a template's plugin starts ends with it. Output to a file: no pipe to
                # keep empty, and the limit on file sizes bounds it too.
                self._running = process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=used_by_consul_template(self.settings),
                )
            except (FileNotFoundError, PermissionError):
                cure = "it is not in PATH; install it, or set [consul_template] path, or give --program"
                raise RenderFailed(f"cannot run {program}: {cure}") from None
            with contextlib.suppress(OSError):  # it has ended already
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (files.LARGEST, files.LARGEST))
            if self._stopped.is_set():
                self._kill(process)
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                late = f"nothing within {round(until - began, 1):g} s; is Consul there? "
            self._kill(process)
            process.wait()
            words = _last_words(said.fileno(), process.returncode)
            return f"{late}{_why(self.settings, words) if _TLS.search(words) else words}"

    @staticmethod
    def _kill(process: subprocess.Popen[bytes] | None) -> None:
        """SIGKILL: it only ever writes to scratch. Its pid is ours until it is waited for."""
        if process is not None and process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)


def render(
    settings: Settings, datasets: tuple[DatasetSettings, ...], deadline: float, program: str = ""
) -> tuple[Rendered, ...]:
    """Render the templates of `datasets`, all or none. `deadline`: seconds. Raises RenderFailed, OSError."""
    attempt = Renderer(settings, program=program).attempt(datasets, deadline)
    if attempt.failed:
        raise RenderFailed(f"cannot render {', '.join(attempt.failed)}: {next(iter(attempt.failed.values()))}")
    return attempt.rendered


def dataset_and_part(file: str) -> tuple[str, str]:
    """Of a staging file's name: "htable-carriers@dc2" is ("htable:carriers", "dc2")."""
    name, _, part = file.partition("@")
    return dataset_of(name), part


def _rendered(file: str, path: Path) -> Rendered:
    dataset, part = dataset_and_part(file)
    return Rendered(dataset, part, file, files.read_regular(path))


def _why(settings: Settings, words: str) -> str:
    """What is wrong with TLS, as we say it everywhere else; consul-template's own words where we find nothing."""
    given = settings.consul
    peer = consul_tls.peer(given.address, given.ca_file, files_of(given))
    found = consul_tls.why(peer, PATIENCE) if peer is not None else ""
    return f"consul-template cannot reach Consul at {given.address}: {found}" if found else words


def _last_words(descriptor: int, returncode: int | None) -> str:
    size = os.fstat(descriptor).st_size
    said = os.pread(descriptor, SAID, max(0, size - SAID)).decode("utf-8", "replace")
    lines = [line for line in said.strip().splitlines() if not line.endswith(_EMPTY)]
    if not lines:
        return f"consul-template ended with {returncode}"
    return "consul-template: " + _STAMP.sub("", lines[-1])[:500]


def program_of(settings: Settings) -> str:
    """The consul-template to run."""
    return settings.consul_template.path or PROGRAM


def consul_flags(settings: Settings) -> list[str]:
    """No token: that is in its file, or in the environment, which consul-template reads itself."""
    consul = settings.consul
    flags: Mapping[str, str] = {
        "-consul-addr": consul.address,
        "-consul-token-file": consul.token_file,
        "-consul-ssl-ca-cert": consul.ca_file,
        "-consul-ssl-cert": consul.cert_file,
        "-consul-ssl-key": consul.key_file,
    }
    secure = consul.address.startswith("https:") or consul.ca_file or consul.cert_file
    return [f"{flag}={value}" for flag, value in flags.items() if value] + (["-consul-ssl"] if secure else [])
