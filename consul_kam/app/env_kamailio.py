"""What of the environment a running Kamailio holds, read and mended; on the RPC worker."""

from collections.abc import Sequence
from dataclasses import dataclass

from consul_kam.config import Settings
from consul_kam.core import env_live
from consul_kam.core.env_define import VARIABLE
from consul_kam.core.env_live import Held, Live, Place
from consul_kam.core.env_spec import HTABLE, OWN
from consul_kam.core.ports import Call, Rpc
from consul_kam.datasets import dataset
from consul_kam.errors import RpcError, RpcFault, RpcTimeout, RpcUnreachable

SNIPPET = 'modparam("htable", "htable", "{}=>size=6;")'


@dataclass(frozen=True, slots=True)
class Found:
    """`digest`: which values it says it was started with, or "". `set`: what was changed now."""

    digest: str = ""
    troubles: tuple[str, ...] = ()
    set: tuple[str, ...] = ()


class EnvKamailio:
    """`rpc`: for this thread's use alone."""

    def __init__(self, settings: Settings, rpc: Rpc) -> None:
        self._rpc, self._deadline, self._table = rpc, settings.kamailio.rpc_deadline, settings.env.htable
        self._htable = dataset(f"htable:{self._table}")
        self._reads = any(spec.change == HTABLE for spec in settings.env.specs)

    def look(self, want: Live, mend: bool) -> Found:
        """Compare; `mend`: set what differs, and prove it by reading again. Nothing is said of one that is away."""
        try:
            digest = self._cfg((OWN, VARIABLE), str)
            seen, troubles = self._seen(want)
            asked = env_live.calls(self._table, want, seen) if mend else []
            troubles += self._done(asked)
            if asked:
                seen, _ = self._seen(want)
        except (RpcUnreachable, RpcTimeout):
            return Found()
        except RpcError as error:
            return Found(troubles=(str(error),))
        wrong = env_live.differences(want, seen) if not troubles else []
        done = () if troubles or wrong else tuple(str(params[1]) for _, params in asked)
        return Found(str(digest or ""), (*troubles, *wrong), done)

    def _done(self, asked: Sequence[Call]) -> list[str]:
        if not asked:
            return []
        replies = self._rpc.call_in_order(asked, deadline=self._deadline)
        return [
            f"cannot set {'.'.join(map(str, params[:2]))}: {reply}"
            for (_, params), reply in zip(asked, replies, strict=True)
            if isinstance(reply, RpcError)
        ]

    def _seen(self, want: Live) -> tuple[Live, list[str]]:
        """What is there, and why it cannot be read."""
        troubles: list[str] = []
        table: dict[str, Held] = {}
        if self._reads:
            try:
                (ask,) = self._htable.readback
                answer = self._rpc.call(ask.method, *ask.params, deadline=self._deadline)
                memory = self._htable.decode([answer])
                table = {str(entry.key[0]): entry.seen[1] for entry in memory}  # type: ignore[misc]
            except RpcFault as fault:
                troubles.append(f"cannot read the htable {self._table}: {fault}; {SNIPPET.format(self._table)}")
        cfg = {place: value for place, kind in _kinds(want) if (value := self._cfg(place, kind)) is not None}
        return Live(table, cfg), troubles

    def _cfg(self, place: Place, kind: type[int] | type[str]) -> Held | None:
        """None where there is no such variable, or no cfg_rpc.so."""
        try:
            answer = self._rpc.call("cfg.get", *place, deadline=self._deadline)
        except RpcFault:
            return None
        value = answer[0] if answer else ""
        try:
            return kind(value) if isinstance(value, str) else None
        except ValueError:
            return None


def _kinds(want: Live) -> list[tuple[Place, type[int] | type[str]]]:
    return [(place, int if isinstance(value, int) else str) for place, value in want.cfg.items()]
