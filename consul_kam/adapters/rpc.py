"""From the `rpc` setting to a client."""

import ipaddress
import re
import shlex
import socket
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from consul_kam.adapters.binrpc import Address, BinRpc
from consul_kam.adapters.jsonrpc_fifo import Fifo
from consul_kam.adapters.jsonrpc_http import Http, Place
from consul_kam.adapters.kamcmd import KamCmd
from consul_kam.adapters.secret import secret
from consul_kam.core.ports import Rpc
from consul_kam.errors import ConfigError

_FORMS = "unix:PATH, tcp:HOST:PORT, udp:HOST:PORT, fifo:PATH, http[s]://HOST:PORT/PATH or kamcmd:[COMMAND ...]"
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_URL = re.compile(r"https?://[!-~]+")
_CREDENTIALS = re.compile(rb"[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]+")


def connect(spec: str, reply_dir: str = "/tmp", password_file: str = "", ca_file: str = "") -> Rpc:
    """A client for `spec`; nothing is opened before the first call but the files that are named.

    `unix:PATH`, `tcp:HOST:PORT`, `udp:HOST:PORT`: binrpc on the ctl socket; HOST is an IP address or localhost, since
    looking up a name has no deadline. `fifo:PATH`: jsonrpcs's FIFO; replies come by `reply_dir`.
    `http://HOST:PORT/PATH`: jsonrpcs over HTTP, on loopback only; `https://...` anywhere. `password_file` holds
    user:password, `ca_file` (PEM) the authorities; "" is none, and the system's own. `kamcmd:` alone runs kamcmd; with
    words behind it these are the command, and `kamcmd` is put behind them where they do not name it (`kamcmd:docker
    exec sbc`). Raises ConfigError.
    """
    kind, _, rest = spec.partition(":")
    if kind == "unix" and rest:
        return BinRpc(Address(spec, socket.AF_UNIX, socket.SOCK_STREAM, rest))
    if kind == "fifo" and rest:
        return Fifo(Path(rest), Path(reply_dir))
    if _URL.fullmatch(spec):
        return Http(_place(spec, password_file, ca_file))
    if kind in _KINDS:
        host, port = _host_and_port(spec, rest)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return BinRpc(Address(spec, family, _KINDS[kind], (host, port)))
    if kind == "kamcmd":
        return KamCmd(_command(spec, rest))
    raise ConfigError(f"cannot use rpc {_safe(spec)!r}: expected {_FORMS}")


def _host_and_port(spec: str, rest: str) -> tuple[str, int]:
    host, _, port = rest.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise ConfigError(f"cannot use rpc {spec!r}: PORT must be 1 to 65535")
    return str(_address(spec, host.removeprefix("[").removesuffix("]"))), int(port)


def _address(spec: str, host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise ConfigError(f"cannot use rpc {spec!r}: HOST must be an IP address or localhost") from error


def _safe(spec: str) -> str:
    """Without what may be a password."""
    return re.sub(r"//.*@", "//...@", spec)


def _place(spec: str, password_file: str, ca_file: str) -> Place:
    if "@" in spec:
        raise ConfigError(f"cannot use rpc {_safe(spec)!r}: a password is no part of it: see rpc_password_file")
    url = _split(spec)
    name = url.hostname or ""
    address = _address(spec, name)
    if url.scheme == "http" and not address.is_loopback:
        raise ConfigError(f"cannot use rpc {spec!r}: everybody on the way could command Kamailio: use https")
    if not url.port or url.fragment:
        raise ConfigError(f"cannot use rpc {spec!r}: expected http[s]://HOST:PORT/PATH")
    path = (url.path or "/RPC") + (f"?{url.query}" if url.query else "")
    tls = _context(ca_file) if url.scheme == "https" else None
    return Place(spec, str(address), url.port, path, name, _credentials(password_file), tls)


def _split(spec: str) -> SplitResult:
    try:
        url = urlsplit(spec)
        url.port  # noqa: B018 - is checked when it is asked for
    except ValueError as error:
        raise ConfigError(f"cannot use rpc {spec!r}: {error}") from error
    return url


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError too
        raise ConfigError(f"cannot use rpc_ca_file {ca_file}: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _credentials(path: str) -> bytes:
    """What stands in the file, which nobody else may read; no message shows it."""
    if not path:
        return b""
    found = secret(path, "rpc_password_file")
    if not _CREDENTIALS.fullmatch(found):
        raise ConfigError(f"cannot use rpc_password_file {path}: expected one line, user:password")
    return found


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
