"""The mapping: what of Consul becomes what of the staging file, and how sets reach the templates."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.app.templates import SHIPPED, export, sets_environment
from consul_kam.errors import ConfigError
from tests.integration.rendering import DATASETS, MEMBERS, render, sets
from tests.lab import ConsulAgent, program, wait_for

RTP_AS_ROUTER = {"CONSUL_KAM_RTPENGINE_SETS": '[{"setid":0,"service":"router"}]'}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulAgent]:
    with ConsulAgent(tmp_path_factory.mktemp("consul")) as consul:
        yield consul


@pytest.fixture
def consul(agent: ConsulAgent) -> Iterator[ConsulAgent]:
    """The shared agent, emptied after each test."""
    yield agent
    agent.ask("PUT", "/v1/agent/maintenance?enable=false")
    agent.kv_delete("", recurse=True)
    services = agent.ask("GET", "/v1/agent/services")
    assert isinstance(services, dict)
    for service in services:
        agent.deregister(service)
    assert agent.ask("GET", "/v1/agent/services") == {}


# ---- the mapping


def test_without_configuration_it_is_the_list_of_the_article(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "r2", "10.0.0.2", 5070)
    consul.register("router", "r1", "10.0.0.1", 5060, tags=["router", "kamailio"])
    found = render(tmp_path, consul)
    assert [(f"{r['setid']} sip:{r['address']}:{r['port']}", r["priority"]) for r in found.records()] == [
        ("1 sip:10.0.0.1:5060", 10),
        ("1 sip:10.0.0.2:5070", 10),
    ]
    assert found.records()[0] == {
        "setid": 1, "source": {"service": "router", "id": "r1", "node": "lab", "dc": ""}, "address": "10.0.0.1",
        "port": 5060, "duid": "r1", "priority": 10, "weight": 1, "weight_as": "rweight", "status": "passing",
        "warning": "in", "critical": "out",
    }  # fmt: skip
    assert [(r["domain"], r["did"]) for r in found.records("domain")] == [("10.0.0.1",) * 2, ("10.0.0.2",) * 2]
    assert found.records("rtpengine") == []


def test_no_instances_are_an_answer_of_none_and_an_empty_variable_is_no_answer(
    tmp_path: Path, consul: ConsulAgent
) -> None:
    unset = {"CONSUL_KAM_DISPATCHER_SETS": ""}
    assert render(tmp_path, consul, unset).text["dispatcher"] == b'{"end":"dispatcher","records":0}\n'
    consul.register("router", "r1")
    assert len(render(tmp_path, consul, unset).records()) == 1


def test_tag_primary_makes_two_tiers_unless_the_set_or_the_instance_says(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "first", tags=["x", "primary"])
    consul.register("router", "second", tags=["primary2", "not primary"])
    consul.register("router", "third", meta={"priority": "7"})

    def priorities(**members: object) -> dict[str, object]:
        entry = {"setid": 1, "service": "router", **members}
        return {r["duid"]: r["priority"] for r in render(tmp_path, consul, sets("dispatcher", entry)).records()}

    assert priorities() == {"first": 10, "second": 5, "third": "7"}
    assert priorities(priority=None) == {"first": 10, "second": 5, "third": "7"}
    assert priorities(priority=0) == {"first": 0, "second": 0, "third": "7"}
    assert priorities(priority=20_000_000) == {"first": 20_000_000, "second": 20_000_000, "third": "7"}
    assert priorities(tag="primary") == {"first": 10}


def test_every_instance_has_its_status_and_the_policy_of_its_set(tmp_path: Path, consul: ConsulAgent) -> None:
    for status in ("passing", "warning", "critical"):
        consul.register("router", status, status=status)
    consul.register("router", "maintenance", status="critical")
    consul.maintenance("maintenance")
    env = sets("dispatcher", {"service": "router", "warning": "disable", "critical": "in"})
    found = render(tmp_path, consul, env | RTP_AS_ROUTER)
    for name in DATASETS:
        assert {r["source"]["id"]: r["status"] for r in found.records(name)} == {
            word: word for word in ("passing", "warning", "critical", "maintenance")
        }
    assert {(r["warning"], r["critical"]) for r in found.records()} == {("disable", "in")}
    assert {(r["warning"], r["critical"]) for r in found.records("domain")} == {("in", "out")}


def test_checks_and_maintenance_of_the_node_count_for_all_its_services(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "r1")
    consul.register("router", "r2", status="warning")
    check = {"Name": "disk", "ID": "disk", "TTL": "24h", "Status": "critical"}
    consul.ask("PUT", "/v1/agent/check/register", check)
    assert {r["status"] for r in render(tmp_path, consul).records()} == {"critical"}
    consul.ask("PUT", "/v1/agent/maintenance?enable=true&reason=disk")
    assert {r["status"] for r in render(tmp_path, consul).records()} == {"maintenance"}
    consul.ask("PUT", "/v1/agent/check/deregister/disk")
    assert {r["status"] for r in render(tmp_path, consul).records()} == {"maintenance"}


def test_weights_meta_and_set_members_arrive(tmp_path: Path, consul: ConsulAgent) -> None:
    meta = {"transport": "tls", "maxload": "30", "socket": "udp:127.0.0.1:5060", "ping_from": "sip:a", "other": "x"}
    consul.register("router", "r1", weights=7, meta=meta)
    consul.register("router", "r2", meta={"flags": "4", "address": "10.9.9.9", "transport": ""})
    env = sets("dispatcher", {"setid": 12_345_678, "service": "router", "weight_as": "none"})
    rtp = [
        {"setid": 3, "service": "router", "port": 2223, "proto": "ws", "weight_as": word} for word in ("weight", "none")
    ]
    found = render(tmp_path, consul, env | sets_environment({"rtpengine": rtp}))
    first, second = found.records()
    assert {name: first[name] for name in ("transport", "maxload", "socket", "ping_from")} == {
        name: meta[name] for name in ("transport", "maxload", "socket", "ping_from")
    }
    assert (first["setid"], first["weight"], first["weight_as"]) == (12_345_678, 7, "none")
    assert isinstance(first["setid"], int), "a number with an exponent is no setid"
    assert set(second) == MEMBERS["dispatcher"] - {"transport", "maxload", "socket", "ping_from"}
    assert [(r["setid"], r["port"], r["proto"], r["weight"]) for r in found.records("rtpengine")] == [
        (3, 2223, "ws", 7), (3, 2223, "ws", 1), (3, 2223, "ws", 1), (3, 2223, "ws", 1)
    ]  # fmt: skip


def test_tagged_addresses(tmp_path: Path, consul: ConsulAgent) -> None:
    tagged = {"lan": {"Address": "10.1.0.1", "Port": 5061}, "wan": {"Address": "192.0.2.1", "Port": 0}}
    consul.register_raw({"Name": "router", "ID": "r1", "Address": "10.0.0.1", "Port": 5060, "TaggedAddresses": tagged})
    consul.register_raw({"Name": "router", "ID": "r2", "Address": "10.0.0.2", "Port": 5060})
    consul.register_raw({"Name": "router", "ID": "r3", "Port": 5060})
    node = {"Node": "elsewhere", "Address": "10.0.0.4", "TaggedAddresses": {"wan": "192.0.2.4"}}
    consul.ask("PUT", "/v1/catalog/register", {**node, "Service": {"Service": "router", "ID": "r0", "Port": 5060}})

    def places(address: str) -> list[tuple[str, int]]:
        env = sets("dispatcher", {"service": "router", "address": address})
        env |= sets("domain", {"service": "router", "address": address})
        env |= sets("rtpengine", {"service": "router", "address": address})
        found = render(tmp_path, consul, env)
        assert [r["address"] for r in found.records()] == [r["domain"] for r in found.records("domain")]
        assert [r["address"] for r in found.records()] == [r["address"] for r in found.records("rtpengine")]
        return [(r["address"], r["port"]) for r in found.records()]

    own, local = ("10.0.0.2", 5060), ("127.0.0.1", 5060)
    assert places("") == [("10.0.0.4", 5060), ("10.0.0.1", 5060), own, local]
    assert places("lan") == [("10.0.0.4", 5060), ("10.1.0.1", 5061), own, local]
    assert places("wan") == [("192.0.2.4", 5060), ("192.0.2.1", 5060), own, local]
    consul.ask("PUT", "/v1/catalog/deregister", {"Node": "elsewhere"})


# ---- sets


def test_several_sets_static_entries_and_kv(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "r1", tags=["blue"])
    consul.register("router", "r2", tags=["v1.0"])
    consul.register("end", "e1")
    for key, value in {"s/1/a": "sip:a ", "s/1/deep/b": " sip:b 0 5\n", "s/1/folder/": "", "s/10/c": "sip:c"}.items():
        consul.kv_put(key, value)
    env = sets(
        "dispatcher",
        {"service": "router", "tag": "blue", "static": ["sip:10.0.0.9 0 5 duid=`x`{{", ""]},
        {"setid": 2, "service": "router", "tag": "v1.0"},
        {"setid": 2, "service": "end"},
        {"setid": 3, "kv": "s/1"},
        {"setid": 4, "kv": "/nothing/here/", "service": "nobody"},
    )
    records = render(tmp_path, consul, env).records()
    assert [(r["setid"], r["source"]["id"], r.get("entry", r.get("duid"))) for r in records] == [
        (1, "static", "sip:10.0.0.9 0 5 duid=`x`{{"),
        (1, "static", ""),
        (1, "r1", "r1"),
        (2, "r2", "r2"),
        (2, "e1", "e1"),
        (3, "kv:s/1/a", "sip:a"),
        (3, "kv:s/1/deep/b", "sip:b 0 5"),
    ]
    assert records[4]["source"]["service"] == "end"


def test_exported_templates_render_the_same_bytes(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "r1", tags=["primary"], meta={"maxload": "3"})
    consul.kv_put("s/1/a", "10.0.0.7")
    entry = {"service": "router", "tag": "", "datacenter": "", "static": ["10.0.0.8`}} {{"], "kv": "s/1"}
    entry |= {"warning": "out", "critical": "disable", "address": "wan"}
    chosen = {
        "dispatcher": [{**entry, "setid": 5, "priority": 3, "weight_as": "weight"}, {"setid": 6, "service": "x"}],
        "domain": [entry],
        "rtpengine": [{**entry, "setid": 0, "port": 22, "proto": "udp6", "weight_as": "none"}],
    }
    paths = export(tmp_path / "own", chosen)
    assert [path.name for path in paths] == [f"{name}.ctmpl" for name in DATASETS]
    baked = render(tmp_path / "own", consul, {"CONSUL_KAM_DISPATCHER_SETS": "not even JSON"}, paths)
    given = render(tmp_path, consul, sets_environment(chosen))
    assert baked.text == given.text
    assert [len(given.lines(name)) for name in DATASETS] == [3, 3, 3]


def test_each_data_centre_has_a_staging_file_of_its_own(tmp_path: Path, consul: ConsulAgent) -> None:
    with ConsulAgent(tmp_path / "dc2", datacenter="dc2") as far:
        wan = json.loads((consul.directory / "consul.json").read_text())["ports"]["serf_wan"]
        far.ask("PUT", f"/v1/agent/join/127.0.0.1:{wan}?wan=1")
        wait_for("both data centres", lambda: consul.ask("GET", "/v1/catalog/datacenters") == ["dc1", "dc2"], 20)
        consul.register("router", "near")
        far.register("router", "far", tags=["x"])
        far.kv_put("s/1/a", "10.0.0.7")
        chosen = [
            {"setid": 1, "service": "router"},
            {"setid": 1, "service": "router", "tag": "x", "datacenter": "dc2", "kv": "s/1", "static": ["10.0.0.8"]},
        ]
        paths = export(tmp_path / "own", {"dispatcher": chosen})
        assert [path.name for path in paths] == ["dispatcher.ctmpl", "dispatcher@dc2.ctmpl"]
        found = render(tmp_path, consul, templates=paths)
        assert [(r["duid"], r["source"]["dc"]) for r in found.records()] == [("near", "")]
        assert {r["source"]["id"]: r["source"].get("dc") for r in found.records("dispatcher@dc2")} == {
            "far": "dc2", "kv:s/1/a": "dc2", "static": None
        }  # fmt: skip
        assert json.loads(sets_environment({"dispatcher": chosen}, "dc2")["CONSUL_KAM_DISPATCHER_SETS"]) == chosen[1:]


def test_the_example_stages_all_three_lists(tmp_path: Path, consul: ConsulAgent) -> None:
    consul.register("router", "r1")
    text = (Path(__file__).parents[2] / "examples" / "consul-template.hcl").read_text()
    for usual, here in {
        "127.0.0.1:8500": consul.address,
        "/etc/consul_kam/templates": str(SHIPPED),
        "/var/lib/consul_kam/staging": str(tmp_path / "staging"),
        "kam-apply": program("true"),
    }.items():
        assert usual in text
        text = text.replace(usual, here)
    found = render(tmp_path, consul, config=text)
    assert [len(found.lines(name)) for name in DATASETS] == [1, 1, 0]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("service", "a.b"),
        ("service", "a|any"),
        ("service", "a b"),
        ("tag", "a/b"),
        ("datacenter", "x@y"),
        ("kv", "a@b"),
    ],
)
def test_what_consul_template_cannot_ask_for_is_refused(tmp_path: Path, member: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^cannot ask Consul for {member} "):
        export(tmp_path, {"dispatcher": [{"setid": 1, "service": "router", member: value}]})


def test_export_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read the template of dataset 'unheard_of'"):
        export(tmp_path, {"unheard_of": [{"service": "x"}]})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^cannot export templates to .*file"):
        export(tmp_path / "file", {"domain": [{"service": "x"}]})
