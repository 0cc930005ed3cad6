"""docs/bad-lists.md and docs/kamailio-versions.md: what was measured, in words for operators."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tools import kamailio_roots
from tools.oracle.adapter import Adapter, adapters
from tools.oracle.excuses import EXCUSES
from tools.oracle.judge import Fate, Judged
from tools.oracle.lists import LEAST, Drawn, again
from tools.oracle.run import Outcome, run

DOCS = Path(__file__).parents[2] / "docs"
SEED = 1
"""Of the lists that the pages, and `./dev test`, are about."""
_LONGEST = 64

_BAD = """\
# What Kamailio does with a bad list
<!-- Written by tools/oracle/pages.py (`./dev oracle --docs`): change it there. -->
{count} lists of each kind, drawn from seed {seed}, loaded by a real Kamailio {version} and read back by a client of the
tests' own. **A reload answers "Ok" in each row but those that say "load fails"**: the answer proves nothing, only the
read-back does. The last column is what `consul-kam check` says. `./dev oracle` draws other lists, 10,000 a dataset.

Where a list of a kind came out in several ways, the most frequent comes first. One that "loads as written" and is
refused all the same stands on [the list of exceptions](#what-check-refuses-although-it-loads).
"""
_VERSIONS = """\
# Kamailio's versions and lists
<!-- Written by tools/oracle/pages.py (`./dev oracle --docs`): change it there. -->
The same {lists} lists, seed {seed}, loaded by {versions}: what each made of a list is the same, but for the rows below.
What else differs between the two stands in [findings.md](findings.md#kamailio-601-what-differs).

"""


def sample(adapter: Adapter) -> Iterator[Drawn]:
    """The lists that the pages are about."""
    for row in adapter.rows:
        for number in range(LEAST):
            yield again(adapter, row, SEED, number)


def bad_lists(outcomes: Sequence[Outcome]) -> str:
    """docs/bad-lists.md from outcomes that hold each sample."""
    text = _BAD.format(count=LEAST, seed=SEED, version=outcomes[0].version)
    known = adapters()
    for outcome in outcomes:
        adapter = known[outcome.dataset]
        judged = _sampled(outcome)
        text += f"\n## {outcome.dataset}\n| the list holds | for example | Kamailio | check |\n|---|---|---|---|\n"
        for row in sorted(adapter.rows, key=lambda row: row.fine):
            text += _row(row.name, [judged[row.name, number] for number in range(LEAST)])
    return text + _exceptions()


def _sampled(outcome: Outcome) -> Mapping[tuple[str, int], tuple[Drawn, Judged]]:
    """Without the accidents, which the sample of the other version lacks."""
    rows = {row.name for row in adapters()[outcome.dataset].rows}
    found = (pair for pair in outcome.judged if pair[0].row in rows and pair[0].number < LEAST)
    return {(drawn.row, drawn.number): (drawn, judged) for drawn, judged in found}


def _row(name: str, found: Sequence[tuple[Drawn, Judged]]) -> str:
    accepted = sum(judged.accepted for _, judged in found)
    says = {0: "refused", len(found): "accepted"}.get(accepted, f"{accepted} of {len(found)} accepted")
    fates = ", or ".join(fate.value for fate, _ in Counter(judged.fate for _, judged in found).most_common())
    return f"| {name} | {_example(*found[0])} | {fates} | {says} |\n"


def _example(drawn: Drawn, judged: Judged) -> str:
    """The first line that check refuses."""
    if not judged.checked.dropped:
        return ""
    return _code(ascii(drawn.data.split(b"\n")[judged.checked.dropped[0].line - 1])[2:-1].replace("\\\\", "\\"))


def _code(text: str) -> str:
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return f"`{text.replace('|', chr(92) + '|').replace('`', '')}`"


def _exceptions() -> str:
    text = "\n## What check refuses although it loads\n| | lists | why | in Kamailio's source |\n|---|---|---|---|\n"
    for excuse in EXCUSES:
        text += f"| {excuse.name} | {', '.join(excuse.datasets)} | {excuse.why} | {excuse.source} |\n"
    return text


def versions(pairs: Iterable[tuple[Outcome, Outcome]]) -> str:
    """docs/kamailio-versions.md from the same lists on two versions."""
    pairs = list(pairs)
    names = [outcome.version for outcome in pairs[0]]
    count = sum(len(_sampled(left)) for left, _ in pairs)
    text = _VERSIONS.format(lists=count, seed=SEED, versions=" and ".join(names))
    rows = [row for left, right in pairs for row in _differences(left, right)]
    head = f"| dataset | the list holds | for example | lists | {names[0]} | {names[1]} |\n|---|---|---|---|---|---|\n"
    return text + (head + "".join(rows) if rows else "**There is no such row.**\n")


def _differences(left: Outcome, right: Outcome) -> Iterator[str]:
    ours, others = _sampled(left), _sampled(right)
    adapter = adapters()[left.dataset]
    steady = {row.name for row in adapter.rows if row.steady}
    by_row: dict[tuple[str, Fate, Fate], list[tuple[Drawn, Judged, Judged]]] = {}
    for key, (drawn, judged) in ours.items():
        other = others[key][1]
        if judged.fate is not other.fate or (key[0] in steady and judged.loaded.entries != other.loaded.entries):
            by_row.setdefault((key[0], judged.fate, other.fate), []).append((drawn, judged, other))
    for (row, _, _), found in by_row.items():
        drawn, *two = found[0]
        held = [_held(adapter, drawn, each) for each in two]
        yield f"| {' | '.join([left.dataset, row, _example(drawn, two[0]), f'{len(found)} of {LEAST}', *held])} |\n"


def _held(adapter: Adapter, drawn: Drawn, judged: Judged) -> str:
    """The fate, and what memory holds that the list does not say."""
    extra = list(Counter(judged.loaded.entries) - Counter(adapter.read(drawn.data)))
    return judged.fate.value + (f": {_code(repr(extra[0]))}" if extra else "")


def measured() -> dict[str, str]:
    """Both pages, from Kamailios started for it."""
    programs = [kamailio_roots.of_version(version) for version in kamailio_roots.DEBIAN]
    found = [[run(adapter, program, sample(adapter)) for program in programs] for adapter in adapters().values()]
    pairs = [(left, right) for left, right in found]
    return {"bad-lists.md": bad_lists([left for left, _ in pairs]), "kamailio-versions.md": versions(pairs)}


def write() -> list[Path]:
    """Returns what was written."""
    for name, text in measured().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return [DOCS / "bad-lists.md", DOCS / "kamailio-versions.md"]
