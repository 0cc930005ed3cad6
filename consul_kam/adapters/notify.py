"""The operator's alert command: JSON on its standard input, killed when it takes too long."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any


def alert(command: Sequence[str], entry: dict[str, Any], environment: Mapping[str, str], deadline: float) -> str:
    """Run `command`, without a shell, with `entry`, in that environment, for at most `deadline` s. Returns "" or what
    went wrong.
    """
    try:
        done = subprocess.run(
            list(command),
            input=json.dumps(entry).encode(),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=deadline,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"cannot alert: {command[0]} took over {deadline:.0f} s and was killed"
    except OSError as error:
        return f"cannot alert: {command[0]}: {error.strerror}"
    return "" if done.returncode == 0 else f"cannot alert: {command[0]} ended with {done.returncode}"
