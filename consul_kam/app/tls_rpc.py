"""Kamailio is told to load its certificate; on the RPC worker."""

from dataclasses import dataclass

from consul_kam.core.ports import Rpc, Value
from consul_kam.errors import RpcError, RpcFault, RpcTimeout, RpcUnreachable

FREE = (512 + 100) * 1024
"""Bytes of shared memory that have to be free for each of its processes: below 512 kB each it takes no new
TLS connection [tls_init.c: low_mem_threshold1], and a reload costs some 32 kB each, for good (docs/findings.md)."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """`error`: why it was refused, or ""; that of one that may have been carried out is none: a handshake will tell.

    `short`: only a restart helps.
    """

    error: str = ""
    short: bool = False


class TlsRpc:
    """`rpc`: for this thread's use alone. `cfg`: the file that Kamailio shall have its domains from."""

    def __init__(self, rpc: Rpc, cfg: str, deadline: float) -> None:
        self._rpc, self._cfg, self._deadline = rpc, cfg, deadline

    def obstacle(self) -> Reloaded | None:
        """Why no reload may be asked for now, or None; this changes nothing."""
        try:
            other = self._other_file()
            return Reloaded(other) if other else self._short()
        except (RpcUnreachable, RpcTimeout) as error:
            return Reloaded(str(error))
        except RpcFault as fault:
            return Reloaded(f'cannot load the certificate: {fault}; loadmodule "tls.so" and enable_tls=yes')
        except (RpcError, KeyError, TypeError, ValueError) as error:
            return Reloaded(f"cannot load the certificate: cannot understand Kamailio: {error}")

    def reload(self) -> Reloaded:
        try:
            self._rpc.call("tls.reload", deadline=self._deadline)
        except RpcFault as fault:
            return Reloaded(f"cannot load the certificate: {fault}; may [kamailio.tls] user read it? Its log says more")
        except RpcUnreachable as error:
            return Reloaded(str(error))
        except RpcError:  # it may have been carried out
            return Reloaded()
        return Reloaded()

    def _other_file(self) -> str:
        (options,) = self._rpc.call("tls.options", deadline=self._deadline)
        found = _members(options).get("config")
        if found == self._cfg:
            return ""
        return f'cannot load the certificate: Kamailio has none of ours: modparam("tls", "config", "{self._cfg}")'

    def _short(self) -> Reloaded | None:
        (memory,) = self._rpc.call("core.shmmem", deadline=self._deadline)
        processes = len(self._rpc.call("core.psx", deadline=self._deadline))
        free = float(str(_members(memory)["free"]))
        if free >= FREE * processes:
            return None
        left = f"{free / 2**20:.1f} MiB of its shared memory are free, for {processes} processes"
        cure = "restart it, with more by -m"
        return Reloaded(f"cannot load the certificate: {left}, and no reload gives any back: {cure}", short=True)


def _members(value: Value) -> dict[str, Value]:
    if isinstance(value, str):
        raise TypeError(f"expected a struct, got {value[:80]!r}")
    return dict(value)
