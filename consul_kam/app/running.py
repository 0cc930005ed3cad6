"""What the running Kamailio says of itself, and its configuration; for gathering.py."""

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from consul_kam.adapters import files, rpc
from consul_kam.app.children import USUAL_CFG
from consul_kam.config import Settings
from consul_kam.core import kamailio_cfg
from consul_kam.core.kamailio_script import Script, read_script
from consul_kam.core.ports import Rpc, Value
from consul_kam.core.trap import Running
from consul_kam.errors import ConsulKamError, RpcError

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_ASKED = ("tm.fr_timer", "tm.blst_503", "core.dns_try_ipv6", "core.use_dst_blocklist")


def running_of(settings: Settings) -> tuple[Running | None, str]:
    """What it says, or why it says nothing."""
    way = settings.kamailio
    if way.mode == "none":
        return None, ""
    try:
        client = rpc.connect(way.rpc, way.rpc_reply_dir, way.rpc_password_file, way.rpc_ca_file)
        uptime = _members(client.call("core.uptime", deadline=way.rpc_deadline))
    except (ConsulKamError, OSError) as error:
        return None, str(error)
    try:
        return _asked(client, uptime, way.rpc_deadline), ""
    finally:
        client.close()


def _asked(client: Rpc, uptime: Mapping[str, str], deadline: float) -> Running:
    def ask(method: str, *params: str) -> tuple[Value, ...]:
        try:
            return client.call(method, *params, deadline=deadline)
        except RpcError:
            return ()

    modules = frozenset(_texts(ask("core.modules"))) or None
    memory = _members(ask("core.shmmem"))
    version = _VERSION.search(" ".join(_texts(ask("core.version"))))
    values: dict[str, int | str] = {}
    for name in _ASKED if modules and "cfg_rpc" in modules else ():
        found = _texts(ask("cfg.get", *name.split(".")))
        if found:
            values[name] = int(found[0]) if found[0].lstrip("-").isdecimal() else found[0]
    up, now = _number(uptime.get("uptime")), _moment(uptime.get("now", ""))
    return Running(
        version=tuple(map(int, version.groups())) if version is not None else (),
        modules=modules,
        htables=_tables(modules, ask("htable.listTables")),
        argv=tuple(_texts(ask("core.arg"))),
        values=values,
        shm_total=_number(memory.get("total")),
        shm_free=_number(memory.get("free")),
        main_alive=_main_alive(_texts(ask("core.ps"))),
        started=time.time() - up if up is not None else None,
        clock=now - time.time() if now is not None else None,
    )


def _tables(modules: frozenset[str] | None, reply: tuple[Value, ...]) -> frozenset[str] | None:
    """One struct for each; without the module, or without a table, it fails."""
    if modules is not None and "htable" not in modules:
        return frozenset()
    return frozenset(name for each in reply if (name := _members((each,)).get("name"))) or None


def _texts(reply: Iterable[Value]) -> list[str]:
    """Every text of a reply; an array is a struct without names."""
    return [text for value in reply for text in ([value] if isinstance(value, str) else _texts(v for _, v in value))]


def _members(reply: tuple[Value, ...]) -> dict[str, str]:
    whole = reply[0] if reply else ()
    return {name: value for name, value in whole if isinstance(value, str)} if isinstance(whole, tuple) else {}


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _moment(text: str) -> float | None:
    """Of asctime(3), local time."""
    try:
        return time.mktime(time.strptime(text.strip()))
    except ValueError:
        return None


def _main_alive(listed: list[str]) -> bool | None:
    """None where its processes are another namespace's, or it does not list them."""
    pids = [int(word) for word in listed if word.isdecimal()]
    seen = [pid for pid in pids if "kamailio" in (text_of(f"/proc/{pid}/comm") or "")]
    main = next((int(pid) for pid, what in pairwise(listed) if what.startswith("main process")), 0)
    return main in seen if main and [pid for pid in seen if pid != main] else None


@dataclass(frozen=True)
class Configured:
    """`error`: why it cannot be read; `missing`: what it includes and cannot be; `changed`: when, wall clock."""

    path: str = ""
    script: Script | None = None
    error: str = ""
    missing: tuple[str, ...] = ()
    changed: float | None = None


def configured(settings: Settings, running: Running | None, given: str) -> Configured:
    """Kamailio's configuration: the file that is given, that it runs with, or the usual one."""
    if settings.kamailio.mode == "none":
        return Configured()
    command = list(settings.kamailio.command or ()) if settings.kamailio.mode == "spawn" else []
    argv = Running(argv=tuple(command)) if running is None or not running.argv else running
    path = given or argv.option("-f") or USUAL_CFG
    found = kamailio_cfg.whole(path, text_of)
    if path in found.missing:
        return Configured(path, error=why_unread(path))
    defines = dict(_define(word) for flag, word in pairwise(argv.argv) if flag == "-A")
    times = [at for file in found.files if (at := written_at(file)) is not None]
    return Configured(path, read_script(found.text, defines), "", found.missing, max(times, default=None))


def _define(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def text_of(path: str) -> str | None:
    """A file as it is, or None; bytes that are no UTF-8 as surrogates."""
    try:
        if path.startswith("/proc/"):
            return Path(path).read_text(errors="surrogateescape")
        return files.read_regular(Path(path), follow=True).decode("utf-8", "surrogateescape")
    except OSError:
        return None


def why_unread(path: str) -> str:
    """In the system's words."""
    try:
        files.read_regular(Path(path), follow=True)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "cannot be read"


def written_at(path: str) -> float | None:
    """Wall clock, s."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
