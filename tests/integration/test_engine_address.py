"""address end to end: Consul, consul-template, an engine, and a Kamailio that is asked all the time whom it lets in."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from consul_kam.config import load
from tests.lab import VERSIONS, ConsulAgent, Kamailio, Lab, Sampler
from tests.lab.permissions import Address, addresses, allows, options
from tests.lab.process import meanwhile

SETS = """
[[datasets.address.sets]]
service = "sbc"
[[datasets.address.sets]]
group = 2
service = "carrier"
port = "service"
min_prefix = 28
[[datasets.address.sets]]
group = 3
kv = "peers"
static = ["192.0.2.0 24 0 office", "sbc.example.com 0 5060"]
"""
ONE = '[[datasets.address.sets]]\nservice = "sbc"\n'
WORLD = "203.0.113.7"
ENTRY = {"group": 1, "tag": "sbc", "status": "passing"}


def host(ip: str, group: int = 1, port: int = 0, tag: str = "sbc") -> Address:
    return Address(group, ip, 128 if ":" in ip else 32, port, tag)


class Doors:
    """A Kamailio, and an engine that keeps its address list. `seen` samples memory; `refused`: who was kept out."""

    def __init__(self, lab: Lab, kam: Kamailio, consul: ConsulAgent, table: str, more: str) -> None:
        self.kam, self.consul, self.lab = kam, consul, lab
        self.engine = lab.engine(kam, consul, dispatcher=None, address=table, more=more)
        self.seen = Sampler(kam.ctl, addresses)
        self.refused: list[str] = []
        self._ended = threading.Event()

    def render(self) -> None:
        """Start consul-template with the configured sets."""
        sets = [dict(entry) for entry in load(str(self.engine.config)).datasets["address"].sets]
        env = {"CONSUL_KAM_ADDRESS_SETS": json.dumps(sets)}
        self.lab.consul_template(self.consul, [self.engine.template("address")], env)

    def stage(self, *records: dict[str, object], end: str | None = None) -> None:
        """Write staging as consul-template would; `end`: instead of the last line."""
        lines = [json.dumps({**ENTRY, **record}) for record in records]
        last = json.dumps({"end": "address", "records": len(lines)}) if end is None else end
        (self.engine.staging / "address.new").write_text("\n".join([*lines, last]) + "\n")
        (self.engine.staging / "address.new").rename(self.engine.staging / "address")

    def holds(self, *wanted: Address, timeout: float = 20) -> float:
        return self.seen.wait_until(lambda held: sorted(held) == sorted(wanted), timeout)

    def status(self) -> dict[str, Any]:
        return self.engine.status("address")

    def until(self, what: str, probe: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        self.engine.wait(what, probe, 40, "address")
        return self.status()

    @contextmanager
    def asked(self, ip: str, port: int = 5060) -> Iterator[None]:
        """SIP requests from this source, 3 ms apart; those that were turned away are in `refused`."""

        def ask() -> None:
            if not allows(self.kam, 1, ip, port):
                self.refused.append(ip)

        with meanwhile(ask, 0.003):
            yield


@contextmanager
def doors(
    lab: Lab, consul: ConsulAgent, table: str = ONE, more: str = "", reload_delta: int | None = 0, modparam: str = ""
) -> Iterator[Doors]:
    directory = lab.directory / "kam"
    directory.mkdir()
    own = options(directory, reload_delta, more=modparam)
    with Kamailio(directory, **own, version=lab.version) as kam:
        found = Doors(lab, kam, consul, table, more)
        with found.seen:
            try:
                yield found
            finally:
                found.engine.stop()


@pytest.mark.parametrize("lab", VERSIONS, indirect=True)
def test_services_kv_and_static_entries_become_memory(lab: Lab, consul: ConsulAgent) -> None:
    with doors(lab, consul, SETS) as at:
        consul.register("sbc", "s1", "10.0.0.1", 5060)
        consul.register("sbc", "s2", "2001:db8::1", 5060)
        consul.register("carrier", "c1", "10.1.0.77", 5080, meta={"mask": "28"})
        consul.kv_put("peers/a", "198.51.100.0 24 0 a\n")
        at.render()
        first = [host("10.0.0.1"), host("2001:db8::1"), Address(2, "10.1.0.64", 28, 5080, "carrier")]
        rest = [Address(3, "198.51.100.0", 24, 0, "a"), Address(3, "192.0.2.0", 24, 0, "office")]
        rest.append(Address(3, "sbc.example.com", -1, 5060, "NULL"))
        at.holds(*first, *rest)
        assert at.until("rest", lambda status: status["verdict"] == "PUBLISHED")["dropped"] == []
        doors_asked = [(1, "10.0.0.1"), (1, "2001:db8::1"), (2, "10.1.0.79"), (3, "198.51.100.9"), (3, "192.0.2.1")]
        assert [ip for group, ip in doors_asked if allows(at.kam, group, ip, 5080)] == [ip for _, ip in doors_asked]
        assert not any(allows(at.kam, group, WORLD) for group in (1, 2, 3))
        with at.asked("10.0.0.1"):
            consul.register("sbc", "s3", "10.0.0.3", 5060)
            at.holds(*first, *rest, host("10.0.0.3"))
            consul.maintenance("s3")
            consul.kv_delete("peers/a")
            consul.maintenance("s2")
            consul.deregister("s2")
            at.holds(host("10.0.0.1"), host("10.0.0.3"), first[2], *rest[1:])
            at.until("s3 draining", lambda status: status["draining"] == ["1 10.0.0.3 32 0"])
            assert allows(at.kam, 1, "10.0.0.3")  # it drains: let in until it deregisters
            consul.deregister("s3")
            at.holds(host("10.0.0.1"), first[2], *rest[1:])
        assert at.refused == []
        assert not allows(at.kam, 1, "10.0.0.3")
        consul.maintenance("s1")
        at.until("s1 draining", lambda status: status["draining"] == ["1 10.0.0.1 32 0"])
        consul.deregister("s1")
        at.holds(first[2], *rest[1:])  # the last one, at once: it went on purpose
        assert at.status()["held"] == []


# Consul itself refuses 0.0.0.0 and ::
HOSTILE: dict[str, dict[str, Any]] = {
    "half of everybody": {"Address": "127.255.255.255", "Meta": {"mask": "1"}},
    "the other half": {"Address": "128.0.0.0", "Meta": {"mask": "1"}},
    "half of IPv6": {"Address": "8000::", "Meta": {"mask": "1"}},
    "a wide network": {"Address": "203.0.113.1", "Meta": {"mask": "8"}},
    "a mask of words": {"Address": "203.0.113.1", "Meta": {"mask": "32 0 x\n1 203.0.113.7"}},
    "a mask that wraps": {"Address": "203.0.113.1", "Meta": {"mask": "4294967304"}},
    "a line": {"Address": "10.66.0.1 32 0 x\n1 203.0.113.7"},
    "a network with a slash": {"Address": "203.0.113.0/24"},
    "an octet that wraps": {"Address": "203.0.113.263"},
    "a name": {"Address": "sbc.example.com"},
    "a comment": {"Address": "10.66.0.2 #"},
    "the neighbour's address": {"Address": "10.0.0.1", "Meta": {"mask": "32"}},
    "an end line": {"Address": '10.66.0.3"}\n{"end":"address","records":0}'},
    "members": {"Address": "10.66.0.4", "Meta": {"group": "2", "min_prefix": "0", "port": "1", "tag": "x"}},
    "a port": {"Address": "10.66.0.5", "Port": 99999},
    "an id of lines": {"ID": "h\n1 203.0.113.7", "Address": "10.66.0.6"},
}


def test_nobody_opens_the_door_to_the_world_or_shuts_anothers(lab: Lab) -> None:
    consul = lab.consul()  # of its own: what has such an ID is not easily deregistered
    with doors(lab, consul, '[[datasets.address.sets]]\nservice = "sbc"\nkv = "peers"\n') as at:
        consul.register("sbc", "good", "10.0.0.1", 5060)
        at.render()
        since = at.holds(host("10.0.0.1"))
        with at.asked("10.0.0.1"):
            for turn, members in enumerate(HOSTILE.values()):
                consul.register_raw({"Name": "sbc", "ID": f"h{turn}", "Port": 5060, **members})
            for turn, value in enumerate(("0.0.0.0 1", "::", "128.0.0.0 1", "203.0.113.7\n1 1.1.1.1", "", "8.0.0.0 8")):
                consul.kv_put(f"peers/{turn}", value)
            consul.register("sbc", "last", "10.0.0.9", 5060)
            wanted = [host(ip) for ip in ("10.0.0.1", "10.0.0.9", "10.66.0.4", "10.66.0.5", "10.66.0.6")]
            at.holds(*wanted)
            status = at.until("rest", lambda status: status["verdict"] == "PUBLISHED")
        assert at.refused == []
        assert at.seen.never(lambda held: host("10.0.0.1") not in held, since)
        assert at.seen.never(lambda held: any(each.mask not in (32, 128) or each.group != 1 for each in held), since)
        assert not any(allows(at.kam, 1, ip) for ip in (WORLD, "8.8.8.8", "200.0.0.1", "8000::1", "203.0.113.1"))
        told = "\n".join(status["dropped"])
        assert "min_prefix of the set is 24 (sbc/h0 on" in told
        assert "min_prefix6 of the set is 64 (sbc/h2 on" in told


BROKEN = {
    "empty": "",
    "cut": '{"group":1,"address":"10.0.0.1","status":"pass',
    "miscounted": '{"group":1,"address":"10.0.0.1"}\n{"end":"address","records":2}\n',
    "another list's": '{"group":1,"address":"10.0.0.1"}\n{"end":"domain","records":1}\n',
    "no end": '{"group":1,"address":"10.0.0.1"}\n{"group":1,"address":"10.0.0.2"}\n',
    "comments": "# 1 10.0.0.1\n",
}


def test_an_empty_or_broken_list_opens_no_door_and_closes_none(lab: Lab, consul: ConsulAgent) -> None:
    peers = [host("10.0.0.1"), host("10.0.0.2"), host("10.0.0.3")]
    with doors(lab, consul, ONE) as at, at.asked(WORLD):
        at.stage(*({"address": each.ip} for each in peers))
        since = at.holds(*peers)
        at.until("PUBLISHED", lambda status: status["verdict"] == "PUBLISHED" and status["phase"] == "IDLE")
        with at.asked("10.0.0.3"):
            for text in BROKEN.values():
                at.stage(end=text)
                at.until("REJECTED", lambda status: status["verdict"] == "REJECTED")
                at.stage(*({"address": each.ip} for each in peers))
                at.until("PUBLISHED", lambda s: s["verdict"] == "PUBLISHED" and s["staging"][0]["state"] == "ok")
            at.stage()  # a good list of nobody
            held = at.until("HELD", lambda status: status["verdict"] == "HELD")["held"]
            assert len(held) == len(peers)
            at.stage({"address": "10.0.0.999"}, {"address": "0.0.0.0", "mask": 1})  # nobody that can be used
            at.until("HELD", lambda status: status["verdict"] == "HELD" and len(status["dropped"]) == 2)
        assert "10.0.0.3" not in at.refused
        assert at.seen.never(lambda memory: sorted(memory) != peers, since)
        at.engine.ask("approve", dataset="address")
        at.holds()
    assert set(at.refused) == {WORLD}


def test_within_kamailios_window_the_newest_list_waits(lab: Lab, consul: ConsulAgent) -> None:
    with doors(lab, consul, reload_delta=5) as at:
        at.stage({"address": "10.0.0.1"})
        at.holds(host("10.0.0.1"))
        for number in range(2, 6):
            at.stage({"address": "10.0.0.1"}, {"address": f"10.0.0.{number}"})
        at.holds(host("10.0.0.1"), host("10.0.0.5"))
        at.until("PUBLISHED", lambda status: status["verdict"] == "PUBLISHED")
        verdicts = at.engine.verdicts("address")
        assert "BUSY" in verdicts
        assert "DEGRADED" not in verdicts


def test_networks_that_kamailio_has_no_place_for_are_named_and_the_others_stay(lab: Lab, consul: ConsulAgent) -> None:
    with doors(lab, consul, modparam='modparam("permissions","max_subnets",2)') as at:
        at.stage({"address": "10.0.0.1"}, *({"address": f"10.{n}.0.0", "mask": 24} for n in range(1, 4)))
        at.holds(host("10.0.0.1"), *(Address(1, f"10.{n}.0.0", 24, 0, "sbc") for n in (1, 2)))
        status = at.until("the verdict", lambda status: bool(status["refused"]) and status["phase"] == "IDLE")
        assert status["refused"] == ["1 10.3.0.0 24 0"]
        assert status["verdict"] == "PUBLISHED"


def test_what_somebody_lets_in_by_hand_is_shut_out_again(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    with doors(lab, consul) as at:
        at.stage({"address": "10.0.0.1"})
        at.holds(host("10.0.0.1"))
        at.until("PUBLISHED", lambda status: status["verdict"] == "PUBLISHED" and status["live"]["state"] == "equal")
        live = at.kam.live / "address.list"
        live.write_text("1 0.0.0.0 1\n" + live.read_text())
        at.kam.rpc.call("permissions.addressReload")
        assert allows(at.kam, 1, "8.8.8.8")
        at.engine.ask("apply", wait=0.1)
        at.engine.stop()
        at.engine.start()  # as after a crash: what memory holds is compared with what it shall hold
        at.holds(host("10.0.0.1"))
        assert not allows(at.kam, 1, "8.8.8.8")
