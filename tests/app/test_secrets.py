"""The flow of secrets: what waits for them, who is told, and what a failure of one means for the others."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consul_kam.adapters.journal import Journal
from consul_kam.app.loop import Loop
from consul_kam.app.reports import Reporter
from consul_kam.app.secret_work import Hands, clock
from consul_kam.app.secrets import LOOK, Secrets
from consul_kam.config import Settings, parse
from consul_kam.errors import VaultAway, VaultForgot, VaultRefused
from tests.app.secret_world import PaperVault, Place

AWAY = VaultAway("cannot reach Vault: away")
KV = '[vault.secrets.api]\nkind = "kv"\npath = "secret/data/api"\nevery = 0.5\n'


class Running:
    """`secrets` on a decision thread of its own; `told`: names that a listener was told."""

    def __init__(self, place: Place, settings: Settings, look: float = LOOK) -> None:
        self.place, self.vault, self.loop = place, PaperVault(), Loop()
        self.reporter = Reporter(Journal(place.state / "journal.jsonl"))
        hands = Hands(settings.vault, vault=self.vault)
        self.secrets = Secrets(self.loop, settings, self.reporter, hands, look)
        self.told: list[str] = []
        for want in settings.vault.secrets:
            self.secrets.subscribe(want.name, self.told.append)
        self.went = threading.Event()
        self.thread = threading.Thread(target=self.loop.run, args=(lambda: None,))

    def start(self) -> None:
        self.thread.start()
        self.loop.post(lambda: self.secrets.start(self.went.set))

    def on(self, act: Callable[[], Any]) -> Any:
        """There."""
        found, done = list[Any](), threading.Event()
        self.loop.post(lambda: (found.append(act()), done.set()))
        assert done.wait(20)
        return found[0]

    def state(self, name: str = "db") -> dict[str, Any]:
        status = self.on(self.secrets.status)
        return next(dict(each) for each in status["secrets"] if each["name"] == name)

    def until(self, probe: Callable[[], Any]) -> None:
        for _ in range(2000):
            if probe():
                return
            threading.Event().wait(0.01)
        pytest.fail(f"never: {self.vault.calls} {self.on(self.secrets.status)}")

    def goes_by(self, seconds: float) -> None:
        """For the lease of `db`, as if it was taken so long ago."""

        def act() -> None:
            each = self.secrets._all.each["db"]
            assert each.held is not None
            each.held = replace(each.held, lease=replace(each.held.lease, taken=each.held.lease.taken - seconds))
            self.secrets._next()

        self.on(act)

    def renews(self) -> None:
        """The lease of `db`, twice; its life is an hour, and two thirds of it are over."""
        for _ in range(2):
            before = self.state()["renewals"]
            self.goes_by(3000.0)
            self.until(lambda before=before: self.state()["renewals"] > before)

    def field(self, name: str) -> str:
        path = self.secrets.path("db", name)
        return path.read_text() if path.exists() else ""


@contextmanager
def running(
    directory: Path, lines: str = "", more: str = "", patience: float = 10.0, look: float = LOOK
) -> Iterator[Running]:
    directory.mkdir(exist_ok=True)
    with Place(directory) as place:
        place.state.mkdir(exist_ok=True)
        made = Running(place, place.settings(lines, more, patience), look)
        with ended(made):
            yield made


@contextmanager
def ended(made: Running) -> Iterator[None]:
    try:
        yield
    finally:
        made.vault.open.set()
        made.loop.post(made.secrets.close)
        made.loop.post(made.loop.stop)
        made.thread.join(10)
        made.reporter.close()


@contextmanager
def after(before: Running, more: str = "", change: Callable[[str], str] = str) -> Iterator[Running]:
    """The next engine, not started yet, with another configuration; Vault is away."""
    before.on(before.secrets.close)
    made = Running(before.place, before.place.settings(more=more, change=change))
    made.vault.count = 100
    made.vault.refuses = dict.fromkeys(("login", "prolong", "renew", "revoke", "database/creds/k"), AWAY)
    with ended(made):
        yield made


def test_what_waits_goes_on_once_all_is_there_and_listeners_are_told(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.vault.open.clear()
        made.start()
        assert made.on(lambda: made.secrets.missing) == ("db",)
        assert made.on(lambda: made.secrets.waits_for) == "db from Vault: asked for"
        assert not made.went.is_set()
        made.vault.open.set()
        assert made.went.wait(20)
        assert (made.told, made.field("username")) == (["db"], "u1")
        assert made.on(lambda: made.secrets.waits_for) == ""
        assert made.vault.calls == ["login", "database/creds/k"]


def test_without_the_table_nothing_waits_and_nobody_is_asked(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        bare = Secrets(Loop(), _bare(tmp_path), made.reporter)
        went: list[bool] = []
        bare.start(lambda: went.append(True))
        assert went == [True]
        assert (bare.status(), bare.vitals(), bare.waits_for) == (None, None, "")
        bare.close()
        made.start()


def _bare(directory: Path) -> Settings:
    return parse(f'[node]\nstate_dir = "{directory}"', "f.toml", {})


def test_it_goes_on_without_in_the_end(tmp_path: Path) -> None:
    with running(tmp_path, patience=0.2) as made:
        made.vault.refuses["login"] = VaultAway("cannot reach Vault: away")
        made.start()
        assert made.went.wait(20)
        made.until(lambda: made.on(lambda: made.secrets.waits_for) == "db from Vault: cannot reach Vault: away")
        del made.vault.refuses["login"]
        made.until(lambda: made.told)
        assert made.state()["state"] == "good"


def test_one_that_is_refused_holds_up_no_other(tmp_path: Path) -> None:
    with running(tmp_path, more=KV, patience=0.2) as made:
        made.vault.data["secret/data/api"] = {"data": {"a": "1", "b/c": "2"}, "metadata": {"version": 1}}
        made.vault.refuses["database/creds/k"] = VaultRefused("cannot read it: 403", 403)
        made.start()
        made.until(lambda: made.vault.calls.count("secret/data/api") > 2 and made.state()["failures"] > 1)
        assert made.told == ["api"]
        status = made.on(made.secrets.status)
        assert (status["reachable"], status["logged_in"]) == (True, True)
        assert status["troubles"] == ["db: cannot read it: 403", "api: it has fields that cannot be files: b/c"]
        vitals = made.on(made.secrets.vitals)
        assert [(each.name, each.usable, each.expires_in) for each in vitals.secrets] == [
            ("db", False, None),
            ("api", True, None),
        ]


def test_what_will_not_be_renewed_is_asked_for_anew(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.vault.refuses["renew"] = VaultRefused("cannot renew: 400 lease not found", 400)
        made.start()
        made.until(lambda: made.told == ["db"])
        made.goes_by(3000.0)
        made.until(lambda: made.told == ["db", "db"])
        assert made.vault.calls[:4] == ["login", "database/creds/k", "renew", "database/creds/k"]
        assert made.field("username") == "u2"
        assert made.state()["before_expires_in"] > 0


def test_another_token_in_the_file_takes_leases_along(tmp_path: Path) -> None:
    with running(tmp_path, more=KV) as made:
        made.vault.login_life = 2000.0
        made.vault.data["secret/data/api"] = {"data": {"a": "1"}, "metadata": {"version": 1}}
        made.start()
        made.until(lambda: sorted(made.told) == ["api", "db"])
        made.place.write_token("t2")
        made.until(lambda: made.told.count("db") == 2)
        assert made.told.count("api") == 1, "KV has no lease"
        assert made.vault.calls.count("login") == 2
        assert 1000 < made.state()["before_expires_in"] <= 2000, "the old one ends with its login"


def test_a_login_that_is_renewed_a_little_late_brings_back_what_hangs_on_it(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.vault.login_life = 2.0
        made.start()
        made.until(lambda: made.told)
        made.vault.open.clear()
        made.until(lambda: made.state()["state"] == "expired")
        made.until(lambda: [entry for entry in made.reporter.recent if entry["event"] == "secret expired"])
        made.vault.login_life = 3600.0
        made.vault.open.set()
        made.until(lambda: made.state()["state"] == "good")
        assert made.told == ["db"], "it is the same one"


def test_what_a_dead_token_asked_for_is_not_believed_in_for_long(tmp_path: Path) -> None:
    with running(tmp_path, more=KV) as made:
        made.vault.data["secret/data/api"] = {"data": {"a": "1"}, "metadata": {"version": 1}}
        made.start()
        made.until(lambda: sorted(made.told) == ["api", "db"])
        made.vault.refuses["login"] = VaultAway("cannot reach Vault: away")
        made.vault.refuses["secret/data/api"] = VaultForgot("cannot: 403", 403)
        made.until(lambda: made.state()["expires_in"] <= 10)
        assert made.state("api")["expires_in"] is None, "KV has no lease"


def test_a_vault_that_forgets_each_token_is_not_stormed(tmp_path: Path) -> None:
    with running(tmp_path, patience=0.2) as made:
        made.vault.refuses["database/creds/k"] = VaultForgot("cannot: 403", 403)
        made.start()
        made.until(lambda: made.vault.calls.count("login") >= 5)
        waits = made.on(lambda: made.secrets._all.each["db"].retry.failures)
        assert waits >= 4, "each time it waits longer"


def test_removed_at_its_end_and_told(tmp_path: Path) -> None:
    with running(tmp_path, lines='on_expiry = "stop"') as made:
        made.start()
        made.until(lambda: made.told == ["db"])
        for each in ("renew", "database/creds/k", "login"):
            made.vault.refuses[each] = VaultAway("cannot reach Vault: away")
        made.goes_by(3601.0)
        made.until(lambda: made.told == ["db", "db"])
        assert made.field("username") == ""
        assert made.state()["state"] == "expired"
        assert made.on(lambda: (made.secrets.missing, made.secrets.new)) == (("db",), ())
        made.vault.refuses.clear()
        made.until(lambda: made.state()["state"] == "good")
        assert made.field("username")


def test_half_a_generation_is_in_nobodys_way(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.vault.open.clear()
        made.start()
        made.until(lambda: made.on(lambda: made.secrets._found))
        (made.place.secrets / ".db.1").mkdir()
        made.vault.open.set()
        made.until(lambda: made.told)
        assert made.state()["generation"] == 2
        assert made.vault.revoked == ["database/creds/k/1"]


def test_files_that_were_taken_away_come_back(tmp_path: Path) -> None:
    with running(tmp_path, look=0.05) as made:
        made.start()
        made.until(lambda: made.field("username") == "u1")
        made.vault.refuses["database/creds/k"] = AWAY
        (made.place.secrets / "db").unlink()
        made.until(lambda: made.told == ["db", "db"])
        assert made.on(lambda: made.secrets.missing) == ("db",)
        assert made.on(lambda: made.secrets._all.each["db"].trouble) == "its files were taken away"
        assert made.state()["state"] == "waiting"
        (made.place.secrets / "db").symlink_to(".db.1")
        made.until(lambda: made.told == ["db", "db", "db"])
        assert (made.on(lambda: made.secrets.missing), made.state()["state"]) == ((), "good")
        shutil.rmtree(made.place.secrets)
        made.vault.refuses.clear()
        made.until(lambda: made.state()["generation"] == 2)
        assert made.field("username") == "u2"
        assert made.state()["before_expires_in"] > 0, "whoever has it goes on with it"
        assert made.vault.revoked == []


def test_a_secret_of_another_name_comes_before_the_one_it_replaces_goes(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.start()
        made.until(lambda: made.told)
        with after(made, change=lambda text: text.replace("secrets.db]", "secrets.base]")) as new:
            new.start()
            new.until(lambda: new.on(lambda: new.secrets.waits_for) == f"base from Vault: {AWAY}")
            new.vault.refuses = {"database/creds/k": VaultRefused("cannot read it: 403", 403)}
            new.until(lambda: new.state("base")["failures"] > 1)
            assert new.field("username") == "u1"
            new.vault.refuses.clear()
            new.until(lambda: not new.field("username"))
            assert (new.place.secrets / "base" / "username").read_text() == "u101"
            new.until(lambda: not list(new.place.secrets.glob(".db*")))
            assert new.vault.revoked == [], "somebody may use it until its lease ends"


def test_what_is_configured_otherwise_goes_on_as_it_was_until_vault_answers(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.start()
        made.until(lambda: made.told)
        with after(made, more='text = "{username}"') as new:
            new.start()
            assert new.went.wait(20)
            new.until(lambda: new.on(lambda: new.secrets._all.trouble))
            assert new.on(lambda: new.secrets.waits_for) == ""
            trouble = "its files are as it was configured before"
            assert (new.state()["state"], new.state()["trouble"]) == ("good", trouble)
            assert f"db: {trouble}" in new.on(new.secrets.status)["troubles"]
            assert new.field("username") == "u1"
            new.vault.refuses.clear()
            new.until(lambda: new.state()["trouble"] == "")
            assert new.field("text") == "u101"


def test_what_waits_gets_it_as_it_is_configured_now(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.start()
        made.until(lambda: made.told)
        with after(made, more='text = "{username}"') as new:
            new.vault.refuses.clear()
            new.vault.open.clear()
            new.start()
            new.until(lambda: new.on(lambda: new.secrets._found))
            assert new.on(lambda: (new.secrets.missing, new.went.is_set())) == ((), False)
            new.vault.open.set()
            assert new.went.wait(20)
            assert new.field("text") == "u101"


def test_a_token_file_that_is_gone_or_wrong_takes_nothing_from_the_login_we_have(tmp_path: Path) -> None:
    with running(tmp_path, lines='on_expiry = "stop"', more=KV) as made:
        made.vault.data["secret/data/api"] = {"data": {"a": "1"}, "metadata": {"version": 1}}
        made.start()
        made.until(lambda: sorted(made.told) == ["api", "db"])
        made.place.token.unlink()
        made.renews()
        assert "cannot read vault.auth.token_file" in made.on(made.secrets.status)["troubles"][0]
        made.vault.refuses["login"] = VaultRefused("cannot use the token: 403", 403)
        made.place.write_token("typo")
        made.until(lambda: made.vault.calls.count("login") == 2)
        made.renews()
        assert made.vault.calls.count("login") == 2, "once a minute"
        status = made.on(made.secrets.status)
        assert (status["logged_in"], status["troubles"]) == (True, ["cannot use the token: 403"])
        del made.vault.refuses["login"]
        made.place.write_token("t2")
        made.until(lambda: made.told.count("db") == 2)
        assert made.on(made.secrets.status)["troubles"] == []


def test_what_nobody_needs_is_revoked_when_nothing_else_is_due(tmp_path: Path) -> None:
    with running(tmp_path, more=KV) as made:
        hands, (db, api) = (
            Hands(made.place.settings().vault, vault=made.vault),
            made.place.settings(more=KV).vault.secrets,
        )
        made.vault.data[api.path] = {"data": {"a": "1"}, "metadata": {"version": 1}}
        hands.find(())
        login = hands.log_in()
        for number in (1, 2, 3):  # the first is needed by nobody
            hands.ask(db, None, number, login)
        due = hands.ask(api, None, 1, login).held.lease.taken + api.every
        made.vault.calls.clear()
        made.vault.refuses["revoke"] = AWAY
        made.until(lambda: clock() > due)
        made.start()
        made.until(lambda: "revoke" in made.vault.calls)
        assert made.vault.calls[0] == api.path
        made.until(lambda: [entry for entry in made.reporter.recent if "ends by itself" in entry["event"]])
        assert made.vault.calls.count("revoke") == 1
        assert made.on(made.secrets.status)["reachable"], "one lease is not all of Vault"


def test_a_revocation_that_fails_holds_off_what_comes_next(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.start()
        made.until(lambda: made.told)
        made.vault.refuses["revoke"] = AWAY
        held = made.on(lambda: made.secrets._all.each["db"].held)
        made.on(lambda: (made.secrets._leaving.append(("db", held)), made.secrets._let_go("db", held)))
        made.until(lambda: made.on(lambda: made.secrets._access.away.failures) == 1)
