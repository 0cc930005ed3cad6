"""A policy in HCL as the files of examples/acl are written: one rule a line, each of which can be taken away."""

import re
from typing import NamedTuple

_RULE = re.compile(r'^(?P<what>[a-z_]+ "[^"]*") \{ policy = "(?P<right>read|write)" \}$')


class Rule(NamedTuple):
    """`what`: as `key_prefix "c4/"`; `right`: read or write."""

    what: str
    right: str

    def __str__(self) -> str:
        return f'{self.what} {{ policy = "{self.right}" }}'


def rules(text: str) -> list[Rule]:
    """All of them; AssertionError where a line is neither a rule nor a comment, or none says what a rule is for."""
    found, explained = [], False
    for line in text.splitlines():
        match = _RULE.match(line)
        assert match or not line or line.startswith("# "), f"expected one rule, got {line!r}"
        if match:
            assert explained, f"expected a comment before {line!r}"
            found.append(Rule(match["what"], match["right"]))
        else:
            explained = bool(line)
    return found


def lesser(given: list[Rule]) -> list[tuple[str, str]]:
    """(what is missing, the policy without it): each rule taken away, and each right to write made one to read."""
    found = []
    for index, rule in enumerate(given):
        before, after = given[:index], given[index + 1 :]
        found.append((f"no {rule.what}", text([*before, *after])))
        if rule.right == "write":
            found.append((f"read {rule.what}", text([*before, rule._replace(right="read"), *after])))
    return found


def text(given: list[Rule]) -> str:
    return "\n".join(map(str, given))
