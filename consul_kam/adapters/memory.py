"""Whether a place is in memory alone: what lies there is never written to a disk by itself."""

import ctypes
import os
from pathlib import Path

_IN_MEMORY = (0x01021994, 0x858458F6)
"""f_type of tmpfs and ramfs [statfs(2)]."""


def in_memory(path: Path) -> bool:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    told = ctypes.create_string_buffer(256)  # struct statfs has 120 bytes at most
    if libc.statfs(os.fsencode(path), told):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return int(ctypes.c_long.from_buffer(told).value) & 0xFFFFFFFF in _IN_MEMORY
