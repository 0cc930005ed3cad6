"""Certificates of every kind for a Consul that lets nobody in without one: right, expired, of tomorrow, of others."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

_SUBJECT = ["-subj", "/CN=consul_kam lab {name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
_NEW = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_CONFIG = """\
[ca]
default_ca = lab
[lab]
database = {directory}/index
serial = {directory}/serial
new_certs_dir = {directory}
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
default_md = sha256
unique_subject = no
policy = any
copy_extensions = none
[any]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
authorityKeyIdentifier = keyid
subjectAltName = {names}
extendedKeyUsage = {usage}
"""
BOTH = "serverAuth,clientAuth"
LOCAL = "IP:127.0.0.1,DNS:localhost"


class Pair(NamedTuple):
    """Files of a certificate and its key."""

    certificate: Path
    key: Path

    @property
    def names(self) -> tuple[str, str]:
        return str(self.certificate), str(self.key)


class Authority:
    """An authority of its own; `certificate` is what others trust. `name` tells it from others in messages."""

    def __init__(self, directory: Path, name: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self.certificate = directory, directory / "ca.pem"
        subject = [word.format(name=name).strip() for word in _SUBJECT]
        _openssl(
            "req", "-x509", *_NEW, "-days", "2", *subject, "-keyout", directory / "ca.key", "-out", self.certificate
        )
        (directory / "index").write_text("")
        (directory / "serial").write_text("1000\n")

    def issue(
        self, place: Path, names: str = LOCAL, begins: float = -1.0, ends: float = 24.0, usage: str = BOTH
    ) -> Pair:
        """PLACE.pem and PLACE.key. `names`: as in subjectAltName; `begins`, `ends`: hours from now."""
        place.parent.mkdir(parents=True, exist_ok=True)
        pair = Pair(place.with_suffix(".pem"), place.with_suffix(".key"))
        request, config = place.with_suffix(".csr"), place.with_suffix(".cnf")
        _openssl("req", *_NEW, "-subj", f"/CN={place.name}", "-keyout", pair.key, "-out", request)
        config.write_text(_CONFIG.format(directory=self._directory, names=names, usage=usage))
        dates = ["-startdate", _stamp(begins), "-enddate", _stamp(ends)]
        made: list[str | Path] = ["-in", request, "-out", pair.certificate, "-extensions", "leaf"]
        _openssl("ca", "-batch", "-notext", "-config", config, *dates, *made)
        return pair


def _stamp(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y%m%d%H%M%SZ")


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {words}: {done.stderr}"
