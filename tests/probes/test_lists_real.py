"""The probes that look at the engine: are the lists in memory, does consul-template still stage them?"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.systemd import Notifier
from consul_kam.app import places, wiring
from consul_kam.app.freshness import Freshness
from consul_kam.app.health import Health
from consul_kam.app.world import NodeWorld
from consul_kam.config import Settings
from consul_kam.core.health import ProbeState
from consul_kam.core.plan import make_release
from tests.lab import ConsulAgent, Kamailio, Lab
from tests.lab.engine import TEMPLATES
from tests.lab.process import freeze, wait_for
from tests.lab.world import BASE, uri
from tests.probes.node import becomes, found, loop, nobody, on, settings, until, world


def chosen(kam: Kamailio, consul: str = "127.0.0.1:1", more: str = "", template: str = 'mode = "attach"') -> Settings:
    """No program is started: those of an engine in this process would outlive the test."""
    return settings(kam, f'min_gap = 0.02\n[consul_template]\n{template}\n[consul]\naddress = "{consul}"\n'
                         f'[datasets.dispatcher]\nfile = "{kam.list_file}"\n{more}')  # fmt: skip


@contextmanager
def engine(what: Settings) -> Iterator[tuple[NodeWorld, wiring.Engine]]:
    """A real engine in this process, and the world beside it."""
    places.prepare(what)
    built, intake, _, _ = wiring.build(what, False, Notifier("", 0))
    thread = threading.Thread(target=built.run, daemon=True)
    thread.start()
    built.each_tick.append(intake.scan_all)
    try:
        yield world(what, built.lanes, on=built.loop), built
    finally:
        built.stop()
        thread.join(10)


def stage(what: Settings, *numbers: int) -> None:
    records = [{"setid": 1, "address": "127.0.0.1", "port": BASE + n, "status": "passing"} for n in numbers]
    lines = [*records, {"end": "dispatcher", "records": len(records)}]
    path = what.dataset("dispatcher").staging
    scratch = path.with_name("new")
    scratch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    scratch.rename(path)


def test_a_list_is_in_memory_or_waits_for_a_window(lab: Lab) -> None:
    kam = lab.kamailio()  # whose window is dispatcher's own: 5 s
    what = chosen(kam, more="max_shrink = 1.0")
    with engine(what) as (here, built):
        assert found("lists", here).reason.startswith("dispatcher: memory is not known yet (")
        stage(what, 1, 2)
        tick(built)
        assert becomes("lists", here, True).facts == {"lists": 1.0, "wrong": 0.0}
        assert [d.uri for d in kam.rpc.dispatcher()[1]] == [uri(1), uri(2)]
        stage(what, 1, 2, 3)
        tick(built)
        said = "dispatcher: memory is not what it shall be (WAITING: waits for window)"
        wait_for("its wait for a window", lambda: found("lists", here).reason == said, 20)
        becomes("lists", here, True)
        assert len(kam.rpc.dispatcher()[1]) == 3


def test_another_target_is_compared_anew(lab: Lab) -> None:
    what = chosen(lab.kamailio())
    with engine(what) as (here, built):
        stage(what, 1, 2)
        tick(built)
        becomes("lists", here, True)
        pipeline = built.lanes["dispatcher"].pipeline
        on(built.loop, built.stop)
        assert found("lists", here).ok is True
        target, kept = pipeline.state.target, pipeline.state
        assert target is not None
        pipeline.state = replace(kept, target=make_release(list(target.records[:1])))
        assert found("lists", here).ok is False
        pipeline.state = kept
        assert found("lists", here).ok is True


def tick(built: wiring.Engine) -> None:
    """As the watch on staging would."""
    for call in built.each_tick:
        built.loop.post(call)


def test_a_kamailio_that_is_away_leaves_memory_unknown(lab: Lab) -> None:
    kam = lab.kamailio(reload_delta=0)
    what = chosen(kam)
    with engine(what) as (here, built):
        stage(what, 1)
        tick(built)
        becomes("lists", here, True)
        kam.kill9()
        said = "dispatcher: memory is not known yet (WAITING: waits for kamailio)"
        wait_for("its wait for Kamailio", lambda: found("lists", here).reason == said, 20)
        kam.start()
        becomes("lists", here, True)


def test_a_paused_list_that_differs_is_a_remark(lab: Lab) -> None:
    kam = lab.kamailio(reload_delta=0)
    what = chosen(kam)
    with engine(what) as (here, built):
        stage(what, 1)
        tick(built)
        becomes("lists", here, True)
        pipeline = built.lanes["dispatcher"].pipeline
        on(built.loop, lambda: built.do(built.lanes["dispatcher"], pipeline.pause(True, 0.0)))
        stage(what, 1, 2)
        tick(built)
        wait_for("the remark", lambda: "dispatcher" in found("lists", here).reason, 20)
        outcome = found("lists", here)
        assert (outcome.ok, outcome.reason) == (True, "not kept right, as you said: dispatcher")


# -- render_age: a whole Health, with consul-template frozen ----------------------------------------------------------


def test_a_frozen_consul_template_is_named_with_the_record_that_it_kept_back(lab: Lab) -> None:
    kam, consul = lab.kamailio(), lab.consul()
    what = chosen(kam, consul.address, "[probes.render_age]\nperiod = 1.5\n", "stale_after = 5.0")
    places.prepare(what)
    ct = lab.consul_template(consul, [(TEMPLATES / "dispatcher.ctmpl", what.dataset("dispatcher").staging, None)])
    register(consul, 1)
    with loop() as one:
        freshness = Freshness(one, what, lambda: Consul(consul.address))
        here = NodeWorld(one, what, {}, freshness, lambda: Consul(consul.address), nobody)
        health = Health(one, what, here)
        on(one, health.start)
        until(one, lambda: age(health).healthy is True)
        assert (age(health).action, age(health).target) == ("restart", "consul-template")
        freeze(ct.pid)
        register(consul, 2)
        until(one, lambda: age(health).healthy is False)
        assert age(health).bad >= 3
        assert age(health).reason.startswith("dispatcher: 1 records that Consul has are not staged (missing ")
        assert uri(2) in age(health).reason
        assert "render_age" not in health.reasons
        os.kill(ct.pid, signal.SIGCONT)
        until(one, lambda: age(health).healthy is True)
        consul.stop()
        until(one, lambda: age(health).reason != "")
        assert age(health).healthy is True
        on(one, health.close)
        on(one, freshness.close)


def age(health: Health) -> ProbeState:
    return health.states["render_age"]


def register(consul: ConsulAgent, number: int) -> None:
    consul.register("router", f"r{number:02d}", port=BASE + number)
