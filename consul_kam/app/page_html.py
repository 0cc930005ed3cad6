"""The status page: what one moment looks like to people. Pure: `page` makes a whole HTML document of a `Shown`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consul_kam.app.page_parts import BAD, GOOD, OF_A_LIST, OF_THE_NODE, WARN, moment, section, span, table, text, word
from consul_kam.app.page_style import SCRIPT, STYLE
from consul_kam.app.page_timeline import timeline
from consul_kam.core.drain import Phase
from consul_kam.core.vitals import Vitals

KINDS = (
    ("held", "held", WARN),
    ("waits", "waits for another list", WARN),
    ("out_of_order", "out of order", BAD),
    ("named", "kept in use", WARN),
    ("dropped", "dropped", BAD),
    ("refused", "refused by Kamailio", BAD),
    ("draining", "draining", WARN),
    ("blocked", "host cannot be loaded", BAD),
)
"""What is kept from a list: member of its status, what it is called, how bad it is."""
AGREES = {"equal": "agrees", "differs": "differs", "unknown": "not known", "absent": "absent"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One moment. `lists`: as `status` has them; `node`: as `ps`; `entries`: of the journal, oldest first."""

    now: float
    vitals: Vitals
    kamailio: str = ""
    """What is wrong with Kamailio, or ""."""
    lists: Sequence[Mapping[str, Any]] = ()
    node: Mapping[str, Any] = field(default_factory=dict)
    entries: Sequence[Mapping[str, Any]] = ()
    acts: bool = False
    """Whether who knows the token may do something here."""


def page(shown: Shown) -> str:
    """The document."""
    vitals = shown.vitals
    title = f"{vitals.node}: {'ready' if vitals.ready else 'not ready'}"
    names = [str(entry["name"]) for entry in shown.lists]
    content = (
        _drain(shown),
        _lists(shown),
        timeline(shown.entries, names, shown.now),
        _programs(shown),
        _probes(shown),
        _registration(shown),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{text(title)} · consul_kam</title><style>{STYLE}</style></head><body>"
        f'<a class="skip" href="#main">To the lists</a>{_header(shown)}<main id="main">{"".join(content)}</main>'
        f"{_acts(shown)}{_footer(shown)}<script>{SCRIPT}</script></body></html>\n"
    )


def _header(shown: Shown) -> str:
    vitals = shown.vitals
    state = word("ready", GOOD) if vitals.ready else word("not ready", BAD)
    reasons = "".join(f"<li><b>{text(name)}</b> {text(why)}</li>" for name, why in vitals.reasons.items())
    role = f"{text(vitals.role)}, " if vitals.role else ""
    since = f"{role}consul_kam {text(vitals.version)}, up {span(shown.now - vitals.started)}"
    return (
        f'<header><div><h1>{text(vitals.node or "this node")}</h1><p class="about" id="about">{since}</p></div>'
        f'<div id="state" role="status">{state}{_kamailio(shown)}{f"<ul>{reasons}</ul>" if reasons else ""}</div>'
        "</header>"
    )


def _kamailio(shown: Shown) -> str:
    if shown.vitals.kamailio is None:
        return ""
    word_ = word("Kamailio answers", GOOD) if shown.vitals.kamailio else word("Kamailio does not answer", BAD)
    return word_ + (f'<p class="why">{text(shown.kamailio)}</p>' if shown.kamailio else "")


def _footer(shown: Shown) -> str:
    return (
        f'<footer><p>As of <span id="as-of">{moment(shown.now, shown.now)}</span>. <a href="/">Refresh</a> '
        '<button id="auto" type="button" hidden></button> <span id="lost" role="alert"></span></p>'
        f'<p>{"" if shown.acts else "Read only. "}<a href="/readyz">/readyz</a>, <a href="/livez">/livez</a>, '
        '<a href="/metrics">/metrics</a></p>'
        "</footer>"
    )


def _acts(shown: Shown) -> str:
    """One form, outside what the script makes anew."""
    if not shown.acts:
        return ""
    lists = [str(entry["name"]) for entry in shown.lists]
    words = {f"{verb} {name}": f"{name}: {called}" for name in lists for verb, called in OF_A_LIST.items()}
    words |= OF_THE_NODE if shown.vitals.role else {}
    options = "".join(f'<option value="{text(value)}">{text(called)}</option>' for value, called in words.items())
    return section(
        "acts",
        "Act",
        f'<form class="box" method="post" action="/"><p><label>What <select name="do">{options}</select></label>'
        '<label>Token <input type="password" name="token" autocomplete="off" required></label>'
        '<button type="submit">Do it</button></p></form>',
    )


# -- lists ----------------------------------------------------------------------------------------------------------


def _lists(shown: Shown) -> str:
    cards = "".join(_card(index, entry, shown.now) for index, entry in enumerate(shown.lists))
    return section("lists", "Lists", cards or "<p>No list is kept here.</p>")


def _card(index: int, entry: Mapping[str, Any], now: float) -> str:
    flags = [name for name in ("paused", "observe") if entry.get(name)]
    flags += [f"pinned to {entry['pinned']}"] if entry.get("pinned") else []
    since = moment(entry.get("at"), now)
    count = f"{entry['records']} record{'' if entry['records'] == 1 else 's'}"
    head = f'<h3 id="list-{index}">{text(entry["name"])}</h3>{word(str(entry["verdict"] or "NONE"))}'
    head += "".join(word(flag, WARN) for flag in flags)
    head += f'<p class="about">{text(count)}{f", since {since}" if since else ""}</p>'
    notes = "".join(f'<p class="why">{text(line)}</p>' for line in dict.fromkeys(filter(None, _why(entry))))
    kept = _kept(entry, now)
    next_ = f"<p>Next: <code>{text(entry['next'])}</code></p>" if entry.get("next") else ""
    return (
        f'<article aria-labelledby="list-{index}"><div class="head">{head}</div>'
        f"{_chain(entry, now)}{notes}{kept}{next_}</article>"
    )


def _why(entry: Mapping[str, Any]) -> Iterator[str]:
    yield str(entry.get("reason") or "")
    yield f"memory: {difference}" if (difference := entry["memory"].get("difference")) else ""
    consul = entry.get("consul") or {}
    yield f"Consul: {consul['reason']}" if consul.get("reason") else ""
    for kind, what in (("missing", "in Consul, not in staging"), ("extra", "in staging, not in Consul")):
        yield from (f"{what}: {record}" for record in consul.get(kind) or ())
    yield from (str(staging.get("error") or "") for staging in entry["staging"])


def _chain(entry: Mapping[str, Any], now: float) -> str:
    """From Consul to memory: where do they agree?"""
    consul = entry.get("consul")
    states = [staging["state"] for staging in entry["staging"]]
    staging = next((s for s in ("rejected", "unprotected", "absent", "native") if s in states), "ok")
    stages = (
        ("Consul", _agrees(consul["state"]) if consul else word("not asked yet"), consul and moment(consul["at"], now)),
        ("Staging", word("read", GOOD) if staging == "ok" else word(staging), ""),
        ("Live file", _agrees(entry["live"]["state"]), ""),
        ("Memory", _agrees(entry["memory"]["state"]), f"{text(entry['memory'].get('records', ''))} there"),
    )
    items = "".join(f"<li><b>{name}</b> {said} <small>{more or ''}</small></li>" for name, said, more in stages)
    return f'<ol class="chain">{items}</ol>'


def _agrees(state: str) -> str:
    tone = {"equal": GOOD, "unknown": WARN}.get(state, BAD)
    return word(AGREES.get(state, state), tone)


def _kept(entry: Mapping[str, Any], now: float) -> str:
    rows = [_row(item, called, tone, now) for kind, called, tone in KINDS for item in entry.get(kind) or ()]
    if not rows:
        return ""
    caption = f"What is kept from {entry['name']}, or stays in it for now"
    found = table(caption, ("What", "Record", "Why", "Until"), rows)
    opened = " open" if len(rows) <= 12 else ""
    summary = f"<summary>{len(rows)} not as Consul says</summary>"
    return f'<details id="kept-{text(entry["name"])}"{opened}>{summary}{found}</details>'


def _row(item: Any, called: str, tone: str, now: float) -> Sequence[str]:
    if not isinstance(item, Mapping):
        return word(called, tone), text(item), "", ""
    return word(called, tone), text(item["key"]), text(item.get("why", "")), moment(item.get("until"), now)


# -- the node ---------------------------------------------------------------------------------------------------------


def _programs(shown: Shown) -> str:
    told = {str(entry["name"]): entry for entry in shown.node.get("processes") or ()}
    rows = []
    for process in shown.vitals.processes:
        entry = told.get(process.name, {})
        state = str(entry.get("state") or ("RUNNING" if process.up else "STOPPED"))
        since = entry.get("since") if entry else shown.vitals.started
        rows.append(
            (
                text(process.name) + (" (adopted)" if entry.get("adopted") else ""),
                word(state),
                span(shown.now - since) if isinstance(since, int | float) and process.up else "",
                text(process.restarts),
                f"{process.rss / 2**20:.0f} MB" if process.rss is not None else "",
                f"{process.cpu:.1f} s" if process.cpu is not None else "",
                text(entry.get("reason") or ""),
            )
        )
    heads = ("Program", "State", "For", "Restarts", "Memory", "CPU", "Last")
    return section("programs", "Programs", table("What runs here", heads, rows))


def _probes(shown: Shown) -> str:
    probes = shown.node.get("probes") or ()
    if not probes:
        return ""
    words = {True: "well", False: "unwell", None: "not known yet"}
    rows = [
        (
            text(probe["name"]),
            word(words[probe["healthy"]]),
            text(probe["level"]),
            span(shown.now - probe["since"]),
            f"{probe['took_ms']:.1f} ms",
            text(probe["reason"]),
        )
        for probe in probes
    ]
    heads = ("Probe", "Health", "Level", "For", "Took", "Detail")
    return section("probes", "Probes", table("What is asked again and again", heads, rows))


def _drain(shown: Shown) -> str:
    """Only while it leaves, or has left."""
    told = shown.node.get("drain") or {"phase": Phase.NONE.value}
    if told["phase"] == Phase.NONE.value:
        return ""
    calls = "not known" if told["calls"] is None or told["blind"] else told["calls"]
    row = (
        word(str(told["phase"])),
        text(calls),
        span(shown.now - told["since"]),
        moment(told["deadline"], shown.now) if told["phase"] != Phase.DRAINED.value else "",
        text(told["reason"]),
        text("; ".join(filter(None, (told["how"], told["blind"], told["trouble"])))),
    )
    heads = ("Phase", "Calls left", "For", "Deadline", "Reason", "Detail")
    return section("drain", "Drain", table("This node leaves", heads, [row]))


def _registration(shown: Shown) -> str:
    told = shown.node.get("registration") or {"state": "off"}
    if told["state"] == "off":
        return ""
    row = (
        text(told["name"]),
        text(told["id"]),
        word(str(told["state"])),
        text(told.get("node") or ""),
        text(told.get("maintenance") or ""),
        text(told.get("trouble") or ""),
    )
    heads = ("Service", "ID", "State", "With", "Maintenance", "Trouble")
    return section("registration", "Registration", table("This node in Consul", heads, [row]))
