"""The example inventories, as each ansible-core reads them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.role.play import NEWEST, OLDEST, REPO


@pytest.mark.parametrize("core", [NEWEST, OLDEST], ids=["newest", "oldest"])
def test_numbers_are_numbers(core: Path) -> None:
    """ansible-core 2.16 makes strings of them where each value has an expression of its own."""
    agent = variable(core, "c4", "consul1", "consul_kam_consul_agent_settings")
    assert (agent["bootstrap_expect"], agent["server"]) == (3, True)
    assert agent["retry_join"] == ["192.0.2.41", "192.0.2.42", "192.0.2.43"]
    assert variable(core, "minimal", "sbc1", "consul_kam_consul_agent_settings")["bootstrap_expect"] == 1
    weights = [variable(core, "c4", f"router{n}", "consul_kam_settings")["registration"]["weight"] for n in (1, 2)]
    assert weights == [10, 5]


def variable(core: Path, inventory: str, host: str, name: str) -> dict[str, Any]:
    """What a play on this host finds under this name."""
    ansible = [core / "bin" / "ansible", "-i", REPO / "ansible" / "inventories" / inventory, host]
    debug = ["-m", "ansible.builtin.debug", "-a", f"var={name}"]
    env = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run([*ansible, *debug], capture_output=True, text=True, timeout=120, check=True, env=env)
    found: dict[str, Any] = json.loads(done.stdout.partition("=>")[2])[name]
    return found
