"""Order between lists: trusted before routed to, routed away from before distrusted, at every sample of memory.

domain stands for the list that trusts: its key is a host, as address's is. Instance n is router rNN at 127.0.1.n.
"""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.lab import ConsulAgent, Engine, Lab, Rpc, Sampler, uris, wait_for
from tests.lab.consul_template import ConsulTemplate
from tests.lab.process import freeze

Both = tuple[frozenset[str], frozenset[str]]
"""Hosts routed to, hosts trusted."""
FREE = "min_records = 0\nmax_shrink = 1\nhold_for = 0"
"""No guard holds anything for long."""


def both(rpc: Rpc) -> Both:
    """Trust is read between two readings of the routes: what both of them hold was there all the while."""
    first, trusted, last = rpc.dispatcher(), rpc.domains(), rpc.dispatcher()
    routed = [{d.uri.split(":")[1] for dests in memory.values() for d in dests} for memory in (first, last)]
    return frozenset(routed[0] & routed[1]), frozenset(domain for domain, _ in trusted)


def distrusted(memory: Both) -> bool:
    routed, trusted = memory
    return not routed <= trusted


def hosts(*numbers: int) -> frozenset[str]:
    return frozenset(f"127.0.1.{number}" for number in numbers)


class Two:
    """Two lists, each with a consul-template of its own, and an eye on both."""

    def __init__(self, lab: Lab, consul: ConsulAgent, wait: float = 30.0, **engine: Any) -> None:
        self.consul = consul
        self.kam = lab.kamailio(reload_delta=0, domain=True)
        options = {"dispatcher": FREE, "domain": FREE, **engine}
        more = f'order = ["domain", "dispatcher"]\norder_wait = {wait}\n'
        self.engine: Engine = lab.engine(self.kam, consul, more=more, **options)
        self.seen: Sampler[Both] = lab.watch(self.kam, both, 0.001)
        self.trust: ConsulTemplate = lab.consul_template(consul, [self.engine.template("domain")])
        self.route: ConsulTemplate = lab.consul_template(consul, [self.engine.template("dispatcher")])

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.consul.register("router", f"r{number:02d}", f"127.0.1.{number}", 5060)

    def remove(self, *numbers: int) -> None:
        for number in numbers:
            self.consul.deregister(f"r{number:02d}")

    def expect(self, routed: frozenset[str], trusted: frozenset[str] | None = None, timeout: float = 20.0) -> float:
        wanted = (routed, routed if trusted is None else trusted)
        return self.seen.wait_until(lambda memory: memory == wanted, timeout)

    def waits(self, dataset: str = "dispatcher") -> list[str]:
        return [wait["key"] for wait in self.engine.status(dataset)["waits"]]

    def wait_for_waits(self, *hosts_: str, dataset: str = "dispatcher") -> None:
        wait_for(
            f"{dataset} waits for {hosts_}",
            lambda: len(found := self.waits(dataset)) == len(hosts_) and all(h in "".join(found) for h in hosts_),
            20,
            self.engine.log,
            every=0.02,
        )

    def verdicts(self, dataset: str = "dispatcher") -> list[tuple[str, int]]:
        """Each with the number of records."""
        entries = [entry for entry in self.engine.journal() if entry.get("dataset") == dataset and "verdict" in entry]
        return [(entry["verdict"], entry["records"]) for entry in entries]

    def notes(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.engine.journal() if entry.get("event") == event]


def stop(program: ConsulTemplate) -> None:
    freeze(program.pid)


def go_on(program: ConsulTemplate) -> None:
    os.kill(program.pid, signal.SIGCONT)


def test_joins_leaves_and_replacements_are_in_order_at_every_sample(lab: Lab, consul: ConsulAgent) -> None:
    two = Two(lab, consul)
    two.add(1, 2, 3)
    since = two.expect(hosts(1, 2, 3))
    two.remove(2)
    two.expect(hosts(1, 3))
    for old, new in ((1, 4), (3, 5), (4, 6)):
        two.add(new)
        two.remove(old)
    two.expect(hosts(5, 6))
    two.consul.register("router", "r05", "127.0.1.55", 5060)  # the same instance at another address
    two.expect(hosts(55, 6))
    rolls = random.Random(5)
    there = {55, 6}
    for _ in range(40):
        number = rolls.choice(range(1, 10))
        if number in there and len(there) > 1:
            two.remove(number if number != 55 else 5)
            there.discard(number)
        elif number != 5:
            two.add(number)
            there.add(number)
    two.expect(hosts(*there))
    assert two.seen.never(distrusted, since)
    assert not two.seen.never(lambda memory: memory[0] != memory[1], since)
    assert not two.notes("goes out of order")
    assert two.engine.ask("status")["order"] == {"datasets": ["domain", "dispatcher"], "wait": 30.0}


def test_one_that_is_not_trusted_yet_waits_visibly_and_no_longer_than_allowed(lab: Lab, consul: ConsulAgent) -> None:
    two = Two(lab, consul, wait=8)
    two.add(1)
    since = two.expect(hosts(1))
    stop(two.trust)
    two.add(2)
    two.wait_for_waits("127.0.1.2")
    assert two.seen.now() == (hosts(1), hosts(1))
    reply = two.engine.ask("apply", wait=0)
    assert reply["waiting"] == ["dispatcher"]
    two.expect(hosts(1, 2), hosts(1), timeout=30)
    assert two.seen.never(lambda memory: memory[1] != hosts(1), since)
    (out,) = two.engine.status()["out_of_order"]
    assert (out["key"], out["why"]) == ("1 sip:127.0.1.2:5060", "in use, and not in domain")
    wait_for("the journal's word", lambda: two.notes("goes out of order"), 10)
    (entry,) = two.notes("goes out of order")
    assert (entry["dataset"], entry["count"], entry["order_wait"]) == ("dispatcher", 1, 8.0)
    late = [entry for entry in two.notes("waits") if "1 sip:127.0.1.2:5060" in entry["records"]]
    assert [entry["count"] for entry in late] == [1]
    go_on(two.trust)
    two.expect(hosts(1, 2))
    two.engine.wait("in order again", lambda status: status["out_of_order"] == [], 10)


def test_one_that_is_still_routed_to_stays_trusted(lab: Lab, consul: ConsulAgent) -> None:
    two = Two(lab, consul)
    two.add(1, 2)
    since = two.expect(hosts(1, 2))
    stop(two.route)
    two.remove(2)
    two.wait_for_waits("127.0.1.2", dataset="domain")
    assert "dispatcher may still use it" in two.engine.status("domain")["waits"][0]["why"]
    go_on(two.route)
    two.expect(hosts(1))
    assert two.seen.never(distrusted, since)
    assert two.waits("domain") == []


def test_what_has_no_counterpart_waits_for_nothing(lab: Lab, consul: ConsulAgent) -> None:
    sets = '[[datasets.dispatcher.sets]]\nservice = "{}"'
    own = [sets.format(name) for name in ("router", "gateway")]
    two = Two(lab, consul, wait=600, dispatcher="\n".join([FREE, *own]))
    two.route.stop()
    two.route.env["CONSUL_KAM_DISPATCHER_SETS"] = '[{"setid":1,"service":"router"},{"setid":1,"service":"gateway"}]'
    two.route.start()
    two.add(1, 2)
    two.expect(hosts(1, 2))
    stop(two.trust)
    two.add(3)
    two.wait_for_waits("127.0.1.3")
    consul.register("gateway", "g4", "127.0.1.4", 5060)
    two.expect(hosts(1, 2, 4), hosts(1, 2))
    two.remove(2)
    two.expect(hosts(1, 4), hosts(1, 2))
    assert len(two.waits()) == 1
    go_on(two.trust)
    two.expect(hosts(1, 3, 4), hosts(1, 3))


def test_an_engine_that_dies_while_one_waits_leaves_the_order_to_the_next(lab: Lab, consul: ConsulAgent) -> None:
    two = Two(lab, consul, dispatcher="")  # as it is guarded by default: never none
    two.add(1)
    since = two.expect(hosts(1))
    routes = lab.watch(two.kam, lambda rpc: uris(rpc.dispatcher()))  # `both` sees none where one takes another's place
    # an engine that is killed before its first list is stored leaves the next one without anything that it could guard
    wait_for("the list stored", lambda: ("PUBLISHED", 1) in two.verdicts(), 10)
    stop(two.trust)
    two.add(2)
    two.remove(1)
    two.wait_for_waits("127.0.1.2")
    assert two.seen.now() == (hosts(1), hosts(1))
    two.engine.kill9()
    two.kam.restart()
    two.engine.start()
    two.wait_for_waits("127.0.1.2")
    go_on(two.trust)
    two.expect(hosts(2))
    assert two.seen.never(distrusted, since)
    assert routes.never(lambda memory: not memory)


def test_one_that_is_held_stays_trusted_until_its_hold_ends(lab: Lab, consul: ConsulAgent) -> None:
    two = Two(lab, consul, wait=4, dispatcher="max_shrink = 0.5\nhold_for = 8")
    two.add(1, 2, 3)
    since = two.expect(hosts(1, 2, 3))
    stop(two.trust)  # whose list may else be the first by more than `wait`
    two.remove(1, 2)
    two.engine.wait("both are held or one is", lambda status: status["held"])
    go_on(two.trust)
    two.expect(hosts(3), timeout=40)
    assert two.seen.never(distrusted, since)


def test_a_pin_goes_at_once_and_a_pause_keeps_no_list_for_ever(lab: Lab, consul: ConsulAgent) -> None:
    two = Two(lab, consul, wait=6)
    two.add(1)
    two.expect(hosts(1))
    two.engine.wait("published", lambda status: status["phase"] == "IDLE" and status["records"] == 1)
    release = two.engine.ask("history", dataset="dispatcher")["releases"]["dispatcher"][-1]
    two.add(2)
    two.remove(1)
    two.expect(hosts(2))
    two.engine.ask("rollback", dataset="dispatcher", release=release)
    two.seen.wait_until(lambda memory: memory[0] == hosts(1), 10)
    two.engine.ask("approve", dataset="dispatcher")
    two.expect(hosts(2))
    two.engine.ask("pause", dataset="domain")
    two.add(3)
    two.wait_for_waits("127.0.1.3")
    two.expect(hosts(2, 3), hosts(2))
    two.engine.ask("resume", dataset="domain")
    two.expect(hosts(2, 3))


@pytest.mark.parametrize("order", ["", "order = []\n", 'order = ["dispatcher", "domain"]\n'])
def test_the_order_is_what_is_configured(lab: Lab, consul: ConsulAgent, tmp_path: Path, order: str) -> None:
    kam = lab.kamailio(reload_delta=0, domain=True)
    engine = lab.engine(kam, consul, dispatcher=FREE, domain=FREE, more=order)
    names = ["dispatcher", "domain"] if "dispatcher" in order else []
    assert engine.ask("status")["order"]["datasets"] == names
