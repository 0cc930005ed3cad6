"""A real consul-template."""

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.process import Process

Template = tuple[Path, Path, Sequence[str | Path] | str | None]  # source, destination, command


class ConsulTemplate:
    """`with ConsulTemplate(tmp_path, consul.address, [(source, destination, command)]) as ct:`.

    A command is a list (run without a shell), a string (consul-template's own rules) or None. It retries Consul for
    ever, at most each second. `settings` is merged into its configuration.
    """

    def __init__(
        self,
        directory: Path,
        consul: str,
        templates: Sequence[Template],
        env: Mapping[str, str] | None = None,
        token: str = "",
        settings: Mapping[str, object] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "consul-template.log"
        self.config = directory / "consul-template.json"
        self.env = dict(env or {})
        retry = {"enabled": True, "attempts": 0, "backoff": "50ms", "max_backoff": "1s"}
        text = {
            "consul": {"address": consul, "retry": retry, "token": token},
            "log_level": "info",
            "template": [_stanza(*template) for template in templates],
            **(settings or {}),
        }
        self.config.write_text(json.dumps(text, indent=1))
        self._process: Process | None = None

    def start(self) -> Self:
        # it ignores SIGTERM; SIGINT is the signal that stops it
        argv = ["consul-template", f"-config={self.config}"]
        self._process = Process(argv, self.log, env=self.env, death_signal=signal.SIGINT)
        return self

    def stop(self) -> int | None:
        """SIGINT; the exit status, None where it was never started."""
        return self._process.stop(signal.SIGINT) if self._process is not None else None

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill_group()
        self._process.wait(5)

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def returncode(self) -> int | None:
        return self._process.returncode() if self._process else None

    @property
    def pid(self) -> int:
        assert self._process is not None, "consul-template was never started"
        return self._process.pid

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _stanza(source: Path, destination: Path, command: Sequence[str | Path] | str | None) -> dict[str, object]:
    stanza: dict[str, object] = {"source": str(source), "destination": str(destination)}
    if command is not None:
        stanza["command"] = command if isinstance(command, str) else [str(word) for word in command]
    return stanza
