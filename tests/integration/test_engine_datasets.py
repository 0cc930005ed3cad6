"""Each dataset from Consul to Kamailio's memory, through all the real programs."""

import json
from pathlib import Path

from consul_kam.config import load
from tests.integration.test_examples_kamailio import rtpengine
from tests.lab import ConsulAgent, Destination, Lab, Rpc, Sampler, free_port, uris, wait_for
from tests.lab.engine import TEMPLATES
from tests.lab.world import BASE, World, every_version, uri

SETS = """
[[datasets.dispatcher.sets]]
setid = 1
service = "router"
static = ["sip:10.9.9.9:5060 0 3 duid=fallback"]
[[datasets.dispatcher.sets]]
setid = 7
service = "sbc"
priority = 2
weight_as = "none"
[[datasets.dispatcher.sets]]
setid = 9
kv = "routes/9"
"""


def of(world: World, dataset: str = "dispatcher") -> dict[str, str]:
    """What consul-template needs to render the engine's sets."""
    sets = [dict(entry) for entry in load(str(world.engine.config)).datasets[dataset].sets]
    return {f"CONSUL_KAM_{dataset.upper()}_SETS": json.dumps(sets)}


@every_version
def test_dispatcher(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=SETS, templates=False)
    lab.consul_template(consul, [world.engine.template()], of(world))
    world.add(1, weights=5, meta={"maxload": "20", "socket": f"udp:127.0.0.1:{world.kam.sip_port}"})
    world.add(2, tags=["primary"])
    consul.register("sbc", "sbc-a", "10.0.0.7", 5070, meta={"transport": "tcp"})
    consul.register("sbc", "sbc-b", "localhost", 5070)
    consul.kv_put("routes/9/one", "sip:10.0.0.9:5060 0 1 x=y")
    socket = f"socket=udp:127.0.0.1:{world.kam.sip_port}"
    wanted = {
        1: [
            Destination(uri(2), "AX", 10, "duid=r02;rweight=1"),
            Destination(uri(1), "AX", 5, f"duid=r01;rweight=5;maxload=20;{socket}"),
            Destination("sip:10.9.9.9:5060", "AX", 3, "duid=fallback"),
        ],
        7: [
            Destination("sip:10.0.0.7:5070;transport=tcp", "AX", 2, "duid=sbc-a"),
            Destination("sip:localhost:5070", "AX", 2, "duid=sbc-b"),
        ],
        9: [Destination("sip:10.0.0.9:5060", "AX", 1, "x=y")],
    }
    world.seen.wait_until(lambda memory: memory == wanted, 15)
    world.remove(2)
    world.seen.wait_until(lambda memory: memory[1][0].priority == 10 and memory[7] == wanted[7], 15)
    status = world.rest()
    assert status["staging"][0]["state"] == "ok"
    assert status["dropped"] == status["refused"] == status["held"] == []
    text = world.kam.list_file.read_text()
    assert "7 sip:localhost:5070 16 2" in text
    assert text.endswith("\n")


@every_version
def test_domain(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, {"domain": True}, dispatcher=None, domain="min_records = 0")
    domains = Sampler(world.kam.ctl, Rpc.domains)
    with domains:
        names = [f"d{number}.example.net" for number in range(6)]
        for name in names:
            consul.register("router", name, name)
        domains.wait_until(lambda held: sorted(held) == [(name, name) for name in names], 15)
        consul.deregister(names[0])
        domains.wait_until(lambda held: sorted(held) == [(name, name) for name in names[1:]], 15)
        consul.register("router", "evil", "a:b\n9:evil:evil:0")
        consul.register("router", "good", "good.example.net")
        domains.wait_until(lambda held: ("good.example.net", "good.example.net") in held, 15)
        assert domains.never(lambda held: any("evil" in name for name, _ in held))
        assert "evil" in " ".join(world.rest(dataset="domain")["dropped"])


@every_version
def test_rtpengine_a_real_one_and_one_that_is_away(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    world = World(lab, consul, {"rtpengine": True, "rtpengine_tout_ms": 200}, dispatcher=None, rtpengine="")
    away = free_port()
    with rtpengine(tmp_path) as port, Sampler(world.kam.ctl, Rpc.rtpengines, 0.05) as nodes:
        consul.register("rtp", "media-1", "127.0.0.1", port, weights=3)
        consul.register("rtp", "media-2", "127.0.0.1", away, weights=2)
        consul.register("rtp", "media-3", "127.0.0.2", port)
        here, gone, off = f"udp:127.0.0.1:{port}", f"udp:127.0.0.1:{away}", f"udp:127.0.0.2:{port}"
        known = [(0, here, 3, "0"), (0, gone, 2, "1"), (0, off, 1, "1")]
        nodes.wait_until(lambda held: sorted(held) == sorted(known), 40)
        assert world.rest(dataset="rtpengine")["verdict"] == "PUBLISHED"
        world.kam.rpc.call("rtpengine.enable", off, 0)  # an operator's word, which rides
        consul.deregister("media-2")
        nodes.wait_until(lambda held: sorted(held) == sorted([(0, here, 3, "0"), (0, off, 1, "1(permanent)")]), 40)


@every_version
def test_rtpengine_a_broadcast_address_shuts_nobody_out(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, {"rtpengine": True, "rtpengine_tout_ms": 5}, dispatcher=None, rtpengine="")
    with Sampler(world.kam.ctl, Rpc.rtpengines, 0.05) as nodes:
        consul.register("rtp", "media-1", "127.0.0.1", 9, weights=3)
        consul.register("rtp", "media-2", "255.255.255.255", 9)
        for weight in (3, 4):
            consul.register("rtp", "media-1", "127.0.0.1", 9, weights=weight)
            nodes.wait_until(lambda held, weight=weight: held == [(0, "udp:127.0.0.1:9", weight, "1")], 40)  # type: ignore[misc]
        assert "no socket connects to 255.255.255.255" in " ".join(world.rest(dataset="rtpengine")["dropped"])


def test_rtpengine_a_name_of_the_other_family_shuts_nobody_out(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    """Nor does one of a broadcast address. Engine and Kamailio have a hosts file of their own, in a mount namespace."""
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "127.0.0.1 localhost\n2001:db8::6 six.example\n255.255.255.255 all.example\n127.0.0.2 four.example\n"
    )
    own = ("unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh")
    kamailio = {"rtpengine": True, "rtpengine_tout_ms": 5}
    for host in ("four.example", "all.example"):
        consul.register("rtp", host, host, 9)
    node = lab.node(consul, kamailio=kamailio, dispatcher=None, rtpengine="", wrapper=own)
    with Sampler(node.kamailio.ctl, Rpc.rtpengines, 0.05) as nodes:
        for weight in (3, 4, 5):
            consul.register("rtp", "media-1", "127.0.0.1", 9, weights=weight)
            if weight == 4:
                consul.register("rtp", "six.example", "six.example", 9)
            wanted = {(0, "udp:127.0.0.1:9", weight, "1"), (0, "udp:four.example:9", 1, "1")}
            nodes.wait_until(lambda held, wanted=wanted: set(held) == wanted, 40)  # type: ignore[misc]
        status = node.status("rtpengine")
        assert status["blocked"] == ["all.example", "six.example"]
        told = " ".join(status["dropped"])
        for host in ("all.example", "six.example"):
            assert f"the name {host} does not resolve to an IPv4 address to connect to; tried again" in told


def test_all_three_at_once_share_one_engine(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, {"domain": True, "rtpengine": True}, domain="", rtpengine="")
    world.add(1, 2)
    consul.register("rtp", "media", "127.0.0.1", 2223)
    world.expect(1, 2)
    wait_for("the domains", lambda: world.kam.rpc.domains() == [("127.0.0.1", "127.0.0.1")], 15)
    assert {d["name"] for d in world.engine.ask("status")["datasets"]} == {"dispatcher", "domain", "rtpengine"}


TWO_CENTRES = """
[[datasets.dispatcher.sets]]
service = "router"
[[datasets.dispatcher.sets]]
setid = 2
service = "router"
datacenter = "dc2"
"""


def staged(number: int, setid: int) -> str:
    record = {"setid": setid, "address": "127.0.0.1", "port": BASE + number, "status": "passing"}
    return json.dumps(record) + '\n{"end":"dispatcher","records":1}\n'


def test_a_data_centre_away_at_boot_keeps_its_records(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=TWO_CENTRES, templates=False)
    staging = world.engine.staging
    lab.consul_template(consul, [(TEMPLATES / "dispatcher.ctmpl", staging / "dispatcher", None)])
    world.add(1)
    world.expect(1)
    (staging / "dispatcher@dc2").write_text(staged(22, 2))
    world.seen.wait_until(lambda memory: uris(memory, 2) == [uri(22)], 15)
    world.rest()
    assert world.engine.stop() == 0
    (staging / "dispatcher@dc2").unlink()
    world.add(3)
    world.engine.start()
    since = world.seen.wait_until(lambda memory: uris(memory) == [uri(1), uri(3)], 15)
    assert world.rest()["held"] == []
    assert world.seen.never(lambda memory: uris(memory, 2) != [uri(22)], since)
    (staging / "dispatcher@dc2").write_text(staged(23, 2))
    world.seen.wait_until(lambda memory: uris(memory, 2) == [uri(23)] and len(uris(memory)) == 2, 15)
