"""What the tests of all datasets share: rendering an answer, reading recorded replies."""

import json
from pathlib import Path

from consul_kam.core.dataset import Dataset
from consul_kam.core.lines import is_staging
from consul_kam.core.ports import Value
from consul_kam.core.records import Answer, Use
from consul_kam.core.twins import without_twins
from consul_kam.errors import ListError

HERE = Path(__file__).parent


def parse(dataset: Dataset, file: str, data: bytes) -> Answer:
    return without_twins((dataset.parse_staging if is_staging(data) else dataset.parse_native)(file, data))


def rendered(dataset: Dataset, file: str, data: bytes) -> str:
    """One line a record (canonical line, what is not usual) and one a problem, or the reason to reject the file."""
    try:
        answer = parse(dataset, file, data)
    except ListError as error:
        return f"rejected {error.line}:{error.column} {error.reason}\n"
    lines = []
    for record in dataset.settled(answer.records)[0]:
        notes = [] if record.use is Use.IN else [record.use.value]
        notes += [f"looks up {record.name}"] if record.name else []
        lines.append(f"{record.line!a}"[1:-1] + "".join(f" | {note}" for note in notes))
    lines += [f"{p.line}:{p.column} {p.reason}" + (f" ({p.source})" if p.source else "") for p in answer.problems]
    return "\n".join(lines) + "\n"


def reply(dataset: str, name: str) -> tuple[Value, ...] | tuple[int, str]:
    """A recorded reply of 5.6.3 as `Rpc.call` gives it, or (code, reason) of a fault."""
    recorded = json.loads((HERE / "replies" / dataset / f"{name}.json").read_text(encoding="utf-8"))
    if "fault" in recorded:
        return recorded["fault"]["code"], recorded["fault"]["reason"]
    return tuple(_value(value) for value in recorded["values"])


def _value(value: object) -> Value:
    if isinstance(value, dict):
        return tuple((name, _value(member)) for name, member in value["struct"])
    return f"{value:.6f}" if isinstance(value, float) else str(value)
