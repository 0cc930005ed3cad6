"""No core of this process: it holds secrets, and a core is a file."""

import contextlib
import ctypes

_PR_SET_DUMPABLE = 4
"""prctl(2)"""


def refuse() -> None:
    """For this process, not for what it starts. Nobody of the same user reads its memory or environment either, but by
    root's rights [ptrace(2)]. Another C library than glibc or musl is left as it is.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
