"""What the configuration comes to once every default is worked out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
