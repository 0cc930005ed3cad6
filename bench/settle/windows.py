"""Too-soon refusals: their texts, what moves the window, when exactly it opens."""

import time
from pathlib import Path

from bench.settle.common import at_second, attempt, put, say
from tests.lab import Kamailio, Lab


def run(directory: Path) -> None:
    with Lab(directory) as lab:
        _dispatcher(lab)
        _rtpengine(lab)


def _opens(kam: Kamailio, method: str, since: float, every: float = 0.05) -> str:
    """Try until it is accepted; says when, seconds after `since` (wall clock), and the fraction of the second then."""
    tries = 0
    while "fault 500" in (answer := attempt(kam.rpc, method)) and time.time() - since < 25:
        tries += 1
        time.sleep(every)
    now = time.time()
    return f"after {tries} refused tries, {now - since:.2f} s after it (wall second fraction {now % 1:.2f}): {answer}"


def _dispatcher(lab: Lab) -> None:
    kam = lab.kamailio()
    put(kam.list_file, "1 sip:10.0.0.1:5060\n")
    say("dispatcher: first reload right after the start", attempt(kam.rpc, "dispatcher.reload"))
    say("dispatcher: too soon", attempt(kam.rpc, "dispatcher.reload"))
    time.sleep(5.1)
    for fraction in (0.05, 0.9):
        began = at_second(fraction)
        attempt(kam.rpc, "dispatcher.reload")
        say(f"dispatcher: reload at second fraction {fraction}, next one", _opens(kam, "dispatcher.reload", began))
        time.sleep(5.1)
    kam.list_file.rename(kam.list_file.with_suffix(".away"))
    began = at_second(0.05)
    say("dispatcher: missing file", attempt(kam.rpc, "dispatcher.reload"))
    kam.list_file.with_suffix(".away").rename(kam.list_file)
    say("dispatcher: good file right after a failed reload", attempt(kam.rpc, "dispatcher.reload"))
    say("dispatcher: next one after the FAILED one", _opens(kam, "dispatcher.reload", began))
    time.sleep(5.1)
    say("dispatcher: add with too few words", attempt(kam.rpc, "dispatcher.add", 1))
    say("dispatcher: reload right after that failed add", attempt(kam.rpc, "dispatcher.reload"))
    say(
        "dispatcher: set_state in the closed window",
        attempt(kam.rpc, "dispatcher.set_state", "ip", 1, "sip:10.0.0.1:5060"),
    )


def _rtpengine(lab: Lab) -> None:
    began = at_second(0.3)
    kam = lab.kamailio(rtpengine=True)
    say("rtpengine: Kamailio started (s)", f"{time.time() - began:.2f}")
    say("rtpengine: reload right after the start", attempt(kam.rpc, "rtpengine.reload"))
    say("rtpengine: opens, counted from the start", _opens(kam, "rtpengine.reload", began))
    again = time.time()
    say("rtpengine: second reload", attempt(kam.rpc, "rtpengine.reload"))
    say("rtpengine: next one after a good one", _opens(kam, "rtpengine.reload", again))
    time.sleep(11.0)
    (kam.dbtext / "rtpengine").write_text("")
    began = at_second(0.05)
    say("rtpengine: zero-byte table", attempt(kam.rpc, "rtpengine.reload"))
    say("rtpengine: again at once", attempt(kam.rpc, "rtpengine.reload"))
    time.sleep(5)
    say("rtpengine: 5 s later", attempt(kam.rpc, "rtpengine.reload"))
    say("rtpengine: a try other than too soon", _not_too_soon(kam, began))


def _not_too_soon(kam: Kamailio, since: float) -> str:
    while "Too short" in (answer := attempt(kam.rpc, "rtpengine.reload")) and time.time() - since < 25:
        time.sleep(0.05)
    return f"{time.time() - since:.2f} s after the failed one: {answer}"
