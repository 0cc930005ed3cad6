"""What a pipeline remembers of a staging file, and of a record that Kamailio refused."""

from dataclasses import dataclass

from consul_kam.core.records import Answer, Record


@dataclass(slots=True)
class Staging:
    """What is known of one staging file."""

    digest: str = ""
    answer: Answer | None = None
    before: Answer | None = None
    """The answer before it, in case that this one is disproved."""
    error: str = ""
    at: float = 0.0


@dataclass(slots=True)
class Refusal:
    """A record that Kamailio did not load: left out until `retry` (wall clock, s), then `trying` again."""

    record: Record
    times: int
    retry: float
    trying: bool = False
