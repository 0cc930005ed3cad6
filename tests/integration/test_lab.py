"""The lab's own smoke tests: the plain pipeline (no consul_kam) moves a router from Consul into Kamailio's memory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import (
    VERSIONS,
    Destination,
    Fault,
    Kamailio,
    Lab,
    LabError,
    Rpc,
    Sampler,
    Unreachable,
    program,
    uris,
    wait_for,
)
from tests.lab.kamailio import DOMAIN_HEADER, RTPENGINE_HEADER
from tools import kamailio_roots

ARTICLE = '{{range service "router"}}1 sip:{{.Address}}:{{.Port}} 16 10\n{{end}}'


def test_plain_pipeline_moves_a_router_into_memory(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        consul, kam, uas = lab.consul(), lab.kamailio(reload_delta=0), lab.uas()
        template = tmp_path / "dispatcher-list.tpl"
        template.write_text(ARTICLE)
        seen = lab.sampler(kam)
        reload = ["kamcmd", "-s", f"unix:{kam.ctl}", "dispatcher.reload"]
        lab.consul_template(consul, [(template, kam.list_file, reload)])
        consul.register("router", "r1", port=uas.port)
        seen.wait_until(lambda memory: uris(memory) == [uas.uri], 10)
        assert kam.rpc.dispatcher() == {1: [Destination(uas.uri, "AX", 10, "")]}
        calls = lab.sipp(kam, rate=20, calls=20).wait(30)
        assert (calls.successful, calls.failed, uas.calls) == (20, 0, 20)
        consul.deregister("r1")
        seen.wait_until(lambda memory: not uris(memory), 10)
        assert seen.never(lambda memory: 2 in memory)


def test_who_saw_nothing_cannot_say_what_never_was(tmp_path: Path) -> None:
    with Sampler(tmp_path / "no-ctl", Rpc.dispatcher) as seen:
        wait_for("a few looks", lambda: seen.samples > 3, 20)
        with pytest.raises(LabError, match="nothing was seen of it"):
            seen.never(lambda memory: True)


def test_kamailio_restarts_and_dies_with_its_group(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        kam = lab.kamailio(domain=True, rtpengine=True)
        first = kam.pid
        assert kam.restart().pid != first
        with pytest.raises(Fault, match="No Destination Sets"):
            kam.rpc.call("dispatcher.list")
        assert (kam.rpc.dispatcher(), kam.rpc.domains(), kam.rpc.rtpengines()) == ({}, [], [])
        kam.kill9()
        assert not kam.alive()
        assert not kam.answers_options()
        with pytest.raises(Unreachable):
            kam.rpc.call("core.uptime")


def test_the_independent_reader_sees_each_table(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        kam = lab.kamailio(domain=True, rtpengine=True)
        (kam.dbtext / "domain").write_text(DOMAIN_HEADER + "1:a.example:x\\:y:0\n")
        (kam.dbtext / "rtpengine").write_text(RTPENGINE_HEADER + "1:3:udp\\:127.0.0.1\\:9:4:1:0\n")
        kam.list_file.write_text("2 sip:10.0.0.1:5060 9 7 duid=a\n2 sip:10.0.0.2:5060\n")
        kam.restart()
        assert kam.rpc.domains() == [("a.example", "x:y")]
        assert kam.rpc.rtpengines() == [(3, "udp:127.0.0.1:9", 4, "1(permanent)")]
        expected = [Destination("sip:10.0.0.1:5060", "IP", 7, "duid=a"), Destination("sip:10.0.0.2:5060", "AX", 0, "")]
        assert kam.rpc.dispatcher() == {2: expected}


def test_consul_keeps_its_data_where_asked_and_obeys_acl(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        consul = lab.consul(acl=True, persist=True)
        consul.register("router", "r1", meta={"a": "b"}, weights=7)
        consul.kv_put("routers/x", "y")
        token = consul.create_token('service_prefix "" { policy = "read" }')
        consul.stop()
        consul.start()
        assert consul.request("GET", "/v1/kv/routers/x?raw")[1] == "y"
        assert consul.request("GET", "/v1/kv/routers/x?raw", token=token)[0] == 403
        consul.maintenance("r1")
        consul.set_status("r1", "critical")
        assert consul.ask("GET", "/v1/health/service/router?passing") == []


def test_children_die_with_a_killed_test_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.lab import Lab\n"
        "lab = Lab(Path(sys.argv[1])).__enter__(); kam = lab.kamailio()\n"
        "print(kam.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(5)
    parent.stdout.close()
    wait_for("the group's end", lambda: not _group_exists(child), 10)


def _group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_missing_program_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError, match="cannot find the program 'kamailio'"):
        program("kamailio")


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_of_kamailio_starts_from_its_own_files(tmp_path: Path, version: str) -> None:
    with Lab(tmp_path, version) as lab:
        kam = lab.kamailio(reload_delta=0)
        (said,) = kam.rpc.call("core.version")
        assert f" {version} (" in str(said)
        kam.list_file.write_text("1 sip:10.0.0.1\n")
        shown = subprocess.run(
            [kam.found.kamcmd, "-s", f"unix:{kam.ctl}", "dispatcher.reload"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
        assert shown.stdout == "Ok. Dispatcher successfully reloaded.\n"
        modules = {line.split()[-1] for line in Path(f"/proc/{kam.pid}/maps").read_text().splitlines() if ".so" in line}
        assert any(path.startswith(f"{kam.found.modules}/dispatcher.so") for path in modules)


def test_a_version_that_is_not_there_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    other = next(version for version in VERSIONS if version != kamailio_roots.own_version())
    with pytest.raises(LabError, match=f"cannot find Kamailio {other} below {tmp_path}/.*: ./dev setup fetches it"):
        Kamailio(tmp_path, version=other)
    with pytest.raises(LabError, match=r"cannot start Kamailio 4\.4: known are 5\.6\.3, 6\.0\.1"):
        Kamailio(tmp_path, version="4.4")
