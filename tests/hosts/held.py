"""`python -m tests.hosts.held DIRECTORY SUITE`: a host until SIGTERM, for Molecule, whose steps are processes.

Below DIRECTORY lie `wheels` (this tree's, and all that it needs) and, once the host is up, `held.json`: leader, pid.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from tests.hosts.host import Host
from tests.hosts.packages import build_wheel, wheelhouse
from tests.lab.process import program


def main(directory: Path, suite: str) -> None:
    wheels = directory / "wheels"
    wheels.mkdir(parents=True)
    wheel = build_wheel(directory / "build")
    for each in (wheel, *wheelhouse(suite, wheel).iterdir()):
        shutil.copy(each, wheels)
    binds = {Path(program(name)): f"/usr/local/bin/{name}" for name in ("consul", "consul-template")}
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before threads and processes: none of them ends by it
    with Host(directory / "host", suite, binds=binds) as host:
        (directory / "held.new").write_text(json.dumps({"leader": host.leader, "pid": os.getpid()}))
        (directory / "held.new").rename(directory / "held.json")
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
