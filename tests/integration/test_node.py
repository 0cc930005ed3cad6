"""A supervised node with the real programs: it starts, restarts, adopts and ends them."""

from consul_kam.adapters import processes
from tests.lab import ConsulAgent, Lab, Node, Rpc, uris, wait_for
from tests.lab.world import BASE, every_version, uri


def register(consul: ConsulAgent, *numbers: int) -> None:
    for number in numbers:
        consul.register("router", f"r{number:02d}", port=BASE + number)


def holds(node: Node, *numbers: int, timeout: float = 20.0) -> None:
    """Memory holds these routers, by the tests' own client."""
    rpc = Rpc(node.kamailio.ctl)

    def right() -> bool:
        try:
            return uris(rpc.dispatcher()) == [uri(number) for number in numbers]
        except OSError:
            return False

    wait_for(f"routers {numbers} in memory", right, timeout, node.log, 0.02)


@every_version
def test_it_starts_its_programs_and_ends_them(lab: Lab, consul: ConsulAgent) -> None:
    register(consul, 1, 2)
    node = lab.node(consul)
    node.ready()
    holds(node, 1, 2)
    register(consul, 3)
    holds(node, 1, 2, 3)
    kamailio, template = node.identity(), node.identity("consul-template")
    assert kamailio is not None
    assert template is not None
    assert node.stop() == 0
    assert processes.members(kamailio) == processes.members(template) == []
