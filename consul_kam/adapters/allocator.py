"""The C library's memory, kept thriftily: each list passes through as blocks of megabytes, in several threads, and
glibc would keep what they leave behind, in an arena for each thread.
"""

import contextlib
import ctypes

# malloc.h; each is also an environment variable, mallopt(3)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
BLOCK = 128 * 1024
"""Bytes: glibc's own default, which it raises to 32 MiB by itself unless it is set."""


def thrifty() -> None:
    """For the process; before its threads begin. Another C library than glibc is left as it is."""
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_TRIM_THRESHOLD, BLOCK)
        mallopt(_M_MMAP_THRESHOLD, BLOCK)
