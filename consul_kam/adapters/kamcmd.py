"""Kamailio's RPC through its own client, kamcmd, and any command in front of it (docker exec, ssh, sudo).

kamcmd prints text without types or escapes, so each record is asked for with a mark in front that nobody can guess:
a newline or a brace inside a value stays inside it. Undetectable from outside: a value is cut at a NUL byte, a reply
of one empty string looks like no reply, and an unnamed value inside an array that holds ": " looks named.
[utils/kamcmd/kamcmd.c: print_body, print_binrpc_val]
"""

import contextlib
import secrets
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from consul_kam.adapters import rpc_limits
from consul_kam.core.ports import Call, Reply, Value, one_after_the_other
from consul_kam.errors import RpcError, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable

if TYPE_CHECKING:
    import sh

MAX_OUTPUT: Final = 4 * 1024 * 1024
_MAX_DEPTH = 32
_OPEN, _CLOSE = ("{", "["), ("}", "]")


class KamCmd:
    """The Rpc port through a spawned kamcmd; `generation` grows after each call that failed, it sees no other restart.

    A command in front of it that leaves children behind when it is killed can prolong a deadline by 2 s.
    kamcmd cannot take a reply over 128 kB (a few hundred destinations): RpcTooBig, cured by binrpc.
    """

    def __init__(self, command: tuple[str, ...]) -> None:
        """`command`: all words up to kamcmd's own options, e.g. ("docker", "exec", "sbc", "kamcmd", "-s", "...")."""
        self._command = command
        self._generation = 1

    @property
    def generation(self) -> int:
        return self._generation

    def close(self) -> None:
        """Nothing is kept between calls."""

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        mark = secrets.token_hex(8)
        words = [str(param) if isinstance(param, int) else f"s:{param}" for param in params]
        try:
            output = self._output((*self._command, "-f", f"{mark}%v", "--", method, *words), method, deadline)
        except (RpcUnreachable, RpcTimeout):
            self._generation += 1
            raise
        if output.startswith("error: "):
            raise _fault(method, output)
        reply = parse(output, mark)
        rpc_limits.check_whole(method, reply)
        return reply

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        return one_after_the_other(self, calls, deadline)

    def _output(self, words: tuple[str, ...], method: str, deadline: float) -> str:
        code, output, complaint = _run(words, method, deadline)
        if "reply too big" in complaint:
            raise RpcTooBig(f'cannot {method}: the reply is over kamcmd\'s 128 kB: use binrpc, e.g. rpc = "unix:PATH"')
        if code != 0:
            reason = " ".join(complaint.split())[:200] or f"exit code {code}"
            # kamcmd ends with 0 or 255 only: the rest comes from the command in front of it, which did not run it.
            if 0 < code < 128 or "connect" in reason:
                raise RpcUnreachable(f"cannot reach Kamailio through {' '.join(self._command)}: {reason}")
            raise RpcTimeout(f"cannot tell whether {method} was carried out: {reason}")
        return output


def parse(output: str, mark: str) -> tuple[Value, ...]:
    """The values of what kamcmd printed with `-f MARK%v`. Raises RpcMalformed."""
    before, *records = output.split(mark)
    if before or not records:
        raise RpcMalformed(f"cannot read kamcmd's output: {output[:80]!r}")
    if records == [""]:
        return ()
    stack: list[tuple[str, list[tuple[str, Value]]]] = [("", [])]
    for record in records:
        name, text = _split(record) if len(stack) > 1 else ("", record)
        if text in _OPEN:
            stack.append((name, []))
            if len(stack) > _MAX_DEPTH:
                raise RpcMalformed(f"cannot read kamcmd's output: more than {_MAX_DEPTH} levels")
        elif text in _CLOSE and not name:
            if len(stack) == 1:
                raise RpcMalformed("cannot read kamcmd's output: a bracket that closes nothing")
            name, members = stack.pop()
            stack[-1][1].append((name, tuple(members)))
        else:
            stack[-1][1].append((name, text))
    if len(stack) > 1:
        raise RpcMalformed("cannot read kamcmd's output: a bracket is left open, or a value is nothing but a bracket")
    return tuple(value for _, value in stack[0][1])


def _split(record: str) -> tuple[str, str]:
    name, colon, text = record.partition(": ")
    return (name, text) if colon else ("", record)


def _fault(method: str, output: str) -> RpcError:
    code, dash, reason = output.removeprefix("error: ").partition(" - ")
    if not dash or not rpc_limits.CODE.fullmatch(code):
        return RpcMalformed(f"cannot read kamcmd's output: {output[:80]!r}")
    return rpc_limits.fault(method, int(code), reason.removesuffix("\n"))


class _Output:
    """What a process printed, up to a limit; the rest is dropped."""

    def __init__(self, limit: int) -> None:
        self.limit, self.kept, self.over = limit, bytearray(), False

    def write(self, chunk: bytes) -> int:
        self.over = self.over or len(self.kept) + len(chunk) > self.limit
        if not self.over:
            self.kept += chunk
        return len(chunk)

    def flush(self) -> None:
        """sh calls it."""


def _run(words: tuple[str, ...], method: str, deadline: float) -> tuple[int, str, str]:
    """Exit code, output, complaint (stderr). Raises RpcUnreachable, RpcTimeout, RpcTooBig."""
    import sh  # 75 ms: only who uses kamcmd pays

    output, complaint = _Output(MAX_OUTPUT), _Output(4_096)
    options = {"_tty_out": False, "_ok_code": tuple(range(256)), "_bg": True, "_bg_exc": False}
    try:
        command: Any = sh.Command(words[0])
        running = command(*words[1:], _out=output, _err=complaint, **options)
    except (sh.CommandNotFound, sh.ForkException) as error:
        raise RpcUnreachable(f"cannot reach Kamailio: cannot run {words[0]}: {error}") from error
    late = threading.Event()
    # sh's own _timeout looks at the clock every 0.1 s only, which would make each call that slow.
    timer = threading.Timer(deadline, _kill, (running, late))
    timer.start()
    try:
        code = int(running.wait().exit_code)
    except sh.SignalException as error:
        code = int(error.exit_code)
    finally:
        timer.cancel()
    if late.is_set():
        raise RpcTimeout(f"cannot tell whether {method} was carried out: no reply in {deadline} s")
    if output.over:
        raise RpcTooBig(f"cannot {method}: {words[0]} printed more than {MAX_OUTPUT} bytes")
    return code, output.kept.decode(errors="surrogateescape"), complaint.kept.decode(errors="replace")


def _kill(running: "sh.RunningCommand", late: threading.Event) -> None:
    if running.is_alive():
        late.set()
        with contextlib.suppress(ProcessLookupError):
            running.kill()
