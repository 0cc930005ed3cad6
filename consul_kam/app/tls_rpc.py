"""Kamailio is told to load its certificate; on the RPC worker."""

import re
from dataclasses import dataclass

from consul_kam.core.ports import Rpc, Value
from consul_kam.errors import RpcError, RpcFault, RpcTimeout, RpcUnreachable

FREE = (512 + 100) * 1024
"""Bytes of shared memory that have to be free for each of its processes: below 512 kB each it takes no new
TLS connection [tls_init.c: low_mem_threshold1], and a reload costs some 32 kB each, for good (docs/findings.md)."""


SAFE = (6, 0)
"""From this version on a reload leaves alone what other processes do meanwhile (docs/findings.md)."""
_VERSION = re.compile(r"kamailio (\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """`error`: why it was refused, or ""; that of one that may have been carried out is none: a handshake will tell.

    `restart`: it waits for a restart of Kamailio. `unsure`: nobody said that it was carried out.
    """

    error: str = ""
    restart: bool = False
    unsure: bool = False


class TlsRpc:
    """`rpc`: for this thread's use alone. `cfg`: the file that Kamailio shall have its domains from."""

    def __init__(self, rpc: Rpc, cfg: str, deadline: float) -> None:
        self._rpc, self._cfg, self._deadline = rpc, cfg, deadline

    def who(self) -> tuple[str, Reloaded | None]:
        """What names this one Kamailio until its end; and why it cannot get a certificate from us, or None."""
        try:
            (options,), (up,) = self._ask("tls.options"), self._ask("core.uptime")
            named, processes = str(_members(options).get("config")), self._ask("core.psx")
            who = f"{_members(processes[0])['PID']} {_members(up)['up_since']}"
        except (RpcUnreachable, RpcTimeout) as error:
            return "", Reloaded(str(error))
        except RpcFault as fault:
            return "", Reloaded(f'cannot load the certificate: {fault}; loadmodule "tls.so", and enable_tls=yes')
        except (RpcError, LookupError, TypeError, ValueError) as error:
            return "", Reloaded(f"cannot load the certificate: cannot understand Kamailio: {error}")
        if named != self._cfg:
            cure = f'modparam("tls", "config", "{self._cfg}")'
            return "", Reloaded(f"cannot load the certificate: Kamailio reads another file, {named}: {cure}")
        return who, None

    def obstacle(self, apply: str) -> Reloaded | None:
        """Why no reload may be asked for now, or None; this changes nothing. `apply`: of [kamailio.tls]."""
        try:
            return self._unsafe(apply) or self._short()
        except (RpcError, LookupError, TypeError, ValueError) as error:
            return Reloaded(f"cannot load the certificate: {error}")

    def reload(self) -> Reloaded:
        try:
            self._ask("tls.reload")
        except RpcFault as fault:
            return Reloaded(f"cannot load the certificate: {fault}; may [kamailio.tls] user read it? Its log says more")
        except RpcUnreachable as error:
            return Reloaded(str(error))
        except RpcError:  # it may have been carried out
            return Reloaded(unsure=True)
        return Reloaded()

    def _ask(self, method: str) -> tuple[Value, ...]:
        return self._rpc.call(method, deadline=self._deadline)

    def _unsafe(self, apply: str) -> Reloaded | None:
        if apply == "reload":
            return None
        told = _VERSION.search(" ".join(str(each) for each in self._ask("core.version")))
        version = tuple(map(int, told.groups())) if told is not None else (0, 0)
        if apply == "auto" and version >= SAFE:
            return None
        why = "[kamailio.tls] apply says so"
        if apply == "auto":
            why = f"a reload by Kamailio {version[0]}.{version[1]} may cut TLS connections that are up, or crash it"
        return Reloaded(f"the new certificate waits for a restart of Kamailio: {why}", restart=True)

    def _short(self) -> Reloaded | None:
        (memory,) = self._ask("core.shmmem")
        processes = len(self._ask("core.psx"))
        free = float(str(_members(memory)["free"]))
        if free >= FREE * processes:
            return None
        left = f"{free / 2**20:.1f} MiB of its shared memory are free, for {processes} processes"
        cure = "restart it, with more by -m"
        return Reloaded(f"cannot load the certificate: {left}, and no reload gives any back: {cure}", restart=True)


def _members(value: Value) -> dict[str, Value]:
    if isinstance(value, str):
        raise TypeError(f"expected a struct, got {value[:80]!r}")
    return dict(value)
