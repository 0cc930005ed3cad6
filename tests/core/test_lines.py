"""Which notation a file is in."""

import pytest

from consul_kam.core.lines import is_staging


@pytest.mark.parametrize("data", [b"{}", b"\n \r\n\t{", b'{"setid":1}\n'])
def test_what_begins_with_an_object_is_staging(data: bytes) -> None:
    assert is_staging(data)


@pytest.mark.parametrize("data", [b"", b" \n", b"1 sip:a", b"# {", b'\n"{"', b"[{}]"])
def test_all_else_is_native(data: bytes) -> None:
    assert not is_staging(data)
