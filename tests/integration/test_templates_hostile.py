"""Hostile content in Consul: one registration or key more, and every other record stays as it was, byte for byte."""

import base64
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consul_kam.app.templates import sets_environment
from consul_kam.core.records import Record
from consul_kam.datasets import dataset
from tests.integration.rendering import DATASETS, MEMBERS, Rendered, render
from tests.lab import ConsulAgent

BREAK = '"}\n{"setid":1,"address":"10.6.6.6","port":5060}\n{"end":"dispatcher","records":1}\n'
TEXTS = {
    "newline": "10.0.0.1\n1 sip:10.6.6.6:5060",
    "carriage return and NUL": "a\r\x00b",
    "json": BREAK,
    "json looking": '{"setid":9,"address":"10.6.6.6"}',
    "quotes": "\"'`\\",
    "semicolon": "evil host;x=y",
    "template": '{{ env "PATH" }}{{ end }}{{- /*',
    "line separators": "a\u2028b\u2029c\u0085d",
    "long": "x" * 300,
    "very long": "y" * 60_000,
    "markup": "<script>&amp;\U0001f600",
    "blank": " ",
}
META = ("priority", "transport", "maxload", "socket", "ping_from", "duid")
INSTANCES: dict[str, dict[str, object]] = {
    "empty Address": {"Address": ""},
    "IPv6 Address": {"Address": "2001:db8::1"},
    "weights": {"Weights": {"Passing": 65535, "Warning": 0}},
    "address of another": {"Address": "10.0.0.1"},
    **{f"Port {port}": {"Port": port} for port in (0, -5, 99999, 2**31)},
}
for _name, _text in TEXTS.items():
    INSTANCES[f"Address: {_name}"] = {"Address": _text}
    INSTANCES[f"Tags: {_name}"] = {"Tags": [_text, "x"]}
    INSTANCES[f"Meta: {_name}"] = {"Meta": dict.fromkeys(META, _text[:500])}
    INSTANCES[f"ID: {_name}"] = {"ID": f"m{_text}"[:300]}
    INSTANCES[f"TaggedAddresses: {_name}"] = {"TaggedAddresses": {"wan": {"Address": _text, "Port": -1}}}


@dataclass
class Victims:
    """Two honest instances of a service of their own, and their lines. (An ID with a newline cannot be deregistered:
    Consul's HTTP API refuses the path. So each test has its own service.)"""

    consul: ConsulAgent
    directory: Path
    service: str
    before: dict[str, list[bytes]] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)

    def render(self) -> Rendered:
        entry = {"setid": 1, "service": self.service, "address": "wan", "kv": self.service}
        return render(self.directory, self.consul, sets_environment({name: [entry] for name in DATASETS}))

    def newcomer(self) -> dict[str, dict[str, Any]]:
        """The one new record of each dataset; all other lines are byte for byte what they were, and in that order.

        What the datasets make of the files differs by the newcomer at most, and it alone is complained of.
        """
        found, new = self.render(), {}
        for name, honest in self.before.items():
            lines = found.lines(name)
            assert [line for line in lines if line in honest] == honest
            (line,) = [line for line in lines if line not in honest]
            new[name] = json.loads(line)
            read = dataset(name).parse_staging(name, found.text[name])
            newcomer = new[name]["source"]["id"]
            others = [record for record in read.records if record.source.id != newcomer]
            assert others == self.records[name]
            assert len(read.records) - len(others) + len(read.problems) == 1
            assert [problem.source.id for problem in read.problems if problem.source] == [newcomer] * len(read.problems)
        return new


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulAgent]:
    with ConsulAgent(tmp_path_factory.mktemp("consul")) as consul:
        yield consul


_number = itertools.count()


@pytest.fixture
def victims(tmp_path: Path, agent: ConsulAgent) -> Victims:
    found = Victims(agent, tmp_path, f"router-{next(_number)}")
    for number, name in enumerate(("a", "z"), 1):
        agent.register(found.service, f"{name}-{found.service}", f"10.0.0.{number}", meta={"maxload": "5"}, weights=3)
    before = found.render()
    found.before = {name: before.lines(name) for name in DATASETS}
    found.records = {name: list(dataset(name).parse_staging(name, before.text[name]).records) for name in DATASETS}
    assert [len(records) for records in found.records.values()] == [2, 2, 2]
    return found


def cut(text: object) -> str:
    """As the templates do it, by bytes: a cut character becomes U+FFFD."""
    return str(text).encode()[:300].decode(errors="replace")


def test_megabytes_make_no_line_long(victims: Victims) -> None:
    """Else some few registrations would make the file longer than we read, and freeze the list."""
    much = "\u0001" * 2_000_000
    where = {"Node": "n" * 2_000_000, "Address": much, "SkipNodeUpdate": False}
    service = {"Service": victims.service, "ID": f"m{much}", "Address": much, "Port": 5060}
    victims.consul.ask("PUT", "/v1/catalog/register", {**where, "Service": service})
    for name, record in victims.newcomer().items():
        assert len(json.dumps(record)) < 8_000, name


@pytest.mark.parametrize("case", INSTANCES)
def test_hostile_instance(victims: Victims, case: str) -> None:
    id = f"m-{victims.service}"
    service = {"Name": victims.service, "ID": id, "Address": "10.6.6.6", "Port": 5060, **INSTANCES[case]}
    victims.consul.register_raw(service)
    new = victims.newcomer()
    wan = INSTANCES[case].get("TaggedAddresses", {"wan": {"Address": service["Address"]}})
    assert isinstance(wan, dict)
    for name, record in new.items():
        assert record["source"]["id"] == cut(service["ID"])
        assert record.keys() <= MEMBERS[name]
        assert record.get("address", record.get("domain")) == cut(wan["wan"]["Address"] or "127.0.0.1")
    assert new["dispatcher"]["duid"] == cut(service["ID"])
    assert new["dispatcher"]["port"] == (-1 if "TaggedAddresses" in service else service["Port"])
    if "Meta" in service:
        assert [new["dispatcher"][name] for name in META[:-1]] == [service["Meta"][name] for name in META[:-1]]


@pytest.mark.parametrize("member", [b"ID", b"Address", b"Meta", b"Tags"])
def test_bytes_that_are_no_utf8(victims: Victims, member: bytes) -> None:
    bad = b'"\xff\xfe\xc3(\xed\xa0\x80"'
    value = {b"Meta": b'{"priority":' + bad + b"}", b"Tags": b"[" + bad + b"]"}.get(member, bad)
    members = {b"Name": b'"%s"' % victims.service.encode(), b"ID": b'"m-%s"' % victims.service.encode()}
    members |= {b"Address": b'"10.6.6.6"', member: value}
    victims.consul.register_raw(b"{" + b",".join(b'"%s":%s' % pair for pair in members.items()) + b"}")
    record = victims.newcomer()["dispatcher"]
    where = {b"ID": "duid", b"Address": "address", b"Meta": "priority"}
    if member in where:
        assert "\ufffd" in record[where[member]]


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("where", ["key", "value"])
def test_hostile_kv(victims: Victims, where: str, case: str) -> None:
    key, value = (TEXTS[case][:400].strip() + "_", "10.6.6.6") if where == "key" else ("k", TEXTS[case])
    key = f"{victims.service}/{key}"
    # in a transaction, because a path may hold no control characters
    pair = {"Verb": "set", "Key": key, "Value": base64.b64encode(value.encode()).decode()}
    victims.consul.ask("PUT", "/v1/txn", [{"KV": pair}])
    for record in victims.newcomer().values():
        assert record.keys() <= {"setid", "source", "entry"}
        assert record["source"]["id"] == f"kv:{key}"
        assert record["entry"] == (value.strip() if len(value) < 4096 else f"{value[:4096]}\0, and more")


def test_a_status_that_consul_does_not_know_is_not_passing(victims: Victims) -> None:
    """The catalog takes any word; consul-template gives an empty one, which the reader drops with its record."""
    where = {"Node": "elsewhere", "Address": "10.6.6.6"}
    check = {"CheckID": "c", "Name": "c", "ServiceID": "m", "Status": 'passing","x":"'}
    victims.consul.ask(
        "PUT", "/v1/catalog/register", {**where, "Service": {"Service": victims.service, "ID": "m"}, "Check": check}
    )
    assert {record["status"] for record in victims.newcomer().values()} == {""}
