"""address: an address_file of words, read back by the three dumps of permissions."""

import ipaddress
import re
from collections.abc import Callable
from random import Random

from consul_kam.datasets import address
from tests.lab.permissions import addresses
from tests.lab.rpc import Rpc
from tools.oracle import values
from tools.oracle.adapter import Adapter, Entry, Row

# ---- as a person reads it, and as Kamailio shows it


def read(data: bytes) -> list[Entry]:
    """(group, address or name, mask, port, tag) of each line; no mask is the whole address, no port is any."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return sorted((_entry(words) for line in lines if (words := _words(line))), key=str)


def _words(line: str) -> list[str]:
    text = re.split(r"(?:^|(?<=[ \t\r]))#", line, maxsplit=1)[0]
    words = [word for word in re.split(r"[ \t\r]+", text) if word]
    for at, word in enumerate(words):  # a comment may begin at the very end of a word
        if "#" in word:
            words[at:] = [word.partition("#")[0]]
            break
    glued = re.match(r"(\d+)(\[.*)", words[0], re.ASCII) if words else None
    if glued:
        words[:1] = glued.groups()
    return words


def _entry(words: list[str]) -> Entry:
    group, host, mask, port, *rest = [*words, *[""] * (4 - len(words))]
    numbers = [int(text) if text.isascii() and text.isdigit() else text for text in (group, mask or "0", port or "0")]
    tag = " ".join(rest)
    if "\0" in "".join(words):  # what it hides was meant to be read, and Kamailio shows none of it
        tag += "\0"
    found = _ip(host)
    if found is None:  # a name: a mask means nothing
        return numbers[0], host, -1, numbers[2], tag
    # a mask of 0 is Kamailio's word for the whole address, but nobody writes 0.0.0.0/0 for one host
    bits = numbers[1] or (0 if found.is_unspecified else found.max_prefixlen)
    return numbers[0], _network(str(found), bits), bits, numbers[2], tag


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = host.removeprefix("[").removesuffix("]")
    if re.fullmatch(r"[\d.]+", bare, re.ASCII):
        bare = re.sub(r"\b0+(?=\d)", "", bare)
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        return None


def _network(host: str, bits: object) -> str:
    """Without the bits that Kamailio looks past."""
    try:
        return str(ipaddress.ip_network((host, bits), strict=False).network_address)  # type: ignore[arg-type]
    except ValueError:
        return host


def memory(rpc: Rpc) -> list[Entry]:
    """permissions.addressDump, subnetDump, domainDump."""
    found = []
    for entry in addresses(rpc):
        tag = "" if entry.tag == address.NO_TAG else entry.tag
        place = _network(entry.ip, entry.mask) if entry.mask >= 0 else entry.ip
        found.append((entry.group, place, entry.mask, entry.port, tag))
    return sorted(found, key=str)


# ---- lists


class Line:
    """The words of one line; a row changes one of them."""

    def __init__(self, rng: Random) -> None:
        self.group = str(rng.choice((0, 1, 1, 1, 2, 7, address.GROUP.high)))
        kind = rng.choice(("host", "host", "network", "6", "network6", "name"))
        self.host = values.ipv6(rng) if "6" in kind else values.ipv4(rng)
        self.host = f"[{self.host}]" if "6" in kind and rng.random() < 0.5 else self.host
        self.host = f"{values.text(rng, 'abc')}.invalid" if kind == "name" else self.host
        whole = 128 if "6" in kind else 32
        self.mask = str(
            rng.randint(1, whole - 1) if "network" in kind else 0 if kind == "name" else rng.choice((0, whole))
        )
        self.port = str(rng.choice((0, 0, 0, 5060, rng.randint(1, 65535))))
        self.tag = rng.choice(("", values.text(rng)))

    def __str__(self) -> str:
        return f"{self.group} {self.host} {self.mask} {self.port} {self.tag}".rstrip(" ")


def _lines(rng: Random, count: int = 0) -> list[str]:
    found: dict[Entry, str] = {}
    for _ in range(count or rng.randint(1, 6)):
        line = str(Line(rng))
        found.setdefault(_entry(_words(line))[:4], line)
    return list(found.values())


def _file(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _with(change: Callable[[Random, Line], str | None]) -> Callable[[Random], bytes]:
    def make(rng: Random) -> bytes:
        line = Line(rng)
        text = change(rng, line)
        return _file(values.insert(rng, _lines(rng), str(line) if text is None else text))

    return make


def _set(**words: Callable[[Random], str]) -> Callable[[Random], bytes]:
    def change(rng: Random, line: Line) -> None:
        for name, make in words.items():
            setattr(line, name, make(rng))

    return _with(change)


def _any(*found: str) -> Callable[[Random], str]:
    return lambda rng: rng.choice(found)


def _layout(rng: Random) -> bytes:
    lines = []
    for line in _lines(rng):
        words = [rng.choice((" ", "\t", "  ")) if c == " " else c for c in line]
        lines += [
            rng.choice(("", " ", "\t")) + "".join(words) + rng.choice(("", " ", " # why")),
            *rng.choice(([], ["", "# x"])),
        ]
    return (end := rng.choice(("\n", "\r\n"))).join(lines).encode() + rng.choice((b"", end.encode()))


def _short(rng: Random) -> bytes:
    return _file([" ".join(line.split(" ")[: rng.choice((2, 3, 4))]) for line in _lines(rng, 1)])


def _bits(rng: Random, line: Line) -> None:
    line.host, line.mask = values.ipv4(rng), str(rng.randint(8, 31))


def _twice(rng: Random, line: Line) -> str:
    return f"{line}\n{line}"


def _long(rng: Random, line: Line) -> None:
    line.tag = "x" * rng.randint(1000, 2500)


ROWS = (
    Row("nothing, or comments only", lambda rng: rng.choice((b"", b"\n", b"# a\n", b" \n# b\n#c"))),
    Row("an address that is none", _set(host=_any("10.0.0.999", "300.1.1.1", "10.0.0.256"), mask=_any("32", "0"))),
    Row("a group that is no number, or negative", _set(group=values.no_number)),
    Row("a group over 2147483647", _set(group=values.beyond)),
    Row("a mask over 32", _set(host=values.ipv4, mask=lambda rng: str(rng.randint(33, 300)))),
    Row("every address: 0.0.0.0 or :: with a mask of 0", _set(host=_any("0.0.0.0", "::"), mask=_any("0", "00"))),
    Row("a mask that is no number", _set(mask=values.no_number)),
    Row("a network written with a slash", _set(host=lambda rng: f"{values.ipv4(rng)}/{rng.randint(8, 30)}")),
    Row(
        "a port over 65535, or no number",
        _set(port=lambda rng: rng.choice(("65536", "99999999999", values.no_number(rng)))),
    ),
    Row("a line with a group and nothing else", _with(lambda rng, line: line.group)),
    Row("text behind the tag", _set(tag=_any("a b", "a b c", '"a b"'))),
    Row("the same entry twice", _with(_twice)),
    Row("a line over 1023 bytes", _with(_long)),
    Row("a NUL byte", _with(lambda rng, line: str(line).replace(" ", rng.choice(("\0 ", " \0")), 1))),
    Row("good lines", lambda rng: _file(_lines(rng)), fine=True),
    Row("tabs, blanks, blank lines, CRLF, comments, no newline at the end", _layout, fine=True),
    Row("mask, port or tag left out", _short, fine=True),
    Row("host bits under the mask", _with(_bits), fine=True),
)

ADAPTER = Adapter(
    dataset=address.DATASET,
    file="address.list",
    cfg='loadmodule "permissions.so"\nmodparam("permissions","address_file","{live}/address.list")\n'
    'modparam("permissions","reload_delta",0)',
    empty=b"# nothing\n",
    rows=ROWS,
    read=read,
    memory=memory,
    reload="permissions.addressReload",
)
