"""A real engine: `consul-kam run` as a process of its own, or none of it (state directory and configuration only)."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from consul_kam.adapters.control import ControlUnreachable, ask
from consul_kam.core.dbtext import DbText
from consul_kam.datasets import dataset
from tests.lab.kamailio import Kamailio
from tests.lab.process import PATIENCE, Process, tail, wait_for

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
PLUGINS = ROOT / "plugins"

CONFIG = """\
verify_every = {verify_every}
[node]
state_dir = "{state}"
{node}
{http}
[consul]
address = "{consul}"
{consul_lines}
[kamailio]
rpc = "unix:{ctl}"
{kamailio}
{datasets}
"""


def live_file(kamailio: Kamailio, name: str) -> Path:
    """Where a dataset's live file is in the lab: a db_text table (NAME of KIND:NAME), or DATASET.list."""
    table = isinstance(dataset(name).notation, DbText)
    return kamailio.dbtext / name.rpartition(":")[2] if table else kamailio.live / f"{name}.list"


class Engine:
    """`with Engine(tmp_path, kam, consul.address, dispatcher="max_shrink = 0.5") as engine:`

    `dispatcher`, `kamailio_lines`, `node_lines`, `consul_lines` and the name of any other dataset: TOML lines for
    their tables; a dataset is on where it is not None (dispatcher always is: that is the default). Its live file is
    `live_file(kamailio, name)`.
    `start=False` makes only the configuration, as for kam-apply with no engine running. `listen`: as [http] listen,
    nowhere by default; None: what the engine's own default is.
    """

    def __init__(
        self,
        directory: Path,
        kamailio: Kamailio,
        consul: str,
        *,
        dispatcher: str | None = "",
        kamailio_lines: str = "min_gap = 0.02",
        node_lines: str = "",
        consul_lines: str = "",
        more: str = "",
        verify_every: float = 30.0,
        start: bool = True,
        listen: str | None = "",
        wrapper: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **others: str | None,
    ) -> None:
        self.kamailio, self.directory, self._wanted, self._wrapper = kamailio, directory, start, list(wrapper)
        self.listen = listen
        self.state = kamailio.run / f"state-{directory.name}"
        self.staging = self.state / "staging"
        self.staging.mkdir(parents=True, exist_ok=True)
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "engine.log"
        self.config = directory / "consul-kam.toml"
        self.env = {"CONSUL_KAM_CONFIG": str(self.config), "PYTHONPATH": str(ROOT), **(env or {})}
        tables = [
            f'[datasets."{name}"]\nfile = "{live_file(kamailio, name)}"\n{lines}'
            for name, lines in {"dispatcher": dispatcher or "", **others}.items()
            if lines is not None
        ]
        text = CONFIG.format(
            verify_every=verify_every,
            state=self.state,
            consul=consul,
            consul_lines=consul_lines,
            ctl=kamailio.ctl,
            kamailio=kamailio_lines,
            http=f'[http]\nlisten = "{listen}"' if listen is not None else "",
            node=node_lines,
            datasets="\n".join(tables),
        )
        self.config.write_text(more + text if more.startswith(("mode", "order")) else text + more)
        self._process: Process | None = None

    def start(self, timeout: float = 20.0) -> Self:
        """Returns once the control socket answers."""
        argv = [*self._wrapper, sys.executable, "-m", "consul_kam", "run"]
        self._process = Process(argv, self.log, env=self.env)
        wait_for("the engine's control socket", self._answers, timeout, self.log)
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        if not self._process.alive():
            raise AssertionError(f"the engine ended with {self._process.returncode()}\n{tail(self.log)}")
        try:
            return bool(self.ask("status").get("pid") == self._process.pid or self._wrapper)
        except ControlUnreachable:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def stop(self, timeout: float = PATIENCE) -> int | None:
        """SIGTERM, and SIGKILL after `timeout` s; the exit code."""
        return self._process.stop(signal.SIGTERM, timeout) if self._process is not None else None

    def kill9(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    def ask(self, do: str, deadline: float = PATIENCE, **more: object) -> dict[str, Any]:
        """One control request."""
        return ask(self.state / "control.sock", {"do": do, **more}, deadline)

    def status(self, dataset: str = "dispatcher") -> dict[str, Any]:
        return next(d for d in self.ask("status")["datasets"] if d["name"] == dataset)

    def wait(self, what: str, probe: Any, timeout: float = 15.0, dataset: str = "dispatcher") -> None:
        """Until `probe(status of the dataset)` is true."""
        wait_for(what, lambda: probe(self.status(dataset)), timeout, self.log, every=0.02)

    def journal(self) -> list[dict[str, Any]]:
        path = self.state / "journal.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be under way

    def verdicts(self, dataset: str = "dispatcher") -> list[str]:
        return [e["verdict"] for e in self.journal() if e.get("dataset") == dataset and "verdict" in e]

    def template(self, dataset: str = "dispatcher", command: Sequence[str] | None = None) -> tuple[Path, Path, Any]:
        """The stanza for consul-template: our template into this engine's staging."""
        return TEMPLATES / f"{dataset}.ctmpl", self.staging / dataset, command

    def __enter__(self) -> Self:
        return self.start() if self._wanted else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(5)
