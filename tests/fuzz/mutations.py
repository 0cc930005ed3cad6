"""Inputs that begin from a seed and have a few accidents, for hypothesis: what it finds it makes small."""

from collections.abc import Sequence

from hypothesis import strategies as st

PIECES = (
    b"\0", b"\n", b"\r\n", b"\\", b'"', b"'", b"{", b"}", b"[", b"]", b"[" * 400, b'{"a":' * 400, b":", b",", b";",
    b"=", b"#", b" ", b"\t", b"\x7f", b"\x1b[2J", b"\xff", b"\xed\xa0\x80", "\u2028".encode(), "\u0661".encode(),
    b"\\ud800", b"0", b"-1", b"9" * 30, b"9" * 5_000, b"1e999", b"NaN", b"-Infinity", b"null", b"true",
    b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x03", b"\x83", b"\x80", b"x" * 1_100, b"@", b"@ID@", b"..", b"%",
    b"::", b"0.0.0.0",
)  # fmt: skip
"""Where parsers tend to fail."""


@st.composite
def near(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with up to six accidents; now and then bytes of no seed at all."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.sampled_from((0, 0, 1, 1, 2, 5, 40))))
        data = data[:at] + draw(_piece(data, seeds)) + data[to:]
    return data


def _piece(data: bytes, seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A known trouble, anything, nothing, a part of another seed, or of the same once more."""
    return st.one_of(
        st.sampled_from(PIECES),
        st.binary(max_size=4),
        st.just(b""),
        st.builds(
            lambda seed, at, size: seed[at : at + size], st.sampled_from(seeds), st.integers(0, 200), st.integers(0, 60)
        ),
        st.builds(lambda at, size: data[at : at + size], st.integers(0, 200), st.integers(0, 60)),
    )
