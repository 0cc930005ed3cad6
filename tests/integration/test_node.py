"""A supervised node with the real programs: it starts, restarts, adopts and ends them."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest

from consul_kam.adapters import processes
from consul_kam.errors import ConsulKamError
from tests.lab import ConsulAgent, Fault, Lab, Node, Rpc, Unreachable, program, uris, wait_for
from tests.lab.engine import ROOT
from tests.lab.process import freeze
from tests.lab.world import BASE, empty, every_version, uri

PYTHON = (sys.executable, "-m", "consul_kam")


def register(consul: ConsulAgent, *numbers: int) -> None:
    for number in numbers:
        consul.register("router", f"r{number:02d}", port=BASE + number)


@pytest.fixture
def orphans() -> Iterator[None]:
    """Orphans become children of the tests, which reap none meanwhile [prctl(2), PR_SET_CHILD_SUBREAPER]."""
    libc, before = ctypes.CDLL(None), {child.pid for child in psutil.Process().children()}
    libc.prctl(36, 1)
    yield
    libc.prctl(36, 0)
    for child in psutil.Process().children():
        if child.pid not in before and child.status() == psutil.STATUS_ZOMBIE:
            child.wait(5)


def holds(node: Node, *numbers: int, timeout: float = 20.0) -> None:
    """Memory holds these routers, by the tests' own client."""
    rpc = Rpc(node.kamailio.ctl)

    def right() -> bool:
        try:
            return uris(rpc.dispatcher()) == [uri(number) for number in numbers]
        except (OSError, Unreachable, Fault):
            return False

    wait_for(f"routers {numbers} in memory", right, timeout, node.log, 0.02)


@every_version
def test_it_starts_its_programs_and_ends_them(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1, 2)
    node = lab.node(consul)
    node.ready()
    holds(node, 1, 2)
    register(consul, 3)
    holds(node, 1, 2, 3)
    kamailio, template = node.identity(), node.identity("consul-template")
    assert kamailio is not None
    assert template is not None
    assert node.stop() == 0
    assert processes.members(kamailio) == processes.members(template) == []


# ---- what dies comes back


def options_answered(node: Node) -> bool:
    return node.kamailio.answers_options()


@every_version
def test_when_kamailios_main_process_is_killed_its_workers_go_too(lab: Lab, consul: ConsulAgent) -> None:
    """They would go on answering SIP and RPC as before (kamailio-facts.md, 11)."""
    register(consul, 1, 2)
    node = lab.node(consul)
    node.ready()
    old = node.identity()
    assert old is not None
    workers = set(processes.members(old)) - {old.pid}
    os.kill(old.pid, signal.SIGKILL)
    new = node.runs(other_than=old.pid)
    assert workers
    assert not processes.members(old)
    told = Rpc(node.kamailio.ctl).call("core.psx")  # asked by the ctl socket, it is the new one's
    assert isinstance(told, list)
    assert {each["PID"] for each in told} & {old.pid, *workers} == set()
    node.ready()
    holds(node, 1, 2)
    assert options_answered(node)
    found = node.process()
    assert (found["pid"], found["restarts"]) == (new, 1)


def test_workers_that_outlived_both_are_ended_before_a_new_one_starts(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    old = node.identity()
    assert old is not None
    node.kill9()
    os.kill(old.pid, signal.SIGKILL)
    wait_for("the workers alone", lambda: not processes.alive(old), 20)
    assert processes.members(old)
    assert options_answered(node)
    node.start()
    node.ready()
    assert not processes.members(old)
    holds(node, 1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_consul_template_comes_back(lab: Lab, consul: ConsulAgent, number: int) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    old = node.pid_of("consul-template")
    os.kill(old, number)
    node.runs("consul-template", other_than=old)
    register(consul, 2)
    holds(node, 1, 2)


def test_a_killed_supervisor_loses_nothing_and_the_next_one_adopts(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    before = node.pid_of(), node.pid_of("consul-template")
    for number in range(2, 6):
        node.kill9()
        register(consul, number)
        assert options_answered(node)
        node.start()
        holds(node, *range(1, number + 1))
        node.ready()
        assert (node.pid_of(), node.pid_of("consul-template")) == before
        assert node.process()["adopted"]
    assert node.stop() == 0
    assert not options_answered(node)


def test_an_adopted_kamailio_that_nobody_reaps_does_not_keep_the_next_one_down(
    lab: Lab, consul: ConsulAgent, orphans: None
) -> None:
    """Its pid file names a zombie then, which Kamailio takes for a Kamailio that runs, and ends with 255."""
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    old = node.pid_of()
    node.kill9()
    node.start()
    node.runs()
    os.kill(old, signal.SIGKILL)
    node.runs(other_than=old)
    assert psutil.Process(old).status() == psutil.STATUS_ZOMBIE
    assert node.process()["restarts"] == 1
    holds(node, 1)


def test_a_stranger_with_the_number_of_ours_is_not_touched(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    node.stop()
    record = node.state / "kamailio" / "process"
    stranger = processes.spawn(["sleep", "300"], node.directory / "stranger", {"PATH": os.environ["PATH"]})
    lines = record.read_text().splitlines()
    fields = lines[1].rpartition(")")[2]
    record.write_text(f"{lines[0]}\n{stranger.pid} (sh){fields}\n{lines[2]}\n")  # its number, another start
    node.start()
    node.ready()
    assert processes.alive(stranger)
    assert node.pid_of() != stranger.pid
    processes.empty(stranger)


def test_a_second_supervisor_says_who_holds_the_place(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    code, said = processes.output(
        [*PYTHON, "run"], {**os.environ, "CONSUL_KAM_CONFIG": str(node.config), "PYTHONPATH": str(ROOT)}, 20
    )
    assert (code, len(said)) == (2, 1)
    assert str(node.pid) in said[0]
    node.ready()


# ---- configuration


def break_cfg(node: Node, text: str) -> str:
    """Adds a line to kamailio.cfg; returns the whole as it was."""
    before = node.kamailio.cfg.read_text()
    node.kamailio.cfg.write_text(before + text)
    return before


def test_a_configuration_that_is_wrong_is_told_and_nothing_is_ended(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    pid = node.pid_of()
    before = break_cfg(node, "bogus here\n")
    reply = node.ask("restart", 30.0, process="kamailio")
    lines = before.count("\n") + 1
    assert not reply["ok"]
    assert reply["error"].startswith(f"cannot restart kamailio: {node.kamailio.cfg}:{lines}:")
    assert node.pid_of() == pid
    os.kill(pid, signal.SIGKILL)
    node.runs(other_than=pid)
    assert "going on with the previous one" in node.logged("cannot use Kamailio's new configuration")
    node.kamailio.cfg.write_text(before)
    pid = node.pid_of()
    reply = node.ask("restart", 30.0)
    assert reply["ok"]
    assert reply["pid"] == node.pid_of() != pid


def test_a_configuration_that_does_not_come_up_gives_way_to_the_previous_one(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    break_cfg(node, 'loadmodule "not_on_this_disk.so"\n')  # kamailio -c says 0 to it, or it does not: a start ends
    break_cfg(node, 'modparam("dispatcher", "list_file", "/no/such/file")\n')
    reply = node.ask("restart", 40.0)
    assert not reply["ok"]
    node.runs()
    holds(node, 1)
    assert options_answered(node)


def test_sighup_reads_our_configuration_again_and_refuses_a_wrong_one(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    before = node.pid_of(), node.pid_of("consul-template")
    text = node.config.read_text()
    node.config.write_text(text.replace("verify_every = 30.0", "verify_every = 0"))
    node.hup()
    assert "verify_every: expected a number from 1, got 0" in node.logged("the configuration stays as it was")
    node.config.write_text(text.replace("verify_every = 30.0", "verify_every = 29").replace("node-", "renamed-"))
    node.hup()
    wait_for("the new configuration", lambda: _name(node).startswith("renamed-"), 15, node.log)
    node.ready()
    assert (node.pid_of(), node.pid_of("consul-template")) == before
    register(consul, 2)
    holds(node, 1, 2)


def test_another_list_wanted_is_rendered_after_sighup_and_by_the_next_supervisor(lab: Lab, consul: ConsulAgent) -> None:
    """consul-template reads its templates once: one that was adopted with others is started anew; Kamailio goes on."""
    register(consul, 1, 2)
    node = lab.node(consul, dispatcher='[[datasets.dispatcher.sets]]\nsetid = 1\nservice = "nobody"')
    node.ready()
    holds(node)
    kamailio, template = node.pid_of(), node.pid_of("consul-template")
    text = node.config.read_text()
    node.config.write_text(text.replace('"nobody"', '"router"'))
    node.hup()
    holds(node, 1, 2)
    template = node.runs("consul-template", other_than=template)
    node.kill9()
    node.config.write_text(text.replace('"nobody"', '"router"\nstatic = ["sip:127.0.0.1:9 0 1"]'))
    node.start()
    node.runs("consul-template", other_than=template)
    wait_for("the static one", lambda: "sip:127.0.0.1:9" in uris(Rpc(node.kamailio.ctl).dispatcher()), 20, node.log)
    assert node.pid_of() == kamailio


def test_what_ended_while_the_configuration_was_read_again_is_no_zombie(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    node = lab.node(consul)
    node.ready()
    old = node.identity("consul-template")
    assert old is not None
    freeze(node.pid)
    node.hup()
    os.kill(old.pid, signal.SIGKILL)
    os.kill(node.pid, signal.SIGCONT)
    node.runs("consul-template", other_than=old.pid)
    node.ready()
    wait_for("the zombie gone", lambda: not os.path.exists(f"/proc/{old.pid}"), 10)


def _name(node: Node) -> str:
    try:
        return str(node.ask("status")["node"]["name"])
    except ConsulKamError:
        return ""


def test_a_crash_loop_may_end_it_with_a_code_of_its_own(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1)
    loop = '[supervise]\non_crash_loop = "exit"\ncrash_limit = 2\nfirst = 0.05\n'
    node = lab.node(consul, more=loop)
    node.ready()
    for _ in range(3):
        pid = node.runs()
        os.kill(pid, signal.SIGKILL)
        wait_for("its end to be seen", lambda pid=pid: _pid(node) != pid, 10)  # type: ignore[misc]
    wait_for("the end of run", lambda: not node.alive(), 10)
    assert node.stop() == 75


def _pid(node: Node) -> int:
    """0 where nobody can say."""
    try:
        return int(node.process()["pid"] or 0)
    except ConsulKamError:
        return 0


# ---- boot without Consul


def test_without_consul_it_boots_on_the_last_known_good(lab: Lab) -> None:
    consul = lab.consul(persist=True)
    register(consul, 1, 2)
    node = lab.node(consul, node_lines="boot_timeout = 1")
    node.ready()
    node.stop()
    consul.stop()
    node.start()
    node.ready()
    holds(node, 1, 2)
    node.logged("Kamailio starts on the last known good lists")
    consul.start()
    empty(consul)  # the checks of an agent that was killed begin as critical, or it has forgotten its last moments
    register(consul, 1, 2, 3)
    holds(node, 1, 2, 3, timeout=30)


def test_without_consul_and_with_nothing_known_it_says_so_and_waits(lab: Lab) -> None:
    consul = lab.consul(persist=True)
    consul.stop()
    node = lab.node(consul, node_lines="boot_timeout = 0.5")
    assert "of dispatcher there is neither a last known good list" in node.logged("cannot start Kamailio")
    assert node.process()["state"] == "STOPPED"
    assert node.ask("status")["node"]["waits_for"].startswith("programs: a first list of dispatcher")
    consul.start()
    register(consul, 1)
    node.ready(timeout=40)
    holds(node, 1)


def test_without_consul_static_entries_will_do(lab: Lab) -> None:
    consul = lab.consul(persist=True)
    consul.stop()
    static = f'[[datasets.dispatcher.sets]]\nservice = "router"\nstatic = ["{uri(7)} 0 5"]\n'
    node = lab.node(consul, node_lines="boot_timeout = 0.5", dispatcher=static)
    node.runs()
    holds(node, 7)
    consul.start()
    register(consul, 1)
    holds(node, 1, 7, timeout=40)


# ---- what consul-template and resolvers do


def test_a_consul_template_that_ends_with_14_is_tried_again_and_costs_no_route(lab: Lab, consul: ConsulAgent) -> None:
    """As where a template's command fails [consul-template, cli.go: ExitCodeRunnerError]."""
    register(consul, 1)
    directory = lab.directory / "own"
    directory.mkdir()
    (directory / "x.ctmpl").write_text("x")
    own = directory / "own.hcl"
    own.write_text("")
    more = f'[consul_template]\npath = "{program("consul-template")}"\nconfig = "{own}"\n[supervise]\nfirst = 0.1\n'
    node = lab.node(consul, more=more)
    node.ready()
    holds(node, 1)
    stanza = f'template {{\n source = "{directory}/x.ctmpl"\n destination = "{directory}/x"\n command = ["false"]\n}}\n'
    own.write_text(stanza)
    pid = node.pid_of("consul-template")
    os.kill(pid, signal.SIGKILL)
    assert "exit code 14" in node.logged("exit code 14", 20)
    holds(node, 1)
    assert options_answered(node)
    own.write_text("")
    wait_for(
        "a consul-template that stays", lambda: node.process("consul-template")["state"] == "RUNNING", 30, node.log
    )
    register(consul, 2)
    holds(node, 1, 2, timeout=40)
