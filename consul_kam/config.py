"""Finding, reading and completing the configuration. The keys themselves are in settings/.

What comes first wins: $CONSUL_KAM_STATE_DIR, the file, $CONSUL_HTTP_* (see `Consul`), the defaults. No file is fine.
"""

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from consul_kam import settings as keys
from consul_kam.core.dataset import Dataset, file_name
from consul_kam.core.grammar import BadValue
from consul_kam.datasets import dataset as dataset_named
from consul_kam.errors import ConfigError
from consul_kam.probes import probe as probe_named
from consul_kam.settings import chosen, complete
from consul_kam.settings.apart import Apart, take_apart
from consul_kam.settings.chosen import DatasetSettings as DatasetSettings
from consul_kam.settings.env import complete as complete_env
from consul_kam.settings.env import refuse_secrets
from consul_kam.settings.tls import check as check_tls

CONFIG_FILE = "/etc/consul_kam/consul-kam.toml"
LARGEST = 2**20
"""Bytes of a configuration file."""
STATE_DIR = "/var/lib/consul_kam"
CTL_SOCKETS = ("/run/kamailio/kamailio_ctl", "/var/run/kamailio/kamailio_ctl")


@dataclass(frozen=True)
class Settings:
    """The whole configuration, complete."""

    source: str
    """The file that was read, or ""."""
    observe: bool
    verify_every: float
    order: tuple[str, ...]
    """Enabled datasets only, and none unless there are two."""
    order_wait: float
    state_dir: Path
    node: keys.Node
    consul: keys.Consul
    consul_template: keys.ConsulTemplate
    kamailio: keys.Kamailio
    rtpengine: keys.Rtpengine
    registration: keys.Registration
    drain: keys.Drain
    supervise: keys.Supervise
    env: keys.EnvSettings
    vault: keys.VaultSettings
    references: keys.References
    """Where the file has `secret://`; in the keys there is the path of the secret's file."""
    probes: Mapping[str, keys.Probe]
    """What the file says of probes, by name."""
    http: keys.Http
    http_named: bool
    """Whether the file says where to listen: then it must be possible."""
    datasets: Mapping[str, DatasetSettings]
    """Every known one, by name; those that are on: `enabled`."""
    alert: keys.Alert
    doctor: keys.Doctor
    log: keys.Log

    @property
    def enabled(self) -> tuple[DatasetSettings, ...]:
        return tuple(dataset for dataset in self.datasets.values() if dataset.file is not None)

    @property
    def staging_dir(self) -> Path:
        return self.state_dir / "staging"

    @property
    def control(self) -> Path:
        return self.state_dir / "control.sock"

    @property
    def journal(self) -> Path:
        return self.state_dir / "journal.jsonl"

    @property
    def releases(self) -> Path:
        return self.state_dir / "releases"

    @property
    def unprotected(self) -> tuple[DatasetSettings, ...]:
        """Enabled datasets whose staging file is the live file: consul-template writes past every check."""
        real = os.path.realpath
        return tuple(each for each in self.enabled if real(each.staging) == real(str(each.file)))

    def plain(self) -> dict[str, Any]:
        """All of it in JSON's types, and each reference to a secret as it was written."""
        return keys.shown(dict(keys.plain(self)), self.references)

    def dataset(self, name: str) -> DatasetSettings:
        """Raises ConfigError for a name that is none."""
        if name not in self.datasets:
            raise ConfigError(f"cannot find dataset {name!r}: expected one of {', '.join(self.datasets)}")
        return self.datasets[name]


def known_datasets() -> tuple[str, ...]:
    """Discovery is by file name; nothing is imported."""
    return _modules("datasets")


def known_probes() -> tuple[str, ...]:
    """Likewise."""
    return _modules("probes")


def _modules(package: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (Path(__file__).parent / package).glob("[!_]*.py")))


def _probe(name: str, raw: object, source: str) -> keys.Probe:
    """Raises ConfigError for a table of no probe, and for a restart of nothing."""
    if name not in known_probes():
        raise keys.unknown_key(source, "probes.", name, list(known_probes()))
    given = keys.convert(raw, keys.Probe, source, f"probes.{name}")
    if given.action == "restart" and not probe_named(name).target:
        key = f"probes.{name}.action"
        raise ConfigError(f"cannot use {source}: {key}: expected none or not-ready: nothing to restart, got 'restart'")
    return given


def _known(name: str, source: str) -> None:
    """Raises ConfigError for a table of no dataset."""
    known = known_datasets()
    if name.partition(":")[0] not in known:
        raise keys.unknown_key(source, "datasets.", name, list(known))
    try:
        dataset_named(name)
    except BadValue as bad:
        raise ConfigError(f"cannot use {source}: datasets.{name!r}: {bad}") from None


def find(path: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the one given, $CONSUL_KAM_CONFIG, or the usual place if there is one there."""
    named = path or environ.get("CONSUL_KAM_CONFIG")
    if named:
        return Path(named)
    try:
        os.stat(CONFIG_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # one that we may not see is no reason to go on without: who reads it says why
    return Path(CONFIG_FILE)


def load(
    path: str | None = None, environ: Mapping[str, str] = os.environ, node: Mapping[str, str] | None = None
) -> Settings:
    """Read, check and complete the configuration; `node`: role and name that win over the file's, where not "".

    Raises ConfigError (file, key, expected, got).
    """
    found = find(path, environ)
    return parse(_read(found), str(found), environ, node) if found else parse("", "", environ, node)


def _read(path: Path) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"cannot read {path}: it is no regular file")
        if found.st_mode & stat.S_IWOTH:
            raise ConfigError(f"cannot use {path}: everybody may write it, and it names commands; chmod o-w {path}")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ConfigError(f"cannot use {path}: it is longer than {LARGEST} bytes")
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot use {path}: byte {error.start}: expected UTF-8") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def parse(text: str, source: str, environ: Mapping[str, str], node_is: Mapping[str, str] | None = None) -> Settings:
    """`text` is TOML, `source` its name in messages; `node_is` as of `load`. Raises ConfigError."""
    file = take_apart(text, source, environ)
    for name in file.datasets:
        _known(name, source)
    whole = _completed(file, source, environ, {key: value for key, value in (node_is or {}).items() if value})
    chosen.refuse_shared_files(whole.enabled, source)
    check_tls(whole.kamailio.tls, whole.consul, whole.http, source)
    refuse_secrets(whole.env, whole.kamailio.command or (), source)
    return replace(whole, order=chosen.order(file.top.order, whole.datasets, source))


def _completed(file: Apart, source: str, environ: Mapping[str, str], node_is: Mapping[str, str]) -> Settings:
    """All but the order of its datasets."""
    top = file.top
    state_dir = Path(environ.get("CONSUL_KAM_STATE_DIR") or top.node.state_dir or default_state_dir(environ)).absolute()
    node = complete.node(keys.replace(top.node, **node_is), socket.gethostname())
    status_url = complete.kamailio(top.kamailio, node, top.registration).status_url
    registration = complete.registration(top.registration, node, top.rtpengine, status_url)
    kamailio = _kamailio(complete.kamailio(top.kamailio, node, registration), source)
    return Settings(
        source=source,
        observe=top.mode == "observe",
        verify_every=top.verify_every,
        order=(),
        order_wait=top.order_wait,
        state_dir=state_dir,
        node=keys.replace(node, state_dir=str(state_dir)),
        consul=complete.consul(top.consul, environ),
        consul_template=complete.consul_template(top.consul_template, node.role),
        kamailio=kamailio,
        rtpengine=top.rtpengine,
        registration=registration,
        drain=complete.drain(top.drain, kamailio.mode),
        supervise=top.supervise,
        env=complete_env(top.env, file.variables, node.role, node.name, str(file.vault.directory), source),
        vault=file.vault,
        references=file.references,
        probes={name: _probe(name, table, source) for name, table in file.probes.items()},
        http=top.http,
        http_named=file.http_named,
        datasets=_datasets(file, state_dir, source),
        alert=top.alert,
        doctor=top.doctor,
        log=top.log,
    )


def _datasets(file: Apart, state_dir: Path, source: str) -> Mapping[str, DatasetSettings]:
    names = (*known_datasets(), *(name for name in file.datasets if ":" in name))
    return {name: _dataset(name, file.datasets.get(name, {}), file.top, state_dir, source) for name in names}


def _dataset(name: str, raw: object, top: keys.File, state_dir: Path, source: str) -> DatasetSettings:
    prefix, dataset = f"datasets.{name}", dataset_named(name)
    given = keys.convert(raw, keys.Dataset, source, prefix)
    sets = [dataset.first_set or {}] if given.sets is None else given.sets
    file = given.file or ("" if top.node.role == complete.RTP else dataset.usual_file)
    asked = source if given.file or given.sets is not None else ""  # one that is off may lack what it would need
    return DatasetSettings(
        name=name,
        file=Path(file) if file else None,
        staging=Path(given.staging) if given.staging else state_dir / "staging" / file_name(name),
        observe=(given.mode or top.mode) == "observe",
        min_records=given.min_records,
        max_records=given.max_records,
        max_shrink=given.max_shrink,
        hold_for=given.hold_for,
        min_callable=given.min_callable,
        on_bad_record=given.on_bad_record,
        resolve_deadline=given.resolve_deadline,
        sets=tuple(_set(dataset, entry, top, asked, f"{prefix}.sets[{index}]") for index, entry in enumerate(sets)),
    )


def _set(dataset: Dataset, raw: object, top: keys.File, source: str, prefix: str) -> Mapping[str, Any]:
    table = keys.set_table(dataset.name.partition(":")[0], dataset.set_doc, dataset.set_keys)
    entry = keys.convert(raw, table, source, prefix)
    if source and not (entry.service or entry.static or entry.kv):
        raise ConfigError(f"cannot use {source}: {prefix}: expected service, static or kv, got none of them")
    return {**keys.plain(entry), "datacenter": entry.datacenter or top.consul.datacenter}


def _kamailio(given: keys.Kamailio, source: str) -> keys.Kamailio:
    if given.rpc.startswith("http") and "@" in given.rpc:  # not shown: it may be a password
        raise ConfigError(f"cannot use {source}: kamailio.rpc: expected no user and password: use rpc_password_file")
    return keys.replace(given, rpc=given.rpc or default_rpc())


def default_state_dir(environ: Mapping[str, str]) -> str:
    """plugins/kam-apply works it out in the same way."""
    if any(os.access(path, os.W_OK) for path in (STATE_DIR, os.path.dirname(STATE_DIR))):
        return STATE_DIR
    home = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or "/", ".local/state")
    return os.path.join(home, "consul_kam")


def default_rpc() -> str:
    """The first ctl socket that is there; the first of all where none is."""
    return "unix:" + next((path for path in CTL_SOCKETS if os.path.exists(path)), CTL_SOCKETS[0])
