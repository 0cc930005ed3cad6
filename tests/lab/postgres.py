"""A real PostgreSQL on loopback, in a directory of its own, of Debian's package."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.lab.ports import free_port
from tests.lab.process import LabError, Process, Started, wait_for

LIBRARY = Path("/usr/lib/postgresql")
TABLES = Path("/usr/share/kamailio/postgres")
"""Kamailio's own table definitions (package kamailio-postgres-modules)."""
PASSWORD = "lab-superuser"
DATABASE = "kamailio"


class Postgres(Started):
    """`with Postgres(tmp_path) as db:`; a database `kamailio` with the tables `version` and `htable`. It refuses to run
    as root, so then it runs as its package's own user."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log, self.port = directory / "postgres.log", free_port()
        self._bin = _programs()
        self._home = Path(tempfile.mkdtemp(prefix="ck-pg-"))  # pytest's own directories are for nobody else
        self._as = _as_another() if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self._home, "postgres", "postgres")
        self._process: Process | None = None

    def start(self) -> Self:
        password = self._home / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        made = ["-D", self._home / "data", "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}", "-N"]
        self._run([*self._as, self._bin / "initdb", *made])
        settings = [
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self._home}",
            "fsync=off",
            "log_connections=on",
        ]
        options = [word for setting in settings for word in ("-c", setting)]
        argv = [*self._as, self._bin / "postgres", "-D", self._home / "data", "-p", str(self.port), *options]
        self._process = Process(argv, self.log)
        wait_for("PostgreSQL", self._answers, 40, self.log, every=0.05)
        self.ask(f"CREATE DATABASE {DATABASE}", database="postgres")
        for table in ("standard", "htable"):
            self.ask((TABLES / f"{table}-create.sql").read_text())
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(2)  # SIGINT: "fast shutdown"
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def admin(self) -> dict[str, str]:
        """For whoever makes users here: user name, password and place."""
        return {"username": "postgres", "password": PASSWORD, "place": f"127.0.0.1:{self.port}/{DATABASE}"}

    def url(self, user: str, password: str) -> str:
        """As Kamailio takes it."""
        return f"postgres://{user}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def ask(self, sql: str, user: str = "postgres", password: str = PASSWORD, database: str = DATABASE) -> list[str]:
        """The rows, their columns parted by |. LabError where it is refused."""
        done = self._psql(sql, user, password, database)
        if done.returncode:
            raise LabError(f"cannot ask PostgreSQL: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def refuses(self, user: str, password: str) -> str:
        """Why it lets nobody in by that name and password, or ""."""
        return self._psql("SELECT 1", user, password, DATABASE).stderr.strip()

    def entered(self) -> list[str]:
        """Who has connected to the database, in order."""
        return re.findall(rf"connection authorized: user=(\S+) database={DATABASE}\b", self.log.read_text())

    def _answers(self) -> bool:
        assert self._process is not None
        if not self._process.alive():
            raise LabError(f"cannot start PostgreSQL: it ended with {self._process.returncode()}, see {self.log}")
        return self._psql("SELECT 1", "postgres", PASSWORD, "postgres").returncode == 0

    def _psql(self, sql: str, user: str, password: str, database: str) -> "subprocess.CompletedProcess[str]":
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", database]
        argv = [self._bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where, "-f", "-"]
        env = {**os.environ, "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"}
        return subprocess.run(argv, input=sql, env=env, capture_output=True, text=True, check=False, timeout=30)

    def _run(self, argv: list[str | Path]) -> None:
        done = subprocess.run(argv, cwd=self._home, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise LabError(f"cannot run {argv}: {done.stderr}")


def _as_another() -> list[str | Path]:
    """The kernel forgets whom to end a process with when that becomes another user: so it is told once more."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "TERM", "--"]


def _programs() -> Path:
    found = sorted(LIBRARY.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise LabError("cannot find PostgreSQL: ./dev setup installs it")
    return found[-1].parent
