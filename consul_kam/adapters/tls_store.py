"""What Kamailio reads: `tls.cfg`, and a directory of its own for each certificate, which never changes.

Kamailio opens the files that tls.cfg names once for each of its processes, one after the other: behind a path that is
swapped meanwhile some would get one certificate and some another [tls_domain.c, load_cert and load_private_key].
"""

import contextlib
import errno
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from consul_kam.adapters import files, grant, trust
from consul_kam.adapters.directory_lock import DirectoryLock
from consul_kam.adapters.identity import Identity
from consul_kam.adapters.memory import in_memory
from consul_kam.core.certificate import Certificate, NoCertificate, blocks, read
from consul_kam.errors import ConfigError

CFG, PROVEN, WRITTEN = "tls.cfg", "proven", "written"
"""The last two begin with a digest: of what Kamailio was seen to show; of what tls.cfg names, and which Kamailio ran
then."""
CERTIFICATE, KEY, AUTHORITIES = "certificate.pem", "key.pem", "ca.pem"
_COPY = re.compile(r"\.?[0-9a-f]{16}")
_NAMED = re.compile(r'^\s*certificate\s*=\s*"?([^"\n]+)', re.MULTILINE)
_FILES = {made for name in (CFG, PROVEN, WRITTEN) for made in (name, f".{name}.consul-kam")}


class TlsStore:
    """One thread's own. Methods raise OSError; `prepare`, `make` and `hold` ConfigError too."""

    def __init__(self, directory: Path, user: str) -> None:
        self.directory, self._user = directory, user
        self._reader: int | None = None

    def prepare(self) -> None:
        """Make the directory, ours alone but for Kamailio's user, who may be another one than before."""
        self._reader = grant.user_id(self._user)
        self.make()
        grant.allow(self.directory, self._reader, grant.PASS, own=7)
        for place in self.directory.iterdir():
            self._share(place)

    def make(self) -> None:
        """Where it is missing; what somebody else keeps is left alone."""
        trust.make_directory(self.directory, 0o700)
        trust.refuse_open("[kamailio.tls] directory", self.directory)
        for place in sorted(self.directory.iterdir()):
            if place.is_symlink() or not (_is_copy(place) or (place.name in _FILES and place.is_file())):
                where = f"cannot use [kamailio.tls] directory {self.directory}"
                raise ConfigError(f"{where}: {place.name} in it is not ours; choose a directory for this alone")

    def hold(self) -> DirectoryLock:
        """No other engine keeps it until this is released. Raises ConfigError where one does."""
        self.make()
        return DirectoryLock(self.directory, "[kamailio.tls] directory")

    def put(self, identity: Identity, source: str) -> None:
        """Its directory DIGEST, complete from the moment that it is there. `source`: where its key came from."""
        place = self.directory / identity.digest
        if place.is_dir():
            return
        if in_memory(Path(source)) and not in_memory(self.directory):
            raise OSError(errno.EINVAL, "it is no tmpfs, and the key comes from one", str(self.directory))
        making = self.directory / f".{identity.digest}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(0o700)
        for name, data in ((CERTIFICATE, identity.certificate), (KEY, identity.key), (AUTHORITIES, identity.ca)):
            files.write_atomic(making / name, data, 0o600)
        self._share(making)
        making.rename(place)

    def read(self, name: str) -> str:
        """CFG, PROVEN or WRITTEN, "" where it is not there or not readable."""
        try:
            return files.read_regular(self.directory / name).decode("utf-8", "replace")
        except OSError:
            return ""

    def write(self, name: str, content: str) -> None:
        """`content` "": away with it."""
        if content:
            files.write_atomic(self.directory / name, content.encode(), 0o600)
            self._share(self.directory / name)
        else:
            (self.directory / name).unlink(missing_ok=True)

    def shows(self, leaf: Certificate, cfg: str) -> bool:
        """Whether who has what `cfg` names, a tls.cfg, or what was proven last, shows that certificate too. The same
        one may be there with another chain or other authorities, and a handshake does not tell these apart.
        """
        proven = self.proven
        named = [match[1] for match in _NAMED.finditer(cfg)] + (
            [str(self.directory / proven / CERTIFICATE)] * bool(proven)
        )
        return any(_leaf(Path(path)) in (leaf, None) for path in named)

    @property
    def proven(self) -> str:
        """The digest in PROVEN, or ""."""
        return self.read(PROVEN).partition(" ")[0]

    def tidy(self, keep: Collection[str]) -> None:
        """Nobody needs the others any more. `keep`: digests."""
        named = self.read(CFG)
        with contextlib.suppress(OSError):
            for place in self.directory.iterdir():
                if _is_copy(place) and place.name not in keep and str(place) not in named:
                    shutil.rmtree(place, ignore_errors=True)

    def _share(self, place: Path) -> None:
        """One of our files, or a copy, whole. Raises OSError."""
        if not place.is_dir():
            grant.allow(place, self._reader, grant.READ, own=6)
            return
        for each in place.iterdir():
            grant.allow(each, self._reader, grant.READ, own=6)
        grant.allow(place, self._reader, grant.PASS, own=7)


def _leaf(path: Path) -> Certificate | None:
    """None: nobody knows."""
    try:
        return read(blocks(files.read_regular(path, follow=True))[0])
    except (OSError, NoCertificate):
        return None


def _is_copy(place: Path) -> bool:
    return _COPY.fullmatch(place.name) is not None and place.is_dir() and not place.is_symlink()
