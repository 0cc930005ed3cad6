"""A machine of QEMU's, emulated: what a container does not enforce is enforced in it. Slow; no /dev/kvm."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.lab.ports import free_port
from tests.lab.process import LabError, Process, Started, program, wait_for
from tools import vm_roots
from tools.kamailio_roots import RootError

_DISK = """\
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
truncate -s 3G "$5"
exec mkfs.ext4 -q -d "$4" "$5"
"""


class Vm(Started):
    """`with Vm(tmp_path) as vm: vm.run("uname", "-r")`: Debian with sshd on a loopback port of ours, and no way out.

    `files`: of this machine, by the path that they have there.
    """

    def __init__(self, directory: Path, files: Mapping[Path, str], suite: str = vm_roots.SUITE) -> None:
        self.directory, self.port = directory, free_port()
        self.key, self.console = directory / "key", directory / "console.log"
        try:
            self._root = vm_roots.of_suite(suite)
        except RootError as error:
            raise LabError(str(error)) from None
        for name in ("upper/root/.ssh", "work", "merged"):
            (directory / name).mkdir(parents=True)
        subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        (directory / "upper/root").chmod(0o700)
        (directory / "upper/root/.ssh/authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        for source, path in files.items():
            target = directory / "upper" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([program("cp"), source, target], check=True)
        self._process: Process | None = None

    @property
    def ssh(self) -> list[str]:
        """Options that reach it; port, address and user are in them."""
        known = f"UserKnownHostsFile={self.directory / 'known_hosts'}"
        return ["-i", str(self.key), "-o", known, "-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=20"]

    def start(self, timeout: float = 240.0) -> Self:
        """Returns once sshd answers."""
        disk = self.directory / "disk.img"
        places = [self._root, *(self.directory / name for name in ("upper", "work", "merged")), disk]
        make = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _DISK, "sh", *map(str, places)]
        subprocess.run(make, check=True, capture_output=True, timeout=300)
        (kernel,), (initrd,) = self._root.glob("boot/vmlinuz-*"), self._root.glob("boot/initrd.img-*")
        argv: list[str | Path] = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024"]
        argv += ["-cpu", "max", "-display", "none", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd]
        argv += ["-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet"]
        argv += ["-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"]
        # restrict: what is in there reaches nobody, not even us
        argv += ["-nic", f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        self._process = Process(argv, self.console)
        self.wait(timeout)
        return self

    def wait(self, timeout: float = 240.0) -> None:
        """Until somebody can log in."""
        wait_for("sshd of the machine", lambda: self.run("true", check=False) is not None, timeout, self.console, 1)

    def run(self, *argv: str, check: bool = True, timeout: float = 120.0) -> str | None:
        """What it printed; without `check` None where it failed."""
        line = " ".join(argv)
        command = [program("ssh"), *self.ssh, "-p", str(self.port), "root@127.0.0.1", line]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode == 0:
            return done.stdout
        if check:
            raise LabError(f"cannot run {line}: {done.returncode}\n{done.stdout}{done.stderr}")
        return None

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(timeout=10)
