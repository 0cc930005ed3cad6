"""The stage: every program of the demo, and the deeds that the acts are made of."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.pipelines import PLAIN_TEMPLATE
from examples.demo.evidence import Evidence, Predicate, memory
from examples.demo.programs import Instance, Life, Sbc
from examples.demo.secure import Secure
from tests.lab import Calls, ConsulAgent, ConsulTemplate, LabError, Node, Rpc, Sampler, Sipp, wait_for
from tests.lab.process import tail

RATE = 10
"""Calls a second."""
DURATION = 200
"""Milliseconds that a call lasts."""
WINDOW = 5.0
"""Seconds between two reloads that Kamailio takes: dispatcher's default `reload_delta`."""
VERIFY_EVERY = 5.0
"""Seconds between two looks of the engine at memory; the default, 30, would make the demo long."""


class Stage:
    """Made with an ExitStack that ends the programs; `say` is called with a sentence for each deed.

    `routers`: the running routers that Consul knows, by ID. `names`: who is or was at a URI.
    """

    def __init__(
        self, stack: ExitStack, directory: Path, plain: bool, say: Callable[[str], None], secure: bool = False
    ) -> None:
        self.plain, self.say, self._stack = plain, say, stack
        self.routers: dict[str, Instance] = {}
        self.names: dict[str, str] = {}
        self.old: list[Instance] = []
        self.marks: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.node: Node | None = None
        """None: the plain pipeline, with `feeder` as its consul-template."""
        self.feeder: ConsulTemplate | None = None
        self.secure: Secure | None = None
        """None: Consul without TLS and ACLs, no Vault. Asked for it is there from `open` on."""
        self.life: Sampler[Life] | None = None
        self.sipp: Sipp | None = None
        self._directory, self._touched, self._securely = directory, 0.0, secure

    def open(self, engine: bool = True) -> None:
        """Start everything; returns with two routers in memory and calls going on. Raises LabError."""
        enter, directory = self._stack.enter_context, self._directory
        what = "consul-template, Kamailio" if self.plain else "consul_kam, which starts consul-template and Kamailio,"
        consul = "Vault, Consul with ACLs and mutual TLS" if self._securely else "Consul"
        self.say(f"starting {consul}, {what} and sipp")
        if self._securely:
            self.secure = Secure(self._stack, directory)
        self.consul: ConsulAgent = (
            self.secure.consul if self.secure else enter(ConsulAgent(directory / "consul", persist=True))
        )
        self.sbc = Sbc(directory / "sbc")
        self._stack.callback(self.sbc.close)
        self.seen = enter(Sampler(self.sbc.ctl, Rpc.dispatcher))
        for id in ("r1", "r2"):
            self.start(id)
        if self.plain:
            self._start_plain()
        else:
            self._start_node(engine)
        if not self.until(self.right, 15.0 if self.secure is None else 30.0):
            log = tail(self.node.log, 3) if self.node is not None else ""
            raise LabError(f"cannot see r1 and r2 in Kamailio's memory within 15 s: is the pipeline running? {log}")
        wait_for("an answer to OPTIONS", self.sbc.answers_options, 10.0)
        self.sipp = enter(Sipp(directory / "sipp", self.sbc.sip_port, RATE, 1_000_000, DURATION))
        self.say(f"r1 and r2 are in Kamailio's memory; sipp makes {RATE} calls a second from now on")
        if self.secure is not None and self.node is not None:
            self.secure.watch(self.sbc)

    def _start_plain(self) -> None:
        """Nobody looks after them."""
        self.sbc.start()
        self.staging: Path = self.sbc.list_file
        template: Any = (PLAIN_TEMPLATE, self.staging, f"kamcmd -s unix:{self.sbc.ctl} dispatcher.reload")
        directory = self._directory / "consul-template"
        settings = self.secure.plain() if self.secure is not None else None
        made = ConsulTemplate(directory, self.consul.address, [template], settings=settings)
        self.feeder = self._stack.enter_context(made)

    def _start_node(self, engine: bool) -> None:
        """`consul-kam run` as the supervisor of a node."""
        options: dict[str, Any] = {"kamailio_lines": "probing = true", "verify_every": VERIFY_EVERY}
        if self.secure is not None:
            options |= {"more": self.secure.lay(self.sbc), "consul_lines": self.secure.lines}
        self.node = Node(self._directory / "node", self.sbc, self.consul.address, **options)
        self.staging = self.node.template()[1]
        # not by entering it: what it has started has to end even if it does not come up
        self._stack.push(self.node)
        if engine:
            self.node.start()

    # -- deeds --------------------------------------------------------------------------------------------------------

    def instance(self, name: str) -> Instance:
        """Something that answers SIP at a new port, unknown to Consul."""
        made = self._stack.enter_context(Instance())
        self.names[made.uri] = name
        return made

    def start(self, id: str) -> None:
        """A new instance of this router, registered; the one before it becomes `old` and goes on answering."""
        if id in self.routers:
            self.old.append(self.routers[id])
        self.routers[id] = self.instance(id)
        self.touch()
        self.consul.register("router", id, port=self.routers[id].port)

    def leave(self, id: str) -> None:
        self.old.append(self.routers.pop(id))
        self.touch()
        self.consul.deregister(id)

    def stop_old(self) -> None:
        """What was replaced or has left ends, each between two of its calls."""
        for router in self.old:
            router.dying = True
        time.sleep(1.0)

    def watch(self) -> Sampler[Life]:
        """Have it noted from now on who Kamailio is and whether it answers OPTIONS. Raises LabError."""
        self.life = self._stack.enter_context(Sampler(self.sbc.ctl, self.sbc.life, 0.01))
        self.life.wait_until(lambda life: life.answers, 5.0)
        return self.life

    def kill(self, what: str, pid: int) -> None:
        self.say(f"kill -9 {pid}: {what}")
        os.kill(pid, signal.SIGKILL)
        self.touch()

    def end_calls(self) -> None:
        """No new ones; those that are up end, and sipp writes its last counts."""
        assert self.sipp is not None
        self.sipp.stop()

    def kamcmd(self, *words: str) -> None:
        """Somebody's hands."""
        self.touch()
        self.say(f"somebody types kamcmd {' '.join(words)}: {self.sbc.kamcmd(*words) or 'Ok'}")

    def count(self, name: str, *routers: Instance) -> Callable[[], None]:
        """Count the calls sent to these from now on; call the result to stop."""
        before = sum(router.calls for router in routers)

        def stop() -> None:
            self.counts[name] = sum(router.calls for router in routers) - before

        return stop

    # -- moments ------------------------------------------------------------------------------------------------------

    def mark(self, name: str) -> None:
        self.marks[name] = time.monotonic()

    def touch(self) -> None:
        self._touched = time.monotonic()

    def until(self, predicate: Predicate, timeout: float) -> bool:
        """Wait for memory to be so, at most `timeout` s. Whether it came to be so is for the evidence to say."""
        try:
            self.seen.wait_until(lambda held: predicate(memory(held)), timeout)
        except LabError:
            return False
        return True

    def staged(self) -> tuple[int, int]:
        """Which file consul-template wrote last."""
        found = self.staging.stat()
        return found.st_ino, found.st_mtime_ns

    def until_staged(self, before: tuple[int, int], timeout: float) -> None:
        """Wait for consul-template to write another one, at most `timeout` s."""
        with contextlib.suppress(LabError):
            wait_for("another list", lambda: self.staged() != before, timeout)

    def right(self, held: Mapping[str, str]) -> bool:
        """Memory holds the routers that Consul knows, and nothing else."""
        return set(held) == {router.uri for router in self.routers.values()}

    def quiet(self) -> None:
        """Wait until Kamailio's window is open again."""
        # what waits for the window itself closes it anew
        while (left := max(self._touched, self.seen.history[-1].at) + WINDOW + 0.2 - time.monotonic()) > 0:
            time.sleep(left)

    def heal(self) -> None:
        """For the plain pipeline: an operator reloads by hand, so that the next act starts right."""
        if self.plain and not self.until(self.right, 0.1):
            self.kamcmd("dispatcher.reload")
            self.until(self.right, 3.0)
            self.quiet()

    # -- what is known ------------------------------------------------------------------------------------------------

    def calls(self) -> Calls:
        return self.sipp.stats() if self.sipp is not None else Calls(0, 0, 0, 0)

    def journal(self) -> list[dict[str, Any]] | None:
        """None: the plain pipeline has none."""
        return self.node.journal() if self.node is not None else None

    def evidence(self, entries: int) -> Evidence:
        """Of what happened since the journal had this many entries."""
        journal = self.journal()
        own = None if journal is None else journal[entries:]
        return Evidence(self.seen, self.life, self.marks, own, self.counts)
