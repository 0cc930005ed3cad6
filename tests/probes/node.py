"""A node's World over the lab's real programs, with a decision thread that runs."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from consul_kam import probes
from consul_kam.adapters.consul import Consul
from consul_kam.app.engine import Lane
from consul_kam.app.freshness import Freshness
from consul_kam.app.loop import Loop
from consul_kam.app.world import NodeWorld
from consul_kam.config import Settings, parse
from consul_kam.core.health import Outcome, look
from consul_kam.core.world import ProcessFacts
from tests.lab import Kamailio
from tests.lab.process import wait_for


def settings(kam: Kamailio, more: str = "") -> Settings:
    """An SBC beside this Kamailio; SIP over UDP and TCP."""
    text = f"""
[node]
role = "sbc"
state_dir = "{kam.run}/state"
[kamailio]
rpc = "unix:{kam.ctl}"
sip = ["udp:127.0.0.1:{kam.sip_port}", "tcp:127.0.0.1:{kam.sip_port}"]
status_url = "http://127.0.0.1:{kam.http_port}/status"
{more}
"""
    return parse(text, "f.toml", {})


def nobody(name: str) -> ProcessFacts | None:
    return None


def no_consul() -> Consul:
    return Consul("127.0.0.1:1")


@contextmanager
def loop() -> Iterator[Loop]:
    """A decision thread."""
    one = Loop()
    thread = threading.Thread(target=lambda: one.run(lambda: None), daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.post(one.stop)
        thread.join(10)


def world(
    chosen: Settings,
    lanes: Mapping[str, Lane] | None = None,
    freshness: Freshness | None = None,
    on: Loop | None = None,
    consul: Callable[[], Consul] = no_consul,
) -> NodeWorld:
    return NodeWorld(on or Loop(), chosen, lanes or {}, freshness, consul, nobody)


def found(name: str, where: NodeWorld, timeout: float = 2.0) -> Outcome:
    """One look."""
    return look(probes.probe(name), where, timeout)


def becomes(name: str, where: NodeWorld, ok: bool, timeout: float = 20.0) -> Outcome:
    """The first look that is like this."""
    seen: list[Outcome] = []

    def there() -> bool:
        seen.append(found(name, where))
        return seen[-1].ok is ok

    wait_for(f"{name} ok={ok}", there, timeout, every=0.05)
    return seen[-1]


def on(one: Loop, call: Callable[[], object]) -> object:
    """What `call` gives on the decision thread."""
    done, results = threading.Event(), list[object]()
    one.post(lambda: (results.append(call()), done.set()))
    assert done.wait(20)
    return results[0]


def until(one: Loop, call: Callable[[], object], timeout: float = 30.0) -> None:
    """Until `call` gives something true there."""
    end = time.monotonic() + timeout
    while not on(one, call):
        assert time.monotonic() < end
        time.sleep(0.02)
