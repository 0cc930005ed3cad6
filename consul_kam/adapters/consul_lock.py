"""A lock in Consul: a key that a session holds. Who holds it and dies loses it after some TTL.

Consul HTTP API: Session; KV store (`acquire`, `release`). Every method raises ConsulError. Beside its key's session the
lock carries a note, which stays when it is free.
"""

import base64
import binascii
import json
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from consul_kam.adapters.consul import Consul
from consul_kam.errors import ConsulError

TTL = 15.0
"""Seconds without a word after which Consul takes it for dead; it may take twice as long."""
DELAY = 5.0
"""Seconds in which nobody gets the lock of one that was lost, so that its holder can notice."""


class Held(NamedTuple):
    """`session` "": it is free."""

    session: str
    note: Mapping[str, Any]


class ConsulLock:
    """`name`: of who wants it, shown by Consul. `consul` is for this one's use alone. From any thread."""

    def __init__(self, consul: Consul, key: str, name: str) -> None:
        self._consul, self._path, self._name = consul, f"/v1/kv/{key}", name
        self._session = ""
        self._one_at_a_time = threading.RLock()

    def read(self) -> Held:
        """Who has it, and the note."""
        with self._one_at_a_time:
            answer = self._consul.get(self._path)
        if answer.code == 404:
            return Held("", {})
        found = answer.json()
        entry = found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
        return Held(str(entry.get("Session") or ""), _note(entry.get("Value")))

    def acquire(self, note: Mapping[str, Any]) -> bool:
        """Take it, or, where we have it, write another note. False: somebody else has it."""
        with self._one_at_a_time:
            return self._acquire(note)

    def _acquire(self, note: Mapping[str, Any]) -> bool:
        if not self._session:
            times = {"TTL": f"{TTL:g}s", "LockDelay": f"{DELAY:g}s", "Behavior": "release"}
            made = self._consul.put("/v1/session/create", {"Name": self._name, **times}).json()
            self._session = str(made["ID"]) if isinstance(made, dict) and "ID" in made else ""
            if not self._session:
                raise ConsulError(f"cannot get a session of Consul: {str(made)[:80]}")
        return self._said(self._consul.put(self._path, dict(note), ("acquire", self._session)).body)

    def renew(self) -> bool:
        """False: the session is over, and the lock with it."""
        with self._one_at_a_time:
            if self._session and self._consul.put(f"/v1/session/renew/{self._session}").code != 200:
                self._session = ""
            return bool(self._session)

    def release(self, note: Mapping[str, Any] | None = None) -> None:
        """Give it back with a last note; with None, the note stays."""
        with self._one_at_a_time:
            self._release(note)

    def _release(self, note: Mapping[str, Any] | None) -> None:
        session, self._session = self._session, ""
        if not session:
            return
        told = self.read().note if note is None else note
        if self.read().session == session:
            self._consul.put(self._path, dict(told), ("release", session))
        self._consul.put(f"/v1/session/destroy/{session}")

    @staticmethod
    def _said(body: str) -> bool:
        return body.strip() == "true"


def _note(value: object) -> Mapping[str, Any]:
    """What somebody else wrote there is no note."""
    try:
        found = json.loads(base64.b64decode(str(value or ""), validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
