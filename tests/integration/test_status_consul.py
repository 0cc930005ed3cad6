"""`status`: is staging what Consul says now? A real consul-template asks a real Consul, beside the one that stages."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from consul_kam.adapters.control import ControlUnreachable
from tests.integration.test_engine_article import article, gone, pid_of
from tests.lab import ConsulAgent, Lab, program, wait_for
from tests.lab.process import freeze
from tests.lab.world import World, uri

LOGGED = """\
#!/bin/sh
printf '%s\\n' "$*" >> {log}
exec {real} "$@"
"""


def consul_says(world: World, dataset: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = world.engine.ask("status", 10, consul=True)["datasets"][dataset]["consul"]
    return found


def say(world: World, state: str) -> dict[str, Any]:
    """What is said once the state is this one; a look is kept for a moment."""
    found: list[dict[str, Any]] = []
    wait_for(
        f"{state} in the column consul",
        lambda: (found.append(consul_says(world)), found[-1]["state"] == state)[1],
        20,
        world.engine.log,
        every=0.3,
    )
    assert not list(world.engine.state.glob("scratch-*"))
    return found[-1]


def command(world: World, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "consul_kam", *words],
        env={**os.environ, **world.engine.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def counted(tmp_path: Path, more: str = "") -> tuple[Path, str]:
    """A log of consul-template's command lines, and the configuration that makes the engine write it."""
    log, wrapper = tmp_path / "runs", tmp_path / "consul-template"
    wrapper.write_text(LOGGED.format(log=log, real=program("consul-template")))
    wrapper.chmod(0o755)
    return log, f'[consul_template]\npath = "{wrapper}"\n{more}'


def test_staging_is_what_consul_says_and_a_stalled_consul_template_is_seen(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, {"domain": True}, domain="")
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    found = say(world, "equal")
    assert (found["reason"], found["missing"], found["extra"]) == ("", [], [])
    code, shown = command(world, "status")
    assert (code, "differs" in shown, "unknown" in shown) == (0, False, False)
    freeze(world.ct.pid)
    world.add(3)
    world.remove(1)
    found = say(world, "differs")
    assert [uri(3) in record for record in found["missing"]] == [True]
    assert [uri(1) in record for record in found["extra"]] == [True]
    code, shown = command(world, "status", "--json")
    assert code == 1
    assert json.loads(shown)["datasets"][0]["consul"]["missing"] == found["missing"]
    assert "in Consul, not staging: 1 " + uri(3) in command(world, "status")[1]
    os.kill(world.ct.pid, signal.SIGCONT)
    say(world, "equal")
    assert world.engine.alive()


def test_who_asks_together_shares_one_run_and_no_token_is_on_a_command_line(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul(acl=True)
    token = consul.create_token('service_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }')
    log, more = counted(tmp_path)
    world = World(lab, consul, token=token, more=more, start=False)
    file = tmp_path / "token"
    file.write_text(token)
    text = world.engine.config.read_text()
    world.engine.config.write_text(text.replace("[consul]\n", f'[consul]\ntoken_file = "{file}"\n'))
    world.engine.start()
    world.add(1)
    world.expect(1)
    world.rest()
    found: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(consul_says(world))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each["state"] for each in found] == ["equal"] * 20
    assert len({each["at"] for each in found}) <= 2
    runs = log.read_text().splitlines()
    assert len(runs) == len({each["at"] for each in found})
    assert all("-consul-token-file=" in line and token not in line for line in runs)


def test_a_token_that_sees_less_than_consul_template_cannot_say(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul(acl=True)
    read = 'service_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }'
    blind = tmp_path / "blind"
    blind.write_text(consul.create_token('agent_prefix "" { policy = "read" }'))
    world = World(lab, consul, token=consul.create_token(read), start=False)
    text = world.engine.config.read_text()
    world.engine.config.write_text(text.replace("[consul]\n", f'[consul]\ntoken_file = "{blind}"\n'))
    world.engine.start()
    world.add(1, 2)
    world.expect(1, 2)
    assert "ACLs hide some of service router" in say(world, "unknown")["reason"]


def test_consul_away_or_silent_is_unknown_and_status_answers(lab: Lab) -> None:
    consul = lab.consul()
    world = World(lab, consul)
    world.add(1)
    world.expect(1)
    world.rest()
    consul.pause(True)
    assert "is Consul there?" in say(world, "unknown")["reason"]
    consul.pause(False)
    say(world, "equal")
    consul.stop()
    assert "connection refused" in say(world, "unknown")["reason"]
    code, shown = command(world, "status")
    assert (code, "what Consul says is not known" in shown) == (0, True)
    assert world.rest()["memory"]["state"] == "equal"


def test_no_consul_template_here_is_unknown_at_once(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, more='[consul_template]\npath = "/no/such/program"\n')
    assert consul_says(world)["state"] == "unknown"
    assert consul_says(world)["reason"].startswith("cannot run /no/such/program")


def test_one_list_that_cannot_be_rendered_leaves_the_others_known(lab: Lab, consul: ConsulAgent) -> None:
    sets = 'hold_for = 1\n[[datasets.domain.sets]]\nservice = "router"\ndatacenter = "elsewhere"\n'
    world = World(lab, consul, {"domain": True}, domain=sets)
    world.add(1)
    world.expect(1)
    world.rest()
    say(world, "equal")
    away = consul_says(world, 1)
    assert world.engine.ask("status", 10, consul=True)["datasets"][1]["staging"][0]["consul"] == "unknown"
    assert (away["state"], "elsewhere" in away["reason"]) == ("unknown", True)


def test_in_observe_mode_too(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, more='mode = "observe"\n')
    world.add(1)
    world.engine.wait("observed", lambda status: status["verdict"] == "OBSERVED")
    say(world, "equal")
    assert world.engine.status()["memory"]["state"] == "differs"


def test_a_template_of_the_users_own_counts_where_it_is_known(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    """In Kamailio's format, with a detached engine, which does not end before it has answered."""
    world = article(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    assert "a template of your own" in say(world, "unknown")["reason"]
    wait_for("the end of the detached engine", lambda: not (world.engine.state / "control.sock").exists(), 25)
    own = tmp_path / "own"
    own.mkdir()
    (own / "dispatcher.ctmpl").write_text((world.engine.directory / "dispatcher-list.tpl").read_text())
    with world.engine.config.open("a") as config:
        config.write(f'[consul_template]\ntemplates = "{own}"\n')
    world.add(3)
    world.expect(1, 2, 3)
    detached = pid_of(world)
    say(world, "equal")
    freeze(world.ct.pid)
    world.remove(1)
    assert [uri(1) in line for line in say(world, "differs")["extra"]] == [True]
    os.kill(world.ct.pid, signal.SIGCONT)
    world.expect(2, 3)
    wait_for("the end of the detached engine", lambda: gone(detached), 25)


def cut_off(world: World) -> None:
    """Asks an engine that is stopped before it can answer."""
    with pytest.raises(ControlUnreachable):
        consul_says(world)


def test_what_a_killed_engine_left_in_scratch_is_removed_and_never_staged(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1)
    world.expect(1)
    world.rest()
    left = world.engine.state / "scratch-left"
    left.mkdir(mode=0o700)
    (left / "dispatcher").write_text('{"end":"dispatcher","records":0}\n')
    consul.pause(True)
    thread = threading.Thread(target=cut_off, args=(world,))
    thread.start()
    wait_for("the end of what was left", lambda: not left.exists(), 10)
    wait_for("a scratch directory", lambda: len(list(world.engine.state.glob("scratch-*"))) == 1, 10, every=0.01)
    (scratch,) = world.engine.state.glob("scratch-*")
    assert scratch.stat().st_mode & 0o777 == 0o700
    assert world.engine.stop() == 0
    thread.join()
    consul.pause(False)
    assert not list(world.engine.state.glob("scratch-*"))
    world.engine.start()
    world.expect(1)
    assert world.rest()["records"] == 1
