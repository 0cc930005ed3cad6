"""consul-template's configuration as it ships, read as the traps do."""

from pathlib import Path

from consul_kam.core.hcl import read_templating

EXAMPLE = Path(__file__).parents[2] / "examples" / "consul-template.hcl"


def test_the_shipped_one() -> None:
    found = read_templating(EXAMPLE.read_text())
    assert found.attempts == 0
    assert [each.destination.rpartition("/")[2] for each in found.stanzas] == [
        "dispatcher", "domain", "rtpengine", "address", "htable",
    ]  # fmt: skip
    assert {each.command for each in found.stanzas} == {("kam-apply",)}
