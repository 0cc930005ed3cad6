"""A canary for a token: whatever Ansible says or leaves, it is nowhere but in one file of root's.

A control, which nothing protects, shows that it would be seen; and what ran is asked for.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.ansible.role.play import Controller
from tests.hosts.host import Host

CANARY = "c0ffee00-dead-4bee-8bad-f00dcanary00"
CONTROL = "an-open-word-of-the-configuration"
Controllers = Callable[..., Controller]


def traces(host: Host) -> Iterator[str]:
    """What every process has in its arguments and its environment, and what the journal holds."""
    for process in host.path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):  # it has ended, or is one of the kernel's
                yield (process / name).read_text(errors="replace")
    yield host.run("sh", "-c", "journalctl --no-pager --output=export | tr -cd '[:print:]\\n'").stdout


def holding(host: Host, word: str) -> set[str]:
    """Files of the host in which the word stands."""
    places = [each for each in ("/etc", "/opt", "/var", "/root", "/tmp", "/home") if host.path(each).exists()]
    return set(host.run("grep", "-rslF", "--binary-files=text", word, *places, check=False, timeout=300).stdout.split())


def test_the_token_is_nowhere_but_in_its_file(node: Host, controller: Controllers, tmp_path: Path) -> None:
    given = {"consul_kam_consul_token": CANARY, "consul_kam_settings": {"registration": {"meta": {"word": CONTROL}}}}
    done = controller(node).play("-vvv", "--diff", **given)
    assert done.did("Consul's token") == ["changed"], "it did run"
    assert done.did("The service consul-kam")[0] == "changed"
    assert node.path("/etc/consul_kam/token").read_text() == f"{CANARY}\n"
    assert done.said.count(CONTROL) >= 2, "what is not protected is seen, in the difference among others"
    assert CANARY not in done.said
    assert not any(CANARY in trace for trace in traces(node))
    assert holding(node, CANARY) == {"/etc/consul_kam/token"}
    assert "/etc/consul_kam/consul-kam.toml" in holding(node, CONTROL)
    assert node.run("stat", "-c", "%U:%G %a", "/etc/consul_kam/token").stdout == "root:root 600\n"
    assert node.run("cat", "/etc/consul_kam/token", user="consul_kam", check=False).returncode != 0
    credential = "/run/credentials/consul-kam.service/consul-token"
    assert node.run("cat", credential).stdout == f"{CANARY}\n", "systemd hands it over"


def test_a_token_that_is_refused_is_not_shown_either(node: Host, controller: Controllers) -> None:
    done = controller(node).play("-vvv", "--diff", check=False, consul_kam_consul_token=f"{CANARY} and more")
    assert done.code != 0
    assert done.did("Consul's token") in (["fatal"], ["failed"])
    assert CANARY not in done.said
    done = controller(node).play("-vvv", check=False, consul_kam_consul_token=[CANARY], consul_kam_role="proxy")
    assert done.code != 0
    assert "consul_kam_role must be one of" in done.said
    assert CANARY not in done.said
