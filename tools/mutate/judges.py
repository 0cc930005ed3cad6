"""The conftest.py of the tree that `./dev mutate` works on: judges that say the same each time, and soon."""

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from mutmut.state import state

from consul_kam.core.lines import LineCache

settings.register_profile(
    "mutate",
    deadline=None,
    derandomize=True,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CACHES: list[LineCache] = []
AT_IMPORT = Path(__file__).parent / "at-import.json"
"""The functions that were called before the first test."""


def _init(self: LineCache, init: Callable[[LineCache], None] = LineCache.__init__) -> None:
    init(self)
    CACHES.append(self)


LineCache.__init__ = _init  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def forgetters() -> list[Callable[[], None]]:
    # Not those of consul_kam.datasets itself: that a dataset is one object is what a test wants.
    names = [name for name in sys.modules if name.startswith(("consul_kam.core", "consul_kam.datasets."))]
    values = [value for name in names for value in vars(sys.modules[name]).values()]
    return [v.cache_clear for v in values if hasattr(v, "cache_clear") and v.__module__ != "consul_kam.datasets"]


@pytest.fixture(autouse=True)
def nothing_remembered(forgetters: list[Callable[[], None]]) -> None:
    """A test that finds an answer in a cache calls no mutant: each begins with empty ones."""
    for forget in forgetters:
        forget()
    for cache in CACHES:
        cache._known.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the tests named like the mutant's module, last what hypothesis drives: a kill ends the run."""
    stem = os.environ.get("MUTANT_UNDER_TEST", "").partition(".x")[0].rpartition(".")[2]

    def late(item: pytest.Item) -> tuple[bool, bool, int]:
        function = getattr(item, "obj", None)
        slow = hasattr(function, "hypothesis") or "64_mib" in item.name
        return slow, not item.path.stem.startswith(f"test_{stem}"), items_at[item]

    if "CONSUL_KAM_NOT_DRAWN" in os.environ:
        items[:] = [item for item in items if not hasattr(getattr(item, "obj", None), "hypothesis")]
    items_at = {item: number for number, item in enumerate(items)}
    items.sort(key=late)


def pytest_collection_finish(session: pytest.Session) -> None:
    """mutmut would have the first test answer for what importing called."""
    if os.environ.get("MUTANT_UNDER_TEST") == "stats":
        AT_IMPORT.write_text(json.dumps(sorted(state()._stats)), encoding="utf-8")
        state()._stats.clear()
    if session.config.option.collectonly:
        gc.collect()
        gc.freeze()
