"""What tools/record_replies.py asks Kamailio: a scene for each dataset, every call of which is recorded by name.

All versions get the same. A scene says what each RPC of its dataset can answer: done, refused, nothing there, some
records, hostile values, each state.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab.htable import HEADER as HTABLE_HEADER
from tests.lab.kamailio import DOMAIN_ATTRS_HEADER, DOMAIN_HEADER, RTPENGINE_HEADER

FLAGS = "".join(
    f"3 sip:10.0.0.{flags}:5060 {flags} 0\n" for flags in (0, 1, 2, 4, 8, 9, 10, 12, 16, 17, 24, 28, 31, 32, 33, 40, 99)
)
ATTRS = """\
2 sip:10.0.1.1:5060 0 10
2 sip:10.0.1.2:5060 0 10 duid=r2;weight=30;rweight=20;maxload=7;cc=1
2 sip:10.0.1.3:5060;transport=tcp 0 9 duid=;foo=bar;ping_from=sip:a@b
2 sip:10.0.1.4:5060 0 9 duid=a:b\\c"d'é€;socket=udp:127.0.0.1:@PORT@
2 sip:10.0.1.5:5060 0 -1
2 sip:Host.Example:5060 16 4294967297 obproxy=sip:10.9.9.9
2 10.0.1.6 0 3 ;
2 SIPS:10.0.1.7:5061 16 0 duid=x;duid=y;weight=101
2 sip:user:pw@10.0.1.8:5060;lr?x=y 0 0 latency=1
"""
TWO_SETS = "1 sip:10.0.0.1:5060 0 10 duid=r1\n1 sip:10.0.0.2:5060 4 5 duid=r2\n7 sip:10.0.0.3:5060\n"
LISTS: dict[str, str | bytes] = {
    "one": "1 sip:10.0.0.1:5060\n",
    "two_sets": TWO_SETS,
    "flags": FLAGS,
    "attrs": ATTRS,
    "invalid_utf8": b"1 sip:10.0.0.1:5060 0 0 duid=\xff\xfe\n",
    "hundred": "".join(f"1 sip:10.0.1.{n}:5060 0 {n} duid=r{n}\n" for n in range(100)),
}
RICH = """\
modparam("dispatcher","ds_attrs_none",1)
modparam("dispatcher","ds_ping_latency_stats",1)
modparam("dispatcher","ds_hash_size",4)
"""

NAMES = ("a.example", "B.Example", r"10.0.0.1\:5060", r"back\\slash", "ünï.example", "dup.example", "dup.example")
DOMAINS = {
    "one": ["1:a.example:a.example:0"],
    "hostile": [f"{n}:{name}:{name}:0" for n, name in enumerate((*NAMES, r"t\tab"), 1)],
    "thirty": [f"{n}:d{n}.example:did{n}:0" for n in range(30)],
}
BROKEN = {"zero_bytes": "", "text_in_int": DOMAIN_HEADER + "x:a:b:0\n", "missing_field": DOMAIN_HEADER + "1:a\n"}

HTABLES = """\
loadmodule "htable.so"
modparam("htable","db_url","text://@LIVE@/dbtext")
modparam("htable","htable","one=>size=2;dbtable=one;")
modparam("htable","htable","none=>size=2;")
"""
KEYS = (
    r"1:acme:0:0:sip\:gw.acme.example\:5060",
    "2:limit:0:1:20",
    "3:minus:0:1:-2147483648",
    "4:zero:0:1:0",
    "5:looks like a number:0:0:20",
    r"6:ü \: \\:0:0: ü\n\t",
    *(f"{n}:list:1:0:{n}" for n in (7, 8, 9)),
)

NODES = r"""
1:0:udp\:127.0.0.1\:2223:1:0:0
2:0:udp\:127.0.0.1\:2224:5:1:0
3:3:udp6\:[\:\:1]\:2223:0:0:0
4:3:unix\:/run/none:1:0:0
5:4:udp\:localhost\:2223:1:0:0
6:4:udp\:127.0.0.1\:2223:2:0:0
7:4:udp\:127.0.0.1\:2223:3:1:0
8:5:udp\:127.0.0.1\:2225 udp\:127.0.0.1\:2226:1:0:0
9:5:udp\:ünï\\x\:1:1:0:0
10:5:tcp\:127.0.0.1\:1:1:0:0
11:5:udp\:127.0.0.1\:99999:1:0:0
12:6:udp\:127.0.0.1:-1:0:0
"""
MEDIA: dict[str, Any] = {
    "rtpengine": True,
    "rtpengine_tout_ms": 50,
    "modparams": 'modparam("rtpengine","rtpengine_retr",1)',
}
WINDOW = 11.1
"""Seconds after which rtpengine takes a reload again, counted in whole seconds of the clock."""


PERMISSIONS = """\
loadmodule "permissions.so"
modparam("permissions","address_file","@LIVE@/address.list")
"""
ADDRESSES: dict[str, str | bytes] = {
    "mixed": b"""\
1 10.0.0.1 32 0 router
1 10.0.0.1 32 5060
2 10.0.0.1 32 0 \xff\xfe
1 2001:db8::77 128 0 NULL
1 10.0.0.77 24 0 bits
1 2001:db8::77 64 5060
0 0.0.0.0 1 0 NULL
3 SBC.example.com 0 5060 name
3 10.0.0.0/24
2147483648 10.0.0.9
1 10.0.0.2 32 0 a
1 10.0.0.2 32 0 b
""",
    "one": "1 10.0.0.1 32 0 router\n",
    "none": "# none\n",
}


def table(header: str, rows: list[str]) -> str:
    return header + "".join(f"{row}\n" for row in rows)


def core(recorder: Any) -> None:
    with recorder.stage("core") as stage:
        stage.say("uptime", "core.uptime")
        stage.say("no_such", "no.such")


def dispatcher(recorder: Any) -> None:
    with recorder.stage("dispatcher", reload_delta=0) as stage:
        stage.say("empty", "dispatcher.list")
        for name, lines in LISTS.items():
            stage.put("dispatcher.list", lines)
            stage.do("dispatcher.reload")
            stage.say(name, "dispatcher.list")
        stage.put("dispatcher.list", TWO_SETS)
        stage.say("reload_ok", "dispatcher.reload")
        stage.say("two_sets_short", "dispatcher.list", "short")
        stage.say("two_sets_full", "dispatcher.list", "full")
        stage.say("set_state_ok", "dispatcher.set_state", "ip", 1, "sip:10.0.0.1:5060")
        stage.say("set_state_unknown", "dispatcher.set_state", "ip", 1, "sip:10.0.0.9:5060")
        stage.put("dispatcher.list", "1 \n")
        stage.say("reload_bad_line", "dispatcher.reload")
        stage.put("dispatcher.list", None)
        stage.say("reload_missing_file", "dispatcher.reload")
    with recorder.stage("dispatcher", modparams=RICH) as stage:
        stage.put("dispatcher.list", TWO_SETS)
        stage.do("dispatcher.reload")
        stage.say("reload_too_soon", "dispatcher.reload")
        stage.say("attrs_none_latency_load", "dispatcher.list")


def domain(recorder: Any) -> None:
    with recorder.stage("domain", domain=True) as stage:
        stage.say("empty", "domain.dump")
        for name, rows in DOMAINS.items():
            stage.put("dbtext/domain", table(DOMAIN_HEADER, rows))
            if name == "hostile":
                attrs = ["1:a.example:colour:2:re\\:d:0", "2:a.example:max:0:7:0"]
                stage.put("dbtext/domain_attrs", table(DOMAIN_ATTRS_HEADER, attrs))
            stage.say(f"reload_{name}", "domain.reload")
            stage.say(name, "domain.dump")
        for name, text in BROKEN.items():
            stage.put("dbtext/domain", text)
            stage.say(f"reload_{name}", "domain.reload")
        stage.put("dbtext/domain", None)
        stage.say("reload_missing_file", "domain.reload")


def address(recorder: Any) -> None:
    files = {"address.list": "# none yet\n"}
    at_once = PERMISSIONS + 'modparam("permissions","reload_delta",0)\n'
    with recorder.stage("address", files, modparams=at_once) as stage:
        for name, lines in ADDRESSES.items():
            stage.put("address.list", lines)
            stage.do("permissions.addressReload")
            for dump in ("addressDump", "subnetDump", "domainDump"):
                stage.say(f"{name}_{dump}", f"permissions.{dump}")
        stage.say("reload_ok", "permissions.addressReload")
        stage.put("address.list", "1 10.0.0.1 33\n")
        stage.say("reload_bad_mask", "permissions.addressReload")
        stage.put("address.list", None)
        stage.say("reload_missing_file", "permissions.addressReload")
    with recorder.stage("address", files, modparams=PERMISSIONS) as stage:
        stage.do("permissions.addressReload")
        stage.say("reload_too_soon", "permissions.addressReload")


def htable(recorder: Any) -> None:
    files = {"dbtext/one": HTABLE_HEADER + "".join(f"{row}:0\n" for row in KEYS)}
    with recorder.stage("htable", files, modparams=HTABLES) as stage:
        stage.say("mixed", "htable.dump", "one")
        stage.say("empty", "htable.dump", "none")
        stage.say("unknown", "htable.dump", "nobody")
        stage.say("sets_ok", "htable.sets", "one", "new", "x")
        stage.say("seti_ok", "htable.seti", "one", "new", -5)
        stage.say("delete_ok", "htable.delete", "one", "new")
        stage.say("delete_again", "htable.delete", "one", "new")
        stage.say("sets_unknown", "htable.sets", "nobody", "new", "x")
        stage.say("reload_ok", "htable.reload", "one")
        stage.say("reload_without_table", "htable.reload", "none")
        stage.put("dbtext/one", "")
        stage.say("reload_zero_bytes", "htable.reload", "one")


def rtpengine(recorder: Any) -> None:
    with recorder.stage(
        "rtpengine", {"dbtext/rtpengine": table(RTPENGINE_HEADER, NODES.strip().split("\n"))}, **MEDIA
    ) as stage:
        started = time.monotonic()
        stage.say("several", "rtpengine.show", "all")
        stage.say("reload_too_soon", "rtpengine.reload")
        _states(recorder)
        time.sleep(max(0.0, started + WINDOW - time.monotonic()))
        stage.put("dbtext/rtpengine", table(RTPENGINE_HEADER, ["x:0:udp\\:127.0.0.1\\:2223:1:0:0"]))
        stage.say("reload_failed", "rtpengine.reload")
        time.sleep(WINDOW)
        stage.put("dbtext/rtpengine", RTPENGINE_HEADER)
        stage.say("reload_ok", "rtpengine.reload")
        stage.say("none_left", "rtpengine.show", "all")


def _states(recorder: Any) -> None:
    """One that answers, one that does not, one that the table disabled, one that an operator did; and no node."""
    with answering() as port:
        urls = [rf"udp\:127.0.0.1\:{port}", r"udp\:127.0.0.1\:2223", r"udp\:127.0.0.2\:2223", r"udp\:127.0.0.3\:2223"]
        rows = [f"{at}:0:{url}:1:{int(at == 2)}:0" for at, url in enumerate(urls)]
        with recorder.stage("rtpengine", {"dbtext/rtpengine": table(RTPENGINE_HEADER, rows)}, **MEDIA) as stage:
            stage.say("enable_ok", "rtpengine.enable", "udp:127.0.0.3:2223", 0)
            stage.say("states", "rtpengine.show", "all")
    with recorder.stage("rtpengine", **MEDIA) as stage:
        stage.say("none", "rtpengine.show", "all")


@contextmanager
def answering() -> Iterator[int]:
    """The port of a node that answers pings of the ng protocol, and nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        node.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, peer = node.recvfrom(65535)
                if not data:
                    return
                node.sendto(data.split(b" ")[0] + b" d6:result4:ponge", peer)

        thread = threading.Thread(target=serve, name="ng", daemon=True)
        thread.start()
        yield node.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", node.getsockname())
        thread.join(5)


SCENES: dict[str, Callable[[Any], None]] = {
    "core": core,
    "address": address,
    "dispatcher": dispatcher,
    "domain": domain,
    "htable": htable,
    "rtpengine": rtpengine,
}
