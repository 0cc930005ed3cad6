"""What somebody may write into Consul who means no good: registrations and keys, made from a seed.

Consul's catalog takes nearly everything (../shared/kamailio-facts.md, 2), and more than an agent does. INJECTED stands
only in what tries to become a line, a record or an attribute of its own.
"""

import base64
import json
import random
from collections.abc import Sequence
from typing import Any

INJECTED = "10.66.66.66"
"""May never be seen in memory."""
RAW = "@raw bytes@"
"""Becomes bytes that are no UTF-8, which JSON cannot say."""
_BYTES = b"\xff\xfe\xc3(\xed\xa0\x80"
NASTY = (
    f"\n1 sip:{INJECTED}:5060 0 99\n", f"\r\n0:1:{INJECTED}:{INJECTED}:0\r\n", f";duid=r01;socket=udp:{INJECTED}:5060",
    f'"}}\n{{"setid":1,"address":"{INJECTED}","port":5060}}\n', '"}\n{"end":"dispatcher","records":0}\n',
    '{"end":"domain","records":0}', ";weight=100;rweight=100", f"@{INJECTED}", "\\", "\\\\", '\\"', "'", '"', "`id`",
    "$(id)", "{{", "}}",
    '{{ key "x" }}', "{{ end }}", "<%", "#", "# x", "\0", "\x01\x02", "\t", " ", "\x0b\x0c", "\x7f",
    "\x85", "\x9b31m", "\x1b]0;owned\x07", "\x1b[2J\x1b[31m", "\x1b]8;;http://x\x1b\\", "\u202e", "\u200f", "\u2066",
    "\u2028", "\u2029", "\ufeff", "\ud7ff", "\U0001f4a3", "e\u0301", "\u0130", RAW, RAW + RAW, "[bold red]x[/]", "[/]",
    "[link=http://x]y[/link]", "[red", "%s%n%d", "%00", "%0a", "%", "end", "-", "--", "", "0", "null", "true", "NaN",
    "/", "../../etc/passwd", "~", "*", "?", ",", ":", "::", "[", "]", "(", "a=b", "=", "||", "&&", "\u00e9", "\ufb00",
    "x" * 2_000, "\x01" * 65_536, "y" * 65_536,
)  # fmt: skip
"""Alone, or in the middle of an honest value."""
HOSTS = (
    "127.0.0.256", "0.0.0.0", "255.255.255.255", "10.0.0.999", "1.2.3", "0x7f.1", "017700000001", "2130706433", "127.1",
    "[::]", "::", "::1", "[::1]", "2001:db8::1", "[2001:db8::2]", "fe80::1%eth0", "[fe80::1%25lo]", "::ffff:10.9.9.9",
    "1::2::3", "[2001:db8::3", "evil.invalid", "-evil.invalid", "a." * 130, "e" * 64 + ".invalid", "sip:10.9.9.9",
    "10.9.9.9:5061", "10.9.9.9;transport=tcp", "user@10.9.9.9", "10.9.9.9 10", "10.9.9.9\n", "<10.9.9.9>", "localhost",
    "*", "any",
)  # fmt: skip
PORTS = (0, 1, -1, -5, 65_535, 65_536, 99_999, 2**31 - 1, 2**31, 2**32 + 5060, -(2**31), 2**53, 5060)
META = (
    "mask", "priority", "transport", "maxload", "socket", "ping_from", "duid", "weight", "flags", "attrs", "setid",
    "status", "source", "end",
)  # fmt: skip
STATUSES = ("passing", "passing", "passing", "warning", "critical", "", 'passing","x":"', "PASSING", "\x1b[31m")
SMALL = (0, 1, 50, 100)
LARGE = (*SMALL, 101, 65_535, 2**31 - 1)


class Hostile:
    """One who registers in `service`, and writes keys below it.

    `twins`: (address, port) of honest records that he would like to be; `entries`: honest ones for a key, with {n} and
    {m} as numbers. `shares`: whether he also uses what is relative on purpose, the tag `primary` and weights over 100.
    """

    def __init__(
        self, seed: int, service: str, twins: Sequence[tuple[str, int]], entries: Sequence[str], shares: bool
    ) -> None:
        self._pick, self._service, self._twins, self._entries = random.Random(seed), service, twins, entries
        self._weights, self._tags = (LARGE, ("tag", "primary")) if shares else (SMALL, ("tag",))
        self._count = 0

    def next(self) -> tuple[str, bytes]:
        """(path to PUT to, body)."""
        self._count += 1
        if self._pick.random() < 0.2:
            return self._kv()
        return "/v1/catalog/register", json.dumps(self._registration()).encode().replace(RAW.encode(), _BYTES)

    def _spoilt(self, honest: str) -> str:
        nasty = "".join(self._pick.choice(NASTY) for _ in range(self._pick.choice((1, 1, 1, 2, 3))))
        at = self._pick.randrange(len(honest) + 1)
        return nasty if self._pick.random() < 0.4 else honest[:at] + nasty + honest[at:]

    def _maybe(self, chance: float, honest: str) -> str:
        return self._spoilt(honest) if self._pick.random() < chance else honest

    def _place(self) -> tuple[str, int]:
        pick, number = self._pick, self._count
        address = f"10.70.{number // 250}.{number % 250 + 1}"
        port = pick.choice(PORTS) if pick.random() < 0.3 else 5060
        kind = pick.random()
        if kind < 0.08:
            return pick.choice(self._twins)
        return (pick.choice(HOSTS) if kind < 0.3 else self._spoilt(address) if kind < 0.55 else address), port

    def _registration(self) -> dict[str, Any]:
        pick, number = self._pick, self._count
        address, port = self._place()
        id = self._maybe(0.6, pick.choice((f"h{number}", "r01", "", "0", "~")))
        service: dict[str, Any] = {
            "Service": self._maybe(0.03, self._service),
            "ID": id if pick.random() < 0.3 else f"{id}{number}",
            "Address": address,
            "Port": port,
            "Tags": [self._maybe(0.7, pick.choice(self._tags)) for _ in range(pick.randrange(4))],
            "Meta": {name: self._maybe(0.8, "5")[:500] for name in pick.sample(META, pick.randrange(5))},
            "Weights": {"Passing": pick.choice(self._weights), "Warning": pick.choice(self._weights)},
        }
        if pick.random() < 0.1:
            service["TaggedAddresses"] = {"wan": {"Address": self._maybe(0.5, "10.1.1.1"), "Port": pick.choice(PORTS)}}
        check = {"CheckID": f"c{number}", "Name": self._maybe(0.3, "c"), "ServiceID": service["ID"]}
        check |= {"Status": pick.choice(STATUSES), "Output": self._maybe(0.5, "fine"), "Notes": self._maybe(0.5, "")}
        node = f"{self._maybe(0.5, 'node')}.{number}"
        return {"Node": node, "Address": self._maybe(0.2, "10.9.0.1"), "Service": service, "Check": check}

    def _kv(self) -> tuple[str, bytes]:
        number = self._count
        # no text here can say bytes that are no UTF-8, so a key has U+FFFD instead
        key = f"{self._service}/{self._maybe(0.6, 'key')}{number}".replace(RAW, "\ufffd")
        entry = self._pick.choice(self._entries).format(n=number % 250 + 1, m=number // 250)
        value = self._maybe(0.8, entry).encode().replace(RAW.encode(), _BYTES)
        # in a transaction, because a path may hold no control characters
        pair = {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}
        return "/v1/txn", json.dumps([{"KV": pair}]).encode()
