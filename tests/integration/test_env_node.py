"""The environment of a node that `run` keeps: at the start, live, and what waits for a restart."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab import ConsulAgent, Lab, Node, Rpc
from tests.lab.environment import cfg, environment, shown, until
from tests.lab.world import every_version

VARS = """\
[env]
layers = ["c4/global", "c4/node/{{node}}"]
include = "{include}"
every = 0.2
[env.vars.GREETING]
required = true
[env.vars.PACE]
type = "int"
default = 5
change = "htable"
[env.vars.ROUTE_TO]
change = "htable"
[env.vars.WAIT_MS]
type = "int"
default = 100
change = "cfg"
[env.vars.MTU]
type = "int"
default = 1300
change = "cfg"
cfg = "core.udp_mtu"
[env.vars.WITH_EXTRA]
type = "bool"
"""
USES = """event_route[htable:mod-init] {
  $sht(shown=>greeting) = GREETING;
  $sht(shown=>env) = $env(GREETING);
#!ifdef WITH_EXTRA
  $sht(shown=>extra) = 1;
#!endif
}
"""


def options(include: Path) -> dict[str, Any]:
    """Of a Kamailio that includes it."""
    return {
        "globals": f'include_file "{include}"\nudp_mtu=MTU',
        "modparams": 'loadmodule "htable.so"\nloadmodule "cfg_rpc.so"\nmodparam("htable", "htable", "shown=>size=4;")\n'
        'modparam("htable", "htable", "consul_kam_env=>size=4;")',
        "routes": USES,
    }


def started(lab: Lab, consul: ConsulAgent, spawn: bool = True, more: str = "", **node: Any) -> tuple[Node, Path]:
    include = lab.directory / "env.cfg"
    if not spawn:  # somebody made the first one; here it is as empty as can be
        include.write_text('#!define GREETING "first"\n#!define MTU 1300\n')
    made = lab.node(consul, spawn=spawn, kamailio=options(include), more=VARS.format(include=include) + more, **node)
    return made, include


@every_version
def test_it_starts_with_what_kv_says_and_a_change_is_live_or_waits(lab: Lab, consul: ConsulAgent) -> None:
    consul.kv_put("c4/global/GREETING", 'hello "$world"'.replace("$", ""))
    consul.kv_put("c4/global/PACE", "7")
    node, include = started(lab, consul)
    node.ready()
    assert (shown(node, "greeting"), shown(node, "env"), shown(node, "extra")) == ('hello "world"',) * 2 + (None,)
    until(node, "what is live", lambda: shown(node, "PACE", "consul_kam_env") == 7)
    assert stat.S_IMODE(include.stat().st_mode) == 0o640
    pid = node.pid_of()
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    consul.kv_put("c4/global/PACE", "8")
    consul.kv_put("c4/global/ROUTE_TO", "a b")
    consul.kv_put("c4/global/WAIT_MS", "250")
    consul.kv_put("c4/global/MTU", "1400")
    until(node, "PACE", lambda: shown(node, "PACE", "consul_kam_env") == 8)
    until(node, "ROUTE_TO", lambda: shown(node, "ROUTE_TO", "consul_kam_env") == "a b")
    until(node, "WAIT_MS", lambda: cfg(node, "consul_kam", "wait_ms") == 250)
    until(node, "MTU", lambda: cfg(node, "core", "udp_mtu") == 1400)
    assert environment(node)["restart"] == []
    consul.kv_delete("c4/global/ROUTE_TO")
    until(node, "ROUTE_TO gone", lambda: shown(node, "ROUTE_TO", "consul_kam_env") is None)
    consul.kv_put("c4/node/" + node.directory.name, "no variable: it stands beside the layer")
    consul.kv_put("c4/global/GREETING", "good bye")
    consul.kv_put("c4/global/WITH_EXTRA", "yes")
    until(node, "restart needed", lambda: environment(node)["restart"] == ["GREETING", "WITH_EXTRA"])
    assert (node.pid_of(), shown(node, "greeting")) == (pid, 'hello "world"')
    said = subprocess.run(
        [sys.executable, "-m", "consul_kam", "status"], env={**node.env}, capture_output=True, text=True, check=False
    )
    assert "environment: restart needed: GREETING, WITH_EXTRA changed since Kamailio's start" in said.stdout, said
    node.restarts()
    node.runs(other_than=pid)
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert (shown(node, "greeting"), shown(node, "env"), shown(node, "extra")) == ("good bye",) * 2 + (1,)
    until(node, "PACE again", lambda: shown(node, "PACE", "consul_kam_env") == 8)
    assert cfg(node, "consul_kam", "wait_ms") == 250
    journal = [entry for entry in node.journal() if entry.get("dataset") == "env"]
    assert {entry["event"] for entry in journal} == {"environment changed", "set in the running Kamailio"}


def test_kv_is_followed_and_over_a_restart_of_consul(lab: Lab) -> None:
    """Nobody looks in this hour. Consul forgets everything, which is not believed, and counts from the beginning."""
    consul = lab.consul()
    consul.kv_put("c4/global/PACE", "7")
    include = lab.directory / "env.cfg"
    for _ in range(30):
        consul.kv_put("c4/global/GREETING", "hello")
    more = VARS.format(include=include).replace("every = 0.2", "every = 3600")
    node = lab.node(consul, kamailio=options(include), more=more)
    node.ready()

    def becomes(text: str) -> None:
        consul.kv_put("c4/global/GREETING", text)
        until(node, text, lambda: f'GREETING "{text}"' in include.read_text())

    becomes("once")
    becomes("twice")
    consul.stop()
    until(node, "Consul is away", lambda: "cannot reach Consul" in " ".join(environment(node)["troubles"]))
    assert 'GREETING "twice"' in include.read_text()
    consul.start()
    said = "KV has nothing any more below c4/global/, c4/node/"
    until(node, "nothing is believed", lambda: said in " ".join(environment(node)["troubles"]))
    assert (environment(node)["values"]["PACE"]["value"], environment(node)["missing"]) == ("7", [])
    consul.kv_put("c4/global/", "")
    until(node, "the folder is", lambda: environment(node)["values"]["PACE"]["value"] == "5")
    becomes("again")
    until(node, "all is well", lambda: environment(node)["troubles"] == [])


@every_version
def test_what_somebody_else_changed_in_kamailio_is_mended(lab: Lab, consul: ConsulAgent) -> None:
    consul.kv_put("c4/global/GREETING", "x")
    node, include = started(lab, consul)
    node.ready()
    until(node, "what is live", lambda: shown(node, "PACE", "consul_kam_env") == 5)
    rpc = Rpc(node.kamailio.ctl)
    rpc.call("htable.seti", "consul_kam_env", "PACE", 1)
    rpc.call("htable.sets", "consul_kam_env", "FOREIGN", "1")
    rpc.call("cfg.seti", "core", "udp_mtu", 1000)
    rpc.close()
    include.unlink()
    until(node, "PACE", lambda: shown(node, "PACE", "consul_kam_env") == 5)
    until(node, "FOREIGN", lambda: shown(node, "FOREIGN", "consul_kam_env") is None)
    until(node, "MTU", lambda: cfg(node, "core", "udp_mtu") == 1300)
    until(node, "the include", include.exists)


def test_a_wrong_value_is_named_and_changes_nothing(lab: Lab, consul: ConsulAgent) -> None:
    consul.kv_put("c4/global/GREETING", "x")
    consul.kv_put("c4/global/PACE", "7")
    node, include = started(lab, consul)
    node.ready()
    until(node, "what is live", lambda: shown(node, "PACE", "consul_kam_env") == 7)
    text = include.read_text()
    consul.kv_put("c4/global/PACE", "seven")
    consul.kv_delete("c4/global/GREETING")
    node.logged("c4/global/PACE is no whole number")
    node.logged("GREETING is required and in no layer; its last good value stays")
    assert (shown(node, "PACE", "consul_kam_env"), include.read_text()) == (7, text)
    assert environment(node)["values"]["GREETING"]["source"] == "last known: c4/global/GREETING"
    assert not node.ask("status")["node"]["waits_for"]


@pytest.mark.parametrize("spawn", [True, False])
def test_what_is_missing_at_the_start_is_waited_for(lab: Lab, consul: ConsulAgent, spawn: bool) -> None:
    consul.kv_put("c4/global/PACE", "x")
    node, include = started(lab, consul, spawn)
    before = include.read_text() if include.exists() else None
    wrong = "c4/global/PACE is no whole number from -2147483648 to 2147483647; there is no last good one"

    def waits() -> str:
        return str(node.ask("status")["node"]["waits_for"])

    until(node, "the reason", lambda: wrong in waits() and "GREETING is required and in no layer" in waits())
    if spawn:
        assert node.process()["state"] == "STOPPED"
    assert (include.read_text() if include.exists() else None) == before
    consul.kv_put("c4/global/PACE", "6")
    consul.kv_put("c4/global/GREETING", "x")
    node.ready()
    until(node, "what is live", lambda: shown(node, "PACE", "consul_kam_env") == 6)


def test_consul_away_at_the_start(lab: Lab) -> None:
    consul = lab.consul()
    consul.kv_put("c4/global/GREETING", "of before")
    consul.kv_put("c4/global/PACE", "9")
    node, include = started(lab, consul, node_lines="boot_timeout = 1", dispatcher="min_records = 0")
    node.ready()
    known = node.state / "env" / "known.json"
    assert (stat.S_IMODE(known.stat().st_mode), stat.S_IMODE(known.parent.stat().st_mode)) == (0o600, 0o700)
    assert node.stop() == 0
    consul.stop()
    include.unlink()
    node.start()
    until(node, "Kamailio", lambda: node.process()["state"] == "RUNNING")
    assert shown(node, "greeting") == "of before"
    until(node, "what was live", lambda: shown(node, "PACE", "consul_kam_env") == 9)
    assert any("cannot reach Consul" in line for line in environment(node)["troubles"])
    consul.start()
    consul.kv_put("c4/global/GREETING", "of after")
    until(node, "the new value", lambda: environment(node)["restart"] == ["GREETING"], 40)
    assert shown(node, "greeting") == "of before"


def test_consul_away_and_nothing_known(lab: Lab) -> None:
    consul = lab.consul()
    consul.stop()
    node, _ = started(lab, consul, node_lines="boot_timeout = 1", dispatcher="min_records = 0")
    missing = "GREETING is required and not known while Consul does not answer"
    until(node, "the reason", lambda: missing in node.ask("status")["node"]["waits_for"])
    assert node.process()["state"] == "STOPPED"
    consul.start()
    consul.kv_put("c4/global/GREETING", "x")
    node.ready(60)
    assert shown(node, "greeting") == "x"


@every_version
def test_attached_it_is_told_what_kamailio_runs_with(lab: Lab, consul: ConsulAgent) -> None:
    consul.kv_put("c4/global/GREETING", "hello")
    node, include = started(lab, consul, spawn=False)
    node.ready()
    until(node, "the include", lambda: 'GREETING "hello"' in include.read_text())
    assert (environment(node)["restart"], shown(node, "greeting")) == (None, "first")
    node.kamailio.restart()
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    until(node, "what is live", lambda: shown(node, "PACE", "consul_kam_env") == 5)
    assert shown(node, "greeting") == "hello"
    consul.kv_put("c4/global/GREETING", "bye")
    until(node, "restart needed", lambda: environment(node)["restart"] == ["GREETING"])
    argv = [sys.executable, "-m", "consul_kam", "env", "diff", "--json"]
    done = subprocess.run(argv, env={**os.environ, **node.env}, capture_output=True, text=True, check=False, timeout=60)
    change = {"name": "GREETING", "sign": "~", "before": "hello", "after": "bye", "change": "restart"}
    assert (done.returncode, json.loads(done.stdout)) == (1, {"changes": [change], "consul": ""})
    assert node.stop() == 0
    node.start()
    until(node, "restart still needed", lambda: environment(node)["restart"] == ["GREETING"])
    node.kamailio.restart()
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert shown(node, "greeting") == "bye"


def test_a_crash_takes_what_waits_and_an_adopted_one_keeps_it(lab: Lab, consul: ConsulAgent) -> None:
    """A restart that comes anyway is not put off; a supervisor that comes new restarts nothing."""
    consul.kv_put("c4/global/GREETING", "one")
    node, _ = started(lab, consul)
    node.ready()
    pid = node.pid_of()
    consul.kv_put("c4/global/GREETING", "two")
    until(node, "restart needed", lambda: environment(node)["restart"] == ["GREETING"])
    node.kill9()
    node.start()
    until(node, "restart still needed", lambda: environment(node)["restart"] == ["GREETING"])
    assert (node.pid_of(), shown(node, "greeting")) == (pid, "one")
    psutil.Process(pid).kill()
    node.runs(other_than=pid)
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert shown(node, "greeting") == "two"


def test_by_the_environment_alone_it_is_known_what_it_was_started_with(lab: Lab, consul: ConsulAgent) -> None:
    """Without include and cfg_rpc.so Kamailio says nothing itself."""
    consul.kv_put("c4/global/GREETING", "one")
    uses = "event_route[htable:mod-init] {\n  $sht(shown=>env) = $env(GREETING);\n}\n"
    modules = 'loadmodule "htable.so"\nmodparam("htable", "htable", "shown=>size=4;")\n'
    more = '[env]\nlayers = ["c4/global"]\nevery = 0.2\n[env.vars.GREETING]\nrequired = true\ndefine = "none"\n'
    node = lab.node(consul, kamailio={"modparams": modules, "routes": uses}, more=more)
    node.ready()
    assert shown(node, "env") == "one"
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    consul.kv_put("c4/global/GREETING", "two")
    until(node, "restart needed", lambda: environment(node)["restart"] == ["GREETING"])
    node.kill9()
    node.start()
    until(node, "restart still needed", lambda: environment(node)["restart"] == ["GREETING"])
    node.restarts()
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert shown(node, "env") == "two"


def test_a_rolling_restart_takes_what_waits(lab: Lab, consul: ConsulAgent) -> None:
    """The node is the only one: --force. Its Kamailio counts no calls, so the exit code says "not clean"."""
    consul.kv_put("c4/global/GREETING", "one")
    quick = "[drain]\nquiet_for = 0.2\nannounce_max = 0.5\ndeadline = 2\non_stop = 'leave'\n"
    node, _ = started(lab, consul, more=quick, registered=True)
    node.ready()
    pid = node.pid_of()
    consul.kv_put("c4/global/GREETING", "two")
    until(node, "restart needed", lambda: environment(node)["restart"] == ["GREETING"])
    argv = [sys.executable, "-m", "consul_kam", "restart", "--rolling", "--force"]
    done = subprocess.run(
        argv, env={**os.environ, **node.env}, capture_output=True, text=True, check=False, timeout=120
    )
    assert "is back" in done.stdout, (done.stdout, done.stderr)
    assert node.pid_of() != pid
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert shown(node, "greeting") == "two"


def test_the_commands_words(lab: Lab, consul: ConsulAgent) -> None:
    consul.kv_put("c4/global/GREETING", "x")
    consul.kv_put("c4/global/SHM_MEM", "48")
    more = '[env.vars.SHM_MEM]\ntype = "int"\nmin = 16\n'
    node, _ = started(lab, consul, more=more, start=False)
    text = node.config.read_text()
    assert '"-m", "64"' in text
    node.config.write_text(text.replace('"-m", "64"', '"-m", "${SHM_MEM}"'))
    node.start()
    node.ready()
    command = psutil.Process(node.pid_of()).cmdline()
    assert command[command.index("-m") + 1] == "48"
    consul.kv_put("c4/global/SHM_MEM", "64")
    until(node, "restart needed", lambda: environment(node)["restart"] == ["SHM_MEM"])


def test_observing_it_writes_nothing(lab: Lab, consul: ConsulAgent) -> None:
    consul.kv_put("c4/global/GREETING", "x")
    node, include = started(lab, consul, spawn=False, start=False)
    before = include.read_text()
    node.config.write_text('mode = "observe"\n' + node.config.read_text())
    node.start()
    until(node, "a look", lambda: "PACE is not in its htable as it shall be" in environment(node)["troubles"])
    assert include.read_text() == before
    assert shown(node, "PACE", "consul_kam_env") is None


def test_secrets_are_in_no_status_and_no_log(lab: Lab, consul: ConsulAgent) -> None:
    consul.kv_put("c4/global/GREETING", "x")
    consul.kv_put("c4/global/AUTH_SECRET", "canary-1")
    consul.kv_put("c4/global/DBURL", "mysql://u:canary-2@h/d")
    more = "[env.vars.AUTH_SECRET]\nchange = 'htable'\n[env.vars.DBURL]\ntype = 'uri'\nsecret = false\n"
    node, include = started(lab, consul, more=more)
    node.ready()
    until(node, "what is live", lambda: shown(node, "AUTH_SECRET", "consul_kam_env") == "canary-1")
    consul.kv_put("c4/global/DBURL", "canary-3: no URI")
    node.logged("c4/global/DBURL is no URI")
    said = json.dumps(node.ask("status")) + node.log.read_text() + json.dumps(node.journal())
    assert "canary" not in said
    assert "mysql://u:...@h/d" in said
    assert "canary-2" in include.read_text(), "the control: it is where it has to be"
