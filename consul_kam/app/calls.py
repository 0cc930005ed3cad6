"""Whose calls a drain waits for: Kamailio's by RPC, RTPEngine's by NG. Used on the drain's own worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from consul_kam.adapters import ng, rpc, sip
from consul_kam.config import Settings
from consul_kam.core import replies
from consul_kam.core.drain import HTABLE, KEY, Counts
from consul_kam.core.ports import Rpc, Value
from consul_kam.core.world import NO_KAMAILIO
from consul_kam.errors import ConsulKamError, RpcError, RpcFault, RpcMalformed

DEADLINE = 2.0
"""Seconds that one question may take."""
SNIPPET = "include examples/kamailio/drain.cfg"


@dataclass(frozen=True, slots=True)
class Look:
    """As core.drain.Looked."""

    counts: Counts | None
    trouble: str = ""
    gone: bool = False


class Calls(Protocol):
    """Nothing here raises."""

    def look(self, refuse: bool) -> Look:
        """`refuse`: new calls are to be refused from before the count on."""
        ...

    def allow(self) -> str:
        """New calls are accepted again; what stands in the way, or ""."""
        ...


def calls_of(settings: Settings) -> Calls:
    if settings.kamailio.mode == NO_KAMAILIO:
        return RtpengineCalls(settings.rtpengine.ng)
    return KamailioCalls(settings)


class KamailioCalls:
    """dialog's and tm's counts; the word to refuse is a key that expires by itself."""

    def __init__(self, settings: Settings) -> None:
        way = settings.kamailio
        self._reply, self._sip = settings.drain.reply, way.sip or ()
        self._rpc: Rpc = rpc.connect(way.rpc, way.rpc_reply_dir, way.rpc_password_file, way.rpc_ca_file)

    def look(self, refuse: bool) -> Look:
        try:
            trouble = self._refuse() if refuse else ""
            counts = self._counts()
        except RpcError as error:
            silent = not any(reply.code for reply in sip.options(self._sip, 1.0).values())
            return Look(None, str(error), gone=silent)
        if counts.calls is None:
            trouble = trouble or "cannot count calls: Kamailio has no dialog module; the deadline alone counts"
        elif counts.accepted is None:
            trouble = trouble or "cannot see when it is quiet: Kamailio has no kex module; announce_max alone counts"
        return Look(counts, trouble)

    def allow(self) -> str:
        try:
            self._rpc.call("htable.delete", HTABLE, KEY, deadline=DEADLINE)
        except RpcFault:  # it was not refusing, or has expired, or there is no such table
            return ""
        except RpcError as error:
            return f"cannot tell Kamailio to take calls again: {error}; within 10 s it does by itself"
        return ""

    def _refuse(self) -> str:
        """Faults are told, silence is raised."""
        try:
            self._rpc.call("htable.seti", HTABLE, KEY, self._reply, deadline=DEADLINE)
        except RpcFault as fault:
            return f"cannot refuse new calls: {fault}; {SNIPPET}"
        return ""

    def _counts(self) -> Counts:
        epoch = str(self._members("core.uptime").get("up_since", ""))
        tm = self._members("tm.stats")
        busy = max(0, _number(tm, "current") - _number(tm, "waiting"))
        try:
            # 1: its own. With dialogs replicated by DMQ the others' count as well [kamailio-facts.md, 11].
            calls: int | None = _number(self._members("dlg.stats_active", 1), "all")
        except RpcFault:
            calls = None
        return Counts(calls, self._accepted(), busy, epoch)

    def _accepted(self) -> int | None:
        try:
            found = self._members("stats.fetchn", "dialog:processed_dialogs")
        except RpcFault:
            return None
        return _number(found, "dialog.processed_dialogs") if found else None

    def _members(self, method: str, *params: str | int) -> Mapping[str, Value]:
        try:
            answer = self._rpc.call(method, *params, deadline=DEADLINE)
        except RpcFault:
            if method == "tm.stats":  # no tm: nothing is under way for longer than a moment
                return {}
            raise
        return replies.members(answer[0], method) if answer else {}


def _number(found: Mapping[str, Value], name: str) -> int:
    """Statistics come as text, some with a fraction."""
    value = found.get(name, "0")
    try:
        return int(float(value)) if isinstance(value, str) else 0
    except ValueError:
        raise RpcMalformed(f"cannot read {name}: expected a number, got {str(value)[:40]!r}") from None


class RtpengineCalls:
    """Its sessions. It has no word for "no new ones": the peers' Kamailios choose it no more (weight 0)."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def look(self, refuse: bool) -> Look:
        try:
            up, ever = ng.sessions(self._endpoint, DEADLINE)
        except ConsulKamError as error:
            return Look(None, str(error), gone=True)
        return Look(Counts(up, ever))

    def allow(self) -> str:
        return ""
