"""An engine starts whatever somebody did to its state directory."""

import json
from pathlib import Path

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.lanes import lane
from consul_kam.config import load
from consul_kam.testing import FakeKamailio


@pytest.mark.parametrize(
    "about",
    [
        {"parts": [["abc"]]},
        {"parts": ["abc"]},
        {"ours": None},
        {"ours": [[[1]]]},
        {"disabled": 5},
        {"draining": [{"a": 1}]},
    ],
)
def test_a_damaged_release_is_as_none(tmp_path: Path, about: dict[str, object]) -> None:
    (tmp_path / "live").mkdir()
    config = tmp_path / "config.toml"
    config.write_text(f'[node]\nstate_dir = "{tmp_path}/state"\n[datasets.dispatcher]\nfile = "{tmp_path}/live/list"\n')
    settings = load(str(config))
    releases = Releases(settings.releases / "dispatcher")
    name = releases.publish("ab" * 32, b"1 sip:10.0.0.1:5060 0 10\n", about)
    releases.remember(json.loads(json.dumps({"pinned": name})))
    pipeline = lane(settings, settings.enabled[0], FakeKamailio()).pipeline
    assert pipeline.state.phase.value == "IDLE"
