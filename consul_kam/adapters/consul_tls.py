"""Why TLS with Consul's agent fails: what is wrong, with which file, what to do, in one line.

Asked once it has failed, by a handshake of its own: what libraries above OpenSSL say differs from version to version,
and an agent that refuses our certificate says so after the handshake, when a request may already have died of it.
"""

import contextlib
import socket
import ssl
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from consul_kam.adapters import files, identity
from consul_kam.adapters.identity import Files, Identity, Unfit
from consul_kam.core.certificate import NoCertificate, blocks, read

_EXPIRED, _EARLY, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""X509_V_ERR_... [OpenSSL, X509_STORE_CTX_get_error(3)]."""
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


class Peer(NamedTuple):
    """The agent, and what we show and trust. `ca_file`: "": what the system trusts."""

    host: str
    port: int
    ca_file: str = ""
    ours: Files | None = None


def peer(address: str, ca_file: str, ours: Files | None) -> Peer | None:
    """None where it is not asked by TLS, and where the address is none."""
    try:
        url = urlsplit(address)
        return Peer(url.hostname, url.port or 8501, ca_file, ours) if url.scheme == "https" and url.hostname else None
    except ValueError:
        return None


def ours(peer: Peer) -> str:
    """What is wrong with our own files, or ""."""
    try:
        _loaded(peer)
        _context(peer, None)
    except (Unfit, OSError, ValueError) as error:
        return _own(peer, error)
    return ""


def why(peer: Peer, deadline: float) -> str:
    """What is wrong, or "" where it is not TLS. `deadline`: s, for each of a few steps."""
    try:
        context = _context(peer, _loaded(peer))
    except (Unfit, OSError, ValueError) as error:
        return _own(peer, error)
    try:
        with _connected(peer, context, deadline) as secure, contextlib.suppress(TimeoutError):
            secure.recv(1)  # an agent that takes us waits for a request
    except ssl.SSLCertVerificationError as error:
        return _theirs(peer, error, deadline)
    except ssl.SSLError as error:
        return _refused(peer, error.reason or "")
    except (OSError, ValueError):
        return ""
    return ""


def _loaded(peer: Peer) -> Identity | None:
    return identity.load(peer.ours, now=time.time(), closed=False) if peer.ours is not None else None


def _context(peer: Peer, mine: Identity | None) -> ssl.SSLContext:
    """Raises Unfit, OSError."""
    made = identity.context(mine, server=False) if mine is not None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not peer.ca_file:
        made.load_default_certs()
        return made
    try:
        data = files.read_regular(Path(peer.ca_file), identity.LARGEST, follow=True)
        blocks(data)
        made.load_verify_locations(cadata=data.decode("ascii", "ignore"))
    except (NoCertificate, ssl.SSLError) as error:
        reason = error if isinstance(error, NoCertificate) else "OpenSSL cannot read it"
        raise Unfit(f"cannot use the authorities {peer.ca_file}: {reason}") from None
    except OSError as error:
        raise Unfit(f"cannot read the authorities {peer.ca_file}: {error.strerror or error}") from None
    return made


def _connected(peer: Peer, context: ssl.SSLContext, deadline: float) -> ssl.SSLSocket:
    plain = socket.create_connection((peer.host, peer.port), deadline)
    try:
        return context.wrap_socket(plain, server_hostname=peer.host)
    except BaseException:
        plain.close()
        raise


def _own(peer: Peer, error: Exception) -> str:
    key = "ca_file" if "the authorities" in str(error) else "cert_file and key_file"
    return f"{error}; mend or renew what [consul] {key} names"


def _theirs(peer: Peer, error: ssl.SSLCertVerificationError, deadline: float) -> str:
    there = "`consul tls cert create` and `consul reload` there"
    if error.verify_code in (_EXPIRED, _EARLY):
        late = _dates(peer, deadline) or "an authority that signed it has expired, or is not valid yet"
        return f"of its certificate: {late}; are the clocks right? Else renew it: {there}"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        names = _names(peer, deadline)
        whom = f"is for {names}, not for" if names else "is not for"
        return f"its certificate {whom} {peer.host}; let [consul] address be a name that it has, or {there}"
    if not peer.ca_file:
        return "its certificate is of no authority that this system trusts; set [consul] ca_file"
    return f"its certificate is of no authority in {peer.ca_file}; [consul] ca_file has to hold the one that signed it"


def _refused(peer: Peer, reason: str) -> str:
    """The agent's alert, by OpenSSL's name of it."""
    mine = peer.ours.certificate if peer.ours is not None else ""
    if any(word in reason for word in _PLAIN):
        return "it speaks no TLS there; is it http://, or another port?"
    if not mine and ("CERTIFICATE" in reason or "HANDSHAKE_FAILURE" in reason):
        return "it wants a certificate of ours; set [consul] cert_file and key_file"
    if "UNKNOWN_CA" in reason:
        return f"it does not know the authority of our certificate {mine}; it has to be of one in the ca_file there"
    if "EXPIRED" in reason:
        return f"it says that our certificate {mine} has expired, or is not valid yet; are the clocks right?"
    if "CERTIFICATE" in reason or "HANDSHAKE_FAILURE" in reason:
        return f"it refuses our certificate {mine}; it has to be one for clients, of an authority in the ca_file there"
    return f"TLS fails: {reason.lower().replace('_', ' ')}" if reason else ""


def _dates(peer: Peer, deadline: float) -> str:
    """Why its certificate itself is not valid now, or ""."""
    context = _context(peer, None)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, ValueError), _connected(peer, context, deadline) as secure:
        return read(secure.getpeercert(binary_form=True) or b"").why_not(time.time())
    return ""


def _names(peer: Peer, deadline: float) -> str:
    """Whom its certificate, which is of an authority that we trust, is for."""
    context = _context(peer, None)
    context.check_hostname = False
    with contextlib.suppress(OSError, ValueError), _connected(peer, context, deadline) as secure:
        found = (secure.getpeercert() or {}).get("subjectAltName", ())
        return ", ".join(str(name) for each in found for name in each[1:2])[:200]
    return ""
