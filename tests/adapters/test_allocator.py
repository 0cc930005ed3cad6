"""glibc's heap, in a process of its own: what it does depends on all that was allocated before."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from pathlib import Path
from consul_kam.adapters import allocator

if sys.argv[1] == "thrifty":
    allocator.thrifty()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(30 << 20))  # from now on, unless told otherwise, glibc keeps blocks up to this size
block = libc.malloc(20 << 20)
ctypes.memset(block, 1, 20 << 20)
behind = [libc.malloc(1 << 10) for _ in range(1000)]
libc.free(block)
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024)
"""


@pytest.mark.parametrize(("how", "keeps"), [("thrifty", False), ("as it is", True)])
def test_a_block_that_is_free_goes_back_to_the_kernel(how: str, keeps: bool) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=60, check=True)
    assert (int(done.stdout) > 25) is keeps, f"{done.stdout} MiB are resident"
