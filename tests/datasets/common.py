"""What the tests of all datasets share: rendering an answer, reading recorded replies."""

from pathlib import Path

from consul_kam.core.dataset import Dataset
from consul_kam.core.lines import is_staging
from consul_kam.core.ports import Value
from consul_kam.core.records import Answer, Use
from consul_kam.core.twins import without_twins
from consul_kam.errors import ListError
from consul_kam.testing import OLDEST, recording

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
        notes += [f"looks up {record.host}"] if record.host else []
        lines.append(f"{record.line!a}"[1:-1] + "".join(f" | {note}" for note in notes))
    lines += [f"{p.line}:{p.column} {p.reason}" + (f" ({p.source})" if p.source else "") for p in answer.problems]
    return "\n".join(lines) + "\n"


def reply(dataset: str, name: str, version: str = OLDEST) -> tuple[Value, ...] | tuple[int, str]:
    """A recorded reply as `Rpc.call` gives it, or (code, reason) of a fault."""
    found = recording(dataset, name, version)
    return found.fault or found.values
