"""Records what each supported Kamailio says to every RPC that a dataset uses; the shipped fakes answer from that.

    python tools/record_replies.py [--check]   writes consul_kam/recordings/VERSION/DATASET/NAME.json anew;
                                               --check writes nothing and exits 1 where Kamailio says something else

One real Kamailio of each version (tools/kamailio_roots.py) gets the same files and the same calls; they are read by the
tests' own client. `body` is the reply as it came over binrpc, in hex, less the header with its random cookie; `values`
is what it says: a struct is {"struct": [[name, value], ...]}, because names repeat; `json` is what jsonrpcs says to the
same, over HTTP (its FIFO gives the same text), of calls that change nothing. What is recorded: tools/scenes.py.
"""

import argparse
import http.client
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

REPO = Path(__file__).parents[1]
sys.path.insert(0, str(REPO))

from tests.lab import VERSIONS, Fault, Kamailio, Struct  # noqa: E402

RECORDINGS = REPO / "consul_kam" / "recordings"
Documents = dict[str, dict[str, object]]
"""VERSION/DATASET/NAME -> what stands in the file."""

_last_mtime = 0
_VOLATILE = {"recheck_ticks", "DNSTIME_SEC", "DNSTIME_USEC", "OCTIME_SEC", "OCTIME_USEC", "uptime", "now", "up_since"}
_VOLATILE_JSON = re.compile(rf'("({"|".join(_VOLATILE)})":\s*)([0-9.]+|"[^"]*")')
CHANGES = re.compile(r"reload|set_state|enable|\.sets?|delete", re.IGNORECASE)
_PORT = re.compile(r"(127\.0\.0\.1:)\d{4,5}\b")


def _younger() -> int:
    """An mtime after all others, those of files that a Kamailio was just laid out with too: db_text reads no file again
    that is not younger by a second."""
    global _last_mtime
    _last_mtime = max(_last_mtime + 12, int(time.time()) + 100)
    return _last_mtime


class Stage:
    """One Kamailio of each version, which are given the same; what they say goes to `documents` for `dataset`."""

    def __init__(self, documents: Documents, dataset: str, kamailios: Mapping[str, Kamailio]) -> None:
        self.documents, self.dataset, self.kamailios = documents, dataset, kamailios

    def put(self, place: str, text: str | bytes | None) -> None:
        """The live file (below `Kamailio.live`); None takes it away. `@PORT@` is Kamailio's own SIP port."""
        mtime = _younger()
        for kam in self.kamailios.values():
            path = kam.live / place
            if text is None:
                path.unlink()
                continue
            data = text.encode() if isinstance(text, str) else text
            path.write_bytes(data.replace(b"@PORT@", str(kam.sip_port).encode()))
            os.utime(path, (mtime, mtime))

    def say(self, name: str, method: str, *params: str | int) -> None:
        """Call, and keep the answer under this name."""
        for version, kam in self.kamailios.items():
            document: dict[str, object] = {"method": method, "params": list(params)}
            try:
                document["values"] = plain(kam.rpc.call(method, *params))
            except Fault as fault:
                document["fault"] = {"code": fault.code, "reason": fault.reason}
            document["body"] = kam.rpc.body.hex()
            if not CHANGES.search(method):
                document["json"] = jsonrpc(kam, method, *params)
            self.documents[f"{version}/{self.dataset}/{name}"] = document

    def do(self, method: str, *params: str | int) -> None:
        """Call; it has to succeed."""
        for kam in self.kamailios.values():
            kam.rpc.call(method, *params)


class Recorder:
    """`stage` starts Kamailios; `documents` holds what was said so far."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.documents = directory, Documents()
        self._count = itertools.count()

    @contextmanager
    def stage(self, dataset: str, files: Mapping[str, str] | None = None, **options: object) -> Iterator[Stage]:
        """`files`: place -> text, there before the start. `options`: of kamailio_cfg.Options, `@LIVE@` in modparams is
        `Kamailio.live`."""
        with ExitStack() as stack:
            where = self.directory / str(next(self._count))
            kamailios = {version: _kamailio(where / version, version, options) for version in VERSIONS}
            stage = Stage(self.documents, dataset, kamailios)
            for place, text in (files or {}).items():
                stage.put(place, text)
            for kam in kamailios.values():
                stack.enter_context(kam)
            yield stage


def _kamailio(directory: Path, version: str, options: Mapping[str, object]) -> Kamailio:
    modparams = str(options.get("modparams", "")).replace("@LIVE@", str(directory / "live"))
    return Kamailio(directory, **{**options, "version": version, "modparams": modparams, "http_rpc": "tcp"})


def jsonrpc(kam: Kamailio, method: str, *params: str | int) -> str:
    """jsonrpcs's reply; lone surrogates stand for bytes that are no UTF-8."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, **({"params": params} if params else {})}
    connection = http.client.HTTPConnection("127.0.0.1", kam.rpc_port, timeout=10)
    with closing(connection):
        connection.request("POST", "/RPC", json.dumps(request))
        return connection.getresponse().read().decode("utf-8", "surrogateescape")


def plain(value: object) -> object:
    """The JSON form of a decoded reply."""
    if isinstance(value, Struct):
        return {"struct": [[name, plain(inner)] for name, inner in value.members]}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def record(scenes: Mapping[str, Callable[[Recorder], None]]) -> Documents:
    with tempfile.TemporaryDirectory(prefix="record-") as directory:
        recorder = Recorder(Path(directory))
        for scene in scenes.values():
            scene(recorder)
    return recorder.documents


def text(document: Mapping[str, object]) -> str:
    """A member a line. ASCII with \\u escapes: lone surrogates stand for bytes that are no UTF-8."""
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in document.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def settled(document: Mapping[str, object]) -> object:
    """What has to be the same each time: without times, ports, and the bytes that hold them."""
    compared = {name: value for name, value in document.items() if name != "body"}
    if "json" in compared:
        compared["json"] = _VOLATILE_JSON.sub(r"\1?", str(compared["json"]))
    return _settled(compared)


def _settled(value: object) -> object:
    match value:
        case dict():
            return {name: _settled(inner) for name, inner in value.items()}
        case [str(name), int(number) | str(number)] if name in _VOLATILE and number != -1:
            return [name, type(number).__name__]
        case list():
            return [_settled(inner) for inner in value]
        case str():
            return _PORT.sub(r"\1PORT", value)
    return value


def differences(documents: Documents) -> list[str]:
    """One line for each recording that is missing, left over or not what Kamailio says now."""
    kept = {str(path.relative_to(RECORDINGS).with_suffix("")): path for path in RECORDINGS.rglob("*.json")}
    found = [f"{name}: Kamailio is no longer asked this" for name in sorted(kept.keys() - documents.keys())]
    for name, document in sorted(documents.items()):
        if name not in kept:
            found.append(f"{name}: is not recorded")
        elif (was := settled(json.loads(kept[name].read_text(encoding="ascii")))) != (now := settled(document)):
            found.append(f"{name}: Kamailio says {now}, recorded is {was}")
    return found


def write(documents: Documents) -> None:
    """What differs in nothing but times and ports stays as it is."""
    for path in RECORDINGS.rglob("*.json"):
        if str(path.relative_to(RECORDINGS).with_suffix("")) not in documents:
            path.unlink()
    for name, document in documents.items():
        path = RECORDINGS / f"{name}.json"
        if not path.exists() or settled(json.loads(path.read_text(encoding="ascii"))) != settled(document):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(document), encoding="ascii")


def main() -> None:
    from tools.scenes import SCENES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where anything differs")
    check = parser.parse_args().check
    documents = record(SCENES)
    found = differences(documents)
    print(*found, f"{len(documents)} replies asked for, {len(found)} differ", sep="\n")
    if check:
        sys.exit(1 if found else 0)
    write(documents)


if __name__ == "__main__":
    main()
