"""The registration against a real agent: what is told, what is put right, what is only said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.registering import Page, Registered, checks, known, passing, statuses
from tests.lab import ConsulAgent, wait_for

HERE = [("lab", "127.0.0.1", 5060)]


@pytest.fixture
def page() -> Iterator[Page]:
    opened = Page()
    yield opened
    opened.close()


def settled(node: Registered, consul: ConsulAgent) -> None:
    node.set_ready(True)
    node.wait("registered", lambda status: status["state"] == "registered")
    wait_for("it to pass", lambda: passing(consul) == HERE, 5)


def test_as_the_articles_data_json_once_ready_and_gone_at_the_end(
    consul: ConsulAgent, page: Page, tmp_path: Path
) -> None:
    lines = 'meta = {zone = "a"}\nweight = 7\ntags = ["sbc", "kamailio", "primary"]\n'
    with Registered(tmp_path, consul.address, page.url, lines) as node:
        node.wait("a first look", lambda status: status["trouble"] == "")
        assert known(consul) is None
        settled(node, consul)
        found = known(consul)
        assert found is not None
        told = (found["ID"], found["Service"], found["Port"], found["Tags"], found["Meta"], found["Weights"])
        tags = ["kamailio", "primary", "sbc"]
        assert told == ("host1", "sbc", 5060, tags, {"zone": "a"}, {"Passing": 7, "Warning": 1})
        (check,) = checks(consul).values()
        assert (check["CheckID"], check["Type"], check["Interval"], check["Timeout"]) == (
            "service:host1", "http", "10s", "1s",
        )  # fmt: skip
        node.leave()
        assert known(consul) is None
        assert [entry["event"] for entry in node.journal()] == ["registered", "deregistered"]


CHANGES = {
    "tags": {"Tags": ["other"]},
    "port": {"Port": 5070},
    "weights": {"Weights": {"Passing": 99, "Warning": 1}},
    "meta": {"Meta": {"zone": "b"}},
    "address": {"Address": "127.0.0.9"},
    "check url": {"Check": {"CheckID": "service:host1", "HTTP": "http://127.0.0.1:1/", "Interval": "10s"}},
    "check kind": {"Check": {"CheckID": "service:host1", "TTL": "1h", "Status": "passing"}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_by_hand_and_put_right(change: str, consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        right, right_checks = known(consul), {name: check["Notes"] for name, check in checks(consul).items()}
        by_hand = {"ID": "host1", "Name": "sbc", "Address": "127.0.0.1", "Port": 5060, "Tags": ["kamailio", "sbc"]}
        consul.register_raw(by_hand | CHANGES[change])
        wait_for("it to be put right", lambda: known(consul) == right, 10)
        wait_for("its check too", lambda: {n: c["Notes"] for n, c in checks(consul).items()} == right_checks, 10)
        wait_for("it to pass", lambda: passing(consul) == HERE, 10)


def test_deregistered_by_hand_and_back(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        consul.deregister("host1")
        wait_for("it to be back", lambda: passing(consul) == HERE, 10)
        consul.ask("PUT", "/v1/agent/check/deregister/service:host1")
        wait_for("its check to be back", lambda: statuses(consul) == {"": "passing"}, 10)


def test_role_rtp_has_a_ttl_check_alone_that_says_whether_it_is_ready(consul: ConsulAgent, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, "", role="rtp") as node:
        node.set_ready(True)
        wait_for("it to pass", lambda: statuses(consul) == {":ttl": "passing"}, 10)
        assert passing(consul, "rtp") == [("lab", "127.0.0.1", 2223)]
        node.set_ready(False)
        wait_for("it to be critical", lambda: statuses(consul) == {":ttl": "critical"}, 10)
        assert known(consul) is not None
        node.set_ready(True)
        wait_for("it to pass again", lambda: statuses(consul) == {":ttl": "passing"}, 10)


def test_a_ttl_check_beside_the_http_one_and_gone_when_no_longer_wanted(
    consul: ConsulAgent, page: Page, tmp_path: Path
) -> None:
    with Registered(tmp_path, consul.address, page.url, "ttl = 1\n", every=30) as node:
        settled(node, consul)
        assert statuses(consul) == {"": "passing", ":ttl": "passing"}
        node.crash()
    wait_for("nobody to feed it", lambda: statuses(consul) == {"": "passing", ":ttl": "critical"}, 10)
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        assert statuses(consul) == {"": "passing"}
