"""What this very process uses."""

import os
import resource

PAGE = os.sysconf("SC_PAGE_SIZE")


def own() -> tuple[int, float]:
    """Resident memory (bytes) and processor time (s) [proc_pid_statm(5), getrusage(2)]. Raises OSError."""
    with open("/proc/self/statm", "rb") as file:
        resident = int(file.read().split()[1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return resident * PAGE, used.ru_utime + used.ru_stime
