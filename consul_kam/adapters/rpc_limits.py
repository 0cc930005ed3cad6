"""Kamailio's reply limits, met from outside: which answers mean "too big" and not what they say."""

import re

from consul_kam.core.ports import Value
from consul_kam.errors import RpcError, RpcFault, RpcTooBig

CURE = 'set modparam("ctl","binrpc_max_body_size",8192) and modparam("ctl","binrpc_struct_max_body_size",4096)'

CTL = f"ctl's limits: {CURE}"
"""What a reply over ctl (binrpc, kamcmd) is over, and the cure."""

MEMORY = "the memory that Kamailio's host has left"
"""The same for jsonrpcs, which builds its replies with malloc."""

HTTP_PRIVATE = "start Kamailio with more private memory (-M 64)"
"""xhttp copies a reply into private memory, twice, and where that is used up it answers nothing at all."""

HTTP_QUEUE = "set tcp_conn_wq_max=67108864 and tcp_wq_max=134217728 in kamailio.cfg"
"""What the kernel does not take at once (about 4 MB) has to fit there, else the connection is closed in the middle."""

CODE = re.compile(r"-?[0-9]{1,10}")
"""A fault's code."""

# ctl's buffers are full, and the module that was building the reply says so in words of its own (5.6.3: dispatcher
# "Internal error creating dest", ctl itself "Internal server error processing ..."). [src/modules/ctl/binrpc_run.c]
_OVERFLOWS = ("Internal error creating", "Internal error adding", "Internal server error processing")
_OVERFLOWS_TOO = ("Internal error reply structure", "Internal server error: out of memory")

# Methods that stop in the middle when a buffer is full, and answer without a fault; the member that they add last.
# (5.6.3, default limits: domain.dump gives 4,096 of 5,000 domains.) [src/modules/domain/domain_mod.c]
_LAST_MEMBER = {"domain.dump": "attributes"}


def fault(method: str, code: int, reason: str, limits: str = CTL) -> RpcError:
    """The error that a fault stands for; `limits`: those of the transport that it came by."""
    if code == 500 and reason.startswith(_OVERFLOWS + _OVERFLOWS_TOO):
        return RpcTooBig(f"cannot {method}: the reply ({reason}) is over {limits}")
    return RpcFault(method, code, reason)


def check_whole(method: str, reply: tuple[Value, ...]) -> None:
    """Raises RpcTooBig where Kamailio cut the reply short without a word."""
    last = _LAST_MEMBER.get(method)
    if last is not None and not any(name == last for value in reply if isinstance(value, tuple) for name, _ in value):
        raise RpcTooBig(f"cannot {method}: the reply was cut short by ctl's limits: {CURE}")
