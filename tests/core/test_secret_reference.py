"""`secret://NAME/FIELD`: what is one, and which fields a secret has."""

import pytest

from consul_kam.core.secret_reference import Reference, fields, read, why_no_field


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("secret://db/text", Reference("db", "text")),
        ("secret://a_9/certificate.pem", Reference("a_9", "certificate.pem")),
        ("secret://db/Up-1_x", Reference("db", "Up-1_x")),
        ("secret://Db/text", None),
        ("secret://9/text", None),
        ("secret://db", None),
        ("secret://db/", None),
        ("secret://db/..", None),
        ("secret://db/a/b", None),
        ("secret://db/-a", None),
        ("secret://db/text\n", None),
        (f"secret://{'a' * 32}/{'b' * 64}", Reference("a" * 32, "b" * 64)),
        (f"secret://{'a' * 33}/b", None),
        (f"secret://a/{'b' * 65}", None),
        (" secret://db/text", None),
        ("/db/text", None),
        ("", None),
    ],
)
def test_what_is_a_reference(text: str, found: Reference | None) -> None:
    assert read(text) == found


def test_the_fields_of_a_kind() -> None:
    assert fields("database", text=True) == ("username", "password", "text")
    assert fields("consul", text=False) == ("token",)
    assert fields("pki", text=False) == ("certificate.pem", "key.pem", "ca.pem", "bundle.pem")
    assert fields("kv", text=True) is None
    assert why_no_field("kv", False, "anything") == ""
    assert why_no_field("consul", False, "token") == ""
    assert why_no_field("database", True, "text") == ""
    assert why_no_field("database", False, "text") == "one of its fields username, password"
    assert why_no_field("pki", True, "x") == "one of its fields certificate.pem, key.pem, ca.pem, bundle.pem, text"
