"""Consul's HTTP API through python-consul2: what consul-template's answer cannot tell."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_environment = threading.Lock()
_OVERRIDING = ("CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY")
_FILTERED = "x-consul-results-filtered-by-acls"


class Source(NamedTuple):
    """What records are made of: a service, or a KV prefix."""

    name: str
    path: str
    least: tuple[str, str]
    """The parameter that makes the answer short; ACLs are told all the same."""


def service(name: str) -> Source:
    """The health of a service. `name`: as the configuration allows it, so it needs no quoting."""
    return Source(f"service {name}", f"/v1/health/service/{name}", ("filter", 'Service.ID == ""'))


def kv(prefix: str) -> Source:
    """The keys below a prefix."""
    return Source(f"KV {prefix}", f"/v1/kv/{prefix}", ("keys", ""))


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
        self._token_file = token_file
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

    def filtered(self, source: Source, datacenter: str = "") -> bool | None:
        """Whether ACLs hide something of this source from our token; None where nobody can say now.

        Consul answers 200 with a shorter list to a token that lost its rights; only the header
        X-Consul-Results-Filtered-By-ACLs tells (Consul HTTP API, "Filtered results").
        """
        params = [source.least, *([("dc", datacenter)] if datacenter else [])]
        try:
            code, headers = self._client.http.get(_head, source.path, params, self._token())
        except (OSError, ValueError):
            return None
        # 404: a KV prefix without keys, or with none that the token may see.
        return _FILTERED in headers if code in (200, 404) else None

    def _token(self) -> dict[str, str]:
        if not self._token_file:
            token = os.environ.get("CONSUL_HTTP_TOKEN", "")
        else:
            with open(self._token_file, encoding="ascii") as file:
                token = file.read().strip()
        return {"X-Consul-Token": token} if token else {}


def _head(response: Any) -> tuple[int, Mapping[str, str]]:
    return response.code, {name.lower(): value for name, value in response.headers.items()}


@contextlib.contextmanager
def _plain_environment() -> Iterator[None]:
    """python-consul2 lets the environment override its arguments (tool-facts.md)."""
    with _environment:
        kept = {name: os.environ.pop(name) for name in _OVERRIDING if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)
