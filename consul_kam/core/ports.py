"""What the core asks of the world: one Protocol per neighbour, implemented in `consul_kam.adapters`."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from consul_kam.errors import RpcError, RpcFault, RpcMalformed, RpcTooBig

Struct: TypeAlias = tuple[tuple[str, "Value"], ...]
"""Members in the order sent, *duplicates kept*: `dispatcher.list` repeats SET and DEST inside one struct."""

Value: TypeAlias = str | Struct
"""One value of a reply. Every scalar is text (`"10"`, `"0.250000"`), because kamcmd prints no types and all transports
must agree; bytes that are no UTF-8 arrive as surrogate escapes. An array is a Struct whose member names are `""`."""

Call: TypeAlias = tuple[str, tuple[str | int, ...]]
"""Method and parameters."""

Reply: TypeAlias = tuple[Value, ...] | RpcError
"""The values of a reply, or the RpcFault, RpcTooBig or RpcMalformed that this one reply stands for."""


class Rpc(Protocol):
    """One Kamailio's RPC interface. Not safe for two threads at once: give each its own.

    Replies are immutable and hashable, and a part that came before in the same bytes may be the very same object:
    memoise by it.
    """

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        """Run `method` and return its values; a method that answers nothing returns `()`. Never sends a request twice.

        `deadline`: seconds from now, for connecting, sending and reading together.
        Raises RpcFault (Kamailio says no), RpcUnreachable (the request cannot have been carried out), RpcTimeout (it
        went out and no whole reply came: it may have been), RpcMalformed (what came back is no reply; it may have
        been), RpcTooBig (the reply is over a limit; it was carried out. Or the request is, and was not sent).
        """
        ...

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        """Run `calls` in this order and return a reply for each; one that fails does not stop the next.

        Over binrpc on a stream (unix, tcp) they leave in one packet, and Kamailio serves no other client of ctl in
        between. Over a FIFO they leave in one write: no other client of the FIFO comes between, but those of ctl do.
        **Over udp, kamcmd and HTTP they are not atomic**: one goes after the other, `deadline` counts for each.
        Never sends a request twice. Raises RpcUnreachable (the last cannot have been carried out; those before it may
        have been: let them be reads), RpcTimeout, RpcMalformed, RpcTooBig (any of them may have been carried out).
        """
        ...

    def close(self) -> None:
        """Drop the connection, if any; the next call makes a new one. Raises nothing."""
        ...

    @property
    def generation(self) -> int:
        """Grows with each new connection: a change means that Kamailio may have restarted in between.

        Where there is no connection (udp, kamcmd, a FIFO) it grows after a call that failed: other restarts go unseen,
        but for a FIFO that is another file since.
        """
        ...


def one_after_the_other(rpc: Rpc, calls: Sequence[Call], deadline: float) -> list[Reply]:
    """`Rpc.call_in_order` for those who cannot send several requests as one. `deadline`: seconds for each."""
    replies: list[Reply] = []
    for method, params in calls:
        try:
            replies.append(rpc.call(method, *params, deadline=deadline))
        except (RpcFault, RpcTooBig, RpcMalformed) as error:
            replies.append(error)
    return replies
