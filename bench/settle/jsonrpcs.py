"""What jsonrpcs carries over its FIFO and over HTTP, by list length, private memory and write queue."""

import time
from pathlib import Path

from bench.settle.common import put, say
from consul_kam.adapters.rpc import connect
from consul_kam.errors import RpcError
from tests.lab import Kamailio, Lab
from tests.lab.kamailio import DOMAIN_HEADER

QUEUE = "tcp_conn_wq_max=67108864\ntcp_wq_max=134217728"
TRIED: list[tuple[int, int, str]] = [
    (6_000, 2, ""),
    (10_000, 8, ""),
    (20_000, 8, ""),
    (20_000, 64, ""),
    (20_000, 64, QUEUE),
    (30_000, 64, ""),
]
"""Destinations and domains; private memory (-M), MB; lines of kamailio.cfg."""


def run(directory: Path) -> None:
    for count, private, lines in TRIED:
        with Lab(directory / f"{count}-{private}-{len(lines)}") as lab:
            kam = lab.kamailio(
                reload_delta=0, domain=True, fifo=True, http_rpc="tcp", pkg=private, shm=256, globals=lines
            )
            _fill(kam, count)
            for way in (f"fifo:{kam.fifo}", f"http://127.0.0.1:{kam.rpc_port}/RPC"):
                for method in ("dispatcher.list", "domain.dump"):
                    what = f"{count} {method} {way.split(':')[0]} -M {private}" + (
                        " tcp_conn_wq_max raised" if lines else ""
                    )
                    say(what, "; ".join(_three_times(kam, way, method)))


def _fill(kam: Kamailio, count: int) -> None:
    # descending priorities keep the load fast
    lines = (
        f"1 sip:10.{n >> 8}.{n & 255}.1:5060 0 {count - n} duid=router-number-{n};rweight=50\n" for n in range(count)
    )
    kam.list_file.write_text("".join(lines))
    rows = (f"{n}:d{n}.example.com:d{n}:0\n" for n in range(count))
    put(kam.dbtext / "domain", DOMAIN_HEADER + "".join(rows), int(time.time()) + 60)  # newer than what was read
    kam.rpc.timeout = 60.0
    kam.rpc.call("dispatcher.reload")
    kam.rpc.call("domain.reload")


def _three_times(kam: Kamailio, way: str, method: str) -> list[str]:
    rpc = connect(way, str(kam.run))
    said = []
    for _ in range(3):
        began = time.monotonic()
        try:
            rpc.call(method, deadline=60.0)
            said.append(f"{(time.monotonic() - began) * 1000:.0f} ms")
        except RpcError as error:
            return [*said, str(error)]
    return said
