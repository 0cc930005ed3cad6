"""Has our token lost rights in Consul? Then a shorter answer is an error, not "none" (design.md, rule 7)."""

from collections.abc import Callable, Sequence

from consul_kam.adapters.consul import Consul, Source
from consul_kam.app.loop import Loop, Worker


class AclWatch:
    """Asks Consul beside the pipeline, on a worker of its own. `factory` makes the client, which takes 0.1 s."""

    def __init__(self, loop: Loop, factory: Callable[[], Consul]) -> None:
        self._loop, self._factory = loop, factory
        self._client: Consul | None = None
        self._worker = Worker("consul")
        self._blind: set[tuple[Source, str]] = set()
        """What our token does not see whole from the start: it is not consul-template's, and proves nothing."""

    def learn(self, sources: Sequence[Source], datacenter: str) -> None:
        """Find out what our token sees whole, to be asked for once at the start."""

        def job() -> None:
            self._blind.update((source, datacenter) for source in self._hidden(sources, datacenter))

        self._worker.submit(job)

    def ask(self, sources: Sequence[Source], datacenter: str, then: Callable[[list[str]], None]) -> None:
        """Call `then`, on the decision thread, with the names of what ACLs hide now and did not before."""

        def job() -> None:
            names = [source.name for source in self._hidden(sources, datacenter)]
            self._loop.post(lambda: then(names))

        self._worker.submit(job)

    def _hidden(self, sources: Sequence[Source], datacenter: str) -> list[Source]:
        if self._client is None:
            self._client = self._factory()
        hidden = []
        for source in sources:
            filtered = self._client.filtered(source, datacenter)
            if filtered is False:
                self._blind.discard((source, datacenter))
            elif filtered and (source, datacenter) not in self._blind:
                hidden.append(source)
        return hidden
