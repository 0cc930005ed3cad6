"""`consul-kam doctor` on real Kamailios: the shipped examples are clean, and what is not is named with its cure."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from consul_kam.app.running import running_of
from consul_kam.config import load
from tests.integration.test_node_resolver import network as network
from tests.lab import VERSIONS, ConsulAgent, Kamailio, Lab
from tests.lab.engine import ROOT
from tests.lab.example import Example
from tests.lab.kamailio import DOMAIN_HEADER
from tests.lab.world import World

GRAVE = ("error", "warning")
DOMAIN = '[datasets.domain]\nfile = "{dbtext}/domain"\n[[datasets.domain.sets]]\nservice = "sbc"\n'
RTPENGINE = '[datasets.rtpengine]\nfile = "{dbtext}/rtpengine"\n[[datasets.rtpengine.sets]]\nservice = "rtp"\n'


class Doctor:
    """`text`: consul-kam.toml beside [node] state_dir; LIVE and DBTEXT are the Kamailio's."""

    def __init__(self, directory: Path, kam: Kamailio, text: str, consul: str = "127.0.0.1:1") -> None:
        self.wrapper: tuple[str, ...] = ()
        self.state = directory / "state"
        (self.state / "staging").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state.chmod(0o700)
        self.config = directory / "consul-kam.toml"
        filled = text.replace("{live}", str(kam.live)).replace("{dbtext}", str(kam.dbtext))
        self.config.write_text(f'{filled}\n[node]\nstate_dir = "{self.state}"\n[consul]\naddress = "{consul}"\n')

    def says(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        done = self.run(*arguments, "--json")
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)["found"]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "CONSUL_KAM_CONFIG": str(self.config), "PYTHONPATH": str(ROOT)}
        argv = [*self.wrapper, sys.executable, "-m", "consul_kam", "doctor", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env)

    def names(self, *arguments: str) -> set[str]:
        return {each["trap"] for each in self.says(*arguments)[1]}


def config(kam: Kamailio, more: str = "", probing: bool = True) -> str:
    return (
        f'[kamailio]\nrpc = "unix:{kam.ctl}"\nprobing = {str(probing).lower()}\n'
        f'[datasets.dispatcher]\nfile = "{{live}}/dispatcher.list"\n{more}'
    )


@contextmanager
def example(directory: Path, role: str, version: str, define: str = "", ng: int = 0) -> Iterator[Example]:
    setid = {"sbc": 1, "router": 2}[role]
    (directory / role).mkdir()
    with Lab(directory), Example(directory / role, role, version, [f"{setid} sip:192.0.2.7 0 10"], define, ng) as kam:
        yield kam


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("role", ["sbc", "router"])
def test_the_shipped_examples_are_clean(tmp_path: Path, consul: ConsulAgent, role: str, version: str) -> None:
    consul.register("router", "r1")
    define = "#!define WITH_RTPENGINE\n#!define PING_EVERY 600" if role == "router" else ""
    with example(tmp_path, role, version, define, ng=9 if role == "router" else 0) as kam:
        more = DOMAIN + (RTPENGINE if role == "router" else "")
        doctor = Doctor(tmp_path, kam, config(kam, more), consul.address)
        code, found = doctor.says()
        assert [each for each in found if each["severity"] in GRAVE] == []
        assert code == 0
        shown = doctor.run()
        assert (shown.returncode, shown.stderr) == (0, "")


def test_what_is_taken_out_of_an_example_is_named(tmp_path: Path) -> None:
    with example(tmp_path, "sbc", "") as kam:
        doctor = Doctor(tmp_path, kam, config(kam, DOMAIN))
        common = kam.directory / "common.cfg"
        whole = common.read_text()
        for old, new, trap in (
            ('modparam("db_text", "db_mode", 1)', "", "db_mode"),
            ('modparam("dispatcher", "flags", 2)', "", "failover_flag"),
            ('"408|500|503"', '"408|500"', "no_503"),
            ('modparam("dispatcher", "ds_ping_interval", PING_EVERY)', "", "no_probing"),
            ("tcp_accept_no_cl=yes", "", "http_no_length"),
            ('modparam("domain", "register_myself", 0)', 'modparam("domain", "register_myself", 1)', "domain_myself"),
            ('#!trydef ALGORITHM "8"', '#!define ALGORITHM "9"', "algorithm_9"),
        ):
            assert old in whole
            common.write_text(whole.replace(old, new))
            os.utime(common, (time.time() + 60, time.time() + 60))
            named = doctor.names()
            assert trap in named, (trap, named)
            assert "cfg_newer" in named
        common.write_text(whole)


def test_a_lab_kamailio_with_many_of_them(lab: Lab, tmp_path: Path) -> None:
    route = """request_route { if (is_method("OPTIONS")) { sl_send_reply("200", "Keepalive"); exit; }
  if (!ds_is_from_list("1", "4")) exit; ds_select_dst("1", "10"); t_relay(); }
failure_route[X] { if (t_check_status("408|500")) ds_next_dst(); }"""
    kam = lab.kamailio(
        db_mode=0, domain=True, route=route, reload_delta=0, fr_timer=40_000,
        globals="use_dst_blocklist=yes", modparams='modparam("tm", "blst_503", 60)',
    )  # fmt: skip
    lines = [f"1 sip:192.0.2.7:5061;transport=tls 0 {n}" for n in (9, 10)]
    kam.list_file.write_text("\n".join([*lines, "1 sip:[2001:db8::1]:5060 0 10\n"]))
    (kam.dbtext / "domain").write_text(f"{DOMAIN_HEADER}1:127.0.0.1:127.0.0.1:0")
    text = config(kam, DOMAIN).replace("[datasets.dispatcher]", "min_gap = 0.0\n[datasets.dispatcher]")
    doctor = Doctor(tmp_path, kam, text)
    code, found = doctor.says()
    assert code == 1
    assert {each["trap"] for each in found} >= {
        "db_mode", "from_list_mode", "algorithm_10", "no_503", "blocklist", "tls_missing", "no_probing",
        "probing_untold", "slow_peers", "tm_remap_503_500", "live_twice", "min_gap", "no_dialog", "table_cut",
    }  # fmt: skip
    assert [each["severity"] for each in found] == sorted(
        (each["severity"] for each in found), key=["error", "warning", "note"].index
    )
    assert 'cure: modparam("db_text", "db_mode", 1)' in doctor.run().stdout


def test_kamailio_away_and_a_cfg_that_is_named(lab: Lab, tmp_path: Path) -> None:
    kam = lab.kamailio(db_mode=0, domain=True)
    doctor = Doctor(tmp_path, kam, config(kam, DOMAIN))
    kam.stop()
    named = doctor.names("--cfg", str(kam.cfg))
    assert {"rpc_unreachable", "db_mode", "consul_unreachable"} <= named
    assert "cfg_unread" in doctor.names("--cfg", str(tmp_path / "none.cfg"))


def test_the_articles_own_pipeline(lab: Lab, tmp_path: Path) -> None:
    kam = lab.kamailio()
    doctor = Doctor(tmp_path, kam, config(kam))
    template = tmp_path / "dispatcher-list.tpl"
    template.write_text('{{ range service "router" }}1 sip:{{ .Address }}:{{ .Port }} 16 10\n{{ end }}')
    hcl = tmp_path / "consul-template.hcl"
    hcl.write_text(
        f'template {{\n source = "{template}"\n destination = "{kam.list_file}"\n'
        ' command = "kamcmd dispatcher.reload"\n}\n'
    )
    named = doctor.names("--consul-template", str(hcl))
    assert {"unprotected", "template_kamcmd", "template_retries", "template_not_ours", "template_missing"} <= named
    hcl.write_text("template {")
    assert "template_unread" in doctor.names("--consul-template", str(hcl))


def test_fix_mends_our_own_files_only(lab: Lab, tmp_path: Path) -> None:
    kam = lab.kamailio(domain=True)
    doctor = Doctor(tmp_path, kam, config(kam, DOMAIN))
    left = doctor.state / "scratch-left"
    left.mkdir()
    (left / "dispatcher").write_text("x")
    os.utime(left, (1, 1))
    doctor.state.chmod(0o770)
    (kam.dbtext / "version").unlink()
    (kam.dbtext / "domain_attrs").unlink()
    cfg = kam.cfg.read_bytes()
    ours = {"scratch_left", "state_open", "table_version", "table_beside"}
    assert doctor.names() >= ours
    _, found = doctor.says("--fix")
    assert {each["trap"] for each in found if each["fixed"].startswith("done")} == ours
    assert not doctor.names() & ours
    assert doctor.state.stat().st_mode & 0o777 == 0o750
    assert not left.exists()
    assert kam.cfg.read_bytes() == cfg
    kam.restart()


def test_the_engine_that_runs_is_not_another_one(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    world = World(lab, consul)
    world.add(1)
    world.expect(1)
    world.rest()
    argv = [sys.executable, "-m", "consul_kam", "doctor", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, **world.engine.env})
    assert "several_engines" not in {each["trap"] for each in json.loads(done.stdout)["found"]}
    doctor = Doctor(tmp_path, world.kam, config(world.kam))
    _, found = doctor.says()
    (other,) = [each for each in found if each["trap"] == "several_engines"]
    assert other["sentence"].startswith(f"process {world.engine.pid} holds the lock")


def test_a_resolver_that_does_not_answer(lab: Lab, network: str, tmp_path: Path) -> None:
    """In a network of its own; Kamailio's ctl is a file."""
    kam = lab.kamailio()
    cfg = tmp_path / "other.cfg"
    cfg.write_text(kam.cfg.read_text().replace("rev_dns=no", ""))
    doctor = Doctor(tmp_path, kam, config(kam))
    assert "dead_resolver" not in doctor.names("--cfg", str(cfg))
    doctor.wrapper = ("ip", "netns", "exec", network)
    assert "dead_resolver" in doctor.names("--cfg", str(cfg))
    assert "dead_resolver" not in doctor.names()


def test_what_consul_says(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul(acl=True)
    consul.register_raw({"Name": "router", "ID": "r1", "Address": "127.0.0.1", "Port": 5060})
    kam = lab.kamailio()
    doctor = Doctor(tmp_path, kam, config(kam), consul.address)
    text = doctor.config.read_text()
    for rules, trap in (
        ('service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }', "no_check"),
        ('agent_prefix "" { policy = "read" }', "acl_filtered"),
    ):
        file = tmp_path / trap
        file.write_text(consul.create_token(rules))
        file.chmod(0o600)
        doctor.config.write_text(f'{text}token_file = "{file}"\n')
        assert doctor.names() & {"no_check", "acl_filtered", "consul_unreachable"} == {trap}


def test_a_node_that_drains(lab: Lab, tmp_path: Path) -> None:
    with example(tmp_path, "sbc", "") as kam:
        doctor = Doctor(tmp_path, kam, config(kam).replace("[kamailio]", '[kamailio]\nmode = "attach"'))
        doctor.config.write_text(f"{doctor.config.read_text()}[drain]\nquiet_for = 0.1\n")
        role = doctor.config.read_text().replace("[node]", '[node]\nrole = "sbc"\nname = "sbc-1"')
        watched = {"drain_table", "no_dialog", "slow_peers"}
        assert (doctor.names() & watched) == {"slow_peers"}, "by what [drain] says"
        doctor.config.write_text(role)
        assert doctor.names() & watched == {"slow_peers"}
        running, _ = running_of(load(str(doctor.config), {}))
        assert running is not None
        assert running.htables == {"consul_kam"}
    bare = lab.kamailio()
    doctor.config.write_text(role.replace(str(kam.ctl), str(bare.ctl)))
    assert doctor.names() & watched == watched
    assert "drain_table" in doctor.names("--cfg", str(kam.cfg)), "what runs counts, not what is written"


def test_lines_that_kamailio_takes_for_others(lab: Lab, tmp_path: Path) -> None:
    kam = lab.kamailio()
    kam.list_file.write_text("99999999999 sip:192.0.2.1 0 10\n1 sip:192.0.2.2 0 10\n")
    doctor = Doctor(tmp_path, kam, config(kam))
    (found,) = [each for each in doctor.says()[1] if each["trap"] == "live_bad"]
    assert found["sentence"].startswith(f"cannot use {kam.list_file}:1:1: setid")
