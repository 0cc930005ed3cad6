"""A root file system of each supported Debian, whole enough to boot its systemd: what tests/hosts clones.

    python tools/host_roots.py [SUITE...]   makes what is not there yet; a line for each: suite, directory

mmdebstrap makes it, as root, once; it is kept below ~/.cache/consul_kam/roots under a name that says what is in it, and
nothing ever writes there again: each host has an overlay of its own. apt proves every package by its signature.
"""

import hashlib
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.kamailio_roots import DEBIAN, RootError, keyring, mirror, roots, run

SUITES = tuple(DEBIAN.values())

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "iproute2", "netbase", "python3", "python3-venv", "kamailio"),
    *("openssh-server", "python3-apt", "rtpengine-daemon"),
)
"""netbase: without /etc/protocols Kamailio has no TCP. No procps, no sudo: a minimal Debian has none either.

The second line is for tests/ansible: what a machine has that Ansible reaches, and the third of the article's roles.
"""

UNREAD = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

# A host has no network but what a test gives it: without a name server a look-up fails at once. Services come enabled;
# which test starts them, and with what configuration, is the test's matter.
AFTERWARDS = (
    'chroot "$1" systemctl disable kamailio.service rtpengine-daemon.service ssh.service',
    'rm -f "$1/etc/resolv.conf" && echo "# no name server" >"$1/etc/resolv.conf"',
    'printf "127.0.0.1 localhost\\n::1 localhost\\n" >"$1/etc/hosts"',
    'chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer',
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin',
)


def of_suite(suite: str) -> Path:
    """Its directory. Raises RootError where it is not there."""
    return there(suite, "host", PACKAGES, AFTERWARDS)


def there(suite: str, kind: str, packages: tuple[str, ...], afterwards: tuple[str, ...]) -> Path:
    """As `of_suite`, of another recipe."""
    root = _root(suite, kind, packages, afterwards)
    if not root.exists():
        raise RootError(f"cannot find the root file system of Debian {suite} at {root}: ./dev setup makes it")
    return root


def fetch(
    suite: str, kind: str = "host", packages: tuple[str, ...] = PACKAGES, afterwards: tuple[str, ...] = AFTERWARDS
) -> Path:
    """As `there`, but what is not there is made first. Raises RootError."""
    root = _root(suite, kind, packages, afterwards)
    if not root.exists():
        if os.geteuid() != 0:
            raise RootError(f"cannot make the root file system of Debian {suite}: only root can; sudo ./dev setup")
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=root.parent) as scratch:
            made = _make(Path(scratch) / "root", suite, packages, afterwards)
            try:
                made.rename(root)
            except OSError:
                if not root.exists():  # else another run was first
                    raise
    return there(suite, kind, packages, afterwards)


def _root(suite: str, kind: str, packages: tuple[str, ...], afterwards: tuple[str, ...]) -> Path:
    """Its directory; another recipe or architecture has another."""
    if suite not in SUITES:
        raise RootError(f"cannot make a root file system of {suite!r}: known are {', '.join(SUITES)}")
    recipe = repr((suite, packages, UNREAD, afterwards, os.uname().machine))
    return roots() / f"{kind}-{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def _make(root: Path, suite: str, packages: tuple[str, ...], afterwards: tuple[str, ...]) -> Path:
    keys = [f"--keyring={found}"] if (found := keyring()) else []
    run(
        *("mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase", *keys),
        '--aptopt=Acquire::Languages "none"',
        "--aptopt=Acquire::Retries 3",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=APT::Sandbox::User "root"',  # _apt cannot read below a home directory
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNREAD),
        f"--include={','.join(packages)}",
        *(f"--customize-hook={command}" for command in afterwards),
        *(suite, root, f"deb {mirror()} {suite} main"),
    )
    return root


def main() -> None:
    wanted = sys.argv[1:] or SUITES
    try:
        # most of the time goes to the network
        with ThreadPoolExecutor(len(wanted)) as pool:
            for suite, root in zip(wanted, pool.map(fetch, wanted), strict=True):
                print(suite, root)
    except RootError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
