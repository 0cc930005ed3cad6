"""What nobody should do to a living engine, and what it has to survive."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Engine, Lab, uris


def staged(records: int) -> str:
    lines = [f'{{"setid":1,"address":"10.0.0.{number}"}}' for number in range(1, records + 1)]
    return "\n".join([*lines, f'{{"end":"dispatcher","records":{records}}}\n'])


def stage(engine: Engine, records: int) -> None:
    new = engine.staging / ".new"
    new.write_text(staged(records))
    new.rename(engine.staging / "dispatcher")


def raw(path: Path, line: bytes) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(line + b"\n")
        return dict(json.loads(b"".join(iter(lambda: client.recv(65536), b""))))


def test_requests_of_the_wrong_shape_are_answered(lab: Lab, consul: ConsulAgent) -> None:
    engine = lab.engine(lab.kamailio(reload_delta=0), consul)
    stage(engine, 2)
    pid = engine.pid
    for request in (
        b'{"do":"status","dataset":[1]}',
        b'{"do":"rollback","release":{"a":[1]}}',
        b'{"do":"history","limit":-3}',
        b'{"do":"apply","wait":1' + b"0" * 400 + b"}",
        b'{"do":"apply","wait":NaN}',
        b'{"do":"apply","wait":Infinity}',
        b'{"do":"\\ud800"}',
    ):
        assert "ok" in raw(engine.state / "control.sock", request), request
    assert engine.ask("status")["pid"] == pid


def test_status_survives_a_symlink_loop_in_staging(lab: Lab, consul: ConsulAgent) -> None:
    engine = lab.engine(lab.kamailio(reload_delta=0), consul)
    os.symlink("dispatcher", engine.staging / "dispatcher")
    engine.ask("apply")
    assert engine.status()["staging"][0]["state"] == "rejected"


@pytest.mark.parametrize("remake", [True, False])
def test_a_staging_directory_that_was_removed_is_watched_again(lab: Lab, consul: ConsulAgent, remake: bool) -> None:
    """The tick takes in what came meanwhile, and from then on changes are seen as they come."""
    kamailio = lab.kamailio(reload_delta=0)
    engine = lab.engine(kamailio, consul, verify_every=10)
    memory = lab.sampler(kamailio)
    stage(engine, 1)
    memory.wait_until(lambda seen: len(uris(seen)) == 1, 10)
    shutil.rmtree(engine.staging)
    if remake:
        engine.staging.mkdir()
        stage(engine, 2)
        memory.wait_until(lambda seen: len(uris(seen)) == 2, 40)
    else:
        # the tick makes it again
        engine.wait("the directory is there again", lambda status: engine.staging.is_dir(), 40)
    stage(engine, 3)
    memory.wait_until(lambda seen: len(uris(seen)) == 3, 20)
