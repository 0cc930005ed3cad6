"""Vault's HTTP API through hvac, which is imported where a client is made: it costs 155 ms and 15 MB (tool-facts.md).

Nothing of the environment counts (hvac reads $VAULT_ADDR, $VAULT_TOKEN, ~/.vault-token, $VAULT_CACERT and
$VAULT_CLIENT_CERT; requests proxies, ~/.netrc and $REQUESTS_CA_BUNDLE), and no redirect is followed: the token would
go along.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from consul_kam.adapters import files
from consul_kam.adapters import vault_wire as wire
from consul_kam.adapters.secret import secret
from consul_kam.adapters.vault_wire import Entry, Given
from consul_kam.errors import ConfigError, VaultAway, VaultError, VaultForgot, VaultRefused

DEADLINE = 10.0
"""Seconds for an answer: where Vault makes a user of a database, that is in it."""
LARGEST = 4 * 2**20
"""Bytes of an answer."""
MOST_STUCK = 3
"""Answers that do not end and are let be: it may be one connection, or one node behind a balancer, that hangs."""
LARGEST_JWT = 16 * 2**10
"""Bytes."""
WAITS = (429, 501, 502, 503, 504)
"""Status codes that are not about what was asked [Vault API, "HTTP status codes"]: overload, not initialised, a proxy
without a Vault, sealed or a standby."""
NO_CONTENT = 204


class How(NamedTuple):
    """How to log in: `[vault.auth]`, complete."""

    method: str
    mount: str
    role: str = ""
    token_file: str = ""
    role_id_file: str = ""
    secret_id_file: str = ""
    jwt_file: str = ""


class Vault:
    """One Vault, used by one thread. Every method takes two `deadline`s at most, and raises VaultError: VaultAway where
    nobody can say now, VaultRefused where Vault said no, VaultForgot where it does not know the token."""

    def __init__(
        self,
        address: str,
        ca_file: str = "",
        client_certificate: tuple[str, str] | None = None,
        namespace: str = "",
        deadline: float = DEADLINE,
    ) -> None:
        """`client_certificate`: PEM files of certificate and key; read at each connection."""
        self.address, self._ca_file, self._certificate = address, ca_file, client_certificate
        self._namespace, self._deadline = namespace, deadline
        self._client: Any = None
        self._stuck: list[threading.Thread] = []
        """Those that wait for an answer that does not end."""

    # -- login ---------------------------------------------------------------------------------------------------------

    def log_in(self, how: How) -> Entry:
        """Raises ConfigError too: a file that is missing, or that others may read."""
        if how.method == "token":
            return self._seen(_line(how.token_file, "token_file"))
        body: Mapping[str, Any]
        if how.method == "approle":
            body = {"role_id": _line(how.role_id_file, "role_id_file")}
            if how.secret_id_file:
                body = {**body, "secret_id": _line(how.secret_id_file, "secret_id_file")}
        elif how.method == "kubernetes":
            body = {"role": how.role, "jwt": _jwt(how.jwt_file)}
        else:
            body = {"name": how.role} if how.role else {}
        what = f"log in to auth/{how.mount}"
        return wire.entry(what, self._ask(what, lambda api: api.post(f"/v1/auth/{how.mount}/login", json=body)))

    def prolong(self, login: str) -> Entry:
        """Renews the token of a login."""
        what = "renew the login"
        return wire.entry(what, self._ask(what, lambda api: api.post("/v1/auth/token/renew-self", json={}), login))

    def _seen(self, token: str) -> Entry:
        """A token that somebody else made."""
        what = "use the token"
        return wire.seen(what, token, self._ask(what, lambda api: api.get("/v1/auth/token/lookup-self"), token))

    # -- secrets -------------------------------------------------------------------------------------------------------

    def give(self, path: str, login: str, body: Mapping[str, Any] | None = None) -> Given:
        """Reads `path`, or writes `body` to it."""
        url, what = f"/v1/{path}", f"read {path}" if body is None else f"write {path}"
        return wire.given(
            what,
            self._ask(what, lambda api: api.get(url) if body is None else api.put(url, json=body), login),
        )

    def renew(self, lease_id: str, login: str) -> Given:
        body = {"lease_id": lease_id}
        what = f"renew a lease of {_engine(lease_id)}"
        return wire.given(what, self._ask(what, lambda api: api.put("/v1/sys/leases/renew", json=body), login))

    def revoke(self, lease_id: str, login: str) -> None:
        """Vault is done with it when this is."""
        body = {"lease_id": lease_id, "sync": True}
        what = f"revoke a lease of {_engine(lease_id)}"
        self._ask(what, lambda api: api.put("/v1/sys/leases/revoke", json=body), login)

    def close(self) -> None:
        """The connection; the next call makes another."""
        client, self._client = self._client, None
        if client is not None:
            client.session.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ask(self, what: str, call: Callable[[Any], Any], login: str = "") -> Any:
        """Vault's answer as JSON; {} for an empty one."""
        found: list[Any] = []
        self._stuck = [each for each in self._stuck if each.is_alive()]
        if len(self._stuck) >= MOST_STUCK:
            raise VaultAway(f"cannot reach Vault at {self.address}: {MOST_STUCK} answers do not end")
        client = self._made()

        def ask() -> None:
            try:
                client.token = login
                found.append(call(client.adapter))
            except Exception as error:  # noqa: BLE001 - told to who waits
                found.append(error)

        # requests keeps its timeout from byte to byte only: one that drips would hold up every other secret.
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(2 * self._deadline)
        if not found:
            self._stuck.append(asking)
            self._client = None  # that thread's own from now on
            raise VaultAway(f"cannot reach Vault at {self.address}: no answer within {2 * self._deadline:g} s")
        return self._judged(what, found[0])

    def _judged(self, what: str, answer: Any) -> Any:
        from hvac.exceptions import VaultError as Refusal

        if isinstance(answer, dict):
            return answer
        if isinstance(answer, Refusal):
            raise self._refusal(what, answer)
        if isinstance(answer, OSError | ValueError):  # requests' own errors are OSErrors
            self.close()
            raise VaultAway(f"cannot reach Vault at {self.address}: {self._reason(answer)}")
        if isinstance(answer, Exception):  # hvac takes what it gets for Vault's: a list of errors, of text
            raise VaultAway(f"cannot understand Vault at {self.address}: its answer has another shape")
        code = getattr(answer, "status_code", 0)
        if code == NO_CONTENT:
            return {}
        if 300 <= code < 400:
            raise VaultAway(f"cannot {what} at {self.address}: {code} it sends us elsewhere: name the active node")
        raise VaultError(f"cannot {what} at {self.address}: {code}, and no JSON")

    def _refusal(self, what: str, answer: Any) -> VaultError:
        """Vault's words name paths and rights, never what is secret."""
        names = {
            "InvalidRequest": 400,
            "Unauthorized": 401,
            "Forbidden": 403,
            "InvalidPath": 404,
            "RateLimitExceeded": 429,
            "InternalServerError": 500,
            "VaultNotInitialized": 501,
            "BadGateway": 502,
            "VaultDown": 503,
        }
        code = names.get(type(answer).__name__, 0)
        words = "; ".join(map(str, answer.errors)) if isinstance(answer.errors, list) else ""
        words = " ".join(words.split())[:300] or ("" if code != 404 else "there is nothing")
        if code in WAITS or (code == 500 and "sealed" in words):
            return VaultAway(f"cannot use Vault at {self.address}: {code} {words}".rstrip())
        # Vault 1.10 and later; earlier ones say no more than "permission denied"
        kind = VaultForgot if code == 403 and "invalid token" in words else VaultRefused
        return kind(f"cannot {what} at {self.address}: {code or 'an error'} {words}".rstrip(), code)

    def _made(self) -> Any:
        if self._client is None:
            import hvac

            client = hvac.Client(
                url=self.address,
                token="",  # None: $VAULT_TOKEN, ~/.vault-token
                cert=self._certificate or (),  # None: $VAULT_CLIENT_CERT
                verify=self._ca_file or True,  # None: $VAULT_CACERT, $VAULT_CAPATH
                timeout=self._deadline,
                allow_redirects=False,
                namespace=self._namespace or None,
            )
            client.session.trust_env = False
            client.session.hooks["response"].append(self._bounded)
            self._client = client
        return self._client

    def _bounded(self, response: Any, **_: Any) -> None:
        """Reads the body, before requests does, which knows no limits. Raises OSError."""
        until, body = time.monotonic() + self._deadline, bytearray()
        for chunk in response.iter_content(1 << 16):
            body += chunk
            if len(body) > LARGEST or time.monotonic() > until:
                response.close()
                raise TimeoutError if len(body) <= LARGEST else OSError(f"it answers more than {LARGEST >> 20} MiB")
        response._content = bytes(body)

    def _reason(self, error: BaseException) -> str:
        """The system's own word, from below the layers that wrap it."""
        below = error
        while (under := below.__cause__ or below.__context__) is not None:
            below = under
        if any(isinstance(each, TimeoutError) or type(each).__name__.endswith("Timeout") for each in (error, below)):
            return f"no answer within {self._deadline:g} s"
        if type(error).__name__ == "InvalidHeader":  # it quotes the header: the token
            return "the token cannot stand in a header"
        return (isinstance(below, OSError) and below.strerror) or " ".join(str(below).split())[:200]


def _engine(lease_id: str) -> str:
    """A lease's id without its last part, which alone is random."""
    return lease_id.rpartition("/")[0]


def _line(path: str, key: str) -> str:
    """One line of printable ASCII, as it is to stand in a header. Raises ConfigError."""
    found = secret(path, f"vault.auth.{key}").strip()
    if not wire.is_word(found):
        raise ConfigError(f"cannot use vault.auth.{key} {path}: expected one word of ASCII")
    return found.decode("ascii")


def _jwt(path: str) -> str:
    """Kubernetes lets everybody in the pod read it. Raises ConfigError."""
    try:
        return files.read_regular(Path(path), LARGEST_JWT, follow=True).decode("ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read vault.auth.jwt_file {path}: {reason}") from None


def token_of(how: How) -> str:
    """What stands in `token_file` now; "" with another method. Raises ConfigError."""
    return _line(how.token_file, "token_file") if how.method == "token" else ""
