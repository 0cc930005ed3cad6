"""One engine per Kamailio: whatever its user and directory, and whoever else would like to keep it out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.lock import SPARE, KamailioLock, abstract_name
from consul_kam.errors import ConfigError
from tests.lab import stranger

REPO = Path(__file__).parents[2]
TAKEN = r"^cannot start: another engine (\(process [0-9]+\) )?already writes"


@pytest.fixture
def place() -> Iterator[Path]:
    with stranger.open_place() as found:
        yield found


@pytest.fixture(
    params=["unix:{}/ctl", "tcp:127.0.0.1:{}", "udp:[::1]:{}", "kamcmd:[docker exec {} kamcmd]", "fifo:{}/fifo"]
)
def rpc(request: pytest.FixtureRequest, place: Path) -> str:
    """An address of its own for each test, in each form."""
    return str(request.param).format(place if "/" in request.param else place.name)


def held(rpc: str, *live: Path) -> None:
    with pytest.raises(ConfigError, match=TAKEN):
        KamailioLock(rpc, live)


HOLD = f"""
import sys
sys.path.insert(0, {str(REPO)!r})
from pathlib import Path
from consul_kam.adapters.lock import KamailioLock
held = KamailioLock(sys.argv[1], [Path(each) for each in sys.argv[2:]])
print("held", flush=True)
sys.stdin.read()
"""


def holder(rpc: str, *live: Path) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", HOLD, rpc, *map(str, live)]
    process = subprocess.Popen(argv, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_two_engines_with_different_lists_of_one_kamailio(rpc: str, place: Path) -> None:
    first = KamailioLock(rpc, [place / "a.list"])
    held(rpc, place / "b.list")
    held(rpc)
    first.release()
    KamailioLock(rpc, [place / "b.list"]).release()


def test_two_engines_with_one_list_whose_addresses_of_kamailio_differ(place: Path) -> None:
    first = KamailioLock("tcp:127.0.0.1:1", [place / "a.list", place / "domain"])
    (place / "link").symlink_to(place)
    held(f"unix:{place}/ctl", place / "link" / "domain")
    KamailioLock(f"unix:{place}/ctl", [place / "b.list"]).release()
    first.release()
    KamailioLock(f"unix:{place}/ctl", [place / "domain"]).release()


def test_a_killed_engine_leaves_nothing_that_keeps_the_next_one_out(rpc: str, place: Path) -> None:
    first = holder(rpc, place / "a.list")
    held(rpc, place / "a.list")
    first.kill()
    first.wait(10)
    first.communicate()
    KamailioLock(rpc, [place / "a.list"]).release()


def test_of_many_that_start_at_once_one_goes_on(rpc: str) -> None:
    argv = [sys.executable, "-c", HOLD, rpc]
    starting = [
        subprocess.Popen(
            argv, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for _ in range(4)
    ]
    said = [process.stdout.readline() for process in starting if process.stdout]
    for process in starting:
        process.communicate()
    assert sorted(said) == ["", "", "", "held\n"]


# -- strangers --------------------------------------------------------------------------------------------------------

SQUAT = """
taken = []
for name in given:
    taken.append(socket.socket(socket.AF_UNIX))
    taken[-1].bind(name)
    {listen}
print("ready", flush=True)
"""
LISTENS = "taken[-1].listen(1)"
HIDES = "taken[-1].listen(0); taken.insert(0, socket.socket(socket.AF_UNIX)); taken[0].connect(name)"


def names(rpc: str, count: int) -> list[str]:
    return [abstract_name(rpc) + (f"/{index}" if index else "") for index in range(count)]


@pytest.mark.parametrize("count", [1, SPARE - 1, SPARE])
@pytest.mark.parametrize("how", ["taken[-1].listen(1)", "pass", HIDES])
def test_a_stranger_who_takes_the_name_keeps_nobody_out(place: Path, how: str, count: int) -> None:
    rpc = f"tcp:127.0.0.1:{place.name}"
    with stranger.goes_on(SQUAT.format(listen=how), names(rpc, count)):
        first = KamailioLock(rpc, [place / "a.list"])
        held(rpc, place / "a.list")
        if count < SPARE:
            held(rpc, place / "b.list")
        first.release()


def test_one_that_began_beside_a_stranger_is_known_when_he_is_gone(place: Path) -> None:
    rpc = f"tcp:127.0.0.1:{place.name}"
    with stranger.goes_on(SQUAT.format(listen=LISTENS), names(rpc, 1)):
        first = KamailioLock(rpc)
    held(rpc)
    first.release()
    KamailioLock(rpc).release()


def test_a_stranger_can_neither_open_nor_plant_the_lock_file(place: Path) -> None:
    first = KamailioLock("tcp:127.0.0.1:1", [place / "a.list"])
    path = place / ".a.list.consul-kam.lock"
    first.release()
    tried = """
        tries = [said(os.open, given, os.O_RDONLY), said(os.open, given, os.O_RDWR), said(os.unlink, given),
                 said(os.symlink, "/etc/passwd", given + "2")]
        print(json.dumps(tries))
    """
    assert stranger.does(tried, str(path)) == ["EACCES"] * 4


@pytest.mark.parametrize("plant", [os.mkdir, lambda path: os.symlink("/nowhere", path)])
def test_what_is_no_lock_file_is_named(place: Path, plant: object) -> None:
    path = place / ".a.list.consul-kam.lock"
    assert callable(plant)
    plant(path)
    with pytest.raises(ConfigError, match=f"^cannot start: cannot (open|lock) {path}: .*; remove it$"):
        KamailioLock("tcp:127.0.0.1:1", [place / "a.list"])
    assert not os.path.exists("/nowhere")


# -- other users who may ----------------------------------------------------------------------------------------------


def test_root_and_the_user_of_the_lists_keep_each_other_out(place: Path) -> None:
    """Whoever made the lock file: the other one can open it."""
    live = place / "live"
    live.mkdir()
    live.chmod(0o750)
    stranger.by_root("chown", str(stranger.UID), live)
    locks = "fd = os.open(given, os.O_RDWR | os.O_CREAT, 0o600); fcntl.flock(fd, fcntl.LOCK_EX); print(1, flush=True)"
    path = str(live / ".a.list.consul-kam.lock")
    stranger.by_root(sys.executable, "-c", HOLD.replace("sys.stdin.read()", ""), "tcp:127.0.0.1:1", live / "a.list")
    with stranger.goes_on(locks, path):
        stranger.by_root(sys.executable, "-c", EXPECT, "tcp:127.0.0.1:1", live / "a.list")


EXPECT = f"""
import sys
sys.path.insert(0, {str(REPO)!r})
from pathlib import Path
from consul_kam.adapters.lock import KamailioLock
from consul_kam.errors import ConfigError
try:
    KamailioLock(sys.argv[1], [Path(each) for each in sys.argv[2:]])
except ConfigError as error:
    assert "another engine" in str(error), error
else:
    raise SystemExit("nobody keeps it out")
"""


@pytest.mark.parametrize("by", ["owner of the ctl socket", "its group", "its supplementary group", "owner of the list"])
def test_a_name_held_by_one_who_may_drive_this_kamailio_counts(place: Path, by: str) -> None:
    live, ctl = place / "live", place / "ctl"
    live.mkdir()
    ctl.touch(0o660)
    ctl.chmod(0o660)
    owner = live if by == "owner of the list" else ctl
    group = {"its group": stranger.UID, "its supplementary group": 54_399}.get(by)
    stranger.by_root("chown", f":{group}" if group else str(stranger.UID), owner)
    rpc = f"unix:{ctl}"
    with stranger.goes_on(SQUAT.format(listen=LISTENS), names(rpc, 1), groups=(54_399,)):
        stranger.by_root(sys.executable, "-c", EXPECT, rpc, live / "a.list")
    with stranger.goes_on(SQUAT.format(listen=LISTENS), names(rpc, 1), uid=54_322):
        stranger.by_root(sys.executable, "-c", HOLD.replace("sys.stdin.read()", ""), rpc, live / "a.list")
