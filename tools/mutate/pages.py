from pathlib import Path


def write(copy: Path) -> int:
    raise NotImplementedError
