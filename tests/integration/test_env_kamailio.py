"""The include against real Kamailios: what a value holds is what the running one shows, and it says nothing else."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from consul_kam.core.env_define import include
from consul_kam.core.env_spec import LONGEST, Spec, why_not, why_not_defined
from tests.lab import VERSIONS, Fault, Kamailio, Lab
from tests.lab.environment import value_of
from tests.lab.world import every_version

PIECES = [
    '"', "\\", "'", "\n", "\r", "\t", "\\n", '\\"', '"; include_file "/etc/passwd"', "\n#!define PWNED\n",
    "#!define PWNED", "\\\n", "#", "#!", "!!", "/*", "*/", "//", ";", "{", "}", "route[X] {", "$ru", "$(env(HOME))",
    "$", "%s", "\\x41", "\\x4", "\\101", "\\0", "\x01", "\x1b[31m", "\x7f", "é", "€", "𐍈", "\u2028", "\xa0", "A", "0",
    " ", '" "', '""', "\\a", "#!ifdef", "#!endif", '#!subst "/a/b/"', 'import_file "x"', "V0", "NONE", "loadmodule",
    "!KAMAILIO",
]  # fmt: skip
"""What could close a string, add a line, or be taken for something else."""
hostile = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(
    st.characters(exclude_categories=("Cs",)), max_size=40
)
LONG = ["x" * (LONGEST - 2), '"' * ((LONGEST - 2) // 2), "\x01" * ((LONGEST - 2) // 4), "é" * ((LONGEST - 2) // 2)]
WHOLE = settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""Each example starts a Kamailio, and has a hundred values."""


ROUTE = """event_route[htable:mod-init] {{
$sht(shown=>up) = 1;
{}
#!ifdef PWNED
$sht(shown=>pwned) = 1;
#!endif
}}
"""


def defined(values: Sequence[str], **more: str) -> tuple[list[Spec], dict[str, str]]:
    """A variable for each value that is let through."""
    found = {f"V{number}": value for number, value in enumerate(values)}
    specs = [Spec(name, define="string", dollar=True, **more) for name in found]  # type: ignore[arg-type]
    taken = [spec for spec in specs if not why_not(spec, found[spec.name])]
    return taken, {spec.name: found[spec.name] for spec in taken}


def running(directory: Path, version: str, specs: Sequence[Spec], texts: dict[str, str], uses: str) -> Kamailio:
    """One that includes them. Around each use there is enough text to fill the scanner's buffer again and again."""
    file = directory / "env.cfg"
    file.write_bytes(include(specs, texts).encode())
    return Kamailio(
        directory,
        version=version,
        globals=f'include_file "{file}"',
        modparams='loadmodule "htable.so"\nloadmodule "cfg_rpc.so"\nmodparam("htable", "htable", "shown=>size=8;")',
        routes=ROUTE.format(uses),
    )


def syntax(kamailio: Kamailio) -> tuple[int, str]:
    """Of `kamailio -c`."""
    done = subprocess.run([*kamailio.command, "-c"], capture_output=True, timeout=60, check=False)
    return done.returncode, done.stderr.decode(errors="replace")


def shown(kamailio: Kamailio, key: str) -> object:
    return value_of(kamailio.rpc, "shown", key)


@pytest.mark.parametrize("version", VERSIONS)
@WHOLE
@given(values=st.lists(hostile, min_size=60, max_size=120))
def test_what_is_shown_is_what_was_given(
    version: str, values: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    specs, texts = defined([*values, *LONG])
    filler = "# " + "x" * 800
    uses = "\n".join(f"$sht(shown=>{name}) = {name};\n{filler}" for name in texts)
    kamailio = running(tmp_path_factory.mktemp("kam"), version, specs, texts, uses)
    code, said = syntax(kamailio)
    assert code == 0, said
    with kamailio:
        assert {name: shown(kamailio, name) for name in texts} == texts
        with pytest.raises(Fault):
            shown(kamailio, "pwned")


@every_version
def test_each_way_to_define(lab: Lab) -> None:
    rivals = ("HOST", "COUNT")
    specs = [
        Spec("PORT", "int", define="bare"),
        Spec("NEGATIVE", "int", define="bare"),
        Spec("ADDRESS", "address", define="bare"),
        Spec("WITH_A", "bool", define="flag"),
        Spec("WITH_B", "bool", define="flag"),
        Spec("HOST", define="subst", rivals=rivals),
        Spec("COUNT", "int", define="subst", rivals=rivals),
        Spec("WAIT", "int", define="bare", change="cfg", cfg=("consul_kam", "wait")),
        Spec("URL", define="string", change="cfg", cfg=("consul_kam", "url"), dollar=True),
    ]
    texts = {
        "PORT": "5060", "NEGATIVE": "-7", "ADDRESS": "[::1]", "WITH_A": "yes", "WITH_B": "off",
        "HOST": "a!b/c#d;}'e{*/", "COUNT": "7", "WAIT": "5", "URL": 'x"\\\n$ru',
    }  # fmt: skip
    assert [why for spec in specs if (why := why_not(spec, texts[spec.name]))] == []
    uses = "\n".join(
        [
            *(f"$sht(shown=>k{number}) = {name};" for number, name in enumerate(("PORT", "NEGATIVE", "HOST", "COUNT"))),
            '$sht(shown=>in) = "<HOST:COUNT>";',
            "#!ifdef WITH_A\n$sht(shown=>a) = 1;\n#!endif\n#!ifdef WITH_B\n$sht(shown=>b) = 1;\n#!endif",
            "if (src_ip == ADDRESS) { return; }",
        ]
    )
    kamailio = running(lab.directory, lab.version, specs, texts, uses)
    with kamailio:
        assert [shown(kamailio, f"k{number}") for number in range(4)] == [5060, -7, texts["HOST"], 7]
        assert shown(kamailio, "in") == f"<{texts['HOST']}:7>"
        assert shown(kamailio, "a") == 1
        assert kamailio.rpc.call("cfg.get", "consul_kam", "wait") == [5]
        assert kamailio.rpc.call("cfg.get", "consul_kam", "url") == [texts["URL"]]
        assert len(str(kamailio.rpc.call("cfg.get", "consul_kam", "env")[0])) == 16


@pytest.mark.parametrize("version", VERSIONS)
@WHOLE
@given(values=st.lists(hostile, min_size=60, max_size=100))
def test_what_is_substituted_within_a_string(
    version: str, values: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of hostile values those that a #!substdef carries; each stands alone and within another string."""
    found = {f"S{number:03}_": value for number, value in enumerate(values)}
    specs = [Spec(name, define="subst", rivals=tuple(found)) for name in found]
    texts = {spec.name: found[spec.name] for spec in specs if not why_not(spec, found[spec.name])}
    uses = "\n".join(f'$sht(shown=>a{n[1:4]}) = {n};\n$sht(shown=>b{n[1:4]}) = "<{n}>";' for n in texts)
    kamailio = running(tmp_path_factory.mktemp("kam"), version, specs, texts, uses)
    code, said = syntax(kamailio)
    assert code == 0, said
    with kamailio:
        assert {name: shown(kamailio, f"a{name[1:4]}") for name in texts} == texts
        assert {name: shown(kamailio, f"b{name[1:4]}") for name in texts} == {n: f"<{t}>" for n, t in texts.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_too_long_would_end_kamailio(version: str, tmp_path: Path) -> None:
    """Why it is refused: the control for LONGEST."""
    long = {"V0": "x" * 17_000}
    assert "too long" in why_not(Spec("V0", define="string"), long["V0"])
    code, said = syntax(running(tmp_path, version, [Spec("V0", define="string")], long, "$sht(shown=>x) = V0;"))
    assert code != 0
    assert "push-back overflow" in said


@pytest.mark.parametrize("version", VERSIONS)
def test_a_subst_that_names_another_would_change_it(version: str, tmp_path: Path) -> None:
    """Why a value that holds the name of a substituted variable is refused."""
    specs = [Spec("HOST", define="subst", rivals=("HOST",)), Spec("TITLE", define="string", rivals=("HOST",))]
    texts = {"HOST": "sbc", "TITLE": "my HOST"}
    assert "#!subst" in why_not(specs[1], texts["TITLE"])
    with running(tmp_path, version, specs, texts, "$sht(shown=>x) = TITLE;") as kamailio:
        assert shown(kamailio, "x") == "my sbc"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_control_an_unquoted_value_would_add_a_directive(version: str, tmp_path: Path) -> None:
    """What the property above would find: the same value as it is, without quoting."""
    kamailio = running(tmp_path, version, [], {}, "")
    (tmp_path / "env.cfg").write_text('#!define V0 "x"\n#!define PWNED\n')
    with kamailio:
        assert shown(kamailio, "pwned") == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("word", ["NAME", "ADVERTISE", "TCP", "listen", "port"])
def test_a_word_of_kamailios_own_is_no_define(version: str, word: str, tmp_path: Path) -> None:
    """Why such names are refused: the define is never looked at."""
    assert why_not_defined(word) != ""
    spec = Spec(word, define="string")
    code, _ = syntax(running(tmp_path, version, [spec], {word: "x"}, f"$sht(shown=>x) = {word};"))
    assert code != 0


@pytest.mark.parametrize("version", VERSIONS)
def test_the_articles_names_are_defines(version: str, tmp_path: Path) -> None:
    names = ["LISTEN", "ALIAS", "INTERFACE", "SHM_MEM", "SIP_PORT", "TESTING", "REDIS", "DOMAIN", "PORT", "DEBUG"]
    specs = [Spec(name, define="string") for name in names]
    uses = "\n".join(f"$sht(shown=>k{name}) = {name};" for name in names)
    with running(tmp_path, version, specs, {name: f"of {name}" for name in names}, uses) as kamailio:
        assert [shown(kamailio, f"k{name}") for name in names] == [f"of {name}" for name in names]
        assert [why for name in names if (why := why_not_defined(name))] == []
