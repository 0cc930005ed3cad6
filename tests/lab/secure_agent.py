"""One Consul server as it should be, for a whole node: mutual TLS for whoever asks it, and ACLs that deny."""

import http.client
import signal
import ssl
from pathlib import Path

from tests.lab.consul import ConsulAgent
from tests.lab.process import wait_for
from tests.lab.secure import Identity
from tests.lab.secure_ca import LOCAL, Authority


class SecureAgent(ConsulAgent):
    """`with SecureAgent(tmp_path) as consul:`; `us`: who the tests are there."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "authority", "1")
        self.us = Identity(directory / "us", self.authority, LOCAL)
        self._identity = Identity(directory / "tls", self.authority, f"{LOCAL},DNS:server.dc1.consul")
        super().__init__(directory / "agent", acl=True, persist=True)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        """The name of the agent."""
        return "lab"

    def _config(self, acl: bool) -> dict[str, object]:
        config = super()._config(acl)
        ports, acls = config["ports"], config["acl"]
        assert isinstance(ports, dict)
        assert isinstance(acls, dict)
        certificate, key = self._identity.pair.names
        files = {"ca_file": str(self._identity.ca), "cert_file": certificate, "key_file": key}
        return config | {
            "ports": ports | {"http": -1, "https": self.port},
            "acl": acls | {"token_ttl": "200ms", "policy_ttl": "200ms", "role_ttl": "200ms"},
            "tls": {"defaults": {**files, "verify_incoming": True, "verify_outgoing": True}},
        }

    def _open(self, timeout: float = 30.0) -> http.client.HTTPConnection:
        context = ssl.create_default_context(cafile=str(self.us.ca))
        context.load_cert_chain(*self.us.pair)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def policy(self, name: str, rules: str) -> None:
        """A policy of this name, in the place of one that there is."""
        status, found = self.request("GET", f"/v1/acl/policy/name/{name}")
        place = f"/{found['ID']}" if status == 200 and isinstance(found, dict) else ""
        self.ask("PUT", f"/v1/acl/policy{place}", {"Name": name, "Rules": rules})

    def trust(self, *authorities: Authority) -> None:
        """Whose certificates it takes, from now on."""
        self._identity.trust(*authorities)
        self.us.trust(*authorities)
        self._reload()

    def show(self, authority: Authority) -> None:
        """It, and the tests, show certificates of this authority from now on."""
        self._identity.show(authority)
        self.us.show(authority)
        self.authority = authority
        self._reload()

    def _reload(self) -> None:
        """It reads its files again; returns once it lets us in as we are now."""
        assert self._process is not None
        self._drop()
        self._process.send(signal.SIGHUP)
        wait_for("Consul with its new files", self._lets_us_in, 20, self.log, every=0.05)

    def _lets_us_in(self) -> bool:
        try:
            return self.request("GET", "/v1/agent/self")[0] == 200
        except OSError:
            return False
        finally:
            self._drop()
