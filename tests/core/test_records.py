"""How records tell where they come from."""

import pytest

from consul_kam.core.records import Source


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (Source(), "static"),
        (Source(id="r1"), "r1"),
        (Source("router", "r1"), "router/r1"),
        (Source("router", "r1", "n1"), "router/r1 on n1"),
        (Source("router", "r1", "n1", "dc2", "passing"), "router/r1 on n1 in dc2"),
        (Source("router", "é", "n1"), "router/é on n1"),
        (Source("router", "a\nb", "\x1b[31m"), r"router/a\nb on \x1b[31m"),
    ],
)
def test_a_source_is_one_line(source: Source, text: str) -> None:
    assert str(source) == text
