"""Raw replies of the read-back RPCs, for the datasets' tests."""

import time
from pathlib import Path

from bench.settle.common import attempt, put, save, say
from tests.lab import Lab, Uas
from tests.lab.kamailio import DOMAIN_ATTRS_HEADER, DOMAIN_HEADER, RTPENGINE_HEADER

_FLAGS = "".join(
    f"3 sip:10.0.0.{flags}:5060 {flags} 0\n" for flags in (0, 1, 2, 4, 8, 9, 10, 12, 16, 17, 24, 28, 31, 32, 99)
)
_ATTRS = """\
2 sip:10.0.1.1:5060 0 10
2 sip:10.0.1.2:5060 0 10 duid=r2;weight=30;rweight=20;maxload=7;cc=1
2 sip:10.0.1.3:5060;transport=tcp 0 9 duid=;foo=bar;ping_from=sip:a@b
2 sip:10.0.1.4:5060 0 9 duid=a:b\\c"d'é€;socket=udp:127.0.0.1:%(port)s
2 sip:10.0.1.5:5060 0 -1
2 sip:Host.Example:5060 16 4294967297 obproxy=sip:10.9.9.9
2 10.0.1.6 0 3 ;
2 SIPS:10.0.1.7:5061 16 0 duid=x;duid=y;weight=101
2 sip:user:pw@10.0.1.8:5060;lr?x=y 0 0 latency=1
"""
_TWO_SETS = "1 sip:10.0.0.1:5060 0 10 duid=r1\n1 sip:10.0.0.2:5060 4 5 duid=r2\n7 sip:10.0.0.3:5060\n"
_ROWS = [
    "a.example",
    "B.Example",
    r"10.0.0.1\:5060",
    r"back\\slash",
    "ünï.example",
    "dup.example",
    "dup.example",
    r"t\tab",
]


def run(directory: Path) -> None:
    with Lab(directory) as lab:
        _dispatcher(lab)
        _domain(lab)
        with lab.uas() as deaf:
            _rtpengine(lab, deaf)


def _dispatcher(lab: Lab) -> None:
    kam = lab.kamailio(reload_delta=0)
    save(kam, "dispatcher", "empty", "dispatcher.list")
    lists: dict[str, str | bytes] = {
        "one": "1 sip:10.0.0.1:5060\n",
        "two_sets": _TWO_SETS,
        "flags": _FLAGS,
        "attrs": _ATTRS % {"port": kam.sip_port},
        "invalid_utf8": b"1 sip:10.0.0.1:5060 0 0 duid=\xff\xfe\n",
        "hundred": "".join(f"1 sip:10.0.1.{n}:5060 0 {n} duid=r{n}\n" for n in range(100)),
    }
    for name, text in lists.items():
        put(kam.list_file, text)
        say(f"dispatcher {name}: reload", attempt(kam.rpc, "dispatcher.reload"))
        save(kam, "dispatcher", name, "dispatcher.list")
        for setid, found in list(kam.rpc.dispatcher().items())[:3]:
            say(f"  set {setid}", found[:20])
    put(kam.list_file, _TWO_SETS)
    kam.rpc.call("dispatcher.reload")
    save(kam, "dispatcher", "two_sets_short", "dispatcher.list", "short")
    save(kam, "dispatcher", "two_sets_full", "dispatcher.list", "full")
    put(kam.list_file, b"")
    say("empty file", attempt(kam.rpc, "dispatcher.reload"))
    kam.list_file.unlink()
    save(kam, "dispatcher", "reload_missing_file", "dispatcher.reload")
    put(kam.list_file, "1 \n")
    save(kam, "dispatcher", "reload_bad_line", "dispatcher.reload")
    put(kam.list_file, _TWO_SETS)
    save(kam, "dispatcher", "reload_ok", "dispatcher.reload")
    save(kam, "dispatcher", "set_state_ok", "dispatcher.set_state", "ip", "1", "sip:10.0.0.1:5060")
    extra = 'modparam("dispatcher","ds_attrs_none",1)\nmodparam("dispatcher","ds_ping_latency_stats",1)\n'
    extra += 'modparam("dispatcher","ds_hash_size",4)\n'
    rich = lab.kamailio(modparams=extra)
    put(rich.list_file, _TWO_SETS)
    rich.rpc.call("dispatcher.reload")
    save(rich, "dispatcher", "reload_too_soon", "dispatcher.reload")
    save(rich, "dispatcher", "attrs_none_latency_load", "dispatcher.list")


def _domain(lab: Lab) -> None:
    kam = lab.kamailio(domain=True)
    save(kam, "domain", "empty", "domain.dump")
    tables = {
        "one": ["1:a.example:a.example:0"],
        "hostile": [f"{n}:{name}:{name}:0" for n, name in enumerate(_ROWS, 1)],
        "thirty": [f"{n}:d{n}.example:did{n}:0" for n in range(30)],
    }
    mtime = int(time.time())
    for name, rows in tables.items():
        mtime += 1
        put(kam.dbtext / "domain", DOMAIN_HEADER + "".join(row + "\n" for row in rows), mtime)
        if name == "hostile":
            attrs = "1:a.example:colour:2:re\\:d:0\n2:a.example:max:0:7:0\n"
            put(kam.dbtext / "domain_attrs", DOMAIN_ATTRS_HEADER + attrs, mtime)
        reload = save(kam, "domain", f"reload_{name}", "domain.reload")
        save(kam, "domain", name, "domain.dump")
        say(f"domain {name}", (reload.replace("\n", ""), kam.rpc.domains()))
    faults = {"zero_bytes": "", "text_in_int": DOMAIN_HEADER + "x:a:b:0\n", "missing_field": DOMAIN_HEADER + "1:a\n"}
    for name, text in faults.items():
        mtime += 1
        put(kam.dbtext / "domain", text, mtime)
        say(f"domain {name}", save(kam, "domain", f"reload_{name}", "domain.reload").replace("\n", ""))
        say("  kept", len(kam.rpc.domains()))
    (kam.dbtext / "domain").unlink()
    say("domain missing file", save(kam, "domain", "reload_missing_file", "domain.reload").replace("\n", ""))
    say("  kept", len(kam.rpc.domains()))


def _rtpengine(lab: Lab, deaf: Uas) -> None:
    kam = lab.kamailio(rtpengine=True, rtpengine_tout_ms=50, modparams='modparam("rtpengine","rtpengine_retr",1)')
    started = time.time()
    save(kam, "rtpengine", "reload_too_soon", "rtpengine.reload")
    save(kam, "rtpengine", "empty", "rtpengine.show", "all")
    deaf.silent = True
    tables = {
        "one": [rf"1:0:udp\:127.0.0.1\:{deaf.port}:1:0:0"],
        "several": [
            r"1:0:udp\:127.0.0.1\:2223:1:0:0",
            r"2:0:udp\:127.0.0.1\:2224:5:1:0",
            r"3:3:udp6\:[\:\:1]\:2223:0:0:0",
            r"4:3:unix\:/run/none:1:0:0",
            r"5:4:udp\:localhost\:2223:1:0:0",
            r"6:4:udp\:127.0.0.1\:2223:2:0:0",
            r"7:4:udp\:127.0.0.1\:2223:3:1:0",
            r"8:5:udp\:127.0.0.1\:2225 udp\:127.0.0.1\:2226:1:0:0",
            r"9:5:udp\:ünï\\x\:1:1:0:0",
            r"10:5:tcp\:127.0.0.1\:1:1:0:0",
            r"11:5:udp\:127.0.0.1\:99999:1:0:0",
            r"12:6:udp\:127.0.0.1:-1:0:0",
        ],
        "none_left": [],
    }
    mtime = int(time.time())
    for name, rows in tables.items():
        time.sleep(max(0.0, started + 11.05 - time.time()))
        mtime += 12
        put(kam.dbtext / "rtpengine", RTPENGINE_HEADER + "".join(row + "\n" for row in rows), mtime)
        began = time.time()
        reload = save(kam, "rtpengine", f"reload_{name}", "rtpengine.reload")
        started = time.time()
        say(f"rtpengine {name} ({(started - began) * 1000:.0f} ms)", reload.replace("\n", ""))
        save(kam, "rtpengine", name, "rtpengine.show", "all")
        say("  show all", attempt(kam.rpc, "rtpengine.show", "all"))
