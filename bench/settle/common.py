"""What the experiments share."""

import json
import os
import time
from pathlib import Path

from tests.lab import Fault, Kamailio, Rpc, Struct

REPLIES = Path(__file__).parents[2] / "tests" / "datasets" / "replies"


def say(question: str, answer: object) -> None:
    """One finding, one line."""
    print(f"{question}: {answer}", flush=True)


def put(path: Path, text: str | bytes, mtime: int | None = None) -> None:
    """Replace a file atomically; `mtime` in whole s."""
    temp = path.with_name(path.name + ".new")
    temp.write_bytes(text.encode() if isinstance(text, str) else text)
    if mtime is not None:
        os.utime(temp, (mtime, mtime))
    temp.rename(path)


def attempt(rpc: Rpc, method: str, *args: int | str) -> str:
    """The reply or fault of one call as text."""
    try:
        return f"ok {rpc.call(method, *args)}"
    except Fault as fault:
        return f"fault {fault.code} {fault.reason}"


def plain(value: object) -> object:
    """JSON form of a decoded reply: a struct is {"struct": [[name, value], ...]}, because names repeat."""
    if isinstance(value, Struct):
        return {"struct": [[name, plain(inner)] for name, inner in value.members]}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def save(kam: Kamailio, dataset: str, name: str, method: str, *args: str) -> str:
    """Keep a raw reply (NAME.bin, header included) and its decoded form (NAME.json) for the datasets' tests."""
    directory = REPLIES / dataset
    directory.mkdir(parents=True, exist_ok=True)
    document: dict[str, object] = {"method": method, "args": list(args)}
    try:
        document["values"] = plain(kam.rpc.call(method, *args))
    except Fault as fault:
        document["fault"] = {"code": fault.code, "reason": fault.reason}
    (directory / f"{name}.bin").write_bytes(kam.rpc.raw)
    # ASCII with \u escapes: lone surrogates stand for bytes that are no UTF-8
    text = json.dumps(document, indent=1)
    (directory / f"{name}.json").write_text(text + "\n")
    return text


def at_second(fraction: float = 0.02) -> float:
    """Sleep until just after a whole second of the wall clock (both windows count those); returns time.time()."""
    now = time.time()
    time.sleep(1 - now % 1 + fraction)
    return time.time()
