"""consul-template, once, into a scratch directory: what would be staged now."""

import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consul_kam.app import templates
from consul_kam.app.client import OutOfReach
from consul_kam.config import DatasetSettings, Settings

KILL_AFTER = 2.0
"""Seconds between SIGINT, which consul-template heeds (SIGTERM it ignores), and SIGKILL."""


class RenderFailed(OutOfReach):
    """consul-template is not there, or rendered nothing before the deadline (exit code 3)."""


@dataclass(frozen=True)
class Rendered:
    """One staging file as it would be now."""

    dataset: str
    file: str
    content: bytes


def render(
    settings: Settings, datasets: tuple[DatasetSettings, ...], deadline: float, program: str = "consul-template"
) -> tuple[Rendered, ...]:
    """Render the templates of `datasets`, all or none. `deadline`: seconds. Raises RenderFailed, OSError."""
    with tempfile.TemporaryDirectory(prefix="consul_kam-") as name:
        scratch = Path(name)
        wanted: dict[str, str] = {}
        command = [program, "-once", "-log-level=err", *_consul_flags(settings)]
        for dataset in datasets:
            for file, text in templates.exported({dataset.name: dataset.sets}).items():
                (scratch / file).write_text(text, encoding="utf-8")
                staged = file.removesuffix(".ctmpl")
                wanted[staged] = dataset.name
                command.append(f"-template={scratch / file}:{scratch / staged}")
        said = _run(command, deadline)
        missing = [file for file in wanted if not (scratch / file).exists()]
        if missing:
            raise RenderFailed(f"cannot render {', '.join(missing)}: {said}")
        return tuple(Rendered(dataset, file, (scratch / file).read_bytes()) for file, dataset in wanted.items())


def _run(command: list[str], deadline: float) -> str:
    """What it said last, or why it said nothing."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise RenderFailed(f"cannot run {command[0]}: it is not in PATH; install it or give --program") from None
    late = ""
    try:
        output, _ = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        late = f"nothing within {deadline:g} s; is Consul there? "
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=KILL_AFTER)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return f"{late}consul-template: {lines[-1]}" if lines else f"{late}consul-template ended with {process.returncode}"


def _consul_flags(settings: Settings) -> list[str]:
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
