"""jsonrpcs over its FIFO. [src/modules/jsonrpcs/jsonrpcs_fifo.c]

Requests go into one FIFO, which one process of Kamailio's reads; each reply comes through a FIFO that we make for it,
by a name that nobody can guess, and remove at once after. So a late reply finds no FIFO, and is nobody else's.
"""

import contextlib
import errno
import os
import secrets
import select
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from consul_kam.adapters.jsonrpc_wire import MAX_REPLY, decode_reply, encode_request, next_id
from consul_kam.core.ports import Call, Reply, Value, one_after_the_other
from consul_kam.errors import ConfigError, RpcError, RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable

MAX_REPLY_PATH: Final = 127
"""Bytes of a reply FIFO's path that Kamailio takes (JSONRPC_MAX_FILENAME)."""
_NAME = "consul_kam-"
_NAME_BYTES = len(_NAME) + 32
_CHUNK = 256 * 1024
_INPUT = 8_191
"""Characters after which Kamailio gives a request up and starts afresh (JSONRPC_BUF_IN_SIZE - 1)."""
_PIPE_BUF = select.PIPE_BUF


class Fifo:
    """The Rpc port over jsonrpcs's FIFO; `generation` grows with each FIFO that Kamailio makes, and after failures.

    Several requests in order leave in one write, so that no other client of the FIFO gets in between; **other ways
    into Kamailio, ctl among them, do**.
    """

    def __init__(self, path: Path, reply_dir: Path, max_reply: int = MAX_REPLY) -> None:
        """`path`: jsonrpcs's `fifo_name`; `reply_dir`: its `fifo_reply_dir`. Raises ConfigError.

        `max_reply`: bytes; a longer reply is RpcTooBig.
        """
        if len(os.fsencode(reply_dir)) + 1 + _NAME_BYTES > MAX_REPLY_PATH:
            raise ConfigError(f"cannot use rpc_reply_dir {reply_dir}: its path is too long for jsonrpcs")
        self._path, self._reply_dir, self._max_reply = path, reply_dir, max_reply
        self._generation, self._inode = 0, (-1, -1)
        self._id = secrets.randbits(30)
        self._unheard = False

    @property
    def generation(self) -> int:
        return self._generation

    def close(self) -> None:
        """Nothing is kept between calls."""

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        (reply,) = self._run([(method, params)], deadline)
        if isinstance(reply, RpcError):
            raise reply
        return reply

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        if sum(len(encode_request(*call, 0, _NAME * 4)) for call in calls) > _PIPE_BUF:
            return one_after_the_other(self, calls, deadline)
        return self._run(calls, deadline)

    def _run(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        until = time.monotonic() + deadline
        with ExitStack() as stack:
            try:
                fifo = stack.enter_context(self._opened())
                replies = [stack.enter_context(self._reply_fifo(fifo)) for _ in calls]
                ids = self._send(fifo, calls, [name for name, _ in replies], until)
                rows = zip(calls, ids, replies, strict=True)
                return [self._reply(call, ident, reply, until) for call, ident, (_, reply) in rows]
            except (RpcUnreachable, RpcTimeout) as error:
                self._unheard = isinstance(error, RpcTimeout)
                # The next FIFO, the same or another, counts as a new one.
                self._inode = (-1, -1)
                raise

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Kamailio's FIFO, which is never waited for: where nobody reads it, opening fails."""
        try:
            fifo = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreachable(error) from error
        try:
            about = os.fstat(fifo)
            if not stat.S_ISFIFO(about.st_mode):
                raise RpcUnreachable(f"cannot reach Kamailio at fifo:{self._path}: it is no FIFO")
            if self._inode != (about.st_dev, about.st_ino):
                self._generation += 1
                self._inode = (about.st_dev, about.st_ino)
            yield fifo
        finally:
            os.close(fifo)

    @contextlib.contextmanager
    def _reply_fifo(self, fifo: int) -> Iterator[tuple[str, int]]:
        """A FIFO that only we read, and only Kamailio writes: its name and our end."""
        name = _NAME + secrets.token_hex(16)
        path = self._reply_dir / name
        try:
            shared = self._reply_dir.stat().st_mode
            if shared & stat.S_IWOTH and not shared & stat.S_ISVTX:
                what = f"cannot use rpc_reply_dir {self._reply_dir}: everybody may remove files of others there"
                raise RpcUnreachable(f"{what}: chmod +t, or use a directory of Kamailio's own")
            os.mkfifo(path, 0o600)  # follows no link, and fails where the name is taken
        except OSError as error:
            raise self._no_reply(error) from error
        try:
            reading = self._our_end(path, fifo)
            try:
                yield name, reading
            finally:
                os.close(reading)
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

    def _our_end(self, path: Path, fifo: int) -> int:
        reading = -1
        try:
            reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._let_in(reading, os.fstat(fifo))
        except (OSError, RpcUnreachable) as error:
            if reading >= 0:
                os.close(reading)
            raise self._no_reply(error) if isinstance(error, OSError) else error from error
        return reading

    def _no_reply(self, error: OSError) -> RpcUnreachable:
        return RpcUnreachable(f"cannot have replies in {self._reply_dir}: {error.strerror}: see rpc_reply_dir")

    def _let_in(self, reading: int, kamailio: os.stat_result) -> None:
        """Kamailio opens it as its own user: the one that its FIFO, or else the directory, belongs to.

        Where Kamailio starts as root, and becomes another user by `-u`, its FIFO is root's unless `fifo_user` is set.
        """
        about, me = os.fstat(reading), os.geteuid()
        if not stat.S_ISFIFO(about.st_mode) or about.st_uid != me:
            raise RpcUnreachable(f"cannot have replies in {self._reply_dir}: somebody put another file in our place")
        owner = kamailio.st_uid or self._reply_dir.stat().st_uid
        if owner in (0, me):
            return
        if me == 0:
            os.fchown(reading, owner, -1)
        else:
            os.fchown(reading, -1, kamailio.st_gid)
            os.fchmod(reading, 0o620)

    def _send(self, fifo: int, calls: Sequence[Call], names: Sequence[str], until: float) -> list[int]:
        ids, requests = [], []
        for call, name in zip(calls, names, strict=True):
            self._id = next_id(self._id)
            ids.append(self._id)
            requests.append(encode_request(*call, self._id, name))
        packet = b"".join(requests)
        if len(packet) > _PIPE_BUF:
            raise RpcTooBig(f"cannot {calls[0][0]}: a request of {len(packet)} bytes is too long for a FIFO: not sent")
        try:
            if self._unheard:
                self._wake(fifo, len(packet))
            poller = select.poll()
            poller.register(fifo, select.POLLOUT)
            # Up to PIPE_BUF bytes go in whole or not at all (pipe(7)): nothing of others comes between.
            while not poller.poll(_milliseconds(until)) or not _written(fifo, packet):
                if time.monotonic() > until:
                    raise RpcUnreachable(f"cannot reach Kamailio at fifo:{self._path}: it is full: nobody reads it")
        except OSError as error:
            raise self._unreachable(error) from error
        return ids

    def _wake(self, fifo: int, length: int) -> None:
        """Blanks after a request that was not answered, so that Kamailio starts afresh.

        A request that somebody cut short, or whose quotes it miscounts, leaves it waiting for the end of that one, and
        everything that comes becomes a part of it until it is too long. Before a request blanks mean nothing.
        """
        with contextlib.suppress(BlockingIOError):
            os.write(fifo, b" " * (_INPUT - 1 - length))
        self._unheard = False

    def _reply(self, call: Call, ident: int, reading: int, until: float) -> Reply:
        method = call[0]
        try:
            return decode_reply(method, self._read(method, reading, until), ident)
        except (RpcFault, RpcTooBig, RpcMalformed) as error:
            return error

    def _read(self, method: str, reading: int, until: float) -> bytes:
        """Until Kamailio closes its end. While we do not read, its FIFO process waits for us."""
        data = bytearray()
        poller = select.poll()
        poller.register(reading, select.POLLIN)
        while True:
            if not poller.poll(_milliseconds(until)):
                raise self._timeout(method, bool(data))
            chunk = os.read(reading, _CHUNK)
            if not chunk:
                return bytes(data)
            data += chunk
            if len(data) > self._max_reply:
                raise RpcTooBig(f"cannot {method}: a reply of more than {self._max_reply} bytes is over our limit")

    def _timeout(self, method: str, begun: bool) -> RpcTimeout:
        hint = "" if begun else f": is {self._reply_dir}/ Kamailio's fifo_reply_dir, and may it write there?"
        return RpcTimeout(f"cannot tell whether {method} was carried out: no whole reply in time{hint}")

    def _unreachable(self, error: OSError) -> RpcUnreachable:
        reason = "nobody reads it" if error.errno == errno.ENXIO else error.strerror
        return RpcUnreachable(f"cannot reach Kamailio at fifo:{self._path}: {reason}: is it up, with this fifo_name?")


def _written(fifo: int, packet: bytes) -> bool:
    try:
        return os.write(fifo, packet) == len(packet)
    except BlockingIOError:
        return False


def _milliseconds(until: float) -> int:
    """For poll(2), rounded up."""
    return max(0, int((until - time.monotonic()) * 1000) + 1)
