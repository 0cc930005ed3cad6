"""htable against a real Kamailio: what is accepted is loaded whole, what it harms is refused, over every transport."""

import json
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consul_kam.adapters.releases import Releases
from consul_kam.adapters.rpc import connect
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.change import Base
from consul_kam.core.plan import make_release
from consul_kam.core.records import Record
from consul_kam.core.twins import without_twins
from consul_kam.datasets import dataset
from consul_kam.errors import ListError, RpcFault
from tests.datasets.common import HERE
from tests.lab import Fault, Kamailio
from tests.lab.htable import HEADER, Held, held, options
from tests.lab.kamailio import VERSIONS

CARRIERS = dataset("htable:carriers")
OLD: Held = {"old": "x"}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
VALUES = st.one_of(TEXTS, st.integers(-(2**31), 2**31 - 1))
NONE = frozenset[tuple[str | int, ...]]()
_mtimes = count(int(time.time()) + 3600)  # later than what Kamailio finds at its start, whenever that is


@pytest.fixture(scope="module", params=VERSIONS)
def kamailio(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Kamailio]:
    directory = tmp_path_factory.mktemp("kam")
    more = {"fifo": True, "http_rpc": "tcp", "version": request.param}
    with Kamailio(directory, **more, **options(directory, "carriers", others=("runtime",))) as kam:
        yield kam


def load(kam: Kamailio, data: bytes) -> Held:
    """What Kamailio holds after it was given this table; OLD where it kept the one before."""
    for content in (HEADER.encode() + b"1:old:0:0:x:0\n", data):
        path = kam.dbtext / "carriers"
        path.write_bytes(content)
        mtime = next(_mtimes)  # db_text reads no file again whose mtime has not grown by a second
        os.utime(path, (mtime, mtime))
        try:
            kam.rpc.call("htable.reload", "carriers")
        except Fault as fault:
            assert fault.reason == "Htable reload failed"  # noqa: PT017
    return held(kam.rpc, "carriers")


def accepted(data: bytes) -> tuple[Record, ...] | None:
    """The records, or None where `check` would not exit with 0."""
    try:
        answer = without_twins(CARRIERS.parse_native("carriers", data))
    except ListError:
        return None
    return None if answer.problems else answer.records


def staged(pairs: Held) -> tuple[Record, ...]:
    """The records of these keys and values."""
    lines: list[dict[str, object]] = [
        {"key": key, "value": value, "type": "int" if isinstance(value, int) else "str"} for key, value in pairs.items()
    ]
    text = "\n".join(map(json.dumps, [*lines, {"end": CARRIERS.name, "records": len(lines)}]))
    return CARRIERS.parse_staging("staged", text.encode()).records


def meant(records: tuple[Record, ...]) -> Held:
    return {str(record.key[0]): record.seen[1] for record in records}  # type: ignore[misc]


@pytest.mark.parametrize(
    "rows",
    [
        "1:acme:0:0:sip\\:gw.acme.example\\:5060:0\n2:limit:0:1:-20:0\n",
        "1:max:0:1:2147483647:0\n2:min:0:1:-2147483648:0\n3:z:0:1:007:0\n4:p:0:1:+5:0\n",
        "1: a b :0:0: \"x\" = 'y' => \\\\ :0\n2:a[0]:0:0:x:0\n3:a\\:\\:size:0:1:1:0\n",
        f"1:{'k' * 255}:0:0:{'v' * 1024}:0\n",
        "1:a:0:0:low:0\n2:A:0:0:up:0\n\n",
        "\n",
    ],
)
def test_a_table_that_check_accepts_is_loaded_whole(kamailio: Kamailio, rows: str) -> None:
    records = accepted((HEADER + rows).encode())
    assert records is not None
    assert load(kamailio, (HEADER + rows).encode()) == meant(records)
    assert load(kamailio, CARRIERS.notation.write([record.line for record in records])) == meant(records)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("", OLD),
        (HEADER, {}),
        (HEADER + "1:a:0:0:x:0", {}),
        (HEADER + "1:a:0:0::0\n", OLD),
        (HEADER + "1::0:0:x:0\n", OLD),
        (HEADER + "1:a:0:0:x\n", OLD),
        (HEADER + "x:a:0:0:x:0\n", OLD),
        (HEADER + "1:a:0:1:abc:0\n", {"a": 0}),
        (HEADER + "1:a:0:1:5x:0\n", {"a": 5}),
        (HEADER + "1:a:0:1: 5:0\n", {"a": 0}),
        (HEADER + "1:a:1:0:x:0\n", {"a[0]": "x", "a::size": 1}),
        (HEADER + "1:a\\0b:0:0:x:0\n", {"a": "x"}),
        (HEADER + "1:a:0:0:x:0\n2:a:0:0:y:0\n", {"a": "y"}),
    ],
)
def test_a_table_that_kamailio_harms_or_refuses_is_refused(kamailio: Kamailio, table: str, found: Held) -> None:
    assert accepted(table.encode()) is None
    assert load(kamailio, table.encode()) == found


def test_an_unknown_value_type_is_refused(kamailio: Kamailio) -> None:
    """Kamailio makes a number of the value's address."""
    data = (HEADER + "1:a:0:2:5:0\n").encode()
    assert accepted(data) is None
    assert load(kamailio, data)["a"] != 5


@pytest.mark.parametrize("case", ["staging", "hostile"])
def test_what_is_staged_is_loaded_as_it_was_read(kamailio: Kamailio, case: str) -> None:
    data = (HERE / "cases" / "htable" / f"{case}.txt").read_bytes()
    records = without_twins(dataset("htable").parse_staging("htable", data)).records
    assert load(kamailio, CARRIERS.notation.write([record.line for record in records])) == meant(records)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=6))
def test_what_is_written_is_what_memory_shows(kamailio: Kamailio, pairs: dict[str, str | int]) -> None:
    records = staged(pairs)
    assert meant(records) == {key: value for key, value in pairs.items() if not {key, value} & {*"{}[]"}}
    assert load(kamailio, CARRIERS.notation.write([record.line for record in records])) == meant(records)


HARD: dict[str, str | int] = {
    "5": "5",
    "a b": " kept ",
    "s:x": "s:y",
    "a: b": "c: d",
    "-5": "-0005",
    "i": -5,
    "max": 2**31 - 1,
    "min": -(2**31),
    "0": 0,
    "é{": "[ü]",
    "quoted": "\"'`\\",
    "long": "v" * 1024,
    "k" * 255: "ü" * 1024,
}


@pytest.mark.parametrize("transport", ["unix", "kamcmd", "fifo", "http"])
def test_every_transport_changes_keys_and_reads_them_back(kamailio: Kamailio, tmp_path: Path, transport: str) -> None:
    specs = {
        "unix": f"unix:{kamailio.ctl}",
        "kamcmd": f"kamcmd:{kamailio.found.kamcmd} -s unixs:{kamailio.ctl}",
        "fifo": f"fifo:{kamailio.fifo}",
        "http": f"http://127.0.0.1:{kamailio.rpc_port}/RPC",
    }
    load(kamailio, HEADER.encode() + b"1:old:0:0:x:0\n")
    rpc = connect(specs[transport], reply_dir=str(kamailio.run))
    work = Work(CARRIERS, rpc, tmp_path / "carriers", Releases(tmp_path / "releases"))
    wanted = make_release(staged(HARD))
    work.base = Base(make_release(staged(OLD)))
    assert work.write(events.DoWrite(1, wanted, work.memory(), NONE, NONE)) == events.Wrote(1)
    assert work.apply(events.DoApply(2)) == events.Applied(2, by_key=True)
    assert held(kamailio.rpc, "carriers") == HARD
    assert {entry.key: entry.seen for entry in work.memory()} == {record.key: record.seen for record in wanted.records}


def test_faults_are_as_recorded(kamailio: Kamailio) -> None:
    rpc = connect(f"unix:{kamailio.ctl}")
    for method, *args, code, reason in (
        ("htable.dump", "nobody", 500, "No such htable"),
        ("htable.delete", "carriers", "nobody", 404, "Key not found in htable."),
        ("htable.reload", "runtime", 500, "No database htable"),
    ):
        with pytest.raises(RpcFault) as fault:
            rpc.call(str(method), *args, deadline=20)
        assert (fault.value.code, fault.value.reason) == (code, reason)
    assert rpc.call("htable.dump", "runtime", deadline=20) == ()
