"""Kamailio's certificate with the shipped units: two users, one key, and Kamailio's unit knows nothing of us."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.host import Host
from tests.hosts.node import lay_out, start_consul, told, wait_for_kamailio
from tests.lab import VERSIONS, wait_for
from tests.lab.kamailio import find
from tests.lab.tls import Authority, fingerprint
from tools.host_roots import SUITES

pytestmark = pytest.mark.slow
CFG = """
enable_tls=yes
listen=tls:127.0.0.1:5061
loadmodule "tls.so"
modparam("tls", "config", "/run/consul_kam/kamailio-tls/tls.cfg")
"""
TOML = """
[kamailio.tls]
cert_file = "/etc/consul_kam/sip/cert.pem"
key_file = "/etc/consul_kam/sip/key.pem"
user = "kamailio"
every = 2
gap = 1
"""
KEPT = "/run/consul_kam/kamailio-tls"


@pytest.fixture
def node(host: Host, suite: str) -> Host:
    """Debian's module tls is in a package of its own; Kamailio's unit is on, and ends while there is no tls.cfg."""
    lay_out(host)
    module = find(VERSIONS[SUITES.index(suite)]).modules / "tls.so"
    host.copy(module, f"/usr/lib/x86_64-linux-gnu/kamailio/modules/{module.name}")
    for path, more in (("/etc/kamailio/sbc.cfg", CFG), ("/etc/consul_kam/consul-kam.toml", TOML)):
        host.write(path, host.path(path).read_text() + more)
    start_consul(host)
    return host


def issue(host: Host, authority: Authority, directory: Path) -> str:
    """Root's certificate, of which consul_kam reads a copy."""
    certificate, key = authority.issue(directory, "IP:127.0.0.1")
    host.run("mkdir", "-p", "/etc/consul_kam/sip")
    for path, mode in ((certificate, 0o644), (key, 0o600)):
        host.write(f"/etc/consul_kam/sip/{path.name}", path.read_text(), mode)
        host.run("chown", "consul_kam", f"/etc/consul_kam/sip/{path.name}")
    return fingerprint(certificate.read_text())


def certificate(host: Host) -> dict[str, Any]:
    return dict((told(host, "status").get("node") or {}).get("certificates", [{}])[0])


def proves(host: Host, wanted: str) -> None:
    def look() -> bool:
        found = certificate(host)
        return found.get("fingerprint") == wanted and not found["trouble"]

    try:
        wait_for("the certificate", look, 60, every=0.5)
    except AssertionError as error:
        said = "\n".join(host.journal(unit)[-2500:] for unit in ("consul-kam.service", "kamailio.service"))
        raise AssertionError(f"{error}\n{json.dumps(certificate(host))}\n{said}") from None


def test_a_certificate_reaches_kamailio_and_its_key_nobody_else(node: Host, suite: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    first = issue(node, authority, tmp_path / "one")
    node.systemctl("start", "kamailio.service", check=False)
    node.systemctl("start", "consul-kam.service", check=False)
    wait_for_kamailio(node, 60)
    proves(node, first)
    key = node.run("sh", "-c", f"ls {KEPT}/*/key.pem").stdout.strip()
    assert node.run("cat", key, user="kamailio").stdout.startswith("-----BEGIN")
    assert node.run("sh", "-c", f"echo x >>{key}", user="kamailio", check=False).returncode != 0
    for command in (["cat", key], ["ls", KEPT]):
        assert node.run(*command, user="nobody", check=False).returncode != 0
        member = ["setpriv", "--reuid=nobody", "--regid=kamailio", "--clear-groups"]
        assert node.run(*member, *command, check=False).returncode != 0
    second = issue(node, authority, tmp_path / "two")
    if suite == SUITES[0]:  # 5.6.3
        wait_for("a word", lambda: certificate(node)["restart"], 30, every=0.5)
        assert certificate(node)["fingerprint"] == first
        node.systemctl("restart", "kamailio.service")
    proves(node, second)
