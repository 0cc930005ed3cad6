"""What Consul is asked for the records of a list."""

from typing import NamedTuple


class Source(NamedTuple):
    """What records are made of: a service, or a KV prefix."""

    kind: str
    place: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.kind} {self.place}"

    @property
    def path(self) -> str:
        """The configuration allows only names that need no quoting. The slash as in our templates: what else begins
        with these letters is not meant, and may be hidden."""
        return f"/v1/health/service/{self.place}" if self.kind == "service" else f"/v1/kv/{self.place.rstrip('/')}/"

    @property
    def least(self) -> tuple[str, str]:
        """The parameter that makes the answer short; it tells of ACLs all the same."""
        return ("filter", 'Service.ID == ""') if self.kind == "service" else ("keys", "")

    @property
    def all(self) -> list[tuple[str, str]]:
        """The parameters that list every entry."""
        return [] if self.kind == "service" else [("keys", "")]

    def gave(self, service: str, id: str) -> bool:
        """Whether a record with this source (as our templates name it) comes from here."""
        return service == self.place if self.kind == "service" else id.startswith(f"kv:{self.place}")
