"""`consul-kam env` against a real Consul."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab import ConsulAgent, Lab
from tests.lab.engine import ROOT

CONFIG = """\
[node]
role = "sbc"
name = "sbc-1"
state_dir = "{state}"
[consul]
address = "{consul}"
[env]
layers = ["c4/global", "c4/role/{{role}}", "c4/node/{{node}}"]
allow = ["EXTRA_*"]
[env.vars.SIP_PORT]
type = "int"
min = 1
max = 65535
default = 5060
[env.vars.DBURL]
required = true
type = "uri"
dollar = true
[env.vars.LEVEL]
type = "enum"
values = ["low", "high"]
change = "htable"
"""


class Node:
    """A configuration, and `consul-kam` with it."""

    def __init__(self, directory: Path, consul: ConsulAgent, token: str = "", more: str = "") -> None:
        self.directory, self.state, self.token = directory, directory / "state", token
        self.config = directory / "consul-kam.toml"
        self.config.write_text(CONFIG.format(state=self.state, consul=consul.address) + more)

    def run(self, *words: str, code: int = 0, stdin: str = "") -> str:
        """Standard output; the exit code has to be this."""
        done = self.ran(*words, stdin=stdin)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout

    def ran(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            "CONSUL_KAM_CONFIG": str(self.config),
            "PYTHONPATH": str(ROOT),
            "CONSUL_HTTP_TOKEN": self.token,
        }
        argv = [sys.executable, "-m", "consul_kam", *words]
        return subprocess.run(argv, env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    def values(self, *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
        found = json.loads(self.run("env", "--reveal", "--json", *words, code=code))
        return {each["name"]: (each["value"], each["source"]) for each in found["values"]}

    @property
    def known(self) -> Path:
        return self.state / "env" / "known.json"


@pytest.fixture
def node(tmp_path: Path, consul: ConsulAgent) -> Node:
    return Node(tmp_path, consul)


def put(consul: ConsulAgent, **values: str) -> None:
    """`global__A="x"`, `role__sbc__A="x"`."""
    for key, value in values.items():
        consul.kv_put(f"c4/{key.replace('__', '/')}", value)


def test_layers_sources_and_another_nodes(node: Node, consul: ConsulAgent) -> None:
    put(consul, global__DBURL="mysql://u:canary@h/d", role__sbc__SIP_PORT="5070", node__sbc_1__SIP_PORT="1")
    consul.kv_put("c4/node/sbc-1/EXTRA_1", "e")
    consul.kv_put("c4/node/sbc-2/SIP_PORT", "5090")
    consul.kv_put("c4/global/", "")
    consul.kv_put("c4/globalX/EXTRA_2", "of no layer of ours")
    assert node.values() == {
        "DBURL": ("mysql://u:canary@h/d", "c4/global/DBURL"),
        "EXTRA_1": ("e", "c4/node/sbc-1/EXTRA_1"),
        "SIP_PORT": ("5070", "c4/role/sbc/SIP_PORT"),
    }
    other = node.values("--node", "sbc-2", "--role", "router")
    assert other["SIP_PORT"] == ("5090", "c4/node/sbc-2/SIP_PORT")
    assert "canary" not in node.run("env") + node.run("env", "--json")
    assert not node.known.exists(), "a look leaves nothing"
    assert node.ran("env", "--node", "../x").returncode == 2


def test_what_is_missing_is_named(node: Node, consul: ConsulAgent) -> None:
    put(consul, global__SIP_PORT="x", global__LD_PRELOAD="/x", global__OTHER="1")
    said = json.loads(node.run("env", "--json", code=1))
    assert said["missing"] == [
        "c4/global/SIP_PORT is no whole number from 1 to 65535; there is no last good one",
        "DBURL is required and in no layer",
    ]
    assert [line.partition(":")[0] for line in said["troubles"]] == ["c4/global/LD_PRELOAD", "c4/global/OTHER"]
    ran = node.ran("env", "exec", "--", "true")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("cannot start true: the environment: c4/global/SIP_PORT is no whole number")
    assert ran.stderr.count("\n") == 1


def test_exec_and_consul_away(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul()
    node = Node(tmp_path, consul, token="canary-token")
    value = "mysql://h/a'\"\\ é".replace(" ", "%20") + "\u2028"
    put(consul, global__DBURL=value, global__LEVEL="low")
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    found = json.loads(node.run("env", "exec", "--", sys.executable, "-c", script))
    assert (found["DBURL"], found["SIP_PORT"], found["LEVEL"]) == (value, "5060", "low")
    assert "CONSUL_HTTP_TOKEN" not in found
    assert stat.S_IMODE(node.known.stat().st_mode) == 0o600
    assert stat.S_IMODE(node.known.parent.stat().st_mode) == 0o700
    consul.stop()
    ran = node.ran("env", "exec", "--", sys.executable, "-c", script)
    assert json.loads(ran.stdout)["DBURL"] == value
    assert ran.stderr.startswith("environment: cannot reach Consul")
    assert node.values(code=3)["DBURL"] == (value, "last known: c4/global/DBURL")
    node.known.write_text("{")
    ran = node.ran("env", "exec", "--", "true")
    assert (ran.returncode, "DBURL is required and not known while Consul" in ran.stderr) == (1, True)
    assert node.ran("env", "exec", "--", "/no/such").returncode == 1


def test_a_wrong_value_keeps_the_last_good_one(node: Node, consul: ConsulAgent) -> None:
    put(consul, global__DBURL="mysql://h/1")
    node.run("env", "exec", "--", "true")
    put(consul, global__DBURL="no URI")
    script = "import os; print(os.environ['DBURL'])"
    ran = node.ran("env", "exec", "--", sys.executable, "-c", script)
    assert (ran.returncode, ran.stdout) == (0, "mysql://h/1\n")
    assert "c4/global/DBURL is no URI" in ran.stderr


def test_last_good_values_that_cannot_be_read_stop_nothing_while_consul_answers(
    node: Node, consul: ConsulAgent
) -> None:
    put(consul, global__DBURL="mysql://h/1")
    node.known.parent.mkdir(parents=True)
    node.known.write_text("damaged")
    said = json.loads(node.run("env", "--json", code=1))
    assert "the last good environment is not known" in said["troubles"][0]
    ran = node.ran("env", "exec", "--", "true")
    assert (ran.returncode, "it is damaged; remove it" in ran.stderr) == (0, True)
    node.run("env")


ENV_FILE = """\
# of docker compose
DBURL='mysql://u:p$w@h/d'
SIP_PORT=5080
export EXTRA_NOTE="two
lines"
"""


def test_import_shows_asks_writes_and_says_nothing_twice(node: Node, consul: ConsulAgent) -> None:
    file = node.directory / "sbc.env"
    file.write_text(ENV_FILE)
    put(consul, global__SIP_PORT="5060", global__LEVEL="low")
    said = node.run("env", "import", str(file), "--to", "global", code=1, stdin="n\n")
    assert "~ SIP_PORT = 5060 -> 5080" in said
    assert "+ DBURL = (hidden)" in said
    assert "p$w" not in said
    assert consul.ask("GET", "/v1/kv/c4/global/SIP_PORT?raw") == 5060
    node.run("env", "diff", str(file), "--to", "global", code=1)
    said = node.run("env", "import", str(file), "--to", "global", stdin="y\n")
    assert "c4/global: 3 written" in said
    assert node.values()["EXTRA_NOTE"][0] == "two\nlines"
    assert "no difference" in node.run("env", "import", str(file), "--to", "c4/global", "--yes")
    assert "no difference" in node.run("env", "diff", str(file), "--to", "global")
    told = json.loads(node.run("env", "import", str(file), "--to", "global", "--prune", "--yes", "--json"))
    assert told == {
        "changes": [{"name": "LEVEL", "sign": "-", "before": "low", "after": None, "change": "htable"}],
        "refused": [],
        "written": True,
    }
    assert "LEVEL" not in node.values()


def test_what_a_declaration_refuses_is_not_written(node: Node, consul: ConsulAgent) -> None:
    ran = node.ran("env", "import", "-", "--to", "global", "--yes", stdin="SIP_PORT=70000\nDBURL=mysql://h/d\n")
    assert ran.returncode == 1
    assert "refused: SIP_PORT is no whole number from 1 to 65535" in ran.stderr
    assert consul.request("GET", "/v1/kv/c4?recurse")[0] == 404
    ran = node.ran("env", "import", "-", "--to", "global", "--yes", stdin="A=$B\n")
    assert (ran.returncode, "single quotes" in ran.stderr) == (1, True)
    assert node.ran("env", "import", "/none", "--to", "global").returncode == 1
    assert node.ran("env", "import", "-", "--to", "elsewhere", stdin="A=1\n").returncode == 2


def test_more_than_a_transaction_holds(node: Node, consul: ConsulAgent) -> None:
    text = "".join(f"EXTRA_{number}={number}\n" for number in range(150))
    assert "150 written" in node.run("env", "import", "-", "--to", "global", "--yes", stdin=text)
    found: Any = consul.ask("GET", "/v1/kv/c4/global/?keys")
    assert len(found) == 150


def test_a_token_that_may_not_see_all_is_an_error_not_less(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul(acl=True)
    put(consul, global__DBURL="mysql://h/d", global__SIP_PORT="5070")
    node = Node(tmp_path, consul, token=consul.create_token('key "c4/global/SIP_PORT" { policy = "read" }'))
    said = json.loads(node.run("env", "--json", code=3))
    assert "ACLs hide some of it" in said["consul"]
    node.token = consul.create_token('key_prefix "c4/" { policy = "read" }')
    assert node.values()["SIP_PORT"] == ("5070", "c4/global/SIP_PORT")
    ran = node.ran("env", "import", "-", "--to", "global", "--yes", stdin="SIP_PORT=1\n")
    assert (ran.returncode, ran.stderr.startswith("cannot write KV c4/global/ (0 of 1 written)")) == (1, True)


def test_without_layers_there_is_no_environment(node: Node) -> None:
    node.config.write_text("")
    assert "names no KV prefix" in node.ran("env").stderr
    assert node.ran("env").returncode == 2
