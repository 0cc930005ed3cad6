"""A real Consul cluster on loopback: three servers that elect their leader, and a client agent as a node has one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.lab.consul import ConsulAgent
from tests.lab.process import LabError, Started, wait_for

SERVERS = 3


class Member(ConsulAgent):
    """One agent of a cluster; it keeps its data over stop() and start() until `wipe`."""

    def __init__(self, directory: Path, name: str, join: list[str], server: bool, token: str) -> None:
        self.name, self._join, self._server, self._management = name, join, server, token
        super().__init__(directory, acl=bool(token), persist=True)
        self.token = token
        (directory / "consul.json").write_text(json.dumps(self._config(bool(token))))

    @property
    def serf(self) -> str:
        return f"127.0.0.1:{self._ports['serf_lan']}"

    def _config(self, acl: bool) -> dict[str, object]:
        config = super()._config(acl)
        config.pop("bootstrap", None)
        config |= {"node_name": self.name, "server": self._server, "retry_join": self._join, "retry_interval": "300ms"}
        if self._server:
            config["bootstrap_expect"] = SERVERS
        if acl:
            tokens = {"agent": self._management}
            if self._server:
                tokens["initial_management"] = self._management
            config["acl"] = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        return config

    def wipe(self) -> None:
        """Everything it knew; while it is stopped."""
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def forget_services(self) -> None:
        """What a container without a volume forgets: its services and checks, not its node ID; while it is stopped."""
        for name in ("services", "checks"):
            shutil.rmtree(self.directory / "data" / name, ignore_errors=True)

    def start(self, timeout: float = 40.0) -> Self:
        """Start, and wait until it answers; see `Cluster.settle`."""
        self.spawn()
        wait_for(f"Consul's {self.name}", self._answers, timeout, self.log, every=0.05)
        return self

    def _answers(self) -> bool:
        if not self.alive():
            raise LabError(f"cannot start {self.name}: see {self.log}")
        try:
            return self.request("GET", "/v1/agent/self")[0] == 200
        except OSError:
            return False


class Cluster(Started):
    """`with Cluster(tmp_path) as cluster:` then cluster.servers and cluster.agent."""

    def __init__(self, directory: Path, acl: bool = False) -> None:
        token = "11111111-2222-3333-4444-555555555555" if acl else ""
        join: list[str] = []
        self.servers = [Member(directory / f"server{n}", f"server{n}", join, True, token) for n in range(SERVERS)]
        join += [server.serf for server in self.servers]
        for server in self.servers:  # their addresses are known only now
            (server.directory / "consul.json").write_text(json.dumps(server._config(acl)))
        self.agent = Member(directory / "agent", "host1", join, False, token)

    @property
    def all(self) -> list[Member]:
        return [*self.servers, self.agent]

    def start(self) -> Self:
        for member in self.all:
            member.spawn()
        self.settle()
        return self

    def revive(self) -> None:
        """Start who was stopped, and wait until all answer and there is a leader."""
        for member in self.all:
            if not member.alive():
                member.start()
        self.settle()

    def settle(self, timeout: float = 40.0) -> None:
        """Until there is a leader and the agent is in the catalog."""
        wait_for("the cluster's leader", self._settled, timeout, self.agent.log, every=0.05)

    def _settled(self) -> bool:
        try:
            status, body = self.agent.request("GET", f"/v1/catalog/node/{self.agent.name}")
        except OSError:
            return False
        return status == 200 and isinstance(body, dict)

    def leader(self, timeout: float = 40.0) -> Member:
        """LabError where there is none for so long: who stands still for a moment is no leader any more."""
        found: list[Member] = []
        wait_for("the leader", lambda: found.extend(self._leaders()) or found, timeout, self.agent.log, every=0.05)
        return found[0]

    def _leaders(self) -> Iterator[Member]:
        for server in self.servers:
            try:
                said = server.request("GET", "/v1/agent/self")[1]
            except OSError:
                continue
            if isinstance(said, dict) and said.get("Stats", {}).get("consul", {}).get("leader") == "true":
                yield server

    def stop(self) -> None:
        for member in self.all:
            member.stop()
