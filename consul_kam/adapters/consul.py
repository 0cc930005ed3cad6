"""Consul's HTTP API through python-consul2: what consul-template's answer cannot tell."""

import contextlib
import json
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from consul_kam.adapters import files
from consul_kam.errors import Unanswered

LARGEST_TOKEN = 4096
"""Bytes; a token is 36 letters."""
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
    """One agent. Every method has the deadline given here, in seconds."""

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
        self._token_file, self._address = token_file, address
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
        where = [("dc", datacenter)] if datacenter else []
        try:
            if not self._client.http.get(_filtered, source.path, [source.least, *where], self._token()):
                return None
            return int(self._client.http.get(_length, source.path, [*source.all, *where], self._token()))
        except (OSError, ValueError, TypeError, RecursionError):  # no connection, or an answer of another shape
            return None

    def leader(self) -> str:
        """The address of the leader that the agent knows, "" for none. Raises Unanswered."""
        try:
            code, body = self._client.http.get(_as_it_is, "/v1/status/leader", [], self._token())
            # An agent that knows no server answers 500 "No cluster leader" or "No known Consul servers".
            return str(json.loads(body)) if code == 200 else ""
        except (OSError, ValueError) as error:
            raise Unanswered(f"cannot ask Consul at {self._address}: {type(error).__name__}") from None

    def _token(self) -> dict[str, str]:
        if not self._token_file:
            token = os.environ.get("CONSUL_HTTP_TOKEN", "")
        else:
            token = files.read_regular(Path(self._token_file), LARGEST_TOKEN, follow=True).decode("ascii").strip()
        return {"X-Consul-Token": token} if token else {}


def _as_it_is(response: Any) -> tuple[int, str]:
    return response.code, response.body


def _filtered(response: Any) -> bool:
    # 404: a KV prefix without keys, or with none that the token may see.
    return response.code in (200, 404) and _FILTERED in response.headers


def _length(response: Any) -> int:
    return len(json.loads(response.body)) if response.code == 200 else 0


@contextlib.contextmanager
def _plain_environment() -> Iterator[None]:
    """python-consul2 lets the environment override its arguments (tool-facts.md)."""
    with _environment:
        kept = {name: os.environ.pop(name) for name in _OVERRIDING if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)
