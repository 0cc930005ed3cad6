"""What is known of secrets and of the login, as JSON beside them: a restart goes on from there."""

import math
from collections.abc import Mapping
from typing import Any

from consul_kam.core.lease import Held, Lease, Login


def dump(held: Held) -> dict[str, Any]:
    return {
        "generation": held.generation,
        "want": held.want,
        "login": held.login,
        "digest": held.digest,
        "lease": _dump(held.lease),
        "version": held.version,
        "at": held.at,
        "serial": held.serial,
    }


def load(told: Mapping[str, Any] | None, generation: int) -> Held | None:
    """None where it says nothing that can be used."""
    try:
        assert told is not None
        texts = [told[key] for key in ("want", "login", "digest", "serial")]
        if told["generation"] != generation or not all(isinstance(text, str) for text in texts):
            return None
        want, login, digest, serial = texts
        lease, version, at = _load(told["lease"]), int(told["version"]), float(told["at"])
        if not math.isfinite(at):
            return None
        return Held(generation, want, login, digest, lease, version, at, serial)
    except (AssertionError, KeyError, OverflowError, TypeError, ValueError):
        return None


def dump_login(login: Login, how: str) -> dict[str, Any]:
    """`how`: digest of where and as whom."""
    return {"how": how, "token": login.token, "id": login.id, "lease": _dump(login.lease)}


def load_login(told: Mapping[str, Any] | None, how: str) -> Login | None:
    """None where there is none, or it is another's."""
    try:
        assert told is not None
        token, id = told["token"], told["id"]
        if told["how"] != how or not isinstance(token, str) or not isinstance(id, str):
            return None
        return Login(token, id, _load(told["lease"]))
    except (AssertionError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _dump(lease: Lease) -> dict[str, Any]:
    return {
        "taken": lease.taken,
        "life": lease.life,
        "first": lease.first,
        "renewable": lease.renewable,
        "id": lease.id,
        "draw": lease.draw,
        "over": lease.over,
    }


def _load(told: Mapping[str, Any]) -> Lease:
    """Raises KeyError, OverflowError, TypeError, ValueError."""
    taken, draw = (float(told[key]) for key in ("taken", "draw"))
    life, first = (None if told[key] is None else float(told[key]) for key in ("life", "first"))
    if not all(math.isfinite(number) for number in (taken, draw, life or 0.0, first or 0.0)):
        raise ValueError
    return Lease(taken, life, first, told["renewable"] is True, str(told["id"]), draw, told["over"] is True)
