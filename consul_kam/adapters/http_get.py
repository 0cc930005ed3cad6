"""One GET, of which only the status counts."""

import http.client
from urllib.parse import urlsplit

from consul_kam.errors import Unanswered


def status(url: str, timeout: float) -> int:
    """The status code of `GET url`; redirects are not followed, and no proxy is used.

    `timeout`: seconds of silence; a peer that drips its head takes longer. Raises Unanswered.
    """
    try:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"User-Agent": "consul_kam", "Connection": "close"})
            return connection.getresponse().status
        finally:
            connection.close()
    except TimeoutError:
        raise Unanswered(f"cannot get {url}: no answer within {timeout:g} s") from None
    except OSError as error:
        raise Unanswered(f"cannot get {url}: {error.strerror or error}") from None
    except (http.client.HTTPException, ValueError) as error:
        raise Unanswered(f"cannot get {url}: what came is no HTTP: {error!r}") from None
