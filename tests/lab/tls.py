"""Certificates for the lab, made by openssl."""

import hashlib
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path


class Authority:
    """A certificate authority of its own; `certificate` is what clients trust."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = directory / "ca.pem", directory / "ca.key"
        subject = ["-subj", "/CN=consul_kam lab", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl("req", "-x509", *_NEW, "-days", "2", *subject, "-keyout", self._key, "-out", self.certificate)

    def issue(
        self, directory: Path, name: str, more: str = "", validity: tuple[str, str] | None = None
    ) -> tuple[Path, Path]:
        """Certificate and key of a server; `name` as subjectAltName has it: "IP:127.0.0.1", "DNS:example.com".

        `more`: further extensions. `validity`: first and last moment, as YYYYMMDDHHMMSSZ; else two days from now.
        """
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key, request = (directory / file for file in ("cert.pem", "key.pem", "request.pem"))
        _openssl("req", *_NEW, "-subj", "/CN=kamailio", "-keyout", key, "-out", request)
        extensions = directory / "extensions"
        extensions.write_text(
            f"subjectAltName={name}\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n{more}\n"
        )
        signed: list[str | Path] = ["-CA", self.certificate, "-CAkey", self._key]
        if validity is None:
            signed += ["-CAcreateserial", "-days", "2"]
            _openssl("x509", "-req", "-in", request, *signed, "-extfile", extensions, "-out", certificate)
        else:
            self._dated(directory, request, extensions, certificate, validity)
        return certificate, key

    def _dated(
        self, directory: Path, request: Path, extensions: Path, certificate: Path, validity: tuple[str, str]
    ) -> None:
        """`openssl x509` of 3.0 knows no dates of its own; `openssl ca` does."""
        config = directory / "ca.cnf"
        (directory / "index").write_text("")
        config.write_text(
            f"[ca]\ndefault_ca=x\n[x]\ndatabase={directory}/index\nnew_certs_dir={directory}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
        )
        dates = ["-startdate", validity[0], "-enddate", validity[1]]
        signed = ["-cert", self.certificate, "-keyfile", self._key, "-extfile", extensions]
        _openssl("ca", "-batch", "-notext", "-config", config, *dates, *signed, "-in", request, "-out", certificate)


class Issued:
    """Generations of one secret as Vault's are laid down: `directory` is a symlink that is swapped in one rename."""

    def __init__(self, directory: Path, authority: Authority, name: str = "IP:127.0.0.1") -> None:
        self.directory, self._authority, self._name, self._number = directory, authority, name, 0
        directory.parent.mkdir(parents=True, exist_ok=True)

    @property
    def lines(self) -> str:
        """For a table of consul-kam.toml."""
        files = {"cert_file": "certificate.pem", "key_file": "key.pem"}
        return "\n".join(f'{key} = "{self.directory / name}"' for key, name in files.items())

    @property
    def ca_line(self) -> str:
        return f'ca_file = "{self.directory / "ca.pem"}"'

    def renew(self, authority: Authority | None = None, name: str = "", validity: tuple[str, str] | None = None) -> str:
        """The next one; returns the fingerprint of its certificate."""
        made = self._place()
        issuer = authority or self._authority
        certificate, _ = issuer.issue(made, name or self._name, validity=validity)
        certificate.rename(made / "certificate.pem")
        shutil.copy(issuer.certificate, made / "ca.pem")
        return self.swap(made)

    def _place(self) -> Path:
        self._number += 1
        made = self.directory.with_name(f".{self.directory.name}.{self._number}")
        made.mkdir(0o700)
        return made

    def copy(self) -> Path:
        """Of the generation that is there, to be spoiled and then given to `swap`."""
        made = self._place()
        for path in self.directory.iterdir():
            shutil.copy2(path, made)
        return made

    def swap(self, made: Path) -> str:
        new = self.directory.with_name(f".{self.directory.name}.new")
        new.symlink_to(made.name)
        os.rename(new, self.directory)
        return fingerprint((made / "certificate.pem").read_text())


def fingerprint(pem: str) -> str:
    """Of the first certificate in it; "" where there is none."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if end not in pem:
        return ""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[pem.index(begin) : pem.index(end) + len(end)])).hexdigest()


def anybody() -> ssl.SSLContext:
    """A client's that takes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shows(port: int) -> str:
    """The fingerprint of what the server at this port of loopback shows now; "" where there is no handshake."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 20) as plain,
            anybody().wrap_socket(plain) as secure,
        ):
            return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
    except OSError:
        return ""


_NEW = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
