"""uac.reg_reload is refused for 2.5 times reg_timer_interval after the last try, failed ones included."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is None or not script.all("uac", "reg_db_url"):
        return
    every = script.number("uac", "reg_timer_interval", 90)
    if every > 30:
        yield Finding(f"one bad row costs {2.5 * every:g} s", modparam("uac", "reg_timer_interval", 15))


TRAP = Trap(
    name="uac_window",
    severity=NOTE,
    doc="uac.reg_reload is refused for 2.5 times reg_timer_interval after the last try, failed ones included: "
    "validate first.",
    mends='`modparam("uac", "reg_timer_interval", 15)`',
    source=f"{FACTS}, 8",
    find=find,
)
