"""The destinations of a dispatcher list: as a person reads them, and as dispatcher.list full shows them."""

import ipaddress
import re
from typing import NamedTuple

from tests.lab.rpc import Fault, Rpc, Struct
from tools.oracle.kamailio import SOCKET, SOCKNAME

_PROTOCOLS = {0: "", 1: "udp", 2: "tcp", 3: "tls", 4: "sctp", 5: "ws", 6: "wss"}
_URI = re.compile(
    r"(?P<scheme>sips?:)?(?:[^@]*@)?(?P<host>\[[^]]*\]|[^:;?]*)(?::(?P<port>[^;?]*))?(?P<params>[^?]*)", re.I
)
_UNKNOWN = "?"
"""The address of a name that is to be looked up, and of which nobody here knows."""
_ATTR = re.compile(r"""([^=;]*)(?:=("[^"]*"|'[^']*'|[^;]*))?(?:;|$)""")


class Dest(NamedTuple):
    """One destination, as far as the list says it and dispatcher.list shows it."""

    setid: int | str
    uri: str
    state: str
    priority: int | str
    attrs: str
    address: str
    port: int | str
    transport: str
    weight: int | str
    rweight: int | str
    maxload: int | str
    duid: str
    socket: str
    sockname: str
    obproxy: str


# ---- as a person reads it


def read(data: bytes) -> list[tuple[object, ...]]:
    """Words between blanks, a comment from "#" on; equal priorities end up in reverse [facts, 2]."""
    sets: dict[int | str, list[Dest]] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        words = _words(line)
        if words:
            dest = _dest(words)
            sets.setdefault(dest.setid, []).insert(0, dest)
    found = [dest for setid in sorted(sets, key=_order) for dest in sorted(sets[setid], key=_priority)]
    return list(found)


def _order(setid: int | str) -> tuple[bool, int | str]:
    return isinstance(setid, str), setid


def _priority(dest: Dest) -> int:
    return -dest.priority if isinstance(dest.priority, int) else 0


def _words(line: str) -> list[str]:
    text = re.split(r"(?:^|(?<=[ \t\r]))#", line, maxsplit=1)[0]
    words = [word for word in re.split(r"[ \t\r]+", text) if word]
    for at, word in enumerate(words[:4]):  # a comment may begin at the very end of these
        if "#" in word:
            words[at:] = [word.partition("#")[0]]
            break
    glued = re.match(r"(\d+)(sips?:.*)", words[0], re.I | re.A) if words else None
    if glued:
        words[:1] = glued.groups()
    return words


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _dest(words: list[str]) -> Dest:
    setid, uri, flags, priority, *rest = [*words, *[""] * (4 - len(words))]
    text = " ".join(rest)
    found = _URI.match(uri)
    assert found is not None
    bits = _number(flags or "0")
    attrs: dict[str, str] = {}
    for name, value in _ATTR.findall(text):
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        # the list asks for both; none can have that
        attrs[name.lower()] = value if attrs.get(name.lower(), value) == value else f"{attrs[name.lower()]} and {value}"
    params = re.search(r";transport=([^;]*)", found["params"], re.I)
    return Dest(
        _number(setid),
        uri if found["scheme"] else f"sip:{uri}",
        _state(bits),
        _number(priority or "0"),
        text.removesuffix(";"),
        _address(found["host"]) if isinstance(bits, int) and not bits & 16 else "",
        _number(found["port"] or "0"),
        params[1].lower() if params else "",
        *(_number(attrs.get(name, "0").removeprefix("+")) for name in ("weight", "rweight", "maxload")),
        *(attrs.get(name, "") for name in ("duid", "socket", "sockname", "obproxy")),
    )


def _state(bits: int | str) -> str:
    if isinstance(bits, str):
        return bits
    letter = next((letter for bit, letter in ((1, "I"), (4, "D"), (2, "T")) if bits & bit), "A")
    return letter + ("P" if bits & 8 else "X")


def _address(host: str) -> str:
    """An IP address in one spelling; "" for the one name that is known here."""
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            return host
    if re.fullmatch(r"\d+(\.\d+){3}", host, re.A):
        return ".".join(str(int(octet)) for octet in host.split("."))
    return "" if host.lower() == "localhost" else _UNKNOWN


# ---- as Kamailio shows it


def memory(rpc: Rpc) -> list[tuple[object, ...]]:
    """dispatcher.list full."""
    try:
        (reply,) = rpc.call("dispatcher.list", "full")
    except Fault as fault:
        if "No Destination Sets" in fault.reason:
            return []
        raise
    assert isinstance(reply, Struct)
    sets = sorted(_all(reply["RECORDS"], "SET"), key=lambda found: found["ID"])  # type: ignore[arg-type,return-value]
    return [_shown(found["ID"], dest) for found in sets for dest in _all(found["TARGETS"], "DEST")]


def _all(value: object, name: str) -> list[Struct]:
    assert isinstance(value, Struct)
    return [found for found in value.all(name) if isinstance(found, Struct)]


def _shown(setid: object, dest: Struct) -> Dest:
    attrs = dest.get("ATTRS")
    attrs = attrs if isinstance(attrs, Struct) else Struct(())
    # 6.0 shows a text that is not there in BODY, too
    body, *texts = (
        str(attrs.get(name, "")).replace("<null string>", "")
        for name in ("BODY", "DUID", "SOCKET", "SOCKNAME", "OBPROXY")
    )
    host, address = str(dest["HOST"]), str(dest["IPADDR"])
    return Dest(
        setid,  # type: ignore[arg-type]
        str(dest["URI"]),
        str(dest["FLAGS"]).replace("N", "X").strip(),  # 6.0 says N for "no ping"
        dest["PRIORITY"],  # type: ignore[arg-type]
        body,
        _plain(address) if address and host.lower() != "localhost" else "",
        dest["PORT"],  # type: ignore[arg-type]
        _PROTOCOLS.get(dest["PROTOID"], "?"),  # type: ignore[call-overload]
        *(attrs.get(name, 0) for name in ("WEIGHT", "RWEIGHT", "MAXLOAD")),  # type: ignore[arg-type]
        *texts,
    )


def _plain(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return address


_HOST, _, _PORT = SOCKET.rpartition(":")
_OURS = re.compile(rf"(?:udp:)?{re.escape(_HOST)}(?::\+?0*{_PORT})?", re.I)
"""What finds it: a port that is left out is any [str2s takes a plus; grep_sock_info]."""


def machine(entry: tuple[object, ...]) -> str:
    """Names that nobody knows here, sockets that this Kamailio has not."""
    assert isinstance(entry, Dest)
    if entry.address == _UNKNOWN:
        return "the name does not resolve"
    if re.search(r"@[^@:;?]*_", entry.uri):
        return "its uri_host_extra_chars has no underscore: no such host is taken behind a user"
    if entry.sockname and entry.sockname != SOCKNAME:
        return "it has no socket of this name"
    if entry.socket and not entry.sockname and not _OURS.fullmatch(entry.socket):
        return "it does not listen there"
    return ""
