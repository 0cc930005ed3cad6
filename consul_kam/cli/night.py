"""For whoever is on duty at night: `explain` and `doctor`."""

import sys
from dataclasses import asdict

import click

from consul_kam.cli.common import AnyFile, Invocation, as_json, pass_invocation, print_json, safe


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


@click.command()
@click.option(
    "--cfg", metavar="FILE", type=AnyFile(), default="", help="Kamailio's configuration. Default: as it runs."
)
@click.option(
    "--consul-template",
    "hcl",
    metavar="FILE",
    type=AnyFile(),
    default="",
    help="consul-template's configuration. Default: the configured one, /etc/consul_kam/consul-template.hcl.",
)
@click.option("--fix", is_flag=True, help="Mend what is in our own files: modes, missing tables, leftovers.")
@as_json
@pass_invocation
def doctor(invocation: Invocation, cfg: str, hcl: str, fix: bool, as_json: bool) -> None:
    """Look for every known trap, and name the line that cures it.

    Reads our configuration, consul-template's, the running Kamailio, its configuration with what that includes,
    sockets, files and clocks; changes nothing without --fix, and with it only what is ours. docs/doctor.md lists all.

    Exit code 1: an error or a warning is left that [doctor] ignore does not name.

    \b
    Examples:
      consul-kam doctor
      consul-kam doctor --cfg /etc/kamailio/sbc.cfg --json
    """  # fmt: skip
    from consul_kam.app import doctor as examining
    from consul_kam.app import gathering

    settings = invocation.settings
    found = examining.examine(settings, gathering.gather(settings, cfg, hcl), fix)
    if as_json:
        print_json({"good": examining.good(found), "found": [asdict(each) for each in found]})
    else:
        from consul_kam.cli import show_night

        show_night.examined(found)
    sys.exit(0 if examining.good(found) else 1)


COMMANDS = (explain, doctor)
