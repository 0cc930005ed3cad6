"""Consul's HTTP API through python-consul2: what consul-template's answer cannot tell."""

import contextlib
import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from consul_kam.adapters import files

LARGEST_TOKEN = 4096
"""Bytes; a token is 36 letters."""
LARGEST = 64 * 2**20
"""Bytes of an answer; 10,000 entries of a service are some 20 MB."""
_environment = threading.Lock()
_OVERRIDING = ("CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY")
_FILTERED = "X-Consul-Results-Filtered-By-ACLs"


class Source(NamedTuple):
    """What records are made of: a service, or a KV prefix."""

    kind: str
    place: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.kind} {self.place}"

    @property
    def path(self) -> str:
        """The configuration allows only names that need no quoting."""
        return f"/v1/health/service/{self.place}" if self.kind == "service" else f"/v1/kv/{self.place}"

    @property
    def least(self) -> tuple[str, str]:
        """The parameter that makes the answer short; it tells of ACLs all the same."""
        return ("filter", 'Service.ID == ""') if self.kind == "service" else ("keys", "")

    @property
    def all(self) -> list[tuple[str, str]]:
        """The parameters that list every entry."""
        return [] if self.kind == "service" else [("keys", "")]

    def gave(self, service: str, id: str) -> bool:
        """Whether a record with this source (as our templates name it) comes from here."""
        return service == self.place if self.kind == "service" else id.startswith(f"kv:{self.place}")


class Consul:
    """One agent. `deadline`: seconds for one answer; a method takes no longer than two."""

    def __init__(
        self,
        address: str,
        token_file: str = "",
        ca_file: str = "",
        client_certificate: tuple[str, str] | None = None,
        deadline: float = 1.0,
    ) -> None:
        """`address`: HOST:PORT or http[s]://HOST:PORT. The token's file is read at each request, so it may rotate."""
        url = urlsplit(address if "://" in address else f"http://{address}")
        self._token_file = token_file
        self._looking: threading.Thread | None = None
        with _plain_environment(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import consul  # 19 MB, and only removals ever need it

            self._client = consul.Consul(
                host=url.hostname or "127.0.0.1",
                port=url.port or (8501 if url.scheme == "https" else 8500),
                scheme=url.scheme,
                verify=ca_file or True,
                cert=client_certificate,
                timeout=deadline,
            )
        # A proxy from the environment must not come between us and the local agent.
        self._client.http.session.trust_env = False

    def seen_of_filtered(self, source: Source, datacenter: str = "") -> int | None:
        """How many entries our token sees where ACLs hide others; None where they hide nothing or nobody can say now.

        Consul answers 200 with a shorter list to a token that lost its rights; only the header
        X-Consul-Results-Filtered-By-ACLs tells (Consul HTTP API, "Filtered results").
        """
        if self._looking is not None and self._looking.is_alive():
            return None  # that answer does not end; one such thread is enough
        where = [("dc", datacenter)] if datacenter else []
        found: list[int | None] = []
        # requests keeps its timeout from byte to byte only: an answer that drips would freeze the list that waits.
        self._looking = threading.Thread(target=lambda: found.append(self._look(source, where)), daemon=True)
        self._looking.start()
        self._looking.join(2 * self._client.http.timeout)
        return found[0] if found else None

    def _look(self, source: Source, where: list[tuple[str, str]]) -> int | None:
        try:
            status, filtered, _ = self._get(source.path, [source.least, *where])
            # 404: a KV prefix without keys, or with none that the token may see.
            if status not in (200, 404) or not filtered:
                return None
            status, _, body = self._get(source.path, [*source.all, *where])
            return len(json.loads(body)) if status == 200 else 0
        except (OSError, ValueError, TypeError, RecursionError):  # no connection, or an answer of another shape
            return None

    def _get(self, path: str, params: list[tuple[str, str]]) -> tuple[int, bool, bytes]:
        """(status, whether ACLs hide something, body). Redirects, which Consul never sends, are not followed.

        Raises OSError, for an answer that is too long or too late as well.
        """
        http = self._client.http
        until, body = time.monotonic() + http.timeout, bytearray()
        with http.session.get(
            http.uri(path, params), headers=self._token(), verify=http.verify, cert=http.cert, timeout=http.timeout,
            stream=True, allow_redirects=False,
        ) as response:  # fmt: skip
            for chunk in response.iter_content(1 << 16):
                body += chunk
                if len(body) > LARGEST or time.monotonic() > until:
                    raise OSError("too long")
            return response.status_code, _FILTERED in response.headers, bytes(body)

    def _token(self) -> dict[str, str]:
        if not self._token_file:
            token = os.environ.get("CONSUL_HTTP_TOKEN", "")
        else:
            token = files.read_regular(Path(self._token_file), LARGEST_TOKEN, follow=True).decode("ascii").strip()
        return {"X-Consul-Token": token} if token else {}


@contextlib.contextmanager
def _plain_environment() -> Iterator[None]:
    """python-consul2 lets the environment override its arguments (tool-facts.md)."""
    with _environment:
        kept = {name: os.environ.pop(name) for name in _OVERRIDING if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)
