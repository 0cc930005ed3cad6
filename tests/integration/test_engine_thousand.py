"""A thousand hostile registrations and keys, as Consul takes them with 200: every honest record stays as it is.

`./dev test` plays the seeds of PLAYED, so that it judges the change and not the draw; `--all` draws one as well. The
seed is printed; CK_HOSTILE_SEED=N repeats one.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consul_kam.app.intake import parsed
from consul_kam.datasets import dataset
from tests.integration.test_engine_datasets import of
from tests.lab import ConsulAgent, Lab, LabError, Rpc, Sampler, wait_for
from tests.lab.engine import ROOT
from tests.lab.hostile import INJECTED, Hostile
from tests.lab.htable import HEADER, held
from tests.lab.permissions import addresses
from tests.lab.world import World

MANY = 1_000
MOST = 24
"""max_records."""
RECORDS = {INJECTED, f"sip:{INJECTED}", f"sip:{INJECTED}:5060", f"udp:{INJECTED}:5060"}
RECORDS |= {f"{INJECTED}/32:0", f"{INJECTED}/32:5060"}
"""What the payloads try to make."""
Held = tuple[str | int, ...]
"""One record of memory, with what Kamailio says of it; its first two members are group and key."""


def destinations(rpc: Rpc) -> list[Held]:
    return [(setid, d.uri, d.flags, d.priority, d.attrs) for setid, held in rpc.dispatcher().items() for d in held]


def domains(rpc: Rpc) -> list[Held]:
    return [("", domain, did) for domain, did in rpc.domains()]


def rtpengines(rpc: Rpc) -> list[Held]:
    # `disabled` is whether it answers: nobody does here
    return [(setid, url, weight) for setid, url, weight, _ in rpc.rtpengines()]


def peers(rpc: Rpc) -> list[Held]:
    return [(group, f"{ip}/{mask}:{port}", tag) for group, ip, mask, port, tag in addresses(rpc)]


def opens_much(held: Held) -> bool:
    """More than Consul may, whoever asks for it."""
    address, _, rest = str(held[1]).rpartition("/")
    return int(rest.partition(":")[0]) not in (-1, *(range(64, 129) if ":" in address else range(24, 33)))


def keys(rpc: Rpc) -> list[Held]:
    return [("", key, value) for key, value in held(rpc, "htable").items()]


@dataclass(frozen=True)
class Case:
    """One dataset. `honest`: (address, port) -> what memory shall hold of it, for as long as it lives.

    `canary`: turn -> what memory shall hold of the honest record that changes, and the text of its key, where it is one
    of KV's. `never`: what no record may be.
    """

    read: Callable[[Rpc], list[Held]]
    lines: str
    honest: Mapping[tuple[str, int], Held]
    entries: Collection[str]
    kamailio: Mapping[str, object]
    batch: int
    canary: Callable[[int], tuple[Held, str]]
    set: str = ""
    """Lines of its set."""
    shares: bool = False
    """The hostile one uses what is relative on purpose, too."""
    never: Callable[[Held], bool] = lambda held: False


SETS = """
[[datasets.{name}.sets]]
service = "victim"
kv = "victim"
{lines}
"""
ENTRIES = ("sip:10.80.{m}.{n}:5060 0 5 duid=x", "sip:10.5.0.1:5060 0 99 weight=7", "sip:10.80.{m}.{n}")
CASES = {
    "dispatcher": Case(
        destinations,
        "min_records = 3",
        {(f"10.5.0.{n}", 5060): (1, f"sip:10.5.0.{n}:5060", "AX", 10, f"duid=r{n:02d};rweight=3") for n in (1, 2, 3)},
        ENTRIES,
        {},
        100,
        lambda turn: ((1, "sip:127.0.0.1:4000", "AX", turn, f"duid=canary;rweight={turn + 1}"), ""),
    ),
    "dispatcher with its own priority and no weights": Case(
        destinations,
        "min_records = 3",
        {(f"10.5.0.{n}", 5060): (1, f"sip:10.5.0.{n}:5060", "AX", 10, f"duid=r{n:02d}") for n in (1, 2, 3)},
        ENTRIES,
        {},
        250,
        lambda turn: ((1, "sip:127.0.0.1:4000", "AX", turn, "duid=canary"), ""),
        'priority = 10\nweight_as = "none"',
        shares=True,
    ),
    "domain": Case(
        domains,
        "min_records = 3",
        {(f"d{n}.example.net", 5060): ("", f"d{n}.example.net", f"d{n}.example.net") for n in (1, 2, 3)},
        ("k{n}-{m}.example.net", "d1.example.net other", "10.80.{m}.{n}"),
        {"domain": True},
        50,
        lambda turn: (("", "canary.example.net", f"turn{turn}"), f"canary.example.net turn{turn}"),
    ),
    "rtpengine": Case(
        rtpengines,
        "min_records = 3",
        {("127.0.0.1", port): (0, f"udp:127.0.0.1:{port}", 3) for port in (9, 11, 13)},
        ("0 udp:127.0.0.1:{n}{m}", "0 udp:127.0.0.1:9 77", "udp:127.0.0.2:{n}"),
        {"rtpengine": True, "rtpengine_tout_ms": 5},
        500,
        lambda turn: ((0, "udp:127.0.0.1:4000", turn + 1), ""),
    ),
    "address": Case(
        peers,
        "min_records = 3",
        {(f"10.5.0.{n}", 5060): (1, f"10.5.0.{n}/32:5060", "victim") for n in (1, 2, 3)},
        ("10.80.{m}.{n} 32 0 x", "10.80.{m}.{n}", "10.80.{m}.0 24 {n}", "10.5.0.1 32 5060 other", "10.0.0.0 8", "::/0"),
        {
            "modparams": 'loadmodule "permissions.so"\nmodparam("permissions","address_file","{live}/address.list")\n'
            'modparam("permissions","reload_delta",0)',
            "files": {"address.list": "# none yet\n"},
        },
        100,
        lambda turn: ((1, "127.0.0.1/32:0", f"turn{turn}"), f"127.0.0.1 32 0 turn{turn}"),
        'port = "service"',
        never=opens_much,
    ),
    "htable": Case(
        keys,
        "min_records = 3",
        {(f"10.5.0.{n}", 5060): ("", f"r{n:02d}", f"sip:10.5.0.{n}:5060") for n in (1, 2, 3)},
        ("sip:10.80.{m}.{n}", "x={n}", "r01", "5"),
        {
            "modparams": 'loadmodule "htable.so"\nmodparam("htable","db_url","text://{live}/dbtext")\n'
            'modparam("htable","htable","htable=>size=4;dbtable=htable;")',
            "files": {"dbtext/htable": HEADER},
        },
        50,
        lambda turn: (("", "canary", f"turn{turn}"), f"turn{turn}"),
        'value = "uri"',
    ),
}


class Siege:
    """One dataset under attack; the canary is an honest record that changes now and then."""

    def __init__(self, lab: Lab, consul: ConsulAgent, case: Case, name: str) -> None:
        self.name, self.case, self.consul = name, case, consul
        lines = f"{case.lines}\nmax_records = {MOST}{SETS.format(name=name, lines=case.set)}"
        tables = {"dispatcher": None, name: lines}
        alerts = f'[alert]\ncommand = ["sh", "-c", "cat >> {lab.directory}/alerts"]\n'
        self.world = World(lab, consul, self.case.kamailio, templates=False, more=alerts, verify_every=5, **tables)
        self.ct = lab.consul_template(consul, [self.world.engine.template(name)], of(self.world, name))
        self.seen: Sampler[list[Held]] = Sampler(self.world.kam.ctl, self.case.read, 0.003)

    def honest(self) -> None:
        for number, (address, port) in enumerate(self.case.honest, 1):
            self.consul.register("victim", f"r{number:02d}", address, port, weights=3)

    def settled(self) -> bool:
        return self.spoilt(self.seen.now() or []) == []

    def is_full(self) -> bool:
        """Some are fine, and fill what is left by those that are tried again: one whose socket Kamailio has not, and
        those of a host for which nothing loads now. Neither takes a place where max_records leaves it out since."""
        status = self.world.engine.status(self.name)
        staging = Path(status["staging"][0]["path"])
        offered = parsed(dataset(self.name), staging.name, staging.read_bytes()).records
        again = len(status["refused"]) + sum(str(record.host) in status["blocked"] for record in offered)
        return MOST - again <= len(self.seen.now() or []) <= MOST

    def spoilt(self, held: list[Held]) -> list[str]:
        """What is wrong with memory."""
        wrong = []
        for right in self.case.honest.values():
            found = [each for each in held if each[:2] == right[:2]]
            if found != [right]:
                wrong.append(f"{right} is {found}")
        if len(held) > MOST:
            wrong.append(f"{len(held)} records")
        if len({each[:2] for each in held}) < len(held):
            wrong.append("twins")
        return wrong + [f"injected: {each}" for each in held if each[1] in RECORDS or self.case.never(each)]

    def canary(self, turn: int, timeout: float) -> None:
        """An honest change reaches memory: the list is not frozen."""
        wanted, entry = self.case.canary(turn)
        if entry:
            self.consul.kv_put("victim/canary", entry)
        else:
            meta = {"priority": str(turn)}
            self.consul.register("victim", "canary", "127.0.0.1", 4_000, meta=meta, weights=turn + 1)
        try:
            self.seen.wait_until(lambda held: wanted in held, timeout)
        except LabError:
            status = self.world.engine.status(self.name)
            print({key: value for key, value in status.items() if key != "dropped"})
            raise


PLAYED = {"dispatcher": 3636862428, "rtpengine": 20454491}
"""Where a seed has found something once, it is that one."""


@pytest.mark.parametrize("chosen", CASES)
def test_a_thousand_hostile_ones(lab: Lab, chosen: str) -> None:
    play(lab, chosen, int(os.environ.get("CK_HOSTILE_SEED") or PLAYED.get(chosen, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("chosen", CASES)
def test_a_thousand_that_nobody_has_seen_before(lab: Lab, chosen: str) -> None:
    play(lab, chosen, random.SystemRandom().randrange(2**32))


def play(lab: Lab, chosen: str, seed: int) -> None:
    print(f"CK_HOSTILE_SEED={seed}")
    consul = lab.consul()
    case, name = CASES[chosen], chosen.split()[0]
    siege = Siege(lab, consul, case, name)
    hostile = Hostile(seed, "victim", list(case.honest), list(case.entries), shares=case.shares)
    with siege.seen:
        siege.honest()
        siege.canary(0, 30)
        since = siege.seen.wait_until(lambda held: not siege.spoilt(held), 30)
        taken = tried = 0
        while taken < MANY:
            tried += 1
            path, body = hostile.next()
            status, _ = consul.request("PUT", path, body)
            taken += status == 200
            if status == 200 and taken % case.batch == 0:
                siege.canary(taken // case.batch, 40)
            if taken == MANY // 2 and status == 200:
                siege.world.restart_engine()
        assert tried < 2 * MANY
        siege.canary(90, 40)
        wrong = [siege.spoilt(sample.value) for sample in siege.seen.since(since) if sample.value is not None]
        assert [each for each in wrong if each] == []
        assert len(siege.world.rest(dataset=name, timeout=40)["dropped"]) > 100
        wait_for("all that may be", siege.is_full, 40)
        assert siege.ct.alive()
        says_nothing_that_steers_a_terminal(siege.world, lab.directory)


def plain(text: str) -> bool:
    return all(char == "\n" or char.isprintable() for char in text)


def says_nothing_that_steers_a_terminal(world: World, directory: Path) -> None:
    env = {**os.environ, **world.engine.env, "COLUMNS": "200"}
    shown: dict[str, Any] = {}
    for verb in ("status", "diff", "history", "check", "status --json", "history --json"):
        argv = [sys.executable, "-m", "consul_kam", *verb.split()]
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        assert plain(done.stdout), verb
        shown[verb] = done.stdout
    assert "\\x1b" in shown["check"]
    assert "[bold red]" in shown["check"]
    for path in (world.engine.log, world.engine.state / "journal.jsonl"):
        assert path.read_text().isascii()
        assert plain(path.read_text()), path
