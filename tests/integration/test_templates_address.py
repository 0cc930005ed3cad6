"""templates/address.ctmpl, rendered by the real consul-template and read by the dataset."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from consul_kam.app.templates import SHIPPED, sets_environment
from consul_kam.config import parse
from consul_kam.datasets import dataset
from tests.integration.rendering import Rendered, render
from tests.lab import ConsulAgent, Lab

ADDRESS = dataset("address")
TEMPLATE = [SHIPPED / "address.ctmpl"]


def rendered(tmp_path: Path, consul: ConsulAgent, *sets: Mapping[str, object]) -> Rendered:
    return render(tmp_path, consul, sets_environment({"address": sets}) if sets else {}, TEMPLATE)


def lines(found: Rendered) -> list[str]:
    """The canonical lines of what can be used, and why the rest cannot."""
    answer = ADDRESS.parse_staging("address", found.text["address"])
    return sorted([record.line for record in answer.records] + [problem.reason for problem in answer.problems])


def test_without_configuration_the_routers_are_let_in(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "r1", "10.0.0.1", 5060)
    assert lines(rendered(tmp_path, consul)) == ["1 10.0.0.1 32 0 router"]
    configured = parse('datasets.address.file = "/a"', "test", {}).dataset("address").sets
    assert lines(rendered(tmp_path, consul, *configured)) == ["1 10.0.0.1 32 0 router"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "1 10.0.0.0 24 0 sbc"),
        ({"group": 7}, "7 10.0.0.0 24 0 sbc"),
        ({"port": "any"}, "1 10.0.0.0 24 0 sbc"),
        ({"port": "service"}, "1 10.0.0.0 24 5060 sbc"),
        ({"min_prefix": 25}, "mask is 24, allowed: 25 or more from Consul: min_prefix of the set is 25"),
        ({"min_prefix": 0, "min_prefix6": 128}, "1 10.0.0.0 24 0 sbc"),
        ({"min_prefix": 24.0}, "1 10.0.0.0 24 0 sbc"),
        ({"address": "wan"}, "1 192.0.2.0 24 0 sbc"),
        ({"address": "wan", "port": "service"}, "1 192.0.2.0 24 5070 sbc"),
        ({"tag": "blue"}, "1 10.0.0.0 24 0 sbc"),
    ],
)
def test_members_of_a_set(tmp_path: Path, consul: ConsulAgent, members: dict[str, object], expected: str) -> None:
    tagged = {"wan": {"Address": "192.0.2.7", "Port": 5070}}
    consul.register_raw(
        {"Name": "sbc", "ID": "s1", "Address": "10.0.0.7", "Port": 5060, "Tags": ["blue"], "Meta": {"mask": "24"}}
        | {"TaggedAddresses": tagged}
    )
    consul.register_raw({"Name": "sbc", "ID": "s2", "Address": "10.0.0.8", "Tags": ["red"]} if "tag" in members else
                        {"Name": "other", "ID": "s2", "Address": "10.0.0.8"})  # fmt: skip
    assert lines(rendered(tmp_path, consul, {"group": 1, "service": "sbc", **members})) == [expected]


def test_a_bound_of_zero_is_a_bound_of_zero(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.kv_put("peers/a", "128.0.0.0 1\n")
    consul.kv_put("peers/deep/b", " 8000:: 1 0 six ")
    entry = {"group": 1, "kv": "peers"}
    assert lines(rendered(tmp_path, consul, {**entry, "min_prefix": 0, "min_prefix6": 0})) == [
        "1 128.0.0.0 1 0", "1 8000:: 1 0 six",
    ]  # fmt: skip
    assert all(line.startswith("mask is 1, allowed") for line in lines(rendered(tmp_path, consul, entry)))


def test_static_entries_are_as_wide_as_they_say(tmp_path: Path, consul: ConsulAgent) -> None:
    entries = ["0.0.0.0 1 0 half", "10.0.0.1", "sbc.example.com 0 5060", ":: 1"]
    found = rendered(tmp_path, consul, {"group": 1, "static": entries, "min_prefix": 32, "min_prefix6": 128})
    assert lines(found) == ["1 0.0.0.0 1 0 half", "1 10.0.0.1 32 0", "1 :: 1 0", "1 sbc.example.com 0 5060"]
    assert [record["source"] for record in found.records("address")] == [{"id": "static"}] * 4


def test_every_instance_has_its_status_and_the_policy_of_its_set(tmp_path: Path, consul: ConsulAgent) -> None:
    for number, status in enumerate(("passing", "warning", "critical"), 1):
        consul.register("sbc", status, f"10.0.0.{number}", status=status)
    consul.register("sbc", "maintenance", "10.0.0.4", status="critical")
    consul.maintenance("maintenance")
    found = rendered(tmp_path, consul, {"group": 1, "service": "sbc", "warning": "out", "critical": "in"})
    uses = {record.source.id: record.use.value for record in ADDRESS.parse_staging("a", found.text["address"]).records}
    assert uses == {"passing": "in", "warning": "out", "critical": "in", "maintenance": "kept"}


MEMBERS = {"group", "min_prefix", "min_prefix6", "source", "address", "status", "tag", "warning", "critical"}
EVIL = '"},"group":9,"min_prefix":0}\n{"end":"address","records":0}\n1 0.0.0.0 1 {{ key "x" }} \\ ` é'


def test_no_value_leaves_its_string(tmp_path: Path, lab: Lab) -> None:
    consul = lab.consul()  # of its own: what has such an ID is not easily deregistered
    meta = {"mask": EVIL, "group": "9", "min_prefix": "0", "tag": "x"}
    id = EVIL.replace("/", "")
    consul.register_raw({"Name": "sbc", "ID": id, "Address": EVIL, "Meta": meta, "Tags": [EVIL]})
    consul.kv_put("peers/evil", EVIL)
    found = rendered(tmp_path, consul, {"group": 1, "service": "sbc", "kv": "peers", "port": "service"})
    entry, record = sorted(found.records("address"), key=lambda each: "address" in each)
    assert set(record) == MEMBERS | {"mask", "port"}
    assert (record["address"], record["mask"], record["source"]["id"]) == (EVIL, EVIL, id)
    assert set(entry) == {"group", "min_prefix", "min_prefix6", "source", "entry"}
    assert (record["group"], entry["group"], record["min_prefix"], entry["min_prefix"]) == (1, 1, 24, 24)
    assert not ADDRESS.parse_staging("address", found.text["address"]).records
    assert json.loads(found.text["address"].splitlines()[-1]) == {"end": "address", "records": 2}
