"""The programs that `run` starts: how each is called, when it is ready, what has to be right before it is started."""

import hashlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from consul_kam.adapters import files, processes, trust
from consul_kam.app import templates
from consul_kam.app.env import Environment
from consul_kam.app.env_state import Start
from consul_kam.app.read_once import ReadOnce
from consul_kam.app.render import consul_flags, program_of
from consul_kam.app.surroundings import used_by_consul_template, without_secrets
from consul_kam.config import Settings
from consul_kam.core import kamailio_cfg
from consul_kam.core.service import Policy
from consul_kam.core.world import CONSUL_TEMPLATE, KAMAILIO
from consul_kam.errors import ConsulKamError

USUAL_CFG = "/etc/kamailio/kamailio.cfg"
Say = Callable[[str], None]
"""Something that an operator has to hear, on whatever thread."""


class Child(Protocol):
    """One program. All methods but `policy` may block; they run on the child's own worker."""

    name: str
    record: Path
    """Where it is written down who it is."""
    policy: Policy
    stop_signal: int

    def launch(self) -> tuple[list[str], dict[str, str]]:
        """Program with arguments, and environment. Raises ConsulKamError, OSError: it cannot be started now."""
        ...

    def answers(self) -> bool:
        """Whether it does its work."""
        ...

    def came_up(self) -> None:
        """It became ready. Raises OSError."""
        ...

    def did_not(self) -> None:
        """It ended, or was ended, before it was ready."""
        ...


def policy_of(settings: Settings, start_timeout: float, stop_timeout: float) -> Policy:
    given = settings.supervise
    return Policy(
        start_timeout=start_timeout,
        stop_timeout=stop_timeout,
        first=given.first,
        longest=given.longest,
        quiet=given.quiet,
        crash_limit=given.crash_limit,
        crash_window=given.crash_window,
        give_up=given.on_crash_loop == "exit",
    )


@dataclass
class ConsulTemplateChild:
    """consul-template without commands; its configuration is made from ours at each start."""

    settings: Settings
    name: str = CONSUL_TEMPLATE
    stop_signal: int = signal.SIGINT
    """It ignores SIGTERM (tool-facts.md)."""

    def __post_init__(self) -> None:
        self.directory = self.settings.state_dir / self.name
        self.record = self.directory / "process"
        self.policy = policy_of(self.settings, start_timeout=10.0, stop_timeout=5.0)
        self._read_once = ReadOnce(self.settings.consul)
        self._other = any(_read(str(path)) != text for path, text in self._made().items())
        """Whether what was made for the one before is not what we would make."""

    def launch(self) -> tuple[list[str], dict[str, str]]:
        trust.make_directory(self.directory, 0o700)
        wrong = self._read_once.wrong()
        if wrong:
            raise ConsulKamError(f"cannot start consul-template: {wrong}")
        self._read_once.take()
        for path, text in self._made().items():
            files.write_atomic(path, text.encode(), 0o600)
        self._other = False
        return self._argv(), used_by_consul_template(self.settings)

    def _argv(self) -> list[str]:
        argv = [program_of(self.settings), f"-config={self.directory / 'config.json'}", *consul_flags(self.settings)]
        if self.settings.consul_template.config:
            argv.append(f"-config={self.settings.consul_template.config}")
        return argv

    def _made(self) -> dict[Path, str]:
        """Each file that is made for it, `command` among them: by it we know what an adopted one was started with.

        Templates are the operator's own where they are known, else ours with the configured sets baked in. `attempts`
        0: for ever; by default it gives up after 12 and ends.
        """
        own, made, stanzas = self.settings.consul_template.templates, dict[Path, str](), list[dict[str, object]]()
        for dataset in self.settings.enabled:
            for file, text in templates.exported({dataset.name: dataset.sets}).items():
                source = Path(own) / file if own else self.directory / file
                if not own or not source.exists():
                    source = self.directory / file
                    made[source] = text
                staging = dataset.staging_of(templates.meant_for(file)[1])
                stanzas.append(
                    {"source": str(source), "destination": str(staging), "perms": 0o640, "error_fatal": False}
                )
        retry = {"enabled": True, "attempts": 0, "backoff": "250ms", "max_backoff": "5s"}
        whole = {"log_level": "warn", "consul": {"retry": retry}, "template": stanzas}
        made[self.directory / "config.json"] = json.dumps(whole, indent=1)
        made[self.directory / "command"] = "\n".join([*self._argv(), *self._read_once.marks])
        return made

    def answers(self) -> bool:
        """That it is there says enough: whether it renders, the freshness probe tells."""
        return True

    def came_up(self) -> None:
        return

    def did_not(self) -> None:
        return

    def outdated(self, adopted: bool) -> str:
        """Why it has to be started anew, or "": it reads its files and the token's once.

        A token that is away is no other one: without it, it would not even start.
        """
        if adopted and self._other:
            return "its configuration changed"
        return self._read_once.changed()


@dataclass
class KamailioChild:
    """Kamailio in the foreground, in a session of its own, always with the same pid file.

    A configuration that came up is kept, in one text with all that it includes; one that does not come up gives way to
    it until it is changed. `ready`: whether RPC and SIP answer. `environment`: what Consul's KV gives it.
    """

    settings: Settings
    ready: Callable[[], bool]
    say: Say
    environment: Environment | None = None
    name: str = KAMAILIO
    stop_signal: int = signal.SIGTERM
    standin: str = ""
    """Why it runs on the previous configuration, or "" where it does not."""
    _bad: str = ""
    """Digest of a configuration that did not come up."""
    _checked: str = ""
    _started: str = ""
    _whole: kamailio_cfg.Whole = field(default_factory=lambda: kamailio_cfg.Whole("", ()))

    def __post_init__(self) -> None:
        given = self.settings.kamailio
        self.directory = self.settings.state_dir / self.name
        self.record = self.directory / "process"
        self.good = self.directory / "good.cfg"
        self.policy = policy_of(self.settings, given.start_timeout, given.stop_timeout)
        self._command = list(given.command or ())
        self._start = Start(self._command, {}, "")

    def launch(self) -> tuple[list[str], dict[str, str]]:
        trust.make_directory(self.directory, 0o700)
        wrong = self.complaint()
        if wrong and not self.good.exists():
            raise ConsulKamError(f"cannot start Kamailio: {wrong}")
        if wrong and wrong != self.standin:
            self.say(f"cannot use Kamailio's new configuration: {wrong}; going on with the previous one, {self.good}")
        self.standin = wrong
        self._started = "" if wrong else self._digest
        command = self._with_cfg(str(self.good)) if wrong else self._command
        pid_file = [] if "-P" in command else ["-P", str(self.directory / "kamailio.pid")]
        self._forget([*command, *pid_file])
        if self.environment is not None:
            self.environment.started("" if wrong else self._start.digest)
        return [*command, "-DD", "-E", *pid_file], self._surroundings

    def _forget(self, command: Sequence[str]) -> None:
        """The pid file of the one that ended: Kamailio ends with 255 where it names a process, be it a zombie.

        One that was adopted is a zombie until its new parent, PID 1 or a subreaper, gets round to it. A file that
        names anybody else stays.
        """
        path, last = command[command.index("-P") + 1 :][:1], processes.recorded(self.record)
        if path and last is not None and (_read(path[0]) or "").strip() == str(last.pid):
            Path(path[0]).unlink(missing_ok=True)

    def complaint(self) -> str:
        """What is wrong with the configuration as it is now, or "". `kamailio -c` is asked where it changed.

        That proves no more than its syntax (kamailio-facts.md, 11). Raises ConsulKamError.
        """
        if self.environment is not None:
            self._start = self.environment.for_start(self.settings.kamailio.command or ())
            self._command = self._start.command
        self._whole = kamailio_cfg.whole(self._cfg, self._read)
        if self._digest == self._bad:
            return f"{self._cfg} did not come up"
        if self._digest != self._checked:
            code, said = processes.output([*self._command, "-c"], self._surroundings, 60.0)
            if code:
                return kamailio_cfg.complaint(said)
            self._checked = self._digest
        return ""

    def forgive(self) -> None:
        """An operator's word: what did not come up may be tried again."""
        self._bad = ""

    def answers(self) -> bool:
        return self.ready()

    def came_up(self) -> None:
        """Keep the configuration, unless it is the kept one, and unless as one text it is not accepted."""
        if not self._started or self._started == _digest(_read(str(self.good)) or ""):
            return
        candidate = self.directory / "candidate.cfg"
        files.write_atomic(candidate, self._whole.text.encode("utf-8", "surrogateescape"), 0o600)
        code, said = processes.output([*self._with_cfg(str(candidate)), "-c"], self._surroundings, 60.0)
        if code:
            self.say(f"cannot keep Kamailio's configuration to go back to: {kamailio_cfg.complaint(said)}")
        else:
            candidate.replace(self.good)

    def did_not(self) -> None:
        """Only where there is one to go back to that is another one."""
        kept = _read(str(self.good))
        if self._started and kept is not None and self._started != _digest(kept):
            self._bad = self._started

    def _read(self, path: str) -> str | None:
        """The include that holds secrets of Vault's stays an include: what is kept is on a disk, and who goes back to
        it does not go back to a password of before.
        """
        env = self.settings.env
        kept_out = env.leased and env.include is not None and os.path.realpath(path) == os.path.realpath(env.include)
        return None if kept_out else _read(path)

    @property
    def _surroundings(self) -> dict[str, str]:
        """The environment that it is started with, and that its configuration is tried with."""
        return {**without_secrets(), **self._start.texts}

    @property
    def _digest(self) -> str:
        return _digest(self._whole.text)

    @property
    def _place(self) -> int:
        """Where in the command the configuration is named, or -1."""
        found = [index for index, word in enumerate(self._command[:-1]) if word == "-f"]
        return found[-1] + 1 if found else -1

    @property
    def _cfg(self) -> str:
        return self._command[self._place] if self._place > 0 else USUAL_CFG

    def _with_cfg(self, path: str) -> list[str]:
        command = list(self._command)
        if self._place < 0:
            return [*command, "-f", path]
        command[self._place] = path
        return command


def _read(path: str) -> str | None:
    try:
        return files.read_regular(Path(path), follow=True).decode("utf-8", "surrogateescape")
    except OSError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
