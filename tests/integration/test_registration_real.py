"""The registration against a real agent: what is told, what is put right, what is only said."""

import json
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
    wait_for("it to pass", lambda: passing(consul) == HERE, 20)


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
        gone(node, consul)
        wait_for(
            "both in the journal", lambda: [e["event"] for e in node.journal()] == ["registered", "deregistered"], 20
        )


def gone(node: Registered, consul: ConsulAgent) -> None:
    """It gives up after 2 s, and on an agent that takes longer than 1 s; it may be asked again."""
    wait_for("it to be gone", lambda: (node.leave(), known(consul) is None)[1], 20)


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
        wait_for("it to be put right", lambda: known(consul) == right, 30)
        wait_for("its check too", lambda: {n: c["Notes"] for n, c in checks(consul).items()} == right_checks, 30)
        wait_for("it to pass", lambda: passing(consul) == HERE, 30)


def test_deregistered_by_hand_and_back(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        consul.deregister("host1")
        node.was_registered(2)
        wait_for("it to be back", lambda: passing(consul) == HERE, 30)
        consul.ask("PUT", "/v1/agent/check/deregister/service:host1")
        wait_for("its check to be back", lambda: statuses(consul) == {"": "passing"}, 30)


def test_role_rtp_has_a_ttl_check_alone_that_says_whether_it_is_ready(consul: ConsulAgent, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, "", role="rtp") as node:
        node.set_ready(True)
        wait_for("it to pass", lambda: statuses(consul) == {":ttl": "passing"}, 30)
        wait_for("the catalog", lambda: passing(consul, "rtp") == [("lab", "127.0.0.1", 2223)], 20)
        node.set_ready(False)
        wait_for("it to be critical", lambda: statuses(consul) == {":ttl": "critical"}, 30)
        assert known(consul) is not None
        node.set_ready(True)
        wait_for("it to pass again", lambda: statuses(consul) == {":ttl": "passing"}, 30)


def test_a_ttl_check_beside_the_http_one_and_gone_when_no_longer_wanted(
    consul: ConsulAgent, page: Page, tmp_path: Path
) -> None:
    with Registered(tmp_path, consul.address, page.url, "ttl = 1\n", every=30) as node:
        settled(node, consul)
        wait_for("both to pass", lambda: statuses(consul) == {"": "passing", ":ttl": "passing"}, 20)
        node.crash()
    wait_for("nobody to feed it", lambda: statuses(consul) == {"": "passing", ":ttl": "critical"}, 30)
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        assert statuses(consul) == {"": "passing"}


def test_maintenance_is_kept_when_another_hand_registers_us_anew_and_ours_is_cleared(
    consul: ConsulAgent, page: Page, tmp_path: Path
) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        consul.maintenance("host1", reason="a disk is changed")
        node.wait("it to be seen", lambda status: status["maintenance"] == "a disk is changed")
        consul.register("sbc", "host1", port=5070)
        wait_for("it to be put right", lambda: (known(consul) or {})["Port"] == 5060, 30)
        consul.deregister("host1")
        wait_for("it to be back", lambda: "_service_maintenance:host1" in checks(consul), 30)
        assert passing(consul) == []
        assert checks(consul)["_service_maintenance:host1"]["Notes"] == "a disk is changed"
        consul.maintenance("host1", False)
        wait_for("it to pass", lambda: passing(consul) == HERE, 30)
        consul.maintenance("host1", reason="consul_kam: drain, and then a crash")
        wait_for("it to be cleared", lambda: passing(consul) == HERE, 30)


def test_a_drain_under_way_outlives_a_crash_and_an_agent_that_lost_it(
    consul: ConsulAgent, page: Page, tmp_path: Path
) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
    with Registered(tmp_path, consul.address, page.url, every=0.2, drain="consul_kam: drain") as node:
        wait_for("maintenance", lambda: passing(consul) == [], 30)
        moments: list[object] = []
        consul.deregister("host1")
        wait_for("it to be back", lambda: (moments.append(passing(consul)), known(consul))[1], 30, every=0.001)
        moments += [passing(consul) for _ in range(50)]
        assert [moment for moment in moments if moment] == []
        assert checks(consul)["_service_maintenance:host1"]["Notes"] == "consul_kam: drain"


def test_an_end_during_the_start_takes_out_what_a_crash_left(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        node.crash()
    assert known(consul) is not None
    with Registered(tmp_path, consul.address, page.url) as node:
        gone(node, consul)
    with Registered(tmp_path, consul.address, page.url) as node:
        gone(node, consul)


@pytest.mark.parametrize("remembered", [True, False])
def test_a_crash_and_a_new_address_leave_no_ghost(
    remembered: bool, consul: ConsulAgent, page: Page, tmp_path: Path
) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        node.crash()
    again = tmp_path if remembered else tmp_path / "anew"
    with Registered(again, consul.address, page.url, place="127.0.0.2") as node:
        if remembered:
            wait_for("the old place to go", lambda: known(consul) is None, 30)
        node.set_ready(True)
        wait_for("the new place", lambda: passing(consul) == [("lab", "127.0.0.2", 5060)], 30)


def test_another_id_leaves_no_ghost(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        node.crash()
    with Registered(tmp_path, consul.address, page.url, 'id = "another"\n') as node:
        node.set_ready(True)
        wait_for("the new ID", lambda: known(consul, "another"), 30)
        wait_for("the old one to go", lambda: known(consul) is None, 30)


def test_two_nodes_with_one_id_on_one_agent_come_to_rest(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with (
        Registered(tmp_path / "a", consul.address, page.url, every=0.2) as one,
        Registered(tmp_path / "b", consul.address, page.url, every=0.2, place="127.0.0.2") as other,
    ):
        for node in (one, other):
            node.set_ready(True)
        wait_for("one of them to yield", lambda: "conflict" in [n.status()["state"] for n in (one, other)], 20)
        rests = [node for node in (one, other) if node.status()["state"] == "registered"]
        assert len(rests) == 1
        loser = other if rests == [one] else one
        assert "is there another node with this ID?" in loser.status()["trouble"]
        wait_for("its word", lambda: [e for e in loser.journal() if "again and again" in e["event"]], 20)
        index = len([e for node in (one, other) for e in node.journal()])
        assert index < 20
        rests[0].leave()
        loser.wait("its turn", lambda status: status["state"] == "registered")


def test_a_service_of_another_name_under_our_id_stays(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    consul.register("rtp", "host1", port=2223)
    with Registered(tmp_path, consul.address, page.url) as node:
        node.set_ready(True)
        status = node.wait("the conflict", lambda status: status["state"] == "conflict")
        assert "set [registration] id" in status["trouble"]
        node.leave()
        assert (known(consul) or {})["Service"] == "rtp"


RULES = """
service "sbc" { policy = "write" }
agent_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
"""


def test_a_token_that_expires_and_comes_back(tmp_path: Path, page: Page) -> None:
    with ConsulAgent(tmp_path / "consul", acl=True) as consul:
        token = tmp_path / "token"
        secret = consul.create_token(RULES)
        token.write_text("00000000-0000-0000-0000-000000000000\n")
        more = f'token_file = "{token}"\n'
        with Registered(tmp_path, consul.address, page.url, more=more) as node:
            node.set_ready(True)
            status = node.wait("trouble", lambda status: status["trouble"])
            assert "403" in status["trouble"]
            assert status["trouble"].startswith("cannot get /v1/agent/service/host1")
            token.write_text(secret)
            wait_for("it to pass", lambda: passing(consul) == HERE, 30)
            token.unlink()
            node.wait("trouble", lambda status: str(token) in status["trouble"])
            consul.deregister("host1")
            token.write_text(secret)
            node.was_registered(2)
            wait_for("it to pass", lambda: passing(consul) == HERE, 30)
            node.wait("no trouble", lambda status: status["trouble"] == "")


def test_a_token_with_the_least_rights_registers_all_the_same(tmp_path: Path, page: Page) -> None:
    """Without agent:read and node:read nobody says which agent it is, nor what the catalog holds."""
    with ConsulAgent(tmp_path / "consul", acl=True) as consul:
        token = tmp_path / "token"
        token.write_text(consul.create_token('service "sbc" { policy = "write" }'))
        more = f'token_file = "{token}"\n'
        with Registered(tmp_path, consul.address, page.url, "ttl = 3\n", more=more) as node:
            node.set_ready(True)
            wait_for("it to pass", lambda: passing(consul) == HERE, 30)
            node.wait("no trouble", lambda status: status["trouble"] == "")
            consul.deregister("host1")
            node.was_registered(2)
            wait_for("it to be back", lambda: passing(consul) == HERE, 30)
            gone(node, consul)


@pytest.mark.parametrize("way", ["unix", "ipv6"])
def test_by_unix_socket_and_by_ipv6(way: str, tmp_path: Path, page: Page) -> None:
    path = tmp_path / "consul.sock"
    more = {"addresses": {"http": f"127.0.0.1 ::1 unix://{path}"}}
    with ConsulAgent(tmp_path / "consul", more=more) as consul:
        address = f"unix://{path}" if way == "unix" else f"[::1]:{consul.port}"
        with Registered(tmp_path, address, page.url, "ttl = 3\n") as node:
            settled(node, consul)
            node.wait("no trouble", lambda status: status["trouble"] == "")
            consul.pause(True)
            status = node.wait("trouble", lambda status: status["trouble"])
            assert status["trouble"] == f"cannot reach Consul at {address}: no answer within 1 s"
            consul.pause(False)
            node.wait("no trouble", lambda status: status["trouble"] == "")
            consul.stop()
            node.wait("trouble", lambda status: "o such file" in status["trouble"] or "efused" in status["trouble"])


def test_a_frozen_agent_holds_up_nobodys_end(tmp_path: Path, page: Page) -> None:
    with ConsulAgent(tmp_path / "consul") as consul, Registered(tmp_path, consul.address, page.url) as node:
        settled(node, consul)
        consul.pause(True)
        node.leave()  # it is waited for
        consul.pause(False)
        assert json.loads((node.state / "registration.json").read_text())["id"] == "host1"


def test_a_disk_that_cannot_be_written_keeps_nobody_away(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, page.url) as node:
        (node.state / "registration.json").mkdir()
        (node.state / "registration.json" / "x").touch()
        settled(node, consul)
        node.wait("trouble", lambda status: "cannot remember where this node is registered" in status["trouble"])
        (node.state / "registration.json" / "x").unlink()
        (node.state / "registration.json").rmdir()
        node.wait("no trouble", lambda status: status["trouble"] == "")
        assert json.loads((node.state / "registration.json").read_text())["id"] == "host1"


def test_not_enabled_is_nothing_at_all(consul: ConsulAgent, page: Page, tmp_path: Path) -> None:
    with Registered(tmp_path, consul.address, page.url, "enabled = false\n") as node:
        node.set_ready(True)
        assert node.status()["state"] == "off"
        gone(node, consul)


def test_consul_is_away_at_boot(page: Page, tmp_path: Path) -> None:
    consul = ConsulAgent(tmp_path / "consul")
    with Registered(tmp_path, consul.address, page.url) as node:
        node.set_ready(True)
        status = node.wait("trouble", lambda status: status["trouble"])
        assert (status["state"], status["trouble"]) == (
            "waiting",
            f"cannot reach Consul at {consul.address}: Connection refused",
        )
        with consul:
            wait_for("it to pass", lambda: passing(consul) == HERE, 15)
            node.wait("no trouble", lambda status: status["trouble"] == "")
            node.leave()
