"""The configured sets, handed to the shipped templates: baked into copies of them, or in the environment.

A set is a mapping of JSON's types, as `DatasetSettings.sets` holds them; docs/templates.md lists the members. One
template asks one data centre, because it renders nothing before each of its sources has answered once.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from consul_kam.core.dataset import dataset_of, file_name
from consul_kam.errors import ConfigError

Set = Mapping[str, object]

SHIPPED = Path(__file__).parents[1] / "templates"
MARKED = re.compile(r"^(\{\{- /\* consul_kam:sets \*/ -\}\}).*$", re.MULTILINE)
"""The one line of a template that holds its sets."""
_ASKABLE = {
    "service": (re.compile(r"[\w-]*", re.ASCII), "letters, digits, `_` and `-`"),
    "tag": (re.compile(r"[\w=:.-]*", re.ASCII), "letters, digits, `_`, `-`, `.`, `:` and `=`"),
    "datacenter": (re.compile(r"[\w.-]*", re.ASCII), "letters, digits, `_`, `-` and `.`"),
    "kv": (re.compile(r"[^@?]*"), "no `@` and no `?`"),
}
"""What consul-template's query notation can carry (its dependency/dependency.go). Most else would end it (status 14);
service "a.b" would silently ask for service b with tag a."""


def export(directory: Path, sets_by_dataset: Mapping[str, Sequence[Set]]) -> list[Path]:
    """Write what `exported` gives into `directory`; returns the paths, in its order.

    Files of data centres that are no longer configured stay. Raises ConfigError as `exported`, and where the
    directory cannot be written.
    """
    texts = exported(sets_by_dataset)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot export templates to {directory}: {error.strerror}") from None
    return [directory / name for name in texts]


def exported(sets_by_dataset: Mapping[str, Sequence[Set]]) -> dict[str, str]:
    """File name -> template, one per dataset and data centre: dispatcher.ctmpl, dispatcher@dc2.ctmpl, htable-x.ctmpl.

    Raises ConfigError: a dataset without a template, a set that consul-template cannot ask for.
    """
    return {
        f"{file_name(dataset)}@{part}.ctmpl" if part else f"{file_name(dataset)}.ctmpl": _baked(
            dataset, _json(dataset, sets, part)
        )
        for dataset, sets in sets_by_dataset.items()
        for part in _parts(sets)
    }


def meant_for(file: str) -> tuple[str, str]:
    """The dataset and the data centre ("": ours) of an exported template, by its file's name."""
    name, _, part = file.removesuffix(".ctmpl").partition("@")
    return dataset_of(name), part


def sets_environment(sets_by_dataset: Mapping[str, Sequence[Set]], datacenter: str = "") -> dict[str, str]:
    """What the shipped templates read: {"CONSUL_KAM_DISPATCHER_SETS": JSON, ...}, the sets of one data centre only.

    A dataset without sets there is left out: its template would render its default. Raises ConfigError as `exported`,
    and for KIND:NAME: all of a kind have one template, whose name and sets have to be baked in.
    """
    for dataset in sets_by_dataset:
        if ":" in dataset:
            raise ConfigError(f"cannot hand over the sets of {dataset} by environment: export its template")
    return {
        f"CONSUL_KAM_{dataset.upper()}_SETS": _json(dataset, sets, datacenter)
        for dataset, sets in sets_by_dataset.items()
        if datacenter in _parts(sets)
    }


def _parts(sets: Sequence[Set]) -> list[str]:
    return list(dict.fromkeys(_text(entry, "datacenter") for entry in sets))


def _text(entry: Set, member: str) -> str:
    return str(entry.get(member) or "")


def _json(dataset: str, sets: Sequence[Set], part: str) -> str:
    found = [dict(entry) for entry in sets if _text(entry, "datacenter") == part]
    for entry in found:
        for member, (pattern, allowed) in _ASKABLE.items():
            value = _text(entry, member)
            if not pattern.fullmatch(value):
                raise ConfigError(f"cannot ask Consul for {member} {value!r} of {dataset}: expected {allowed}")
    return json.dumps(found)


def _baked(dataset: str, sets: str) -> str:
    source = SHIPPED / f"{dataset.partition(':')[0]}.ctmpl"
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the template of dataset {dataset!r}, {source}: {error.strerror}") from None
    raw = sets.replace("`", "\\u0060")  # the one character that a raw string of Go cannot hold
    name = f'{{{{- $dataset := "{dataset}" -}}}}' if "$dataset" in text else ""
    return MARKED.sub(lambda line: f"{line[1]}{name}{{{{- $sets := `{raw}` -}}}}", text)
