"""A callee that hangs up: only its BYEs show that whom the call came through is forgotten (kamailio-facts.md, 11)."""

import contextlib
import heapq
import itertools
import socket
import threading
import time

from tests.lab.sip import Uas

AGAIN, PATIENCE = 0.5, 6.0
"""Seconds until a BYE is sent again, and until it has failed."""
LATEST = 15.0
"""Seconds that a re-INVITE may be late, where the machine stood still."""


class Callee(Uas):
    """As Uas; `hangs_up`: seconds after the INVITE until it ends a call by BYE, None: it never does.

    `failed`: what became of BYEs that were not answered by 200; `ended`: of those that were, how many. `came`: ports
    that the INVITEs of each Call-ID came from. `slow_bye`: seconds until it answers a BYE. `reinvited`: its callers
    send a re-INVITE, and it ends no call in the middle of that.
    """

    def __init__(self, port: int | None = None, hangs_up: float | None = None) -> None:
        self.hangs_up, self.slow_bye, self.reinvited = hangs_up, 0.0, False
        self._unchanged: dict[str, float] = {}
        self._slow: list[tuple[float, int, bytes, tuple[str, int]]] = []
        self.failed: list[str] = []
        self.ended = 0
        self.came: dict[str, set[int]] = {}
        self._byes: dict[str, tuple[bytes, tuple[str, int], float]] = {}
        self._due: list[tuple[float, int, str, bytes, tuple[str, int]]] = []
        self._number = itertools.count()
        super().__init__(port)
        self._socket.settimeout(0.02)

    @property
    def open(self) -> int:
        """Calls that it has yet to end."""
        return len(self._due) + len(self._byes)

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(65535)
            except TimeoutError:
                self._work()
                continue
            except OSError:
                return
            if not data:
                return
            text = data.decode("latin-1")
            if text.startswith("SIP/2.0"):
                self._answered(text)
                continue
            if text.startswith("INVITE"):
                self.came.setdefault(_headers(text)["call-id"][0], set()).add(peer[1])
            if text.startswith("ACK") and _headers(text)["cseq"] != ["1 ACK"]:
                self._unchanged.pop(_headers(text)["call-id"][0], None)
            reply = self._answer(text)
            if reply is not None:
                delay = self.slow_bye if text.startswith("BYE") else 0.0
                due = time.monotonic() + delay
                heapq.heappush(self._slow, (due, next(self._number), reply.encode("latin-1"), peer))
                if text.startswith("INVITE") and self.hangs_up is not None and reply.startswith("SIP/2.0 200"):
                    self._later(text, reply)
            self._work()

    def _later(self, invite: str, reply: str) -> None:
        """Its BYE, where this INVITE began a call."""
        found = _headers(invite)
        if "tag=" in found["to"][0]:
            return
        call, routes = found["call-id"][0], found.get("record-route", [])
        target = found["contact"][0].partition("<")[2].partition(">")[0]
        lines = [f"BYE {target} SIP/2.0", f"Via: SIP/2.0/UDP {self.address}:{self.port};branch=z9hG4bK{call}"]
        lines += [f"Route: {route}" for route in routes]
        lines += [f"From: {_headers(reply)['to'][0]}", f"To: {found['from'][0]}", f"Call-ID: {call}", "CSeq: 1 BYE"]
        bye = "\r\n".join([*lines, "Max-Forwards: 70", "Content-Length: 0", "", ""]).encode("latin-1")
        first = (routes[0] if routes else f"<{target}>").partition("sip:")[2].partition(">")[0].partition(";")[0]
        host, _, port = first.rpartition("@")[2].partition(":")
        assert self.hangs_up is not None
        due = time.monotonic() + self.hangs_up
        if self.reinvited:
            self._unchanged[call] = due + LATEST
        heapq.heappush(self._due, (due, next(self._number), call, bye, (host, int(port or 5060))))

    def _work(self) -> None:
        """Send what is due; again what is not answered."""
        now = time.monotonic()
        while self._slow and self._slow[0][0] <= now:
            _, _, data, to = heapq.heappop(self._slow)
            self._socket.sendto(data, to)
        while self._due and self._due[0][0] <= now:
            _, _, call, bye, to = heapq.heappop(self._due)
            if self._unchanged.get(call, now) > now:
                heapq.heappush(self._due, (now + 0.05, next(self._number), call, bye, to))
                continue
            if call in self._byes and now - self._byes[call][2] > PATIENCE:
                self._byes.pop(call)
                self.failed.append(f"{call}: no answer to BYE")
                continue
            self._byes.setdefault(call, (bye, to, now))
            self._socket.sendto(bye, to)
            heapq.heappush(self._due, (now + AGAIN, next(self._number), call, bye, to))

    def _answered(self, text: str) -> None:
        code, call = int(text.split(" ", 2)[1]), _headers(text)["call-id"][0]
        if code < 200 or call not in self._byes:
            return
        self._byes.pop(call)
        self._due = [entry for entry in self._due if entry[2] != call]
        heapq.heapify(self._due)
        if code == 200:
            self.ended += 1
        else:
            self.failed.append(f"{call}: {text.splitlines()[0]}")


def _headers(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.split("\r\n\r\n", 1)[0].split("\r\n")[1:]:
        name, _, value = line.partition(":")
        # Kamailio folds several routes into one header
        parts = value.strip().split(",") if name.strip().lower() == "record-route" else [value.strip()]
        found.setdefault(name.strip().lower(), []).extend(part.strip() for part in parts)
    return found


class Echo(Callee):
    """A callee with media: it sends back what it gets. `packets`: that came; `senders`: from which ports."""

    def __init__(self) -> None:
        self.packets, self.senders = 0, set[int]()
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind(("127.0.0.1", 0))
        threading.Thread(target=self._echo, daemon=True).start()
        super().__init__()

    def _answer(self, text: str) -> str | None:
        reply = super()._answer(text)
        if reply is None or not text.startswith("INVITE"):
            return reply
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
        sdp = "\r\n".join([*lines, f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 8", "a=rtpmap:8 PCMA/8000", ""])
        told = f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
        return reply.replace("Content-Length: 0\r\n\r\n", told)

    def _echo(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._rtp.recvfrom(2048)
                self.packets += 1
                self.senders.add(peer[1])
                self._rtp.sendto(data, peer)
