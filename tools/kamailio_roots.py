"""Kamailio as each supported Debian ships it, side by side on one machine.

    python tools/kamailio_roots.py [VERSION...]   fetches what is not there yet; a line for each: version, kamailio

This machine's own Kamailio is used where it is the version that is wanted. Of another Debian we unpack Kamailio's
packages and all they need below ~/.cache/consul_kam/roots and start it by the loader and the libraries of that Debian:
no chroot, no root's rights, the same files and sockets as everybody else. apt proves every package by its signature.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

DEBIAN = {"5.6.3": "bookworm", "6.0.1": "trixie"}
"""The versions that consul_kam is tested with, and the Debian release that each comes from."""

PACKAGES = ("kamailio", "kamailio-tls-modules")
KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"

# %s: the multiarch name. The loader is called by its real path: /lib64 holds a link that leads out of the root.
STARTER = """\
#!/bin/sh
# {program} of Debian {suite}, by its own loader and libraries.
root=$(dirname "$(dirname "$(readlink -f "$0")")")
libraries=$root/usr/lib/{arch}:$root/usr/lib/{arch}/kamailio:$root/lib/{arch}
exec "$root/{loader}" --library-path "$libraries" --argv0 {program} "$root/usr/sbin/{program}" "$@"
"""


class Kamailio(NamedTuple):
    """How to start one version: the programs, and the directory of the modules (`mpath`)."""

    version: str
    kamailio: Path
    kamcmd: Path
    modules: Path


class RootError(Exception):
    """A root that cannot be made or is not there; one line that says what to do."""


def of_version(version: str) -> Kamailio:
    """Where this version is: the machine's own, or one that was fetched. Raises RootError where it is neither."""
    if version not in DEBIAN and version != own_version():
        raise RootError(f"cannot start Kamailio {version}: known are {', '.join(DEBIAN)}")
    if not version:
        raise RootError("cannot find a kamailio that starts: ./dev setup installs it")
    if version == own_version():
        return _own()
    root = _root(version)
    if not (root / "bin" / "kamailio").exists():
        raise RootError(f"cannot find Kamailio {version} below {root}: ./dev setup fetches it")
    (modules,) = root.glob("usr/lib/*/kamailio/modules")
    return Kamailio(version, root / "bin" / "kamailio", root / "bin" / "kamcmd", modules)


@cache
def own_version() -> str:
    """The version of the machine's own Kamailio, "" where there is none."""
    program = _program("kamailio")
    return _version(program) if program is not None else ""


def fetch(version: str) -> Kamailio:
    """As `of_version`, but what is not there is fetched and unpacked first. Raises RootError."""
    root = _root(version)
    if version != own_version() and not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=root.parent) as scratch:
            made = _make(Path(scratch), version)
            try:
                made.rename(root)
            except OSError:
                if not root.exists():  # else another run was first
                    raise
    return of_version(version)


def _own() -> Kamailio:
    kamailio, kamcmd = _program("kamailio"), _program("kamcmd")
    modules = next(Path("/usr/lib").glob("*/kamailio/modules"), None)
    if kamailio is None or kamcmd is None or modules is None:
        raise RootError("cannot find kamailio, kamcmd and their modules: ./dev setup installs them")
    return Kamailio(own_version(), kamailio, kamcmd, modules)


def _program(name: str) -> Path | None:
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    return Path(found) if found else None


def _version(program: Path) -> str:
    """As `kamailio -v` says it, "" where it does not run."""
    said = subprocess.run([program, "-v"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = re.match(r"version: kamailio (\S+)", said.stdout)
    return found[1] if found else ""


def _root(version: str) -> Path:
    """Its directory; another recipe or architecture has another."""
    recipe = repr((DEBIAN[version], PACKAGES, STARTER, os.uname().machine))
    key = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return roots() / f"kamailio-{version}-{key}"


def roots() -> Path:
    """Where root file systems are kept."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "consul_kam" / "roots"


def _make(scratch: Path, version: str) -> Path:
    suite, root = DEBIAN[version], scratch / "root"
    for package in _download(scratch, suite):
        run("dpkg-deb", "-x", package, root)
    (loader,) = {path.resolve() for path in root.glob("**/*-linux-*/ld-linux-*.so.*")}
    (root / "bin").mkdir(exist_ok=True)
    for program in ("kamailio", "kamcmd"):
        starter = root / "bin" / program
        text = {"program": program, "suite": suite, "arch": loader.parent.name, "loader": loader.relative_to(root)}
        starter.write_text(STARTER.format(**text))
        starter.chmod(0o755)
    found = _version(root / "bin" / "kamailio")
    if found != version:
        raise RootError(f"cannot get Kamailio {version}: Debian {suite} holds {found or 'one that does not start'}")
    return root


def _download(scratch: Path, suite: str) -> list[Path]:
    """The packages and all they depend on, as .deb files: apt believes that nothing is installed here."""
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (scratch / directory).mkdir(parents=True)
    (scratch / "status").touch()
    arch = run("dpkg", "--print-architecture").strip()
    signed = f" signed-by={found}" if (found := keyring()) else ""
    (scratch / "sources.list").write_text(f"deb [arch={arch}{signed}] {mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": scratch / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": scratch / "state",
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "Dir::Cache::archives": scratch / "cache" / "archives",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # _apt cannot read below a home directory
        "Debug::NoLocking": 1,
    }
    apt = ["apt-get", "-q", "-y", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    run(*apt, "update")
    run(*apt, "--download-only", "install", *PACKAGES)
    return sorted((scratch / "cache" / "archives").glob("*.deb"))


def keyring() -> Path | None:
    """Debian's keys of all its releases; None where this machine has none."""
    return next((path for name in KEYRINGS if (path := Path("/usr/share/keyrings") / name).exists()), None)


def mirror() -> str:
    """The mirror that this machine takes Debian from; where its lists are not fetched yet, Debian's own."""
    try:
        said = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian")
    except RootError:
        said = ""
    return next(iter(said.split()), MIRROR)


def run(*argv: object) -> str:
    """Its output. Raises RootError with the last lines where it fails."""
    words = list(map(str, argv))
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise RootError(f"cannot run {words[0]} {words[-1]}: it ended with {done.returncode}: {said}")
    return done.stdout


def main() -> None:
    for version in sys.argv[1:] or DEBIAN:
        try:
            found = fetch(version)
        except RootError as error:
            sys.exit(str(error))
        print(found.version, found.kamailio)


if __name__ == "__main__":
    main()
