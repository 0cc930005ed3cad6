"""The templates that come with consul_kam, with the configured sets baked in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consul_kam.config import DatasetSettings, Settings
from consul_kam.errors import ConfigError

HOME = Path(__file__).parents[1] / "templates"
MARKER = "{{- /* consul_kam:sets */ -}}"
"""Starts the line of a template that holds its sets."""


def sets_json(settings: Settings, dataset: DatasetSettings, part: str) -> str:
    """The sets whose records belong into one staging file, for CONSUL_KAM_<DATASET>_SETS."""
    sets = [entry for entry in dataset.sets if entry["datacenter"] == part]
    return json.dumps([{**entry, "datacenter": part or settings.consul.datacenter} for entry in sets])


def baked(text: str, sets: str) -> str:
    """A template with `sets` (JSON) in place of its own. Raises ConfigError where it has no line for them."""
    lines = text.splitlines(keepends=True)
    places = [index for index, line in enumerate(lines) if line.startswith(MARKER)]
    if len(places) != 1:
        raise ConfigError(f"cannot bake sets into a template with {len(places)} lines that start with {MARKER}")
    raw = sets.replace("`", "\\u0060")  # the one character that a raw string of Go cannot hold
    lines[places[0]] = f"{MARKER}{{{{- $sets := `{raw}` -}}}}\n"
    return "".join(lines)


def exported(settings: Settings, datasets: tuple[DatasetSettings, ...] | None = None) -> Mapping[str, str]:
    """File name -> text: a template for each staging file. Without `datasets`: of all that have one."""
    chosen = datasets if datasets is not None else tuple(settings.datasets.values())
    return {
        dataset.staging_of(part).with_name(_name(dataset, part)).name: baked(
            (HOME / f"{dataset.name}.ctmpl").read_text(encoding="utf-8"), sets_json(settings, dataset, part)
        )
        for dataset in chosen
        if (HOME / f"{dataset.name}.ctmpl").exists()
        for part in dataset.parts
    }


def stanzas(settings: Settings, directory: Path, command: str) -> str:
    """consul-template's configuration (HCL) that renders the exported templates of the enabled datasets."""
    return "\n".join(
        "template {\n"
        f"  source      = {_quoted(directory / _name(dataset, part))}\n"
        f"  destination = {_quoted(dataset.staging_of(part))}\n"
        f"  exec {{\n    command = [{_quoted(command)}]\n  }}\n"
        "}\n"
        for dataset in settings.enabled
        for part in dataset.parts
    )


def write(settings: Settings, directory: Path, command: str = "kam-apply") -> tuple[Path, ...]:
    """Write them all, and consul-kam.hcl beside them, into `directory`. Raises OSError."""
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {**exported(settings), "consul-kam.hcl": stanzas(settings, directory, command)}
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return tuple(directory / name for name in files)


def _name(dataset: DatasetSettings, part: str) -> str:
    return f"{dataset.name}@{part}.ctmpl" if part else f"{dataset.name}.ctmpl"


def _quoted(value: object) -> str:
    return json.dumps(str(value)).replace("${", "$${")  # HCL's strings are JSON's, but for interpolation
