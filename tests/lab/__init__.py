"""The lab: real Kamailio, Consul, consul-template, SIP and an independent eye on Kamailio's memory.

Shared by tests, bench and demo. Everything is on loopback with free ports and ends with its `with` block, also after
an exception or SIGTERM; what the kernel must end for us (SIGKILL of the test) is asked for in process.py.
"""

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from tests.lab.consul import ConsulAgent
from tests.lab.consul_template import ConsulTemplate, Template
from tests.lab.engine import Engine
from tests.lab.kamailio import VERSIONS, Kamailio
from tests.lab.node import Node, Rtp
from tests.lab.ports import free_port
from tests.lab.process import LabError, Process, program, wait_for
from tests.lab.rpc import Destination, Fault, Rpc, Struct, Unreachable
from tests.lab.sampler import Dispatcher, Sampler, uris
from tests.lab.sip import Calls, Sipp, Uas

__all__ = [
    "VERSIONS",
    "Calls",
    "ConsulAgent",
    "ConsulTemplate",
    "Destination",
    "Dispatcher",
    "Engine",
    "Fault",
    "Kamailio",
    "Lab",
    "LabError",
    "Node",
    "Process",
    "Rpc",
    "Rtp",
    "Sampler",
    "Sipp",
    "Struct",
    "Uas",
    "Unreachable",
    "free_port",
    "program",
    "uris",
    "wait_for",
]


T = TypeVar("T")


class Lab:
    """`with Lab(tmp_path) as lab:` then lab.consul(), lab.kamailio(...), ...: each started, and closed in reverse.

    `version`: of its Kamailio, as in kamailio_cfg.Options.
    """

    def __init__(self, directory: Path, version: str = "") -> None:
        self.directory, self.version = directory, version
        self._stack = ExitStack()
        self._count = 0

    def _own(self, kind: str) -> Path:
        self._count += 1
        path = self.directory / f"{kind}{self._count}"
        path.mkdir(parents=True)
        return path

    def consul(self, acl: bool = False, persist: bool = False, datacenter: str = "dc1") -> ConsulAgent:
        return self._stack.enter_context(ConsulAgent(self._own("consul"), acl, persist, datacenter))

    def kamailio(self, **options: object) -> Kamailio:
        """Options as in kamailio_cfg.Options; the lab's version where they name none."""
        return self._stack.enter_context(Kamailio(self._own("kam"), **{"version": self.version, **options}))

    def consul_template(
        self, consul: ConsulAgent, templates: Sequence[Template], env: Mapping[str, str] | None = None, token: str = ""
    ) -> ConsulTemplate:
        return self._stack.enter_context(ConsulTemplate(self._own("ct"), consul.address, templates, env, token))

    def engine(self, kamailio: Kamailio, consul: ConsulAgent, **options: Any) -> Engine:
        """Options as in tests.lab.engine.Engine."""
        return self._stack.enter_context(Engine(self._own("engine"), kamailio, consul.address, **options))

    def node(
        self, consul: ConsulAgent, spawn: bool = True, kamailio: Mapping[str, object] | None = None, **options: Any
    ) -> Node:
        """A supervised node, with a Kamailio of its own (options as in `kamailio`) that it starts where it is to."""
        laid_out = Kamailio(self._own("kam"), **{"version": self.version, "reload_delta": 0, **(kamailio or {})})
        if not spawn:
            self._stack.enter_context(laid_out)
        return self._stack.enter_context(Node(self._own("node"), laid_out, consul.address, spawn=spawn, **options))

    def rtp(self, consul: ConsulAgent, ng: int, **options: Any) -> Rtp:
        """A node of role `rtp`: its RTPEngine listens at this port of loopback; `options` as of Rtp."""
        return self._stack.enter_context(Rtp(self._own("rtp"), consul.address, ng, **options))

    def uas(self, port: int | None = None) -> Uas:
        return self._stack.enter_context(Uas(port))

    def sipp(self, kamailio: Kamailio, rate: int, calls: int, duration: int = 100) -> Sipp:
        return self._stack.enter_context(Sipp(self._own("sipp"), kamailio.sip_port, rate, calls, duration))

    def sampler(self, kamailio: Kamailio, every: float = 0.003) -> "Sampler[Dispatcher]":
        """The dispatcher's memory, asked each `every` s."""
        return self.watch(kamailio, Rpc.dispatcher, every)

    def watch(self, kamailio: Kamailio, read: Callable[[Rpc], T], every: float = 0.003) -> "Sampler[T]":
        """What `read` makes of memory, asked each `every` s."""
        return self._stack.enter_context(Sampler(kamailio.ctl, read, every))

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            previous = signal.signal(signal.SIGTERM, _leave)
            self._stack.callback(signal.signal, signal.SIGTERM, previous)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _leave(number: int, frame: FrameType | None) -> None:
    # unwinds every `with`, so that children are stopped in order
    raise SystemExit(128 + number)
