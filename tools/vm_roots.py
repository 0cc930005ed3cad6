"""A root file system of Debian with a kernel, for a machine of QEMU's: what tests/hosts/vm.py makes disks of.

    python -m tools.vm_roots [SUITE...]   makes what is not there yet; a line for each: suite, directory

As tools/host_roots.py, and kept beside it: the same packages and a kernel, the network of QEMU's user mode, sshd.
"""

import sys
from pathlib import Path

from tools import host_roots
from tools.kamailio_roots import RootError

SUITE = "bookworm"
PACKAGES = (*host_roots.PACKAGES, "linux-image-cloud-amd64", "initramfs-tools", "udev", "kmod", "zstd")
"""Without udev and kmod a boot waits for 90 s for its console."""
NETWORK = "[Match]\\nName=eth0\\n[Network]\\nAddress=10.0.2.15/24\\n"
AFTERWARDS = (
    *host_roots.AFTERWARDS,
    'chroot "$1" systemctl enable ssh.service systemd-networkd.service',
    f'printf "{NETWORK}" >"$1/etc/systemd/network/eth0.network"',
    'echo "/dev/vda / ext4 rw 0 1" >"$1/etc/fstab" && echo vm >"$1/etc/hostname"',
)


def of_suite(suite: str = SUITE) -> Path:
    """Its directory. Raises RootError where it is not there."""
    return host_roots.there(suite, "vm", PACKAGES, AFTERWARDS)


def main() -> None:
    try:
        for suite in sys.argv[1:] or (SUITE,):
            print(suite, host_roots.fetch(suite, "vm", PACKAGES, AFTERWARDS))
    except RootError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
