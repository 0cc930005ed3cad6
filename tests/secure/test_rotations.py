"""The bench of rotations in small: token, certificate, authority, password, Vault sealed; and what watches it."""

import pytest

from bench import rotations
from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.guests import Guests
from tests.lab.world import World, agent, consul, lab

__all__ = ["agent", "consul", "lab"]
RATE = 10


@pytest.mark.vault
@pytest.mark.parametrize(
    "what",
    [
        "token",
        "certificate",
        "authority",
        pytest.param("password", marks=pytest.mark.slow),
        pytest.param("sealed", marks=pytest.mark.slow),
    ],
)
def test_no_call_fails_and_no_change_is_lost(what: str) -> None:
    found = rotations.run([what], short=True, rate=RATE)
    assert found.pop("ok"), found
    for each in found.values():
        assert each["calls"] == each["answered"] > RATE, found
        assert each["changes"] > 1, found
    assert len(found) == 2, "the caller, and the callee, hangs up"


@pytest.mark.parametrize("templates", [True, False])
def test_a_change_that_is_lost_is_seen(lab: Lab, consul: ConsulAgent, templates: bool) -> None:
    """Without a consul-template nothing comes; with one, all does."""
    world = World(lab, consul, templates=templates)
    world.add(1)
    with Guests(consul, "router", 1, [world.engine], every=0.2) as guests:
        wait_for("some changes", lambda: len(guests.changes) > 3, 60)
        seen = guests.end(60.0 if templates else 1.0)
    assert seen.changes > 1
    assert bool(seen.lost) is not templates, seen
