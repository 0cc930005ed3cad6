"""htable.ctmpl: what of an instance and of KV becomes key and value, read by the dataset."""

from pathlib import Path

import pytest

from consul_kam.app.templates import SHIPPED, export, meant_for, sets_environment
from consul_kam.datasets import dataset
from consul_kam.errors import ConfigError
from tests.integration.rendering import render
from tests.lab import ConsulAgent

HTABLE = [SHIPPED / "htable.ctmpl"]


def held(directory: Path, consul: ConsulAgent, **entry: object) -> dict[str, tuple[object, ...]]:
    """Key -> type and value of each record that is in use."""
    text = render(directory, consul, sets_environment({"htable": [entry]}), HTABLE).text["htable"]
    answer = dataset("htable").parse_staging("htable", text)
    assert answer.problems == ()
    return {str(record.key[0]): record.seen for record in answer.records if record.use.value == "in"}


@pytest.mark.parametrize(
    ("members", "first", "second"),
    [
        ({}, ("r1", "10.0.0.1:5060"), ("r2", "[2001:db8::1]")),
        ({"value": "uri"}, ("r1", "sip:10.0.0.1:5060"), ("r2", "sip:[2001:db8::1]")),
        ({"key": "address", "value": "id"}, ("10.0.0.1:5060", "r1"), ("[2001:db8::1]", "r2")),
        ({"value": "weight"}, ("r1", "5"), ("r2", "1")),
        ({"value": "status"}, ("r1", "passing"), ("r2", "warning")),
        ({"value": "meta.carrier"}, ("r1", "acme"), None),
        ({"value": "meta.nobody"}, None, None),
        ({"value": "node"}, ("r1", "NODE"), ("r2", "NODE")),
        ({"address": "wan"}, ("r1", "192.0.2.1:5070"), ("r2", "[2001:db8::1]")),
        ({"warning": "out"}, ("r1", "10.0.0.1:5060"), None),
        ({"tag": "blue"}, ("r1", "10.0.0.1:5060"), None),
    ],
)
def test_what_of_an_instance(
    tmp_path: Path,
    consul: ConsulAgent,
    members: dict[str, object],
    first: tuple[str, str] | None,
    second: tuple[str, str] | None,
) -> None:
    service = {"Name": "router", "ID": "r1", "Address": "10.0.0.1", "Port": 5060, "Tags": ["blue"]}
    wan = {"wan": {"Address": "192.0.2.1", "Port": 5070}}
    consul.register_raw(
        {**service, "Meta": {"carrier": "acme"}, "Weights": {"Passing": 5, "Warning": 1}, "TaggedAddresses": wan}
    )
    check = {"Status": "warning", "TTL": "1h"}
    consul.register_raw({"Name": "router", "ID": "r2", "Address": "2001:db8::1", "Check": check})
    node = str(consul.ask("GET", "/v1/agent/self")["Config"]["NodeName"])  # type: ignore[index,call-overload]
    wanted = {key: ("str", value.replace("NODE", node)) for key, value in filter(None, (first, second))}
    assert held(tmp_path, consul, service="router", **members) == wanted


def test_the_node_as_key(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "r1", "10.0.0.1", 5060)
    node = str(consul.ask("GET", "/v1/agent/self")["Config"]["NodeName"])  # type: ignore[index,call-overload]
    assert held(tmp_path, consul, service="router", key="node") == {node: ("str", "10.0.0.1:5060")}


def test_keys_below_a_prefix_static_ones_and_types(tmp_path: Path, consul: ConsulAgent) -> None:
    for key, value in {"t/1/a": " 5\n", "t/1/b/c": "-6", "t/10/d": "7", "t/1/": "", "t/1/b/": ""}.items():
        consul.kv_put(key, value)
    found = held(tmp_path, consul, kv="t/1", static=["s=8"], type="int")
    assert found == {"a": ("int", 5), "b/c": ("int", -6), "s": ("int", 8)}
    assert held(tmp_path, consul, kv="t/1/")["a"] == ("str", "5")


def test_no_set_is_an_empty_list(tmp_path: Path, consul: ConsulAgent) -> None:
    assert render(tmp_path, consul, {}, HTABLE).text["htable"] == b'{"end":"htable","records":0}\n'


def test_each_table_has_a_template_that_knows_its_name(tmp_path: Path, consul: ConsulAgent) -> None:
    chosen = {"htable": [{"static": ["a=x"]}], "htable:a-b": [{"static": ["b=`y`"]}]}
    paths = export(tmp_path / "own", chosen)
    assert [meant_for(path.name) for path in paths] == [("htable", ""), ("htable:a-b", "")]
    found = render(tmp_path, consul, {}, paths).text
    for path, name in zip(paths, chosen, strict=True):
        (record,) = dataset(name).parse_staging(path.stem, found[path.stem]).records
        assert record.seen == ("str", {"htable": "x", "htable:a-b": "`y`"}[name])
    with pytest.raises(ConfigError, match=r"^cannot hand over the sets of htable:a-b by environment"):
        sets_environment(chosen)
