"""Without the dialog module nobody can say when our calls have ended."""

from collections.abc import Iterator

from consul_kam.core.trap import NOTE, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.modules is not None and (facts.drains or facts.of("dispatcher")) and not facts.loaded("dialog"):
        yield Finding("module dialog is not loaded", 'loadmodule "dialog.so", and dlg_manage() for each INVITE')


TRAP = Trap(
    name="no_dialog",
    severity=NOTE,
    doc="Without the dialog module nobody can say when our calls have ended: a drain can only wait for its deadline.",
    mends='`loadmodule "dialog.so"` and `dlg_manage()` for each call',
    source="design.md, 6",
    find=find,
)
