"""A node that shows everything that a node can show: each metric has a sample of it."""

from consul_kam.core.metrics import BOUNDS, STAGES
from consul_kam.core.vitals import (
    CertificateVitals,
    DrainVitals,
    EnvironmentVitals,
    ListVitals,
    ProbeVitals,
    ProcessVitals,
    Registered,
    SecretVitals,
    Spread,
    Tally,
    VaultVitals,
    Vitals,
)

SPREAD = Spread.over(BOUNDS).with_value(0.001).with_value(0.3).with_value(99.0)
LIST = ListVitals(
    name="htable:a",
    phase="IDLE",
    records=7,
    in_memory=6,
    equal=False,
    read_at=1_700_000_000.5,
    held=1,
    dropped=2,
    refused=3,
    draining=4,
    blocked=5,
    waiting=6,
    paused=True,
    staged={"": (1_700_000_001.0, True), "dc2": (1_700_000_002.0, False)},
    tally=Tally({"PUBLISHED": 8}, 9, dict.fromkeys(STAGES, SPREAD), 1_700_000_003.0),
)
FULL = Vitals(
    version="1.2.3",
    python="3.11.2",
    node="node-1",
    role="sbc",
    started=1_700_000_000.0,
    alive=True,
    reasons={"rpc": "cannot reach it"},
    kamailio=True,
    lists=(LIST,),
    processes=(ProcessVitals("kamailio", True, 2, 70_000_000, 1.25),),
    probes=(ProbeVitals("sip_options", True, 0.002, 1_700_000_004.0, {"rss_bytes": 5.0}),),
    registration=Registered(True, False),
    drain=DrainVitals("REFUSING", 3),
    certificates=(CertificateVitals("kamailio", 86_400.0, False), CertificateVitals("http", None, True)),
    vault=VaultVitals(True, True, (SecretVitals("db", True, 42.5, 7, 1), SecretVitals("api", False))),
    environment=EnvironmentVitals(2, 61.5),
    lag=SPREAD,
    unwritten=1,
)
