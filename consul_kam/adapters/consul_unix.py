"""HTTP to an agent's unix socket, in the shape that python-consul2 wants of its client: it has none of its own."""

import http.client
import socket
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

LARGEST = 16 * 2**20
"""Bytes of a reply."""
Params = Sequence[tuple[str, str]] | None
Headers = Mapping[str, str] | None


class Response(NamedTuple):
    """As consul.base.Response."""

    code: int
    headers: Mapping[str, str]
    body: str
    content: bytes


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, deadline: float) -> None:
        super().__init__("localhost", timeout=deadline)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class UnixHttp:
    """A connection for each request, for which `timeout` is the limit, s. Raises OSError."""

    def __init__(self, path: str, deadline: float) -> None:
        self._path, self.timeout = path, deadline

    def get(
        self, callback: Callable[[Response], Any], path: str, params: Params = None, headers: Headers = None
    ) -> Any:
        return callback(self._ask("GET", path, params, b"", headers))

    def put(
        self,
        callback: Callable[[Response], Any],
        path: str,
        params: Params = None,
        data: bytes = b"",
        headers: Headers = None,
    ) -> Any:
        return callback(self._ask("PUT", path, params, data, headers))

    def _ask(self, method: str, path: str, params: Params, data: bytes, headers: Headers) -> Response:
        where = urllib.parse.quote(path, safe="/:") + (f"?{urllib.parse.urlencode(params)}" if params else "")
        connection = _Connection(self._path, self.timeout)
        try:
            connection.request(method, where, data or None, dict(headers or {}))
            reply = connection.getresponse()
            content = reply.read(LARGEST)
            if reply.length:
                raise OSError(0, f"an answer that is cut, or longer than {LARGEST} bytes")
        except http.client.HTTPException as error:
            raise OSError(0, f"an answer that is no HTTP ({type(error).__name__})") from error
        finally:
            connection.close()
        return Response(reply.status, dict(reply.headers), content.decode(errors="replace"), content)
