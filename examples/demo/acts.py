"""The acts: what is done, and what is promised of it.

A router that leaves or is replaced goes on answering until the window is over, as one does that leaves in good order:
Kamailio takes one reload in 5 s, whoever asks for it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from examples.demo.evidence import Evidence, Predicate
from examples.demo.kills import kill, killed
from examples.demo.stage import Stage

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Act:
    """`plain`: what the plain pipeline does, from Kamailio's own behaviour; `--plain` shows it."""

    title: str
    plain: str
    do: Callable[[Stage], None]
    expect: Callable[[Stage, Evidence], None]


def has(uri: str, states: str = "ATID") -> Predicate:
    """In memory, in one of these states."""
    return lambda held: held.get(uri, "-") in states


def published(entry: Entry) -> bool:
    return entry.get("verdict") == "PUBLISHED" and "memory" in entry.get("ms", {})


def join(stage: Stage) -> None:
    stage.say("r3 registers itself in Consul")
    stage.mark("join")
    stage.start("r3")
    stage.until(stage.right, 8.0)


def joined(stage: Stage, seen: Evidence) -> None:
    seen.came("r3 is in memory", "join", stage.right)
    seen.says("read back and published", published)


def part(stage: Stage) -> None:
    stage.say("r3 deregisters itself, and stops when the window is over")
    stage.mark("leave")
    stage.leave("r3")
    stage.until(stage.right, 8.0)


def parted(stage: Stage, seen: Evidence) -> None:
    seen.came("r3 is out of memory", "leave", stage.right)
    seen.says("read back and published", published)


def deploy(stage: Stage) -> None:
    stage.say("a deployment: each router restarts four times, each time at another port: 12 changes in 2.4 s")
    stage.mark("deploy")
    for _ in range(4):
        for id in ("r1", "r2", "r3"):
            stage.start(id)
            time.sleep(0.2)
    stage.mark("last")
    stage.until(stage.right, 7.0)
    stage.say("the old instances stop")
    stage.stop_old()
    stop = stage.count("stopped", *stage.old)
    time.sleep(2.0)
    stop()


def deployed(stage: Stage, seen: Evidence) -> None:
    seen.came("all 12 are in memory, none lost", "last", stage.right)
    merged = sum(map(published, seen.journal or ()))
    seen.says(f"12 changes merged into {merged} reloads", lambda entry: published(entry) and merged < 12)
    seen.nobody("calls sent to stopped routers", "stopped")


def die(stage: Stage) -> None:
    stage.say("r2 stops answering without a word; Consul still says passing")
    victim = stage.routers["r2"]
    stage.mark("death")
    victim.dying = True
    stage.until(has(victim.uri, "I"), 8.0)
    stage.quiet()
    stage.say("then something unrelated: r3 restarts at another port")
    stop = stage.count("dead", victim)
    stage.mark("unrelated")
    stage.start("r3")
    stage.until(stage.right, 8.0)
    stage.mark("found")
    time.sleep(3.0)
    stop()
    stage.mark("revival")
    stage.say("r2 is back")
    victim.revive()
    stage.until(has(victim.uri, "A"), 6.0)


def died(stage: Stage, seen: Evidence) -> None:
    victim = stage.routers["r2"].uri
    seen.came("probes find r2 dead", "death", has(victim, "I"))
    seen.came("the unrelated change is in memory", "unrelated", stage.right)
    seen.nobody("calls sent to the dead router", "dead")
    seen.came("r2 answers and gets calls again", "revival", has(victim, "A"))


def maintain(stage: Stage) -> None:
    stage.say("consul maint: r3 goes into maintenance")
    router = stage.routers["r3"]
    stage.mark("maintenance")
    stage.consul.maintenance("r3", True)
    stage.touch()
    stage.until(lambda held: held.get(router.uri, "") not in ("A", "T"), 8.0)
    time.sleep(0.5)
    stop = stage.count("maintained", router)
    stage.quiet()
    stop()
    stage.say("r3 comes out of maintenance")
    stage.mark("ready")
    stage.consul.maintenance("r3", False)
    stage.touch()
    stage.until(has(router.uri, "A"), 8.0)


def maintained(stage: Stage, seen: Evidence) -> None:
    router = stage.routers["r3"].uri
    seen.came("r3 takes no new calls", "maintenance", lambda held: held.get(router, "") not in ("A", "T"))
    seen.always("r3 stays known to the calls that are up", "maintenance", has(router))
    seen.nobody("calls sent to r3", "maintained")
    seen.came("r3 takes calls again", "ready", has(router, "AT"))


def attack(stage: Stage) -> None:
    evil, port = stage.instance("attacker"), stage.routers["r1"].port
    address = f"127.0.0.1:{port} 16 10\n1 sip:127.0.0.1"
    stage.say(f"somebody registers a router whose Address is {address!r}, and one with port 99999")
    stop = stage.count("attacker", evil)
    stage.mark("attack")
    stage.consul.register_raw({"Name": "router", "ID": "evil", "Address": address, "Port": evil.port})
    stage.consul.register_raw({"Name": "router", "ID": "odd", "Address": "127.0.0.1", "Port": 99999})
    stage.touch()
    time.sleep(5.0)
    stop()
    for id in ("evil", "odd"):
        stage.consul.deregister(id)
    stage.touch()
    time.sleep(1.0)


def attacked(stage: Stage, seen: Evidence) -> None:
    seen.always("memory holds r1, r2, r3 and nothing else", "attack", stage.right)
    seen.says("both dropped, named with their reason", lambda entry: len(entry.get("dropped", ())) >= 2)
    seen.nobody("calls sent to the attacker", "attacker")


def empty(stage: Stage) -> None:
    stage.say("the node's own check fails: Consul says that not one router is passing")
    check = {"Name": "disk", "ID": "disk", "TTL": "24h", "Status": "critical"}
    stage.mark("none")
    stage.consul.ask("PUT", "/v1/agent/check/register", check)
    stage.touch()
    time.sleep(4.0)
    stage.say("the check passes again")
    stage.consul.ask("PUT", "/v1/agent/check/deregister/disk")
    stage.touch()
    time.sleep(3.0)


def emptied(stage: Stage, seen: Evidence) -> None:
    seen.always("no route is lost", "none", stage.right)
    seen.says("HELD: the last ones do not leave", lambda entry: len(entry.get("held", ())) == 3)


def vanish(stage: Stage) -> None:
    stage.say("Consul is killed")
    stage.mark("away")
    stage.consul.stop()
    time.sleep(4.0)
    before = stage.staged()
    stage.consul.start()
    stage.say("Consul is back; until their checks have run it calls all services critical")
    stage.touch()
    # consul-template tries again each 5 s at most
    stage.until_staged(before, 9.0)
    time.sleep(2.0)
    for id in stage.routers:
        stage.consul.set_status(id, "passing")
    stage.touch()
    time.sleep(1.0)
    stage.say("the checks have passed")
    stage.quiet()
    stage.say("r4 registers itself")
    stage.mark("back")
    stage.start("r4")
    stage.until(stage.right, 8.0)


def vanished(stage: Stage, seen: Evidence) -> None:
    known = {stage.routers[id].uri for id in ("r1", "r2", "r3")}
    # Consul may say so of one after the other, and one of three is free to go: the guards keep half of them
    seen.always("never fewer than two of the three routes", "away", lambda held: len(known & set(held)) >= 2)
    seen.says("HELD: those that would leave too few", lambda entry: len(entry.get("held", ())) >= 2)
    seen.came("the next change is in memory", "back", stage.right)
    seen.says("read back and published", published)


def meddle(stage: Stage) -> None:
    stranger, r1 = stage.instance("stranger"), stage.routers["r1"].uri
    for _ in range(3):  # the engine's look may come before ours
        stage.kamcmd("dispatcher.add", "1", stranger.uri)
        if stage.until(has(stranger.uri), 1.0):
            break
    stage.mark("added")
    stage.kamcmd("dispatcher.set_state", "d", "1", r1)
    stage.until(has(r1, "D"), 1.0)
    stage.mark("disabled")
    stage.until(stage.right, 13.0)
    time.sleep(1.5)
    stage.mark("over")
    stage.kamcmd("dispatcher.set_state", "a", "1", r1)


def meddled(stage: Stage, seen: Evidence) -> None:
    r1 = stage.routers["r1"].uri
    seen.came("what was added by hand is out", "added", stage.right)
    seen.says("named as drift", lambda entry: entry.get("verdict") == "DRIFT")
    seen.always("what an operator disabled stays disabled", "disabled", has(r1, "D"), "over")


ACTS = (
    Act("A router joins", "Reloads at once too, and never looks whether Kamailio took it.", join, joined),
    Act("A router leaves", "The same.", part, parted),
    Act(
        "12 changes within one window",
        "Kamailio takes one reload in 5 s and refuses the others; kamcmd exits 0, so memory stays stale.",
        deploy,
        deployed,
    ),
    Act(
        "One dies without a word",
        "Each unrelated reload makes the dead router active again, until probes find it anew.",
        die,
        died,
    ),
    Act(
        "One goes into maintenance",
        "Takes it off the list, so requests of the calls that are up no longer pass ds_is_from_list.",
        maintain,
        maintained,
    ),
    Act(
        "A hostile registration",
        "The newline in the Address becomes a route of the attacker's choice.",
        attack,
        attacked,
    ),
    Act("Consul says: none", "Writes an empty list, Kamailio says Ok, and no call finds a route.", empty, emptied),
    Act(
        "Consul goes away and returns",
        "Keeps its list while Consul is away; then all are critical until their checks have run: no routes.",
        vanish,
        vanished,
    ),
    Act(
        "Somebody changes Kamailio by hand",
        "What was added stays, and the next reload enables again what was disabled.",
        meddle,
        meddled,
    ),
    Act(
        "Each program is killed (kill -9)",
        "Here nothing starts them again; supervisord would after 1 s, but beside Kamailio's workers, which live on.",
        kill,
        killed,
    ),
)
