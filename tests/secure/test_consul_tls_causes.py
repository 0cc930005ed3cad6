"""Certificates that are wrong, Consul's and ours: one line says what, where and what to do; nothing else is said."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.identity import Files
from consul_kam.errors import ConsulError
from tests.integration.registering import Page
from tests.lab import Lab, program, wait_for
from tests.lab.engine import ROOT
from tests.lab.policies import rules, text
from tests.lab.secure import SecureCluster, SecureMember, replace, shipped
from tests.lab.secure_ca import LOCAL, Authority

DATE = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
RENEW = r"are the clocks right\? Else renew it: `consul tls cert create` and `consul reload` there"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureCluster]:
    with SecureCluster(tmp_path_factory.mktemp("secure")) as started:
        started.servers[0].register("router", "r1", port=5071)
        yield started


@pytest.fixture
def agent(cluster: SecureCluster) -> Iterator[SecureMember]:
    yield cluster.agent
    cluster.agent.identity.show(cluster.authority)
    cluster.agent.reload()


THEIRS = {
    "expired": ({"begins": -48.0, "ends": -1.0}, rf"of its certificate: it expired at {DATE}; {RENEW}"),
    "not valid yet": ({"begins": 24.0, "ends": 48.0}, rf"of its certificate: it is not valid before {DATE}; {RENEW}"),
    "another authority": ({}, r"its certificate is of no authority in \S+/us/ca.pem; \[consul\] ca_file has to hold "
    "the one that signed it"),
    "another name": ({"names": "DNS:consul.example.com"}, r"its certificate is for consul.example.com, not for "
    r"127.0.0.1; let \[consul\] address be a name that it has, or `consul tls cert create` and `consul reload` there"),
}  # fmt: skip


def break_theirs(cluster: SecureCluster, what: str, place: Path) -> None:
    authority = Authority(place / "other", "other") if what == "another authority" else cluster.authority
    cluster.agent.identity.put(authority.issue(place / "bad", **{"names": LOCAL, **THEIRS[what][0]}))  # type: ignore[arg-type]
    cluster.agent.reload()


def ours(cluster: SecureCluster, ca: str | None = None, files: Files | None = None, nobody: bool = False) -> Consul:
    mine = Files(*cluster.us.pair.names, "")
    authorities = str(cluster.us.ca) if ca is None else ca
    shown = None if nobody else (files or mine)._replace(ca=authorities)
    return Consul(cluster.agent.address, "", authorities, shown, deadline=20.0)


def trouble(consul: Consul) -> str:
    with pytest.raises(ConsulError) as caught:
        consul.get("/v1/status/leader")
    return str(caught.value)


@pytest.mark.parametrize("what", THEIRS)
def test_consuls_certificate(what: str, cluster: SecureCluster, agent: SecureMember, tmp_path: Path) -> None:
    assert ours(cluster).get("/v1/status/leader").code == 200
    break_theirs(cluster, what, tmp_path)
    assert re.fullmatch(f"cannot reach Consul at {agent.address}: {THEIRS[what][1]}", trouble(ours(cluster)))


@pytest.mark.parametrize("what", THEIRS)
def test_every_command_says_the_same_and_consul_template_too(
    what: str, cluster: SecureCluster, agent: SecureMember, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    replace(token, cluster.grant(f"causes-{what.replace(' ', '-')}", text(rules(shipped("sbc", "host1")))))
    config = tmp_path / "consul-kam.toml"
    config.write_text(
        f'[node]\nstate_dir = "{tmp_path}/state"\n[consul]\naddress = "{agent.address}"\n{cluster.consul_lines(token)}'
        f'[consul_template]\npath = "{program("consul-template")}"\n[env]\nlayers = ["c4/global"]\n'
        f'[datasets.dispatcher]\nfile = "{tmp_path}/dispatcher.list"\n'
    )
    break_theirs(cluster, what, tmp_path)
    for words in (["doctor"], ["env"], ["render", "--deadline", "10"]):
        env = {**os.environ, "CONSUL_KAM_CONFIG": str(config), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "consul_kam", *words], env=env, capture_output=True, text=True, timeout=90
        )
        said = done.stdout + done.stderr
        assert re.search(f"reach Consul at {agent.address}: {THEIRS[what][1]}", said), said
        assert "Traceback" not in said
        assert done.returncode != 0


def test_our_certificate(cluster: SecureCluster, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "other")
    issue = cluster.authority.issue
    end = r"; mend or renew what \[consul\] cert_file, key_file and ca_file name"
    reach = f"cannot reach Consul at {cluster.agent.address}: "
    old, early = issue(tmp_path / "old", begins=-48, ends=-1), issue(tmp_path / "early", begins=24, ends=48)
    strange, servers = other.issue(tmp_path / "strange"), issue(tmp_path / "servers", usage="serverAuth")
    cases = {
        Files(*old.names): f"cannot use the certificate {old.certificate}: it expired at {DATE}{end}",
        Files(*early.names): f"cannot use the certificate {early.certificate}: it is not valid before {DATE}{end}",
        Files(str(old.certificate), str(tmp_path / "no")): f"cannot read the key {tmp_path}/no: No such file.*{end}",
        Files(str(tmp_path / "no"), str(old.key)): f"cannot read the certificate {tmp_path}/no: No such file.*{end}",
        Files(str(servers.certificate), str(strange.key)): f"cannot use the key {strange.key}: it is not the key of "
        f"{servers.certificate}{end}",
        Files(
            *strange.names
        ): f"{reach}it does not know the authority of our certificate {strange.certificate}; it has "
        "to be of one in the ca_file there",
        Files(
            *servers.names
        ): f"{reach}it refuses our certificate {servers.certificate}; it has to be one for clients, "
        "of an authority in the ca_file there",
    }
    for files, expected in cases.items():
        found = trouble(ours(cluster, files=files))
        assert re.fullmatch(expected, found), found
    found = trouble(ours(cluster, nobody=True))
    assert found == f"{reach}it wants a certificate of ours; set [consul] cert_file and key_file"


def test_a_certificate_of_ours_that_expires_while_we_run(cluster: SecureCluster, tmp_path: Path) -> None:
    """Nothing but time passes: the one that we hold is the newest that ever fitted."""
    short = cluster.authority.issue(tmp_path / "short", ends=40 / 3600)
    consul = ours(cluster, files=Files(*short.names))
    assert consul.get("/v1/status/leader").code == 200
    pattern = f"cannot use the certificate {short.certificate}: it expired at {DATE}; mend or renew what"

    def said() -> bool:
        consul._client.http.session.close()  # an agent asks for it when a connection begins
        try:
            consul.get("/v1/status/leader")
        except ConsulError as error:
            return re.search(pattern, str(error)) is not None
        return False

    wait_for("it to be said", said, 90)


@pytest.mark.parametrize("alone", [False, True])
def test_our_authorities(alone: bool, cluster: SecureCluster, tmp_path: Path) -> None:
    """`alone`: without a certificate of ours."""
    other = Authority(tmp_path / "other", "other")
    garbage = tmp_path / "garbage"
    garbage.write_text("no certificate")
    cases = {
        str(
            tmp_path / "no"
        ): f"cannot read the authorities {tmp_path}/no: No such file or directory; mend or renew what",
        str(garbage): f"cannot use the authorities {garbage}: there is no BEGIN CERTIFICATE in it; mend or renew what",
        str(
            other.certificate
        ): f"its certificate is of no authority in {other.certificate}; [consul] ca_file has to hold",
        "": "its certificate is of no authority that this system trusts; set [consul] ca_file",
    }
    for ca, expected in cases.items():
        found = trouble(ours(cluster, ca=ca, nobody=alone))
        assert expected in found, found
        assert found.startswith("cannot ")


def test_plain_where_tls_is_spoken_and_the_other_way_round(cluster: SecureCluster) -> None:
    plain = cluster.agent.address.replace("https:", "http:")
    assert trouble(Consul(plain)).endswith("an HTTPS server.; let [consul] address begin with https://")
    page = Page()
    found = trouble(Consul(page.url.replace("http:", "https:").removesuffix("/status"), "", str(cluster.us.ca)))
    assert found.endswith("it speaks no TLS there; is it http://, or another port?")
    page.close()


def test_consul_template_is_not_started_with_files_that_it_would_end_over(
    cluster: SecureCluster, tmp_path: Path
) -> None:
    token, ca = tmp_path / "token", tmp_path / "ca.pem"
    replace(token, cluster.token("agent"))
    lines = cluster.consul_lines(token).replace(str(cluster.us.ca), str(ca))
    with Lab(tmp_path / "lab") as lab:
        node = lab.node(cluster.agent, consul_lines=lines)
        said = (
            f"cannot start consul-template: cannot read the authorities {ca}: No such file or directory; mend or renew"
        )
        wait_for("its reason", lambda: said in node.process("consul-template")["reason"], 30, node.log)
        assert "Traceback" not in node.log.read_text()
        replace(ca, cluster.us.ca.read_text())
        node.runs("consul-template", timeout=60)


def test_a_node_that_runs_says_it_once_keeps_its_list_and_is_well_again(
    cluster: SecureCluster, agent: SecureMember, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    replace(token, cluster.grant("causes", text(rules(shipped("sbc", "host1")))))
    with Lab(tmp_path / "lab") as lab:
        node = lab.node(agent, registered=True, consul_lines=cluster.consul_lines(token))
        node.ready()
        node.wait("its router", lambda status: status["memory"]["records"] == 1)
        break_theirs(cluster, "expired", tmp_path)
        agent.stop()  # what is open already, stays
        agent.spawn()

        def registration() -> str:
            return str(node.ask("status")["node"]["registration"]["trouble"])

        wait_for("trouble", lambda: "of its certificate: it expired at" in registration(), 60, node.log)
        assert node.status()["memory"]["records"] == 1
        words = registration()
        assert "it expired at" in words

        def said() -> list[str]:
            return [line for line in node.log.read_text().splitlines() if words in line and "probe" not in line]

        wait_for("its line", said, 20, node.log)
        assert len(said()) == 1
        assert "Traceback" not in node.log.read_text()
        agent.identity.show(cluster.authority)
        agent.reload()
        wait_for("no trouble", lambda: registration() == "", 60, node.log)
