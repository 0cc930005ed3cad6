"""What generated inputs begin from: lists and replies that other tests hold already, and what a hostile end says."""

import json
from collections.abc import Iterator
from pathlib import Path

from consul_kam.testing import Recording, recorded
from tests.fuzz import servers

TESTS = Path(__file__).parents[1]
LONGEST = 4_096
"""Bytes of a seed: most of a long one is the same again."""
_HOW = (servers.FRAMED, 0, servers.FRAMED | servers.DRIPPED, servers.ENDLESS, servers.FRAMED | servers.OPEN)


def lists(name: str) -> Iterator[bytes]:
    """Lists of a dataset, or of all of them for "*": both notations."""
    for path in sorted((TESTS / "datasets" / "cases").glob(f"{name}/*.txt")):
        data = path.read_bytes()
        yield from [data] if len(data) <= LONGEST else _lines(data)
    for path in sorted((TESTS / "oracle" / "cases").glob(f"{name}-*.json")):
        yield json.loads(path.read_text())["list"].encode("utf-8", "surrogateescape")


def _lines(data: bytes) -> Iterator[bytes]:
    """Lists of some lines each, with first and last line where those matter."""
    first, *lines = data.splitlines(keepends=True)
    for at in range(0, len(lines), 8):
        yield first + b"".join(lines[at : at + 8])


def certificates() -> Iterator[bytes]:
    from tests.core.test_certificate import LONG, OLD

    yield from (OLD.encode(), LONG.encode(), OLD.encode() + LONG.encode())


def env_files() -> Iterator[bytes]:
    yield (TESTS.parent / "examples" / "environment" / "c4.env").read_bytes()
    yield b"A='x'\nexport B=\"y\\n\"\n# c\nC=$D\n"


def env_values() -> Iterator[bytes]:
    yield from (b"5060", b"yes", b"a", b"10.0.0.1:5060", b"udp:[::1]:5060", b"http://h:1/p", b'x"\n#!define Y\n\\')


def env_known() -> Iterator[bytes]:
    yield (
        b'{"values": {"A": {"text": "1", "source": "g/A"}}, "at": 1.0, "started": "d", '
        b'"versions": [{"digest": "d", "texts": {"A": "1"}}]}'
    )


def vault_answers() -> Iterator[bytes]:
    """Their `data`."""
    yield b'{"data": {"user": "u", "n": [1]}, "metadata": {"version": 3}}'
    yield b'{"username": "v-1", "password": "p/@:", "token": "t"}'
    yield (
        b'{"certificate": "C", "private_key": "K", "issuing_ca": "A", "ca_chain": ["A"], "serial_number": "01", '
        b'"expiration": 1700000000}'
    )


def held() -> Iterator[bytes]:
    yield (
        b'{"generation": 1, "want": "w", "login": "l", "digest": "d", "version": 0, "at": 1.5, "serial": "", "lease": '
        b'{"taken": 1.5, "life": 9.0, "first": null, "renewable": true, "id": "a/1", "draw": 0.5, "over": false}}'
    )
    yield (
        b'{"how": "h", "token": "t", "id": "i", "lease": {"taken": 1.5, "life": null, "first": 2.0, '
        b'"renewable": false, '
        b'"id": "", "draw": 0.5, "over": true}}'
    )


def version_files() -> Iterator[bytes]:
    yield b"table_name(string) table_version(int)\n"
    yield b"table_name(string) table_version(int)\ndomain:2\nsubscriber:7\n"


def _recorded(name: str) -> Iterator[Recording]:
    for place, reply in recorded().items():
        if name in ("*", place.split("/")[0]) and len(reply.body) <= LONGEST:
            yield reply


def bodies(name: str) -> Iterator[bytes]:
    """Of binrpc, as Kamailio sent them."""
    return (reply.body for reply in _recorded(name))


def documents(name: str) -> Iterator[bytes]:
    """Of jsonrpcs."""
    return (reply.json for reply in _recorded(name) if reply.json)


def replies(name: str) -> Iterator[bytes]:
    """Both."""
    yield from bodies(name)
    yield from documents(name)


def printed() -> Iterator[bytes]:
    """By kamcmd, each record behind its mark."""
    yield b"@{@uptime: 5@}"
    yield b"@a@{@b: {@c: 1@}@[@x@]@}"
    yield b"error: 500 - No Destination Sets\n"
    yield b"error: 500 - Internal error creating dest\n"


def commands() -> Iterator[bytes]:
    """An exit code, and what is printed."""
    for text in printed():
        yield b"\0" + text
    yield b"\1no such container"
    yield b"\3"


def configurations() -> Iterator[bytes]:
    yield (TESTS.parent / "examples" / "consul-kam.toml").read_bytes()
    for table in (
        'mode = "observe"\nverify_every = 5\norder = ["address", "dispatcher"]\n[log]\nlevel = "debug"\n',
        '[kamailio]\nrpc = "tcp:127.0.0.1:2046"\n[datasets.domain]\nfile = "/x"\n[[datasets.domain.sets]]\nkv = "d"\n',
        '[kamailio]\nrpc = "http://127.0.0.1:8080/RPC"\nmin_gap = 0.5\n[node]\nstate_dir = "/x"\n',
        '[datasets."htable:t"]\nfile = "/y"\nmax_shrink = 0.5\n[[datasets."htable:t".sets]]\nkv = "x"\ntag = "a"\n',
    ):
        yield table.encode()


PAST = {
    "groups": {"1": {"samples": [[1.5, 3]], "below": 0.0}},
    "joined": [[[1, "sip:a"], 1.0]],
    "live": [[[1, "sip:a"], "1"]],
    "leaves": [[[1, "sip:b"], [1.0, 2.0]]],
    "holds": [[[1, "sip:b"], [5.0, "why", None]]],
    "granted": [[1, "sip:b"]],
}


def memories() -> Iterator[bytes]:
    yield json.dumps({"past": PAST, "pinned": "", "paused": False}).encode()


def releases() -> Iterator[bytes]:
    about = {"parts": [[[1, "sip:127.0.0.1:5060"], "dc2"]], "disabled": [[1, "sip:127.0.0.1:5060"]]}
    about |= {"draining": [], "kept": [[1, "sip:127.0.0.1:5061"]], "ours": [[1, "sip:127.0.0.1:5060"]]}
    yield json.dumps({**about, "digest": "ab", "at": 1.5}).encode()


def left_behind() -> Iterator[bytes]:
    """Live files, memories, releases."""
    yield from memories()
    yield from releases()
    yield from lists("dispatcher")
    yield json.dumps({"past": PAST, "pinned": "x" * 300, "paused": 1}).encode()
    yield json.dumps({"pinned": "000001-abababababab", "ours": [[1, "sip:a"]]}).encode()


def journals() -> Iterator[bytes]:
    yield b'{"at":1.5,"dataset":"dispatcher","verdict":"PUBLISHED"}\n{"at":2,"event":"x"}\n{"cut'
    yield b'{"at":1.9e9,"dataset":"dispatcher","verdict":"HELD","counts":{"added":1},"held":{"k":"w"},"dropped":[""]}'
    yield b'{"at":true,"dataset":1,"verdict":[],"counts":[],"held":"x","dropped":{},"reason":0,"records":null}\n'


def recordings() -> Iterator[bytes]:
    for content in lists("dispatcher"):
        line = {"dataset": "dispatcher", "part": "", "content": content.decode("utf-8", "surrogateescape")}
        yield b"".join(json.dumps({"at": at, **line}).encode() + b"\n" for at in (1, 70, 1e10))


def _hostile(*said: bytes) -> Iterator[bytes]:
    for what in said:
        for how in _HOW:
            yield bytes([how]) + what


def binrpc() -> Iterator[bytes]:
    yield from _hostile(*list(bodies("core"))[:2], *list(bodies("domain"))[:2])
    yield bytes([servers.FRAMED | servers.FAULT]) + b"\x20\x01\xf4\x31no\0"
    yield b"\x00\xa1\x1f\x7f\xff\xff\xff\x00\x00\x00\x00"


_SAID = (
    b'{"jsonrpc":"2.0","result":{"uptime":5},"id":@ID@}',
    b'{"jsonrpc":"2.0","error":{"code":500,"message":"no"},"id":@ID@}',
    b'{"jsonrpc":"2.0","result":[{"a":[1,2.5,null,true]},"x"],"id":@ID@}',
)


def fifo() -> Iterator[bytes]:
    yield from _hostile(*_SAID)


def http() -> Iterator[bytes]:
    yield from _hostile(*_SAID)
    for head in (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 120 + b"\r\n",
    ):
        yield from _hostile(head)


def consul() -> Iterator[bytes]:
    yield from _hostile(b"[]", b'[{"Node":{}},{}]', b'["victim/a"]', b"null", b"{}", b"[" * 2_000)
    gzip = b"HTTP/1.1 200 OK\r\nX-Consul-Results-Filtered-By-ACLs: true\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"
    yield from _hostile(gzip, *(seed[1:] for seed in list(http())[15::5]))


def control_replies() -> Iterator[bytes]:
    yield from _hostile(b'{"ok":true,"datasets":[]}\n', b'{"ok":false,"error":"cannot"}\n', b"[1]\n", b"[" * 2_000)


def control_requests() -> Iterator[bytes]:
    for request in (
        {"do": "status"}, {"do": "status", "dataset": "dispatcher"}, {"do": "apply", "wait": 0, "as": "text"},
        {"do": "history", "limit": 3}, {"do": "rollback", "release": "000001"}, {"do": "approve"}, {"do": "pause"},
        {"do": "resume", "dataset": "domain"}, {"do": "stop"}, {"do": "diff", "dataset": "x"}, {"do": "x\n"},
        {"do": "rollback"}, {"do": "history", "limit": -1, "dataset": 0},
    ):  # fmt: skip
        yield json.dumps(request).encode() + b"\n"
