"""The grammar against a real Kamailio: what is accepted is loaded whole, what Kamailio harms is refused.

Kamailio's memory is read by the tests' own RPC client, and what we write is loaded and compared with what we meant.
"""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.core.attrs import read_attrs
from consul_kam.core.dataset import Dataset
from consul_kam.core.records import Answer, Record, Use
from consul_kam.core.twins import without_twins
from consul_kam.datasets import dataset
from consul_kam.errors import ListError
from tests.datasets.common import HERE
from tests.lab import VERSIONS, Fault, Kamailio, free_port, wait_for

DISPATCHER, DOMAIN, RTPENGINE = dataset("dispatcher"), dataset("domain"), dataset("rtpengine")
Held = tuple[int, str, int, str]  # setid, URI, priority, attrs

# far beyond the files that Kamailio starts with, however long after the import that is
_mtimes = itertools.count(int(time.time()) + 100_000)


@pytest.fixture(scope="module", params=VERSIONS)
def kamailio(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Kamailio]:
    ipv6 = f"dns_try_ipv6=yes\nlisten=udp:[::1]:{free_port()}"
    directory = tmp_path_factory.mktemp("kam")
    with Kamailio(directory, version=request.param, reload_delta=0, domain=True, globals=ipv6) as kam:
        yield kam


def load(kam: Kamailio, data: bytes) -> list[Held]:
    """What Kamailio holds after it was given this list; [] where it refused it (memory is emptied first)."""
    kam.list_file.write_bytes(b"# nothing\n")
    kam.rpc.call("dispatcher.reload")
    kam.list_file.write_bytes(data)
    try:
        kam.rpc.call("dispatcher.reload")
    except Fault as fault:
        assert fault.reason == "Reload Failed"  # noqa: PT017
    sets = kam.rpc.dispatcher()
    return [(setid, dest.uri, dest.priority, dest.attrs) for setid in sorted(sets) for dest in sets[setid]]


def meant(records: tuple[Record, ...] | list[Record]) -> list[tuple[object, ...]]:
    return sorted((*record.key, *record.seen) for record in records)


def seen(held: list[Held]) -> list[tuple[object, ...]]:
    return sorted((setid, uri, priority, read_attrs(attrs)) for setid, uri, priority, attrs in held)


def checked(found: Dataset, data: bytes) -> Answer | None:
    """The answer, or None where check would complain of anything."""
    try:
        answer = without_twins(found.parse_native("list", data))
    except ListError:
        return None
    return answer if not answer.problems else None


# ---- dispatcher: accepted

# the lines of the case files, less comments and what needs a name server or a socket that this Kamailio has not
WHOLE = [
    line
    for name in ("native", "long")
    for line in (HERE / "cases" / "dispatcher" / f"{name}.txt").read_bytes().split(b"\n")
    if line.strip(b" \r\t#") and not any(word in line for word in (b"router.example", b"socket=", b"blanks", b"what "))
]


@pytest.mark.parametrize("line", WHOLE, ids=lambda line: ascii(line[:60])[2:-1])
def test_what_check_accepts_is_loaded_whole(kamailio: Kamailio, line: bytes) -> None:
    answer = checked(DISPATCHER, line + b"\n")
    assert answer is not None
    held = load(kamailio, line)  # no final newline: harmless
    assert len(held) == 1
    assert seen(held) == meant(answer.records)
    assert seen(load(kamailio, DISPATCHER.notation.write([answer.records[0].line]))) == seen(held)


@pytest.mark.parametrize(
    "line",
    [
        b"1 sip:nowhere.invalid 0 10",
        b"1 sip:10.0.0.1 0 10 socket=udp:192.0.2.1:5060",
        b"1 sip:10.0.0.1 0 10 sockname=elsewhere",
        b"1 sip:user@my_host 16 10",
    ],
)
def test_what_depends_on_the_target_is_accepted_and_refused_by_this_one(kamailio: Kamailio, line: bytes) -> None:
    assert checked(DISPATCHER, line) is not None
    assert load(kamailio, line) == []


# ---- dispatcher: refused

S = "sip:10.0.0.1"
HARMED: list[tuple[str, list[Held]]] = [
    # what is written, what Kamailio makes of it
    ("abc sip:10.0.0.1", []),
    ("-1 sip:10.0.0.1", []),
    ("sip:10.0.0.1 0 10", [(0, S, 10, "")]),
    ("10.0.0.1:5060 0 10", [(10, "sip:.0.0.1:5060", 10, "")]),
    ("99999999999 sip:10.0.0.1", [(1215752191, S, 0, "")]),
    ("2147483648 sip:10.0.0.1", [(-(2**31), S, 0, "")]),
    ("1", []),
    ("1 # comment", []),
    ("1 <sip:10.0.0.1>", []),
    ("1 ::1", []),
    ("1 abcd 16", []),
    ("1 sip:[::]", [(1, "sip:[::]", 0, "")]),
    ("1 sip:[::ffff:10.0.0.1]", []),
    ("1 sip:[1:2:3:4:5:6:7::]", []),
    ("1 sip:[fe80::1%lo]", []),
    ("1 sip:10.0.0.1:99999", []),
    ("1 sip:10.0.0.1:005060", []),
    ("1 sip:10.0.0.1:0", [(1, S + ":0", 0, "")]),
    ("1 sip:0.0.0.0", [(1, "sip:0.0.0.0", 0, "")]),
    ("1 sip:127.0.0.256", [(1, "sip:127.0.0.256", 0, "")]),
    ("1 sip:300.1.1.1", [(1, "sip:300.1.1.1", 0, "")]),
    ("1 sip:1.2.3", []),
    ("1 tel:+4912345678 16", [(1, "tel:+4912345678", 0, "")]),
    ("1 sip:10.0.0.1;transport=xyz", [(1, S + ";transport=xyz", 0, "")]),
    ("1 sip:a:b:c@10.0.0.1", []),
    ("1 sip:10.0.0.1 abc 10", [(1, S, 0, "abc")]),
    ("1 sip:10.0.0.1 16abc 10", [(1, S, 0, "abc")]),
    ("1 sip:10.0.0.1 0 high", [(1, S, 0, "high")]),
    ("1 sip:10.0.0.1 0 -1", [(1, S, 0, "-1")]),
    ("1 sip:10.0.0.1 0 10;duid=a", [(1, S, 10, ";duid=a")]),
    ("1 sip:10.0.0.1 0 99999999999", [(1, S, 1215752191, "")]),
    ("1 sip:10.0.0.1 99 10", [(1, S, 10, "")]),
    ("1 sip:10.0.0.1 0 10 duid=a weight=50", [(1, S, 10, "duid=a")]),
    ('1 sip:10.0.0.1 0 10 duid="a b"', []),
    ('1 sip:10.0.0.1 0 10 duid="a\\"b"', []),
    ("1 sip:10.0.0.1 0 10 duid=a;;", []),
    ("1 sip:10.0.0.1 0 10 duid=;weight=50", []),
    ("1 sip:10.0.0.1 0 10 weight=101", [(1, S, 10, "weight=101")]),
    ("1 sip:10.0.0.1\0 0 10", [(1, S, 0, "")]),
    ("1 sip:10.0.0.1\r2 sip:10.0.0.2", [(1, S, 0, "sip:10.0.0.2")]),
    ("1 sip:10.0.0.1 0 10 a=" + "x" * 1001 + "\n", [(1, S, 10, "a=" + "x" * 1001)]),
    ("1 sip:10.0.0.1 0 10 a=" + "x" * 1100, [(1, S, 10, "a=" + "x" * 1001)]),
    ("#" + "x" * 1022 + "7 sip:10.0.0.7", [(7, "sip:10.0.0.7", 0, "")]),
    ("1 sip:10.0.0.1\n1 sip:10.0.0.1", [(1, S, 0, ""), (1, S, 0, "")]),
    ("", []),
    ("# comment", []),
]


@pytest.mark.parametrize(
    ("text", "held"), HARMED, ids=lambda value: ascii(value[:50]) if isinstance(value, str) else ""
)
def test_what_kamailio_harms_is_refused(kamailio: Kamailio, text: str, held: list[Held]) -> None:
    assert checked(DISPATCHER, text.encode()) is None
    assert load(kamailio, text.encode()) == held


def test_weights_out_of_range_and_lost_attributes_show_beside_the_text(kamailio: Kamailio) -> None:
    """Why these are refused although their text comes back as it was written."""
    for attrs, name, shown in [("weight=101", "WEIGHT", 0), ("maxload=few", "MAXLOAD", 0), ("duid=a,b", "DUID", "a")]:
        line = f"1 sip:10.0.0.1 0 10 {attrs}\n".encode()
        assert checked(DISPATCHER, line) is None
        load(kamailio, line)
        (reply,) = kamailio.rpc.call("dispatcher.list")
        dest = reply["RECORDS"]["SET"]["TARGETS"]["DEST"]  # type: ignore[index]
        assert dest["ATTRS"][name] == shown


# ---- dispatcher: written


def test_memory_ends_in_the_wanted_order(kamailio: Kamailio) -> None:
    text = "".join(f"{at % 4 * 7} sip:10.0.{at % 5}.{at} 0 {at % 3 * 5} duid=d{at}\n" for at in range(60))
    wanted = sorted(DISPATCHER.parse_native("list", text.encode()).records, key=lambda record: record.sort)
    held = load(kamailio, DISPATCHER.notation.write([r.line for r in DISPATCHER.in_file_order(wanted)]))
    assert [(setid, uri) for setid, uri, _, _ in held] == [record.key for record in wanted]


@pytest.mark.parametrize("state", ["AX", "AP", "IX", "IP", "TX", "TP", "DX", "DP"])
@pytest.mark.parametrize("attrs", ["", " duid=a;weight=5"])
def test_states_ride_and_our_marks_are_harmless(kamailio: Kamailio, state: str, attrs: str) -> None:
    data = f"1 sip:10.0.0.1 0 10{attrs}\n1 sip:nowhere.invalid 16 10{attrs}\n".encode()
    records = DISPATCHER.parse_native("list", data).records
    for disabled in (False, True):
        kamailio.list_file.write_bytes(
            DISPATCHER.notation.write([DISPATCHER.line(r, state, disabled, disabled) for r in records])
        )
        kamailio.rpc.call("dispatcher.reload")
        (held,) = kamailio.rpc.dispatcher().values()
        assert {dest.flags for dest in held} == {f"D{state[1]}" if disabled else state}
        assert {dest.attrs for dest in held} == {attrs.strip()}


def test_a_list_without_records_is_written_so_that_kamailio_takes_it(kamailio: Kamailio) -> None:
    assert load(kamailio, DISPATCHER.notation.write([])) == []


# ---- domain

HEADER = "id(int,auto) domain(string) did(string,null) last_modified(int)\n"
BASE = [("base.example", "base.example")]


def reload_domains(kam: Kamailio, data: bytes) -> list[tuple[str, str]]:
    """What Kamailio holds after it was given this table; BASE where it kept the one before."""
    for content in (HEADER.encode() + b"1:base.example:base.example:0\n", data):
        write_table(kam.dbtext / "domain", content)
        try:
            kam.rpc.call("domain.reload")
        except Fault as fault:
            assert fault.reason == "Reload of domain tables failed"  # noqa: PT017
    return sorted(kam.rpc.domains())


def write_table(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    mtime = next(_mtimes)  # db_text reads no file again whose mtime has not grown by a second
    os.utime(path, (mtime, mtime))


@pytest.mark.parametrize(
    "table",
    [
        HEADER + "1:a.example:a.example:0\n\n\n2:b.example::7\n",
        HEADER + "-1:[\\:\\:1]:back\\\\slash\\:tab\\t:-5\n".replace("tab\\t", "x y"),
        "  did ( string )  domain(string)extra(double,null) s(str,null)  \nx:A.example::\n",
        "domain(string) did(string) domain(string)\na.example:x:b.example\n",
    ],
)
def test_a_table_that_check_accepts_is_loaded_whole(kamailio: Kamailio, table: str) -> None:
    answer = checked(DOMAIN, table.encode())
    assert answer is not None
    held = reload_domains(kamailio, table.encode())
    assert sorted((domain.lower(), did) for domain, did in held) == meant(answer.records)
    assert reload_domains(kamailio, DOMAIN.notation.write([record.line for record in answer.records])) == held


@pytest.mark.parametrize(
    ("table", "held"),
    [
        ("", BASE),
        (HEADER, []),
        (HEADER + "1:a.example:x:0", []),
        (HEADER + "1:a.example:x:0\n2:b.example:x:0", [("a.example", "x")]),
        (HEADER + "1:a.example:x:0\r\n", BASE),
        (HEADER.replace("\n", "\r\n") + "1:a.example:x:0\n", BASE),
        ("\n" + HEADER + "1:a.example:x:0\n", BASE),
        (HEADER + "# comment\n1:a.example:x:0\n", BASE),
        (HEADER + "1:a.example:x\n", BASE),
        (HEADER + "1:a.example:x:0:0\n", BASE),
        (HEADER + "1:2001:db8::1:x:0\n", BASE),
        (HEADER + "one:a.example:x:0\n", BASE),
        (HEADER + "1::x:0\n", BASE),
        (HEADER + "1:a.example:x:\n", BASE),
        (HEADER + "1:a\\qexample:x:0\n", BASE),
        (HEADER + "1:a.example\\0.hidden:x:0\n", [("a.example", "x")]),
        (HEADER + "1:10.0.0.999:x:0\n", [("10.0.0.999", "x")]),
        (HEADER + "1:a.example:x:0\n2:A.EXAMPLE:y:0\n", [("A.EXAMPLE", "y"), ("a.example", "x")]),
        (HEADER.replace("string", "str") + "1:a.example:x:0\n", BASE),
        (HEADER.replace("int,auto", "int,unique") + "1:a.example:x:0\n", BASE),
        ("1:a.example:x:0\n", BASE),
    ],
)
def test_a_table_that_kamailio_harms_or_refuses_is_refused(
    kamailio: Kamailio, table: str, held: list[tuple[str, str]]
) -> None:
    assert checked(DOMAIN, table.encode()) is None
    assert reload_domains(kamailio, table.encode()) == held


def test_a_table_without_rows_is_written_so_that_kamailio_takes_it(kamailio: Kamailio) -> None:
    assert reload_domains(kamailio, DOMAIN.notation.write([])) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_kamailio_starts_on_the_files_we_make_and_foreign_versions_stay(tmp_path: Path, version: str) -> None:
    kam = Kamailio(tmp_path, version=version, domain=True, rtpengine=True)
    (record,) = DOMAIN.parse_native("domain", HEADER.encode() + b"1:a.example:x:0\n").records
    existing = b"table_name(string) table_version(int)\nhtable:2\nrtpengine:1"
    for found in (DOMAIN, RTPENGINE):
        companion = found.notation.companion(existing)
        assert companion is not None
        (kam.dbtext / companion[0]).write_bytes(existing := companion[1])
    assert existing.startswith(b"table_name(string) table_version(int)\nhtable:2\nrtpengine:1\n")
    assert existing.count(b"\n") == 5
    (kam.dbtext / "domain").write_bytes(DOMAIN.notation.write([record.line]))
    (kam.dbtext / "domain_attrs").write_bytes(DOMAIN.notation.needs()["domain_attrs"])
    (kam.dbtext / "rtpengine").write_bytes(RTPENGINE.notation.write([]))
    with kam:
        assert kam.rpc.domains() == [("a.example", "x")]


# ---- rtpengine: a reload each 10 s, so all rows go together


@pytest.mark.parametrize("version", VERSIONS)
def test_rtpengine_rows(tmp_path: Path, version: str) -> None:
    whole = (HERE / "cases" / "rtpengine" / "native.txt").read_bytes()
    answer = checked(RTPENGINE, whole)
    assert answer is not None
    records = [record for record in answer.records if not record.key[1].lower().startswith("ws")]  # type: ignore[union-attr]
    with Kamailio(tmp_path, version=version, rtpengine=True, rtpengine_tout_ms=5) as kam:
        rows = [b"9:9:10.0.0.1\\:22222:1:0:0", b"9:9:udp\\:10.0.0.1\\:99999:1:0:0", b"9:9:tcp\\:10.0.0.1:1:0:0"]
        rows += [b"9:8:udp\\:10.0.0.1\\:0:1:0:0", b"9:8:udp\\:10.0.0.1\\:1 udp\\:10.0.0.2\\:2:1:0:0"]
        rows += [b"9:7:udp\\:10.0.0.9\\:1:1:0:0", b"9:7:udp\\:10.0.0.9\\:1:5:0:0", b"9:4294967302:udp\\:10.0.0.9:1:0:0"]
        harmful = whole.split(b"\n")[0] + b"\n" + b"\n".join(rows) + b"\n"
        refused = without_twins(RTPENGINE.parse_native("list", harmful))
        assert [record.line for record in refused.records] == ["0:7:udp\\:10.0.0.9\\:1:1:0:0"]
        assert len(refused.problems) == len(rows) - 1
        lines = [
            RTPENGINE.line(r, "1(permanent)" if r.use is Use.DISABLED else "0", r.use is Use.DRAINING, True)
            for r in records
        ]
        write_table(kam.dbtext / "rtpengine", RTPENGINE.notation.write([*lines, *map(bytes.decode, rows)]))
        wait_for("rtpengine's window", lambda: reloaded(kam), 30, every=0.5)
        held = {(setid, url): weight for setid, url, weight, _ in kam.rpc.rtpengines()}
        permanent = {(setid, url) for setid, url, _, disabled in kam.rpc.rtpengines() if disabled == "1(permanent)"}
    harmed = {(8, "udp:10.0.0.1:0"): 1, (8, "udp:10.0.0.1:1"): 1, (7, "udp:10.0.0.9:1"): 5, (6, "udp:10.0.0.9"): 1}
    assert held == {record.key: record.seen[0] for record in records} | harmed
    assert permanent == {record.key for record in records if record.use is Use.DISABLED}


def reloaded(kam: Kamailio) -> bool:
    try:
        kam.rpc.call("rtpengine.reload")
    except Fault as fault:
        if not any(text in fault.reason.lower() for text in RTPENGINE.window.faults):
            raise
        return False
    return True
