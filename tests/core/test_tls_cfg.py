"""tls.cfg: what is written, and what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.tls_cfg import LONGEST, NO, OFFERED, REQUIRED, Domains, text, why_not

PATH = "/run/x/tls/0123456789abcdef"


def options(written: str, domain: str) -> dict[str, str]:
    _, _, rest = written.partition(f"[{domain}:default]\n")
    return dict(line.split(" = ", 1) for line in rest.partition("\n[")[0].splitlines() if line)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("clients", "words"), [(NO, ("no", "no")), (OFFERED, ("yes", "no")), (REQUIRED, ("yes", "yes"))]
)
@pytest.mark.parametrize("servers", [False, True])
def test_both_domains(clients: str, words: tuple[str, str], servers: bool) -> None:
    written = text(Domains(f"{PATH}/certificate.pem", f"{PATH}/key.pem", f"{PATH}/ca.pem", clients, servers))
    files = {
        "method": "TLSv1.2+",
        "certificate": f'"{PATH}/certificate.pem"',
        "private_key": f'"{PATH}/key.pem"',
        "ca_list": f'"{PATH}/ca.pem"',
    }
    server, client = options(written, "server"), options(written, "client")
    assert server == {**files, "verify_certificate": words[0], "require_certificate": words[1]}
    word = "yes" if servers else "no"
    assert client == {**files, "verify_certificate": word, "require_certificate": word}


def test_it_says_that_it_is_no_place_for_changes() -> None:
    first, second, *_ = text(Domains("/c", "/k")).splitlines()
    assert (first, second) == ("# Written by consul_kam; what is changed here is lost.", "[server:default]")


def test_without_authorities_there_is_no_list_of_them() -> None:
    assert "ca_list" not in text(Domains("/c", "/k"))


@given(st.text(min_size=1, max_size=40).filter(lambda path: not why_not(path)))
def test_no_value_adds_a_directive(path: str) -> None:
    written, plain = (text(Domains(word, "/k", word)).split("\n") for word in (path, "/c"))
    assert [line.replace(f'"{path}"', '"/c"') for line in written] == plain


@pytest.mark.parametrize("path", ['/a"b', "/a\\b", "/a\nb", "/a\x00b", "/a\x7fb"])
def test_what_ends_a_string_is_refused(path: str) -> None:
    said = "expected no quote, backslash or control character in a path that tls.cfg names"
    assert why_not(path) == said


def test_a_word_has_a_longest() -> None:
    assert why_not("/" + "a" * (LONGEST - 1)) == ""
    assert why_not("/" + "é" * (LONGEST // 2)) == f"expected at most {LONGEST} bytes"
