"""Certificates of a real Vault's PKI, of a life of seconds: each is loaded and proven under calls over TLS."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Lab, Uas
from tests.lab.sip_tls import Phones
from tests.lab.tls import Issued, shows
from tests.lab.vault import Vault
from tests.lab.world import agent, consul, lab
from tests.secure.test_tls_kamailio import MEMORY, Secure, reloading

__all__ = ["agent", "consul", "lab"]
pytestmark = pytest.mark.vault
SECRETS = """
[vault]
address = "{address}"
ca_file = "{ca}"
directory = "{directory}"
[vault.auth]
method = "token"
token_file = "{token}"
[vault.secrets.sip]
kind = "pki"
path = "pki/issue/kamailio"
common_name = "sip.example.com"
ip_sans = ["127.0.0.1"]
ttl = {ttl}
"""


class Referred(Issued):
    """What Vault issues, named as a secret."""

    @property
    def lines(self) -> str:
        return 'cert_file = "secret://sip/certificate.pem"\nkey_file = "secret://sip/key.pem"'

    @property
    def ca_line(self) -> str:
        return 'ca_file = "secret://sip/ca.pem"'


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with Vault(tmp_path / "vault") as started:
        started.policy("node", 'path "pki/issue/kamailio" { capabilities = ["update"] }')
        started.pki()
        yield started


@reloading
def test_each_certificate_of_vault_is_taken_up_and_no_call_fails(
    lab: Lab, consul: ConsulAgent, vault: Vault, tmp_path: Path
) -> None:
    place = Path(tempfile.mkdtemp(prefix="ck-", dir=MEMORY))
    token = tmp_path / "token"
    token.write_text(vault.token("node"))
    token.chmod(0o600)
    seen = set[str]()
    try:
        with Uas() as callee:
            consul.register("router", "r01", port=callee.port)
            secure = Secure(lab, consul, tmp_path, lines='names = ["127.0.0.1"]')
            secure.directory = place / "tls"
            secure.issued = Referred(place / "secrets" / "sip", secure.authority)
            (place / "secrets").chmod(0o700)
            more = SECRETS.format(
                address=vault.address, ca=vault.ca_file, directory=place / "secrets", token=token, ttl=9
            )
            node = secure.node(more)
            node.ready()
            with Phones(secure.port) as phones:

                def sixth() -> bool:
                    seen.add(shows(secure.port))
                    return len(seen - {""}) >= 6

                secure.until("six certificates", sixth, 90)
            assert (phones.old.failed, phones.new.failed) == (0, 0), phones.errors[:3]
            assert phones.old.done
            assert phones.new.done
            proven = [entry for entry in node.journal() if entry.get("event") == "certificate proven"]
            assert len({entry["serial"] for entry in proven}) >= 5
            assert "" not in seen
            node.stop()
            keys = list(place.rglob("key.pem"))
            assert keys
            for path in keys:
                assert path.stat().st_mode & 0o777 == 0o600
    finally:
        shutil.rmtree(place)
