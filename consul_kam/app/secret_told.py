"""What is told of secrets: names, ages and ends, never a value."""

import math
import time
from typing import Any

from consul_kam.app.secret_each import All, Each
from consul_kam.core.lease import Login, Standing, end_of, standing
from consul_kam.core.vitals import SecretVitals, VaultVitals

OUTDATED = "its files are as it was configured before"


def troubles(known: All) -> tuple[str, ...]:
    own = [f"{name}: {trouble}" for name, each in known.each.items() if (trouble := _trouble(known, each))]
    return tuple(filter(None, (known.trouble, known.login_trouble, *known.ours, *own)))


def _trouble(known: All, each: Each) -> str:
    """One that is not as it is configured now is no trouble while it is being asked for."""
    unlike = OUTDATED if each.outdated and known.why(each) else ""
    return "; ".join(filter(None, (unlike, each.trouble)))


def until(known: All, now: float) -> str:
    """What a trouble means for what there is."""
    ends = [end_of(each.held, known.login) for each in known.each.values() if each.held is not None]
    left = [end - now for end in ends if end > now]
    if not left:
        return ""
    first = f", the first for {min(left):.0f} s" if min(left) != math.inf else ""
    return f"; the last good secrets go on{first}"


def status(known: All, now: float) -> dict[str, Any]:
    """Times in seconds; `expires_in` null: without end."""
    login = known.login
    return {
        "vault": known.given.address,
        "method": known.given.auth.method,
        "reachable": not known.trouble,
        "logged_in": login is not None and login.lease.ends > now,
        "login_expires_in": _left(login.lease.ends, now) if login is not None else None,
        "directory": str(known.given.directory),
        "on_expiry": known.given.on_expiry,
        "secrets": [_one(known, each, now) for each in known.each.values()],
        "troubles": list(troubles(known)),
    }


def _one(known: All, each: Each, now: float) -> dict[str, Any]:
    held, login = each.held, known.login
    return {
        "name": each.want.name,
        "kind": each.want.kind,
        "state": _state(each, login, now).value,
        "generation": held.generation if held is not None else 0,
        "version": held.version if held is not None else 0,
        "serial": held.serial if held is not None else "",
        "age": max(0.0, time.time() - held.at) if held is not None and held.at else None,
        "expires_in": _left(end_of(held, login), now) if held is not None else None,
        "before_expires_in": _left(each.old.lease.ends, now) if each.old is not None else None,
        "renewals": each.renewals,
        "failures": each.failures,
        "trouble": _trouble(known, each),
    }


def _state(each: Each, login: Login | None, now: float) -> Standing:
    """One that was removed is expired."""
    return Standing.EXPIRED if each.expired else standing(each.there, login, each.retry, now)


def _left(ends: float, now: float) -> float | None:
    return None if ends == math.inf else round(ends - now, 3)


def vitals(known: All, now: float) -> VaultVitals:
    return VaultVitals(
        reachable=not known.trouble,
        logged_in=known.login is not None and known.login.lease.ends > now,
        secrets=tuple(
            SecretVitals(
                name=name,
                usable=_state(each, known.login, now) in (Standing.GOOD, Standing.LATE),
                expires_in=_left(end_of(each.held, known.login), now) if each.held is not None else None,
                renewals=each.renewals,
                failures=each.failures,
            )
            for name, each in known.each.items()
        ),
    )
