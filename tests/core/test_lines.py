"""Which notation a file is in."""

import pytest

from consul_kam.core.lines import MAX_BYTES, check_size, is_staging
from consul_kam.errors import ListError


@pytest.mark.parametrize("data", [b"{}", b"\n \r\n\t{", b'{"setid":1}\n'])
def test_what_begins_with_an_object_is_staging(data: bytes) -> None:
    assert is_staging(data)


@pytest.mark.parametrize("data", [b"", b" \n", b"1 sip:a", b"# {", b'\n"{"', b"[{}]"])
def test_all_else_is_native(data: bytes) -> None:
    assert not is_staging(data)


def test_a_file_may_be_as_long_as_allowed_and_hold_anything_but_blanks() -> None:
    check_size("list", b"XX")
    check_size("list", b"x" * MAX_BYTES)
    for data, reason in (
        (b" \t\r\n", "it is empty: "),
        (b"x" * (MAX_BYTES + 1), "it is 67108865 bytes long, allowed: 67108864"),
    ):
        with pytest.raises(ListError) as error:
            check_size("list", data)
        assert str(error.value).startswith(f"cannot use list:0:0: {reason}")
