"""A password that Vault makes in a real PostgreSQL, and a Kamailio that reads its table there by it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Lab, Node, Rpc
from tests.lab.environment import environment, shown, until
from tests.lab.http import scrape, value
from tests.lab.ports import free_port
from tests.lab.postgres import Postgres
from tests.lab.process import wait_for
from tests.lab.secrets import Secrets
from tests.lab.vault import Vault
from tools import kamailio_roots

pytestmark = pytest.mark.vault
LEASE = 90
"""Seconds; its last third is enough for a rolling restart on a machine that is busy, or stands still for a while."""
QUICK = "[drain]\nquiet_for = 0.2\nannounce_max = 0.5\ndeadline = 2\non_stop = 'leave'\n"


@pytest.fixture
def vault(tmp_path: Path, postgres: Postgres) -> Iterator[Vault]:
    """Whose database engine makes users that may read."""
    with Vault(tmp_path / "vault") as started:
        started.database(postgres.admin, "kamailio", LEASE)
        started.policy("node", 'path "database/creds/kamailio" { capabilities = ["read"] }')
        yield started


def started(
    lab: Lab, consul: ConsulAgent, secrets: Secrets, vault: Vault, postgres: Postgres, lines: str = "", more: str = ""
) -> Node:
    """`lines`: of the secret `db`, by default of the database engine; `more`: of DBURL."""
    url = postgres.url("{username}", "{password}")
    lines = lines or f'kind = "database"\npath = "database/creds/kamailio"\ntext = "{url}"'
    more = f"""
{secrets.toml(vault, vault.token("node", period="1h"), db=lines)}
[env]
include = "{secrets.include}"
every = 0.2
[env.vars.DBURL]
value = "secret://db/text"
{more}
"""
    kamailio = {
        "version": kamailio_roots.own_version(),
        "globals": f'include_file "{secrets.include}"',
        "modparams": 'loadmodule "db_postgres.so"\nloadmodule "htable.so"\nloadmodule "cfg_rpc.so"\n'
        'modparam("htable", "db_url", DBURL)\nmodparam("htable", "htable", "numbers=>size=4;dbtable=htable;")',
    }
    listen = f"127.0.0.1:{free_port()}"
    return lab.node(consul, kamailio=kamailio, more=more + QUICK, registered=True, listen=listen)


def test_a_password_is_rotated_by_a_rolling_restart_before_its_lease_ends(
    secrets: Secrets, postgres: Postgres, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    node = started(lab, consul, secrets, vault, postgres)
    node.ready()
    assert shown(node, "one", "numbers") == "1", "by the user that Vault made"
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    pid, old = node.pid_of(), (secrets.read("db", "username"), secrets.read("db", "password"))
    assert set(postgres.entered()) - {"postgres"} == {old[0]}
    until(node, "restart needed", lambda: environment(node)["restart"] == ["DBURL"], 2 * LEASE)
    new = (secrets.read("db", "username"), secrets.read("db", "password"))
    assert new != old
    assert (postgres.refuses(*old), postgres.refuses(*new)) == ("", ""), "both are good now"
    assert node.pid_of() == pid, "nothing is restarted for it"
    within = environment(node)["restart_within"]
    assert 0 < within < LEASE
    found = scrape(node.listen or "")
    assert value(found, "consul_kam_environment_restart_variables") == 1
    assert 0 < (value(found, "consul_kam_environment_restart_seconds") or 0) < LEASE
    postgres.ask("INSERT INTO htable (key_name, key_value) VALUES ('two', '2')")
    argv = [sys.executable, "-m", "consul_kam", "status"]
    said = subprocess.run(argv, env={**os.environ, **node.env}, capture_output=True, text=True, check=False).stdout
    assert "environment: restart needed within " in said
    argv = [sys.executable, "-m", "consul_kam", "restart", "--rolling", "--force"]
    done = subprocess.run(argv, env={**os.environ, **node.env}, capture_output=True, text=True, check=False)
    assert "is back" in done.stdout, (done.stdout, done.stderr)
    assert postgres.refuses(*old) == "", "in time: its lease has not ended"
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])
    assert (shown(node, "one", "numbers"), shown(node, "two", "numbers")) == ("1", "2")
    wait_for("the old user gone", lambda: "role" in postgres.refuses(*old) or "auth" in postgres.refuses(*old), LEASE)
    postgres.ask("INSERT INTO htable (key_name, key_value) VALUES ('three', '3')")
    rpc = Rpc(node.kamailio.ctl)
    rpc.call("htable.reload", "numbers")
    rpc.close()
    assert shown(node, "three", "numbers") == "3"
    assert postgres.entered()[-1] == new[0]


def test_whose_lease_ended_unrestarted_is_told(
    secrets: Secrets, postgres: Postgres, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    vault.lease("kamailio", 12)
    node = started(lab, consul, secrets, vault, postgres)
    node.ready()
    pid = node.pid_of()
    until(node, "restart needed", lambda: environment(node)["restart"] == ["DBURL"])
    vault.lease("kamailio", 3600)  # what is renewed from now on lasts; Kamailio's own is not renewed any more
    node.logged("DBURL: Kamailio still uses what it was before; its lease has ended", LEASE)
    assert node.pid_of() == pid
    assert any("its lease has ended" in line for line in environment(node)["troubles"])
    # with one that lasts: another of 12 s would want another restart before all is well
    until(node, "one that lasts", lambda: node.ask("status")["node"]["secrets"]["secrets"][0]["expires_in"] > 60)
    node.restarts()
    until(node, "all well", lambda: environment(node)["restart"] == [] and environment(node)["troubles"] == [])


def test_a_password_of_every_character(
    secrets: Secrets, postgres: Postgres, vault: Vault, lab: Lab, consul: ConsulAgent
) -> None:
    """Kamailio decodes nothing, and takes all up to the last @ for the password."""
    password = "p@ss:w/r?d%41\"\\'#;!{}$ x" + "\u00e9"
    quoted = password.replace("'", "''")
    postgres.ask(f"CREATE ROLE odd LOGIN PASSWORD '{quoted}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO odd")
    vault.mount("kv-v2", "secret")
    vault.policy("node", 'path "secret/data/db" { capabilities = ["read"] }')
    vault.kv("db", {"username": "odd", "password": password})
    lines = f'kind = "kv"\npath = "secret/data/db"\ntext = "{postgres.url("{username}", "{password!raw}")}"'
    node = started(lab, consul, secrets, vault, postgres, lines, "dollar = true")
    node.ready()
    assert shown(node, "one", "numbers") == "1"
    assert set(postgres.entered()) - {"postgres"} == {"odd"}
