"""The status page of a real engine, with a Consul in which somebody means no good."""

from pathlib import Path
from typing import Any

import pytest

from tests.app.test_page import Read
from tests.lab import ConsulAgent, Lab, uris, wait_for
from tests.lab.http import get, post, scrape, value
from tests.lab.ports import free_port
from tests.lab.world import World, agent, consul, lab, uri

__all__ = ["agent", "consul", "lab"]

TOKEN = "a-token-of-the-lab-1234"
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def served(lab: Lab, consul: ConsulAgent, **options: Any) -> World:
    return World(lab, consul, listen=f"127.0.0.1:{free_port()}", **options)


def seen(world: World) -> Read:
    status, document = get(world.engine.listen or "", "/")
    assert status == 200
    assert "<script>alert" not in document
    found = Read(document)
    assert found.open == []
    assert (found.tags["script"], found.tags["img"]) == (1, 0)
    return found


def test_who_registers_names_that_are_markup_writes_none(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    consul.register("router", f"r3{EVIL}", port=5060, address="192.0.2.1;evil=<b>", meta={"duid": EVIL})
    world.engine.wait("it is dropped", lambda status: bool(status["dropped"]))
    wait_for("Consul's word", lambda: "not asked yet" not in seen(world).words, 20, world.engine.log)
    page = seen(world)
    assert "r3" in page.words
    assert "dropped" in page.words
    assert "PUBLISHED" in page.words


def test_what_is_held_and_what_differs_is_told_and_a_new_engine_knows_what_was(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, dispatcher="hold_for = 600.0")
    world.add(1, 2, 3, 4)
    world.expect(1, 2, 3, 4)
    world.rest()
    world.at_once(lambda: world.remove(2, 3, 4))
    world.said("HELD", held=[2, 3, 4])
    words = seen(world).words
    assert "set 1 fell from 4 to 1 within 10 min" in words
    assert "3 not as Consul says" in words
    assert "consul-kam approve" in words
    world.restart_engine()
    wait_for("what was", lambda: words_of_changes(world).count("PUBLISHED") >= 1, 20, world.engine.log)
    world.kam.stop()
    wait_for("Kamailio is away", lambda: "Kamailio does not answer" in seen(world).words, 20, world.engine.log)


def words_of_changes(world: World) -> str:
    return seen(world).words.partition("The newest first")[2]


def test_a_node_that_leaves_says_how_far_it_is(lab: Lab, consul: ConsulAgent) -> None:
    dialog = {"modparams": 'loadmodule "dialog.so"\nmodparam("dialog", "enable_stats", 1)'}
    listen = f"127.0.0.1:{free_port()}"
    drain = '[drain]\non_stop = "leave"\nquiet_for = 3\n'
    node = lab.node(consul, listen=listen, kamailio=dialog, more=drain)
    node.ready()

    def metric(name: str, **labels: str) -> float | None:
        return value(scrape(listen), f"consul_kam_drain_{name}", **labels)

    assert (metric("phase", phase="NONE"), metric("calls")) == (1, None)
    assert "This node leaves" not in get(listen, "/")[1]
    assert node.ask("drain", reason="new kernel", force=True)["ok"]
    wait_for("its calls are counted", lambda: metric("calls") == 0, 10, node.log)
    wait_for("it is drained", lambda: metric("phase", phase="DRAINED") == 1, 60, node.log)
    assert metric("phase", phase="NONE") == 0
    words = Read(get(listen, "/")[1]).words
    assert "This node leaves" in words
    assert "new kernel" in words
    assert node.ask("undrain")["ok"]
    assert (metric("phase", phase="NONE"), metric("calls")) == (1, None)


def test_who_knows_the_token_acts_on_it(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    world = served(lab, consul, dispatcher="hold_for = 600.0")
    listen = world.engine.listen or ""
    assert post(listen, "/", token=TOKEN, do="pause dispatcher")[0] == 405, "read only"
    text = world.engine.config.read_text()
    world.engine.config.write_text(text.replace("[http]", f'[http]\ntoken_file = "{token}"'))
    world.restart_engine()
    world.add(1, 2, 3, 4)
    world.expect(1, 2, 3, 4)
    world.rest()
    world.at_once(lambda: world.remove(2, 3, 4))
    world.said("HELD", held=[2, 3, 4])
    assert post(listen, "/", token="c0ffee" * 4, do="approve dispatcher")[0] == 403
    assert post(listen, "/", token=TOKEN, do="approve domain")[0] == 409
    status, said = post(listen, "/", token=TOKEN, do="drain")
    assert (status, said.startswith("cannot drain: this engine has no [node] role")) == (409, True)
    assert uris(world.kam.rpc.dispatcher()) == [uri(1), uri(2), uri(3), uri(4)]
    assert post(listen, "/", token=TOKEN, do="approve dispatcher") == (303, "")
    world.expect(1)
    assert post(listen, "/", token=TOKEN, do="pause dispatcher") == (303, "")
    assert world.engine.status()["paused"]
    for told in (get(listen, "/")[1], world.engine.log.read_text(), str(world.engine.journal())):
        assert TOKEN not in told
    token.chmod(0o644)
    assert world.engine.stop() == 0
    with pytest.raises(AssertionError, match=r"cannot use http\.token_file"):
        world.engine.start()
