"""The targets that need an end to talk to, or files: each is set up once, by whoever asks for it first."""

import atexit
import io
import json
import shlex
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from consul_kam import config
from consul_kam.adapters import binrpc as binrpc_adapter
from consul_kam.adapters import control, jsonrpc_fifo, jsonrpc_http
from consul_kam.adapters import kamcmd as kamcmd_adapter
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_source import Source
from consul_kam.adapters.journal import Journal
from consul_kam.adapters.releases import Releases
from consul_kam.adapters.systemd import Notifier
from consul_kam.app import history, lanes, wiring
from consul_kam.app.engine import Engine
from consul_kam.app.operator import Operator
from consul_kam.app.page_timeline import timeline
from consul_kam.app.recording import recorded
from consul_kam.app.replay import Tried, play
from consul_kam.app.stored import restored
from consul_kam.cli import show_past
from consul_kam.core import past
from consul_kam.core.ports import Rpc
from consul_kam.datasets import dataset
from consul_kam.testing import FakeKamailio
from tests.fuzz import servers
from tests.fuzz.limits import clear
from tests.fuzz.servers import DEADLINE, MOST, FifoServer, Server

CALLS = [("domain.dump", ()), ("dispatcher.list", ("full",))]


@cache
def place() -> Path:
    """A directory for sockets and files; its path is short, because a socket's has to be."""
    directory = tempfile.mkdtemp(prefix="ck-fuzz-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def _asked(client: Rpc) -> None:
    """One call, then two in order."""
    try:
        client.call("core.uptime", deadline=DEADLINE)
    finally:
        try:
            for reply in client.call_in_order(CALLS, DEADLINE):
                if isinstance(reply, Exception):
                    clear(reply)
        finally:
            client.close()


@cache
def _binrpc() -> Server:
    return Server(socket.AF_UNIX, str(place() / "ctl"), servers.binrpc)


def binrpc(data: bytes) -> None:
    """The client of ctl."""
    server = _binrpc()
    server.script = data
    address = binrpc_adapter.Address("unix:ctl", socket.AF_UNIX, socket.SOCK_STREAM, server.place)
    _asked(binrpc_adapter.BinRpc(address, MOST))


@cache
def _fifo() -> FifoServer:
    return FifoServer(place() / "fifo", place())


def fifo(data: bytes) -> None:
    """The client of jsonrpcs's FIFO."""
    server = _fifo()
    server.script = data
    _asked(jsonrpc_fifo.Fifo(server.path, server.reply_dir, MOST))


@cache
def _http() -> Server:
    return Server(socket.AF_INET, ("127.0.0.1", 0), servers.http)


def http(data: bytes) -> None:
    """The client of xhttp."""
    server = _http()
    server.script = data
    where = jsonrpc_http.Place("http://x", "127.0.0.1", server.place[1], "/RPC", "127.0.0.1")
    _asked(jsonrpc_http.Http(where, MOST))


def kamcmd(data: bytes) -> None:
    """A command that prints whatever it likes. `@` becomes the mark; the first byte is its exit code."""
    (place() / "printed").write_bytes(data[1:])
    code = data[0] % 4 if data else 0
    told = f'mark=${{2%\\%v}}; sed "s/@/$mark/g" {shlex.quote(str(place() / "printed"))}; exit {code}'
    client = kamcmd_adapter.KamCmd(("sh", "-c", told, "kamcmd"))
    client.call("core.uptime", deadline=5.0)


@cache
def _consul() -> Server:
    return Server(socket.AF_INET, ("127.0.0.1", 0), servers.http)


def consul(data: bytes) -> None:
    """How many entries an agent says that there are: a number or none, whatever it answers."""
    server = _consul()
    server.script = data
    client = Consul(f"127.0.0.1:{server.place[1]}", deadline=DEADLINE)
    for source in (Source("service", "victim"), Source("kv", "victim")):
        found = client.seen_of_filtered(source, "dc1")
        assert found is None or found >= 0


# -- the control socket -----------------------------------------------------------------------------------------------


@cache
def _control() -> Server:
    return Server(socket.AF_UNIX, str(place() / "control.sock"), servers.plain)


def control_reply(data: bytes) -> None:
    """What a client makes of an answer."""
    server = _control()
    server.script = data
    assert isinstance(control.ask(Path(server.place), {"do": "status"}, DEADLINE), dict)


_TABLES = """
[kamailio]
rpc = "unix:{0}/no-ctl"
[consul_template]
path = "{0}/none"
[log]
level = "error"
[http]
listen = ""
[datasets.dispatcher]
file = "{0}/dispatcher.list"
[datasets.domain]
file = "{0}/domain"
[[datasets.domain.sets]]
service = "x"
"""


@cache
def _engine() -> Path:
    """An engine that no Kamailio answers, with its control socket; its threads end it loudly where they fail."""
    state = place() / "state"
    settings = config.parse(_TABLES.format(place()), "fuzz", {"CONSUL_KAM_STATE_DIR": str(state)})
    settings.staging_dir.mkdir(parents=True)
    engine, _, operator, _ = wiring.build(settings, False, Notifier("", 0))
    threading.excepthook = _remember
    threading.Thread(target=engine.run, name="engine", daemon=True).start()
    _running(settings.control, engine, operator)
    return settings.control


def _running(path: Path, engine: Engine, operator: Operator) -> None:
    _parts.append((engine, control.Server(path, operator.handle)))


_parts: list[tuple[Engine, control.Server]] = []
_failed: list[threading.ExceptHookArgs] = []


def _remember(failed: threading.ExceptHookArgs) -> None:
    sys.excepthook(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    _failed.append(failed)


def control_request(data: bytes) -> None:
    """What the engine answers to a client that sends anything: one object, one clear error, or nothing to no line."""
    path = _engine()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15.0)
        client.connect(str(path))
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as file:
                said = file.read()
        except (BrokenPipeError, ConnectionResetError):  # it had heard enough
            said = None
    assert not _failed, f"a thread of the engine ended: {_failed[0].exc_value!r}"
    if said is None:
        return
    if said[:1] == b"{":
        _checked(json.loads(said))
    else:
        said.decode("ascii")
        assert said or b"\n" not in data[: control.MAX_REQUEST]


def _checked(reply: Mapping[str, object]) -> None:
    assert isinstance(reply["ok"], bool)
    if not reply["ok"]:
        clear(reply["error"])


# -- what lies in the state directory ---------------------------------------------------------------------------------

_LIST = b"1 sip:127.0.0.1:5060 0 10\n1 sip:127.0.0.1:5061 0 10\n"


@cache
def _releases() -> tuple[Releases, str]:
    found = Releases(place() / "releases")
    return found, found.publish("ab" * 8, _LIST, {})


def release(data: bytes) -> None:
    """A release whose .json, and memory.json beside it, were touched."""
    found, name = _releases()
    for file in (f"{name}.json", "memory.json"):
        (place() / "releases" / file).write_bytes(data)
    assert isinstance(found.memory(), dict)
    stored = found.newest()
    if stored is not None:
        restored(dataset("dispatcher"), stored)


@cache
def _settings() -> config.Settings:
    state = place() / "boot"
    return config.parse(_TABLES.format(state), "fuzz", {"CONSUL_KAM_STATE_DIR": str(state)})


def boot(data: bytes) -> None:
    """What an engine reads at its start, from whatever somebody left there: it starts."""
    settings = _settings()
    chosen = settings.dataset("dispatcher")
    releases = Releases(settings.releases / "dispatcher")
    name = (releases.names() or [""])[0] or releases.publish("ab" * 8, _LIST, {})
    assert chosen.file is not None
    for path in (chosen.file, *(settings.releases / "dispatcher" / file for file in ("memory.json", f"{name}.json"))):
        path.write_bytes(data)
    found = lanes.lane(settings, chosen, FakeKamailio())
    dump = past.dump(found.pipeline.past)
    assert past.load(json.loads(json.dumps(dump))) == found.pipeline.past


def journal(data: bytes) -> None:
    """What `consul-kam history`, `journal export` and the status page read."""
    path = place() / "journal.jsonl"
    path.write_bytes(data)
    entries = Journal(path).tail(20)
    assert all(isinstance(entry, dict) for entry in entries)
    assert all("\n" not in show_past.line(entry) for entry in entries)
    settings = config.parse("", "fuzz", {"CONSUL_KAM_STATE_DIR": str(place())})
    for as_csv in (False, True):
        lines = list(history.export(settings, None, 0.0, None, as_csv)[0])
        assert all("\n" not in line and line.isprintable() for line in lines)
    assert "<img" not in timeline(entries, ("dispatcher",), 2e9)


def recording(data: bytes) -> None:
    """What `consul-kam replay` reads."""
    settings = config.parse(_TABLES.format(place()), "fuzz", {"CONSUL_KAM_STATE_DIR": str(place())})
    changes = [change for change in recorded("fuzz", io.BytesIO(data)) if change.dataset == "dispatcher"]
    json.dumps(play(settings, changes, Tried()))
