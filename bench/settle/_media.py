"""One call with SDP, both sides by hand, so that an experiment may act between two messages."""

import socket
from itertools import count
from types import TracebackType
from typing import Self

_numbers = count(1)
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 30000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)


def ng(port: int, command: bytes) -> bytes:
    """One rtpengine NG command (bencode); the reply, or b"" after 1 s."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect(("127.0.0.1", port))
        try:
            client.send(b"c%d " % next(_numbers) + command)
            return client.recv(65535)
        except OSError:
            return b""


class Call:
    """A caller and a callee; the callee's port is shared by `another()` calls, which are told by Call-ID."""

    names: list[str] = []  # noqa: RUF012 - all Call-IDs of this process

    def __init__(self, kamailio_port: int, uas_port: int, callee: socket.socket | None = None) -> None:
        self.name = f"call{next(_numbers)}@settle"
        Call.names.append(self.name)
        self._target, self._own = ("127.0.0.1", kamailio_port), callee is None
        self._caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._caller.bind(("127.0.0.1", 0))
        self._callee = callee or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if callee is None:
            self._callee.bind(("127.0.0.1", uas_port))
        self._cseq, self._invite, self._uas_port = 0, "", uas_port

    def another(self) -> "Call":
        return Call(self._target[1], self._uas_port, self._callee)

    def _send(self, method: str, body: str) -> None:
        self._cseq += 1
        port = self._caller.getsockname()[1]
        lines = [
            f"{method} sip:b@127.0.0.1:{self._uas_port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{self.name.split('@')[0]}x{self._cseq}",
            f"From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:b@127.0.0.1>{';tag=b' if self._cseq > 1 else ''}",
            f"Call-ID: {self.name}\r\nCSeq: {self._cseq} {method}",
            f"Contact: <sip:a@127.0.0.1:{port}>\r\nMax-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}\r\n\r\n{body}",
        ]
        self._caller.sendto("\r\n".join(lines).encode(), self._target)

    def _arrive(self, method: str, timeout: float) -> str:
        """The first request of that method and this call at the callee (others' retransmissions are skipped)."""
        self._callee.settimeout(timeout)
        while True:
            text = self._callee.recv(65535).decode()
            if text.startswith(method) and self.name in text and f"CSeq: {self._cseq} " in text:
                return text

    def invite(self, again: bool = False, timeout: float = 5.0) -> None:
        """Send INVITE (`again`: in the dialog) and wait until the callee has it; answered at once where `again`."""
        self._send("INVITE", _SDP)
        self._invite = self._arrive("INVITE", timeout)
        if again:
            self.answer()

    def answer(self) -> None:
        """The callee's 200 with SDP; waits until the caller has it."""
        self._reply(self._invite, _SDP)
        self._final()

    def bye(self) -> None:
        self._send("BYE", "")
        self._reply(self._arrive("BYE", 5.0), "")
        self._final()

    def _reply(self, request: str, body: str) -> None:
        head = request.split("\r\n\r\n", 1)[0].split("\r\n")[1:]
        copied = [line for line in head if line.split(":", 1)[0] in ("Via", "From", "Call-ID", "CSeq", "Record-Route")]
        to = next(line for line in head if line.startswith("To:"))
        lines = [
            "SIP/2.0 200 OK",
            *copied,
            to if "tag=" in to else f"{to};tag=b",
            f"Contact: <sip:b@127.0.0.1:{self._uas_port}>",
        ]
        lines += ["Content-Type: application/sdp"] if body else []
        text = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])
        self._callee.sendto(text.encode(), self._target)

    def _final(self) -> None:
        self._caller.settimeout(5)
        while not self._caller.recv(65535).startswith(b"SIP/2.0 200"):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._caller.close()
        if self._own:
            self._callee.close()
