"""What SIGHUP does not take from a node: one that was well goes on being well in Consul until somebody has looked, and
whatever secret is new, and missing.
"""

from collections.abc import Collection

from consul_kam.app.env import Environment
from consul_kam.app.secrets import Secrets
from consul_kam.core import health
from consul_kam.core.health import ProbeState


class Resumed:
    """`well`: how it was until SIGHUP; None: it begins. On the decision thread."""

    def __init__(self, well: bool | None, secrets: Secrets, environment: Environment, origins: Collection[str]) -> None:
        """`origins`: the secrets that the environment is made of."""
        self._well, self._secrets, self._environment, self._origins = bool(well), secrets, environment, set(origins)
        self._unseen = self._well
        self.again = well is not None

    def secrets(self) -> str:
        """Why the secrets hold it back, or "": what was good enough without one is so until there was one."""
        return self._secrets.lacks(self._secrets.new if self._well else ())

    def environment(self) -> str:
        """Why the environment does, or "": Kamailio, which is not ours, goes on with the one that it has."""
        new = not self._environment.decided or self._origins & set(self._secrets.new)
        return "" if self._well and new else self._environment.waits_for

    def unseen(self, states: Collection[ProbeState]) -> bool:
        """Whether all that may stand against it is that the probes have not looked yet; once they have, never again."""
        self._unseen = self._unseen and health.undecided(states)
        return self._unseen
