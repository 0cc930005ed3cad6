"""What a trap is, and the facts that it is looked for in. Each file in consul_kam/traps/ makes one.

`app/doctor.py` gathers the facts; nothing here and in traps/ does I/O. What is not known is None, and proves nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from consul_kam.core.certificate import Certificate
from consul_kam.core.hcl import Templating
from consul_kam.core.kamailio_script import Script
from consul_kam.core.known import Instance
from consul_kam.core.records import Record, Use

ERROR, WARNING, NOTE = "error", "warning", "note"
"""Lists do not get through, or calls fail; they will one day; worth knowing, no reason for an exit code 1."""

FACTS, FINDINGS, TOOLS = "kamailio-facts.md", "docs/findings.md", "tool-facts.md"
"""Where what is said of a trap was measured."""

MANY = 3000
"""Destinations that a reply within ctl's default limits carries, about (kamailio-facts.md, 1)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the trap was found. `cure`: the line that mends it. `fix`: what --fix does, see app/doctor.py."""

    sentence: str
    cure: str
    fix: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trap:
    """`doc`: what happens to who falls into it; `mends`: how, in general; both for docs/doctor.md."""

    name: str
    severity: str
    doc: str
    mends: str
    source: str
    find: "Callable[[Facts], Iterable[Finding]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A path as stat sees it. `kind`: file, directory, socket, other or absent. `writable`, `readable`: by us."""

    kind: str = "absent"
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: float = 0.0
    size: int = 0
    writable: bool = False
    readable: bool = False
    mount: bool = False
    ends_line: bool = True
    """Whether its last byte is a newline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFacts:
    """One enabled dataset. `records`: of its live file, or where that is none of its staging."""

    name: str
    file: str = ""
    staging: tuple[str, ...] = ()
    unprotected: bool = False
    table: bool = False
    """Its file is a db_text table."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Rows that the table's `version` file needs."""
    beside: tuple[str, ...] = ()
    """Files that have to stand beside its own."""
    records: tuple[Record, ...] = ()
    staged: bool = False
    """`records` are of its staging."""
    problems: tuple[str, ...] = ()
    """What `check` says of its live file."""
    sets: tuple[Mapping[str, Any], ...] = ()
    released: float | None = None
    """When the newest release was published, wall clock, s."""

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def used(self) -> tuple[Record, ...]:
        """Without what is out."""
        return tuple(record for record in self.records if record.use is not Use.OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the running Kamailio says; `values`: "group.name" of its cfg framework, where module cfg_rpc shows it."""

    version: tuple[int, ...] = ()
    modules: frozenset[str] | None = None
    htables: frozenset[str] | None = None
    argv: tuple[str, ...] = ()
    values: Mapping[str, int | str] = field(default_factory=dict)
    shm_total: float | None = None
    shm_free: float | None = None
    main_alive: bool | None = None
    started: float | None = None
    clock: float | None = None
    """Its clock less ours, s."""

    def option(self, flag: str) -> str:
        """The word behind a command line flag, "" where there is none; `-m64` as well as `-m 64`."""
        for index, word in enumerate(self.argv):
            if word == flag and index + 1 < len(self.argv):
                return self.argv[index + 1]
            if word.startswith(flag) and len(word) > len(flag) and not word.startswith("--"):
                return word[len(flag) :]
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What the files of one of our certificates hold. `leaf`: None where `trouble` says why it is not used."""

    table: str
    path: str
    leaf: Certificate | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was gathered. Times: wall clock, s; durations: s."""

    now: float = 0.0
    uid: int = 0
    gids: frozenset[int] = frozenset()
    user: str = ""
    rpc: str = ""
    rpc_deadline: float = 5.0
    rpc_error: str = ""
    running: Running | None = None
    cfg_path: str = ""
    cfg_error: str = ""
    cfg_missing: tuple[str, ...] = ()
    cfg_mtime: float | None = None
    script: Script | None = None
    lists: tuple[ListFacts, ...] = ()
    probing: bool = False
    min_gap: float | None = None
    status_url: str = ""
    drains: bool = False
    """Whether this Kamailio's calls are ours to end: it has a role."""
    quiet_for: float = 35.0
    start_timeout: float = 60.0
    state_dir: str = ""
    scratch: tuple[str, ...] = ()
    token_file: str = ""
    vault_files: tuple[str, ...] = ()
    """By which we log in to Vault."""
    journal_at: float | None = None
    """When the journal's newest entry was written."""
    places: Mapping[str, Place] = field(default_factory=dict)
    versions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Path of a `version` file -> its rows."""
    other_engines: tuple[int, ...] = ()
    """Processes that hold the lock of one of our live files, and are not our engine."""
    templating: Templating | None = None
    templating_path: str = ""
    templating_error: str = ""
    spawned_templating: bool = False
    """`run` starts consul-template with a configuration of its own."""
    template_texts: Mapping[str, str] = field(default_factory=dict)
    """Path of a template -> its text."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Path of a systemd unit of consul-template -> its text."""
    consul_errors: tuple[str, ...] = ()
    filtered: tuple[str, ...] = ()
    """Sources of which ACLs hide some from our token."""
    instances: tuple[Instance, ...] = ()
    """Of the services that sets ask for."""
    certificates: tuple[CertificateFacts, ...] = ()
    tls_cfg: str = ""
    """The file that is kept for Kamailio's module tls, "" where none is."""
    resolver: float | None = None
    """How long a reverse look-up took, or inf where it did not end within the deadline; None: not tried."""

    def of(self, kind: str) -> tuple[ListFacts, ...]:
        """The enabled datasets of this kind."""
        return tuple(each for each in self.lists if each.kind == kind)

    def place(self, path: str) -> Place:
        return self.places.get(path, Place())

    @property
    def modules(self) -> frozenset[str] | None:
        """What is loaded: as the running one says, else as the configuration has it."""
        if self.running is not None and self.running.modules is not None:
            return self.running.modules
        return self.script.modules if self.script is not None else None

    @property
    def htables(self) -> frozenset[str] | None:
        """Names of the htables: as the running one says, else as the configuration has them."""
        if self.running is not None and self.running.htables is not None:
            return self.running.htables
        if self.script is None:
            return None
        return frozenset(str(text).partition("=>")[0].strip() for text in self.script.all("htable", "htable"))

    @property
    def destinations(self) -> int:
        """Records of dispatcher."""
        return sum(len(each.used) for each in self.of("dispatcher"))

    def loaded(self, module: str) -> bool:
        """Whether it is known to be loaded."""
        return module in (self.modules or ())

    def number(self, module: str, name: str, default: int, live: str = "") -> int | None:
        """A modparam; `live`: its name in the cfg framework, which wins. None where neither is known."""
        value = self.running.values.get(f"{module}.{live}") if self.running is not None and live else None
        if isinstance(value, int):
            return value
        return self.script.number(module, name, default) if self.script is not None else None


def modparam(module: str, name: str, value: int | str) -> str:
    """The line of kamailio.cfg."""
    text = str(value) if isinstance(value, int) else f'"{value}"'
    return f'modparam("{module}", "{name}", {text})'
