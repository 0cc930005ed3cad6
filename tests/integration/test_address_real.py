"""address against a real Kamailio: what is accepted is loaded whole, what it harms is refused, and who gets in."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.rpc import connect
from consul_kam.core.records import Answer, Key, Record
from consul_kam.core.twins import without_twins
from consul_kam.datasets import dataset
from consul_kam.errors import ListError
from tests.datasets.common import HERE
from tests.lab import VERSIONS, Fault, Kamailio
from tests.lab.permissions import Address, addresses, allows, options

ADDRESS = dataset("address")
OLD = Address(9, "192.0.2.9", 32, 0, "old")


@pytest.fixture(scope="module", params=VERSIONS)
def kamailio(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Kamailio]:
    directory = tmp_path_factory.mktemp("kam")
    with Kamailio(directory, **options(directory), fifo=True, http_rpc="tcp", version=request.param) as kam:
        yield kam


def load(kam: Kamailio, data: bytes) -> list[Address]:
    """What Kamailio holds after it was given this list; OLD where it kept the one before."""
    for content in (b"9 192.0.2.9 32 0 old\n", data):
        (kam.live / "address.list").write_bytes(content)
        try:
            kam.rpc.call("permissions.addressReload")
        except Fault as fault:
            assert fault.reason == "Reload failed."  # noqa: PT017
    return addresses(kam.rpc)


def checked(data: bytes) -> Answer | None:
    """The answer, or None where check would complain of anything."""
    try:
        answer = without_twins(ADDRESS.parse_native("list", data))
    except ListError:
        return None
    return answer if not answer.problems else None


def meant(record: Record) -> Address:
    """As Kamailio shows a record that was loaded from its canonical line."""
    group, address, mask, port = map(str, record.key)
    network = mask not in ("0", "32", "128")
    text = str(ipaddress.ip_address(address)) if mask != "0" else address
    tag = str(record.seen[0]) or ("" if network else "NULL")
    return Address(int(group), text, int(mask) or -1, int(port), tag)


WHOLE = [
    line
    for line in (HERE / "cases" / "address" / "native.txt").read_bytes().split(b"\n")
    if line.strip(b" \r\t") and not line.startswith(b"#")
]


@pytest.mark.parametrize("line", WHOLE, ids=lambda line: ascii(line[:60])[2:-1])
def test_what_check_accepts_is_loaded_whole(kamailio: Kamailio, line: bytes) -> None:
    answer = checked(line + b"\n")
    assert answer is not None
    (record,) = answer.records
    (held,) = load(kamailio, line)  # no final newline: harmless
    assert load(kamailio, ADDRESS.notation.write([record.line])) == [meant(record)]
    # as the operator wrote it: the same but for the host bits, which Kamailio keeps and looks past
    assert (held.group, held.mask, held.port, held.tag) == (meant(record).group, *meant(record)[2:])
    assert held.ip == meant(record).ip or (held.mask not in (-1, 32, 128) and allows(kamailio, held.group, held.ip))


def test_every_accepted_line_together_and_read_back_as_meant(kamailio: Kamailio) -> None:
    answer = ADDRESS.parse_native("list", (HERE / "cases" / "address" / "native.txt").read_bytes())
    records = sorted(answer.records, key=lambda record: record.sort)
    held = load(kamailio, ADDRESS.notation.write([record.line for record in ADDRESS.in_file_order(records)]))
    assert sorted(held) == sorted(map(meant, records))
    for memory in every_way(kamailio):
        assert memory == sorted((record.key, record.seen) for record in records)


def every_way(kam: Kamailio) -> Iterator[list[tuple[Key, tuple[object, ...]]]]:
    """Memory as the dataset reads it, by each transport that carries the three dumps."""
    ways = [f"unix:{kam.ctl}", f"kamcmd:{kam.found.kamcmd} -s unixs:{kam.ctl}", f"http://127.0.0.1:{kam.rpc_port}/RPC"]
    for spec in (*ways, f"fifo:{kam.fifo}"):
        rpc = connect(spec, reply_dir=str(kam.run))
        answers = [rpc.call(ask.method, *ask.params, deadline=20) for ask in ADDRESS.readback]
        yield sorted((each.key, each.seen) for each in ADDRESS.decode(answers))


@pytest.mark.parametrize("text", ["1 10.0.0.1", "1 10.0.0.0 24", "1 a.example", "1 a.example\n2 a.example"])
def test_one_table_alone_is_read_by_every_transport(kamailio: Kamailio, text: str) -> None:
    load(kamailio, text.encode())
    wanted = sorted((r.key, r.seen) for r in ADDRESS.parse_native("list", text.encode()).records)
    assert list(every_way(kamailio)) == [wanted] * 4


def test_a_list_without_records_is_written_so_that_kamailio_takes_it(kamailio: Kamailio) -> None:
    assert load(kamailio, ADDRESS.notation.write([])) == []
    assert list(every_way(kamailio)) == [[]] * 4


def host(ip: str, group: int = 1, port: int = 0, tag: str = "NULL") -> Address:
    return Address(group, ip, 128 if ":" in ip else 32, port, tag)


def name(text: str, group: int = 1, port: int = 0, tag: str = "NULL") -> Address:
    return Address(group, text, -1, port, tag)


HARMED: list[tuple[str, list[Address]]] = [
    # what is written, what Kamailio makes of it
    ("", []),
    ("# comment", []),
    ("1", [OLD]),
    ("1 # comment", [OLD]),
    ("1 10.0.0.1 33", [OLD]),
    ("1 2001:db8::1 129", [OLD]),
    ("1 10.0.0.0 255.255.255.0", [OLD]),
    ("1 10.0.0.1\n1 10.0.0.2 33", [OLD]),
    ("abc 10.0.0.1 32", [name("abc", 0, tag=".0.0.1")]),
    ("1abc 10.0.0.1", [name("abc", tag=".0.0.1")]),
    ("-1 10.0.0.1", [name("-1", 0, tag=".0.0.1")]),
    ("10.0.0.1 32 5060 tag", [host("0.0.0.1", 10, 5060, "tag")]),
    ("abcd::1", [host("abcd::1", 0)]),
    ("12ab::1 128", [host("ab::1", 12)]),
    ("2147483648 10.0.0.1", [host("10.0.0.1", -(2**31))]),
    ("4294967297 10.0.0.1", [host("10.0.0.1")]),
    ("1 10.0.0.999", [host("10.0.0.231")]),
    ("1 10..0.1", [host("10.0.0.1")]),
    ("1 ...", [host("0.0.0.0")]),
    ("1 10.0.1", [name("10.0.1")]),
    ("1 10.0.0.1.", [name("10.0.0.1.")]),
    ("1 10.0.0.0/24", [name("10.0.0.0/24")]),
    ("1 10.0.0.0/24 24 0 t", [name("10.0.0.0/24", tag="t")]),
    ("1 2001:db8::/32", [name("2001:db8::/32")]),
    ("1 10.0.0.1:5060", [name("10.0.0.1:5060")]),
    ("1 2001:db8::12345", [host("2001:db8::2345")]),
    ("1 1:::2", [name("1:::2")]),
    ("1 [2001:db8::1", [name("[2001:db8::1")]),
    ("1 ::ffff:10.0.0.1", [name("::ffff:10.0.0.1")]),
    ("1 fe80::1%lo", [name("fe80::1%lo")]),
    ("1 1:2:3:4:5:6:7::", [name("1:2:3:4:5:6:7::")]),
    ("1 0.0.0.0", [host("0.0.0.0")]),
    ("1 0.0.0.0 0", [host("0.0.0.0")]),
    ("1 :: 0", [host("::")]),
    ("1 10.0.0.1 -1", [host("10.0.0.1", tag="-1")]),
    ("1 10.0.0.1 tag", [host("10.0.0.1", tag="tag")]),
    ("1 10.0.0.0 4294967320", [Address(1, "10.0.0.0", 24, 0, "")]),
    ("1 10.0.0.0 24x", [Address(1, "10.0.0.0", 24, 0, "x")]),
    ("1 10.0.0.1 32 99999", [host("10.0.0.1", port=99999)]),
    ("1 10.0.0.1 32 4294972356", [host("10.0.0.1", port=5060)]),
    ("1 10.0.0.1 32 sip", [host("10.0.0.1", tag="sip")]),
    ("1 10.0.0.1 32 0 a b", [host("10.0.0.1", tag="a")]),
    ('1 10.0.0.1 32 0 "a b"', [host("10.0.0.1", tag='"a')]),
    ("1 10.0.0.1\v32", [name("10.0.0.1\v32")]),
    ("1 10.0.0.1 32\0 5060", [host("10.0.0.1")]),
    ("1 10.0.0.1 32 0 " + "t" * 1008, [host("10.0.0.1", tag="t" * 1007), name("t", 0)]),
    ("1 10.0.0.1 32 0 " + "t" * 1007 + "7 10.0.0.7", [host("10.0.0.1", tag="t" * 1007), host("10.0.0.7", 7)]),
    ("1 10.0.0.1 32 0 a\n1 10.0.0.1 32 0 b", [host("10.0.0.1", tag="b"), host("10.0.0.1", tag="a")]),
    ("\ufeff1 10.0.0.1", [name("\ufeff1", 0, tag=".0.0.1")]),
]


@pytest.mark.parametrize(
    ("text", "held"), HARMED, ids=lambda value: ascii(value[:50]) if isinstance(value, str) else ""
)
def test_what_kamailio_harms_is_refused(kamailio: Kamailio, text: str, held: list[Address]) -> None:
    assert checked(text.encode()) is None
    assert sorted(load(kamailio, text.encode())) == sorted(held)


def test_what_check_refuses_though_kamailio_loads_it(kamailio: Kamailio) -> None:
    """A name that is no host name: it may be meant, but 10.0.0.0/24 and 10.0.0.1:5060 are such names too."""
    assert checked(b"1 sip:sbc.example.com") is None
    assert load(kamailio, b"1 sip:sbc.example.com") == [name("sip:sbc.example.com")]


WORLD = "203.0.113.7"
DOORS: list[tuple[str, list[str], list[str]]] = [
    # the list, who gets in to group 1, who does not
    ("1 10.0.0.77 24", ["10.0.0.1", "10.0.0.77", "10.0.0.255"], ["10.0.1.77", WORLD]),
    ("1 10.0.0.77", ["10.0.0.77"], ["10.0.0.1", WORLD]),
    ("2 10.0.0.77", [], ["10.0.0.77"]),
    ("1 0.0.0.0 1\n1 128.0.0.0 1", ["10.0.0.1", WORLD, "255.255.255.254"], ["2001:db8::1"]),
    ("1 2001:db8::77 64", ["2001:db8::1"], ["2001:db8:1::1", WORLD]),
    ("1 SBC.example.com", ["SBC.example.com"], ["sbc.example.com"]),
    ("1 0:0:0:0:0:ffff:a00:1", ["::ffff:a00:1"], ["10.0.0.1"]),
]


@pytest.mark.parametrize(("text", "let_in", "kept_out"), DOORS)
def test_who_gets_in_by_what_we_write(kamailio: Kamailio, text: str, let_in: list[str], kept_out: list[str]) -> None:
    answer = checked(text.encode())
    assert answer is not None
    load(kamailio, ADDRESS.notation.write([record.line for record in answer.records]))
    assert [each for each in (*let_in, *kept_out) if allows(kamailio, 1, each)] == let_in


def test_a_port_is_any_or_one(kamailio: Kamailio) -> None:
    load(kamailio, b"1 10.0.0.1 32 5060\n1 10.0.0.2 32 0\n")
    assert [allows(kamailio, 1, ip, port) for ip in ("10.0.0.1", "10.0.0.2") for port in (5060, 5061)] == [
        True, False, True, True,
    ]  # fmt: skip


def test_of_entries_that_overlap_the_more_particular_is_found_first(kamailio: Kamailio) -> None:
    lines = ["2 10.0.0.1", "1 10.0.0.1", "1 10.0.0.1 32 5060", "1 10.0.0.0 16", "1 10.0.0.0 24", "2 10.0.0.0 8"]
    answer = checked("\n".join(lines).encode())
    assert answer is not None
    records = sorted(answer.records, key=lambda record: record.sort)
    held = load(kamailio, ADDRESS.notation.write([record.line for record in ADDRESS.in_file_order(records)]))
    assert [(each.group, each.mask, each.port) for each in held] == [
        (1, 32, 5060), (1, 32, 0), (2, 32, 0), (1, 24, 0), (1, 16, 0), (2, 8, 0),
    ]  # fmt: skip


def test_a_kamailio_does_not_start_on_a_list_that_it_cannot_load(tmp_path: Path) -> None:
    """Why nothing but a checked list may ever be its file."""
    kam = Kamailio(tmp_path, **options(tmp_path, text="1 10.0.0.1 33\n"))
    try:
        with pytest.raises(Exception, match="cannot start Kamailio: it ended with 255"):
            kam.start()
    finally:
        kam.close()
