"""Secrets as a node's environment: at the start, rotated, gone; and where they do not lie."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab import ConsulAgent, Lab, Node
from tests.lab.canary import contents
from tests.lab.environment import environment, shown, until
from tests.lab.secrets import Secrets
from tests.lab.vault import Vault
from tests.lab.world import every_version

pytestmark = pytest.mark.vault
DB = 'kind = "kv"\npath = "secret/data/db"\nevery = 0.5'
VARS = """\
[env]
layers = ["c4/global"]
include = "{include}"
every = 0.2
[env.vars.GREETING]
default = "hello"
[env.vars.DBURL]
value = "secret://db/text"
[env.vars.LIVE]
value = "secret://db/live"
change = "htable"
[env.vars.BARE]
value = "secret://db/bare"
define = "none"
"""
USES = """event_route[htable:mod-init] {
  $sht(shown=>greeting) = GREETING;
  $sht(shown=>dburl) = DBURL;
  $sht(shown=>env_dburl) = $env(DBURL);
  $sht(shown=>env_bare) = $env(BARE);
}
"""


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with Vault(tmp_path / "vault") as started:
        started.mount("kv-v2", "secret")
        started.policy("node", 'path "secret/data/db" { capabilities = ["read"] }')
        yield started


def vault_troubles(node: Node) -> list[str]:
    found = node.ask("status")["node"]["secrets"]["troubles"]
    assert isinstance(found, list)
    return found


def fields(number: int) -> dict[str, str]:
    return {"text": f"postgres://u:canary-{number}@h/d", "live": f"canary-live-{number}", "bare": f"canary-b-{number}"}


def started(lab: Lab, consul: ConsulAgent, secrets: Secrets, vault: Vault, more: str = "", **node: Any) -> Node:
    kamailio = {
        "globals": f'include_file "{secrets.include}"',
        "modparams": 'loadmodule "htable.so"\nloadmodule "cfg_rpc.so"\n'
        'modparam("htable", "htable", "shown=>size=4;")\nmodparam("htable", "htable", "consul_kam_env=>size=4;")',
        "routes": USES,
    }
    text = secrets.toml(vault, vault.token("node", period="1h"), db=DB) + VARS.format(include=secrets.include) + more
    return lab.node(consul, kamailio=kamailio, more=text, **node)


@every_version
def test_it_starts_with_secrets_and_a_rotation_is_live_or_waits(
    secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    vault.kv("db", fields(1))
    consul.kv_put("c4/global/DBURL", "kv-may-not-say")
    node = started(lab, consul, secrets, vault)
    node.ready()
    assert (shown(node, "dburl"), shown(node, "env_bare")) == ("postgres://u:canary-1@h/d", "canary-b-1")
    until(node, "what is live", lambda: shown(node, "LIVE", "consul_kam_env") == "canary-live-1")
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert "c4/global/DBURL: ignored: its value is secret://db/text" in environment(node)["troubles"]
    assert environment(node)["values"]["DBURL"] == {"value": "(hidden)", "source": "vault db", "change": "restart"}
    environ = psutil.Process(node.pid_of()).environ()
    assert (environ.get("BARE"), environ.get("DBURL"), environ.get("LIVE")) == ("canary-b-1", None, None)
    pid = node.pid_of()
    vault.kv("db", fields(2))
    until(node, "LIVE", lambda: shown(node, "LIVE", "consul_kam_env") == "canary-live-2")
    until(node, "restart needed", lambda: environment(node)["restart"] == ["BARE", "DBURL"])
    assert (node.pid_of(), shown(node, "dburl")) == (pid, "postgres://u:canary-1@h/d")
    node.kill9()
    node.start()
    until(node, "restart still needed", lambda: environment(node)["restart"] == ["BARE", "DBURL"])
    node.restarts()
    node.runs(other_than=pid)
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert (shown(node, "dburl"), shown(node, "env_bare")) == ("postgres://u:canary-2@h/d", "canary-b-2")
    vault.kv("db", fields(2))
    node.kill9()
    node.start()
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])


def test_no_file_but_the_include_has_a_secret_and_none_outlives_it(
    secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    vault.kv("db", fields(1))
    node = started(lab, consul, secrets, vault)
    node.ready()
    pid = node.pid_of()
    until(node, "the kept configuration", lambda: (node.state / "kamailio" / "good.cfg").exists())
    assert "canary" in secrets.include.read_text(), "the control"
    assert holders(node.state, lab.directory) == []
    assert _core(pid) == "0"
    # what goes back to the kept configuration does not go back to the password
    text = node.kamailio.cfg.read_text()
    node.kamailio.cfg.write_text(text.replace("request_route {", "request_route { nothing_of_the_kind();"))
    vault.kv("db", fields(2))
    until(node, "restart needed", lambda: "DBURL" in environment(node)["restart"])
    psutil.Process(pid).kill()
    node.runs(other_than=pid)
    assert shown(node, "dburl") == "postgres://u:canary-2@h/d"
    assert "going on with the previous one" in node.log.read_text()
    assert holders(node.state, lab.directory) == []


def test_an_include_that_everybody_may_read_does_not_stay_so(
    secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    vault.kv("db", fields(1))
    secrets.include.touch()
    secrets.include.chmod(0o644)
    node = started(lab, consul, secrets, vault)
    node.ready()
    assert "canary" in secrets.include.read_text(), "the control"
    assert mode(secrets.include) == 0o640
    secrets.include.chmod(0o644)
    until(node, "it closed again, with the same content", lambda: mode(secrets.include) == 0o640)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def holders(*directories: Path) -> list[str]:
    """Files that have a canary."""
    return [str(path) for path, content in contents(*directories) if b"canary" in content]


def test_without_the_secret_nothing_is_started_and_with_it_it_goes_on(
    secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    node = started(lab, consul, secrets, vault)
    until(node, "why", lambda: "DBURL: there is no secret db" in node.ask("status")["node"]["waits_for"])
    assert node.process()["state"] == "STOPPED"
    vault.kv("db", {"text": "postgres://u:p@h/d", "live": "x"})
    until(node, "why", lambda: "BARE: secret db: there is no bare" in node.ask("status")["node"]["waits_for"])
    vault.kv("db", fields(1))
    node.ready()
    pid, text = node.pid_of(), secrets.include.read_text()
    vault.ask("DELETE", "secret/data/db")
    until(node, "Vault has none", lambda: any("there is nothing" in line for line in vault_troubles(node)))
    secrets.withdraw("db")
    until(node, "its end", lambda: "DBURL: there is no secret db" in environment(node)["missing"])
    assert (node.pid_of(), secrets.include.read_text()) == (pid, text), "who runs is left alone"
    refused = node.ask("restart", 60.0)
    assert "cannot start Kamailio: the environment: DBURL: there is no secret db" in refused["error"]
    assert node.pid_of() == pid
    vault.kv("db", fields(2))
    until(node, "it again", lambda: environment(node)["missing"] == [])
    until(node, "restart needed", lambda: environment(node)["restart"] == ["BARE", "DBURL"])


def test_secrets_alone_need_no_consul_and_with_kv_away_they_change(secrets: Secrets, vault: Vault, lab: Lab) -> None:
    vault.kv("db", fields(1))
    consul = lab.consul()
    consul.kv_put("c4/global/GREETING", "kv")
    node = started(lab, consul, secrets, vault, dispatcher="min_records = 0")
    node.ready()
    consul.stop()
    until(node, "KV away", lambda: any("cannot reach Consul" in line for line in environment(node)["troubles"]))
    vault.kv("db", fields(2))
    until(node, "LIVE", lambda: shown(node, "LIVE", "consul_kam_env") == "canary-live-2")
    assert environment(node)["restart"] == ["BARE", "DBURL"]
    assert environment(node)["values"]["GREETING"]["source"] == "c4/global/GREETING"
    assert node.stop() == 0
    node.config.write_text(node.config.read_text().replace('layers = ["c4/global"]', "layers = []"))
    node.start()
    until(node, "no layers", lambda: environment(node)["values"].get("GREETING", {}).get("source") == "default")
    assert not [line for line in environment(node)["troubles"] if "Consul" in line]


def cli(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "consul_kam", *words]
    return subprocess.run(argv, env={**os.environ, **node.env}, capture_output=True, text=True, check=False, timeout=60)


def test_the_commands(secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent) -> None:
    vault.kv("db", fields(1))
    node = started(lab, consul, secrets, vault)
    node.ready()
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    vault.kv("db", fields(2))
    until(node, "restart needed", lambda: environment(node)["restart"] == ["BARE", "DBURL"])
    told = {each["name"]: each for each in json.loads(cli(node, "env", "--json").stdout)["values"]}
    assert (told["DBURL"]["value"], told["DBURL"]["source"]) == ("(hidden)", "vault db")
    shown_ = {each["name"]: each for each in json.loads(cli(node, "env", "--reveal", "--json").stdout)["values"]}
    assert shown_["DBURL"]["value"] == "postgres://u:canary-2@h/d"
    found = cli(node, "env", "diff", "--json")
    assert [change["name"] for change in json.loads(found.stdout)["changes"]] == ["BARE", "DBURL"], found
    assert cli(node, "env", "exec", "--", "printenv", "DBURL").stdout == "postgres://u:canary-2@h/d\n"
    assert holders(node.state) == [], "env exec has written no secret down"
    env_file = lab.directory / ".env"
    env_file.write_text("DBURL=postgres://other\n")
    refused = cli(node, "env", "import", str(env_file), "--to", "global", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "+ DBURL = (hidden)   (restart)\n")
    assert refused.stderr == "refused: DBURL has the value of secret://db/text, whatever KV says\n"
    said = cli(node, "config", "show").stdout
    assert '"origin": "secret://db/text"' in said
    assert "canary" not in said


def test_a_program_is_started_anew_for_a_new_secret_and_goes_on_without_one(
    secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    vault.kv("db", fields(1))
    node = started(lab, consul, secrets, vault)
    node.ready()
    said, log = lab.directory / "said", lab.directory / "exec.log"
    argv = [sys.executable, "-m", "consul_kam", "env", "exec", "--restart", "--"]
    shell = f'echo "$LIVE" >>{said}; while true; do sleep 0.1; done'
    with (
        log.open("wb") as errors,
        subprocess.Popen([*argv, "sh", "-c", shell], env={**os.environ, **node.env}, stderr=errors) as process,
    ):
        try:
            until(node, "it runs", lambda: said.exists() and said.read_text() == "canary-live-1\n")
            vault.kv("db", fields(2))
            until(node, "another", lambda: said.read_text() == "canary-live-1\ncanary-live-2\n")
            vault.ask("DELETE", "secret/data/db")
            until(node, "Vault has none", lambda: any("there is nothing" in line for line in vault_troubles(node)))
            secrets.withdraw("db")
            until(node, "its end", lambda: "DBURL: there is no secret db" in log.read_text())
            vault.kv("db", fields(3))
            until(node, "a third", lambda: said.read_text().endswith("canary-live-3\n"))
            assert said.read_text().count("\n") == 3, "none without a secret"
        finally:
            process.terminate()
            process.wait(30)
    assert "canary" not in log.read_text()


def test_attached_kamailio_leaves_no_core(secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent) -> None:
    """The control: without the include's line it would."""
    for line, expected in (("disable_core_dump=yes\n", "0"), ("", "unlimited")):
        secrets.include.write_text(line)
        kamailio = lab.kamailio(globals=f'include_file "{secrets.include}"')
        assert _core(kamailio.pid) == expected


def _core(pid: int) -> str:
    limits = Path(f"/proc/{pid}/limits").read_text()
    return next(line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size"))


def test_on_a_disk_no_secret_is_kept(secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent) -> None:
    vault.kv("db", fields(1))
    node = started(lab, consul, secrets, vault, start=False)
    on_disk = lab.directory / "env.cfg"
    node.config.write_text(node.config.read_text().replace(str(secrets.include), str(on_disk)))
    said = cli(node, "run")
    assert (said.returncode, on_disk.exists()) == (2, False)
    assert f"cannot keep secrets of Vault's in {on_disk}: it is on a disk" in said.stderr
