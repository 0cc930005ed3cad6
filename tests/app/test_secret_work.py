"""What the worker does for secrets, with a Vault on paper and a real tmpfs."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consul_kam.app.secret_work import Hands, LoggedOut, NotKept, Replaced, clock
from consul_kam.core.lease import Held, Login
from consul_kam.core.secret import Want
from consul_kam.errors import VaultAway, VaultError, VaultForgot, VaultRefused
from tests.app.secret_world import PaperVault, Place
from tests.core.test_certificate import OLD

DB = Want("db", "database", "database/creds/k")


class World:
    def __init__(self, place: Place) -> None:
        self.place, self.vault = place, PaperVault()
        self.hands = Hands(place.settings().vault, lambda: 0.5, self.vault)
        self.hands.find(("db",))
        self.login: Login = self.hands.log_in()

    def ask(self, number: int, before: Held | None = None, want: Want = DB) -> Held:
        taken = self.hands.ask(want, before, number, self.login)
        return taken.held

    def field(self, name: str) -> str:
        return (self.place.secrets / "db" / name).read_text()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Place(tmp_path) as place:
        yield World(place)


def test_another_engine_finds_what_there_was(world: World) -> None:
    one = world.ask(1)
    two = world.ask(2, one)
    found = Hands(world.place.settings().vault, vault=PaperVault()).find(("db",))
    assert (found.current, found.old, list(found.leaving)) == ({"db": two}, {"db": one}, [])
    assert (found.login, found.numbers) == (world.login, {"db": 2})
    assert one.lease.id == "database/creds/k/1"
    assert clock() - 60 < one.lease.taken <= clock()
    third = world.ask(3, two)
    found = Hands(world.place.settings().vault, vault=PaperVault()).find(("db",))
    assert (found.current, found.old, found.leaving) == ({"db": third}, {"db": two}, [("db", one)])


def test_what_is_no_longer_wanted_stays_until_it_is_let_go_and_its_lease_ends_by_itself(world: World) -> None:
    for number in (1, 2, 3):
        world.ask(number)
    found = world.hands.find(())
    assert [held.generation for _, held in found.leaving] == [3, 2, 1]
    assert world.field("username") == "u3"
    for name, held in found.leaving:
        world.hands.let_go(name, held, world.login)
    assert (list(world.place.secrets.glob("*db*")), world.vault.revoked) == ([], [])


def test_what_was_taken_away_is_seen_and_written_again(world: World) -> None:
    want = Want("db", "kv", "secret/data/x")
    world.vault.data[want.path] = {"data": {"username": "1"}, "metadata": {"version": 1}}
    one = world.ask(1, want=want)
    assert world.hands.lost({"db": 1, "other": 1}) == ["other"]
    (world.place.secrets / "db").unlink()
    assert world.hands.lost({"db": 1}) == ["db"]
    taken = world.hands.ask(want, one, 2, world.login)
    assert (taken.new, taken.held.generation, world.field("username")) == (True, 2, "1")
    world.place.secrets.chmod(0o755)
    assert world.hands.lost({"db": 2}) == []
    assert "others may look in" in world.hands.unfit
    shutil.rmtree(world.place.secrets)
    assert (world.hands.lost({"db": 2}), world.hands.unfit) == (["db"], "")
    assert world.ask(3, taken.held, want).generation == 3


def test_what_vault_did_counts_also_where_it_cannot_be_written_down(world: World) -> None:
    held = world.ask(1)
    for name in (".login.json", ".db.1.json"):
        (world.place.secrets / name).unlink()
        (world.place.secrets / name).mkdir()
    world.vault.login_life = 1900.0
    assert world.hands.prolong(world.login).lease.life == 1900.0
    assert world.hands.log_in().lease.life == 1900.0
    world.vault.life = 1000.0
    assert world.hands.renew(DB, held, world.login).lease.life == 1000.0
    assert world.hands.unkept == f"cannot write {world.place.secrets}: Is a directory"
    (world.place.secrets / ".db.1.json").rmdir()
    again = world.hands.renew(DB, held, world.login)
    assert (world.hands.unkept, world.hands.find(("db",)).current) == ("", {"db": again})


def test_another_address_is_another_login(world: World) -> None:
    there = world.place.settings('address = "https://other"').vault
    assert Hands(there, vault=PaperVault()).find(("db",)).login is None


def test_what_is_damaged_is_asked_for_anew_and_used_until_then(world: World) -> None:
    world.ask(1)
    (world.place.secrets / ".db.1.json").write_text("{")
    (world.place.secrets / ".login.json").write_text("{")
    found = world.hands.find(("db",))
    assert found.login is None
    assert (found.current["db"].want, found.current["db"].generation) == ("", 1)
    assert world.field("username") == "u1"


def test_a_lease_of_the_future_is_of_another_boot(world: World) -> None:
    held = world.ask(1)
    for path in (".db.1.json", ".login.json"):
        text = (world.place.secrets / path).read_text()
        taken = str(held.lease.taken if path.startswith(".db") else world.login.lease.taken)
        assert taken in text
        (world.place.secrets / path).write_text(text.replace(taken, str(clock() + 1e6)))
    found = world.hands.find(("db",))
    assert (found.login, found.current["db"].want) == (None, "")


def test_what_cannot_be_kept_is_given_back(world: World) -> None:
    (world.place.secrets / ".db.1").mkdir()
    with pytest.raises(NotKept, match=r"cannot write .*/db: File exists"):
        world.ask(1)
    assert world.vault.revoked == ["database/creds/k/1"]
    world.vault.data["database/creds/k"] = {"username": "u"}
    with pytest.raises(VaultError, match="no password"):
        world.ask(2)
    assert world.vault.revoked[1:] == ["database/creds/k/2"]
    world.vault.refuses["revoke"] = VaultAway("cannot")
    with pytest.raises(VaultError, match="no password"):
        world.ask(2)


def test_after_the_end_nothing_is_published(world: World) -> None:
    world.hands.close()
    with pytest.raises(NotKept, match="it ends"):
        world.ask(1)
    assert world.vault.revoked == ["database/creds/k/1"]
    assert world.hands.find(("db",)).current == {}


def test_an_expired_one_goes_and_what_came_meanwhile_stays(world: World) -> None:
    one = world.ask(1)
    two = world.ask(2, one)
    world.hands.remove("db", one)
    assert world.field("username") == "u2"
    assert not (world.place.secrets / ".db.1").exists()
    world.hands.remove("db", two)
    assert list(world.place.secrets.glob("*db*")) == []


def test_what_somebody_put_in_a_secrets_place_is_named(world: World) -> None:
    (world.place.secrets / "db").mkdir()
    (world.place.secrets / "db" / "x").touch()
    with pytest.raises(NotKept, match=r"cannot write .*/db: "):
        world.ask(1)
    assert world.hands.find(()).leaving == []
    assert (world.place.secrets / "db" / "x").exists()


def test_what_nobody_needs_is_revoked_while_it_lives(world: World) -> None:
    one = world.ask(1)
    world.hands.let_go("db", replace(one, lease=replace(one.lease, life=0.0)), world.login)
    assert world.vault.revoked == [], "it ended"
    two = world.ask(2)
    world.hands.let_go("db", two, None)
    assert world.vault.revoked == [], "nobody is logged in"
    three = world.ask(3)
    world.vault.refuses["revoke"] = VaultAway("cannot reach it")
    with pytest.raises(VaultAway):
        world.hands.let_go("db", three, world.login)
    assert not (world.place.secrets / ".db.3").exists(), "its files go in any case"


def test_a_token_that_is_no_longer_ours(world: World) -> None:
    held = world.ask(1)
    world.vault.refuses = {each: VaultForgot("no", 403) for each in ("database/creds/k", "renew", "prolong")}
    for act in (
        lambda: world.ask(2, held),
        lambda: world.hands.renew(DB, held, world.login),
        lambda: world.hands.prolong(world.login),
    ):
        with pytest.raises(LoggedOut, match="Vault no longer knows our token"):
            act()


def test_another_token_in_the_file_is_for_the_next_login_and_takes_nothing_from_this_one(world: World) -> None:
    world.place.write_token("t2")
    with pytest.raises(Replaced, match="the token file has another token"):
        world.ask(1)
    world.vault.refuses["login"] = VaultRefused("cannot use the token: 403", 403)
    with pytest.raises(VaultRefused):
        world.hands.log_in()
    held = world.ask(1)
    assert world.vault.calls == ["login", "login", "database/creds/k"]
    world.place.write_token("t3")
    with pytest.raises(Replaced):
        world.hands.renew(DB, held, world.login)
    world.vault.refuses["login"] = VaultAway("cannot reach it")
    with pytest.raises(VaultAway):
        world.hands.log_in()
    with pytest.raises(Replaced):
        world.hands.renew(DB, held, world.login)
    world.place.token.unlink()
    assert world.hands.renew(DB, held, world.login).lease.life == 3600.0
    assert world.hands.unread.startswith("cannot read vault.auth.token_file ")
    world.place.write_token("t1")
    world.hands.renew(DB, held, world.login)
    assert world.hands.unread == ""


def test_a_renewal_is_remembered(world: World) -> None:
    held = world.ask(1)
    world.vault.life = 1000.0
    again = world.hands.renew(DB, held, world.login)
    assert (again.lease.life, again.lease.over, again.lease.first) == (1000.0, True, 3600.0)
    assert world.hands.find(("db",)).current == {"db": again}
    world.vault.login_life = 1900.0
    login = world.hands.prolong(world.login)
    assert (login.lease.life, login.lease.over) == (1900.0, False)
    assert world.hands.find(("db",)).login == login


def test_a_certificate_lives_as_long_as_it_says(world: World) -> None:
    want = Want("db", "pki", "pki/issue/k", common_name="a")
    told = dict.fromkeys(("certificate", "private_key", "issuing_ca", "serial_number"), "x")
    world.vault.data["pki/issue/k"] = {**told, "expiration": int(time.time()) + 500}
    held = world.ask(1, want=want)
    assert 400 < (held.lease.life or 0) <= 500
    assert not held.lease.renewable
    world.vault.data["pki/issue/k"] = {**told, "expiration": int(time.time()) - 5}
    with pytest.raises(VaultError, match="its certificate has ended already"):
        world.ask(2, want=want)


def test_a_certificate_lives_no_longer_than_it_says_where_our_clock_is_behind(world: World) -> None:
    want = Want("db", "pki", "pki/issue/k", common_name="a")
    told = dict.fromkeys(("private_key", "issuing_ca", "serial_number"), "x")
    years = {"certificate": OLD, "expiration": int(time.time()) + 10 * 365 * 86400}
    world.vault.data["pki/issue/k"] = {**told, **years}
    assert world.ask(1, want=want).lease.life == 90 * 86400
    assert world.ask(2, want=replace(want, ttl=3600.0)).lease.life == 3600.0, "nor than what was asked for"


def test_what_is_read_again_and_is_the_same_is_no_other_generation(world: World) -> None:
    want = Want("db", "kv", "secret/data/x")
    world.vault.data[want.path] = {"data": {"a": "1"}, "metadata": {"version": 1}}
    one = world.ask(1, want=want)
    assert (one.lease.life, one.version) == (None, 1)
    world.vault.data[want.path] = {"data": {"a": "1"}, "metadata": {"version": 2}}
    two = world.ask(2, one, want)
    assert (two.generation, two.version, two.at) == (1, 2, one.at)
    assert two.lease.taken >= one.lease.taken
    assert world.hands.find(("db",)).current == {"db": two}
    other = replace(want, text="{a}")
    assert world.ask(2, two, other).generation == 2
    assert world.field("text") == "1"
