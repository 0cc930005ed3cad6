"""docs/metrics.md: the three pages that an engine serves, and every metric."""

from consul_kam.core.metrics import METRICS, STAGES

PAGES = """
`consul-kam run` serves three pages at `[http] listen`, by default `127.0.0.1:9160`. An engine that `kam-apply`
started serves none.

| page | 200 | 503 |
|---|---|---|
| `/livez` | the decision thread answers within 2 s, and each probe of level alive is well: `{"alive": true}` | \
`{"alive": false}`, with a `reason` where that thread is stuck: start the engine anew |
| `/readyz` | the node may get calls | not now: `reasons` says why |
| `/metrics` | Prometheus' text format 0.0.4 | the decision thread is stuck |

    curl -s http://127.0.0.1:9160/readyz
    {"ready": false, "reasons": {"dispatcher": "memory was not read yet"}, "probes": {}}

`reasons` is an object, name -> text: the texts are for people, for programs it is empty or not. `probes` holds for
each probe `healthy` (true, false, or null: not known yet), `since` (seconds since 1970), `reason` and `took_seconds`.
Without a role there are no probes: the node is ready while Kamailio answers and each list in its memory is the one
that it shall be, or the last known good. So a change on its way, a rejected list, or Consul away make nobody unready.

Only GET and HEAD are served, one request a connection; anything else is refused with `{"error": "cannot ..."}`. There
is neither TLS nor a password, and nothing is ever looked up in DNS. On loopback the Host must be an IP address,
`localhost`, the host's name or `[node] name`, so that no web page in a browser of this host can read it by a name
that it made point there (DNS rebinding). Elsewhere whoever reaches the port may read all of it: names and counts, no
secret; let a firewall say who. `[::]:9160` is IPv6 only. A port that is taken ends `run` where the file names
`listen` (exit code 2), and is a warning where it is the default.

[examples/monitoring](../examples/monitoring/) holds a Grafana dashboard (`grafana-dashboard.json`), alert rules for
Prometheus (`consul_kam.rules.yml`) and how to scrape (`prometheus.yml`); a test holds their names and labels against
this table.
"""


def page(notice: str) -> str:
    """The page; `notice` says whence."""
    rows = "".join(
        f"| `{each.name}` | {each.kind.value} | {', '.join(f'`{label}`' for label in each.labels)} | {each.help} |\n"
        for each in METRICS
    )
    stages = ", ".join(f"`{stage}`" for stage in STAGES)
    return f"""# Is it alive, is it ready, how is it doing?
{notice}{PAGES}
## Metrics
Label values come from the configuration and the code, never from Consul, so their number is bounded. A value that is
not known, as what memory holds while Kamailio is away, has no sample. Counters and durations begin anew with each
engine; the process `consul-kam` is the engine itself. Of a probe, a program or the registration there is a sample
where there is one.
Stages of a change: {stages}.

| metric | kind | labels | meaning |
|---|---|---|---|
{rows}"""
