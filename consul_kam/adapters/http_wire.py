"""HTTP/1.1 as far as a few pages need it [RFC 9112]: the head of a request in, a whole response out. Pure.

Strict on purpose: what is not plainly a GET or a HEAD without a body is refused, or, where forms are taken, a POST of a
small one; each connection serves one request.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

from consul_kam.errors import ConsulKamError

END = b"\r\n\r\n"
METHODS = ("GET", "HEAD")
FORM = "application/x-www-form-urlencoded"
MAX_FORM = 4096
"""Bytes of a form."""
MAX_FIELDS = 8
JSON = "application/json"

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([^?#]*)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{0,5})?")


class Refused(ConsulKamError):
    """A request that is not served. `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Request:
    """`host`: as the client names us, in lower case, without port and brackets; "" from an HTTP/1.0 that names none."""

    method: str
    path: str
    host: str
    length: int = 0
    """Bytes of the form that follows; 0 of what is no POST."""
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """`headers`: further ones; neither name nor value may hold what came from outside."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def request(head: bytes, forms: bool = False) -> Request:
    """`head`: all before END; `forms`: whether a POST is served. Raises Refused."""
    first, *rest = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "cannot read the request: its first line is none of HTTP's")
    method, target = line[1].decode("ascii"), line[2].decode("ascii")
    if line[3] != b"1":
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "cannot serve this version of HTTP: expected 1.0 or 1.1")
    if method not in METHODS and not (forms and method == "POST"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "cannot serve this method: expected GET or HEAD")
    fields = _fields(rest)
    hosts, length = fields[b"host"], _length(fields, method == "POST")
    if len(hosts) > 1 or (not hosts and line[4] != b"0"):
        raise Refused(HTTPStatus.BAD_REQUEST, "cannot read the request: expected one Host")
    absolute = _ABSOLUTE.fullmatch(target.partition("?")[0])
    if absolute is not None:  # its host counts [RFC 9112, 3.2.2]
        return Request(method, absolute[2] or "/", _host(absolute[1]), length)
    if not target.startswith("/"):
        raise Refused(HTTPStatus.BAD_REQUEST, "cannot read the request: expected a path")
    return Request(method, target.partition("?")[0], _host(hosts[0]) if hosts else "", length)


_READ = (b"host", b"transfer-encoding", b"content-length", b"content-type")


def _fields(lines: list[bytes]) -> Mapping[bytes, list[str]]:
    """The values of what is read at all. Raises Refused for what is no header."""
    values: dict[bytes, list[str]] = {name: [] for name in _READ}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "cannot read the request: a line of its head is no header")
        if found[1].lower() in values:
            values[found[1].lower()].append(found[2].strip(b" \t").decode("latin-1"))
    return values


def _length(fields: Mapping[bytes, list[str]], form: bool) -> int:
    """Bytes of the body; of a form, that there is exactly one. Raises Refused."""
    lengths = fields[b"content-length"]
    if fields[b"transfer-encoding"] or (not form and any(length.strip("0") for length in lengths)):
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "cannot take a body")
    if not form:
        return 0
    if [kind.partition(";")[0].strip().lower() for kind in fields[b"content-type"]] != [FORM]:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"cannot take this body: expected {FORM}")
    if len(lengths) != 1 or not re.fullmatch("[0-9]{1,9}", lengths[0]):
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "cannot take this body: expected one Content-Length")
    if int(lengths[0]) > MAX_FORM:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"cannot take a form of over {MAX_FORM} bytes")
    return int(lengths[0])


def form(body: bytes) -> Mapping[str, str]:
    """The fields of a form, each once. Raises Refused."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        pairs = []
    if not pairs or len(dict(pairs)) != len(pairs):
        raise Refused(HTTPStatus.BAD_REQUEST, "cannot read the form: expected NAME=VALUE&..., each name once")
    return dict(pairs)


def _host(value: str) -> str:
    found = _HOST.fullmatch(value)
    if found is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "cannot read the request: its Host names none")
    return found[1].strip("[]").lower().rstrip(".")


def is_address(host: str) -> bool:
    """Whether it is an IP address, which no name server can turn into another one."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refusal(status: int, reason: str) -> Response:
    return Response(status, json.dumps({"error": reason}).encode() + b"\n")


def written(response: Response, head_only: bool) -> bytes:
    """The whole response; the connection ends with it."""
    lines = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    if response.status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append(f"Allow: {', '.join(METHODS)}")
    return "\r\n".join(lines).encode("ascii") + END + (b"" if head_only else response.body)
