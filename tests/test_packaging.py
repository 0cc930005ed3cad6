"""What a user installs: a wheel in an empty environment outside the tree, with nothing of this tree in reach."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist"
)
GOOD = "1 sip:192.0.2.1:5060 0 10\n"
BAD = "1 sip:192.0.2.1:99999 0 10\n"


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """In `cwd`, with an environment that knows neither this tree nor the environment that the tests run in."""
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    print(*command, done.stdout, done.stderr, f"exit code {done.returncode}", sep="\n")
    return done


def build(source: Path, out: Path, *what: str) -> Path:
    """The wheel of a copy of `source`, because a build leaves its traces (`build/`, egg-info) beside setup.py."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *what, source]
    assert run(*command, cwd=source).returncode == 0
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("packaging") / "source"
    return shutil.copytree(REPO, copy, symlinks=True, ignore=NOT_SOURCE)


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """By way of the sdist, as `python -m build` does and as distributors build."""
    return build(source, source.parent / "through-sdist")


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The bin directory of an empty environment that the wheel went into, dependencies as setup.py's ranges say."""
    home = wheel.parents[1] / "venv"
    venv.create(home, with_pip=True)
    assert run(home / "bin" / "python", "-m", "pip", "install", wheel, cwd=home).returncode == 0
    return home / "bin"


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_each_template_plugin_and_module(wheel: Path) -> None:
    data = {f"consul_kam/{d}/{p.name}" for d in ("templates", "plugins") for p in (REPO / d).iterdir() if p.is_file()}
    code = {str(p.relative_to(REPO)) for p in (REPO / "consul_kam").rglob("*.py")}
    assert (data | code | {"consul_kam/py.typed"}) - names(wheel) == set()
    assert {"consul_kam/templates/dispatcher.ctmpl", "consul_kam/plugins/kam-apply"} <= data


def test_the_wheel_holds_the_man_pages_where_man_finds_them(wheel: Path) -> None:
    found = {name.partition("/data/")[2] for name in names(wheel)}
    assert {"share/man/man1/consul-kam.1", "share/man/man5/consul-kam.toml.5"} <= found


def test_the_wheel_from_the_tree_and_the_one_from_the_sdist_hold_the_same(source: Path, wheel: Path) -> None:
    assert names(build(source, source.parent / "direct", "--wheel")) == names(wheel)


def test_check_passes_a_good_list(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "good.list").write_text(GOOD)
    assert run(installed / "consul-kam", "check", "dispatcher", "good.list", cwd=tmp_path).returncode == 0


def test_check_names_the_place_in_a_bad_list(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.list").write_text(GOOD + BAD)
    done = run(installed / "consul-kam", "check", "dispatcher", "bad.list", cwd=tmp_path)
    assert done.returncode == 1
    assert "bad.list:2:" in done.stdout + done.stderr


@pytest.mark.parametrize("plugin", ["kam-apply", "kam-check", "kam-rollback"])
def test_the_plugins_run(installed: Path, tmp_path: Path, plugin: str) -> None:
    done = run(installed / plugin, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert plugin in done.stdout


def test_templates_export(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "consul-kam", "templates", "export", tmp_path / "out", cwd=tmp_path).returncode == 0
    exported = {p.name for p in (tmp_path / "out").rglob("*.ctmpl")}
    assert exported == {p.name for p in (REPO / "templates").glob("*.ctmpl")}


def test_it_runs_as_a_module(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "python", "-m", "consul_kam", "version", cwd=tmp_path)
    assert done.returncode == 0
    assert str(REPO) not in done.stdout
