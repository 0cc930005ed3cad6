"""The exceptions: what check refuses although Kamailio's loader does it no harm that a read-back shows. At most ten.

Each says why, and where in Kamailio's source the harm comes from. `only` is a second, independent look at the value
that was refused, so that an exception does not cover a rule gone wrong. The tests count that each is needed.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Excuse:
    """`said`: a pattern of check's own words; `only`: what the refused value has to be; `why`, with its source."""

    name: str
    datasets: tuple[str, ...]
    said: re.Pattern[str]
    why: str
    source: str
    only: Callable[[str], bool] = lambda value: True

    def covers(self, dataset: str, text: str, value: str) -> bool:
        """Whether it stands for this refusal of this value."""
        return dataset in self.datasets and self.said.search(text) is not None and self.only(value)


def no_host(text: str) -> bool:
    """Whether no host of a SIP URI is written so [RFC 3261 25.1, and the underscore of docker's names]."""
    if text.startswith("[") and text.endswith("]"):
        return "%" in text or not _parses(ipaddress.IPv6Address, text[1:-1])
    if re.fullmatch(r"[\d.]+", text, re.ASCII):
        octets = re.fullmatch(r"(?:\d{1,3}\.){3}\d{1,3}", text, re.ASCII)
        return octets is None or max(map(int, text.split("."))) > 255
    labels = text.removesuffix(".").split(".")
    if re.fullmatch(r"\d+|0[xX][\da-fA-F]*", labels[-1], re.ASCII):
        return True  # inet_aton makes an address of it
    return not all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}", label) for label in labels) or len(text) > 254


def _parses(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def no_uri(text: str) -> bool:
    """Whether RFC 3261 25.1 knows no such SIP URI (parameters may be empty)."""
    if re.search(r"[^A-Za-z0-9\-_.!~*'()&=+$,;?/:%@\[\]]|%(?![0-9A-Fa-f]{2})", text) or text.count("@") > 1:
        return True
    user, _, rest = re.sub(r"^sips?:", "", text, flags=re.IGNORECASE).rpartition("@")
    host = re.match(r"\[[^]]*\]|[^:;?]*", rest)
    assert host is not None
    tail = rest[host.end() :]
    params = tail.partition("?")[0]
    if re.search(r";transport=(?!(?:udp|tcp|tls|sctp|wss?)(?:;|$))", params, re.IGNORECASE):
        return True
    if no_host(host[0]) or ("@" in text and not user) or re.search(r"[\[\]]|:[^@]*:", user):
        return True
    # a port of digits only; neither "," nor "?" in parameters, no second "?", no ";" in headers
    return not re.fullmatch(r"(?::\d*)?(?:;[^,?@]*)?(?:\?[^,;@]*)?", tail, re.ASCII) or len(text) <= 4


def no_relay(text: str) -> bool:
    """Whether no rtpengine can be reached at such a URL: no host of its scheme, or port 0."""
    scheme, _, rest = text.partition(":")
    place = re.fullmatch(r"(?://)?(\[[^]]*\]|[^:/]*)(?::(\d+))?(/.*)?", rest, re.ASCII)
    if place is None or scheme.lower() == "unix" or re.search(r"[^\x21-\x7e]", text):
        return True
    host, port, path = place.groups()
    if re.fullmatch(r"[\[\]0:.]+", host):
        return True  # the address of nobody
    literal = re.fullmatch(r"[\d.]+", host, re.ASCII) is not None
    wrong = (scheme.lower() == "udp6" and literal) or (scheme.lower() == "udp" and host.startswith("["))
    return no_host(host) or wrong or int(port or 1) == 0 or (path is not None and scheme.lower().startswith("udp"))


def control(text: str) -> bool:
    """Whether it holds control characters, or is a bracket alone, which kamcmd shows as it shows a struct."""
    return re.search(r"[\x00-\x1f\x7f]", text) is not None or text in tuple("[]{}")


def unseen(text: str) -> bool:
    """Whether attributes hold control characters, a comma, or a number or weight that dispatcher.list does not show.

    What is lost behind a comma and would be shown (duid, socket, maxload, obproxy) is harm, and needs no exception.
    """
    return (
        control(text)
        or "," in text
        or re.search(r"(?:^|;)(?:cc|latency|oc\w+|r?weight|ping_from)(?:[=,;]|$)", text, re.I) is not None
    )


def _excuse(
    name: str, datasets: str, said: str, why: str, source: str, only: Callable[[str], bool] = lambda value: True
) -> Excuse:
    return Excuse(name, tuple(datasets.split()), re.compile(said), why, source, only)


EXCUSES: tuple[Excuse, ...] = (
    _excuse(
        "empty",
        "dispatcher domain rtpengine address htable",
        r"it is empty: |it holds comments only: |it has a header and no rows: ",
        "all entries go at once: more often an accident of who writes the list than a wish; our own mark allows it",
        "dispatch.c ds_load_list, domain.c reload_tables, rtpengine_db.c rtpp_load_db: no entry is no error",
    ),
    _excuse(
        "twins",
        "dispatcher domain address",
        r" stands already in line \d+, allowed: once",
        "one key cannot prove two entries: the second doubles a share of calls, or says another did",
        "dispatch.c add_dest2list, domain hash.c hash_table_install: no look for the same entry",
    ),
    _excuse(
        "no such port",
        "dispatcher address",
        r"port is .*, allowed: a whole number from [01] to 65535",
        "Kamailio takes port 0 of a URI for none, and sends to 5060 or 5061; no packet comes from one over 65535",
        "parse_uri.c: port_no is 0 where a URI has no port; permissions hash.c match_addr_hash_table",
        lambda value: re.search(r":0+(?:[;?]|$)", value) is not None or int(value if value.isdigit() else 0) > 65535,
    ),
    _excuse(
        "nobody",
        "dispatcher domain",
        r"is '[\[\]0:.]+', allowed: an address of one host",
        "0.0.0.0 and [::] are nobody's address: no call arrives there",
        "resolve.h str2ip, str2ip6: any address will do",
    ),
    _excuse(
        "flags",
        "dispatcher",
        r"flags is \d+, allowed: a whole number from 0 to 63",
        "bits without a meaning, or with one from the next version on",
        "dispatch.h DS_*_DST; dispatch.c ds_load_list: any number will do",
    ),
    _excuse(
        "unseen attributes",
        "dispatcher",
        r" is .*, allowed: a whole number|r?weight is 0, allowed|attrs is .*, allowed: ",
        "no number where one is wanted, text behind a comma, a weight of 0 (logged as an error), control characters: "
        "the text comes back as written, and what was made of it does not show",
        'dispatch.c ds_set_attrs: str2sint without a look at its result, "not in 1-100 range"; parse_param.c',
        unseen,
    ),
    _excuse(
        "no SIP URI",
        "dispatcher",
        r"(?:URI|host|transport) is .*, allowed: ",
        "RFC 3261 knows no such URI: what comes of it is seen when a call is sent there",
        "parse_uri.c: most characters pass in user, parameters and headers, and any in a host without a user before it",
        no_uri,
    ),
    _excuse(
        "no host",
        "domain address",
        r"(?:domain|address) is .*, allowed: ",
        "no SIP URI has such a host and no packet such a source: it is kept as a name that nothing ever matches",
        "domain.c reload_tables; permissions address.c reload_address_insert: what is no address is a name",
        no_host,
    ),
    _excuse(
        "no relay",
        "rtpengine",
        r"(?:url|host|port) is .*, allowed: |(?:setid|weight) is '-\d+', allowed: ",
        "loaded, and no call can use it: nobody answers there; a negative weight counts as four thousand million",
        "rtpengine.c add_rtpengine_socks, build_rtpp_socks: look at scheme and port only; rn_weight is unsigned",
        lambda value: no_relay(value) or value.startswith("-"),
    ),
    _excuse(
        "control characters",
        "domain htable",
        r"(?:did|key|value) is .*, allowed: ",
        "an escape sequence in a log or on a terminal",
        "db_text dbt_file.c: a field may hold any byte",
        control,
    ),
)
