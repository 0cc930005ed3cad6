"""When another consul-template is needed: by what its files hold, not by when they were written."""

from pathlib import Path

import pytest

from consul_kam.app.read_once import ReadOnce
from consul_kam.settings.node import Consul
from tests.lab.secure_ca import Authority

ADDRESS = "https://127.0.0.1:8501"


def test_a_token_that_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    known = ReadOnce(Consul(address=ADDRESS, token_file=str(file)))
    first = known.marks
    file.write_text("one")
    assert known.changed() == ""
    for unusable in (b"", b" \n", None):
        file.write_bytes(unusable) if unusable is not None else file.unlink()
        assert (known.changed(), known.marks) == ("", first)
    file.write_text("two")
    assert known.changed() == "Consul's token changed"
    assert ReadOnce(Consul(address=ADDRESS, token_file=str(file))).marks != first
    known.take()
    assert (known.changed(), known.marks == first) == ("", False)
    assert not any("two" in mark for mark in known.marks)


def test_another_token_while_none_could_be_read_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "token"
    known = ReadOnce(Consul(address=ADDRESS, token_file=str(file)))
    assert (known.changed(), known.marks) == ("", [])
    file.write_text("one")
    assert known.changed() == "Consul's token changed"


def test_authorities_that_are_others_and_usable(tmp_path: Path) -> None:
    old, new, file = Authority(tmp_path / "old", "old"), Authority(tmp_path / "new", "new"), tmp_path / "ca.pem"
    file.write_text(old.certificate.read_text())
    known = ReadOnce(Consul(address=ADDRESS, ca_file=str(file)))
    first = known.marks
    assert (known.wrong(), known.changed(), len(first)) == ("", "", 1)
    for unusable in ("", "no certificate"):
        file.write_text(unusable)
        assert known.changed() == ""
        assert known.wrong().startswith(f"cannot use the authorities {file}: there is no BEGIN CERTIFICATE in it; mend")
    file.write_text(old.certificate.read_text() + new.certificate.read_text())
    assert (known.wrong(), known.changed()) == ("", "the authorities for Consul changed")
    known.take()
    assert (known.changed(), known.marks == first) == ("", False)


def test_authorities_that_are_the_same_are_not_judged_again(tmp_path: Path) -> None:
    """It is asked each second, and OpenSSL takes milliseconds for a system's authorities."""
    asked: list[str] = []

    class Judging(ReadOnce):
        def wrong(self) -> str:
            asked.append(super().wrong())
            return asked[-1]

    old, new, file = Authority(tmp_path / "old", "old"), Authority(tmp_path / "new", "new"), tmp_path / "ca.pem"
    file.write_text(old.certificate.read_text())
    known = Judging(Consul(address=ADDRESS, ca_file=str(file)))
    asked.clear()
    assert [known.changed() for _ in range(5)] == [""] * 5
    file.write_text(old.certificate.read_text())
    assert (known.changed(), asked) == ("", [])
    file.write_text(new.certificate.read_text())
    assert (known.changed(), asked) == ("the authorities for Consul changed", [""])


def test_with_a_certificate_of_ours_its_authorities_are_followed_with_it(tmp_path: Path) -> None:
    old, new, file = Authority(tmp_path / "old", "old"), Authority(tmp_path / "new", "new"), tmp_path / "ca.pem"
    file.write_text(old.certificate.read_text())
    certificate, key = old.issue(tmp_path / "ours").names
    given = Consul(address=ADDRESS, ca_file=str(file), cert_file=certificate, key_file=key)
    known = ReadOnce(given)
    assert (known.changed(), len(known.marks)) == ("", 1)
    file.write_text(old.certificate.read_text() + new.certificate.read_text())
    assert known.changed() == "its certificate for Consul changed"
    before = known.marks
    new.issue(tmp_path / "ours")
    assert known.changed() == "its certificate for Consul changed"
    assert known.marks != before
    Path(key).write_text("no key")
    assert known.changed() == ""
    assert known.wrong().startswith(f"cannot use the key {key} with {certificate}")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8500", "http://127.0.0.1:8500", "unix:///run/consul", "https://[", "https://"]
)
def test_without_tls_there_is_nothing_to_be_wrong(address: str) -> None:
    known = ReadOnce(Consul(address=address))
    assert (known.wrong(), known.changed(), known.marks) == ("", "", [])
