"""examples/environment: what ships goes into KV, comes out of it, and both Kamailios start with it."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from consul_kam import config
from consul_kam.core import env_file
from consul_kam.core.env_define import include
from tests.lab import VERSIONS, ConsulAgent, Lab, program
from tests.lab.engine import ROOT
from tests.lab.environment import environment, shown, until
from tests.lab.kamailio import find
from tests.lab.ports import free_port
from tests.lab.world import every_version

EXAMPLES = ROOT / "examples" / "environment"
C4 = """
CONSUL_URI REDIS_URI ROUTER_CONFD_URI POSTGRES_URI
INTERFACE_SIP INTERFACE_DMQ INTERFACE_XHTTP INTERFACE SIP_PORT XHTTP_PORT LISTEN LISTEN_ADVERTISE ALIAS
SHM_MEM PKG_MEM KAMAILIO_CONF TESTING DISPATCHER_ALG DISPATCHER_WEIGHT NAT_PING_FROM WITH_REDIS_DIALOG DBURL_DIALOG
WITH_DMQ DMQ_PORT DMQ_LISTEN DMQ_NOTIFICATION_ADDRESS DMQ_PING_INTERVAL
HTTP_API_ROUTING_ENDPOINT HTTP_API_CDR_ENDPOINT HTTP_API_DBTEXT_UACREG_ENDPOINT HTTP_API_TIMEOUT
HTTP_ASYNC_CLIENT_WORKERS ROUTER_AUTH_SECRET LISTEN_NG WITH_REDIS REDIS DISPATCHER_LIST
"""
"""What C4's compose files and entrypoints name (field-notes.md, 1.2)."""
DEAD = ("DMQ_SERVER_ADDRESS", "SUBSCRIBE_KEYSPACE", "SIP_SERVER_TYPE")


def test_all_of_c4s_variables_are_declared_and_the_dead_ones_named() -> None:
    text = (EXAMPLES / "consul-kam.toml").read_text()
    declared = tomllib.loads(text)["env"]["vars"]
    assert set(declared) == set(C4.split())
    assert set(env_file.parse("c4.env", (EXAMPLES / "c4.env").read_bytes())) == set(C4.split())
    for name in DEAD:
        assert re.search(rf"#.*\b{name}\b", text), name
    config.parse(text, "consul-kam.toml", {})


def test_each_one_that_reaches_kamailio_is_used() -> None:
    """Quoted strings do not count: no define stands in them."""
    found = config.parse((EXAMPLES / "consul-kam.toml").read_text(), "consul-kam.toml", {})
    text = re.sub(r'"[^"]*"|#(?!!).*', "", (EXAMPLES / "uses.cfg").read_text())
    live = {"HTTP_API_ROUTING_ENDPOINT", "HTTP_API_CDR_ENDPOINT", "HTTP_API_DBTEXT_UACREG_ENDPOINT", "HTTP_API_TIMEOUT"}
    for spec in found.env.specs:
        if spec.define != "none" and spec.name not in live:
            assert re.search(rf"(?<!=>)\b{spec.name}\b", text), spec.name


@pytest.mark.parametrize("version", VERSIONS)
def test_the_include_may_be_node_cfg_of_the_sbc(version: str, tmp_path: Path) -> None:
    """What examples/kamailio has a define for, from KV."""
    variables = (
        '[env.vars.NODE_ADDRESS]\ntype = "address"\n[env.vars.SIP_PORT]\ntype = "int"\n[env.vars.ALGORITHM]\n'
        '[env.vars.SILENCE]\ntype = "int"\n[env.vars.DISPATCHER_LIST]\n[env.vars.HTTP_ADDRESS]\ntype = "address"\n'
        '[env.vars.WITH_BIG_LISTS]\ntype = "bool"\n'
    )
    specs = config.parse(variables, "f", {}).env.specs
    texts = {"NODE_ADDRESS": "127.0.0.1", "SIP_PORT": "5099", "ALGORITHM": "9", "SILENCE": "1500"}
    texts |= {"DISPATCHER_LIST": '/tmp/a "list"', "HTTP_ADDRESS": "127.0.0.1", "WITH_BIG_LISTS": "yes"}
    for name in ("sbc.cfg", "common.cfg", "drain.cfg"):
        (tmp_path / name).write_text((ROOT / "examples" / "kamailio" / name).read_text())
    (tmp_path / "node.cfg").write_text(include(specs, texts))
    found = find(version)
    modules = ["-L", f"{found.modules}/"]
    argv = [str(found.kamailio), "-f", str(tmp_path / "sbc.cfg"), *modules, "-c"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def fitted(directory: Path, kamailio_run: Path, modules: Path) -> tuple[Path, Path]:
    """uses.cfg on ports and paths of the test's own; (it, the include)."""
    include, cfg = directory / "env.cfg", directory / "uses.cfg"
    text = (EXAMPLES / "uses.cfg").read_text().replace("/var/lib/consul_kam/live/env.cfg", str(include))
    head, tail = text.split('loadmodule "tm.so"', 1)
    ctl = f'modparam("ctl", "binrpc", "unix:{kamailio_run}/ctl")\n'
    cfg.write_text(
        f'{head}mpath="{modules}/"\nloadmodule "tm.so"' + tail.replace("# Variables with", ctl + "# Variables with", 1)
    )
    return cfg, include


@every_version
def test_kamailio_starts_with_them(lab: Lab, consul: ConsulAgent) -> None:
    values = env_file.parse("c4.env", (EXAMPLES / "c4.env").read_bytes())
    port = free_port()
    values |= {"LISTEN": f"udp:127.0.0.1:{port}", "XHTTP_PORT": str(free_port()), "INTERFACE_XHTTP": "lo"}
    dmq = free_port()
    values |= {
        "WITH_DMQ": "yes",
        "DMQ_PORT": str(dmq),
        "DMQ_LISTEN": f"udp:127.0.0.1:{dmq}",
        "TESTING": "yes",
        "WITH_REDIS_DIALOG": "1",
    }
    node = lab.node(consul, start=False)
    kamailio = node.kamailio
    cfg, include = fitted(lab.directory, kamailio.run, kamailio.found.modules)
    values["KAMAILIO_CONF"] = str(cfg)
    for name, value in values.items():
        consul.kv_put(f"c4/global/{name}", value)
    shipped = (EXAMPLES / "consul-kam.toml").read_text()
    ours = shipped[shipped.index("\n[env]\n") :].replace("/var/lib/consul_kam/live/env.cfg", str(include))
    command = tomllib.loads(shipped)["kamailio"]["command"]
    node.config.write_text(
        f'[node]\nrole = "sbc"\nname = "n"\nstate_dir = "{node.state}"\n'
        f'[consul]\naddress = "{consul.address}"\n'
        f'[kamailio]\nmode = "spawn"\nrpc = "unix:{kamailio.ctl}"\nsip = []\nstatus_url = ""\n'
        f"command = {json.dumps([str(kamailio.found.kamailio), *command[1:]])}\n"
        f'[consul_template]\npath = "{program("consul-template")}"\n'
        '[registration]\nenabled = false\n[http]\nlisten = ""\n'
        f'[drain]\non_stop = "leave"\n[datasets.dispatcher]\nfile = "{kamailio.list_file}"\nmin_records = 0\n{ours}'
    )
    node.start()
    node.runs()
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    for name in ("INTERFACE_SIP", "INTERFACE_DMQ", "DBURL_DIALOG", "NAT_PING_FROM", "ROUTER_AUTH_SECRET"):
        assert shown(node, name, "defined") == values[name], name
    assert shown(node, "SIP_PORT", "defined") == 5060
    assert shown(node, "WITH_REDIS_DIALOG", "defined") == 1
    until(node, "what is live", lambda: shown(node, "DISPATCHER_ALG", "consul_kam_env") == "8")
    assert environment(node)["troubles"] == []
    assert environment(node)["values"]["DBURL_DIALOG"]["value"] == "(hidden)"
