"""What cannot go well stops before anything is touched, and says what to do."""

from collections.abc import Callable
from typing import Any

from tests.ansible.role.play import Controller
from tests.ansible.role.test_converge import files
from tests.hosts.host import Host

Controllers = Callable[..., Controller]
TEMPLATE = "consul_kam_consul_template"
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"consul_kam_wheel": ""}, "consul_kam_wheel names no wheel of consul_kam: it is empty"),
    ({"consul_kam_wheel": "/nowhere/consul_kam-1.0-py3-none-any.whl"}, "there is no file /nowhere/consul_kam-1.0"),
    ({"consul_kam_wheel": "/etc/hostname"}, "names no wheel of consul_kam: /etc/hostname"),
    ({"consul_kam_source": "wheelhouse", "consul_kam_version": "77.0"}, "one consul_kam-*.whl is wanted"),
    ({"consul_kam_source": "index"}, "cannot install from an index without consul_kam_version"),
    ({"consul_kam_version": "../../etc"}, "consul_kam_version has to be a name"),
    ({"consul_kam_address": ""}, "set consul_kam_address"),
    ({f"{TEMPLATE}_sha256": "0" * 64}, "has not the SHA-256"),
    ({f"{TEMPLATE}_sha256": ""}, "has not the SHA-256"),
    ({f"{TEMPLATE}_file": "/nowhere/consul-template"}, "there is no file /nowhere/consul-template"),
    (
        {f"{TEMPLATE}_source": "installed", f"{TEMPLATE}_file": ""},
        "there is no consul-template in /usr/local/bin or /usr/bin",
    ),
    ({"consul_kam_python": "/bin/false"}, "Python 3.11 or newer"),
    ({"consul_kam_role": "proxy"}, "value of consul_kam_role must be one of: sbc, router, rtp, got: proxy"),
)


def test_what_cannot_go_well_stops_first(pristine: Host, controller: Controllers) -> None:
    before = files(pristine)
    for wrong, said in REFUSED:
        done = controller(pristine).play(check=False, **wrong)
        assert done.code != 0, wrong
        assert said in " ".join(done.said.split()), (wrong, done.said)
        assert done.changed == [], wrong
    assert files(pristine) == before


def test_a_stranger_is_refused(pristine: Host, controller: Controllers) -> None:
    """A Debian that nobody tried, and a systemd that is too old: by what the host says of itself."""
    older = pristine.path("/usr/local/bin/systemctl")
    pristine.write("/usr/local/bin/systemctl", "#!/bin/sh\necho 'systemd 247 (247.3-7)'\n", 0o755)
    done = controller(pristine).play("--tags", "preflight", check=False)
    older.unlink()
    assert done.code != 0
    assert "systemd 252 or newer" in " ".join(done.said.split())
    assert "systemd 247 (booted)" in " ".join(done.said.split())
    release = pristine.path("/etc/os-release")
    release.unlink()
    release.write_text(
        'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n'
    )
    pristine.path("/etc/debian_version").write_text("11.0\n")
    done = controller(pristine).play(check=False)
    assert done.code != 0
    assert "it needs Debian 12 or 13" in done.said
    assert done.changed == []
