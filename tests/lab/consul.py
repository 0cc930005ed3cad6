"""A real Consul agent on loopback, spoken to in raw HTTP so that hostile values arrive as a test wrote them."""

import http.client
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.lab.ports import free_port
from tests.lab.process import LabError, Process, Started, wait_for

Meta = Mapping[str, str]


class ConsulAgent(Started):
    """`with ConsulAgent(tmp_path) as consul:`; `consul agent -dev`, or with `persist` a real single server that keeps
    its data over stop() and start(). With `acl` everything is denied but to `token` (the management token)."""

    def __init__(
        self,
        directory: Path,
        acl: bool = False,
        persist: bool = False,
        datacenter: str = "dc1",
        more: Mapping[str, object] | None = None,
    ) -> None:
        """`more`: of its configuration, as JSON."""
        self.directory, self.persist, self.datacenter = directory, persist, datacenter
        self._more = dict(more or {})
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "consul.log"
        self.port = free_port()
        self._ports = {"serf_lan": free_port(), "serf_wan": free_port(), "server": free_port()}
        self.token = "11111111-2222-3333-4444-555555555555" if acl else ""
        self._process: Process | None = None
        self._connection: http.client.HTTPConnection | None = None
        (directory / "consul.json").write_text(json.dumps(self._config(acl)))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _config(self, acl: bool) -> dict[str, object]:
        config: dict[str, object] = {
            "bind_addr": "127.0.0.1",
            "datacenter": self.datacenter,
            "node_name": "lab",
            "log_level": "warn",
            "disable_update_check": True,
            "performance": {"raft_multiplier": 1},
            "ports": {"http": self.port, "dns": -1, "grpc": -1, "grpc_tls": -1, **self._ports},
            "limits": {"http_max_conns_per_client": 2000},
        }
        if self.persist:
            config |= {"server": True, "bootstrap": True, "data_dir": str(self.directory / "data")}
        if acl:
            config["acl"] = {
                "enabled": True,
                "default_policy": "deny",
                "tokens": {"initial_management": self.token, "agent": self.token},
            }
        return config | self._more

    def start(self, timeout: float = 40.0) -> Self:
        """Start and wait for a leader."""
        self.spawn()
        wait_for("Consul's leader", self._led, timeout, self.log, every=0.05)
        return self

    def spawn(self) -> None:
        """Start, and wait for nothing."""
        mode = [] if self.persist else ["-dev"]
        self._process = Process(["consul", "agent", *mode, f"-config-file={self.directory / 'consul.json'}"], self.log)

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def _led(self) -> bool:
        assert self._process is not None
        if not self._process.alive():
            raise LabError(f"cannot start Consul: it ended with {self._process.returncode()}, see {self.log}")
        try:
            status, body = self.request("GET", "/v1/catalog/node/lab")
        except OSError:
            return False
        return status == 200 and body not in (None, "")

    def stop(self) -> None:
        """SIGKILL: the agent goes away without leaving (SIGTERM would make it leave its cluster)."""
        self._drop()
        if self._process is not None:
            self._process.stop(9)

    def pause(self, stopped: bool) -> None:
        """SIGSTOP or SIGCONT: an agent that hangs."""
        assert self._process is not None
        self._process.send(19 if stopped else 18)

    def request(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, object]:
        """(status, decoded JSON or text); the connection is kept. `body`: bytes as they are, else JSON."""
        data = body if isinstance(body, bytes) else (b"" if body is None else json.dumps(body).encode())
        headers = {"X-Consul-Token": token if token is not None else self.token} if self.token or token else {}
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = self._open()
            try:
                self._connection.request(method, path, data, headers)
                reply = self._connection.getresponse()
                text = reply.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._drop()
                if attempt == 2:
                    raise
            except OSError:
                self._drop()
                raise
        try:
            return reply.status, json.loads(text) if text else None
        except ValueError:
            return reply.status, text.decode(errors="replace")

    def _open(self, timeout: float = 30.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def once(self, method: str, path: str, body: object = None, timeout: float = 30.0) -> tuple[int, str]:
        """As `request`, on a connection of its own and from any thread: (status, text). Raises OSError."""
        connection = self._open(timeout)
        try:
            headers = {"X-Consul-Token": self.token} if self.token else {}
            connection.request(method, path, json.dumps(body).encode() if body is not None else b"", headers)
            reply = connection.getresponse()
            return reply.status, reply.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(str(error)) from None
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: object = None) -> object:
        """As `request`, but LabError unless the status is 200."""
        status, answer = self.request(method, path, body)
        if status != 200:
            raise LabError(f"cannot {method} {path}: {status} {answer}")
        return answer

    def register(
        self,
        name: str,
        id: str,
        address: str = "127.0.0.1",
        port: int = 5060,
        tags: Sequence[str] = (),
        meta: Meta | None = None,
        weights: int | None = None,
        status: str = "passing",
    ) -> None:
        """Register (or change) a service with one TTL check `service:ID` whose first status is `status`."""
        service: dict[str, object] = {"Name": name, "ID": id, "Address": address, "Port": port, "Tags": list(tags)}
        service |= {"Meta": dict(meta or {}), "Check": {"TTL": "24h", "Status": status}}
        if weights is not None:
            service["Weights"] = {"Passing": weights, "Warning": 1}
        self.register_raw(service)

    def register_raw(self, service: Mapping[str, object] | bytes) -> None:
        """PUT /v1/agent/service/register with any JSON, or any bytes, a hostile client may send."""
        self.ask("PUT", "/v1/agent/service/register", service if isinstance(service, bytes) else dict(service))

    def deregister(self, id: str) -> None:
        self.ask("PUT", f"/v1/agent/service/deregister/{_quote(id)}")

    def maintenance(self, id: str, enable: bool = True, reason: str = "lab") -> None:
        self.ask(
            "PUT", f"/v1/agent/service/maintenance/{_quote(id)}?enable={str(enable).lower()}&reason={_quote(reason)}"
        )

    def set_status(self, id: str, status: str) -> None:
        """Set the TTL check of a registered service: passing, warning or critical."""
        self.ask("PUT", f"/v1/agent/check/update/service:{_quote(id)}", {"Status": status})

    def kv_put(self, key: str, value: str) -> None:
        self.ask("PUT", f"/v1/kv/{_quote(key, safe='/')}", value.encode())

    def kv_delete(self, key: str, recurse: bool = False) -> None:
        self.ask("DELETE", f"/v1/kv/{_quote(key, safe='/')}{'?recurse' if recurse else ''}")

    def create_token(self, rules: str) -> str:
        """A token with a policy of its own (`rules` in HCL); for agents with `acl`."""
        policy = self.ask("PUT", "/v1/acl/policy", {"Name": f"lab-{free_port()}", "Rules": rules})
        assert isinstance(policy, dict)
        token = self.ask("PUT", "/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
        assert isinstance(token, dict)
        return str(token["SecretID"])

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _quote(text: str, safe: str = "") -> str:
    return urllib.parse.quote(text, safe=safe)
