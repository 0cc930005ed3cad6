"""Do ACLs hide records from consul-template? Then a shorter answer is an error, not "none" (design.md, rule 7)."""

from collections.abc import Callable, Sequence

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_source import Source
from consul_kam.app.loop import Loop, Worker
from consul_kam.config import DatasetSettings
from consul_kam.core.records import Answer


class AclWatch:
    """Asks Consul beside the pipeline, on a worker of its own. `factory` makes the client, which takes 0.1 s."""

    def __init__(self, loop: Loop, factory: Callable[[], Consul]) -> None:
        self._loop, self._factory = loop, factory
        self._client: Consul | None = None
        self._worker = Worker("consul")

    def warm_up(self) -> None:
        """Make the client now, so that the first removal need not wait for it."""
        self._worker.submit(self._make_client)

    def ask(
        self, sources: Sequence[Source], datacenter: str, answer: Answer, then: Callable[[list[str]], None]
    ) -> None:
        """Call `then`, in the loop, with the names of what ACLs hide from us and so from consul-template.

        Where our token sees less than the answer holds, it is not consul-template's token, and proves nothing.
        """

        def job() -> None:
            self._make_client()
            assert self._client is not None
            hidden = []
            for source in sources:
                seen = self._client.seen_of_filtered(source, datacenter)
                if seen is not None and seen >= _offered(source, answer):
                    hidden.append(source.name)
            self._loop.post(lambda: then(hidden))

        self._worker.submit(job)

    def _make_client(self) -> None:
        if self._client is None:
            self._client = self._factory()


def sources_of(chosen: DatasetSettings) -> dict[str, tuple[Source, ...]]:
    """Part -> what of Consul its staging file is made of."""
    parts: dict[str, tuple[Source, ...]] = {}
    for entry in chosen.sets:
        part = str(entry["datacenter"])
        found = [Source(kind, str(entry[kind])) for kind in ("service", "kv") if entry[kind]]
        parts[part] = (*parts.get(part, ()), *found)
    return parts


def _offered(source: Source, answer: Answer) -> int:
    """How many records of the answer come from there; of a native list nobody can say, so all may."""
    if answer.native:
        return len(answer.records)
    return sum(source.gave(record.source.service, record.source.id) for record in answer.records)
