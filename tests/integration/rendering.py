"""The shipped templates, rendered by the real consul-template from a real Consul: shared by the tests of templates.

`error_on_missing_key` is on throughout: it is the strictest way a user can run them.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from consul_kam.app.templates import SHIPPED, sets_environment
from tests.lab import ConsulAgent, program

DATASETS = ("dispatcher", "domain", "rtpengine")
MEMBERS = {
    "dispatcher": {"setid", "source", "duid", "address", "port", "priority", "weight", "status", "weight_as", "warning"}
    | {"critical", "transport", "maxload", "socket", "ping_from"},
    "domain": {"source", "domain", "did", "status", "warning", "critical"},
    "rtpengine": {"setid", "source", "address", "port", "weight", "status", "proto", "warning", "critical"},
}


class Rendered:
    """What one run of consul-template wrote, by file name; `lines` are without the end line."""

    def __init__(self, directory: Path) -> None:
        self.text = {path.name: path.read_bytes() for path in directory.iterdir()}

    def lines(self, name: str) -> list[bytes]:
        *lines, end = self.text[name].split(b"\n")[:-1]
        assert self.text[name].endswith(b"\n")
        assert json.loads(end) == {"end": name.partition("@")[0], "records": len(lines)}
        return lines

    def records(self, name: str = "dispatcher") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines(name)]

    def by_id(self, name: str = "dispatcher") -> dict[str, dict[str, Any]]:
        return {record["source"]["id"]: record for record in self.records(name)}


def render(
    directory: Path,
    consul: ConsulAgent,
    env: Mapping[str, str] | None = None,
    templates: Sequence[Path] = tuple(SHIPPED / f"{name}.ctmpl" for name in DATASETS),
    config: str = "",
) -> Rendered:
    """`consul-template -once` into `directory`/staging; `config`: HCL or JSON of its own instead of `templates`."""
    staging = directory / "staging"
    stanzas = [
        {"source": str(source), "destination": str(staging / source.stem), "error_on_missing_key": True}
        for source in templates
    ]
    path = directory / "consul-template.hcl"
    path.write_text(config or json.dumps({"consul": {"address": consul.address}, "template": stanzas}))
    done = subprocess.run(
        [program("consul-template"), "-once", f"-config={path}"],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return Rendered(staging)


def sets(dataset: str = "dispatcher", *entries: Mapping[str, object]) -> dict[str, str]:
    return sets_environment({dataset: [{"setid": 1, **entry} for entry in entries]})
