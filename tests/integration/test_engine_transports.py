"""The whole pipeline over each way to Kamailio, and each dataset's read-back over all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.rpc import connect
from consul_kam.core.ports import Value
from consul_kam.datasets import dataset
from tests.lab import ConsulAgent, Destination, Engine, Kamailio, Lab, wait_for
from tests.lab.kamailio import DOMAIN_ATTRS_HEADER, DOMAIN_HEADER, RTPENGINE_HEADER

PASSWORD = "kam:a secret word"
WAYS = ("fifo", "http", "https")


def laid_out(lab: Lab, way: str, directory: Path, **more: object) -> tuple[Kamailio, str]:
    """A Kamailio (`more` of its options) that listens in this way, and the lines of `[kamailio]` that reach it."""
    options = {"fifo": way == "fifo", "http_rpc": {"http": "tcp", "https": "tls"}.get(way, "")}
    password = "" if way == "fifo" else PASSWORD
    kamailio = lab.kamailio(reload_delta=0, domain=True, rpc_password=password, **options, **more)
    if way == "fifo":
        return kamailio, f'rpc = "fifo:{kamailio.fifo}"\nrpc_reply_dir = "{kamailio.run}"'
    secret = directory / "password"
    secret.write_text(password + "\n")
    secret.chmod(0o600)
    lines = [f'rpc = "{way}://127.0.0.1:{kamailio.rpc_port}/RPC"', f'rpc_password_file = "{secret}"']
    if way == "https":
        lines.append(f'rpc_ca_file = "{kamailio.ca_file}"')
    return kamailio, "\n".join(lines)


def started(lab: Lab, kamailio: Kamailio, consul: ConsulAgent, lines: str) -> Engine:
    engine = lab.engine(kamailio, consul, start=False, domain="min_records = 0")
    text = engine.config.read_text()
    ctl = f'rpc = "unix:{kamailio.ctl}"'
    assert ctl in text
    engine.config.write_text(text.replace(ctl, lines))
    return engine.start()


@pytest.mark.parametrize("way", WAYS)
def test_from_consul_to_memory_and_over_a_restart(lab: Lab, consul: ConsulAgent, tmp_path: Path, way: str) -> None:
    kamailio, lines = laid_out(lab, way, tmp_path)
    engine = started(lab, kamailio, consul, lines)
    lab.consul_template(consul, [engine.template(), engine.template("domain")])
    for number in (1, 2):
        consul.register("router", f"r{number}", "127.0.0.1", 6000 + number)
    first, second = (
        Destination(f"sip:127.0.0.1:600{number}", "AX", 10, f"duid=r{number};rweight=1") for number in (1, 2)
    )
    for name, records in (("dispatcher", 2), ("domain", 1)):
        done = ("PUBLISHED", records, "IDLE")
        engine.wait(name, lambda s, done=done: (s["verdict"], s["records"], s["phase"]) == done, 20, name)
    assert kamailio.rpc.dispatcher() == {1: [first, second]}
    assert kamailio.rpc.domains() == [("127.0.0.1", "127.0.0.1")]
    kamailio.rpc.call("dispatcher.set_state", "dx", 1, first.uri)
    consul.deregister("r2")
    engine.wait("one left", lambda s: (s["verdict"], s["records"], s["phase"]) == ("PUBLISHED", 1, "IDLE"), 20)
    assert kamailio.rpc.dispatcher() == {1: [first._replace(flags="DX")]}, "its state was not carried"

    kamailio.stop()
    wait_for("seen to be away", lambda: not engine.ask("status")["kamailio"]["reachable"], 20)
    consul.register("router", "r2", "127.0.0.1", 6002)
    kamailio.start()
    wait_for("memory right again", lambda: kamailio.rpc.dispatcher() == {1: [first, second]}, 20)
    engine.wait("rest", lambda s: (s["phase"], s["memory"]["state"], s["records"]) == ("IDLE", "equal", 2), 20)
    wait_for("seen to be back", lambda: engine.ask("status")["kamailio"]["reachable"], 20)
    told = engine.ask("status")["kamailio"]
    assert told["rpc"].startswith(f"{way}:")
    for said in (engine.log.read_text(), str(told), Path(f"/proc/{engine.pid}/cmdline").read_text()):
        assert PASSWORD not in said


def test_two_engines_that_take_different_ways_to_one_list(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    kamailio, lines = laid_out(lab, "fifo", tmp_path)
    first = started(lab, kamailio, consul, lines)
    second = lab.engine(kamailio, consul, start=False)
    with pytest.raises(AssertionError, match=r"another engine .*already writes"):
        second.start()
    assert first.alive()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    """Lists with all that the datasets read back."""
    directory = tmp_path_factory.mktemp("filled")
    addresses = directory / "address.list"
    addresses.write_text(
        "1 10.0.0.1 32 5060 a\n1 10.1.0.0 16 0 b\n2 one.example.com 32 0 c\n3 two.example.com 32 5 d\n"
    )
    permissions = f'loadmodule "permissions.so"\nmodparam("permissions","address_file","{addresses}")'
    pings = {"ping_interval": 1, "fr_timer": 500}
    kamailio = Kamailio(directory, domain=True, rtpengine=True, rtpengine_tout_ms=100, fifo=True, http_rpc="tcp",
                        modparams=permissions, **pings)  # fmt: skip
    lines = [
        f"{1 + n % 3} sip:127.0.0.1:{7000 + n} {n % 2 * 4} {n} duid=r{n};weight={1 + n};x=\xe9\x01" for n in range(30)
    ]
    kamailio.list_file.write_text("\n".join([*lines, "4 sip:10.0.0.1:5060", ""]), encoding="latin-1")
    (kamailio.dbtext / "domain").write_text(
        DOMAIN_HEADER + "".join(f"{n}:d{n}.example.com:d{n}:0\n" for n in range(30))
    )
    (kamailio.dbtext / "domain_attrs").write_text(DOMAIN_ATTRS_HEADER + "1:d1:one:0:1:0\n2:d1:two:2:y:0\n")
    nodes = [f"{n}:{n % 2}:udp\\:127.0.0.1\\:{n + 1}:{n}:{n % 2}:0\n" for n in range(4)]
    (kamailio.dbtext / "rtpengine").write_text(RTPENGINE_HEADER + "".join(nodes))
    with kamailio:
        wait_for("pings that found nobody", lambda: _all_were_pinged(kamailio), 20)
        yield kamailio


def _all_were_pinged(kamailio: Kamailio) -> bool:
    found = [each for held in kamailio.rpc.dispatcher().values() for each in held if "127.0.0.1" in each.uri]
    return not any(each.flags.startswith("A") for each in found)


READ_BACK = ["address", "dispatcher", "domain", "rtpengine"]


@pytest.mark.parametrize("way", ["fifo", "http"])
@pytest.mark.parametrize("name", READ_BACK)
def test_each_datasets_memory_is_the_same(filled: Kamailio, name: str, way: str) -> None:
    memories = []
    for spec in (f"unix:{filled.ctl}", spec_of(filled, way)):
        rpc = connect(spec, reply_dir=str(filled.run))
        answers = [rpc.call(ask.method, *ask.params, deadline=10) for ask in dataset(name).readback]
        memories.append(dataset(name).decode(answers))
    assert memories[0]
    assert memories[0] == memories[1]


@pytest.mark.parametrize("way", ["fifo", "http"])
@pytest.mark.parametrize("method", ["addressDump", "subnetDump", "domainDump"])
def test_permissions_dumps_are_the_same(filled: Kamailio, method: str, way: str) -> None:
    """domainDump repeats its members in one JSON object: who reads JSON as a mapping sees the last item alone."""
    over_ctl, other = (
        connect(spec, reply_dir=str(filled.run)).call(f"permissions.{method}", deadline=10)
        for spec in (f"unix:{filled.ctl}", spec_of(filled, way))
    )
    assert over_ctl == other
    assert names_in(other).count("domain_name") == (2 if method == "domainDump" else 0)


def names_in(values: Value) -> list[str]:
    if isinstance(values, str):
        return []
    found = []
    for pair in values:
        name, value = pair if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) else ("", pair)
        found += [name, *names_in(value)]  # type: ignore[arg-type]
    return found


def spec_of(kamailio: Kamailio, way: str) -> str:
    return f"fifo:{kamailio.fifo}" if way == "fifo" else f"http://127.0.0.1:{kamailio.rpc_port}/RPC"
