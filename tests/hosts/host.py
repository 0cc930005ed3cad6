"""A host with a real systemd: Debian in a container of systemd-nspawn, with a network of its own."""

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.hosts.cgroup import Cgroup
from tests.lab.process import LabError, Process, Started, program, tail, wait_for
from tools import host_roots
from tools.kamailio_roots import RootError

# The mount is in a namespace that ends with the host: nothing is left of it, however the host ends. nspawn stays in the
# control groups that it is started in (--keep-unit), and makes its own below them.
_BOOT = """\
set -e
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$MERGED"
for group in $CGROUPS; do echo $$ >"$group/cgroup.procs"; done
exec systemd-nspawn --boot --directory="$MERGED" --machine="$NAME" --register=no --keep-unit \\
  --resolv-conf=off --timezone=off --console=pipe "$@"
"""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Host(Started):
    """`with Host(tmp_path, "bookworm") as host: host.systemctl("start", "kamailio.service")`

    `below`: directories whose files it has besides Debian's, the uppermost first; only read. `binds`: files of
    this machine that it may read, by the path that they have there. `network`: the network namespace that it is
    in, as a file; by default one of its own, in which there is nothing.
    It keeps what is written until the directory goes: `stop` and `start` are a power cycle.
    """

    def __init__(
        self,
        directory: Path,
        suite: str,
        below: Sequence[Path] = (),
        binds: Mapping[Path, str] | None = None,
        network: str = "",
    ) -> None:
        if os.geteuid() != 0:
            raise LabError("cannot boot a host: only root can; run the tests as root")
        try:
            self._lower = [*below, host_roots.of_suite(suite)]
        except RootError as error:
            raise LabError(str(error)) from None
        self.suite, self.directory = suite, directory
        self.name = f"h{os.urandom(4).hex()}"
        self.console = directory / "console.log"
        self.upper = directory / "upper"
        self._options = [f"--bind-ro={source}:{path}" for source, path in (binds or {}).items()]
        self._options.append(f"--network-namespace-path={network}" if network else "--private-network")
        for name in ("upper", "work", "merged"):
            # it becomes / of the host, where users of its own want to enter
            (directory / name).mkdir(mode=0o755, parents=True)
            (directory / name).chmod(0o755)
        self._process: Process | None = None
        self._cgroup: Cgroup | None = None
        self.leader = 0

    def start(self, timeout: float = 60.0) -> Self:
        """Returns once its systemd has started all that it starts; LabError where a unit failed."""
        self._cgroup = Cgroup(self.name)
        env = {
            "LOWER": ":".join(map(str, self._lower)),
            "UPPER": str(self.upper),
            "WORK": str(self.directory / "work"),
            "MERGED": str(self.directory / "merged"),
            "CGROUPS": " ".join(map(str, self._cgroup.directories)),
            "NAME": self.name,
        }
        if self.suite != "bookworm":  # newer systemds know control groups v2 alone
            env["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
        for name in ("mount", "systemd-nspawn", "nsenter"):
            program(name)
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BOOT, "sh", *self._options]
        self._process = Process(argv, self.console, env=env)
        wait_for(f"the systemd of {self.name}", self._booted, timeout, self.console)
        state = self.run("systemctl", "is-system-running", "--wait", check=False, timeout=timeout).stdout.strip()
        if state != "running":
            failed = self.run("systemctl", "--failed", "--no-legend", "--plain", check=False).stdout
            raise LabError(f"cannot boot {self.name}: it is {state}\n{failed}{tail(self.console)}")
        return self

    def _booted(self) -> bool:
        assert self._process is not None
        if not self._process.alive():
            raise LabError(
                f"cannot boot {self.name}: nspawn ended with {self._process.returncode()}\n{tail(self.console)}"
            )
        self.leader = _leader(self._process.pid)
        if not self.leader:
            return False
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() not in ("", "offline", "unknown")

    def stop(self, timeout: float = 20.0) -> None:
        """Power it off; what does not end by itself is killed. Harmless when it is down."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM, timeout)
        if self._cgroup is not None:
            for pid in self._cgroup.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._cgroup.remove()
        self._process, self._cgroup, self.leader = None, None, 0

    def power_cut(self) -> None:
        """Everything in it dies at once."""
        assert self._process is not None
        os.kill(self.leader, signal.SIGKILL)
        self._process.wait(20)
        self.stop()

    def path(self, name: str | Path) -> Path:
        """A file of the running host, for us to read and write. An absolute symlink on the way leads astray."""
        return Path(f"/proc/{self.leader}/root") / str(name).lstrip("/")

    def write(self, name: str | Path, text: str, mode: int = 0o644) -> None:
        """A file of root's, with the directories above it."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def copy(self, source: Path, destination: str | Path) -> None:
        """A file or a whole tree, as root's, under this path."""
        target = self.path(destination)
        target.parent.mkdir(parents=True, exist_ok=True)
        argv = [program("cp"), "-r", "--no-preserve=ownership", "-T", source, target]
        subprocess.run(argv, check=True)

    def enter(self, *argv: str | Path, user: str = "") -> list[str]:
        """The command that runs `argv` in the host, from here; with an environment of its own."""
        prefix = ["runuser", "-u", user, "--"] if user else []
        inside = ["env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8", *prefix, *map(str, argv)]
        return [program("nsenter"), "--target", str(self.leader), "--all", *inside]

    def run(
        self,
        *argv: str | Path,
        check: bool = True,
        user: str = "",
        stdin: str | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the host, as root or `user`. LabError where it fails, unless `check` is False."""
        feed = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        command = self.enter(*argv, user=user)
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **feed)  # type: ignore[call-overload]
        if check and done.returncode:
            said = done.stdout + done.stderr
            raise LabError(f"cannot run {shlex.join(map(str, argv))} in {self.name}: {done.returncode}\n{said}")
        return done  # type: ignore[no-any-return]

    def systemctl(self, *words: str, check: bool = True, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", *words, check=check, timeout=timeout)

    def show(self, unit: str) -> dict[str, str]:
        """All properties of a unit, as systemd has them now."""
        lines = self.systemctl("show", unit).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def wait(self, unit: str, what: str, timeout: float = 30.0, **wanted: str) -> dict[str, str]:
        """Until the unit's properties are these: `host.wait("x.service", "failed", ActiveState="failed")`."""

        def look() -> bool:
            found.update(self.show(unit))
            return all(found.get(name) == value for name, value in wanted.items())

        found: dict[str, str] = {}
        try:
            wait_for(f"{unit} {what}", look, timeout, every=0.05)
        except LabError as error:
            seen = {name: found.get(name) for name in wanted}
            raise LabError(f"{error}: {seen}\n{self.journal(unit)}") from None
        return found

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit).stdout


def _leader(nspawn: int) -> int:
    """Its process 1, by our number; 0 before there is one."""
    for line in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{line}/status").read_text()
            (numbers,) = (each.split()[1:] for each in status.splitlines() if each.startswith("NSpid:"))
            if numbers[1:] == ["1"] and os.readlink(f"/proc/{line}/exe").endswith("systemd"):
                return int(line)
    return 0
