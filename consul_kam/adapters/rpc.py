"""From the `rpc` setting to a client."""

import ipaddress
import shlex
import socket

from consul_kam.adapters.binrpc import Address, BinRpc
from consul_kam.adapters.kamcmd import KamCmd
from consul_kam.core.ports import Rpc
from consul_kam.errors import ConfigError

_FORMS = "unix:PATH, tcp:HOST:PORT, udp:HOST:PORT or kamcmd:[COMMAND ...]"
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def connect(spec: str) -> Rpc:
    """A client for `spec`; nothing is opened before the first call.

    `unix:PATH`, `tcp:HOST:PORT`, `udp:HOST:PORT`: binrpc on the ctl socket; HOST is an IP address or localhost, since
    looking up a name has no deadline. `kamcmd:` alone runs kamcmd; with words behind it these are the command, and
    `kamcmd` is put behind them where they do not name it (`kamcmd:docker exec sbc`). Raises ConfigError.
    """
    kind, _, rest = spec.partition(":")
    if kind == "unix" and rest:
        return BinRpc(Address(spec, socket.AF_UNIX, socket.SOCK_STREAM, rest))
    if kind in _KINDS:
        host, port = _host_and_port(spec, rest)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return BinRpc(Address(spec, family, _KINDS[kind], (host, port)))
    if kind == "kamcmd":
        return KamCmd(_command(spec, rest))
    raise ConfigError(f"cannot use rpc {spec!r}: expected {_FORMS}")


def _host_and_port(spec: str, rest: str) -> tuple[str, int]:
    host, _, port = rest.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise ConfigError(f"cannot use rpc {spec!r}: HOST must be an IP address or localhost") from error
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise ConfigError(f"cannot use rpc {spec!r}: PORT must be 1 to 65535")
    return host, int(port)


def _command(spec: str, rest: str) -> tuple[str, ...]:
    if rest.startswith("[") and rest.endswith("]"):
        rest = rest[1:-1]
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise ConfigError(f"cannot use rpc {spec!r}: {error}") from error
    if not any(word.rpartition("/")[2] == "kamcmd" for word in words):
        words.append("kamcmd")
    return tuple(words)
