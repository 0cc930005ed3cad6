"""What is shown: one live picture on a terminal, plain lines elsewhere; and the picture of a whole play."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from consul_kam.cli.common import safe
from examples.demo.acts import ACTS, Act
from examples.demo.evidence import Check, memory
from examples.demo.now import Now, look
from examples.demo.play import Outcome, Result
from examples.demo.secure import Rotations
from examples.demo.stage import RATE, VERIFY_EVERY, WINDOW, Stage
from tests.lab import Calls

STATES = {"A": "active", "T": "active", "I": "dead", "D": "disabled"}
SAID = 5
"""Sentences kept on the screen."""
SETTINGS = (
    f"{RATE} calls a second through one SBC. Kamailio takes a reload each {WINDOW:.0f} s (its default); the engine "
    f"looks for drift each {VERIFY_EVERY:.0f} s (default: 30). Each act waits until Kamailio would take a reload. "
    "ms: from the deed to Kamailio's memory, as an independent sampler sees it."
)


def passed(ok: bool) -> Text:
    return Text("yes" if ok else "NO", "bold green" if ok else "bold red")


def checks(found: Sequence[Check]) -> Text:
    """One a line: whether, what, how long, and whose word it is where it is not the sampler's."""
    lines = []
    for check in found:
        line = Text.assemble(("✓ ", "green") if check.ok else ("✗ ", "bold red"), safe(check.what))
        if check.ms is not None:
            line.append(f" {check.ms:,.0f} ms", "bold cyan")
        if check.source != "sampler":
            line.append(f" ({check.source})", "dim")
        lines.append(line)
    return Text("\n").join(lines)


def happened(outcome: Outcome) -> Text:
    text, stages = checks(outcome.checks), outcome.stages
    if "verified" in stages:
        took = f"{stages['memory']:.1f} ms to memory, verified at {stages['verified']:.1f} ms"
        text.append(f"\n  journal: {took}", "dim cyan")
    return text


def outcomes(found: Sequence[Outcome]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=True)
    table.add_column("act", ratio=4)
    table.add_column("the plain pipeline", ratio=7, style="dim")
    table.add_column("what happened", ratio=12)
    table.add_column("calls", justify="right", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    table.add_column("kept", justify="right", no_wrap=True)
    for each in found:
        failed = Text(str(each.failed), "bold red" if each.failed else "green")
        title = f"{each.number} {each.act.title}"
        table.add_row(title, each.act.plain, happened(each), str(each.calls), failed, passed(each.ok))
        if each is not found[-1]:
            table.add_row()
    return table


def places(now: Now) -> Table:
    """Consul = staging = live file = memory, a line for each router."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for head in ("router", "Consul", "staging", "live file", "Kamailio's memory"):
        table.add_column(head)
    consul = now.consul
    for uri in now.uris:
        status = "away" if consul is None else consul.get(uri, "-")
        state = STATES.get(now.memory.get(uri, ""), "-")
        table.add_row(
            Text(f"{now.names.get(uri, 'new'):<8} {safe(uri)[:40]}"),
            Text(status, "green" if status == "passing" else "yellow"),
            "yes" if uri in now.staging else "-",
            "yes" if uri in now.live else "-",
            Text(state, "green" if state == "active" else "yellow"),
        )
    return table


def tally(calls: Calls) -> Text:
    failed = "bold red" if calls.failed else "bold green"
    return Text.assemble(f"calls: {calls.created} made, ", (f"{calls.failed} failed", failed))


def rotated(found: Rotations, calls: Calls) -> Text:
    """What rotated meanwhile, as seen from outside."""
    text = Text.assemble("rotated meanwhile: ", passed(found.ok))
    for number, what in (
        (found.tokens, "Consul's token, by Vault"),
        (found.certificates, "Kamailio's certificate, as it shows it to strangers (handshakes)"),
        (found.values, "a value in Kamailio's memory (RPC)"),
    ):
        text.append(f"\n  {number} x {what}")
    return text.append(f"\n  {calls.failed} calls failed")


def whole(result: Result) -> Group:
    """The picture of a play that is over."""
    name = "the plain pipeline" if result.plain else "consul_kam"
    verdict = Text.assemble(
        f"{name}: {sum(o.ok for o in result.outcomes)} of {len(ACTS)} acts as promised, ",
        tally(result.calls),
        f", {result.seconds:.0f} s. ",
        passed(result.ok),
    )
    parts: list[RenderableType] = [Text(SETTINGS, "dim"), outcomes(result.outcomes)]
    if result.now is not None:
        parts.append(places(result.now))
    parts.append(verdict)
    if result.rotations is not None:
        parts.append(rotated(result.rotations, result.calls))
    if result.error:
        parts.append(Text(safe(result.error), "red"))
    return Group(*parts)


def _base(stage: Stage) -> str:
    address = stage.consul.address
    return address if "://" in address else f"http://{address}"


class View:
    """`with View(console, lines=False) as view:`. Nothing of it decides anything."""

    def __init__(self, console: Console, lines: bool) -> None:
        self._console, self._lines = console, lines
        self._began = time.monotonic()
        self._stage: Stage | None = None
        self._act: tuple[int, Act] | None = None
        self._said: list[str] = []
        self._ended: list[Outcome] = []
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=4, screen=False)

    def watch(self, stage: Stage) -> None:
        """From now on the four places are shown: every program runs."""
        self._stage = stage

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:6.1f} s  {safe(text)}"
        self._said.append(line)
        if self._lines:
            self._console.print(Text(line), soft_wrap=True)

    def begins(self, number: int, act: Act) -> None:
        self._act = (number, act)
        self._said.clear()
        if self._lines:
            self._console.print(Text(f"\nact {number} of {len(ACTS)}: {act.title}", "bold"))
            self._console.print(Text(f"  the plain pipeline: {act.plain}", "dim"))

    def ended(self, outcome: Outcome) -> None:
        self._ended.append(outcome)
        if self._lines:
            self._console.print(happened(outcome))
            self._console.print(
                Text.assemble(f"  {outcome.calls} calls, {outcome.failed} failed: ", passed(outcome.ok))
            )

    def stay(self, stage: Stage) -> None:
        """Until Ctrl-C, for whoever wants to play on; prints changes of memory where there is no live picture."""
        spare, url = stage.instance("r6"), f"{_base(stage)}/v1/agent/service"
        body = f'{{"Name":"router","ID":"r6","Address":"127.0.0.1","Port":{spare.port}}}'
        curl = f"curl {stage.secure.curl() if stage.secure is not None else ''}-X PUT"
        self._act = None
        self._said.clear()
        for line in (
            "\nYour turn. A sixth router is running that Consul does not know yet (Ctrl-C ends the demo):",
            f"{curl} -d '{body}' {url}/register",
            f"{curl} '{url}/maintenance/r6?enable=true'",
            f"{curl} {url}/deregister/r6\n",
        ):
            # above the live picture and never cut, so that it can be copied
            self._console.print(Text(line), soft_wrap=True)
        shown: object = None
        while True:
            time.sleep(0.2)
            now = memory(stage.seen.now())
            if self._lines and now != shown:
                shown = now
                held = ", ".join(f"{stage.names.get(uri, uri)} {STATES.get(flag, flag)}" for uri, flag in now.items())
                self.say(f"memory: {held or 'empty'}; {stage.calls().failed} calls failed")

    def _picture(self) -> RenderableType:
        parts: list[RenderableType] = [Text(SETTINGS, "dim")]
        if self._act is not None:
            number, act = self._act
            said = "\n".join(self._said[-SAID:])
            body = Text.assemble(("the plain pipeline: ", "dim"), (act.plain, "dim"), "\n", said)
            parts.append(Panel(body, title=f"act {number} of {len(ACTS)}: {act.title}", title_align="left"))
        else:
            parts.append(Text("\n".join(self._said[-SAID:])))
        if self._stage is not None:
            parts += [places(look(self._stage)), tally(self._stage.calls())]
        parts += [self._brief(each) for each in self._ended]
        return Group(*parts)

    def _brief(self, each: Outcome) -> Text:
        took = next((f"{check.ms:,.0f} ms" for check in each.checks if check.ms is not None), "")
        lost = "".join(f"; NOT: {check.what}" for check in each.checks if not check.ok)
        return Text.assemble(
            passed(each.ok), f" {each.number} {each.act.title}  ", (took, "cyan"), f"  {each.failed} failed calls", lost
        )

    def __enter__(self) -> Self:
        if not self._lines:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage = None
        if not self._lines:
            self._live.stop()
