"""A real Vault on loopback, with TLS of its own and storage on disk, spoken to in raw HTTP by a root client."""

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.lab.ports import free_port
from tests.lab.process import LabError, Process, Started, wait_for
from tests.lab.tls import Authority

LIFE = 21
"""Seconds of what is replaced in time: in its last third a machine may stand still for a while, and it is in time."""
HCL = """\
disable_mlock = true
api_addr = "https://127.0.0.1:{port}"
log_level = "info"
storage "file" {{ path = "{storage}" }}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_cert_file = "{certificate}"
  tls_key_file = "{key}"
  max_request_duration = "20s"
}}
"""


class Vault(Started):
    """`with Vault(tmp_path) as vault:`: initialised and unsealed. What is in it survives `kill` and `run`."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.log = directory, directory / "vault.log"
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.authority = Authority(directory / "ca")
        certificate, key = self.authority.issue(directory, "IP:127.0.0.1")
        self._config = directory / "vault.hcl"
        storage = directory / "storage"
        self._config.write_text(HCL.format(port=self.port, storage=storage, certificate=certificate, key=key))
        self._process: Process | None = None
        self._unseal = self.root = ""

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.authority.certificate

    def start(self) -> Self:
        self.run()
        told = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._unseal, self.root = told["keys"][0], told["root_token"]
        self.unseal()
        return self

    def run(self) -> None:
        """The program; sealed, as after each start."""
        self._process = Process(["vault", "server", f"-config={self._config}"], self.log)
        wait_for("Vault's API", self._answers, 40, self.log, every=0.05)

    def _answers(self) -> bool:
        assert self._process is not None
        if not self._process.alive():
            raise LabError(f"cannot start Vault: it ended with {self._process.returncode()}, see {self.log}")
        try:
            return self.request("GET", "sys/seal-status")[0] == 200
        except OSError:
            return False

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        """Until it serves."""
        self.ask("PUT", "sys/unseal", {"key": self._unseal})
        wait_for("Vault unsealed and active", lambda: self.request("GET", "sys/health")[0] == 200, 30, self.log)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.stop(9)

    stop = kill

    def pause(self, stopped: bool) -> None:
        """SIGSTOP or SIGCONT: one that hangs."""
        assert self._process is not None
        self._process.send(19 if stopped else 18)

    # -- the root client -----------------------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: object = None, token: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """(status, decoded JSON, {} for none)."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        try:
            headers = {"X-Vault-Token": self.root if token is None else token}
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else {}
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """As `request`, but LabError unless the status is 200 or 204."""
        status, answer = self.request(method, path, body, token)
        if status not in (200, 204):
            raise LabError(f"cannot {method} {path}: {status} {answer}")
        return answer

    def mount(self, kind: str, path: str = "", **options: str) -> None:
        """A secrets engine, at its own name by default."""
        self.ask("POST", f"sys/mounts/{path or kind}", {"type": kind, "options": options})

    def auth(self, kind: str) -> None:
        """A login method at its own name."""
        self.ask("POST", f"sys/auth/{kind}", {"type": kind})

    def policy(self, name: str, hcl: str) -> None:
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": hcl})

    def kv(self, path: str, fields: Mapping[str, object]) -> int:
        """Writes a version below the mount `secret`; its number."""
        return int(self.ask("PUT", f"secret/data/{path}", {"data": dict(fields)})["data"]["version"])

    def token(self, *policies: str, **more: object) -> str:
        """A token with these policies; `more`: as Vault's `auth/token/create`."""
        body = {"policies": list(policies), "no_parent": True, **more}
        return str(self.ask("PUT", "auth/token/create", body)["auth"]["client_token"])

    def approle(self, name: str, *policies: str, **more: object) -> tuple[str, str]:
        """A role's ID and a secret ID; `more`: as Vault's role."""
        self.ask("PUT", f"auth/approle/role/{name}", {"token_policies": list(policies), **more})
        role = self.ask("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        secret = self.ask("PUT", f"auth/approle/role/{name}/secret-id", {})["data"]["secret_id"]
        return str(role), str(secret)

    def pki(self, role: str = "kamailio", **more: object) -> None:
        """A root CA at `pki`, and a role that issues for any name."""
        self.mount("pki")
        self.ask("POST", "sys/mounts/pki/tune", {"max_lease_ttl": "87600h"})
        self.ask("PUT", "pki/root/generate/internal", {"common_name": "lab", "ttl": "8760h", "key_type": "ec"})
        body = {"allow_any_name": True, "key_type": "ec", "max_ttl": "72h", **more}
        self.ask("PUT", f"pki/roles/{role}", body)

    def database(self, admin: Mapping[str, str], role: str, seconds: int) -> None:
        """The database engine at `database`; `admin`: as of tests/lab/postgres.py. Its `role` may read, for so long."""
        self.mount("database")
        who = {key: admin[key] for key in ("username", "password")}
        url = "postgresql://{{username}}:{{password}}@" + f"{admin['place']}?sslmode=disable"
        about = {"plugin_name": "postgresql-database-plugin", "allowed_roles": role, "connection_url": url}
        self.ask("PUT", f"database/config/{role}", {**about, **who})
        self.lease(role, seconds)

    def lease(self, role: str, seconds: int) -> None:
        """Of `database`'s users, from the next one on."""
        made = [
            """CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';""",
            """GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{{name}}";""",
        ]
        body = {"db_name": role, "creation_statements": made, "default_ttl": seconds, "max_ttl": seconds}
        self.ask("PUT", f"database/roles/{role}", body)

    def leases(self, prefix: str) -> list[str]:
        """Ids of the leases there are below `prefix`."""
        status, answer = self.request("LIST", f"sys/leases/lookup/{prefix}")
        return list(answer["data"]["keys"]) if status == 200 else []
