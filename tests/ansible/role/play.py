"""Plays the role on one booted host, as a user's playbook would, and says what Ansible did."""

import hashlib
import json
import re
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.hosts.host import Host
from tests.lab.process import LabError, program

REPO = Path(__file__).parents[3]
ROLES = REPO / "ansible" / "roles"
NEWEST, OLDEST = REPO / ".venv" / "ansible", REPO / ".venv" / "ansible-oldest"
"""Where ./dev puts the newest ansible-core that this machine can have, and the oldest that the role declares."""
_PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: consul_kam
        tasks_from: {tasks}
        apply: {{tags: always}}
      tags: always
"""
_ROLE = """\
- hosts: all
  gather_facts: false
  roles: [consul_kam]
"""


class Played(NamedTuple):
    """`counts`: of PLAY RECAP, such as changed and failed. `tasks`: name -> words such as "ok", "changed", in order."""

    code: int
    said: str
    counts: dict[str, int]
    tasks: list[tuple[str, str]]

    def did(self, task: str) -> list[str]:
        """What became of the tasks whose name ends so."""
        return [word for name, word in self.tasks if name.endswith(task)]

    @property
    def changed(self) -> list[str]:
        return [name for name, word in self.tasks if word == "changed"]


class Controller:
    """`Controller(tmp_path, host, consul_kam_role="sbc").play("--check")`. `variables`: the host's in the inventory."""

    def __init__(self, directory: Path, host: Host, venv: Path = NEWEST, **variables: Any) -> None:
        self.host, self.venv, self.variables = host, venv, dict(variables)
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def play(
        self, *words: str, tasks_from: str = "", check: bool = True, timeout: float = 900.0, **variables: Any
    ) -> Played:
        """`variables` win over the inventory's. LabError where a task failed, unless `check` is False."""
        inventory, playbook = self.directory / "inventory.json", self.directory / "play.yml"
        inside = {
            "ansible_connection": "inside",
            "ansible_python_interpreter": "/usr/bin/python3",
            "inside_leader": self.host.leader,
        }
        given = {**inside, **self.variables, **variables}
        inventory.write_text(json.dumps({"all": {"hosts": {"node": given}}}))
        playbook.write_text(_PLAYBOOK.format(tasks=tasks_from) if tasks_from else _ROLE)
        argv = [str(self.venv / "bin" / "ansible-playbook"), "-i", str(inventory), str(playbook), *words]
        done = subprocess.run(
            argv,
            env=self._environment(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        said = done.stdout + done.stderr
        with (self.directory / "ansible.log").open("a") as log:
            log.write(said)
        if check and done.returncode:
            raise LabError(f"cannot play the role: {done.returncode}\n{said[-6000:]}")
        return Played(done.returncode, said, _counts(done.stdout), _tasks(done.stdout))

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "ANSIBLE_ROLES_PATH": str(ROLES),
            "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).parent / "connection_plugins"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_PIPELINING": "1",
        }


def _counts(said: str) -> dict[str, int]:
    found = re.search(r"^node +: (.*)$", said, re.MULTILINE)
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", found[1])} if found else {}


def _tasks(said: str) -> list[tuple[str, str]]:
    tasks, name = [], ""
    for line in said.splitlines():
        if begun := re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\]", line):
            name = begun[1]
        elif word := re.match(r"(ok|changed|skipping|failed|fatal): \[node", line):
            tasks.append((name, word[1]))
    return tasks


def consul_template() -> dict[str, str]:
    """Variables that name this machine's consul-template, as the controller has it."""
    found = program("consul-template")
    with open(found, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"consul_kam_consul_template_file": found, "consul_kam_consul_template_sha256": digest}


def variant(wheel: Path, version: str, directory: Path, **broken: str) -> Path:
    """The wheel under another version. `broken`: module of consul_kam ("app.wiring") -> a line that ends it."""
    old = wheel.name.split("-")[1]
    target = directory / wheel.name.replace(old, version)
    directory.mkdir(parents=True, exist_ok=True)
    lines = {f"consul_kam/{name.replace('.', '/')}.py": f"\n{line}\n" for name, line in broken.items()}
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for item in source.infolist():
            data = source.read(item)
            if item.filename.endswith(("dist-info/METADATA", "dist-info/RECORD", "consul_kam/__init__.py")):
                data = data.replace(old.encode(), version.encode())
            data += lines.pop(item.filename, "").encode()
            item.filename = item.filename.replace(f"-{old}.dist-info", f"-{version}.dist-info")
            made.writestr(item, data)
    assert not lines, f"no such modules: {lines}"
    return target
