"""Two engines, each with a Kamailio of its own, that name one directory for the certificate. Needs no Kamailio."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import wait_for
from tests.lab.engine import ROOT
from tests.lab.tls import Authority, Issued

ENGINE = [sys.executable, "-m", "consul_kam", "--config"]


def laid_out(directory: Path, table: str) -> Path:
    """Its configuration."""
    directory.mkdir()
    config = directory / "consul-kam.toml"
    config.write_text(
        f'[node]\nstate_dir = "{directory}/state"\n[http]\nlisten = ""\n'
        f'[kamailio]\nmode = "attach"\nrpc = "unix:{directory}/ctl"\n'
        f'[consul_template]\nmode = "attach"\n[datasets.dispatcher]\nfile = "{directory}/dispatcher.list"\n{table}'
    )
    return config


@contextmanager
def runs(config: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = config.with_name("log")
    with log.open("wb") as file, subprocess.Popen([*ENGINE, str(config), "run"], stderr=file, cwd=ROOT) as process:
        try:
            yield process, log
        finally:
            process.kill()


def refused(config: Path, tls: Path) -> None:
    ended = subprocess.run(
        [*ENGINE, str(config), "run"], capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
    )
    assert f"cannot use [kamailio.tls] directory {tls}: another engine already keeps it" in ended.stderr
    assert ended.returncode == 2


def test_the_second_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    issued = Issued(tmp_path / "issued" / "sip", Authority(tmp_path / "ca"))
    issued.renew()
    table = f'[kamailio.tls]\n{issued.lines}\ndirectory = "{tls}"\nconnect = "127.0.0.1:1"\n'
    one, other = laid_out(tmp_path / "one", table), laid_out(tmp_path / "other", table)
    with runs(one) as (process, log):
        wait_for("a first certificate", (tls / "tls.cfg").exists, 20, log)
        before = (tls / "tls.cfg").read_text()
        refused(other, tls)
        one.write_text(one.read_text() + 'clients = "no"\n')
        os.kill(process.pid, signal.SIGHUP)
        wait_for("it read again", lambda: "configuration read again" in log.read_text(), 20, log)
        wait_for("the new one", lambda: log.read_text().count("cannot reach Kamailio at unix:") >= 2, 20, log)
        refused(other, tls)
        assert (tls / "tls.cfg").read_text() == before
        assert process.poll() is None
    with runs(other) as (_, log):
        wait_for("an engine", (other.parent / "state" / "control.sock").exists, 20, log)
