"""What the configuration comes to once every default is worked out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consul_kam.errors import ConfigError
from consul_kam.settings.schema import unknown_key

ORDER = ("address", "dispatcher")
"""A peer is trusted before it is routed to."""


@dataclass(frozen=True)
class DatasetSettings:
    """One dataset, complete: every default is worked out. Durations in seconds."""

    name: str
    file: Path | None
    """The live file; None: not enabled."""
    staging: Path
    """Records of another data centre are in `staging` + "@" + its name."""
    observe: bool
    min_records: int
    max_records: int
    max_shrink: float
    hold_for: float
    min_callable: int
    on_bad_record: str
    resolve_deadline: float
    sets: tuple[Mapping[str, Any], ...]
    """For the templates: every member present, in JSON's types."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The staging files that it needs: "" and the data centres of its sets, in order, none twice."""
        return tuple(dict.fromkeys(str(entry["datacenter"]) for entry in self.sets))

    def staging_of(self, part: str) -> Path:
        """The staging file of a data centre, or the main one for ""."""
        return self.staging.with_name(f"{self.staging.name}@{part}") if part else self.staging


def refuse_shared_files(enabled: Iterable[DatasetSettings], source: str) -> None:
    """Raises ConfigError where two datasets have one file."""
    taken: dict[str, str] = {}
    for dataset in enabled:
        for path in {str(dataset.file), *(str(dataset.staging_of(part)) for part in dataset.parts)}:
            other = taken.setdefault(path, dataset.name)
            if other != dataset.name:
                where = f"cannot use {source}: datasets.{dataset.name}"
                raise ConfigError(f"{where}: expected files of its own, got {path} of {other}")


def order(given: Sequence[str] | None, datasets: Mapping[str, DatasetSettings], source: str) -> tuple[str, ...]:
    """Of what is enabled; none unless there are two. `datasets`: every known one. Raises ConfigError."""
    names = ORDER if given is None else given
    for index, name in enumerate(names if given is not None else ()):
        if name not in datasets:
            raise unknown_key(source, "order: ", name, list(datasets))
        if name in names[:index]:
            raise ConfigError(f"cannot use {source}: order: expected each dataset once, got {name!r} twice")
    there = tuple(name for name in names if name in datasets and datasets[name].file is not None)
    return there if len(there) > 1 else ()
