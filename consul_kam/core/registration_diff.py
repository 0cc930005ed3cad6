"""In words: how what an agent and the catalog say differs from what is wanted."""

from collections.abc import Iterator
from dataclasses import replace

from consul_kam.core.registered import OURS, Check, Seen, Service, Wanted


def differences(wanted: Service, found: Service) -> Iterator[str]:
    """In words, what is not as it shall be."""
    for what in ("name", "address", "port", "tags", "meta", "weight"):
        is_, should = getattr(found, what), getattr(wanted, what)
        if is_ != should:
            yield f"{what} is {_shown(is_)}, not {_shown(should)}"


def of_checks(wanted: Wanted, seen: Seen) -> dict[str, str]:
    """Check ID -> in words, what is wrong with it, whatever its status."""
    wrong = {}
    for check in wanted.checks:
        found = seen.check(check.id)
        if found is None:
            wrong[check.id] = f"check {check.id} is missing"
        elif (found.kind, found.notes) != (check.kind, check.notes) or _asks_another(wanted, found):
            wrong[check.id] = f"check {check.id} is another one"
        elif (found.interval, found.timeout) != (check.interval, check.timeout):
            wrong[check.id] = f"check {check.id} has other times"
    return wrong


def strays(wanted: Wanted, seen: Seen) -> list[str]:
    """IDs of checks that an earlier configuration of ours left behind, and that nobody feeds any more."""
    names = {wanted.http_id, wanted.ttl_id} - {check.id for check in wanted.checks}
    return [check.id for check in seen.checks if check.id in names and check.notes.startswith(OURS)]


def _asks_another(wanted: Wanted, found: Check) -> bool:
    """Its last answer begins "HTTP GET URL: 200 OK" (Consul: agent/checks/check.go, CheckHTTP)."""
    asked = found.output.startswith("HTTP GET ")
    return found.kind == "http" and asked and not found.output.startswith(f"HTTP GET {wanted.url}: ")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join("=".join(each) if isinstance(each, tuple) else str(each) for each in value) or "none"
    return str(value) or "none"


def lost_in_catalog(wanted: Wanted, seen: Seen) -> str:
    """What the catalog says else than the agent, or ""."""
    if seen.catalog is None or not seen.node:
        return ""
    mine = next((row.service for row in seen.catalog if row.node == seen.node), None)
    if mine is None:
        return "the catalog does not have it"
    should = wanted.service if wanted.service.address else replace(wanted.service, address=mine.address)
    return next((f"in the catalog {each}" for each in differences(should, mine)), "")


def others(wanted: Wanted, seen: Seen) -> str:
    """Who else has our ID, on another node."""
    other = next((row for row in seen.catalog or () if seen.node and row.node != seen.node), None)
    if other is None:
        return ""
    mine = next((row.service.place for row in seen.catalog or () if row.node == seen.node), wanted.service.place)
    ghost = other.service.place == mine
    cure = "a ghost of this one: deregister it there" if ghost else "give one of them another ID"
    return f"cannot be the only {wanted.service.id}: node {other.node} has one at {other.service.at}; {cure}"


def on(seen: Seen) -> str:
    """For messages."""
    return f"agent {seen.node}" if seen.node else "the agent"
