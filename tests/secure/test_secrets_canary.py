"""Every secret is a canary, and is found nowhere: in no argument, journal, log, output, page, core or environment of a
process that does not need it. The controls show that the search finds one that is there."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.lab import ConsulAgent, Lab, Node, uris
from tests.lab.canary import Canary, lying
from tests.lab.environment import environment, shown, until
from tests.lab.http import get, post
from tests.lab.ports import free_port
from tests.lab.postgres import Postgres
from tests.lab.process import wait_for
from tests.lab.secrets import Secrets
from tests.lab.vault import Vault
from tests.lab.world import uri
from tools import kamailio_roots

LEAST = """
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
service "sbc" { policy = "write" }
"""
RIGHTS = """
path "secret/data/*" { capabilities = ["read"] }
path "database/creds/kamailio" { capabilities = ["read"] }
path "pki/issue/kamailio" { capabilities = ["update"] }
"""
PAGE = "canary-page-token-%d-0123456789"
LIVE = "canary-live-%d-0123456789"
COMMANDS = (
    ["config", "show"],
    ["config", "show", "--json"],
    ["status"],
    ["status", "--json"],
    ["ps", "--json"],
    ["secrets"],
    ["secrets", "--json"],
    ["env"],
    ["env", "--json"],
    ["env", "diff"],
    ["env", "diff", "--json"],
    ["doctor"],
    ["doctor", "--json"],
    ["history"],
    ["journal"],
    ["diff"],
    ["render"],
    ["--debug", "render", "--program", "/nonexistent"],
    ["explain", "sip:127.0.0.1:5060"],
    ["templates", "list"],
)


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[ConsulAgent]:
    with ConsulAgent(tmp_path / "consul", acl=True) as started:
        yield started


@pytest.fixture
def vault(tmp_path: Path, postgres: Postgres) -> Iterator[Vault]:
    with Vault(tmp_path / "vault") as started:
        started.mount("kv-v2", "secret")
        started.pki()
        started.database(postgres.admin, "kamailio", 3600)
        started.auth("approle")
        started.policy("node", RIGHTS)
        yield started


def toml(secrets: Secrets, vault: Vault, postgres: Postgres) -> str:
    """All kinds, an AppRole, and each way in which a secret is used."""
    role, secret = vault.approle("node", "node")
    for name, text in (("role-id", role), ("secret-id", secret)):
        (secrets.beside / name).touch(0o600)
        (secrets.beside / name).write_text(text)
    return f"""
[vault]
address = "{vault.address}"
ca_file = "{vault.ca_file}"
directory = "{secrets.directory}"
[vault.auth]
method = "approle"
role_id_file = "{secrets.beside}/role-id"
secret_id_file = "{secrets.beside}/secret-id"
[vault.secrets.consul]
kind = "kv"
path = "secret/data/consul"
every = 0.5
[vault.secrets.page]
kind = "kv"
path = "secret/data/page"
every = 0.5
[vault.secrets.db]
kind = "database"
path = "database/creds/kamailio"
text = "{postgres.url("{username}", "{password}")}"
[vault.secrets.tls]
kind = "pki"
path = "pki/issue/kamailio"
common_name = "sbc-1"
[env]
include = "{secrets.include}"
every = 0.2
[env.vars.DBURL]
value = "secret://db/text"
[env.vars.LIVE]
value = "secret://page/live"
change = "htable"
[registration]
every = 0.2
ttl = 3
[supervise]
first = 0.2
longest = 1
"""


def started(secrets: Secrets, vault: Vault, postgres: Postgres, lab: Lab, consul: ConsulAgent) -> Node:
    """In a directory of its own, in which a core would be, and as long as it likes."""
    kamailio = {
        "version": kamailio_roots.own_version(),
        "globals": f'include_file "{secrets.include}"',
        "modparams": 'loadmodule "db_postgres.so"\nloadmodule "htable.so"\nloadmodule "cfg_rpc.so"\n'
        'modparam("htable", "db_url", DBURL)\nmodparam("htable", "htable", "numbers=>size=4;dbtable=htable;")\n'
        'modparam("htable", "htable", "consul_kam_env=>size=4;")',
    }
    cores = lab.directory / "cores"
    cores.mkdir()
    wrapper = ["/bin/sh", "-c", f'cd {cores} && ulimit -c unlimited && exec "$@"', "sh"]
    node = lab.node(
        consul,
        kamailio=kamailio,
        more=toml(secrets, vault, postgres),
        start=False,
        wrapper=wrapper,
        listen=f"127.0.0.1:{free_port()}",
        dispatcher="max_shrink = 0.9",
        env={"PYTHONFAULTHANDLER": "1"},
    )
    text = node.config.read_text().replace("[consul]\n", '[consul]\ntoken_file = "secret://consul/token"\n')
    node.config.write_text(text.replace("[http]\n", '[http]\ntoken_file = "secret://page/token"\n'))
    node.start()
    node.ready(60)
    return node


def cli(node: Node, *words: str) -> str:
    argv = [sys.executable, "-m", "consul_kam", *words]
    done = subprocess.run(argv, env={**os.environ, **node.env}, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout or done.stderr, words
    return done.stdout + done.stderr


def parts(secrets: Secrets) -> dict[str, bytes]:
    """Every secret that there is, wherever it lies; not what is no secret (certificates, who logs in)."""
    return lying(
        secrets.beside,
        ("token", "password", "text", "live", "key.pem", "secret-id"),
        lambda path: path.name if path.name != "token" else f"{path.parent.name.split('.')[1]} token",
    )


@pytest.mark.vault
def test_no_secret_is_found_anywhere(
    secrets: Secrets, consul: ConsulAgent, postgres: Postgres, vault: Vault, lab: Lab
) -> None:
    tokens = [consul.create_token(LEAST) for _ in range(3)]

    def rotate(number: int) -> None:
        vault.kv("page", {"token": PAGE % number, "live": LIVE % number})
        vault.kv("consul", {"token": tokens[number]})

    rotate(0)
    consul.register("router", "r01", port=int(uri(1).rpartition(":")[2]))
    with Canary(lambda: parts(secrets)) as canary:
        node = started(secrets, vault, postgres, lab, consul)
        listen, cores = node.listen or "", lab.directory / "cores"
        seen = lab.sampler(node.kamailio)
        seen.wait_until(lambda memory: uris(memory) == [uri(1)], 30)
        expected = {"page token", "consul token", "password", "text", "live", "key.pem", "secret-id", "Vault token"}
        wait_for("all of them known", lambda: canary.names == expected, 20)
        found: list[str] = []
        assert post(listen, "/", token=PAGE % 0, do="resume dispatcher")[0] == 303
        for number in (1, 2):
            before = node.pid_of("consul-template")
            rotate(number)
            until(node, "LIVE", lambda number=number: shown(node, "LIVE", "consul_kam_env") == LIVE % number)
            node.runs("consul-template", other_than=before)
        assert post(listen, "/", token=PAGE % 2, do="pause dispatcher")[0] == 303, "the page follows its token too"
        assert post(listen, "/", token=PAGE % 1, do="pause dispatcher")[0] == 403
        assert cli(node, "resume")
        vault.seal()  # what it says when it cannot go on
        node.logged("sealed", 60)
        vault.unseal()
        vault.kv("consul", {"token": "canary-two-0123456789\ncanary-lines-0123456789"})
        node.logged("cannot use the token file", 30)
        rotate(2)
        for path in ("/", "/metrics", "/readyz", "/livez"):
            found += canary.said(path, get(listen, path)[1])
        for words in COMMANDS:
            found += canary.said(" ".join(words), cli(node, *words))
        restart(node)
        pid, place = node.pid_of(), Path(psutil.Process(node.pid_of()).cwd())
        before = set(place.glob("core*"))
        psutil.Process(pid).send_signal(signal.SIGABRT)
        node.runs(other_than=pid)
        assert set(place.glob("core*")) == before
        # a database that refuses, and whatever each says as it dies
        postgres.stop()
        node.ask("restart", 60.0)
        node.logged("failed to connect to the database", 60)
        crash(node)
        assert found == []
        found = canary.files(node.state, lab.directory, but=[vault.directory])
        assert [path.name for path in cores.iterdir()] == []
        assert found == []
    assert canary.seen == set()
    assert {"kamailio", "consul-template", "python"} <= {name.rstrip("0123456789.") for name in canary.processes}


def restart(node: Node) -> None:
    pid = node.pid_of()
    node.restarts()
    node.runs(other_than=pid)
    until(node, "nothing waits", lambda: environment(node)["restart"] == [])


def crash(node: Node) -> None:
    """SIGABRT: what faulthandler says of our threads is in the log, and a core would be where it can be found.

    consul-template lets no signal end it so; Kamailio is tried where it runs.
    """
    psutil.Process(node.pid).send_signal(signal.SIGABRT)
    psutil.Process(node.pid).wait(30)
    assert "Fatal Python error: Aborted" in node.log.read_text()


def test_the_search_would_find_one(tmp_path: Path) -> None:
    """Each place that the search looks at, with a canary in it."""
    secret = b"canary-of-the-control:0123456789"
    with Canary(lambda: {"it": secret, "short": b"short"}) as canary:
        assert canary.names == {"it"}
        texts = {
            "plain": b"x" + secret + b"y",
            "percent": b"canary-of-the-control%3A0123456789",
            "base64": b"Y2FuYXJ5LW9mLXRoZS1jb250cm9sOjAxMjM0NTY3ODk=",
        }
        for name, text in texts.items():
            (tmp_path / name).write_bytes(text)
            assert canary.said(name, text) == [f"it in {name}"]
            assert canary.files(tmp_path, but=[tmp_path / other for other in texts if other != name])
        assert canary.files(tmp_path, but=[tmp_path]) == []
        for words, env, file in (([secret.decode()], {}, "cmdline"), ([], {"X": secret.decode()}, "environ")):
            argv = [sys.executable, "-c", "import time; time.sleep(600)", *words]
            with subprocess.Popen(argv, env={**os.environ, **env}) as process:
                try:
                    wait_for(file, lambda file=file: any(f"it in {file} of" in line for line in canary.seen), 60)
                finally:
                    process.kill()


def test_a_core_would_hold_one(tmp_path: Path) -> None:
    """What the same crash leaves of a program that does not forbid it: the search finds the canary there."""
    secret = b"canary-of-the-core:0123456789"
    code = "import os, sys; kept = sys.stdin.read(); {}os.abort()"
    forbid = "from consul_kam.adapters import dumps; dumps.refuse(); "
    for name, prelude, expected in (("dumps", "", 1), ("refuses", forbid, 0)):
        place = tmp_path / name
        place.mkdir()
        subprocess.run(
            [sys.executable, "-c", code.format(prelude)],
            cwd=place,
            input=secret,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2),
        )
        with Canary(lambda: {"it": secret}) as canary:
            assert len(canary.files(place)) == expected * kept_beside()


def kept_beside() -> int:
    """1 where the kernel leaves a core in the directory of whoever died; 0 where it gives it to somebody else."""
    return int(not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")))
