"""Consul's HTTP API through python-consul2: what consul-template's answer cannot tell."""

import contextlib
import hashlib
import json
import os
import re
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from consul_kam.adapters import consul_tls, files
from consul_kam.adapters.consul_source import Source
from consul_kam.adapters.consul_unix import UnixHttp
from consul_kam.adapters.identity import Files, Followed, kept, path_of
from consul_kam.errors import ConsulError, ConsulRefused, ConsulUnreachable, Unanswered

LARGEST_TOKEN = 4096
"""Bytes; a token is 36 letters."""
LARGEST = 64 * 2**20
"""Bytes of an answer; 10,000 entries of a service are some 20 MB."""
_TLS_ONLY = "HTTP request to an HTTPS server"
"""What a Go program answers to plain HTTP where it speaks TLS."""
_environment = threading.Lock()
_OVERRIDING = ("CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY")
_FILTERED, _TOKEN, _INDEX = "X-Consul-Results-Filtered-By-ACLs", "X-Consul-Token", "X-Consul-Index"
LATE = 17 / 16
"""How much longer than it was asked for a blocking query may take [Consul HTTP API, Blocking Queries]."""
_LINE = re.compile(rb"[ -~]*")
_NUMBER = re.compile("[0-9]{1,20}")
"""64 bits."""


class Response(NamedTuple):
    """What Consul answered: `code` 200 or 404."""

    code: int
    body: str
    filtered: bool
    """Whether ACLs hid something from our token."""
    consul_index: int
    """What the next blocking query may wait behind; 0: nothing."""

    def json(self) -> Any:
        """Raises ConsulError."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ConsulError(f"cannot understand Consul: {self.body[:80]!r} is no JSON") from None


class Consul:
    """One agent. `deadline`: seconds for one answer; a method takes no longer than two, or, where TLS fails and it is
    found out why, five."""

    def __init__(
        self,
        address: str,
        token_file: str = "",
        ca_file: str = "",
        certificate: Files | None = None,
        deadline: float = 1.0,
    ) -> None:
        """`address`: HOST:PORT, http[s]://HOST:PORT or unix:///PATH. The token's file is read at each request, so it
        may rotate; so may the files of `certificate`, of which the newest that fit are used, and with them their own
        `ca`. An address that is none is told at the first request."""
        self.address, self._token_file, self._deadline = address, token_file, deadline
        self._limit = deadline
        """Seconds for the answer under way."""
        self.token_print = ""
        """Which token the last request had, without saying it; "": none."""
        url, port, self._unusable = _split(address)
        self._peer = consul_tls.peer(address, ca_file, certificate)
        self._looking: threading.Thread | None = None
        self._followed = Followed(certificate, closed=False) if certificate is not None else None
        self._files: list[int] = []
        weakref.finalize(self, _close, self._files)
        with _plain_environment(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import consul  # 19 MB, and only removals ever need it

            self._client = consul.Consul(
                host=f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or "127.0.0.1",
                port=port or (8501 if url.scheme == "https" else 8500),
                scheme=url.scheme,
                verify=ca_file or True,
                timeout=deadline,
            )
        # A proxy from the environment must not come between us and the local agent, and nobody else gets our token.
        self._client.http.session.trust_env = False
        self._client.http.session.max_redirects = 0
        self._client.http.session.hooks["response"].append(self._bounded)
        if url.scheme == "unix":
            self._client.http = UnixHttp(unquote(url.path), deadline)

    def get(self, path: str, *params: tuple[str, str], after: int = 0, wait: float = 0.0) -> Response:
        """Raises ConsulError, as `put` does; 404 is an answer.

        `after`: an answer's index; the next one comes once it has another index, and after `wait` s whatever it has.
        """
        if not after:
            return self._ask("get", path, list(params))
        params += (("index", str(after)), ("wait", f"{wait:g}s"))
        return self._ask("get", path, list(params), wait * LATE)

    def put(self, path: str, body: object = None, *params: tuple[str, str]) -> Response:
        """`body`: of JSON's types."""
        data = b"" if body is None else json.dumps(body).encode()
        return self._ask("put", path, list(params), data=data)

    def _ask(self, method: str, path: str, params: list[tuple[str, str]], longer: float = 0.0, **more: Any) -> Response:
        if self._unusable:
            raise ConsulError(self._unusable)
        self._follow()
        token = self._token()
        self._limit = self._client.http.timeout = self._deadline + longer
        found = self._answer(lambda: getattr(self._client.http, method)(_whole, path, params, headers=token, **more))
        if found.code not in (200, 404):
            reason = " ".join(str(found.body).split())[:200]
            reason += "; let [consul] address begin with https://" if _TLS_ONLY in reason else ""
            raise ConsulRefused(f"cannot {method} {path} at {self.address}: {found.code} {reason}", found.code)
        index = found.headers.get(_INDEX, "")
        return Response(
            found.code, found.body, _FILTERED in found.headers, int(index) if _NUMBER.fullmatch(index) else 0
        )

    def _follow(self) -> None:
        """A new certificate, or new authorities, for the next connection. Raises ConsulError where there never was one.

        requests opens the files at each connection, one after the other: it gets copies that belong together.
        """
        followed = self._followed
        if followed is None:
            return
        if followed.look(time.time()) and followed.current is not None:
            before, found = list(self._files), followed.current
            self._files[:] = [kept(data) for data in (found.certificate, found.key, found.ca)]
            certificate, key, ca = map(path_of, self._files)
            self._client.http.cert = certificate, key
            self._client.http.verify = ca if found.ca else True
            self._client.http.session.close()
            _close(before)
        if followed.current is None:
            raise ConsulError(f"{followed.trouble}; mend or renew what [consul] cert_file, key_file and ca_file name")

    def _answer(self, ask: Callable[[], Any]) -> Any:
        """Once again where a connection that was kept has died meanwhile: all that we ask may be asked twice."""
        for last in (False, True):
            try:
                return ask()
            except (OSError, ValueError) as error:
                if last or not isinstance(_bottom(error), ConnectionResetError | BrokenPipeError):
                    reason = self._reason(error)
                    break
        raise ConsulUnreachable(f"cannot reach Consul at {self.address}: {reason}")

    def _reason(self, error: BaseException) -> str:
        """What is wrong with TLS, or the system's own word, from below the layers that wrap it."""
        below = _bottom(error)
        if any(isinstance(each, TimeoutError) or type(each).__name__.endswith("Timeout") for each in (error, below)):
            return f"no answer within {self._limit:g} s"
        if self._peer is not None and not isinstance(below, ConnectionRefusedError):
            found = consul_tls.why(self._peer, self._deadline)
            if found:
                return found
        return (isinstance(below, OSError) and below.strerror) or " ".join(str(below).split())[:200]

    def seen_of_filtered(self, source: Source, datacenter: str = "") -> int | None:
        """How many entries our token sees where ACLs hide others; None where they hide nothing or nobody can say now.

        Consul answers 200 with a shorter list to a token that lost its rights; only the header
        X-Consul-Results-Filtered-By-ACLs tells (Consul HTTP API, "Filtered results").
        """
        if self._unusable:
            return None
        if self._looking is not None and self._looking.is_alive():
            return None  # that answer does not end; one such thread is enough
        where = [("dc", datacenter)] if datacenter else []
        found: list[int | None] = []
        # requests keeps its timeout from byte to byte only: an answer that drips would freeze the list that waits.
        self._looking = threading.Thread(target=lambda: found.append(self._look(source, where)), daemon=True)
        self._looking.start()
        self._looking.join(2 * self._deadline)
        return found[0] if found else None

    def _look(self, source: Source, where: list[tuple[str, str]]) -> int | None:
        try:
            # 404: a KV prefix without keys, or with none that the token may see.
            if not self.get(source.path, source.least, *where).filtered:
                return None
            try:
                found = self.get(source.path, *source.all, *where)
            except ConsulRefused:
                return 0
            return len(found.json()) if found.code == 200 else 0
        except (TypeError, ConsulError):  # none, or one of another shape
            return None

    def _bounded(self, response: Any, **_: Any) -> None:
        """Reads the body, before requests does, which knows no limits: of a redirect too, that it does not follow.

        Raises OSError for an answer that is too long or too late.
        """
        until, body = time.monotonic() + self._limit, bytearray()
        for chunk in response.iter_content(1 << 16):
            body += chunk
            if len(body) > LARGEST or time.monotonic() > until:
                response.close()
                raise TimeoutError if len(body) <= LARGEST else OSError(f"it answers more than {LARGEST >> 20} MiB")
        response._content = bytes(body)  # where requests itself keeps what it has read

    def leader(self) -> str:
        """The address of the leader that the agent knows, "" for none. Raises Unanswered."""
        try:
            return str(json.loads(self.get("/v1/status/leader").body))
        except ConsulRefused:  # an agent that knows no server: 500 "No cluster leader", "No known Consul servers"
            return ""
        except (ConsulError, ValueError) as error:
            raise Unanswered(str(error)) from None

    def _token(self) -> dict[str, str]:
        """Raises ConsulError; no message says what stands there."""
        if not self._token_file:
            where, found = "$CONSUL_HTTP_TOKEN", os.environ.get("CONSUL_HTTP_TOKEN", "").encode("utf-8", "replace")
        else:
            where = f"the token file {self._token_file}"
            try:
                found = files.read_regular(Path(self._token_file), LARGEST_TOKEN, follow=True)
            except OSError as error:
                raise ConsulError(f"cannot read {where}: {error.strerror or error}") from None
        token = found.strip()
        if self._token_file and not token and found != b"\n":
            # without one Consul would answer, to somebody who may see nothing
            raise ConsulError(f"cannot read {where}: it is empty (one empty line: no token)")
        if not _LINE.fullmatch(token):
            raise ConsulError(f"cannot use {where}: expected one line of printable ASCII")
        self.token_print = hashlib.sha256(token).hexdigest()[:16] if token else ""
        return {_TOKEN: token.decode("ascii")} if token else {}


def hidden_from_us(what: str) -> str:
    """For messages."""
    return f"Consul's ACLs hide some of {what} from our token (docs/acl.md)"


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _split(address: str) -> tuple[SplitResult, int | None, str]:
    """The last one: why it is no address, or ""."""
    trouble = "expected HOST:PORT, http://, https:// or unix:///PATH"
    try:
        url = urlsplit(address if "://" in address else f"http://{address}")
        if url.scheme in ("http", "https", "unix"):
            return url, url.port, ""
    except ValueError as error:
        trouble = str(error)
    return urlsplit("http://127.0.0.1"), None, f"cannot use Consul's address {address}: {trouble}"


def _bottom(error: BaseException) -> BaseException:
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def _whole(response: Any) -> Any:
    return response


@contextlib.contextmanager
def _plain_environment() -> Iterator[None]:
    """python-consul2 lets the environment override its arguments (tool-facts.md)."""
    with _environment:
        kept = {name: os.environ.pop(name) for name in _OVERRIDING if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)
