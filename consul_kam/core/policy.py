"""From a status in Consul to the use that a set's policy makes of it."""

from consul_kam.core.grammar import Choice
from consul_kam.core.records import Use

STATUS = Choice(
    "status", ("passing", "warning", "critical", "maintenance"), "Consul API, health; maintenance: design.md 5"
)
_POLICY = ("in", "out", "disable")
WARNING = Choice("warning", _POLICY, "design.md 5")
CRITICAL = Choice("critical", _POLICY, "design.md 5")
_USES = {"in": Use.IN, "out": Use.OUT, "disable": Use.DISABLED}


def use_of(status: object, warning: object, critical: object, disables: bool) -> Use:
    """What becomes of an instance. Raises BadValue.

    `disables`: whether the list can keep a record uncalled. One that cannot keeps what is in maintenance as it is,
    because calls under way need it, and leaves out what its policy would disable.
    """
    policies = {"warning": _USES[WARNING.read(warning)], "critical": _USES[CRITICAL.read(critical)]}
    word = STATUS.read(status)
    if word == "maintenance":
        return Use.DRAINING if disables else Use.KEPT
    use = policies.get(word, Use.IN)
    return use if disables or use is not Use.DISABLED else Use.OUT
