"""Certificates that openssl made, and what somebody might make of them."""

import base64
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.certificate import MOST, Certificate, NoCertificate, blocks, moment, read

OLD = """\
-----BEGIN CERTIFICATE-----
MIHSMIGFAhRwtU57dnA/GYtb1mF4srDeF2bs0DAFBgMrZXAwDDEKMAgGA1UEAwwB
YTAeFw0yNTAxMDEwMDAwMDBaFw0yNTA0MDEwMDAwMDBaMAwxCjAIBgNVBAMMAWIw
KjAFBgMrZXADIQCwBbHGmwsQcAaCfCZuUDEzrgKizsNUIb0JajwcR2it8jAFBgMr
ZXADQQB1/+NzTcWsOR7AiYZAJMVJBVWxAPg06b76fAcIqU2GDkuMOVesk5mXt5Rd
VPaH2cVr/LUveRVu1KcF6fzeAqEL
-----END CERTIFICATE-----
"""
"""Version 1, three months of 2025."""
LONG = """\
-----BEGIN CERTIFICATE-----
MIHUMIGHAhQLAW6w05zPuZ2sPopIiTFXdicY9DAFBgMrZXAwDDEKMAgGA1UEAwwB
YTAgFw05OTAxMDEwMDAwMDBaGA8yMDYwMDEwMTAwMDAwMFowDDEKMAgGA1UEAwwB
YjAqMAUGAytlcAMhALAFscabCxBwBoJ8Jm5QMTOuAqLOw1QhvQlqPBxHaK3yMAUG
AytlcANBAL34xgQTuvddvpRbwzQCy2lufiSqcLdwcX1IVSRb4NzvwYlWooNQJuUL
8ygNt6IpOsW2SDiGOCX3kwpNC05W1QM=
-----END CERTIFICATE-----
"""
"""From 1999, a UTCTime, to 2060, a GeneralizedTime."""
DER = blocks(OLD.encode())[0]


def element(kind: int, *parts: bytes) -> bytes:
    """Short ones in DER, long ones with a length of two bytes."""
    body = b"".join(parts)
    length = bytes([len(body)]) if len(body) < 0x80 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([kind]) + length + body


def made(
    *before: bytes,
    serial: bytes = b"\x02\x01\x07",
    begins: bytes = b"250101000000Z",
    kind: int = 0x17,
    more: bytes = b"",
) -> bytes:
    validity = element(0x30, element(kind, begins), element(0x18, b"20300101000000Z"))
    return element(0x30, element(0x30, *before, serial, element(0x30), element(0x30), validity, more))


def test_what_openssl_says_of_it() -> None:
    found = read(DER)
    assert found.serial == "70b54e7b76703f198b5bd66178b2b0de1766ecd0"
    assert found.fingerprint.upper().startswith("B60566018063C0835A47E5F5A7C4102BCEA96E9A")
    assert (moment(found.begins), moment(found.ends)) == ("2025-01-01T00:00:00Z", "2025-04-01T00:00:00Z")
    (long,) = blocks(LONG.encode())
    assert [moment(at) for at in (read(long).begins, read(long).ends)] == [
        "1999-01-01T00:00:00Z",
        "2060-01-01T00:00:00Z",
    ]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host five hours west of UTC."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_its_times_are_utc_wherever_the_host_is() -> None:
    found = read(DER)
    assert (found.begins, moment(found.begins)) == (1_735_689_600, "2025-01-01T00:00:00Z")


def test_a_version_before_the_serial_and_long_lengths() -> None:
    found = read(made(b"\xa0\x03\x02\x01\x02", more=element(0x30, b"x" * 300)))
    assert (found.serial, moment(found.begins), moment(found.ends)) == (
        "07", "2025-01-01T00:00:00Z", "2030-01-01T00:00:00Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("der", "said"),
    [
        (b"", "it ends in the middle"),
        (DER[:40], "it ends in the middle"),
        (b"\x30\x02\x05\x00", "it has another shape"),
        (b"\x04\x02\x05\x00", "it has another shape"),
        (made(serial=b"\x04\x01\x07"), "it has no serial number"),
        (made(begins=b"250101000000"), "its dates cannot be read"),
        (made(begins=b"251301000000Z"), "its dates cannot be read"),
        (made(begins=b"2501010000\xff0Z"), "its dates cannot be read"),
        (made(kind=0x18), "its dates cannot be read"),
        (made(kind=0x18, begins=b"2025010100000Z"), "its dates cannot be read"),
        (made(kind=0x16, begins=b"20250101000000Z"), "its dates cannot be read"),
        (made(kind=0x16), "its dates cannot be read"),
    ],
)
def test_what_is_none_is_told(der: bytes, said: str) -> None:
    with pytest.raises(NoCertificate, match=f"^{said}$"):
        read(der)


@given(
    st.binary(max_size=300)
    | st.builds(lambda at, byte: DER[:at] + byte + DER[at + 1 :], st.integers(0, 210), st.binary(max_size=2))
)
def test_whatever_it_is_it_is_read_or_refused(der: bytes) -> None:
    with suppress(NoCertificate):
        assert len(read(der).fingerprint) == 64


def test_the_certificates_of_a_file_in_their_order() -> None:
    crlf = LONG.replace("\n", "\r\n")
    assert blocks(f"bag attributes\n{OLD}\n{crlf}-----BEGIN PRIVATE KEY-----\nx\n".encode()) == [
        DER,
        *blocks(LONG.encode()),
    ]
    with pytest.raises(NoCertificate, match=r"^there is no BEGIN CERTIFICATE in it$"):
        blocks(b"-----BEGIN PRIVATE KEY-----\n")
    for body in ("A", "QQ==QQ=="):
        with pytest.raises(NoCertificate, match=r"^what stands between BEGIN and END is no base64$"):
            blocks(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode())
    assert len(blocks(OLD.encode() * MOST)) == MOST
    with pytest.raises(NoCertificate, match=f"more than {MOST}"):
        blocks(OLD.encode() * (MOST + 1))


def test_its_end_is_near_in_the_last_third() -> None:
    found = Certificate("1", 1000.0, 1300.0, "f")
    assert [found.near(at) for at in (1000, 1200, 1201, 1300, 2000)] == [False, False, True, True, True]


def test_when_nobody_accepts_it() -> None:
    found = Certificate("1", 1000.0, 1300.0, "f")
    assert [found.why_not(at) for at in (1000, 1299)] == ["", ""]
    assert found.why_not(999) == "it is not valid before 1970-01-01T00:16:40Z"
    assert found.why_not(1300) == "it expired at 1970-01-01T00:21:40Z"


def test_base64_of_a_line_that_is_cut() -> None:
    lines = base64.encodebytes(DER).decode()
    assert blocks(f"-----BEGIN CERTIFICATE-----{lines}-----END CERTIFICATE-----".encode()) == [DER]
