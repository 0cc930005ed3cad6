"""What a variable may be, and how it stands in Kamailio's configuration."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.env_spec import (
    LONGEST,
    LONGEST_SUBST,
    Spec,
    as_number,
    is_secret,
    quoted,
    why_not,
    why_not_defined,
    why_not_name,
)


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        (Spec("A"), ["", "x", 'a"b\\\n', "é€", "a$b"], ["a\0b", "\ud800", "x" * (LONGEST - 1)]),
        (Spec("A", define="string"), ["x" * (LONGEST - 2)], ["$ru", "x" * (LONGEST - 1), "\x01" * (LONGEST // 4)]),
        (Spec("A", define="string", dollar=True), ["$ru"], []),
        (
            Spec("A", "int", low=1, high=65535),
            ["1", "65535", "+7", "007"],
            ["0", "65536", "", "x", "1.0", "9" * 11, "-1"],
        ),
        (Spec("A", "bool"), ["1", "true", "YES", "on", "0", "No", "false", "off", ""], ["2", "maybe", " 1"]),
        (Spec("A", "enum", values=("a", "b")), ["a", "b"], ["c", "", "A"]),
        (
            Spec("A", "address"),
            ["10.0.0.1", "10.0.0.1:5060", "[::1]", "[::1]:5060", "sbc.example", "sbc:1", "0.0.0.0"],
            [
                "",
                "10.0.0.999",
                "::1",
                "a b",
                "sbc:0",
                "sbc:65536",
                "sbc:x",
                "sbc:",
                ":5",
                "sbc:99999999999",
                "sbc:\u0663",
                "sbc:05060",
                "sbc:0655350",
            ],
        ),
        (
            Spec("A", "address", define="bare"),
            ["10.0.0.1", "[::1]", "10.0.0.1:5060", "[::1]:5060", "[2001:DB8::a]"],
            ["sbc.example", "import_file", "10.0.0.1:0", "1.2"],
        ),
        (
            Spec("A", "socket", define="bare"),
            ["udp:10.0.0.1:5060", "tls:[::1]:5061", "tcp:10.0.0.1", "sctp:10.0.0.1"],
            [
                "10.0.0.1:5060",
                "udp:",
                "udp",
                "ws:10.0.0.1",
                "udp:eth0:5060",
                "udp:10.0.0.1:99999",
                "udp:10.0.0.1;",
                "udp:10.0.0.1:05060",
            ],
        ),
        (Spec("A", "socket"), ["udp:eth0:5060"], ["udp:eth0:5060 x"]),
        (
            Spec("A", "uri"),
            ["http://h:1/p?q", "sip:10.0.0.1:5060", "text:///var/db", "mysql://u:p@h/d", "tls:[::1]:5061"],
            ["", "http", "1http://h", "http://a b", "http://h:99999/", "http://[::1/", "http:", "http://h:0"],
        ),
        (Spec("A", "uri", schemes=("http", "https")), ["http://h", "HTTPS://h"], ["ftp://h"]),
        (Spec("A", pattern="[a-z]+"), ["abc"], ["abc1", "", "abc\n"]),
        (
            Spec("A", define="subst"),
            ["x", "a!b/c", "é" * 500],
            ["", 'a"b', "a\\b", "a\nb", "a$b", "x" * (LONGEST_SUBST + 1)],
        ),
        (Spec("A", define="subst", dollar=True), ["x"], ["a$b"]),
        (Spec("A", define="string", rivals=("HOST",)), ["HOS"], ["my HOST"]),
        (Spec("A", rivals=("HOST",)), ["my HOST"], []),
    ],
)
def test_what_a_value_may_be(spec: Spec, good: list[str], bad: list[str]) -> None:
    assert {value: why_not(spec, value) for value in good} == dict.fromkeys(good, "")
    assert [value for value in bad if not why_not(spec, value)] == []


UNSAFE = 'holds a control character, ", \\ or $, which no #!substdef carries'
NO_ADDRESS = (
    "is no address: expected an IPv4 address, an IPv6 address in brackets, or a host name, with or without :PORT"
)


@pytest.mark.parametrize(
    ("spec", "value", "said"),
    [
        (Spec("A"), "a\0", "holds a NUL, which neither an environment nor Kamailio carries"),
        (Spec("A"), "\ud800", "is no UTF-8"),
        (Spec("A"), "x" * 4095, "is too long: 4097 bytes in quotes, Kamailio's scanner takes 4096 safely"),
        (
            Spec("A", define="string"),
            "a$b",
            "holds a $, which scripts expand as a pseudo-variable; set dollar = true where none does",
        ),
        (
            Spec("A", define="string", rivals=("NO", "B")),
            "a B",
            "holds B, which the #!subst of that variable replaces in every string",
        ),
        (Spec("A", define="subst"), 'a"', UNSAFE),
        (Spec("A", define="subst"), "", "is empty or longer than 1000 bytes, which no #!substdef carries"),
        (Spec("A", pattern="[a-z]+"), "1", "does not match [a-z]+"),
        (Spec("A", "int", low=1, high=9), "0", "is no whole number from 1 to 9"),
        (Spec("A", "bool"), "x", "is neither yes, true, on, 1 nor no, false, off, 0"),
        (Spec("A", "enum", values=("a", "b")), "c", "is none of a, b"),
        (
            Spec("A", "address", define="bare"),
            "sbc",
            'is no IP address (IPv6 in brackets), with or without :PORT, and define = "bare" carries no name',
        ),
        (Spec("A", "address"), "a b", NO_ADDRESS),
        (Spec("A", "address"), "sbc:0", "has no port from 1 to 65535, written without a zero before it"),
        (Spec("A", "socket"), "eth0:1", "is no socket: expected udp:, tcp:, tls: or sctp: before its address"),
        (Spec("A", "uri"), "x", "is no URI: expected SCHEME:..., without blanks"),
        (Spec("A", "uri", schemes=("http", "https")), "ftp://h", "has another scheme than http, https"),
        (Spec("A", "uri"), "http://h:0", "is no URI: its host or port cannot be"),
    ],
)
def test_what_is_said(spec: Spec, value: str, said: str) -> None:
    assert why_not(spec, value) == said


def test_the_longest_are_taken() -> None:
    assert why_not(Spec("A"), "x" * 4094) == why_not(Spec("A", define="subst"), "x" * 1000) == ""
    assert why_not(Spec("A", "int"), "2147483647") == why_not(Spec("A", "int"), "-2147483648") == ""
    assert why_not(Spec("A", "int"), "2147483648") != ""
    assert why_not(Spec("A", "address"), "sbc:65535") == why_not(Spec("A", "address"), "sbc:1") == ""


def test_what_is_said_of_names() -> None:
    assert why_not_name("PATH") == "never taken: whoever sets it commands the program"
    assert why_not_name("-") == "no name of a variable: expected up to 64 letters, digits and _, no digit first"
    assert why_not_defined("NAME") == "no name of a define: Kamailio has a word of its own that is so called"
    assert why_not_defined("a") == "no name of a define: in lower case it may be a word of Kamailio's language"


@given(st.text())
def test_a_message_is_one_line_and_never_repeats_the_value(value: str) -> None:
    for kind in ("text", "int", "bool", "enum", "address", "socket", "uri"):
        said = why_not(Spec("A", kind, values=("one",), pattern="x", define="string"), "secret" + value)
        assert "\n" not in said
        assert "secret" not in said


@pytest.mark.parametrize("name", ["A", "_a", "SIP_PORT", "LISTEN", "LISTEN_NG", "CONSUL_URI", "A" * 64])
def test_a_name(name: str) -> None:
    assert why_not_name(name) == ""


@pytest.mark.parametrize(
    "name",
    ["", "1A", "A-B", "A B", "A" * 65, "A\n", "LD_PRELOAD", "PATH", "PYTHONPATH", "LISTEN_FDS", "VAULT_TOKEN",
     "CONSUL_HTTP_TOKEN", "GLIBC_TUNABLES", "BASH_ENV", "NOTIFY_SOCKET", "GCONV_PATH", "LOCPATH", "MALLOC_CHECK_",
     "NLSPATH", "HOME", "SHELL", "IFS", "ENV", "SHELLOPTS", "PS4", "PERL5LIB", "RUBYLIB", "NODE_OPTIONS",
     "SSL_CERT_FILE", "OPENSSL_CONF", "RES_OPTIONS", "LOCALDOMAIN", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC",
     "CONSUL_CACERT", "CONSUL_KAM_CONFIG", "CREDENTIALS_DIRECTORY"],
)  # fmt: skip
def test_a_name_that_is_never_taken(name: str) -> None:
    assert why_not_name(name) != ""


@pytest.mark.parametrize(
    "name",
    ["sip_port", "NAME", "TCP", "KAMAILIO_5", "KAMAILIO_VERSION", "OS_NAME", "1A", "ADVERTISE", "AGNAME", "INET",
     "INET6", "IPV4", "IPV6", "SCTP", "SSLV2", "SSLV23", "SSLV3", "TLS", "TLSV1", "UDP", "VRF", "WS", "WSS",
     "KAMAILIO"],
)  # fmt: skip
def test_a_name_that_no_define_has(name: str) -> None:
    assert why_not_defined(name) != ""
    assert why_not_defined("SIP_PORT") == why_not_defined("KAMAILIO_CONF") == ""


def test_numbers() -> None:
    assert as_number(Spec("A", "int"), "+007") == 7
    assert as_number(Spec("A", "bool"), "Yes") == 1
    assert as_number(Spec("A", "bool"), "") == 0
    assert as_number(Spec("A"), "7") is None


def test_names_that_sound_secret() -> None:
    assert all(map(is_secret, ("ROUTER_AUTH_SECRET", "DBURL_DIALOG", "db_password", "API_KEY", "A_TOKEN")))
    assert all(map(is_secret, ("MY_PRIVATE_FILE", "CREDENTIALS", "PASSWD")))
    assert not any(map(is_secret, ("SIP_PORT", "KEYS", "INTERFACE")))


def unquoted(text: str) -> str:
    """As Kamailio's scanner reads a string [cfg.lex, STRING1]; a second, independent telling of its rules."""
    assert text[0] == text[-1] == '"'
    body, out = text[1:-1], ""
    while body:
        for pattern, make in (
            (r"\\n", lambda _: "\n"),
            (r"\\r", lambda _: "\r"),
            (r"\\a", lambda _: "\a"),
            (r"\\t", lambda _: "\t"),
            (r'\\"', lambda _: '"'),
            (r"\\\\", lambda _: "\\"),
            (r"\\x([0-9a-fA-F]{1,2})", lambda m: chr(int(m[1], 16))),
            (r"\\([0-7]{2,3})", lambda m: chr(int(m[1], 8))),
            (r'[^"]', lambda m: m[0]),
        ):
            found = re.match(pattern, body, re.DOTALL)
            if found:
                out, body = out + make(found), body[found.end() :]
                break
        else:
            raise AssertionError(f"the string is closed before {body!r}")
    return out


def test_ends_of_lines_and_tabs_have_their_short_forms() -> None:
    assert quoted("a\r\n\tb\x1f") == r'"a\r\n\tb\x1f"'


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_what_is_quoted_is_read_as_it_was_on_one_line(value: str) -> None:
    assert unquoted(quoted(value)) == value
    assert "\n" not in quoted(value)
    assert re.search(r"[\x00-\x1f\x7f]", quoted(value)) is None
