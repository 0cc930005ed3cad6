"""What stands on the control socket's lines: a request, and a reply as JSON or as text."""

import json
from collections.abc import Mapping
from typing import Any

from consul_kam.errors import ConsulKamError


def request(line: bytes) -> dict[str, object]:
    """An object with a "do". Raises ConsulKamError."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConsulKamError(f"cannot read the request: {error}") from None
    nested = isinstance(found, dict) and any(isinstance(value, dict | list) for value in found.values())
    if not isinstance(found, dict) or not isinstance(found.get("do"), str) or nested:
        raise ConsulKamError('cannot read the request: expected an object with "do", and nothing nested in it')
    return found


def as_json(reply: Mapping[str, object]) -> bytes:
    """One line."""
    return json.dumps(reply, separators=(",", ":")).encode() + b"\n"


def as_text(reply: Mapping[str, Any]) -> bytes:
    """A reply to "apply", one ASCII line per dataset, or its error: for kam-apply, which has no time to import json."""
    lines = [
        " ".join(filter(None, (entry["dataset"], entry["verdict"], entry.get("release"), entry.get("detail"))))
        for entry in reply.get("verdicts", ())
    ]
    lines += [f"{name} is still on its way" for name in reply.get("waiting", ())]
    lines = (lines or ["nothing to apply"]) if reply.get("ok") else [str(reply.get("error", "cannot say why"))]
    return "".join(ascii(line)[1:-1] + "\n" for line in lines).encode("ascii")
