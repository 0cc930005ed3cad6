"""URIs with and without a scheme, as Kamailio takes them."""

import pytest

from consul_kam.core.grammar import BadValue
from consul_kam.core.sip_uri import SipUri, read_uri


@pytest.mark.parametrize(
    ("value", "text", "host"),
    [
        ("a.com", "sip:a.com", "a.com"),
        ("SIPS:a.example", "SIPS:a.example", "a.example"),
        ("sip:tel.example", "sip:tel.example", "tel.example"),
        ("u@10.0.0.1:5060;transport=tcp", "sip:u@10.0.0.1:5060;transport=tcp", "10.0.0.1"),
    ],
)
def test_a_uri_without_scheme_is_sip_from_five_characters_on(value: str, text: str, host: str) -> None:
    assert read_uri(value) == SipUri(text, host)


@pytest.mark.parametrize(
    "value",
    ["a.co", "tel:+491234", "tel:1234", "TEL:1234", "HTTP://a.example", "http://a.example", "urn:service:sos"],
)
def test_what_is_of_another_scheme_or_too_short_is_refused(value: str) -> None:
    with pytest.raises(BadValue, match=r"^URI is "):
        read_uri(value)


def test_a_transport_that_is_none_is_refused_however_it_is_written() -> None:
    for name in ("transport", "Transport"):
        assert read_uri(f"sip:a.example;{name}=TCP").host == "a.example"
        with pytest.raises(BadValue, match=r"^transport is 'no', allowed: udp, tcp, "):
            read_uri(f"sip:a.example;{name}=no")
