"""What the role says of itself: variables in three places, settings and those of the examples, validators, lint."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.role.play import NEWEST, REPO, ROLES

ROLE = ROLES / "consul_kam"
OPTIONS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
VARS = yaml.safe_load((ROLE / "vars/main.yml").read_text())
TABLE = re.findall(
    r"^\| `(consul_kam_\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", (ROLE / "README.md").read_text(), re.MULTILINE
)
UNPROVED = {
    "consul_template.yml": 1,
    "consul_template_vendor.yml": 2,
    "release_make.yml": 3,
    "apply.yml": 1,
    "service.yml": 1,
    "uninstall.yml": 1,
}
"""Files without a validator, and why: a checksum of ours, a key and a source of apt's; the wheel, the wheelhouse, the
mark; the record of what was applied; a copy of a configuration that just proved itself; one on its way out.
"""


def test_every_variable_but_the_role_has_its_default_in_both_files() -> None:
    said = {name: option["default"] for name, option in OPTIONS.items() if "default" in option}
    assert said == DEFAULTS
    assert set(OPTIONS) - set(said) == {"consul_kam_role"}
    assert OPTIONS["consul_kam_role"]["required"] is True


def test_every_variable_says_what_it_takes_and_what_it_means() -> None:
    for name, option in OPTIONS.items():
        assert option["type"] in ("str", "int", "bool", "dict", "path"), name
        assert option["description"].endswith("."), name
        assert option.get("default") in (*option.get("choices", [option.get("default")]), None), name


def test_readme_has_every_variable_in_order() -> None:
    assert [name for name, *_ in TABLE] == list(OPTIONS)
    for name, value, default, meaning in TABLE:
        option = OPTIONS[name]
        assert value == (", ".join(f"`{choice}`" for choice in option.get("choices", [])) or option["type"]), name
        assert meaning == re.sub(r"C\(([^)]*)\)", r"`\1`", option["description"]), name
        if "default" in option and "{{" not in str(option["default"]):
            word = {"": '""', "True": "true", "False": "false"}.get(str(option["default"]), str(option["default"]))
            assert default == f"`{word}`", name


def test_secrets_are_marked() -> None:
    assert {name for name, option in OPTIONS.items() if option.get("no_log")} == {
        "consul_kam_consul_token",
        "consul_kam_index_url",
        "consul_kam_consul_agent_settings",
    }


def test_no_variable_is_used_that_is_not_said() -> None:
    files = [path for path in ROLE.rglob("*") if path.is_file() and path.suffix in (".yml", ".j2")]
    texts = [path.read_text() for path in files if "molecule" not in path.parts]  # its plays have names of their own
    used = {name for text in texts for name in re.findall(r"(?<![\w/])consul_kam_[a-z]\w*", text)}
    registered = {name for text in texts for name in re.findall(r"(?<![\w/])__consul_kam_\w+", text)}
    assert used <= set(OPTIONS), used - set(OPTIONS)
    assert registered  # what is not part of the interface begins otherwise


@pytest.mark.parametrize("role", ["sbc", "router"])
def test_settings_are_those_of_the_examples(role: str) -> None:
    shipped = tomllib.loads((REPO / f"examples/kamailio/{role}.toml").read_text())
    assert shipped.pop("node") == {"role": role}
    assert shipped.pop("registration").keys() == {"address"}
    ours = yaml.safe_load(
        yaml.safe_dump(VARS["__consul_kam_settings_of"][role]).replace(
            "{{ __consul_kam_live }}", VARS["__consul_kam_live"]
        )
    )
    del ours["registration"]
    assert ours == shipped


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """Each task of a file, those in blocks too."""
    todo = list(yaml.safe_load(path.read_text()))
    while todo:
        task = todo.pop(0)
        yield task
        for part in ("block", "rescue", "always"):
            todo = [*task.get(part, []), *todo]


def test_every_file_is_proved_before_it_is_put_in_place() -> None:
    unproved: dict[str, int] = {}
    proved = 0
    for path in sorted((ROLE / "tasks").glob("*.yml")):
        for task in tasks(path):
            for module in ("copy", "template", "get_url"):
                if (words := task.get(f"ansible.builtin.{module}")) is not None:
                    assert words["mode"], task["name"]
                    assert words["owner"] == "root", task["name"]
                    if "validate" in words:
                        proved += 1
                    else:
                        unproved[path.name] = unproved.get(path.name, 0) + 1
    assert unproved == UNPROVED
    assert proved >= 14


def test_modules_are_ansibles_own() -> None:
    for path in [*(ROLE / "tasks").glob("*.yml"), *(ROLE / "handlers").glob("*.yml")]:
        for task in tasks(path):
            assert any(key.startswith("ansible.builtin.") or key == "block" for key in task), task["name"]


def test_where_the_token_is_nothing_is_shown() -> None:
    (task,) = [each for each in tasks(ROLE / "tasks/configure.yml") if each["name"] == "Consul's token"]
    assert (task["no_log"], task["diff"]) == (True, False)


@pytest.mark.parametrize(
    "words",
    [
        ["ansible-lint", "--offline", "--profile", "production", "--strict", "--nocolor", "-q"],
        ["yamllint", "--strict", "."],
    ],
    ids=lambda words: str(words[0]),
)
def test_lint(words: list[str]) -> None:
    env = {"PATH": f"{NEWEST / 'bin'}:/usr/bin:/bin", "HOME": str(Path.home()), "LANG": "C.UTF-8"}
    done = subprocess.run(
        words, cwd=REPO / "ansible", env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
