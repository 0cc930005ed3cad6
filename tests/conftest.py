"""For every suite: hypothesis without deadlines, because a shared machine's noise is no defect of ours, and the same
examples each time where slow tests are left out, since `./dev test` judges the change and not the draw; and a test that
eats the machine's memory is named, instead of the run being killed without a word.
"""

import faulthandler
import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("consul_kam", deadline=None, print_blob=True)
settings.register_profile("same", settings.get_profile("consul_kam"), derandomize=True)

MOST = 6 << 30
"""Bytes of memory that this process may hold: a whole run was seen to need under 1 GiB."""


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("same" if config.option.markexpr == "not slow" else "consul_kam")
    # Ignored where a shell put the run into the background, and then by all that is started here: some are sent it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_watch, args=(config,), name="memory", daemon=True).start()


def _watch(config: pytest.Config) -> None:
    while _resident() < MOST:
        threading.Event().wait(1)
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    os.write(2, f"\ncannot go on: the tests hold {_resident() >> 20} MiB of memory; what each thread does:\n".encode())
    faulthandler.dump_traceback(2)
    os._exit(1)


def _resident() -> int:
    """Bytes, as the kernel counts them [proc(5), statm]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
