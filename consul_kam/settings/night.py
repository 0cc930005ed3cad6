"""The keys of what people are told: alerts, `doctor`, the log."""

from typing import Annotated, Literal

from consul_kam.settings.schema import VARIABLE, Deadline, Keys, Line, Meta, Path, doc


class Alert(Keys, frozen=True):
    """What to run when a release is HELD, REJECTED or DEGRADED."""

    command: Annotated[list[str], doc("Program and arguments; it gets the event as JSON on its standard input.")] = []
    deadline: Annotated[Deadline, doc("It is killed after so many seconds.")] = 10.0
    environment: Annotated[
        list[Annotated[str, Meta(pattern=VARIABLE)]],
        doc(
            "Variables of our environment that it gets beside PATH, HOME, USER, LOGNAME, SHELL, TMPDIR, TZ, LANG, "
            'LANGUAGE and LC_*, by name (`["https_proxy"]`).'
        ),
    ] = []


class Doctor(Keys, frozen=True):
    """What `consul-kam doctor` need not tell anew each time."""

    ignore: Annotated[
        dict[str, Line],
        doc(
            "Trap -> why it may stay: it is shown with that, and does not count for the exit code "
            '(`slow_peers = "our carrier\'s fr_timer is 2 s"`).'
        ),
    ] = {}


class Log(Keys, frozen=True):
    """What is written to standard error, and what is recorded."""

    format: Annotated[Literal["text", "json"], doc("One line per event, as `key=value` or as JSON.")] = "text"
    level: Annotated[Literal["debug", "info", "warning", "error"], doc("The least severe level that is written.")] = (
        "info"
    )
    record: Annotated[
        Path,
        doc(
            "File to which each staging file is recorded as it comes, for `consul-kam replay`; at 64 MiB it becomes "
            "FILE.1 and a new one is begun.",
            "nothing is recorded",
        ),
    ] = ""
