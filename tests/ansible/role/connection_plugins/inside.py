"""Ansible's way into a booted host of tests/hosts: its namespaces are entered from here, as root. No sshd, no network.

Real ssh is tests/ansible/fleet's matter. What is made has umask 077, as root's is on a hardened host: whoever counts on
another one is found out.
"""

import subprocess
from typing import Any

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: inside
short_description: enter the namespaces of a process
description: [runs commands in the namespaces of a process, by nsenter]
author: consul_kam
options:
  leader:
    description: process 1 of the host, by our number
    type: int
    required: true
    vars: [{name: inside_leader}]
  skipped:
    description: namespaces that are not entered, such as --no-net
    type: str
    default: --all
    vars: [{name: inside_namespaces}]
"""
_ENV = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")


class Connection(ConnectionBase):  # type: ignore[misc]
    transport = "inside"
    has_pipelining = True

    def _connect(self) -> "Connection":
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        done = self._run("sh", "-c", f"umask 077; {cmd}", given=in_data or b"")
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        with open(in_path, "rb") as file:
            self._run("sh", "-c", 'umask 077; cat >"$0"', out_path, given=file.read(), check=True)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        with open(out_path, "wb") as file:
            file.write(self._run("cat", in_path, check=True).stdout)

    def close(self) -> None:
        self._connected = False

    def _run(self, *argv: str, given: bytes = b"", check: bool = False) -> subprocess.CompletedProcess[Any]:
        words = str(self.get_option("skipped")).split()
        enter = ["nsenter", "--target", str(self.get_option("leader")), *words, *_ENV]
        return subprocess.run([*enter, *argv], input=given, capture_output=True, check=check)
