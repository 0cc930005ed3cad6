"""With rtpengine_allow_op 0, the default, a call loses its answer and its delete once its node is disabled."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    if facts.of("rtpengine") and facts.loaded("rtpengine") and facts.number("rtpengine", "rtpengine_allow_op", 0) == 0:
        yield Finding("rtpengine_allow_op is 0", modparam("rtpengine", "rtpengine_allow_op", 1))


TRAP = Trap(
    name="rtpengine_allow_op",
    severity=WARNING,
    doc="With rtpengine_allow_op 0, the default, a call loses its answer and its delete once its node is disabled.",
    mends='`modparam("rtpengine", "rtpengine_allow_op", 1)`',
    source=f"{FACTS}, 11",
    find=find,
)
