"""Whom an operator means: a service ID, a node's name, a KV path, a key, or an address in any spelling."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from consul_kam.core.dataset import Dataset
from consul_kam.core.records import Key, Source

_SCHEME = re.compile(r"(?:sips?|udp6?|tcp6?|tls|sctp|wss?|https?):(?://)?", re.IGNORECASE)
_PLACE = re.compile(r"(?:[^@\s]*@)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^\[\]:;?/\s]+))(?::(?P<port>\d{1,5}))?(?:[;?/].*)?")


@dataclass(frozen=True, slots=True)
class Meant:
    """`text`: as it was typed. `host`, `port`: what of it is an address, in one spelling; "" where nothing is."""

    text: str
    host: str = ""
    port: str = ""


def meant(word: str) -> Meant:
    """Whatever is typed means something: what is no address is an ID, a name, a path or a key."""
    text = word.strip()
    rest = text[found.end() :] if (found := _SCHEME.match(text)) else text
    if rest.count(":") > 1 and not rest.startswith("["):
        return Meant(text, _host(rest)) if _is_address(rest) else Meant(text)
    place = _PLACE.fullmatch(rest)
    return Meant(text) if place is None else Meant(text, _host(place["six"] or place["host"]), place["port"] or "")


def means_key(who: Meant, dataset: Dataset, key: Key, seen: Iterable[object] = ()) -> bool:
    """Whether this record of a list is meant: by its key, by a value that it holds, or by the address in either."""
    words = [*_words(key), *_words(seen)]
    if who.text and (who.text in words or who.text == " ".join(map(str, key))):
        return True
    places = [meant(word) for word in words]
    if who.port and any(_same(who, place) for place in places):
        return True
    ports = {place.port for place in places} - {""}
    return _there(who.host, dataset.host(key)) and (not who.port or not ports or who.port in ports)


def means_source(who: Meant, source: Source) -> bool:
    """Whether what stands in Consul there is meant: service ID, SERVICE/ID, node, KV path."""
    if not who.text:
        return False
    return who.text in (source.id, f"{source.service}/{source.id}", source.node, source.id.removeprefix("kv:"))


def means_place(who: Meant, address: str, port: int) -> bool:
    """Whether it is this address, as Consul has it."""
    return bool(who.host) and who.host == _host(address) and who.port in ("", str(port))


def _same(one: Meant, other: Meant) -> bool:
    return bool(one.host) and (one.host, one.port) == (other.host, other.port)


def _there(host: str, place: str) -> bool:
    """`place`: an address, a name, or a network that the host may be in."""
    if not host or not place:
        return False
    if "/" not in place:
        return host == _host(place.strip("[]"))
    return _is_address(host) and ip_address(host) in ip_network(place, strict=False)


def _host(text: str) -> str:
    """One spelling of an address or a name."""
    return str(ip_address(text)) if _is_address(text) else text.lower()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _words(values: Iterable[object]) -> Iterator[str]:
    """Every text, however deep it stands."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Iterable):
            yield from _words(value)
