"""The last act: each program of the node is killed, one after the other, under calls.

Somebody has to start a killed supervisor again: here it is the demo, in the place of systemd or supervisord.
"""

import time

from examples.demo.evidence import Evidence, Predicate
from examples.demo.programs import Life
from examples.demo.stage import Stage
from tests.lab import LabError, Node, Sampler

BEFORE = ("r1", "r2", "r3", "r4")
"""Registered before this act; r5 comes during it."""
UNATTENDED = 2.0
"""Seconds without a supervisor."""


def kill(stage: Stage) -> None:
    life = stage.watch()
    if stage.node is None:
        stage.say("the plain pipeline has no supervisor that could be killed")
    else:
        _kill_supervisor(stage, stage.node)
    _kill_kamailio(stage, life)
    _kill_consul_template(stage)


def _kill_supervisor(stage: Stage, node: Node) -> None:
    if not node.alive():
        raise LabError("cannot kill consul_kam: it does not run any more")
    stage.mark("orphaned")
    stage.say(f"kill -9 {node.pid}: consul_kam, the supervisor")
    node.kill9()
    stage.say("nobody supervises now; r4 restarts at another port meanwhile")
    stage.mark("unattended")
    stage.start("r4")
    time.sleep(UNATTENDED)
    stage.say("the demo starts consul_kam again, as systemd or supervisord would")
    node.start()
    stage.until(stage.right, 15.0)
    stage.say(f"process {node.pid} supervises now")
    stage.quiet()
    stage.mark("adopted")


def _kill_kamailio(stage: Stage, life: Sampler[Life]) -> None:
    """The main process alone: its workers would go on answering."""
    was = life.now()
    if was is None:
        raise LabError("cannot kill Kamailio: it does not answer any more")
    stage.mark("killed")
    stage.kill("Kamailio's main process, under calls", was.pid)
    try:
        life.wait_until(lambda now: now.answers and now.pid != was.pid, 10.0)
        stage.say("another Kamailio answers OPTIONS")
    except LabError:
        stage.say("there is no other Kamailio after 10 s")
    stage.touch()
    stage.quiet()


def _kill_consul_template(stage: Stage) -> None:
    pid = stage.feeder.pid if stage.feeder is not None else stage.node.pid_of("consul-template") if stage.node else 0
    stage.mark("starved")
    stage.kill("consul-template", pid)
    stage.say("r5 registers itself")
    stage.mark("fifth")
    stage.start("r5")
    stage.until(stage.right, 10.0)


def killed(stage: Stage, seen: Evidence) -> None:
    known = {stage.routers[id].uri for id in BEFORE}
    if stage.node is not None:
        pid = seen.main_process("orphaned")
        seen.same("without a supervisor, Kamailio answers on", "orphaned", "adopted")
        adopted = _pids(seen, "adopted", "kamailio")
        seen.says(f"the next supervisor adopts process {pid}", lambda entry: adopted == [pid])
        seen.came("the change made meanwhile is in memory", "unattended", _has(stage, "r4"))
    seen.reborn("another Kamailio answers OPTIONS", "killed")
    seen.always("its list is whole from its first answer on", "killed", lambda held: set(held) == known, "fifth", True)
    old, new = _pids(seen, "adopted", "consul-template"), _pids(seen, "started", "consul-template")
    told = (
        f"consul-template is started again: process {old[-1]} is now {new[-1]}"
        if old and new
        else "consul-template is started again"
    )
    # with --secure another token of Consul's may have come in these seconds: then it is started once more
    seen.says(told, lambda entry: len(new) == 1 if stage.secure is None else len(new) >= 1)
    seen.came("the next change is in memory", "fifth", _has(stage, "r5"))


def _pids(seen: Evidence, event: str, name: str) -> list[int]:
    """Of the programs of which the journal tells this."""
    entries = seen.journal or ()
    return [entry["pid"] for entry in entries if (entry.get("event"), entry.get("process")) == (event, name)]


def _has(stage: Stage, id: str) -> Predicate:
    uri = stage.routers[id].uri
    return lambda held: uri in held
