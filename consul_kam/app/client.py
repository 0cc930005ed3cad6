"""Asking a running engine through its control socket."""

from typing import Any

from consul_kam.adapters.control import ControlUnreachable, ask
from consul_kam.config import Settings
from consul_kam.errors import ConsulKamError


class OutOfReach(ConsulKamError):
    """A part that is needed cannot be reached (exit code 3)."""


class Refused(ConsulKamError):
    """The engine says no (exit code 1)."""


def request(settings: Settings, do: str, deadline: float = 10.0, **members: object) -> dict[str, Any]:
    """The engine's reply to one request. `deadline`: seconds. Raises OutOfReach, Refused."""
    try:
        reply = ask(settings.control, {"do": do, **members}, deadline)
    except ControlUnreachable as error:
        raise OutOfReach(str(error)) from None
    if not reply.get("ok"):
        raise Refused(str(reply.get("error") or f"cannot {do}: the engine does not say why"))
    return reply
