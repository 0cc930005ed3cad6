"""Every metric: one row each of a table, from which /metrics and docs/metrics.md are made.

Names follow Prometheus' rules [prometheus.io/docs/practices/naming]: base units, `_total` for what only grows. Label
values come from the configuration or from this code, never from Consul or a caller, so their number is bounded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from consul_kam.core import drain
from consul_kam.core.events import Phase, Verdict
from consul_kam.core.vitals import ListVitals, ProbeVitals, ProcessVitals, SecretVitals, Spread, Vitals

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
"""Seconds."""
STAGES = ("parse", "read", "write", "reload", "keys", "readback", "publish", "memory", "verified")
"""`memory` and `verified` count from the moment that the staging file was seen, the others are parts of the way."""
FACTS = 32
"""Facts shown of one probe."""

Sample = tuple[tuple[str, ...], float | Spread]
"""Label values, in the order of the metric's labels, and the value."""


class Kind(Enum):
    """As Prometheus calls them."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """`samples` gives none where the value is not known."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    samples: Callable[[Vitals], Iterator[Sample]]


def _one(value: Callable[[Vitals], float | Spread | None]) -> Callable[[Vitals], Iterator[Sample]]:
    def samples(vitals: Vitals) -> Iterator[Sample]:
        found = value(vitals)
        if found is not None:
            yield (), found

    return samples


def _lists(value: Callable[[ListVitals], float | None]) -> Callable[[Vitals], Iterator[Sample]]:
    def samples(vitals: Vitals) -> Iterator[Sample]:
        for each in vitals.lists:
            found = value(each)
            if found is not None:
                yield (each.name,), found

    return samples


def _processes(value: Callable[[ProcessVitals], float | None]) -> Callable[[Vitals], Iterator[Sample]]:
    def samples(vitals: Vitals) -> Iterator[Sample]:
        for each in vitals.processes:
            found = value(each)
            if found is not None:
                yield (each.name,), found

    return samples


def _probes(value: Callable[[ProbeVitals], float | None]) -> Callable[[Vitals], Iterator[Sample]]:
    def samples(vitals: Vitals) -> Iterator[Sample]:
        for each in vitals.probes:
            found = value(each)
            if found is not None:
                yield (each.name,), found

    return samples


def _secrets(value: Callable[[SecretVitals], float | None]) -> Callable[[Vitals], Iterator[Sample]]:
    def samples(vitals: Vitals) -> Iterator[Sample]:
        for each in vitals.vault.secrets if vitals.vault is not None else ():
            found = value(each)
            if found is not None:
                yield (each.name,), found

    return samples


def _build(vitals: Vitals) -> Iterator[Sample]:
    yield (vitals.version, vitals.python), 1


def _node(vitals: Vitals) -> Iterator[Sample]:
    yield (vitals.node, vitals.role), 1


def _phases(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.lists:
        for phase in Phase:
            yield (each.name, phase.value), each.phase == phase.value


def _drain_phases(vitals: Vitals) -> Iterator[Sample]:
    if vitals.drain is not None:
        for phase in drain.Phase:
            yield (phase.value,), vitals.drain.phase == phase.value


def _staged_at(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.lists:
        for part, (at, _) in sorted(each.staged.items()):
            yield (each.name, part), at


def _staged_well(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.lists:
        for part, (_, usable) in sorted(each.staged.items()):
            yield (each.name, part), usable


def _verdicts(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.lists:
        for verdict in Verdict:
            yield (each.name, verdict.value), each.tally.verdicts.get(verdict.value, 0)


def _stages(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.lists:
        for stage in STAGES:
            if stage in each.tally.stages:
                yield (each.name, stage), each.tally.stages[stage]


def _certificates(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.certificates:
        if each.left is not None:
            yield (each.name,), each.left


def _certificate_troubles(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.certificates:
        yield (each.name,), each.trouble


def _facts(vitals: Vitals) -> Iterator[Sample]:
    for each in vitals.probes:
        for fact, value in sorted(each.facts.items())[:FACTS]:
            yield (each.name, fact), value


G, C, H = Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM
D, P, Q, S = ("dataset",), ("process",), ("probe",), ("secret",)

METRICS = (
    Metric("consul_kam_build_info", G, ("version", "python"), "Always 1: version of consul_kam and of Python.", _build),
    Metric("consul_kam_node_info", G, ("node", "role"), "Always 1: name and role of the node.", _node),
    Metric("consul_kam_start_timestamp_seconds", G, (), "When the engine started.", _one(lambda v: v.started)),
    Metric("consul_kam_ready", G, (), "1 while the node is ready, as /readyz says.", _one(lambda v: v.ready)),
    Metric("consul_kam_loop_lag_seconds", H, (), "How late the decision thread was, looked at each second.",
           _one(lambda v: v.lag)),
    Metric("consul_kam_reports_dropped_total", C, (), "Reports lost because journal or log could not keep up.",
           _one(lambda v: v.unwritten)),
    Metric("consul_kam_rpc_up", G, (), "1 while Kamailio's RPC interface answers.", _one(lambda v: v.kamailio)),
    Metric("consul_kam_records", G, D, "Records that Kamailio's memory shall hold.", _lists(lambda s: s.records)),
    Metric("consul_kam_memory_records", G, D, "Records in Kamailio's memory, as last read.",
           _lists(lambda s: s.in_memory)),
    Metric("consul_kam_memory_equal", G, D, "1 where Kamailio's memory is what it shall be, as last read.",
           _lists(lambda s: s.equal)),
    Metric("consul_kam_memory_read_timestamp_seconds", G, D, "When Kamailio's memory was last read.",
           _lists(lambda s: s.read_at)),
    Metric("consul_kam_held_records", G, D, "Records that a guard keeps though Consul no longer wants them.",
           _lists(lambda s: s.held)),
    Metric("consul_kam_dropped_records", G, D, "Records of Consul's that we will not load.",
           _lists(lambda s: s.dropped)),
    Metric("consul_kam_refused_records", G, D, "Records that Kamailio will not load.", _lists(lambda s: s.refused)),
    Metric("consul_kam_draining_records", G, D, "Records in maintenance: kept, without new calls.",
           _lists(lambda s: s.draining)),
    Metric("consul_kam_blocked_names", G, D, "Hosts that Kamailio could not load now.", _lists(lambda s: s.blocked)),
    Metric("consul_kam_waiting_records", G, D, "Records that wait for another list.", _lists(lambda s: s.waiting)),
    Metric("consul_kam_paused", G, D, "1 while an operator's pause lasts.", _lists(lambda s: s.paused)),
    Metric("consul_kam_pinned", G, D, "1 while an operator's rollback lasts.", _lists(lambda s: s.pinned)),
    Metric("consul_kam_observed", G, D, "1 where the configuration has the list only looked at.",
           _lists(lambda s: s.observed)),
    Metric("consul_kam_phase", G, ("dataset", "phase"), "1 for the phase that the list is in, 0 for the others.",
           _phases),
    Metric("consul_kam_staging_timestamp_seconds", G, ("dataset", "datacenter"),
           "When what consul-template staged last was taken in.", _staged_at),
    Metric("consul_kam_staging_usable", G, ("dataset", "datacenter"), "0 where the staging file was rejected.",
           _staged_well),
    Metric("consul_kam_last_publish_timestamp_seconds", G, D, "When the list was last proven and published.",
           _lists(lambda s: s.tally.published_at)),
    Metric("consul_kam_releases_total", C, ("dataset", "verdict"), "Verdicts, as the journal has them.", _verdicts),
    Metric("consul_kam_change_duration_seconds", H, ("dataset", "stage"),
           "How long the stages of a published change took; `memory` and `verified` count from the staging file on.",
           _stages),
    Metric("consul_kam_reload_busy_total", C, D, "Reloads that Kamailio refused as too soon.",
           _lists(lambda s: s.tally.busy)),
    Metric("consul_kam_process_up", G, P, "1 while the program runs.", _processes(lambda p: p.up)),
    Metric("consul_kam_process_restarts_total", C, P, "How often it was started again.",
           _processes(lambda p: p.restarts)),
    Metric("consul_kam_process_rss_bytes", G, P, "Its resident memory.", _processes(lambda p: p.rss)),
    Metric("consul_kam_process_cpu_seconds_total", C, P, "Its processor time.", _processes(lambda p: p.cpu)),
    Metric("consul_kam_probe_healthy", G, Q, "1 where the probe is healthy; absent until that is known.",
           _probes(lambda p: p.healthy)),
    Metric("consul_kam_probe_duration_seconds", G, Q, "How long its last look took.", _probes(lambda p: p.took)),
    Metric("consul_kam_probe_last_change_timestamp_seconds", G, Q, "When it became healthy or unhealthy.",
           _probes(lambda p: p.since)),
    Metric("consul_kam_probe_fact", G, ("probe", "fact"), "What it measured besides; the fact's name ends in its unit.",
           _facts),
    Metric("consul_kam_registered", G, (), "1 while Consul knows the node as it shall.",
           _one(lambda v: v.registration.registered if v.registration else None)),
    Metric("consul_kam_registration_trouble", G, (), "1 while the registration cannot be kept right.",
           _one(lambda v: v.registration.trouble if v.registration else None)),
    Metric("consul_kam_drain_phase", G, ("phase",),
           "1 for the phase that the node's drain is in, 0 for the others; NONE: it does not drain. Absent without a "
           "role.", _drain_phases),
    Metric("consul_kam_drain_calls", G, (),
           "Calls that a drain waits for; absent where none is under way, or they cannot be counted.",
           _one(lambda v: v.drain.calls if v.drain else None)),
    Metric("consul_kam_certificate_expiry_seconds", G, ("certificate",),
           "Seconds until the certificate in use ends; below 0: since. Absent where none is in use.", _certificates),
    Metric("consul_kam_certificate_trouble", G, ("certificate",),
           "1 while what its files hold is not used: it does not fit, or could not be loaded.", _certificate_troubles),
    Metric("consul_kam_vault_up", G, (), "1 while Vault answers, unsealed. Absent without [vault].",
           _one(lambda v: v.vault.reachable if v.vault else None)),
    Metric("consul_kam_vault_logged_in", G, (), "1 while our login to Vault is good.",
           _one(lambda v: v.vault.logged_in if v.vault else None)),
    Metric("consul_kam_secret_usable", G, S, "1 while the secret is there and its lease has not ended.",
           _secrets(lambda s: s.usable)),
    Metric("consul_kam_secret_expires_seconds", G, S,
           "Seconds until the secret's lease ends, negative after that; absent where it does not end.",
           _secrets(lambda s: s.expires_in)),
    Metric("consul_kam_secret_renewals_total", C, S, "How often it was renewed, or read or issued again.",
           _secrets(lambda s: s.renewals)),
    Metric("consul_kam_secret_failures_total", C, S, "How often Vault did not give or renew it.",
           _secrets(lambda s: s.failures)),
    Metric("consul_kam_environment_restart_variables", G, (),
           "Variables of the environment whose new value waits for a restart of Kamailio. Absent without [env].",
           _one(lambda v: v.environment.waiting if v.environment else None)),
    Metric("consul_kam_environment_restart_seconds", G, (),
           "Seconds until a lease ends by which Kamailio still lives; 0: it has. Absent where nothing presses.",
           _one(lambda v: v.environment.within if v.environment else None)),
)  # fmt: skip
