"""Every TCP listener of Kamailio speaks HTTP, those that face the world as well."""

import re
from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap

_ASKS = re.compile(r"\$(?:Ri|Rp|si|\(?(?:Ri|Rp|si)\b)|\bsrc_ip\b|\bdst_ip\b|\bdst_port\b|allow_(?:source_)?address")


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is None or "jsonrpc_dispatch" not in script.text:
        return
    faces = [each for each in script.listens if each.startswith(("tcp:", "tls:")) and not _local(each)]
    if faces and not _ASKS.search(script.text[: script.text.index("jsonrpc_dispatch")]):
        cure = 'if ($Ri != "127.0.0.1") { xhttp_reply("403", "Forbidden", "", ""); exit; }   before jsonrpc_dispatch()'
        yield Finding(f"jsonrpc_dispatch() answers at {', '.join(faces)}", cure)


def _local(listen: str) -> bool:
    return listen.partition(":")[2].startswith(("127.", "localhost", "[::1]"))


TRAP = Trap(
    name="http_rpc_open",
    severity=ERROR,
    doc="Every TCP listener of Kamailio speaks HTTP, those that face the world as well: jsonrpc_dispatch() "
    "without a look at address or port lets everybody command it.",
    mends='`if ($Ri != "127.0.0.1") { xhttp_reply("403", "Forbidden", "", ""); exit; }` before '
    "`jsonrpc_dispatch()`; see examples/kamailio-rpc.cfg",
    source=f"{FACTS}, 1",
    find=find,
)
