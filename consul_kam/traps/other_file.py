"""Kamailio reads its list from another place than the one that we write."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FINDINGS, Facts, Finding, Trap, modparam

FILES = {"dispatcher": ("dispatcher", "list_file"), "address": ("permissions", "address_file")}
TABLES = {"domain": ("domain", "db_url"), "rtpengine": ("rtpengine", "db_url"), "htable": ("htable", "db_url")}


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    for each in facts.lists if script is not None else ():
        assert script is not None
        module, name = FILES.get(each.kind) or TABLES.get(each.kind) or ("", "")
        if not module or module not in script.modules:
            continue
        folder, _, own = each.file.rpartition("/")
        wanted = each.file if each.kind in FILES else f"text://{folder}"
        given = script.word(module, name)
        if given.rstrip("/") != wanted:
            yield Finding(
                f"{each.name} is written to {each.file}, and {module} reads {given or 'nothing'}",
                modparam(module, name, wanted),
            )
        elif each.kind == "htable" and f"dbtable={own};" not in "".join(
            f"{v};" for v in script.all("htable", "htable")
        ):
            yield Finding(
                f"{each.name} is written to {each.file}, and no htable has dbtable={own}",
                modparam("htable", "htable", f"{own}=>size=8;dbtable={own};"),
            )


TRAP = Trap(
    name="other_file",
    severity=ERROR,
    doc="Kamailio reads its list from another place than the one that we write: each reload answers Ok, and "
    "nothing changes.",
    mends="the same path in `[datasets.NAME] file` and in the modparam",
    source=f"{FINDINGS}, Measured replies",
    find=find,
)
