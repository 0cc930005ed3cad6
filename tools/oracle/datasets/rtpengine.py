"""rtpengine: a db_text table, read back by rtpengine.show. Its window is 10 s, so each list has a Kamailio of its own.

Every address is on loopback: Kamailio pings each node while it loads it.
"""

from random import Random

from consul_kam.datasets import rtpengine
from tests.lab.rpc import Rpc
from tools.oracle import table, values
from tools.oracle.adapter import Adapter, Entry, Row

HEADER = "id(int,auto) setid(int) url(string) weight(int) disabled(int) stamp(int)"


def read(data: bytes) -> list[Entry]:
    """(setid, url, weight, disabled for good) of each row."""
    return sorted((_entry(row) for row in table.read(data)), key=str)


def _entry(row: dict[str, str]) -> Entry:
    disabled = table.number(row.get("disabled", ""))
    numbers = [table.number(row.get(name, "")) for name in ("setid", "weight")]
    odd = [text for name in ("id", "stamp") if isinstance(table.number(text := row.get(name) or "0"), str)]
    state: object = {0: False, 1: True}.get(disabled, disabled)
    return numbers[0], row.get("url", ""), numbers[1], state, *row.get("?", ""), *odd


def memory(rpc: Rpc) -> list[Entry]:
    """rtpengine.show all; that a node does not answer is its health, not the list's."""
    nodes = rpc.rtpengines()
    return sorted(((setid, url, weight, state == "1(permanent)") for setid, url, weight, state in nodes), key=str)


def _rows(rng: Random) -> list[table.Fields]:
    urls = values.unique(rng, rng.randint(1, 4), _url, str)
    return [
        [
            str(rng.randint(1, 99)),
            str(rng.choice((0, 0, 1, 2, rtpengine.SETID.high))),
            url,
            str(rng.choice((0, 1, 1, 50, rtpengine.WEIGHT.high))),
            str(rng.choice((0, 0, 0, 1))),
            "0",
        ]
        for url in urls
    ]


def _url(rng: Random) -> str:
    host, port = f"127.0.{rng.randrange(256)}.{rng.randint(1, 254)}", rng.randint(1, 65535)
    return rng.choice(
        (
            f"udp:{host}:{port}",
            f"udp:{host}:{port}",
            f"UDP:{host}",
            f"udp6:[::1]:{port}",
            f"unix:/run/{values.text(rng, 'abc-.')}",
            f"udp:localhost:{port}",
        )
    )


def _websocket(rng: Random) -> str:
    return f"{rng.choice(('ws', 'wss'))}://127.0.0.{rng.randint(1, 254)}{rng.choice(('', ':9', ':9/ng'))}"


def machine(entry: Entry) -> str:
    """URLs that need a module which is not loaded here [rtpengine.c, add_rtpengine_socks]."""
    return "it has no lwsc module" if str(entry[1]).lower().startswith("ws") else ""


TABLE = table.Table(HEADER, _rows, ints=(0, 1, 3, 4, 5))
_NO_URL = (
    "127.0.0.1:2223",
    "tcp:127.0.0.1:2223",
    "http://127.0.0.1",
    "udp:127.0.0.1:99999",
    "udp:127.0.0.1:0",
    "udp:",
    "x",
)
_NO_HOST = (
    "udp:127.0.0.256:2223",
    "udp:127.0.0.1:22 22",
    "udp:1.2.3:2223",
    "udp:[::1]:2223",
    "udp6:127.0.0.1:22",
    "udp:a/b:1",
)


def _twice(rng: Random, row: table.Fields) -> str:
    again = [*row[:3], str(rng.randint(2, 9)), *row[4:]]
    return f"{TABLE.line(row)}\n{TABLE.line(again)}"


def _blank(rng: Random) -> str:
    return f"{_url(rng)} {rng.choice((_url(rng), 'weight=2', ' '))}"


ROWS = (
    *TABLE.bad(),
    Row(
        "a setid beyond 2147483647, or negative",
        TABLE.with_field(1, lambda rng: rng.choice((values.beyond(rng), "-1"))),
    ),
    Row(
        "a weight beyond 2147483647, or negative",
        TABLE.with_field(3, lambda rng: rng.choice((values.beyond(rng), "-1"))),
    ),
    Row("a URL of another scheme, or another port", TABLE.with_field(2, lambda rng: rng.choice(_NO_URL))),
    Row("a URL whose host is none of its scheme", TABLE.with_field(2, lambda rng: rng.choice(_NO_HOST))),
    Row("a URL with a blank", TABLE.with_field(2, _blank)),
    Row("the same URL twice in a set", TABLE.with_line(_twice)),
    *TABLE.fine(),
    Row("a ws:// or wss:// URL, without the lwsc module", TABLE.with_field(2, _websocket), fine=True),
    Row(
        "a host name that does not resolve",
        TABLE.with_field(2, lambda rng: f"udp:{values.text(rng, 'abc')}.invalid:9"),
        fine=True,
    ),
)

ADAPTER = Adapter(
    dataset=rtpengine.DATASET,
    file="rtpengine",
    cfg='loadmodule "rtpengine.so"\nmodparam("rtpengine","db_url","text://{live}")\n'
    'modparam("rtpengine","rtpengine_tout_ms",1)\nmodparam("rtpengine","rtpengine_retr",0)',
    beside={"version": b"table_name(string) table_version(int)\nrtpengine:1\n"},
    empty=f"{HEADER}\n\n".encode(),
    rows=ROWS,
    read=read,
    memory=memory,
    machine=machine,
)
