"""ansible/README.md: each line of "From an empty inventory to calls" is typed as it stands, and does what it says."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ansible.fleet.site import Site
from tests.hosts.packages import PYTHON, build_wheel
from tests.lab.process import program

REPO = Path(__file__).parents[3]
HOSTS = ("sbc1", "router1", "router2")
HEADING = "## From an empty inventory to calls\n"


def lines() -> list[tuple[str, str]]:
    """(where, line) of each line that is indented; where: outside, inside or beside."""
    text = (REPO / "ansible" / "README.md").read_text().split(HEADING)[1].split("\n## ")[0]
    where, found = "", []
    for line in text.splitlines():
        if marker := re.fullmatch(r"<!-- (\w+) -->", line):
            where = marker[1]
        elif line.startswith("    "):
            found.append((where, line.strip()))
    return found


class Newcomer:
    """Three bare hosts, a machine with this tree, and somebody who types."""

    def __init__(self, site: Site) -> None:
        self.site, self._place, self._path = site, site.tree, str(site.tree / ".venv/ansible-only/bin")
        self.said: dict[str, str] = {}

    def type(self, where: str, line: str) -> None:
        if line.startswith("cd "):
            self._place = self._place / line.removeprefix("cd ")
        elif where == "outside":
            done = subprocess.run(["sh", "-ec", line], cwd=self._place, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        elif where == "beside":
            self.site.typed(f"cd {self._place}; exec {line}")
            time.sleep(1)  # as whoever goes to another terminal does
        else:
            self.said[line] = self.site.shell(f"cd {self._place}; PATH={self._path}:$PATH; {line}")


@pytest.mark.slow
def test_from_an_empty_inventory_to_calls(tmp_path: Path) -> None:
    suite = {python: suite for suite, python in PYTHON.items()}[".".join(map(str, sys.version_info[:2]))]
    with Site(tmp_path / "site", suite) as site:
        shutil.rmtree(site.tree)
        shutil.copytree(REPO, site.tree, symlinks=True, ignore=_not_cloned)
        (site.tree / "bin").mkdir()
        for name in ("consul", "consul-template"):
            shutil.copy(program(name), site.tree / "bin" / name)
        site.boot(*HOSTS, programs=False)
        newcomer = Newcomer(site)
        for where, line in lines():
            if "99.0" in line:
                shutil.copy(build_wheel(tmp_path / "next", "99.0"), site.tree / "wheels")
            newcomer.type(where, line)
        said = newcomer.said
    proof = next(text for line, text in said.items() if line.startswith("sipp"))
    assert re.search(r"Successful call +\| +\d+ +\| +100 ", proof), proof[-3000:]
    assert re.search(r"Failed call +\| +\d+ +\| +0 ", proof), proof[-3000:]


def _not_cloned(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name in (".git", ".venv", "__pycache__") or name.endswith(".egg-info")]


def test_the_path_is_there() -> None:
    assert {where for where, _ in lines()} == {"outside", "inside", "beside"}
    assert sum("ansible-playbook" in line for _, line in lines()) >= 8
    assert all(os.access(REPO / "ansible" / name, os.R_OK) for name in ("call.xml", "answer.xml"))
