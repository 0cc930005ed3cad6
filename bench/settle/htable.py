"""htable: which keys and values survive file and RPC, what a dump shows, what a reload does to those who look."""

import json
import socket
import subprocess
import threading
import time
from itertools import count
from pathlib import Path

from bench.settle.common import attempt, put, say
from tests.lab import Fault, Kamailio, Lab, LabError, Rpc, Struct, Unreachable

HEADER = "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n"
NULLABLE = HEADER.replace("key_value(string)", "key_value(string,null)").replace("key_name(string)", "key_name(str)")
_mtimes = count(int(time.time()) + 10)


def run(directory: Path) -> None:
    with Lab(directory) as lab:
        kam = lab.kamailio(modparams=_modules(lab.directory))
        _rows(kam)
        _rpc(kam)
        _clients(kam, lab.directory)
        _faults(kam)
        _reload(kam)
        _expiry(kam)
        _start(lab)
        _limits(lab)


def _modules(directory: Path) -> str:
    lines = ['loadmodule "htable.so"', f'modparam("htable","db_url","text://{directory}/tables")']
    tables = ["one=>size=6;dbtable=one;", "other=>size=6;", "lapses=>size=4;autoexpire=2;dbtable=lapses;"]
    lines += [f'modparam("htable","htable","{table}")' for table in tables]
    lines += ['modparam("jsonrpcs","transport",6)', f'modparam("jsonrpcs","dgram_socket","{directory}/json")']
    (directory / "tables").mkdir()
    for name in ("one", "lapses"):
        (directory / "tables" / name).write_text(HEADER)
    return "\n".join(lines)


def place(kam: Kamailio) -> Path:
    """Where the tables are: no version table among them, the module asks for none."""
    return kam.directory.parent / "tables"


def table(kam: Kamailio, text: str | bytes, name: str = "one") -> str:
    """Write a table and load it."""
    put(place(kam) / name, text, next(_mtimes))
    return attempt(kam.rpc, "htable.reload", name)


def dump(kam: Kamailio, name: str = "one") -> list[tuple[object, ...]]:
    slots = [slot["slot"] for slot in kam.rpc.call("htable.dump", name)]  # type: ignore[index]
    found = [item for slot in slots for item in slot.all("")]  # type: ignore[attr-defined]
    return sorted((i["name"], i["value"], i["type"]) for i in found)


def _rows(kam: Kamailio) -> None:
    cases = {
        "plain": "1:a:0:0:x:0\n2:b:0:1:5:0\n",
        "int: text, empty-looking, signs, limits": "1:t:0:1:abc:0\n2:m:0:1:-5:0\n3:p:0:1:+5:0\n4:z:0:1:007:0\n"
        "5:max:0:1:2147483647:0\n6:over:0:1:2147483648:0\n7:min:0:1:-2147483648:0\n8:under:0:1:-2147483649:0\n"
        "9:tail:0:1:5x:0\n10:sp:0:1: 5:0\n11:minus:0:1:-:0\n",
        "value_type 2 and -1": "1:a:0:2:5:0\n2:b:0:-1:5:0\n",
        "key twice": "1:a:0:0:first:0\n2:b:0:0:b:0\n3:a:0:0:last:0\n",
        "key twice, str and int": "1:a:0:0:first:0\n3:a:0:1:7:0\n",
        "keys that differ in case": "1:a:0:0:low:0\n2:A:0:0:up:0\n",
        "array (key_type 1)": "1:a:1:0:x:0\n2:a:1:0:y:0\n3:b:0:0:z:0\n",
        "array by hand": "1:a[0]:0:0:x:0\n2:a[1]:0:0:y:0\n3:a\\:\\:size:0:1:2:0\n",
        "blanks, quotes, =": "1:a key:0:0: a \"v\" 'w' = => \\: \\\\ :0\n2: b :0:0:x:0\n",
        "escapes": "3:t\\tn\\nr\\r:0:0:t\\tn\\nr\\r:0\n",
        "NUL": "1:a\\0b:0:0:x\\0y:0\n2:a\\0c:0:0:z:0\n",
        "empty value": "1:a:0:0::0\n",
        "empty key": "1::0:0:x:0\n",
        "not UTF-8": b"1:\xff\xfe:0:0:\xe9:0\n",
        "the table again, no rows": "",
    }
    for what, rows in cases.items():
        content = (HEADER.encode() if isinstance(rows, bytes) else HEADER) + rows  # type: ignore[operator]
        say(f"row: {what}", f"{table(kam, content)} -> {dump(kam)}")
    say("row: empty value, column null", f"{table(kam, NULLABLE + '1:a:0:0::0' + chr(10))} -> {dump(kam)}")
    for length in (250, 255, 256, 1000, 4000, 8000, 16000, 16384, 17000, 60000):
        text = f"{HEADER}1:{'k' * length}:0:0:v:0\n2:k:0:0:{'v' * length}:0\n"
        answer = table(kam, text)
        say(f"row: key and value of {length} bytes", f"{answer} {sizes(kam)}")


def sizes(kam: Kamailio) -> str:
    """Bytes of each key and value, or why they are not shown."""
    try:
        return str([(len(str(key)), len(str(value))) for key, value, _ in dump(kam)])
    except Fault as fault:
        return str(fault)


def _rpc(kam: Kamailio) -> None:
    table(kam, HEADER)
    pairs = [("a", "x"), ("a", "5"), ("i", 5), ("", "x"), ("e", ""), ("s p", " v "), ("n\nl", "n\nl"), ("é", "é")]
    for key, value in pairs:
        say(f"sets {key!r} {value!r}", attempt(kam.rpc, "htable.sets", "one", key, value))
    for key, number in [("m", -5), ("max", 2**31 - 1), ("min", -(2**31)), ("t", "abc"), ("n", "12"), ("a", 7)]:
        say(f"seti {key!r} {number!r}", attempt(kam.rpc, "htable.seti", "one", key, number))
    say("  dump", dump(kam))
    say("delete a", attempt(kam.rpc, "htable.delete", "one", "a"))
    say("delete a again", attempt(kam.rpc, "htable.delete", "one", "a"))
    say("delete with an int for a key", attempt(kam.rpc, "htable.delete", "one", 5))
    for key, _, _ in dump(kam):
        attempt(kam.rpc, "htable.delete", "one", str(key))
    say("dump of an empty table", kam.rpc.call("htable.dump", "one"))
    for length in (255, 1000, 4000, 16000, 30000, 60000, 65000, 66000):
        answer = attempt_any(kam, "htable.sets", "one", "k" * min(length, 1000), "v" * length)
        say(f"sets with a value of {length} bytes", f"{answer[:80]} {sizes(kam)}")
    attempt(kam.rpc, "htable.flush", "one")


def attempt_any(kam: Kamailio, method: str, *args: int | str) -> str:
    try:
        return attempt(kam.rpc, method, *args)
    except (Unreachable, TimeoutError) as error:
        return f"{type(error).__name__} {error}"


def _clients(kam: Kamailio, directory: Path) -> None:
    """The same set by kamcmd and by JSON-RPC."""
    for words in (["a", "5"], ["b", "s:5"], ["c", "x y"], ["d", ""], ["d", "s:"], ["s:5", "s:x"], ["5", "x"]):
        out = _kamcmd(kam, "htable.sets", "one", *words)
        say(f"kamcmd htable.sets one {words}", f"{out!r} {dump(kam)}")
        attempt(kam.rpc, "htable.flush", "one")
    say("kamcmd htable.seti one i -5", f"{_kamcmd(kam, 'htable.seti', 'one', 'i', '-5')!r} {dump(kam)}")
    say("kamcmd htable.dump one", _kamcmd(kam, "htable.dump", "one"))
    attempt(kam.rpc, "htable.flush", "one")
    for params in (["one", "a", "5"], ["one", "b", 5], ["one", "c", "x\ny"]):
        say(f"jsonrpc htable.sets {params}", f"{_json(directory, 'htable.sets', params)} {dump(kam)}")
        attempt(kam.rpc, "htable.flush", "one")
    for params in (["one", "i", -5], ["one", "i", "-5"], ["one", "i", 2147483648]):
        say(f"jsonrpc htable.seti {params}", f"{_json(directory, 'htable.seti', params)} {dump(kam)}")
    say("jsonrpc htable.dump", _json(directory, "htable.dump", ["one"]))
    attempt(kam.rpc, "htable.flush", "one")


def _kamcmd(kam: Kamailio, *words: str) -> str:
    command = ["kamcmd", "-s", f"unix:{kam.ctl}", "--", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _json(directory: Path, method: str, params: list[object]) -> str:
    mine = directory / "reply"
    mine.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind(str(mine))
        client.settimeout(2)
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
        client.sendto(json.dumps(request).encode(), str(directory / "json"))
        return " ".join(client.recv(65536).decode().split())


def _faults(kam: Kamailio) -> None:
    for method, *args in (["htable.dump", "none"], ["htable.sets", "none", "k", "v"], ["htable.delete", "none", "k"]):
        say(f"{method} of a table that is not there", attempt(kam.rpc, method, *args))
    say("htable.reload other (no dbtable)", attempt(kam.rpc, "htable.reload", "other"))
    table(kam, HEADER + "1:a:0:0:x:0\n")
    (place(kam) / "one").unlink()
    say("reload, table file missing", f"{attempt(kam.rpc, 'htable.reload', 'one')} -> {dump(kam)}")
    for what, text in {
        "zero bytes": "",
        "text in an int column": HEADER + "x:a:0:0:x:0\n",
        "no last newline": HEADER + "1:b:0:0:x:0\n2:c:0:0:x:0",
        "no expires column": HEADER.replace(" expires(int)", "") + "1:d:0:0:x\n",
        "without id": HEADER.replace("id(int,auto) ", "") + "d:0:0:x:0\n",
        "other order": "key_value(string) key_name(string) key_type(int) value_type(int)\nv:k:0:0\n",
        "no key_type": "key_name(string) value_type(int) key_value(string)\nk:0:v\n",
        "key_value(str)": HEADER.replace("key_value(string)", "key_value(str)") + "1:e:0:0:x:0\n",
        "key_value(int)": HEADER.replace("key_value(string)", "key_value(int)") + "1:e:0:0:5:0\n",
        "value_type(string)": HEADER.replace("value_type(int)", "value_type(string)") + "1:e:0:0:5:0\n",
    }.items():
        say(f"reload, {what}", f"{table(kam, text)} -> {dump(kam)}")
    same = int(time.time()) + 5000
    put(place(kam) / "one", HEADER + "1:a:0:0:x:0\n", same)
    attempt(kam.rpc, "htable.reload", "one")
    put(place(kam) / "one", HEADER + "1:a:0:0:y:0\n", same)
    say("reload, changed file with the same mtime", f"{attempt(kam.rpc, 'htable.reload', 'one')} -> {dump(kam)}")
    global _mtimes
    _mtimes = count(same + 1)


def _reload(kam: Kamailio) -> None:
    """Does anybody see a key absent while the table is loaded again and again? And two reloads at once?"""
    rows = "".join(f"{n}:k{n}:0:0:v{n}:0\n" for n in range(200))
    table(kam, HEADER + rows)
    attempt(kam.rpc, "htable.sets", "other", "mine", "x")
    attempt(kam.rpc, "htable.sets", "one", "runtime", "x")
    ending, seen, missing = threading.Event(), count(), []

    def look() -> None:
        rpc = Rpc(kam.ctl)
        while not ending.is_set():
            next(seen)
            found = {item[0] for slot in rpc.call("htable.dump", "one") for item in _names(slot)}
            missing.extend({f"k{n}" for n in range(200)} - found)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(100):
        table(kam, HEADER + rows)
    ending.set()
    thread.join()
    say("100 reloads of 200 keys", f"{next(seen)} dumps, keys missing in any of them: {len(missing)}")
    say("  run-time key of this table", [item for item in dump(kam) if item[0] == "runtime"] or "gone")
    say("  run-time key of the other table", dump(kam, "other"))
    began = time.perf_counter()
    for _ in range(200):
        kam.rpc.call("htable.sets", "one", "k1", "new")
    say("one htable.sets, 200 keys", f"{(time.perf_counter() - began) / 200 * 1000:.3f} ms")
    began = time.perf_counter()
    kam.rpc.call("htable.reload", "one")
    say("one htable.reload, 200 keys", f"{(time.perf_counter() - began) * 1000:.2f} ms")


def _names(slot: object) -> list[tuple[str]]:
    assert isinstance(slot, Struct)
    return [(str(item["name"]),) for item in slot["slot"].all("")]  # type: ignore[attr-defined]


def _expiry(kam: Kamailio) -> None:
    rows = f"1:never:0:0:x:0\n2:past:0:0:x:5\n3:later:0:0:x:{int(time.time()) + 3600}\n"
    loaded = table(kam, HEADER + rows, "lapses")
    say("autoexpire=2, rows with expires 0, past, in an hour", f"{loaded} -> {dump(kam, 'lapses')}")
    time.sleep(3)
    say("  3 s later in a dump", dump(kam, "lapses"))
    say("  and to htable.get", attempt(kam.rpc, "htable.get", "lapses", "never"))
    time.sleep(20)
    say("  23 s later (timer_interval is 20 s)", dump(kam, "lapses"))


def _start(lab: Lab) -> None:
    """What a start makes of a table that is not there, or not right."""
    for what, text in {"missing": None, "zero bytes": "", "an empty value": HEADER + "1:a:0:0::0\n"}.items():
        path = lab.directory / "tables" / "start"
        path.unlink(missing_ok=True)
        if text is not None:
            put(path, text)
        lines = f'loadmodule "htable.so"\nmodparam("htable","db_url","text://{path.parent}")\n'
        lines += 'modparam("htable","htable","one=>size=4;dbtable=start;")'
        try:
            kam = lab.kamailio(modparams=lines)
            say(f"a start, the table's file {what}", f"starts with {dump(kam)}")
            kam.stop()
        except LabError as error:
            say(f"a start, the table's file {what}", str(error).splitlines()[0])


def _limits(lab: Lab) -> None:
    """How much a dump carries with ctl's default limits, and with raised ones."""
    raised = {"ctl_body": 8192, "ctl_struct": 4096, "pkg": 64}
    for size, limits in ((4, {}), (8, {}), (14, {}), (8, raised)):
        put(lab.directory / "tables" / "one", HEADER)
        text = f'loadmodule "htable.so"\nmodparam("htable","htable","one=>size={size};dbtable=one;")\n'
        text += f'modparam("htable","db_url","text://{lab.directory}/tables")'
        kam = lab.kamailio(modparams=text, shm=256, **limits)
        for number, length in ((1000, 20), (10000, 20), (10000, 200), (30000, 20), (30000, 200)):
            rows = "".join(f"{n}:key-of-{n}:0:0:{'v' * length}:0\n" for n in range(number))
            began = time.perf_counter()
            loaded = table(kam, HEADER + rows)
            took = (time.perf_counter() - began) * 1000
            what = f"size={size} {'raised' if limits else 'default'} limits, {number} values of {length} bytes"
            say(what, f"{loaded} {took:.0f} ms; dump: {_dumped(kam)}")
        kam.stop()


def _dumped(kam: Kamailio) -> str:
    began = time.perf_counter()
    try:
        return f"{len(dump(kam))} keys in {(time.perf_counter() - began) * 1000:.0f} ms"
    except (Fault, Unreachable, TimeoutError) as error:
        return f"{type(error).__name__} {error}"
