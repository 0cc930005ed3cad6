"""The facts that traps are looked for in, and what several traps ask of them."""

from dataclasses import replace

import pytest

from consul_kam.core.kamailio_script import read_script
from consul_kam.core.records import Use
from consul_kam.core.trap import Facts, ListFacts, Place, Running, modparam
from consul_kam.core.trap_sets import asked, selections, shares, tables
from consul_kam.datasets import dataset

LINES = b"1 sip:a 0 9 duid=x;rweight=1\n1 sip:b 0 8 rweight=9\n2 sip:c 0 7\n"
RECORDS = dataset("dispatcher").parse_native("list", LINES).records
SETS = ({"setid": 1, "service": "router"}, {"setid": 2, "service": ""}, {"setid": 3, "service": "sbc"})
LIST = ListFacts(name="dispatcher", file="/l", records=RECORDS, sets=SETS)
SCRIPT = read_script(
    'loadmodule "tm.so"\nmodparam("tm", "fr_timer", 2000)\n'
    'modparam("htable", "htable", "p=>size=4;dbtable=peers")\nmodparam("htable", "htable", "q=>size=4")\n'
    'route { ds_select_dst("1", "8"); ds_select_domain("2", 11); ds_select_dst("3", "$var(a)"); ds_select_dst("4"); }'
)
FACTS = Facts(script=SCRIPT, lists=(LIST, ListFacts(name="htable:peers", file="/db/peers")))


def test_what_is_out_is_not_used() -> None:
    out = replace(RECORDS[0], use=Use.OUT)
    facts = replace(FACTS, lists=(replace(LIST, records=(out, *RECORDS[1:])),))
    assert facts.destinations == 2
    assert FACTS.destinations == 3


def test_kinds() -> None:
    assert [each.name for each in FACTS.of("htable")] == ["htable:peers"]
    assert FACTS.of("domain") == ()


def test_modules_are_those_of_the_running_one_where_it_tells() -> None:
    assert Facts().modules is None
    assert not Facts().loaded("tm")
    assert FACTS.modules == {"tm"}
    assert replace(FACTS, running=Running()).loaded("tm")
    assert not replace(FACTS, running=Running(modules=frozenset({"sl"}))).loaded("tm")


def test_htables_are_those_of_the_running_one_where_it_tells() -> None:
    assert Facts().htables is None
    assert FACTS.htables == {"p", "q"}
    assert replace(FACTS, running=Running()).htables == {"p", "q"}
    assert replace(FACTS, running=Running(htables=frozenset({"r"}))).htables == {"r"}


def test_numbers_are_those_of_the_running_one_where_it_tells() -> None:
    assert Facts().number("tm", "fr_timer", 1) is None
    assert FACTS.number("tm", "fr_timer", 1, "fr_timer") == 2000
    told = replace(FACTS, running=Running(values={"tm.fr_timer": 9, "tm.other": "text"}))
    assert told.number("tm", "fr_timer", 1, "fr_timer") == 9
    assert told.number("tm", "other", 1, "other") == 1


def test_a_place_that_nobody_looked_at_is_absent() -> None:
    assert Facts().place("/x") == Place()


@pytest.mark.parametrize(("value", "line"), [(1, 'modparam("a", "b", 1)'), ("c", 'modparam("a", "b", "c")')])
def test_the_line_of_a_modparam(value: int | str, line: str) -> None:
    assert modparam("a", "b", value) == line


def test_sets_and_how_they_are_shared() -> None:
    assert selections(Facts()) == set()
    assert selections(FACTS) == {("1", 8), ("2", 11)}
    assert [setid for setid, _ in asked(FACTS, 8)] == ["1"]
    assert list(asked(FACTS, 11)) == [], "set 2 asks for no service"
    any_set = replace(FACTS, script=read_script('route { ds_select_dst("$var(s)", "9"); }'))
    assert [setid for setid, _ in asked(any_set, 9)] == ["1", "3"]


def test_the_weights_of_a_set() -> None:
    assert list(shares(FACTS, 8, "rweight")) == [("1", 2, [1, 9])]
    assert list(shares(FACTS, 8, "weight")) == [("1", 2, [])]
    assert list(shares(FACTS, 9, "weight")) == []


def test_whose_an_htable_is() -> None:
    assert [(each.name if each else None, text) for each, text in tables(FACTS)] == [
        ("htable:peers", "p=>size=4;dbtable=peers"),
        (None, "q=>size=4"),
    ]
    assert list(tables(Facts())) == []
