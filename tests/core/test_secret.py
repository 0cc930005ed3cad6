"""What is asked of Vault, and the files that its answers become."""

import math
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.secret import LARGEST, LATEST, MOST, Made, Want, make
from consul_kam.errors import VaultError
from tests.core.test_certificate import LONG, OLD

KV = Want("api", "kv", "secret/data/api")
DB = Want("db", "database", "database/creds/k", text="postgres://{username}:{password}@127.0.0.1/kamailio")
TLS = Want("tls", "pki", "pki/issue/k", common_name="sip.example.com")
CERTIFICATE = {
    "certificate": "LEAF\n\n",
    "private_key": "KEY",
    "issuing_ca": "CA",
    "ca_chain": ["CA", "ROOT"],
    "serial_number": "0a:0b",
    "expiration": 2_000_000_000,
}
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


def kv(version: object = 3, **fields: Any) -> dict[str, Any]:
    return {"data": fields, "metadata": {"version": version}}


def test_kv_is_a_file_for_each_key() -> None:
    made = make(KV, kv(a="x\n", b=5, c={"d": [1]}, **{"no/file": "y", "..": "z", "": "", ".x": ""}))
    assert made.files == {"a": b"x\n", "b": b"5", "c": b'{"d": [1]}'}
    assert made.version == 3
    assert made.left_out == ("", "..", ".x", "no/file")
    assert make(KV, kv(a="\udc80")).files == {"a": b"\xed\xb2\x80"}
    assert make(Want("x", "kv", "s/data/x", text="is {a}"), kv(a="\udc80")).files["text"] == b"is \xed\xb2\x80"


def test_credentials_and_their_uri() -> None:
    made = make(DB, {"username": "v-role", "password": "a/b@c:d %{x}"})
    assert made.files["username"] == b"v-role"
    assert made.files["text"] == b"postgres://v-role:a%2Fb%40c%3Ad%20%25%7Bx%7D@127.0.0.1/kamailio"
    plain = Want("db", "database", "d/c/k", text="user={username} password={password}")
    assert make(plain, {"username": "u", "password": "a b"}).files["text"] == b"user=u password=a b"
    assert make(Want("c", "consul", "consul/creds/node"), {"token": "t", "accessor": "a"}).files == {"token": b"t"}


def test_capitals_stand_in_the_names_of_fields_and_schemes() -> None:
    made = make(Want("x", "kv", "s/data/x", text="PG://{API_Key}"), kv(API_Key="a/b"))
    assert made.files == {"API_Key": b"a/b", "text": b"PG://a%2Fb"}


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_uri_gives_back_what_was_put_in(username: str, password: str) -> None:
    made = make(DB, {"username": username, "password": password})
    url = urlsplit(made.files["text"].decode())
    assert url.hostname == "127.0.0.1"
    assert unquote(url.username or "", errors="surrogatepass") == username
    assert unquote(url.password or "", errors="surrogatepass") == password


def test_a_certificate_with_its_chain() -> None:
    made = make(TLS, CERTIFICATE)
    assert made.files["certificate.pem"] == b"LEAF\nCA\nROOT\n"
    assert made.files["key.pem"] == b"KEY\n"
    assert made.files["ca.pem"] == b"CA\nROOT\n"
    assert made.files["bundle.pem"] == b"LEAF\nCA\nROOT\nKEY\n"
    assert (made.expires, made.serial) == (2_000_000_000, "0a:0b")
    assert [make(TLS, CERTIFICATE | {"expiration": at}).expires for at in (1, LATEST - 1)] == [1, LATEST - 1]
    assert make(TLS, CERTIFICATE | {"ca_chain": None}).files["ca.pem"] == b"CA\n"


def test_how_long_a_certificate_says_it_lasts() -> None:
    assert make(TLS, CERTIFICATE).lasts == math.inf, "nobody can read LEAF"
    assert make(TLS, CERTIFICATE | {"certificate": OLD, "ca_chain": [LONG]}).lasts == 90 * 86400


def test_what_is_asked() -> None:
    assert DB.body is KV.body is None
    assert (DB.again, KV.again) == (None, 30.0)
    assert TLS.body == {"common_name": "sip.example.com"}
    more = Want("tls", "pki", "pki/issue/k", common_name="a", alt_names=("b", "c"), ip_sans=("::1", "::2"), ttl=60)
    assert more.body == {"common_name": "a", "alt_names": "b,c", "ip_sans": "::1,::2", "ttl": "60s"}
    assert len({DB.digest, KV.digest, TLS.digest, more.digest}) == 4
    assert Want("x", "kv", "secret/data/api", every=1).digest == KV.digest, "its files depend on what is asked"


def test_the_digest_is_of_fields_and_values() -> None:
    one = make(KV, kv(1, a="x", b="y"))
    assert one.digest == make(KV, kv(2, b="y", a="x")).digest
    others = [make(KV, kv(**fields)).digest for fields in ({"a": "x"}, {"a": "y", "b": "x"}, {"a": "x", "b": "yy"})]
    assert len({one.digest, *others}) == 4
    assert repr(Made({"a": b"canary", "b": b"canary"})) == "Made(a, b)"


def test_digests_stay_from_one_version_of_ours_to_the_next() -> None:
    """They lie beside the secrets: else an update would ask Vault for each anew, and make each a new generation."""
    want = Want("tls", "pki", "pki/issue/k", 1, "{a}", "cn", ("b", "c"), ("::1",), 60)
    assert want.digest == "b5fa4ffae256b2ad41431898881f4a42b565c6ef028128017e900b2660923d77"
    assert Made({"a": b"x", "b": b"y"}).digest == "926af24c1bdaedb4344694611298d80f54835e617dd625b98ed6af791e2d180e"


def test_the_most_that_a_secret_may_hold() -> None:
    fields = {f"a{number}": "x" for number in range(MOST)}
    assert make(KV, kv(**fields)).files.keys() == fields.keys()
    assert make(KV, kv(a="x" * (LARGEST - 1), b="y")).left_out == ()


@pytest.mark.parametrize(
    ("want", "data", "says"),
    [
        (KV, None, "Vault's answer has no data"),
        (KV, {"a": "canary"}, "KV version 2"),
        (KV, kv("canary"), "KV version 2"),
        (KV, {"data": None, "metadata": {"version": 4}}, "its version 4 is deleted"),
        (KV, kv(a="x" * LARGEST, b="canary"), "bytes"),
        (KV, kv(**{f"a{number}": "canary" for number in range(MOST + 1)}), "64 fields"),
        (DB, {"username": "canary"}, "no password"),
        (DB, {"username": "canary", "password": ""}, "no password"),
        (DB, {"username": "canary", "password": "canary\ud800"}, "cannot be written down as text"),
        (Want("c", "consul", "consul/creds/node"), {"token": "canary\udfff"}, "cannot be written down as text"),
        (TLS, CERTIFICATE | {"private_key": "canary\udfff"}, "cannot be written down as text"),
        (Want("c", "consul", "consul/creds/node"), {"accessor": "canary"}, "no token"),
        (KV, kv(a=DEEP), "cannot be written down as text"),
        (Want("x", "kv", "s/data/x", text="{a} {none}"), kv(a="canary"), "it has no none, which `text` of x names"),
        (TLS, CERTIFICATE | {"private_key": None}, "no private_key"),
        (TLS, CERTIFICATE | {"ca_chain": "canary"}, "no ca_chain"),
        (TLS, CERTIFICATE | {"ca_chain": [1]}, "no ca_chain"),
        (TLS, CERTIFICATE | {"expiration": "canary"}, "no expiration"),
        (TLS, CERTIFICATE | {"expiration": 10**400}, "no expiration"),
        (TLS, CERTIFICATE | {"expiration": 0}, "no expiration"),
        (TLS, CERTIFICATE | {"expiration": LATEST}, "no expiration"),
    ],
)
def test_what_cannot_be_used_is_said_and_shows_nothing(want: Want, data: object, says: str) -> None:
    with pytest.raises(VaultError) as raised:
        make(want, data)
    assert says in str(raised.value)
    assert str(raised.value).startswith(f"cannot use {want.path}")
    assert "canary" not in str(raised.value)


def test_a_field_as_it_is_in_a_uri() -> None:
    """Kamailio decodes no database URL."""
    want = Want("db", "kv", "s/data/x", text="postgres://{username}:{password!raw}@h/d")
    made = make(want, {"data": {"username": "a b", "password": "p@:/%w"}, "metadata": {"version": 1}})
    assert made.files["text"] == b"postgres://a%20b:p@:/%w@h/d"
    assert make(replace(want, text="x://{a}"), kv(a="\udc80")).files["text"] == b"x://%ED%B2%80"
    lacking = Want("db", "kv", "s/data/x", text="{a!raw}{b}")
    with pytest.raises(VaultError, match="it has no a, b, which"):
        make(lacking, {"data": {}, "metadata": {"version": 1}})
