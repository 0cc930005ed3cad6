"""dispatcher.set_state: which URIs and sets it takes, what it changes; which states ride in a file's flags."""

from pathlib import Path

from bench.settle.common import attempt, put, say
from tests.lab import Kamailio, Lab

_LIST = """\
1 sip:Host.Example:5060 16 5 duid=a
1 sip:10.0.0.1:5060 0 4 duid=b
1 sip:10.0.0.1:5060 0 4 duid=c
1 sip:10.0.0.2:5060;transport=tcp 0 3 duid=b
2 sip:10.0.0.1:5060 0 0
"""


def run(directory: Path) -> None:
    with Lab(directory) as lab:
        kam = lab.kamailio(reload_delta=0)
        for state in ("ip", "ix", "i", "0", "ap", "a", "dp", "d", "2", "tp", "t", "xx", ""):
            _set(kam, state, 1, "sip:10.0.0.2:5060;transport=tcp")
        for uri in (
            "sip:10.0.0.2:5060",
            "SIP:10.0.0.2:5060;TRANSPORT=TCP",
            "sip:host.example:5060",
            "sip:10.0.0.1:5060",
        ):
            _set(kam, "ip", 1, uri)
        for uri in ("sip:10.0.0.1:5060 sip:10.0.0.2:5060;transport=tcp", "all", "10.0.0.1:5060", "sip:none"):
            _set(kam, "ip", 1, uri)
        _set(kam, "ip", 9, "sip:10.0.0.1:5060")
        put(kam.list_file, _LIST)
        kam.rpc.call("dispatcher.reload")
        answer = attempt(
            kam.rpc, "dispatcher.set_state", "ip", 1, "sip:10.0.0.1:5060", "sip:10.0.0.2:5060;transport=tcp"
        )
        say("two URIs as two words", f"{answer} -> {_flags(kam)}")
        say("set_duid_state d 1 b", f"{attempt(kam.rpc, 'dispatcher.set_duid_state', 'd', 1, 'b')} -> {_flags(kam)}")
        _no_dns_bit(kam)


def _set(kam: Kamailio, state: str, setid: int, uri: str) -> None:
    put(kam.list_file, _LIST)
    kam.rpc.call("dispatcher.reload")
    answer = attempt(kam.rpc, "dispatcher.set_state", state, setid, uri)
    say(f"set_state {state!r} {setid} {uri!r}", f"{answer} -> {_flags(kam)}")


def _flags(kam: Kamailio) -> str:
    found = kam.rpc.dispatcher()
    return " ".join(f"{setid}:{','.join(item.flags for item in found[setid])}" for setid in sorted(found))


def _no_dns_bit(kam: Kamailio) -> None:
    """set_state clears flag 16 too (DS_STATES_ALL is 31 in 5.6.3, dispatch.h): is such a destination resolved then?"""
    put(kam.list_file, "1 sip:none.invalid:5060 16 0\n")
    kam.rpc.call("dispatcher.reload")
    say("set_state on a name with flag 16", attempt(kam.rpc, "dispatcher.set_state", "ap", 1, "sip:none.invalid:5060"))
    say("an unrelated add after it", attempt(kam.rpc, "dispatcher.add", 1, "sip:10.0.0.9:5060"))
    say("what is left of the named one (add resolves again)", _uris(kam))
    put(kam.list_file, "1 sip:none.invalid:5060 16 0\n")
    kam.rpc.call("dispatcher.reload")
    kam.rpc.call("dispatcher.add", 1, "sip:10.0.0.9:5060")
    say("the same without set_state", _uris(kam))


def _uris(kam: Kamailio) -> list[str]:
    return [item.uri for items in kam.rpc.dispatcher().values() for item in items]
