"""Gathers what traps are looked for in (core/trap.py): thin and tolerant. What cannot be known stays unknown."""

import contextlib
import os
import pwd
import socket
import stat
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consul_kam.adapters import files
from consul_kam.adapters.journal import Journal
from consul_kam.adapters.releases import Releases
from consul_kam.app import certificates
from consul_kam.app.acls import sources_of
from consul_kam.app.client import request
from consul_kam.app.explain import ask_consul
from consul_kam.app.running import configured, running_of, text_of, why_unread, written_at
from consul_kam.app.wiring import consul_of
from consul_kam.config import DatasetSettings, Settings
from consul_kam.core.dataset import file_name
from consul_kam.core.dbtext import DbText
from consul_kam.core.hcl import Templating, read_templating
from consul_kam.core.kamailio_script import Script
from consul_kam.core.known import Instance
from consul_kam.core.lines import is_staging
from consul_kam.core.plan import make_release
from consul_kam.core.records import Record
from consul_kam.core.trap import Facts, ListFacts, Place
from consul_kam.core.world import NO_KAMAILIO
from consul_kam.datasets import dataset
from consul_kam.errors import ConsulKamError, ListError

USUAL_HCL = "/etc/consul_kam/consul-template.hcl"
UNITS = tuple(f"{folder}/systemd/system/consul-template.service" for folder in ("/etc", "/usr/lib", "/lib"))
LOOK_UP = 2.0
"""Seconds that a reverse look-up may take."""
IN_USE = 60.0
"""Seconds in which a scratch directory may belong to a look that is under way."""
_DEAD = "192.0.2.1"
"""Of TEST-NET-1: nobody has it in a file of hosts, and a resolver that answers says so at once."""


@dataclass(frozen=True)
class Whom:
    """The user that the engine runs as: whoever owns the state directory where root asks, else we."""

    uid: int
    gids: frozenset[int]
    name: str

    def may(self, found: os.stat_result, bit: int) -> bool:
        """`bit`: 4 read, 2 write."""
        if self.uid == 0:
            return True
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid in self.gids else 0
        return bool(found.st_mode >> shift & bit)


def gather(settings: Settings, cfg: str = "", hcl: str = "") -> Facts:
    """`cfg`, `hcl`: Kamailio's and consul-template's configuration, where they are not at their usual places."""
    whom = _whom(settings)
    running, trouble = running_of(settings)
    kamailio = configured(settings, running, cfg)
    templating, hcl_path, hcl_error = _templating(settings, hcl)
    lists = tuple(_list(settings, each) for each in settings.enabled)
    stanzas = templating.stanzas if templating is not None else ()
    errors, filtered, instances = _consul(settings)
    return Facts(
        now=time.time(),
        uid=whom.uid,
        gids=whom.gids,
        user=whom.name,
        rpc=settings.kamailio.rpc,
        rpc_deadline=settings.kamailio.rpc_deadline,
        rpc_error=trouble,
        running=running,
        cfg_path=kamailio.path,
        cfg_error=kamailio.error,
        cfg_missing=kamailio.missing,
        cfg_mtime=kamailio.changed,
        script=kamailio.script,
        lists=lists,
        probing=settings.kamailio.probing,
        min_gap=settings.kamailio.min_gap,
        status_url=settings.kamailio.status_url,
        drains=bool(settings.node.role) and settings.kamailio.mode != NO_KAMAILIO,
        quiet_for=settings.drain.quiet_for,
        start_timeout=settings.kamailio.start_timeout,
        state_dir=str(settings.state_dir),
        scratch=_scratch(settings.state_dir),
        token_file=settings.consul.token_file,
        vault_files=settings.vault.files,
        journal_at=_journal_at(settings),
        places=_places(settings, lists, whom),
        versions=_versions(lists),
        other_engines=_other_engines(settings),
        templating=templating,
        templating_path=hcl_path,
        templating_error=hcl_error,
        spawned_templating=settings.consul_template.mode == "spawn",
        template_texts={s.source: text for s in stanzas if (text := text_of(s.source)) is not None},
        units={path: text for path in UNITS[:2] if (text := text_of(path)) is not None},
        consul_errors=errors,
        filtered=filtered,
        instances=instances,
        certificates=tuple(certificates.facts(settings)),
        tls_cfg=certificates.tls_cfg(settings),
        resolver=_resolver(kamailio.script),
    )


# --- consul-template -------------------------------------------------------------------------------------------------


def _templating(settings: Settings, given: str) -> tuple[Templating | None, str, str]:
    path = given or settings.consul_template.config or (USUAL_HCL if os.path.exists(USUAL_HCL) else "")
    if not path:
        return None, "", ""
    text = text_of(path)
    if text is None:
        return None, path, why_unread(path)
    try:
        return read_templating(text), path, ""
    except ValueError as error:
        return None, path, f"cannot be understood: {error}"


# --- Consul ---------------------------------------------------------------------------------------------------------


def _consul(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Instance, ...]]:
    """What could not be asked, what ACLs hide, and the instances of the services that sets ask for."""
    consul = consul_of(settings)()
    found = ask_consul(consul, settings, None)
    sources = [(s, part) for each in settings.enabled for part, some in sources_of(each).items() for s in some]
    seen = [] if found.trouble else dict.fromkeys(sources)
    hidden = [source.name for source, part in seen if consul.seen_of_filtered(source, part) is not None]
    return tuple(dict.fromkeys(found.trouble.values())), tuple(hidden), tuple(found.instances)


# --- lists and files -------------------------------------------------------------------------------------------------


def _list(settings: Settings, chosen: DatasetSettings) -> ListFacts:
    found, file = dataset(chosen.name), chosen.file
    assert file is not None
    records, live, problems = _records(chosen)
    kept = settings.releases / file_name(chosen.name)
    stored = Releases(kept).newest() if kept.is_dir() else None
    same = stored is None or live is None or make_release(live).digest.startswith(stored.name.rpartition("-")[2])
    table = isinstance(found.notation, DbText)
    notation = found.notation if isinstance(found.notation, DbText) else DbText("", {})
    at = stored.about.get("at") if stored is not None else None
    return ListFacts(
        name=chosen.name,
        file=str(file),
        staging=tuple(str(chosen.staging_of(part)) for part in chosen.parts),
        unprotected=chosen in settings.unprotected,
        table=table,
        versions=notation.versions,
        beside=tuple(str(file.parent / name) for name in notation.beside),
        records=records,
        staged=bool(records) and not live,
        problems=problems,
        sets=chosen.sets,
        released=float(at) if not same and isinstance(at, int | float) else None,
    )


Records = tuple[Record, ...]


def _records(chosen: DatasetSettings) -> tuple[Records, Records | None, tuple[str, ...]]:
    """Of the live file, else of what is staged; of the live file alone; and what is wrong with that one."""
    found, live = dataset(chosen.name), None
    problems: tuple[str, ...] = ()
    for path in (chosen.file, *(chosen.staging_of(part) for part in chosen.parts)):
        assert path is not None
        try:
            data = files.read_regular(path)
            answer = (found.parse_staging if is_staging(data) else found.parse_native)(str(path), data)
        except ListError as error:
            problems = (str(error),) if path == chosen.file else problems
            continue
        except OSError:
            continue
        if path == chosen.file:
            live, problems = answer.records, tuple(map(str, answer.problems))
        if answer.records:
            return answer.records, live, problems
    return (), live, problems


def _places(settings: Settings, lists: Iterable[ListFacts], whom: Whom) -> dict[str, Place]:
    rpc = settings.kamailio.rpc.removeprefix("unix:").removeprefix("fifo:")
    paths = [str(settings.state_dir), settings.consul.token_file, *settings.vault.files, rpc]
    for each in lists:
        paths += [each.file, os.path.dirname(each.file), *each.beside]
    return {path: _place(path, whom) for path in paths if path.startswith("/")}


def _place(path: str, whom: Whom) -> Place:
    try:
        found = os.stat(path)
    except OSError:
        return Place()
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISSOCK, "socket"))
    kind = next((word for is_it, word in kinds if is_it(found.st_mode)), "other")
    return Place(
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime=found.st_mtime,
        size=found.st_size,
        writable=whom.may(found, 2),
        readable=whom.may(found, 4),
        mount=kind == "file" and os.path.ismount(path),
        ends_line=kind != "file" or (text_of(path) or "\n").endswith("\n"),
    )


def _versions(lists: Iterable[ListFacts]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for path in {f"{os.path.dirname(each.file)}/version" for each in lists if each.table}:
        rows = [line.partition(":") for line in (text_of(path) or "").splitlines()[1:]]
        if text_of(path) is not None:
            found[path] = {name: int(number) for name, _, number in rows if number.strip().isdecimal()}
    return found


def _scratch(state: Path) -> tuple[str, ...]:
    old = time.time() - IN_USE
    return tuple(str(path) for path in sorted(state.glob("scratch-*")) if (written_at(str(path)) or old) < old)


def _journal_at(settings: Settings) -> float | None:
    try:
        entries = Journal(settings.journal).tail(1)
    except OSError:
        return None
    at: Any = entries[-1].get("at") if entries else None
    return float(at) if isinstance(at, int | float) else None


def _other_engines(settings: Settings) -> tuple[int, ...]:
    """Who holds the lock of a live file (adapters/lock.py), by /proc/locks, and does not serve our control socket."""
    try:
        ours = request(settings, "status", 2.0).get("pid")
    except ConsulKamError:
        ours = None
    found = set()
    for each in settings.enabled:
        assert each.file is not None
        try:
            lock = os.stat(each.file.with_name(f".{each.file.name}.consul-kam.lock"))
        except OSError:
            continue
        place = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
        rows = [line.split() for line in (text_of("/proc/locks") or "").splitlines()]
        found |= {int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] == place}
    return tuple(sorted(pid for pid in found if pid > 0 and pid != ours))


# --- the host --------------------------------------------------------------------------------------------------------


def _whom(settings: Settings) -> Whom:
    uid = os.geteuid()
    if uid == 0 and settings.state_dir.exists():
        uid = settings.state_dir.stat().st_uid
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Whom(uid, frozenset(os.getgroups()), f"user id {uid}")
    gids = os.getgrouplist(entry.pw_name, entry.pw_gid) if uid != os.geteuid() else [*os.getgroups(), os.getegid()]
    return Whom(uid, frozenset(gids), entry.pw_name)


def _resolver(script: Script | None) -> float | None:
    """How long a reverse look-up takes; one that hangs must not keep us, so its thread is left behind."""
    if script is None:
        return None
    done = threading.Event()

    def look_up() -> None:
        with contextlib.suppress(OSError):
            socket.gethostbyaddr(_DEAD)
        done.set()

    began = time.monotonic()
    threading.Thread(target=look_up, daemon=True).start()
    return time.monotonic() - began if done.wait(LOOK_UP) else float("inf")
