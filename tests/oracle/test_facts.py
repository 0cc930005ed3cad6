"""Each row that was measured by hand (../shared/kamailio-facts.md, sections 2 to 7) has a row of generated lists.

test_oracle.py counts that each of those yields at least 50. What is no list has none: a missing file, the seconds of a
table's mtime, windows between reloads, keys set at run time; tests/integration has these.
"""

import pytest

from tools.oracle.adapter import adapters
from tools.oracle.datasets import dispatcher

LAYOUT = "tabs, blanks, blank lines, CRLF, comments, no newline at the end"
FACTS = {
    "dispatcher": {
        "empty file, or comments only": "nothing, or comments only",
        "setid not a number, or negative": "a setid that is no number, or negative",
        "setid 99999999999": "a setid over 2147483647",
        "a line with nothing after the setid": "a line with a setid and nothing else",
        "URI not SIP at all, <...>, bare ::1, port 99999": "a URI that is none",
        "no scheme": "a URI without sip:",
        "tel:": "a tel: URI",
        "transport=xyz": "a transport that Kamailio does not know",
        "transport=tls without the tls module": "transport=tls, without the tls module",
        "port 0": "port 0",
        "0.0.0.0": "the address of nobody",
        "host 127.0.0.256": "an address that is none",
        "IPv6 in brackets, dns_try_ipv6 off": dispatcher.NO_IPV6.name,
        "host name that does not resolve, flags 0": "a host name that does not resolve, flags 0",
        "host name that does not resolve, flags 16": "a host name, flags 16",
        "flags not a number": "flags that are no number",
        "priority not a number or negative": "a priority that is no number, negative, or over 2147483647",
        "flags 99": "flags over 63",
        "attrs with a space": "attributes with a blank",
        "weight outside 1-100": "a number in attributes that is none, or out of range",
        "socket= not one of Kamailio's own": "socket= that is not Kamailio's own",
        "the same URI twice": "the same URI twice in a set",
        "line over 1,024 bytes": "a line over 1023 bytes",
        "NUL byte": "a NUL byte",
        "CRLF, tabs, leading blanks, comments, no final newline": LAYOUT,
        "equal priorities: the order is reversed": "many good lines, equal priorities too",
    },
    "domain": {
        "duplicate rows": "the same domain twice, in whatever case",
        "types int, double, string, str": "other columns, another order of columns",
        "an empty field in a column declared null": "other columns, another order of columns",
    },
    "rtpengine": {
        "bad URLs": "a URL of another scheme, or another port",
        "duplicates": "the same URL twice in a set",
        "an unresolvable host": "a host name that does not resolve",
        "ws://, wss://": "a ws:// or wss:// URL, without the lwsc module",
        "udp:, udp6:, unix:": "good rows",
    },
    "address": {
        "10.0.0.999": "an address that is none",
        "a group that is no number": "a group that is no number, or negative",
        "10.0.0.77 24": "host bits under the mask",
        "an empty file": "nothing, or comments only",
        "a bad mask": "a mask over 32",
        "a line with one field": "a line with a group and nothing else",
    },
    "htable": {
        "text in an int value": "a value of type int that is no number, or over 2147483647",
        "the last of duplicate keys wins": "the same key twice",
    },
}
TABLES = {
    "each : needs its backslash": "a colon that is not escaped",
    "the escapes": "an escape that there is not",
    "blank lines": "blank lines between rows",
    "a last row without a newline": "a last row without its newline",
    "CRLF": "CRLF at the ends of lines",
    "a # line": "a comment",
    "a missing or extra field": "a field too many, or one missing",
    "text in an int column": "text in a column of numbers",
    "an empty field in a column not declared null": "nothing in a column that is not declared null",
    "a header-only file": "a header and no rows",
    "a zero-byte file": "nothing at all (zero bytes), or a first line that is blank",
}
"""db_text, under each table."""


@pytest.mark.parametrize("name", FACTS)
def test_each_has_lists_of_its_own(name: str) -> None:
    rows = {row.name for row in adapters()[name].rows} | {dispatcher.NO_IPV6.name}
    wanted = FACTS[name] | (TABLES if name in ("domain", "rtpengine", "htable") else {})
    assert {fact for fact, row in wanted.items() if row not in rows} == set()
