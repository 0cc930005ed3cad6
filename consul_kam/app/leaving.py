"""`drain` and `undrain` as a command line sees them: ask the engine, watch until it is over."""

import time
from collections.abc import Callable
from typing import Any

from consul_kam.app.client import OutOfReach, request
from consul_kam.config import Settings
from consul_kam.core.registered import OURS
from consul_kam.errors import ConsulKamError

EVERY = 0.5
"""Seconds between two looks."""
PATIENCE = 60.0
"""Seconds that the engine may be away meanwhile: a restart of it."""
Say = Callable[[str], object]


def drain(settings: Settings, deadline: float | None, reason: str | None, force: bool, say: Say) -> dict[str, Any]:
    """The status in which it ended. `say` gets each line of progress. Raises OutOfReach, Refused."""
    request(settings, "drain", 15.0, lasts=deadline, reason=reason, force=force)
    last, found = "", {"phase": ""}
    while found["phase"] != "DRAINED":
        found = patiently(settings)["drain"]
        if found["phase"] == "NONE":
            raise ConsulKamError("cannot drain: it was undone meanwhile")
        line = progress(found)
        if line != last:
            say(line)
        last = line
        time.sleep(EVERY if found["phase"] != "DRAINED" else 0.0)
    return found


def undrain(settings: Settings, wait: float) -> dict[str, Any]:
    """`was`: the phase that it was in; `back`: Consul shows it; `said`: in words. Raises OutOfReach, Refused."""
    told = request(settings, "undrain", 15.0)
    until = time.monotonic() + wait
    while True:
        found = request(settings, "draining")
        why = _not_back(found)
        if not why or time.monotonic() >= until:
            break
        time.sleep(0.1)
    nothing = "it was not drained; " if told["was"] == "NONE" else ""
    said = nothing + (f"undone here; it is not back yet: {why}" if why else "back")
    if told.get("trouble"):
        said += f"; {told['trouble']}"
    return {**told, "back": not why, "said": said, **found}


def _not_back(found: dict[str, Any]) -> str:
    """Why the node does not get calls yet, or ""."""
    registration = found["registration"]
    kept = registration["maintenance"]
    if registration["trouble"]:
        return str(registration["trouble"])
    if kept:
        whose = "Consul still shows our maintenance" if kept.startswith(OURS) else "somebody else's maintenance stays"
        return f"{whose}: {kept}"
    return str(found["unwell"])


def progress(found: dict[str, Any]) -> str:
    """One line about a drain."""
    calls = "calls unknown" if found["calls"] is None else f"{found['calls']} calls"
    extra = "".join(f"; {found[key]}" for key in ("blind", "trouble") if found[key])
    match found["phase"]:
        case "ANNOUNCING":
            heard = "told Consul" if found["announced"] else "Consul does not know yet"
            quiet = f"quiet for {int(found['quiet'])} of {found['quiet_for']:g} s"
            return f"announcing: {heard}, {calls}, {quiet}{extra}"
        case "REFUSING":
            return f"refusing new calls: {calls}{extra}"
        case "SETTLING":
            return f"no call is left: {found['transactions']} transactions{extra}"
        case _:
            return f"drained: {found['how']}{extra}"


def patiently(settings: Settings) -> dict[str, Any]:
    """What the engine says, which may be started anew meanwhile: the next one goes on with the drain."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return request(settings, "draining")
        except OutOfReach:
            if time.monotonic() >= until:
                raise
            time.sleep(EVERY)
