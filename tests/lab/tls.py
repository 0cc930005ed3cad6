"""Certificates for the lab, made by openssl."""

import subprocess
from pathlib import Path


class Authority:
    """A certificate authority of its own; `certificate` is what clients trust."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = directory / "ca.pem", directory / "ca.key"
        subject = ["-subj", "/CN=consul_kam lab", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl("req", "-x509", *_NEW, "-days", "2", *subject, "-keyout", self._key, "-out", self.certificate)

    def issue(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Certificate and key of a server; `name` as subjectAltName has it: "IP:127.0.0.1", "DNS:example.com"."""
        certificate, key, request = (directory / file for file in ("cert.pem", "key.pem", "request.pem"))
        _openssl("req", *_NEW, "-subj", "/CN=kamailio", "-keyout", key, "-out", request)
        extensions = directory / "extensions"
        extensions.write_text(f"subjectAltName={name}\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n")
        signed: list[str | Path] = ["-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", "2"]
        _openssl("x509", "-req", "-in", request, *signed, "-extfile", extensions, "-out", certificate)
        return certificate, key


_NEW = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
