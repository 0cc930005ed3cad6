"""What permissions makes of an address_file: each line, its windows, its dumps and their limits."""

import subprocess
import threading
import time
from pathlib import Path

from bench.settle.common import at_second, attempt, put, say
from tests.lab import Fault, Kamailio, Lab, LabError, program
from tests.lab.permissions import addresses, allows, options

RELOAD = "permissions.addressReload"
DUMPS = ("permissions.addressDump", "permissions.subnetDump", "permissions.domainDump")
GOOD = "9 192.0.2.9 32 0 old\n"

LINES: dict[str, str | bytes] = {
    "empty file": "",
    "comments only": "# nothing\n",
    "blank lines": "\n \t\r\n\n",
    "group and address only": "1 10.0.0.1\n",
    "group only": "1\n",
    "group and a comment": "1 # text\n",
    "mask 0": "1 10.0.0.1 0\n",
    "0.0.0.0 0": "1 0.0.0.0 0\n",
    "0.0.0.0 1": "1 0.0.0.0 1\n",
    ":: 0": "1 :: 0\n",
    "mask 33": "1 10.0.0.1 33\n",
    "mask 129": "1 2001:db8::1 129\n",
    "mask -1": "1 10.0.0.1 -1\n",
    "mask 4294967320": "1 10.0.0.0 4294967320\n",
    "mask is text": "1 10.0.0.1 peer\n",
    "mask 24x": "1 10.0.0.1 24x 5060 t\n",
    "mask 255.255.255.0": "1 10.0.0.0 255.255.255.0\n",
    "10.0.0.0/24": "1 10.0.0.0/24\n",
    "10.0.0.0/24 24": "1 10.0.0.0/24 24 0 t\n",
    "10.0.0.999": "1 10.0.0.999\n",
    "10..0.1": "1 10..0.1\n",
    "10.0.1": "1 10.0.1\n",
    "10.0.0.1.": "1 10.0.0.1.\n",
    "...": "1 ...\n",
    "010.000.000.001": "1 010.000.000.001\n",
    "10.0.0.1:5060": "1 10.0.0.1:5060\n",
    "host bits": "1 10.0.0.77 24\n",
    "no group": "10.0.0.1 32 5060 tag\n",
    "no group, IPv6": "abcd::1 128\n",
    "no group, IPv6 that begins with digits": "12ab::1 128\n",
    "group text": "abc 10.0.0.1 32\n",
    "group 1abc": "1abc 10.0.0.1 32\n",
    "group -1": "-1 10.0.0.1\n",
    "group 0": "0 10.0.0.1\n",
    "group 2147483648": "2147483648 10.0.0.1\n",
    "group 4294967297": "4294967297 10.0.0.1\n",
    "glued group and [": "1[2001:db8::1] 128\n",
    "IPv6": "1 2001:DB8:0:0::1 64 5060 t\n",
    "IPv6 in brackets": "1 [2001:db8::1] 128\n",
    "IPv6 with an open bracket": "1 [2001:db8::1 128\n",
    "IPv6 group of five digits": "1 2001:db8::12345\n",
    "IPv6 with :: for one group": "1 1:2:3:4:5:6::8\n",
    "IPv6 with an IPv4 end": "1 ::ffff:10.0.0.1\n",
    "IPv6 with a zone": "1 fe80::1%eth0\n",
    "IPv6 of three colons": "1 1:::2\n",
    "name": "1 sbc.example.com 32 5060 t\n",
    "name, mask 99": "1 sbc.example.com 99\n",
    "name in upper case": "1 SBC.example.com\n",
    "a URI for a name": "1 sip:sbc.example.com\n",
    "no mask, a tag": "1 10.0.0.1 tag\n",
    "port 99999": "1 10.0.0.1 32 99999\n",
    "port 4294972356": "1 10.0.0.1 32 4294972356\n",
    "port is text": "1 10.0.0.1 32 sip tag\n",
    "port -1": "1 10.0.0.1 32 -1 tag\n",
    "tag with blanks": "1 10.0.0.1 32 0 a b\n",
    "tag in quotes": '1 10.0.0.1 32 0 "a b"\n',
    "tag with #": "1 10.0.0.1 32 0 a#b\n",
    "tag NULL": "1 10.0.0.1 32 0 NULL\n1 10.0.0.0 24 0 NULL\n",
    "tag, bytes": b"1 10.0.0.1 32 0 \xff\xfe;=,\n",
    "no tag": "1 10.0.0.1 32 0\n1 10.0.0.0 24 0\n1 a.example 0 0\n",
    "tag of 990 bytes": f"1 10.0.0.1 32 0 {'t' * 990}\n",
    "line of 1023 bytes": f"1 10.0.0.1 32 0 {'t' * 1007}\n",
    "line of 1024 bytes": f"1 10.0.0.1 32 0 {'t' * 1008}\n",
    "line over 1024 bytes": f"1 10.0.0.1 32 0 {'t' * 1007}7 10.0.0.7\n",
    "CRLF": "1 10.0.0.1 32 0 t\r\n1 10.0.0.2\r\n",
    "tabs, blanks, comment": " \t1\t10.0.0.1\t32 \t5060 t # c\n",
    "comment at once": "1 10.0.0.1#c\n",
    "no newline at the end": "1 10.0.0.1 32 0 t",
    "NUL": b"1 10.0.0.1 32\x00 5060 t\n1 10.0.0.2\n",
    "a vertical tab": "1 10.0.0.1\v32\n",
    "the same twice": "1 10.0.0.1 32 0 a\n1 10.0.0.1 32 0 b\n1 10.0.0.0 24 0 a\n1 10.0.0.0 24 0 b\n",
    "good, bad mask, good": "1 10.0.0.1\n1 10.0.0.2 33\n1 10.0.0.3\n",
}


def run(directory: Path) -> None:
    with Lab(directory) as lab:
        kam = _kamailio(lab, directory / "lines")
        for name, text in LINES.items():
            put(kam.live / "address.list", GOOD)
            attempt(kam.rpc, RELOAD)
            put(kam.live / "address.list", text)
            answer = attempt(kam.rpc, RELOAD)
            say(name, (answer, [tuple(each) for each in addresses(kam.rpc)]))
        _doors(kam)
        _dumps(kam)
        _windows(lab, directory)
        _limits(lab, directory)
        _starts(lab, directory)
        _close(lab, directory)


def _kamailio(lab: Lab, directory: Path, **more: object) -> Kamailio:
    directory.mkdir()
    names = ("reload_delta", "text", "more")
    own = options(directory, **{name: more.pop(name) for name in names if name in more})  # type: ignore[arg-type]
    kam = Kamailio(directory, **own, **more)
    return lab._stack.enter_context(kam)


def _load(kam: Kamailio, text: str) -> str:
    put(kam.live / "address.list", text)
    return attempt(kam.rpc, RELOAD)


def _doors(kam: Kamailio) -> None:
    """Whom the loaded lists let in."""
    for text, asked in {
        "1 10.0.0.77 24\n": [(1, "10.0.0.1"), (1, "10.0.0.255"), (1, "10.0.1.77"), (2, "10.0.0.77")],
        "1 0.0.0.0 0\n": [(1, "203.0.113.7"), (1, "0.0.0.0")],
        "1 0.0.0.0 1\n1 128.0.0.0 1\n": [(1, "203.0.113.7"), (1, "8.8.8.8")],
        "1 10.0.0.0/24\n": [(1, "10.0.0.1")],
        "1 SBC.example.com\n": [(1, "sbc.example.com"), (1, "SBC.example.com")],
        "0 10.0.0.1\n": [(0, "10.0.0.1")],
        "1 2001:db8::77 64\n": [(1, "2001:db8::1"), (1, "2001:db8:1::1"), (1, "[2001:db8::1]")],
        "1 10.0.0.1 32 5060\n": [(1, "10.0.0.1")],
    }.items():
        _load(kam, text)
        say(f"who gets in with {text!r}", {str(each): allows(kam, *each) for each in asked})
    say("... with another source port", allows(kam, 1, "10.0.0.1", 5061))


def _dumps(kam: Kamailio) -> None:
    """Shapes and order, over binrpc and by kamcmd."""
    _load(kam, "2 10.0.0.2\n1 10.0.0.1\n1 10.0.0.1 32 5060 t\n2 10.0.0.1\n1 a.example\n2 b.example 0 5060 t\n"
               "2 10.2.0.0 16\n1 10.1.0.0 16\n1 10.1.0.0 24 0 longer\n")  # fmt: skip
    for dump in DUMPS:
        say(f"{dump} over binrpc", attempt(kam.rpc, dump))
        argv = [program("kamcmd"), "-s", f"unix:{kam.ctl}", dump]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        say(f"{dump} by kamcmd", repr(done.stdout))
    for dump in DUMPS:
        say(f"{dump} of nothing", attempt(kam.rpc, dump))


def _windows(lab: Lab, directory: Path) -> None:
    kam = _kamailio(lab, directory / "windows", reload_delta=None)
    say("first reload after the start", attempt(kam.rpc, RELOAD))
    say("at once again", attempt(kam.rpc, RELOAD))
    say("trustedReload in the window of addressReload", attempt(kam.rpc, "permissions.trustedReload"))
    time.sleep(6)
    for fraction, text in ((0.05, GOOD), (0.9, "1 10.0.0.1 33\n")):
        began = at_second(fraction)
        answer = _load(kam, text)
        tries = 0
        put(kam.live / "address.list", GOOD)
        while "ongoing" in (last := attempt(kam.rpc, RELOAD)):
            tries += 1
            time.sleep(0.05)
        say(
            f"{answer!r} at second fraction {fraction}",
            f"the next after {time.time() - began:.2f} s, {tries} refused, {last}",
        )
        time.sleep(6)
    (kam.live / "address.list").unlink()
    say("missing file", (attempt(kam.rpc, RELOAD), addresses(kam.rpc)))
    time.sleep(6)
    put(kam.live / "address.list", GOOD)
    say("trustedReload, no table", attempt(kam.rpc, "permissions.trustedReload"))
    say("addressReload after it", attempt(kam.rpc, RELOAD))


def _limits(lab: Lab, directory: Path) -> None:
    """How many entries the dumps carry with ctl's default limits, and with larger ones."""
    kinds = {"hosts": "1 10.{}.{}.{} 32 0 router", "names": "1 r{}-{}-{}.example.com 0 0 router"}
    for name, more in (("default", {}), ("larger", {"ctl_body": 8192, "ctl_struct": 4096, "pkg": 64})):
        kam = _kamailio(lab, directory / f"limits-{name}", more='modparam("permissions","max_subnets",20000)', **more)
        for kind, line in {**kinds, "subnets": "1 10.{}.{}.{} 31 0 router"}.items():
            for count in (100, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000):
                _load(kam, "".join(line.format(n >> 15, n >> 7 & 255, n << 1 & 255) + "\n" for n in range(count)))
                dump = DUMPS[("hosts", "subnets", "names").index(kind)]
                began = time.perf_counter()
                try:
                    found: object = len(_entries(kam, kind))
                except Fault as fault:
                    found = f"{dump}: fault {fault.code} {fault.reason}"
                ms = (time.perf_counter() - began) * 1000
                say(f"ctl limits {name}, {count} {kind}", (found, f"{ms:.0f} ms"))
    small = _kamailio(lab, directory / "max", more='modparam("permissions","max_subnets",2)')
    answer = _load(small, "1 10.0.0.0 24\n1 10.1.0.0 24\n1 10.2.0.0 24\n1 10.0.0.1\n")
    say("max_subnets 2, three subnets and a host", (answer, [tuple(a) for a in addresses(small.rpc)]))
    usual = _kamailio(lab, directory / "usual")
    answer = _load(usual, "".join(f"1 10.{n >> 8}.{n & 255}.0 24\n" for n in range(600)))
    say("600 subnets with the default max_subnets", (answer, len(addresses(usual.rpc))))


def _entries(kam: Kamailio, kind: str) -> list[object]:
    from tests.lab import permissions as lab

    return list({"hosts": lab._hosts, "subnets": lab._subnets, "names": lab._names}[kind](kam.rpc))


def _starts(lab: Lab, directory: Path) -> None:
    for name, text in {"empty": "", "bad mask": "1 10.0.0.1 33\n", "missing": None}.items():
        own = directory / f"start-{name.replace(' ', '-')}"
        own.mkdir()
        kam = Kamailio(own, **options(own, text=text or ""))  # type: ignore[arg-type]
        if text is None:
            (own / "live" / "address.list").unlink()
        try:
            kam.start(10)
            said = "it runs"
        except LabError as error:
            said = str(error).splitlines()[0]
        say(f"start with a file that is {name}", said)
        kam.close()


def _close(lab: Lab, directory: Path, seconds: float = 10.0) -> None:
    """Reloads close upon each other while SIP workers look addresses up: each frees the table before the last."""
    for count, gap in ((10, 0.0), (2_000, 0.0), (10_000, 0.0), (10_000, 0.1)):
        kam = _kamailio(lab, directory / f"close-{count}-{gap}", shm=256)
        _load(kam, "".join(f"1 10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(count)))
        ended = threading.Event()
        asked: list[bool] = []
        callers = [threading.Thread(target=_asking, args=(kam, ended, asked)) for _ in range(4)]
        for caller in callers:
            caller.start()
        began, done = time.monotonic(), 0
        while time.monotonic() - began < seconds and kam.alive():
            done += attempt(kam.rpc, RELOAD).startswith("ok")
            time.sleep(gap)
        ended.set()
        for caller in callers:
            caller.join()
        told = f"{done} reloads, {len(asked)} look-ups, {asked.count(False)} refused, alive: {kam.alive()}"
        say(f"{count} hosts, reloads {gap} s apart for {seconds:.0f} s", told)
        kam.close()


def _asking(kam: Kamailio, ended: threading.Event, asked: list[bool]) -> None:
    while not ended.is_set() and kam.alive():
        try:
            asked.append(allows(kam, 1, "10.0.0.7"))
        except OSError:
            return
