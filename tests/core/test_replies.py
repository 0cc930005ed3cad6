"""Replies of another shape than expected, word for word: the message is all that an operator has."""

import pytest

from consul_kam.core import replies
from consul_kam.core.ports import Value
from consul_kam.errors import RpcMalformed

ROW: Value = (("name", "a"), ("size", "1"), ("name", "b"), ("size", "2"))


def test_members_that_come_again_and_again_are_rows() -> None:
    assert replies.repeated(ROW, ("name", "size"), "x.list") == [{"name": "a", "size": "1"}, {"name": "b", "size": "2"}]
    assert replies.repeated((), ("name",), "x.list") == []


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: replies.struct("odd", "x.list"), "expected a struct, got 'odd'"),
        (lambda: replies.members("odd", "x.list"), "expected a struct, got 'odd'"),
        (
            lambda: replies.repeated((*ROW, ("name", "c")), ("name", "size"), "x.list"),
            "expected as many of each member, got 3 name, 2 size",
        ),
        (lambda: replies.text({"a": ROW}, "a", "x.list"), f"expected text in a, got {ROW!r}"[:40]),
        (lambda: replies.text({}, "a", "x.list"), "expected text in a, got None"),
        (lambda: replies.number({"a": "1x"}, "a", "x.list"), "expected a number in a, got '1x'"),
        (lambda: replies.word({"a": "no"}, "a", ("on", "off"), "x.list"), "expected on or off in a, got 'no'"),
    ],
)
def test_what_is_expected_and_what_came_is_told(read, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RpcMalformed) as error:
        read()
    assert str(error.value).startswith(f"cannot read x.list: {message}")
