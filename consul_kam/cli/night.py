"""For whoever is on duty at night: `explain`."""

import sys
from dataclasses import asdict

import click

from consul_kam.cli.common import Invocation, as_json, pass_invocation, print_json, safe


@click.command()
@click.argument("what", metavar="ID|ADDRESS")
@as_json
@pass_invocation
def explain(invocation: Invocation, what: str, as_json: bool) -> None:
    """Why is it in Kamailio, or absent? One line a stage, from Consul to memory.

    A service ID, SERVICE/ID, a node's name, IP, IP:PORT, a URI, a domain, an htable key or value, or a KV path; all
    that matches in any dataset is told. Works without a running engine too, from its files and Kamailio itself.

    Exit code 0: all that matches is in memory and gets calls; 1: something does not, or nothing matches.

    \b
    Examples:
      consul-kam explain router-7
      consul-kam explain 10.0.0.7:5060
      consul-kam explain sip:10.0.0.7:5060 --json
    """
    from consul_kam.app import explain as explaining
    from consul_kam.app import wiring

    settings = invocation.settings
    found = explaining.explained(settings, what, wiring.consul_of(settings)())
    if as_json:
        print_json({"what": what, "good": explaining.good(found), "matches": [asdict(each) for each in found]})
    elif found:
        from consul_kam.cli import show_night

        show_night.explained(found)
    else:
        services = sorted({str(s["service"]) for d in settings.enabled for s in d.sets if s["service"]})
        asked = f" (looked for in service {', '.join(services)} and up to 50 others)" if services else ""
        click.echo(safe(f"{what}: neither registered in Consul{asked}, nor staged, nor in Kamailio's memory"))
    sys.exit(0 if explaining.good(found) else 1)


COMMANDS = (explain,)
