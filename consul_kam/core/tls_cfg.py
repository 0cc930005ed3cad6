"""Kamailio's tls.cfg, written from what is configured: one server and one client domain.

Every value is quoted, and no other value stands in it: what cfg_parser.c takes for the end of a string, an escape or a
line is refused before [Kamailio, src/core/cfg_parser.c, cfg_get_token: states ST_Q and ST_QE; MAX_TOKEN_LEN].
"""

import re
from dataclasses import dataclass

METHOD = "TLSv1.2+"
LONGEST = 512
"""Bytes of a quoted word: cfg_parser.h, MAX_TOKEN_LEN."""
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f]')
NO, OFFERED, REQUIRED = "no", "offered", "required"
"""What is asked of clients: nothing; that a certificate be good where one is offered; one."""


@dataclass(frozen=True, slots=True)
class Domains:
    """`clients`: NO, OFFERED or REQUIRED; `servers`: whether those that Kamailio calls must have a good certificate."""

    certificate: str
    key: str
    authorities: str = ""
    clients: str = NO
    servers: bool = False


def why_not(path: str) -> str:
    """Why a path cannot stand in tls.cfg, or ""."""
    if _UNSAFE.search(path):
        return "expected no quote, backslash or control character in a path that tls.cfg names"
    return f"expected at most {LONGEST} bytes" if len(path.encode()) > LONGEST else ""


def text(domains: Domains) -> str:
    """The whole file. Its paths passed `why_not`."""
    paths = [("certificate", domains.certificate), ("private_key", domains.key), ("ca_list", domains.authorities)]
    files = "".join(f'{name} = "{path}"\n' for name, path in paths if path)
    server = _verify(domains.clients != NO, domains.clients == REQUIRED)
    client = _verify(domains.servers, domains.servers)
    return (
        "# Written by consul_kam; what is changed here is lost.\n"
        f"[server:default]\nmethod = {METHOD}\n{server}{files}\n[client:default]\nmethod = {METHOD}\n{client}{files}"
    )


def _verify(good: bool, required: bool) -> str:
    word = {True: "yes", False: "no"}
    return f"verify_certificate = {word[good]}\nrequire_certificate = {word[required]}\n"
