"""One variable of the environment: what its value may be, and how Kamailio gets it.

A value is text, as an environment is. What is refused here is what an environment, a string of Kamailio's configuration
or the type cannot carry; everything else is carried as it is.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from consul_kam.core.grammar import INT_MAX, BadValue, read_host

LONGEST = 4096
"""Bytes of a value in the quotes of a #!define. Kamailio puts a define's value back into its scanner's buffer of 16 kB,
of which 8 kB may be taken: what does not fit ends it, "flex scanner push-back overflow" [cfg.lex, unput; tried]."""
LONGEST_SUBST = 1000
"""Bytes that a #!subst puts in place; its buffer has 1,024 [re.c, REPLACE_BUFFER_SIZE]."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""An identifier of Kamailio's as of a shell's [cfg.lex, ID]."""
DANGEROUS = re.compile(
    r"LD_.*|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|MALLOC_.*|NLSPATH|PATH|HOME|SHELL|IFS|ENV|BASH_.*|SHELLOPTS|PS4|PYTHON.*|"
    r"PERL.*|RUBY.*|NODE_OPTIONS|SSL_CERT_.*|OPENSSL_CONF|RES_OPTIONS|LOCALDOMAIN|NOTIFY_SOCKET|LISTEN_(FDS|PID|FDNAMES)|"
    r"WATCHDOG_.*|CONSUL_HTTP_.*|CONSUL_C.*|CONSUL_KAM_.*|VAULT_.*|CREDENTIALS_DIRECTORY"
)
"""Whoever may write these makes a program run code of his, or speak to somebody else [ld.so(8), environ(7)]."""
_DEFINED = re.compile(r"[A-Z_][A-Z0-9_]*")
_WORDS = re.compile(
    r"ADVERTISE|AGNAME|INET6?|IPV[46]|NAME|OS_NAME|SCTP|SSLV(2|23|3)|TCP|TLS|TLSV1|UDP|VRF|WSS?|"
    r"KAMAILIO(_[0-9_]*|_VERSION)?"
)
"""Words of Kamailio's language, of which no define takes the place; all others are in lower case [cfg.lex of 5.6 and
6.0; tried]."""
SECRET = re.compile(r".*(SECRET|PASSW|TOKEN|PRIVATE|CREDENTIAL|_KEY$|DBURL).*", re.IGNORECASE)
TRUE, FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off", "")
RESTART, HTABLE, CFG = "restart", "htable", "cfg"
STRING, BARE, FLAG, SUBST, NONE = "string", "bare", "flag", "subst", "none"
OWN = "consul_kam"
"""The group of the cfg variables that our include declares."""
_INT = re.compile(r"[+-]?[0-9]{1,10}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_VISIBLE = re.compile(r"[^\x00-\x20\x7f]+")
_IP = re.compile(r"(?:[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
"""With a zero first Kamailio takes it for octal: listen=udp:127.0.0.1:05060 listens at port 2608 [5.6.3 and 6.0.1;
tried]."""
_PROTOCOL = re.compile(r"udp|tcp|tls|sctp")


@dataclass(frozen=True, slots=True)
class Spec:
    """A declared variable. `kind`: text, int, bool, address, socket, enum or uri.

    `define`: how the include gives it to Kamailio. `change`: what becomes of a new value while Kamailio runs.
    `cfg`: group and name of the cfg variable for `change` CFG. `dollar`: whether a define may hold a `$`.
    """

    name: str
    kind: str = "text"
    required: bool = False
    default: str | None = None
    low: int = -INT_MAX - 1
    high: int = INT_MAX
    values: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    pattern: str = ""
    define: str = NONE
    change: str = RESTART
    cfg: tuple[str, str] = ("", "")
    dollar: bool = False
    secret: bool = False
    rivals: tuple[str, ...] = field(default=(), repr=False)
    """Names that #!subst replaces in every string."""
    origin: tuple[str, str] = ("", "")
    """Name and field of the secret of Vault's that is its value."""

    @property
    def leased(self) -> bool:
        """Whether the value is Vault's: no layer has a say, and it is written to no disk."""
        return bool(self.origin[0])


def is_secret(name: str) -> bool:
    """Whether a name sounds as if its value should not be shown."""
    return SECRET.fullmatch(name) is not None


def why_not_name(name: str) -> str:
    """Why no variable can be called so, or ""."""
    if NAME.fullmatch(name) is None:
        return "no name of a variable: expected up to 64 letters, digits and _, no digit first"
    return "never taken: whoever sets it commands the program" if DANGEROUS.fullmatch(name) else ""


def why_not_defined(name: str) -> str:
    """Why Kamailio's configuration can have no define of this name, or ""."""
    if _DEFINED.fullmatch(name) is None:
        return "no name of a define: in lower case it may be a word of Kamailio's language"
    if _WORDS.fullmatch(name):
        return "no name of a define: Kamailio has a word of its own that is so called"
    return ""


def why_not(spec: Spec, value: str) -> str:
    """Why `value` cannot be the variable's, or "". Never repeats the value: it may be a secret."""
    return (
        _uncarried(spec, value) or _KINDS[spec.kind](spec, value) or _unmatched(spec, value) or _undefined(spec, value)
    )


def as_number(spec: Spec, value: str) -> int | None:
    """What Kamailio holds as a number: an int, or a bool as 1 and 0. `value` was let through."""
    if spec.kind == "bool":
        return int(value.lower() in TRUE)
    return int(value) if spec.kind == "int" else None


def quoted(value: str) -> str:
    """A string of Kamailio's configuration language that holds `value`, whatever that is but a NUL.

    Tried with 5.6.3 and 6.0.1, read back from the running ones [cfg.lex, STRING1]: no quote, backslash or end of a line
    is left as it is, and a number written by \\x has two digits, so that what follows is no third.
    """
    return '"' + "".join(_ESCAPED.get(char, char) for char in value) + '"'


_ESCAPED = {
    **{chr(code): f"\\x{code:02x}" for code in (*range(1, 32), 127)},
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def _uncarried(spec: Spec, value: str) -> str:
    if "\0" in value:
        return "holds a NUL, which neither an environment nor Kamailio carries"
    try:
        size = len(quoted(value).encode())
    except UnicodeEncodeError:
        return "is no UTF-8"
    if size > LONGEST:
        return f"is too long: {size} bytes in quotes, Kamailio's scanner takes {LONGEST} safely"
    return ""


def _undefined(spec: Spec, value: str) -> str:
    """Why a define cannot hold it."""
    if spec.define not in (STRING, SUBST):
        return ""
    if "$" in value and not spec.dollar:
        return "holds a $, which scripts expand as a pseudo-variable; set dollar = true where none does"
    rival = next((name for name in spec.rivals if name in value), "")
    if rival:
        return f"holds {rival}, which the #!subst of that variable replaces in every string"
    if spec.define == SUBST and re.search(r'[\x00-\x1f\x7f"\\$]', value):
        return 'holds a control character, ", \\ or $, which no #!substdef carries'
    if spec.define == SUBST and not 0 < len(value.encode()) <= LONGEST_SUBST:
        return f"is empty or longer than {LONGEST_SUBST} bytes, which no #!substdef carries"
    return ""


def _unmatched(spec: Spec, value: str) -> str:
    if spec.pattern and re.fullmatch(spec.pattern, value) is None:
        return f"does not match {spec.pattern}"
    return ""


def _text(spec: Spec, value: str) -> str:
    return ""


def _int(spec: Spec, value: str) -> str:
    if _INT.fullmatch(value) is None or not spec.low <= int(value) <= spec.high:
        return f"is no whole number from {spec.low} to {spec.high}"
    return ""


def _bool(spec: Spec, value: str) -> str:
    return "" if value.lower() in (*TRUE, *FALSE) else "is neither yes, true, on, 1 nor no, false, off, 0"


def _enum(spec: Spec, value: str) -> str:
    return "" if value in spec.values else f"is none of {', '.join(spec.values)}"


def _address(spec: Spec, value: str) -> str:
    """HOST or HOST:PORT; bare, an IP literal: a name could be a word of Kamailio's language."""
    if spec.define == BARE and _IP.fullmatch(value) is None:
        return 'is no IP address (IPv6 in brackets), with or without :PORT, and define = "bare" carries no name'
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        host, port = value, "1"
    try:
        read_host(host, unspecified=True)
    except BadValue as bad:
        return f"is no address: expected {str(bad).partition('allowed: ')[2]}, with or without :PORT"
    good = _PORT.fullmatch(port) is not None and int(port) < 65_536
    return "" if good else "has no port from 1 to 65535, written without a zero before it"


def _socket(spec: Spec, value: str) -> str:
    """PROTO:HOST or PROTO:HOST:PORT, as `listen` takes it."""
    protocol, colon, rest = value.partition(":")
    if not colon or _PROTOCOL.fullmatch(protocol) is None:
        return "is no socket: expected udp:, tcp:, tls: or sctp: before its address"
    return _address(spec, rest)


def _uri(spec: Spec, value: str) -> str:
    scheme, colon, rest = value.partition(":")
    if not colon or _SCHEME.fullmatch(scheme) is None or _VISIBLE.fullmatch(rest) is None:
        return "is no URI: expected SCHEME:..., without blanks"
    if spec.schemes and scheme.lower() not in spec.schemes:
        return f"has another scheme than {', '.join(spec.schemes)}"
    try:
        split = urlsplit(value)
        wrong = split.port == 0
    except ValueError:
        wrong = True
    return "is no URI: its host or port cannot be" if wrong else ""


_KINDS = {
    "text": _text,
    "int": _int,
    "bool": _bool,
    "enum": _enum,
    "address": _address,
    "socket": _socket,
    "uri": _uri,
}
