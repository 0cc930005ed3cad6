"""kamcmd's output as values, and commands in front of it that fail in every way."""

import contextlib
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.adapters.kamcmd import KamCmd, parse
from consul_kam.core.ports import Value
from consul_kam.errors import RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable

MARK = "0123456789abcdef"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: text not in list("{}[]"))
MEMBERS = st.recursive(
    TEXTS,
    lambda inner: st.lists(st.tuples(st.sampled_from(["DEST", "SET", "URI"]), inner), max_size=6).map(tuple),
    max_leaves=30,
)


def printed(value: Value, name: str = "") -> str:
    """As kamcmd -f MARK%v prints one value."""
    start = f"{MARK}{name}: " if name else MARK
    if isinstance(value, str):
        return start + value
    return start + "{" + "".join(printed(member, name) for name, member in value) + MARK + "}"


@given(st.lists(MEMBERS, min_size=1, max_size=5).filter(lambda values: values != [""]))
def test_what_kamcmd_prints_reads_back_equal(values: list[Value]) -> None:
    assert parse("".join(printed(value) for value in values), MARK) == tuple(values)


@given(st.lists(st.sampled_from([MARK, "{", "}", "[", "]", ": ", "\n", "x", "a: {", "a: }"])))
def test_any_text_is_read_or_malformed(pieces: list[str]) -> None:
    with contextlib.suppress(RpcMalformed):
        assert isinstance(parse("".join(pieces), MARK), tuple)


def test_no_value_and_anonymous_structs() -> None:
    assert parse(MARK, MARK) == ()
    assert parse(f"{MARK}{{{MARK}domains: {{{MARK}{{{MARK}did: x{MARK}}}{MARK}}}{MARK}}}", MARK) == (
        (("domains", (("", (("did", "x"),)),)),),
    )


@pytest.mark.parametrize(
    "hostile", ["{", "a\n\t\tFLAGS: AP", "}", "]", "}\n", "a: b", ": ", "error: 500 - x", "\udcff"]
)
def test_a_hostile_value_stays_a_value_or_is_malformed(hostile: str) -> None:
    struct: Value = (("BODY", hostile), ("FLAGS", "IX"))
    text = printed(struct)
    if hostile == "{":
        with pytest.raises(RpcMalformed, match="bracket"):
            parse(text, MARK)
    else:
        assert parse(text, MARK) == (struct,)


@pytest.mark.parametrize("text", ["", "x", f"x{MARK}y", f"{MARK}}}", f"{MARK}{{", f"{MARK}{{" * 40])
def test_what_is_no_output_of_kamcmd_is_malformed(text: str) -> None:
    with pytest.raises(RpcMalformed):
        parse(text, MARK)


def kamcmd(directory: Path, script: str) -> KamCmd:
    program = directory / "kamcmd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return KamCmd((str(program),))


def test_parameters_and_options_arrive(tmp_path: Path) -> None:
    rpc = kamcmd(tmp_path, 'f="$2"; shift 2; for word in "$@"; do printf %s "${f%??}$word"; done')
    assert rpc.call("m", "1", -1, "ü b", deadline=20) == ("--", "m", "s:1", "-1", "s:ü b")


def test_a_fault_comes_on_stdout_with_exit_code_0(tmp_path: Path) -> None:
    with pytest.raises(RpcFault, match=r"cannot dispatcher\.reload: 500 Ongoing reload$"):
        kamcmd(tmp_path, "echo 'error: 500 - Ongoing reload'").call("dispatcher.reload", deadline=20)
    with pytest.raises(RpcMalformed):
        kamcmd(tmp_path, "echo 'error: what'").call("dispatcher.reload", deadline=20)


def test_too_big_names_binrpc(tmp_path: Path) -> None:
    with pytest.raises(RpcTooBig, match="use binrpc"):
        kamcmd(tmp_path, "echo 'ERROR: reply too big' >&2; exit 255").call("dispatcher.list", deadline=20)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo 'ERROR: connect_unix_sock: connect(/x): No such file or directory [2]' >&2; exit 255", RpcUnreachable),
        ("echo 'Error response from daemon: No such container: sbc' >&2; exit 1", RpcUnreachable),
        ("exit 127", RpcUnreachable),
        ("echo 'ERROR: receiving reply' >&2; exit 255", RpcTimeout),
        ("kill -9 $$", RpcTimeout),
        ("sleep 60", RpcTimeout),
        ("exec yes", RpcTimeout),
        ("head -c 8000000 /dev/zero", RpcTooBig),
        ("echo what", RpcMalformed),
        ("true", RpcMalformed),
    ],
)
def test_ways_to_fail(tmp_path: Path, script: str, error: type[Exception]) -> None:
    rpc = kamcmd(tmp_path, script)
    with pytest.raises(error, match=r"^cannot"):
        rpc.call("dispatcher.reload", deadline=2 if script in ("sleep 60", "exec yes") else 20)
    assert rpc.generation == (2 if error in (RpcUnreachable, RpcTimeout) else 1)


def test_no_such_program() -> None:
    with pytest.raises(RpcUnreachable, match="no-such-program"):
        KamCmd(("no-such-program", "kamcmd")).call("core.uptime", deadline=5)


def test_a_reply_that_was_cut_short_is_too_big(tmp_path: Path) -> None:
    """domain.dump whose domains filled ctl's buffer lacks its last member, and says nothing."""
    rpc = kamcmd(tmp_path, 'f="${2%??}"; printf %s "$f{${f}domains: {$f}$f}"')
    with pytest.raises(RpcTooBig, match="cut short"):
        rpc.call("domain.dump", deadline=20)
    assert rpc.call("another", deadline=20) == ((("domains", ()),),)
