"""consul-template's configuration, as people write it."""

import pytest

from consul_kam.core.hcl import Stanza, read_templating


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('template { source = "a" destination = "b" }', Stanza("a", "b")),
        ('template { source = "a", destination = "b", command = "x y || true" }', Stanza("a", "b", ("x y || true",))),
        ('template {\n exec {\n command = ["a", "b"]\n timeout = "5s"\n }\n}', Stanza(command=("a", "b"))),
        ('template { contents = <<EOT\n{{ "x" }}\nEOT\n destination = "b" }', Stanza("", "b", (), '{{ "x" }}')),
        ('# c\n// c\n/* c */ template "label" { source = "a" }', Stanza("a")),
        ('{"template": {"source": "a", "command": ["b"]}}', Stanza("a", "", ("b",))),
        ('{"template": [{"source": "a", "exec": {"command": ["b"]}}]}', Stanza("a", "", ("b",))),
        ('template { source = "say \\"hi\\"" wait { min = "1s" } }', Stanza('say "hi"')),
    ],
)
def test_a_stanza(text: str, wanted: Stanza) -> None:
    assert read_templating(text).stanzas == (wanted,)


@pytest.mark.parametrize(
    ("text", "attempts", "retry"),
    [
        ("", None, True),
        ("consul { retry { attempts = 0 } }", 0, True),
        ("consul { retry { attempts = 12 } }", 12, True),
        ("consul { retry { enabled = false } }", None, False),
        ('{"consul": {"retry": {"attempts": 3}}}', 3, True),
        ('consul { address = "x" }', None, True),
    ],
)
def test_the_retry(text: str, attempts: int | None, retry: bool) -> None:
    found = read_templating(text)
    assert (found.attempts, found.retry) == (attempts, retry)


def test_the_signal_that_ends_it() -> None:
    assert read_templating('kill_signal = "SIGTERM"').kill_signal == "SIGTERM"
    assert read_templating("").kill_signal == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("template {", "ends where } is expected"),
        ("a = ", "ends too early"),
        ("}", "} where a name is expected"),
        ('a = "', "not understood"),
        ("[1]", r"\[ where a name"),
    ],
)
def test_what_is_neither(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_templating(text)
