"""What the status page lets be done by whoever knows the token of `[http] token_file`: an operator's words, by a form.

The token comes with each form, and is kept nowhere: so no page of a stranger's can have a browser send one. Runs on the
HTTP server's thread; what is asked for is done where the control socket's words are, with the same replies.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from consul_kam.adapters.control import Handle
from consul_kam.adapters.http import Answer
from consul_kam.adapters.http_address import CannotListen, address
from consul_kam.adapters.http_wire import Response
from consul_kam.adapters.secret import secret
from consul_kam.app.page_parts import OF_A_LIST, OF_THE_NODE
from consul_kam.errors import ConfigError

KEY = "http.token_file"
_TOKEN = re.compile(rb"[!-~]{20,}")
_REASON = "drained on the status page"


class Acts:
    """Takes forms. Raises ConfigError where the token cannot be used."""

    def __init__(self, token_file: str, listen: str, do: Handle, later: bool = False) -> None:
        """`listen`: where the page is served; `do`: takes an operator's word, as the control socket does; `later`: the
        token need not be there yet.
        """
        self._file, self._do = token_file, do
        if not later:
            self._token()
        if not _loopback(listen):
            raise ConfigError(
                f"cannot use {KEY}: at {listen} whoever is on the way reads the token: listen on loopback"
            )

    def _token(self) -> bytes:
        """Read for each form: it may change. Raises ConfigError."""
        found = secret(self._file, KEY)
        if not _TOKEN.fullmatch(found):
            raise ConfigError(
                f"cannot use {KEY} {self._file}: expected a token of at least 20 printable characters, without spaces"
            )
        return found

    def take(self, form: Mapping[str, str], answer: Answer) -> None:
        """One form; never blocks."""
        try:
            token = self._token()
        except ConfigError as error:
            _tell(answer, HTTPStatus.FORBIDDEN, str(error))
            return
        if not hmac.compare_digest(token, form.get("token", "").encode("utf-8", "replace")):
            _tell(answer, HTTPStatus.FORBIDDEN, "cannot do that: this is not the token")
            return
        verb, _, dataset = form.get("do", "").partition(" ")
        if not (verb in OF_A_LIST and dataset) and not (verb in OF_THE_NODE and not dataset):
            _tell(answer, HTTPStatus.BAD_REQUEST, "cannot do that: expected a word that the page has")
            return
        request: dict[str, object] = {"do": verb}
        request |= {"dataset": dataset} if dataset else {}
        request |= {"reason": _REASON} if verb == "drain" else {}
        self._do(request, lambda reply: _told(answer, reply))


def _loopback(listen: str) -> bool:
    try:
        return address(listen).loopback
    except CannotListen as error:
        raise ConfigError(str(error)) from None


def _told(answer: Answer, reply: Mapping[str, object]) -> None:
    if reply.get("ok"):
        answer(lambda: Response(HTTPStatus.SEE_OTHER, b"", "text/plain", (("Location", "/"),)))
    else:
        _tell(answer, HTTPStatus.CONFLICT, str(reply.get("error")))


def _tell(answer: Answer, status: int, text: str) -> None:
    body = f"{text}\n".encode("utf-8", "replace")
    answer(lambda: Response(status, body, "text/plain; charset=utf-8"))


Act = Callable[[Mapping[str, str], Answer], None]
