"""dispatcher: a list of words. Read back by dispatcher.list full, which shows addresses and ports, too."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from consul_kam.datasets import dispatcher
from tools.oracle import values
from tools.oracle.adapter import Adapter, Entry, Row
from tools.oracle.destinations import machine, memory, read
from tools.oracle.kamailio import SOCKET, SOCKNAME


class Line:
    """The words of one line; a row changes one of them."""

    def __init__(self, rng: Random) -> None:
        self.setid = str(rng.choice((0, 1, 1, 1, 2, 7, dispatcher.SETID.high)))
        host = rng.choice((values.ipv4, values.ipv4, values.ipv4, _ipv6, lambda r: r.choice(values.NAMES)))(rng)
        self.uri = (
            rng.choice(("sip:", "sip:", "sip:", "sips:", "SIP:"))
            + (rng.choice(_USERS) if "_" not in host else "")
            + host
        )
        self.uri += rng.choice(("", ":5060", f":{rng.randint(1, 65535)}")) + rng.choice(_PARAMS)
        named = not host.startswith("[") and host[-1].isalpha() and host != "localhost"
        self.flags = str(rng.choice((0, 0, 1, 2, 4, 8, 9, 12, 32)) | (16 if named else rng.choice((0, 0, 0, 16))))
        self.priority = str(rng.choice((0, 5, 10, 10, rng.randint(0, 99), dispatcher.PRIORITY.high)))
        attrs = [_attr(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        self.attrs = ";".join({attr.partition("=")[0].lower(): attr for attr in attrs}.values())

    def __str__(self) -> str:
        return f"{self.setid} {self.uri} {self.flags} {self.priority} {self.attrs}".rstrip(" ")


_USERS = ("", "", "", "", "user@", "u:p@", "%41b@", "+49;x=1@")
_PARAMS = ("", "", "", ";lr", ";transport=udp", ";transport=TCP", ";transport=tls", ";transport=ws;a=b", ";x", "?h=v")


def _ipv6(rng: Random) -> str:
    return f"[{values.ipv6(rng)}]"


def _attr(rng: Random) -> str:
    """NAME=VALUE as it stands in attrs; the numbers from the grammar's own borders."""
    number = rng.choice(list(dispatcher.ATTRS.values()))
    value = str(rng.choice((number.low, number.high, rng.randint(number.low, min(100, number.high)))))
    quote = rng.choice(("", "", "", "'", '"'))
    return rng.choice(
        (
            f"{rng.choice((number.name, number.name.upper()))}={quote}{value}{quote}",
            f"duid={quote}{values.text(rng)}{quote}",
            f"zone={values.text(rng)}",
            f"obproxy=sip:{values.ipv4(rng)}",
            rng.choice((f"socket=udp:{SOCKET}", f"sockname={SOCKNAME}", f"ping_from=sip:{values.text(rng)}@a.invalid")),
            values.text(rng, "xyz"),
        )
    )


def _lines(rng: Random, count: int = 0) -> list[str]:
    """Good lines, no URI twice in a set."""
    found: dict[tuple[str, str], str] = {}
    for _ in range(count or rng.randint(1, 6)):
        line = Line(rng)
        found[line.setid, line.uri] = str(line)
    return list(found.values())


def _file(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _with(change: Callable[[Random, Line], str | None]) -> Callable[[Random], bytes]:
    """A good list with one line that `change` made: in place, or as the text that it returns."""

    def make(rng: Random) -> bytes:
        line = Line(rng)
        text = change(rng, line)
        return _file(values.insert(rng, _lines(rng), str(line) if text is None else text))

    return make


def _set(**words: Callable[[Random], str]) -> Callable[[Random], bytes]:
    """One line with these words instead of good ones."""

    def change(rng: Random, line: Line) -> None:
        for name, make in words.items():
            setattr(line, name, make(rng))

    return _with(change)


def _any(*found: str) -> Callable[[Random], str]:
    return lambda rng: rng.choice(found)


def _layout(rng: Random) -> bytes:
    """What is harmless between words and lines."""
    lines = []
    for line in _lines(rng):
        words = [rng.choice((" ", "\t", "  ", " \t")) if c == " " else c for c in line]
        lines.append(
            rng.choice(("", " ", "\t")) + "".join(words) + rng.choice(("", " ", " # why", "\t#1 sip:10.0.0.9"))
        )
        lines += rng.choice(([], [""], ["  "], ["# 1 sip:10.0.0.9"], ["\t# " + "x" * 900]))
    return (end := rng.choice(("\n", "\r\n"))).join(lines).encode() + rng.choice((b"", end.encode()))


def _short(rng: Random) -> bytes:
    """Words left out at the end."""
    lines = [" ".join(line.split(" ")[: rng.choice((2, 3, 4, 5))]) for line in _lines(rng) if ".invalid" not in line]
    return _file([*lines, "7 sip:127.0.0.7"])


def _twice(rng: Random, line: Line) -> str:
    other = Line(rng)
    other.setid, other.uri = line.setid, line.uri
    return f"{line}\n{other}"


def _long(rng: Random, line: Line) -> None:
    line.attrs = f"duid=a;long={'x' * rng.randint(1000, 2500)}"


def _nul(rng: Random, line: Line) -> str:
    return str(line).replace(" ", rng.choice(("\0 ", " \0")), 1)


def _uri(*tails: str) -> Callable[[Random], bytes]:
    """A URI that ends so, behind an address."""
    return _set(uri=lambda rng: f"sip:{values.ipv4(rng)}{rng.choice(tails)}")


def _host(*hosts: str) -> Callable[[Random], bytes]:
    return _set(uri=lambda rng: f"sip:{rng.choice(hosts)}{rng.choice(('', ':5060', ';lr'))}", flags=lambda rng: "0")


_NONE = (
    "<sip:10.0.0.1>",
    "::1",
    "sip:",
    "sip:10.0.0.1:99999",
    "sip:[2001:db8::1",
    "sip:a b",
    "http",
    "sip:@",
    "sip:a:b:c",
)
_NO_ATTR = ("weight=0", "weight=101", "rweight=500", "rweight=ten", "maxload=few", "maxload=99999999999", "weight=-1")

ROWS = (
    Row("nothing, or comments only", lambda rng: rng.choice((b"", b"\n", b"# a\n", b" \n# b\n#c"))),
    Row("a setid that is no number, or negative", _set(setid=values.no_number)),
    Row("a setid over 2147483647", _set(setid=values.beyond)),
    Row("a line with a setid and nothing else", _with(lambda rng, line: line.setid + rng.choice(("", " ", " # why")))),
    Row("a URI that is none", _set(uri=_any(*_NONE))),
    Row("a tel: URI", _set(uri=lambda rng: f"tel:+49{rng.randint(100, 10**9)}", flags=lambda rng: "16")),
    Row("a transport that Kamailio does not know", _uri(";transport=xyz", ";transport=", ";transport=udp1")),
    Row("port 0", _uri(":0", ":00", ":0;lr")),
    Row("the address of nobody", _host("0.0.0.0", "[::]", "00.0.0.0", "[0:0::0]")),
    Row("an address that is none", _host("127.0.0.256", "10.0.0.999", "300.1.1.1", "1.2.3", "10.1", "0x7f.1", "127.1")),
    Row("flags that are no number", _set(flags=values.no_number)),
    Row("flags over 63", _set(flags=lambda rng: str(rng.choice((64, 99, 128, 2**31 - 1, rng.randint(64, 10**6)))))),
    Row(
        "a priority that is no number, negative, or over 2147483647",
        _set(priority=lambda rng: rng.choice((values.no_number, values.beyond))(rng)),
    ),
    Row("attributes with a blank", _set(attrs=_any("duid=a weight=5", 'duid="a b"', "duid=a; weight=5", "x= y"))),
    Row("a number in attributes that is none, or out of range", _set(attrs=_any(*_NO_ATTR))),
    Row(
        "an attribute of Kamailio's own twice",
        _set(attrs=_any("duid=a;duid=b", "weight=1;x;Weight=2", "socket=a;socket=b")),
    ),
    Row("the same URI twice in a set", _with(_twice)),
    Row("a line over 1023 bytes", _with(_long)),
    Row("a NUL byte", _with(_nul)),
    Row("good lines", lambda rng: _file(_lines(rng)), fine=True),
    Row("many good lines, equal priorities too", lambda rng: _file(_lines(rng, 30)), fine=True),
    Row("tabs, blanks, blank lines, CRLF, comments, no newline at the end", _layout, fine=True),
    Row("flags, priority or attributes left out", _short, fine=True),
    Row("a URI without sip:", _set(uri=lambda rng: f"{values.ipv4(rng)}{rng.choice(('', ':5070', ';lr'))}"), fine=True),
    Row(
        "transport=tls, without the tls module",
        _uri(";transport=tls", ";transport=TLS;lr", ":5061;transport=tls"),
        fine=True,
    ),
    Row(
        "a host name, flags 16",
        _set(uri=lambda rng: f"sip:{rng.choice(values.NAMES)}", flags=_any("16", "24")),
        fine=True,
    ),
    Row("a host name that does not resolve, flags 0", _host("nowhere.invalid", "a.b.invalid"), fine=True),
    Row(
        "socket= that is not Kamailio's own", _set(attrs=_any("socket=udp:192.0.2.1:5060", "sockname=gone")), fine=True
    ),
)

NO_IPV6 = Row(
    "an IPv6 address, with dns_try_ipv6 off",
    _set(uri=lambda rng: f"sip:{_ipv6(rng)}", flags=_any("0", "16")),
    fine=True,
)
"""Needs a Kamailio of its own: `without_ipv6`."""

ADAPTER = Adapter(
    dataset=dispatcher.DATASET,
    file="dispatcher.list",
    cfg='loadmodule "dispatcher.so"\nmodparam("dispatcher","list_file","{live}/dispatcher.list")\n'
    'modparam("dispatcher","flags",2)\nmodparam("dispatcher","reload_delta",0)',
    empty=b"# nothing\n",
    rows=ROWS,
    read=read,
    memory=memory,
    reload="dispatcher.reload",
    machine=machine,
)


def without_ipv6() -> Adapter:
    """With a Kamailio that takes no IPv6 address."""

    def here(entry: Entry) -> str:
        return machine(entry) or ("dns_try_ipv6 is off" if "[" in str(entry[1]) else "")

    return replace(ADAPTER, cfg=f"{ADAPTER.cfg}\ndns_try_ipv6=no", rows=(NO_IPV6,), machine=here)
