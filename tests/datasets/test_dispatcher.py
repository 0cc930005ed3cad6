"""What is particular to dispatcher: states in flags, our marks, order, weights, dispatcher.list."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.dataset import Ask
from consul_kam.core.plan import make_release
from consul_kam.core.ports import Value
from consul_kam.core.records import Host, Record, Seen, Use
from consul_kam.datasets import dataset
from consul_kam.errors import RpcMalformed
from consul_kam.testing import OLDEST, VERSIONS
from tests.datasets.common import reply

DISPATCHER = dataset("dispatcher")
every_version = pytest.mark.parametrize("version", VERSIONS)


def records(text: str) -> tuple[Record, ...]:
    answer = DISPATCHER.parse_native("list", text.encode())
    assert answer.problems == ()
    return answer.records


def memory(name: str, version: str = OLDEST) -> tuple[Seen, ...]:
    values = reply("dispatcher", name, version)
    return DISPATCHER.decode([values])  # type: ignore[list-item]


# ---- states


@pytest.mark.parametrize(
    ("state", "disabled", "flags"),
    [
        ("", False, 0), ("AX", False, 0), ("AP", False, 8), ("IX", False, 1), ("IP", False, 9), ("TX", False, 2),
        ("TP", False, 10), ("DX", False, 4), ("DP", False, 12), ("AN", False, 0), ("IN", False, 1),
        ("", True, 4), ("AX", True, 4), ("AP", True, 12), ("IP", True, 12), ("TX", True, 4), ("DX", True, 4),
    ],
)  # fmt: skip
def test_a_state_rides_in_the_flags_and_a_disabled_one_shows_as_disabled(
    state: str, disabled: bool, flags: int
) -> None:
    (literal,) = records("1 sip:10.0.0.1:5060 0 10 duid=a\n")
    (name,) = records("1 sip:router.example 16 10\n")
    assert DISPATCHER.line(literal, state, disabled, False) == f"1 sip:10.0.0.1:5060 {flags} 10 duid=a"
    assert DISPATCHER.line(name, state, disabled, False) == f"1 sip:router.example {flags + 16} 10"


def test_without_a_state_the_flags_of_the_list_stay_and_with_one_memory_wins() -> None:
    (record,) = records("1 sip:10.0.0.1:5060 57 10\n")
    assert DISPATCHER.line(record, "", False, False) == "1 sip:10.0.0.1:5060 57 10"
    assert DISPATCHER.line(record, "AX", False, False) == "1 sip:10.0.0.1:5060 48 10"
    assert DISPATCHER.line(record, "?P", False, False) == "1 sip:10.0.0.1:5060 56 10"  # of no state that we know


def test_only_our_own_disabling_is_taken_off_a_state() -> None:
    assert DISPATCHER.carry is not None
    assert [DISPATCHER.carry(state, True) for state in ("DX", "DP", "IP", "AX")] == ["AX", "AP", "IP", "AX"]
    assert [DISPATCHER.carry(state, False) for state in ("DX", "DP", "IP")] == ["DX", "DP", "IP"]


def test_our_marks_are_read_back_and_nobody_elses() -> None:
    draining, disabled, operators = (
        replace(record, use=use)
        for record, use in zip(
            records("1 sip:10.0.0.1 0 10 duid=a\n2 sip:router.example 16 0\n1 sip:10.0.0.3\n"),
            (Use.DRAINING, Use.DISABLED, Use.IN),
            strict=True,
        )
    )
    data = DISPATCHER.notation.write(
        [
            DISPATCHER.line(draining, "", True, True),
            DISPATCHER.line(disabled, "IP", True, True),
            DISPATCHER.line(operators, "DX", False, False),
        ]
    )
    assert DISPATCHER.ours(data) == {draining.key, disabled.key}
    assert [record.use for record in DISPATCHER.parse_native("live", data).records] == [
        Use.DRAINING,
        Use.DISABLED,
        Use.DISABLED,
    ]
    assert DISPATCHER.ours(b"# nothing\n") == frozenset()


def test_which_states_get_calls() -> None:
    assert [state for state in ("AX", "AP", "IX", "TX", "DX", "") if DISPATCHER.active(state)] == ["AX", "AP"]
    assert DISPATCHER.inactivate is not None
    assert DISPATCHER.inactivate((1, "sip:a")) == Ask("dispatcher.set_state", ("ip", 1, "sip:a"))


# ---- order


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 40)), unique=True, max_size=40))
def test_the_file_order_becomes_the_wanted_one_in_a_loader_that_reverses_equal_priorities(
    wanted: list[tuple[int, int, int]],
) -> None:
    unique = {(setid, host): priority for setid, priority, host in wanted}
    text = "".join(f"{setid} sip:10.0.0.{host} 0 {priority}\n" for (setid, host), priority in unique.items())
    if not text:
        return
    ordered = sorted(records(text), key=lambda record: record.sort)
    loaded: list[Record] = []
    for record in DISPATCHER.in_file_order(ordered):  # add_dest2list and reindex_dests of dispatch.c
        same = [at for at, other in enumerate(loaded) if other.sort[:2] >= record.sort[:2]]
        loaded.insert(same[0] if same else len(loaded), record)
    assert loaded == ordered


# ---- weights


def weighted(name: str, *weights: int, setid: int = 1) -> list[Record]:
    lines = [
        f'{{"setid":{setid},"address":"10.0.{at // 250}.{at % 250 + 1}","weight":{weight},"weight_as":"{name}"}}'
        for at, weight in enumerate(weights)
    ]
    end = f'{{"end":"dispatcher","records":{len(lines)}}}'
    answer = DISPATCHER.parse_staging("list", "\n".join([*lines, end]).encode())
    assert answer.problems == ()
    return list(answer.records)


def settled(name: str, *weights: int) -> list[int]:
    found = DISPATCHER.settled(weighted(name, *weights))[0]
    values = [dict(record.seen[1]).get(name, "0") for record in found]  # type: ignore[call-overload]
    assert all(
        (f"{name}={value}" in record.line) == (value != "0") for record, value in zip(found, values, strict=True)
    )
    return [int(value) for value in values]


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("rweight", [1, 1, 1], [1, 1, 1]),
        ("rweight", [100, 3], [100, 3]),
        ("rweight", [200, 100, 1], [100, 50, 1]),
        ("rweight", [65535, 1], [100, 1]),
        ("weight", [1], [100]),
        ("weight", [7, 7], [50, 50]),
        ("weight", [1, 1, 1], [34, 33, 33]),
        ("weight", [90, 10], [90, 10]),
        ("weight", [65535, 1, 1], [98, 1, 1]),
        ("weight", [2, 1, 2, 1], [33, 17, 33, 17]),
    ],
)
def test_weights_fit_to_each_other(name: str, weights: list[int], expected: list[int]) -> None:
    assert settled(name, *weights) == expected


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=130))
def test_percents_sum_up_to_exactly_100_and_relative_weights_stay_in_range(weights: list[int]) -> None:
    percents = settled("weight", *weights)
    assert sum(percents) == 100
    assert percents[0] >= 1  # algorithm 9 is off where the first has none
    assert len(weights) > 100 or min(percents) >= 1
    relative = settled("rweight", *weights)
    assert all(1 <= weight <= 100 for weight in relative)
    pairs = list(zip(weights, relative, strict=True))
    assert all(a <= b for (x, a) in pairs[:20] for (y, b) in pairs[:20] if x < y)


def test_settling_is_by_set_and_keeps_what_needs_no_change() -> None:
    both = [*weighted("weight", 1, 1), *weighted("rweight", 5, 6, setid=2)]
    first, _ = DISPATCHER.settled(both)
    again, _ = DISPATCHER.settled(both)
    assert [record.line.split()[-1] for record in first] == ["weight=50", "weight=50", "rweight=5", "rweight=6"]
    assert all(a is b for a, b in zip(first, again, strict=True))
    assert first[2] is both[2]


def test_a_fitted_weight_takes_the_place_of_the_old_one_behind_the_duid() -> None:
    def fitted(name: str, count: int, more: str = "") -> list[str]:
        data = [
            f'{{"setid":1,"address":"10.0.0.{n}","weight_as":"{name}","weight":{n}{more}}}' for n in range(1, count)
        ]
        data += [f'{{"end":"dispatcher","records":{count - 1}}}']
        found = DISPATCHER.settled(DISPATCHER.parse_staging("list", "\n".join(data).encode()).records)[0]
        assert all(record == records(record.line + "\n")[0] for record in found)
        return [" ".join(record.line.split()[4:]) for record in found]

    assert fitted("weight", 3) == ["weight=33", "weight=67"]
    assert fitted("rweight", 102)[99:] == ["rweight=99", "rweight=100"]
    assert fitted("weight", 3, ',"duid":"a","maxload":5') == [
        "duid=a;weight=33;maxload=5",
        "duid=a;weight=67;maxload=5",
    ]
    hundred_and_two = DISPATCHER.settled(weighted("weight", *[7] * 102))[0]
    assert [record.line.split(" ")[4:] for record in hundred_and_two].count([]) == 2  # a share of 0 is left out


def test_a_native_list_keeps_its_weights() -> None:
    native = records("1 sip:10.0.0.1 0 0 weight=7\n1 sip:10.0.0.2 0 0 weight=9\n")
    assert DISPATCHER.settled(native)[0] == native


# ---- dispatcher.list


def test_an_empty_memory_is_a_fault_that_means_empty() -> None:
    assert DISPATCHER.readback[0].empty == (reply("dispatcher", "empty"),)
    assert DISPATCHER.decode([()]) == ()


@every_version
def test_one_destination(version: str) -> None:
    assert memory("one", version) == (Seen((1, "sip:10.0.0.1:5060"), (0, ()), "AX"),)


@every_version
def test_sets_ascend_whatever_the_order_of_kamailios_tree(version: str) -> None:
    found = memory("two_sets", version)
    assert [entry.key[0] for entry in found] == sorted(entry.key[0] for entry in found)
    assert {entry.key[0] for entry in found} == {1, 7}
    assert len(memory("hundred", version)) == 100


@every_version
def test_short_and_full_replies_and_statistics_are_read_too(version: str) -> None:
    for name in ("two_sets_short", "two_sets_full"):  # 6.0's full says that attrs are "<null string>": we do not ask it
        assert [(entry.key, entry.state) for entry in memory(name, version)] == [
            (entry.key, entry.state) for entry in memory("two_sets", version)
        ]
    assert {entry.seen for entry in memory("attrs_none_latency_load", version) if entry.key[0] == 7} == {(0, ())}


@every_version
def test_attrs_are_compared_as_pairs_whatever_their_order(version: str) -> None:
    shown = {entry.key: entry.seen for entry in memory("attrs", version)}
    assert shown[2, "sip:10.0.1.2:5060"] == (
        10,
        (("cc", "1"), ("duid", "r2"), ("maxload", "7"), ("rweight", "20"), ("weight", "30")),
    )
    (record,) = records("2 sip:10.0.1.2:5060 0 10 weight=30;duid=r2;cc=1;rweight=20;maxload=7;\n")
    assert record.seen == shown[record.key]


@every_version
def test_bytes_that_are_no_utf8_compare_equal(version: str) -> None:
    found = {entry.key: entry.seen for entry in memory("invalid_utf8", version)}
    answer = DISPATCHER.parse_native("list", b"1 sip:10.0.0.1:5060 0 0 duid=\xff\xfe\n")
    assert [found[record.key] for record in answer.records] == [record.seen for record in answer.records]


@every_version
def test_states_and_disabling(version: str) -> None:
    found = memory("flags", version)
    assert {entry.state[0] for entry in found} == set("AIDT")
    assert all(entry.disabled == (entry.state[0] == "D") for entry in found)


def test_n_is_6_0s_word_for_flag_32_where_there_is_no_p() -> None:
    """Kamailio's FLAGS for the file's flags; `_line` makes the file's flags of them again."""
    found = {int(str(entry.key[1]).split(".")[-1].split(":")[0]): entry.state for entry in memory("flags", "6.0.1")}
    assert {flags: found[flags] for flags in (16, 17, 24, 32, 33, 40, 99)} == {
        16: "AX", 17: "IX", 24: "AP", 32: "AN", 33: "IN", 40: "AP", 99: "IN",
    }  # fmt: skip
    for flags in (0, 1, 8, 9, 16, 17, 24, 32, 33, 40):
        (record,) = records(f"1 sip:10.0.0.1 {flags} 10\n")
        assert DISPATCHER.line(record, found[flags], False, False) == record.line


def test_a_destination_that_comes_again_is_the_same_object() -> None:
    dest = (("URI", "sip:10.0.0.1"), ("FLAGS", "AX"), ("PRIORITY", "0"))

    def listed(*setids: str) -> tuple[Value, ...]:
        sets = tuple(("SET", (("ID", setid), ("TARGETS", (("DEST", dest),)))) for setid in setids)
        return ((("NRSETS", str(len(setids))), ("RECORDS", sets)),)

    first, second = DISPATCHER.decode([listed("1")]), DISPATCHER.decode([listed("1", "2")])
    assert second[0] is first[0]
    assert [entry.key for entry in second] == [(1, "sip:10.0.0.1"), (2, "sip:10.0.0.1")]


@pytest.mark.parametrize(
    "value",
    [
        "text",
        (),
        (("RECORDS", "text"),),
        (("RECORDS", (("SET", "text"),)),),
        (("RECORDS", (("SET", (("ID", "x"), ("TARGETS", ()))),)),),
        (("RECORDS", (("SET", (("ID", "1"),)),)),),
        (("RECORDS", (("SET", (("ID", "1"), ("TARGETS", (("DEST", ()),)))),)),),
        (("RECORDS", (("SET", (("ID", "1"), ("TARGETS", (("DEST", (("URI", "a"), ("FLAGS", "AX"))),)))),)),),
    ],
)
def test_another_shape_is_malformed(value: Value) -> None:
    with pytest.raises(RpcMalformed, match=r"^cannot read dispatcher\.list"):
        DISPATCHER.decode([(value,)])


@given(
    st.recursive(
        st.text(max_size=5),
        lambda inner: st.lists(
            st.tuples(st.sampled_from(["RECORDS", "SET", "ID", "TARGETS", "DEST", "URI", ""]), inner), max_size=4
        ).map(tuple),
    )
)
def test_a_reply_of_any_shape_is_read_or_malformed(value: Value) -> None:
    try:
        DISPATCHER.decode([(value,)])
    except RpcMalformed:
        return


def test_the_same_list_in_any_order_gives_the_same_canonical_file() -> None:
    lines = [f"{at % 3} sip:10.0.0.{at} 0 {at % 4}" for at in range(40)]
    files = set()
    for seed in range(5):
        random.Random(seed).shuffle(lines)
        ordered = sorted(records("\n".join(lines) + "\n"), key=lambda record: record.sort)
        files.add(DISPATCHER.notation.write([record.line for record in DISPATCHER.in_file_order(ordered)]))
    assert len(files) == 1


# ---- what else the engine asks for


@every_version
def test_the_states_are_read_and_put_back_by_the_shortest_requests(version: str) -> None:
    states = DISPATCHER.states
    assert states is not None
    assert states.ask == Ask("dispatcher.list", ("short",))
    short = reply("dispatcher", "two_sets_short")
    assert states.decode(short) == memory("two_sets_short", version)  # type: ignore[arg-type]
    assert states.put_back((1, "sip:a"), "ip") == Ask("dispatcher.set_state", ("ip", 1, "sip:a"))


@pytest.mark.parametrize(
    ("flags", "state", "less"),
    [(0, "IP", False), (8, "IP", False), (16, "IP", True), (32, "IP", True), (16, "IX", False), (16, "AP", False)],
)
def test_what_6_0_would_ping_no_more_is_less_than_it_was(flags: int, state: str, less: bool) -> None:
    assert DISPATCHER.states is not None
    for rest in ("10", "0 duid=a", "48 duid=a"):
        (record,) = records(f"1 sip:10.0.0.1 {flags} {rest}\n")
        assert DISPATCHER.states.less(record, state) is less


def test_of_a_service_id_what_cannot_stand_in_attrs_is_written_in_percents() -> None:
    staged = b'{"setid":1,"address":"10.0.0.1","duid":"a;\\u00e9=\\ud800"}\n{"end":"dispatcher","records":1}\n'
    (record,) = DISPATCHER.parse_staging("list", staged).records
    assert record.line == "1 sip:10.0.0.1 0 10 duid=a%3B%C3%A9%3D%3F"


def test_a_service_id_that_is_no_text_is_refused() -> None:
    staged = b'{"setid":1,"address":"10.0.0.1","duid":7}\n{"end":"dispatcher","records":1}\n'
    (problem,) = DISPATCHER.parse_staging("list", staged).problems
    assert (problem.column, problem.reason) == (33, "duid is 7, allowed: text")


def test_the_gap_grows_with_the_records() -> None:
    assert DISPATCHER.gap.seconds(0) == 0.1
    assert DISPATCHER.gap.seconds(1000) == 0.6


@pytest.mark.parametrize("attrs", [b"duid=a;duid=b", b"weight=1;x=1;Weight=2", b"socket=udp:10.0.0.1;socket="])
def test_an_attribute_of_kamailios_own_stands_once(attrs: bytes) -> None:
    answer = DISPATCHER.parse_native("list", b"1 sip:10.0.0.1 0 10 " + attrs + b"\n")
    assert answer.records == ()
    assert "once: Kamailio reads the first" in answer.problems[0].reason


@pytest.mark.parametrize("attrs", [b"duid=a;duid=a", b"zone=a;zone=b"])
def test_others_and_equal_ones_may_repeat(attrs: bytes) -> None:
    assert DISPATCHER.parse_native("list", b"1 sip:10.0.0.1 0 10 " + attrs + b"\n").problems == ()


def test_a_name_is_looked_up_at_a_load_or_while_it_is_pinged_or_never() -> None:
    found = records("3 sip:a.example 0 1\n3 sip:b.example 16 5\n3 sip:10.0.0.1 0 1\n3 sip:10.0.0.2 16 1\n")
    assert [(r.host, r.pinged_name) for r in found] == [
        (Host("a.example"), ""),
        (None, "b.example"),
        (None, ""),
        (None, ""),
    ]
    assert {r.group for r in found} == {"3"}
    assert [r.key[1] for r in make_release(found).records][:2] == ["sip:b.example", "sip:10.0.0.1"]


def test_a_setid_may_stand_right_before_the_scheme() -> None:
    assert [r.line for r in records("12sip:a.example 16 5\n")] == ["12 sip:a.example 16 5"]
    answer = DISPATCHER.parse_native("list", b" 99999999999sip:a.example\n 12sip:a..example 0 5\n 12sip:a.example 64\n")
    assert [(problem.line, problem.column) for problem in answer.problems] == [(1, 2), (2, 4), (3, 18)]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ('"address":"10.0.0.1","flags":"","priority":"","port":""', "1 sip:10.0.0.1 0 10"),
        ('"address":"10.0.0.1","flags":8,"priority":5,"port":5060', "1 sip:10.0.0.1:5060 8 5"),
        ('"address":"10.0.0.1","weight_as":"rweight"', "1 sip:10.0.0.1 0 10 rweight=1"),
        ('"address":"10.0.0.1","weight_as":"rweight","weight":100', "1 sip:10.0.0.1 0 10 rweight=100"),
        ('"address":"10.0.0.1","weight_as":"rweight","weight":101', "1 sip:10.0.0.1 0 10"),
        ('"entry":"sip:10.0.0.1","flags":8,"priority":5', "1 sip:10.0.0.1 8 5"),
        ('"entry":"sip:10.0.0.1 0 5 a=b#c"', "1 sip:10.0.0.1 0 5 a=b#c"),
    ],
)
def test_what_is_left_out_is_as_usual(fields: str, line: str) -> None:
    staged = f'{{"setid":1,{fields}}}\n{{"end":"dispatcher","records":1}}\n'.encode()
    assert [record.line for record in DISPATCHER.parse_staging("list", staged).records] == [line]
