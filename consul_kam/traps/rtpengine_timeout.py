"""A reload of rtpengine pings every node, one after the other."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    nodes = sum(len(each.used) for each in facts.of("rtpengine"))
    if not nodes or not facts.loaded("rtpengine") or facts.script is None:
        return
    tout, retries = (
        facts.script.number("rtpengine", "rtpengine_tout_ms", 1000),
        facts.script.number("rtpengine", "rtpengine_retr", 5),
    )
    each_s = tout * retries / 1000
    if each_s >= facts.rpc_deadline or each_s * nodes > 10 * facts.rpc_deadline:
        yield Finding(
            f"a silent node holds up every RPC for {each_s:g} s: {tout} ms x {retries}",
            modparam("rtpengine", "rtpengine_retr", 1),
        )


TRAP = Trap(
    name="rtpengine_timeout",
    severity=WARNING,
    doc="A reload of rtpengine pings every node, one after the other: one that swallows packets holds up every "
    "RPC for rtpengine_tout_ms x retries, 5 s by default.",
    mends='`modparam("rtpengine", "rtpengine_tout_ms", 500)` and `rtpengine_retr` 1',
    source=f"{FACTS}, 5",
    find=find,
)
