"""Hosts with sshd, and the machine from which Ansible reaches them: a namespace without a way out."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.ansible.fleet.network import Namespace, Network
from tests.hosts.host import Host
from tests.lab.process import LabError, program

REPO = Path(__file__).parents[3]
CONTROLLER = "192.0.2.1"
ADDRESSES = {
    **{f"sbc{number}": f"192.0.2.1{number}" for number in (1, 2)},
    **{f"router{number}": f"192.0.2.2{number}" for number in (1, 2, 3)},
    **{f"rtp{number}": f"192.0.2.3{number}" for number in (1, 2)},
    **{f"consul{number}": f"192.0.2.4{number}" for number in (1, 2, 3)},
    "carrier": "192.0.2.50",
    "gateway": "192.0.2.51",
    "caller": "192.0.2.52",
}
"""As ansible/inventories has them; what comes last is no host of Ansible's."""


class Machine:
    """A host by its name in the inventory, in a namespace that outlasts its reboots; root's ssh key is `key`."""

    def __init__(
        self,
        directory: Path,
        network: Network,
        name: str,
        suite: str,
        key: Path | None,
        below: Sequence[Path],
        binds: Mapping[Path, str],
    ) -> None:
        self.name, self.address = name, ADDRESSES[name]
        self.namespace = network.add(name, self.address)
        self.host = Host(directory / name, suite, below, binds, self.namespace.path)
        self._key = key

    def start(self) -> Self:
        # in the overlay before the boot: the host's own name is what Consul calls it
        (self.host.upper / "etc").mkdir(exist_ok=True)
        (self.host.upper / "etc/hostname").write_text(f"{self.name}\n")
        self.host.start()
        self.host.run("hostname", self.name)
        if self._key is not None:
            self.host.path("/root/.ssh").mkdir(mode=0o700, exist_ok=True)
            self.host.write("/root/.ssh/authorized_keys", self._key.with_suffix(".pub").read_text(), 0o600)
            self.host.systemctl("enable", "--now", "ssh.service")
        return self

    def run(self, *argv: str | Path, check: bool = True, timeout: float = 60.0) -> str:
        return self.host.run(*argv, check=check, timeout=timeout).stdout


class Site:
    """`with Site(tmp_path, "bookworm") as site: site.boot("sbc1", "router1"); site.play("site.yml", "-i", inventory)`

    Ansible works on a copy of `ansible/` beside one of `examples/`, as a clone of the repository has them: `site.tree`.
    """

    def __init__(self, directory: Path, suite: str) -> None:
        self.directory, self.suite = directory, suite
        self.machines: dict[str, Machine] = {}
        self._stack = ExitStack()
        self.network = self._stack.enter_context(Network(directory / "net"))
        self.controller: Namespace = self.network.add("controller", CONTROLLER)
        self.tree = directory / "tree"
        for name in ("ansible", "examples"):
            shutil.copytree(REPO / name, self.tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        self.home = directory / "home"
        (self.home / ".ssh").mkdir(mode=0o700, parents=True)
        self.key = self.home / ".ssh" / "id_ed25519"
        self._run = Path(tempfile.mkdtemp(prefix="ck-"))  # ssh's control sockets: their paths have to be short
        self._stack.callback(shutil.rmtree, self._run, ignore_errors=True)
        (self.home / "bin").mkdir()
        # ssh asks the user database for a home, not the environment
        (self.home / "bin/ssh").write_text(f'#!/bin/sh\nexec {program("ssh")} -F {self.home}/.ssh/config "$@"\n')
        (self.home / "bin/ssh").chmod(0o755)
        (self.home / ".ssh/config").write_text(
            f"User root\nIdentityFile {self.key}\nUserKnownHostsFile {self.home}/.ssh/known_hosts\n"
            "StrictHostKeyChecking accept-new\n"
        )
        keygen = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
        subprocess.run(keygen, check=True, timeout=30)

    def boot(
        self, *names: str, key: bool = True, kept: Mapping[str, Path] | None = None, programs: bool = True
    ) -> None:
        """Debian before Ansible was ever there; with `programs` consul and consul-template are in /usr/local/bin.

        With `kept`: as they were when that was kept. `key`: whether Ansible may enter.
        """
        there = ("consul", "consul-template") if programs else ()
        binds = {Path(program(name)): f"/usr/local/bin/{name}" for name in there}
        place = self.directory / "hosts"
        for name in names:
            with_key = self.key if key else None
            below = [kept[name]] if kept is not None else []
            made = Machine(place, self.network, name, self.suite, with_key, below, binds)
            self._stack.callback(made.host.stop)
            self.machines[name] = made.start()

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def typed(self, line: str) -> subprocess.Popen[str]:
        """A line of shell, typed in `ansible/` on the controller; both streams come by `stdout`. It ends with us."""
        env = {
            "HOME": str(self.home),
            "PATH": f"{self.home}/bin:{ansible()}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._run),
            "ANSIBLE_NOCOLOR": "1",
        }
        argv = [program("setpriv"), "--pdeathsig", "TERM", *self.controller.enter("bash", "-ec", line)]
        made = subprocess.Popen(
            argv,
            cwd=self.tree / "ansible",
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(made.kill)
        return made

    def shell(self, line: str, timeout: float = 900.0, check: bool = True) -> str:
        """What such a line said; LabError where it failed, unless `check` is False."""
        return self.ended(self.typed(line), timeout, check)

    def ended(self, typed: subprocess.Popen[str], timeout: float = 900.0, check: bool = True) -> str:
        said, _ = typed.communicate(timeout=timeout)
        with (self.directory / "ansible.log").open("a") as log:
            log.write(f"$ {typed.args!r}\n{said}\n")
        if check and typed.returncode:
            raise LabError(f"cannot run {typed.args!r}: {typed.returncode}\n{said[-8000:]}")
        return said

    def play(self, playbook: str, *words: str, check: bool = True, timeout: float = 1200.0) -> str:
        """What ansible-playbook said, as `shell`."""
        return self.shell(f"ansible-playbook {playbook} {shlex.join(words)}", timeout, check)

    def keep(self) -> dict[str, Path]:
        """Power off; what each host has on its disk by now, for `boot` of another site."""
        for machine in self.machines.values():
            machine.host.stop()
            shutil.rmtree(machine.host.upper / "var/log/journal", ignore_errors=True)
        return {name: machine.host.upper for name, machine in self.machines.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def ansible() -> Path:
    """The directory of ansible-playbook."""
    return Path(os.environ.get("CONSUL_KAM_ANSIBLE") or REPO / ".venv" / "ansible") / "bin"
