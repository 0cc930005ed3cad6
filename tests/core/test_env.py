"""Layers of KV: later ones win, what is wrong keeps its last good value, what is missing stops a start."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from consul_kam.core import env_known
from consul_kam.core.env import (
    HIDDEN,
    Change,
    Env,
    Layer,
    Value,
    changes,
    digest,
    emptied,
    filled,
    needs_restart,
    noted,
    policy,
    reference,
    resolve,
    shown,
)
from consul_kam.core.env_known import VERSIONS, Known
from consul_kam.core.env_spec import Spec

PORT = Spec("PORT", "int", low=1, high=65535)
NEEDED = Spec("NEEDED", required=True)


def layer(place: str = "g", **entries: str) -> Layer:
    return Layer(place, {name: text.encode() for name, text in entries.items()})


def values(found: Env) -> dict[str, tuple[str, str]]:
    return {name: (value.text, value.source) for name, value in found.values.items()}


def known(**texts: str) -> Mapping[str, Value]:
    return {name: Value(text, f"g/{name}") for name, text in texts.items()}


def test_later_layers_win_and_each_value_has_its_source() -> None:
    specs = [PORT, Spec("A"), Spec("B", default="b"), Spec("NONE")]
    found = resolve(specs, (), [layer("g", PORT="1", A="1"), layer("r"), layer("n", PORT="2")], {})
    assert values(found) == {"A": ("1", "g/A"), "B": ("b", "default"), "PORT": ("2", "n/PORT")}
    assert (found.troubles, found.missing) == ((), ())
    assert found.texts == {"A": "1", "B": "b", "PORT": "2"}


def test_a_wrong_value_keeps_the_last_good_one_not_that_of_an_earlier_layer() -> None:
    found = resolve([PORT], (), [layer("g", PORT="1"), layer("n", PORT="x")], known(PORT="7"))
    assert values(found) == {"PORT": ("7", "last known: g/PORT")}
    assert found.troubles == ("n/PORT is no whole number from 1 to 65535; its last good value stays",)
    again = resolve([PORT], (), [layer("n", PORT="x")], found.values)
    assert values(again) == values(found)


@pytest.mark.parametrize("last", [{}, known(PORT="0")])
def test_a_wrong_value_without_a_good_one_stops_a_start(last: Mapping[str, Value]) -> None:
    found = resolve([Spec("PORT", "int", low=1, high=9, default="5")], (), [layer(PORT="x")], last)
    assert found.missing == ("g/PORT is no whole number from 1 to 9; there is no last good one",)
    assert values(found) == {}


def test_a_required_one_that_is_nowhere() -> None:
    assert resolve([NEEDED], (), [layer()], {}).missing == ("NEEDED is required and in no layer",)
    assert resolve([NEEDED], (), None, {}).missing == ("NEEDED is required and not known while Consul does not answer",)
    kept = resolve([NEEDED], (), [layer()], known(NEEDED="x"))
    assert kept.troubles == ("NEEDED is required and in no layer; its last good value stays",)
    assert values(kept) == {"NEEDED": ("x", "last known: g/NEEDED")}


def test_an_optional_one_that_is_gone_is_gone() -> None:
    assert values(resolve([PORT], (), [layer()], known(PORT="7"))) == {}


def test_without_consul_the_last_good_values_go_on_and_defaults_where_there_are_none() -> None:
    specs = [PORT, NEEDED, Spec("B", default="b"), Spec("C")]
    found = resolve(specs, ("X_*",), None, known(PORT="7", NEEDED="n", X_1="x", OLD="o"))
    assert values(found) == {
        "B": ("b", "default"),
        "NEEDED": ("n", "last known: g/NEEDED"),
        "PORT": ("7", "last known: g/PORT"),
        "X_1": ("x", "last known: g/X_1"),
    }
    assert found.troubles == ("OLD: ignored: neither [env.vars.OLD] nor [env] allow names it",)
    assert found.missing == ()


def test_none_at_all_is_not_believed_where_there_was_something() -> None:
    layers = [layer("g"), layer("n")]
    said = "KV has nothing any more below g/, n/: not believed; put a variable there, or the key g/"
    for last in (known(A="1"), {"A": Value("1", "last known: g/A")}, {"B": Value("b", "default"), **known(A="1")}):
        assert emptied(layers, last) == said
    for last in ({}, {"A": Value("1", "default")}, {"A": Value("1", "last known: default")}):
        assert emptied(layers, last) == ""
    assert emptied(layers, {"A": Value("1", "vault db", leased=True)}) == ""
    assert emptied([layer("g"), layer("n", OTHER="1")], known(A="1")) == ""
    assert emptied([layer("g"), Layer("n", {}, folder=True)], known(A="1")) == ""
    assert emptied([], known(A="1")) == "", "nobody asks KV any more"


def test_undeclared_names_need_leave_and_dangerous_ones_never_get_it() -> None:
    found = resolve([], ("A_*", "L*"), [layer(A_1="1", B="2", LD_PRELOAD="/x"), layer("n", **{"a/b": "3"})], {})
    assert values(found) == {"A_1": ("1", "g/A_1")}
    assert found.troubles == (
        "g/B: ignored: neither [env.vars.B] nor [env] allow names it",
        "g/LD_PRELOAD: never taken: whoever sets it commands the program",
        "n/'a/b': no name of a variable: expected up to 64 letters, digits and _, no digit first",
    )


def test_a_key_that_is_hostile_is_one_line() -> None:
    (trouble,) = resolve([], ("*",), [layer("g", **{"A\n\x1b[31m" + "x" * 600: "1"})], {}).troubles
    assert trouble.isprintable()
    assert len(trouble) < 200


def test_bytes_that_are_no_text() -> None:
    found = resolve([Spec("A")], ("B",), [Layer("g", {"A": b"\xff", "B": b"\xff"})], {})
    assert found.missing == ("g/A is no UTF-8; there is no last good one",)
    assert found.troubles == ("g/B: is no UTF-8",)


def test_only_what_a_restart_brings_is_in_the_digest() -> None:
    specs = [Spec("A"), Spec("L", change="htable"), Spec("C", change="cfg", cfg=("g", "v"))]
    one = digest(specs, {"A": "1", "L": "1", "C": "1"})
    assert one == "f1d316d330440dea", "a restart with another version of ours would say that one is needed"
    assert one == digest(specs, {"A": "1", "L": "2", "C": "2"})
    assert one != digest(specs, {"A": "2", "L": "1", "C": "1"})
    assert one != digest(specs, {"A": "1", "NEW": ""})
    assert needs_restart(specs, {"A": "1", "L": "1", "GONE": "1"}, {"A": "2", "L": "2", "NEW": ""}) == [
        "A",
        "GONE",
        "NEW",
    ]
    assert [policy(specs, name) for name in ("A", "L", "C", "?")] == ["restart", "htable", "cfg g.v", "restart"]


def test_changes() -> None:
    found = changes({"A": "1", "B": "1", "C": "1"}, {"A": "1", "B": "2", "D": "1"})
    assert found == [Change("B", "1", "2"), Change("C", "1", None), Change("D", None, "1")]
    assert [change.sign for change in found] == ["~", "-", "+"]


def test_secrets_are_hidden() -> None:
    specs = [Spec("A", secret=True), Spec("PASSWORD_FILE")]
    assert shown(specs, "A", "x") == HIDDEN == "(hidden)"
    assert shown(specs, "PASSWORD_FILE", "/x") == "/x"
    assert shown(specs, "DB_PASSWORD", "x") == HIDDEN
    assert shown(specs, "URL", "mysql://u:p/:@w@h/d http://h/") == "mysql://u:...@h/d http://h/"


def test_a_commands_words() -> None:
    words = ["kamailio", "-m", "${SHM}", "x${A}${NO}", "$A", "${a b}", "${low}"]
    assert filled(words, {"SHM": "6 4", "A": "${SHM}", "low": "l"}) == (
        ["kamailio", "-m", "6 4", "x${SHM}", "$A", "${a b}", "l"],
        ["NO"],
    )


def test_what_is_known_survives() -> None:
    now = env_known.taken(Known(started="d0"), Env(known(A="1")), "d1", 5.0)
    assert env_known.load(env_known.dump(now)) == now
    assert (now.values, now.at, now.versions, now.started) == (known(A="1"), 5.0, {"d1": {"A": "1"}}, "d0")


def test_what_kamailio_was_started_with_is_never_forgotten() -> None:
    found = Known(started="d0")
    for number in range(3 * VERSIONS):
        found = env_known.taken(found, Env(known(A=str(number))), f"d{number}", 1.0)
    newest = [f"d{number}" for number in range(2 * VERSIONS + 1, 3 * VERSIONS)]
    assert list(found.versions) == ["d0", *newest]
    again = env_known.taken(found, Env(known(A="0")), "d0", 1.0)
    assert list(again.versions) == [*newest, "d0"]


@pytest.mark.parametrize("raw", [None, {}, [], {"values": {"A": 1}, "at": 0, "versions": [], "started": ""}])
def test_what_is_damaged(raw: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        env_known.load(raw)


DBURL = Spec("DBURL", "uri", secret=True, origin=("db", "text"))


def test_what_is_vaults_comes_from_nowhere_else() -> None:
    found = resolve([DBURL], ("*",), [layer("g", DBURL="kv:x", B="2")], known(DBURL="kv:y"), {"DBURL": b"p://u:s@h/d"})
    assert found.values["DBURL"] == Value("p://u:s@h/d", "vault db", leased=True)
    assert found.troubles == ("g/DBURL: ignored: its value is secret://db/text",)
    assert (found.missing, set(found.values)) == ((), {"DBURL", "B"})
    assert reference(DBURL) == "secret://db/text"
    assert not Spec("A").leased


def test_a_secret_that_is_no_more_is_not_used_on() -> None:
    last = {"DBURL": Value("p://u:s@h/d", "vault db", leased=True)}
    for layers in ([layer()], None):
        found = resolve([DBURL], (), layers, last, {"DBURL": "there is no secret db"})
        assert (found.values, found.missing) == ({}, ("DBURL: there is no secret db",))
    assert resolve([DBURL], ("*",), None, last).missing == ("DBURL: it was not read",)
    found = resolve([replace(DBURL, default="text:d")], (), [], last, {"DBURL": "there is no secret db"})
    assert found.values == {"DBURL": Value("text:d", "default")}
    assert (found.troubles, found.missing) == (("DBURL: there is no secret db; its default goes",), ())


@pytest.mark.parametrize(
    "last",
    [None, Value("p:", "vault db"), Value("no URI", "vault db", leased=True)],
)
def test_a_secret_that_is_no_value_and_no_last_good_one(last: Value | None) -> None:
    found = resolve([DBURL], (), [], {} if last is None else {"DBURL": last}, {"DBURL": b"canary"})
    assert found.values == {}
    assert found.missing == (
        "DBURL: secret://db/text is no URI: expected SCHEME:..., without blanks; there is no last good one",
    )


def test_a_secret_that_is_no_value_keeps_the_last_good_one() -> None:
    last = {"DBURL": Value("p:1", "vault db", leased=True)}
    found = resolve([DBURL], (), [], last, {"DBURL": b"\xff"})
    assert found.values == {"DBURL": Value("p:1", "last known: vault db", leased=True)}
    assert found.troubles == ("DBURL: secret://db/text is no UTF-8; its last good value stays",)


def test_of_a_secret_only_what_tells_it_from_others_is_written_down() -> None:
    specs = [DBURL, Spec("A")]
    one, other = (noted(specs, {"A": "1", "DBURL": text}, "key") for text in ("p:canary", "p:b"))
    assert one == {"A": "1", "DBURL": "leased 9252b71982bab37c"}, "an update of ours needs no restart"
    assert one == noted(specs, {"A": "1", "DBURL": "p:canary"}, "key")
    assert needs_restart(specs, one, other) == ["DBURL"]
    assert digest(specs, one) != digest(specs, other)
    assert one != noted(specs, {"A": "1", "DBURL": "p:canary"}, "another"), "nobody else can try what it may be"
    assert noted([Spec("A"), Spec("B")], {"A": "1", "B": "1"}, "") == {"A": "1", "B": "1"}


def test_no_lease_is_written_down() -> None:
    env = Env({"A": Value("1", "g/A"), "DBURL": Value("p:canary", "vault db", leased=True)})
    now = env_known.taken(Known(key="k"), env, "d1", 5.0, noted([DBURL], env.texts, "k"))
    assert now.values == env.values
    assert "canary" not in str(env_known.dump(now))
    again = env_known.load(env_known.dump(now))
    assert (again.key, set(again.values), again.versions) == ("k", {"A"}, now.versions)
    old = {key: value for key, value in env_known.dump(now).items() if key != "key"}
    assert env_known.load(old).key == "", "as it was written before there were secrets"
