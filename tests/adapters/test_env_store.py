"""The last good environment on disk."""

import stat
from pathlib import Path

import pytest

from consul_kam.adapters.env_store import EnvStore
from consul_kam.core.env import Value
from consul_kam.core.env_known import Known
from consul_kam.errors import ConsulKamError

KNOWN = Known({"A": Value("1", "g/A")}, 5.0, {"d": {"A": "1"}}, "d")


def test_it_comes_back_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    store = EnvStore(tmp_path / "state" / "env")
    assert store.load() == Known()
    store.save(KNOWN)
    assert EnvStore(tmp_path / "state" / "env").load() == KNOWN
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "{", "[]", '{"values": 1}', "\xff", "[" * 100_000])
def test_what_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    store = EnvStore(tmp_path)
    store.path.write_text(text, encoding="latin-1")
    with pytest.raises(ConsulKamError, match=r"cannot read .*known\.json: it is damaged; remove it"):
        store.load()


def test_what_everybody_may_write_is_not_believed(tmp_path: Path) -> None:
    store = EnvStore(tmp_path)
    store.save(KNOWN)
    store.path.chmod(0o666)
    with pytest.raises(ConsulKamError, match="everybody may write it"):
        store.load()
    store.path.unlink()
    store.path.symlink_to(tmp_path / "other")
    with pytest.raises(ConsulKamError, match="symlink"):
        store.load()
