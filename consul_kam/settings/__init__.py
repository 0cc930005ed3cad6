"""Every configuration key: its type, range, default and meaning. docs/configuration.md is generated from these files.

A duration is a number of seconds.
"""

from typing import Annotated

from consul_kam.settings.env import Env, EnvSettings, Var
from consul_kam.settings.lists import Dataset, Set, set_table
from consul_kam.settings.night import Alert, Doctor, Log
from consul_kam.settings.node import (
    Consul,
    ConsulTemplate,
    Drain,
    Http,
    Kamailio,
    Node,
    Probe,
    Registration,
    Rtpengine,
    Supervise,
)
from consul_kam.settings.references import References, put_in, shown
from consul_kam.settings.schema import (
    DATASET,
    Keys,
    Meta,
    Mode,
    convert,
    describe,
    doc,
    plain,
    replace,
    schema_at,
    unknown_key,
)
from consul_kam.settings.tls import Tls
from consul_kam.settings.vault import Auth, Secret, Vault, VaultSettings

__all__ = [
    "Alert",
    "Auth",
    "Consul",
    "ConsulTemplate",
    "Dataset",
    "Doctor",
    "Drain",
    "Env",
    "EnvSettings",
    "File",
    "Http",
    "Kamailio",
    "Log",
    "Node",
    "Probe",
    "References",
    "Registration",
    "Rtpengine",
    "Secret",
    "Set",
    "Supervise",
    "Tls",
    "Var",
    "Vault",
    "VaultSettings",
    "convert",
    "describe",
    "plain",
    "put_in",
    "replace",
    "schema_at",
    "set_table",
    "shown",
    "unknown_key",
]


class File(Keys, frozen=True):
    """A whole configuration file."""

    mode: Annotated[Mode, doc("`observe` writes nothing at all and says what it would do.")] = "apply"
    order: Annotated[
        list[Annotated[str, Meta(pattern=DATASET)]] | None,
        doc(
            "Lists that belong together: who is new is added in this order, who leaves is removed against it.",
            'those of `["address", "dispatcher"]` that are enabled: trusted before it is routed to',
        ),
    ] = None
    order_wait: Annotated[float, Meta(ge=0, le=600), doc("How long one list waits for another at most, s.")] = 10.0
    verify_every: Annotated[float, Meta(ge=1), doc("How often memory is compared with the target, s.")] = 30.0
    node: Node = Node()
    consul: Consul = Consul()
    consul_template: ConsulTemplate = ConsulTemplate()
    kamailio: Kamailio = Kamailio()
    rtpengine: Rtpengine = Rtpengine()
    registration: Registration = Registration()
    drain: Drain = Drain()
    supervise: Supervise = Supervise()
    probes: dict[str, Probe] = {}
    env: Env = Env()
    vault: Vault = Vault()
    http: Http = Http()
    datasets: dict[str, Dataset] = {}
    alert: Alert = Alert()
    doctor: Doctor = Doctor()
    log: Log = Log()
