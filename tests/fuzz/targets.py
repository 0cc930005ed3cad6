"""What is fuzzed: a table of name -> what takes the bytes, and which errors it may raise. Anything else is a find.

A pure target takes the bytes themselves; a hostile end (servers.py) takes them as what it answers, and how.
"""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from consul_kam import config
from consul_kam.adapters import kamcmd, rpc
from consul_kam.adapters.binrpc_wire import Decoder, decode_header
from consul_kam.adapters.jsonrpc_wire import decode_reply
from consul_kam.app import check
from consul_kam.app.stored import DAMAGED
from consul_kam.core import certificate as certificates
from consul_kam.core import env_file, env_known, held, past
from consul_kam.core.certificate import NoCertificate, blocks
from consul_kam.core.dataset import Dataset
from consul_kam.core.env import Layer, resolve
from consul_kam.core.env_define import include
from consul_kam.core.env_spec import Spec, why_not, why_not_name
from consul_kam.core.plan import live_file, make_release
from consul_kam.core.ports import Value
from consul_kam.core.records import Answer
from consul_kam.core.secret import FIELD, LARGEST, Want
from consul_kam.core.secret import make as make_secret
from consul_kam.core.twins import without_twins
from consul_kam.datasets import dataset, datasets
from consul_kam.errors import ConfigError, ConsulKamError, ListError, RpcError, RpcMalformed, VaultError
from tests.fuzz import ends, seeds
from tests.fuzz.limits import clear

NAMES = tuple(datasets())


@dataclass(frozen=True)
class Target:
    """`errors`: what `run` may raise. `told`: whether a user reads them, so that each has to be one clear line.

    `seeds`: what the generated inputs begin from, beside corpus/NAME/. `examples`: inputs in `./dev test`.
    """

    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]]
    told: bool = True
    examples: int = 150

    def __call__(self, data: bytes) -> None:
        """Raises what is a find."""
        try:
            self.run(data)
        except self.errors as error:
            if self.told:
                clear(error)


def certificate(data: bytes) -> None:
    for der in blocks(data):
        certificates.read(der)


# -- lists ------------------------------------------------------------------------------------------------------------


def staging(found: Dataset, data: bytes) -> None:
    """JSON Lines, with a last line that counts them rightly, and as they are.

    What is good of them is written so that it reads as the same.
    """
    lines = [line for line in data.split(b"\n") if line.strip() and not line.startswith(b'{"end"')]
    end = json.dumps({"end": found.name, "records": len(lines)}).encode()
    _taken(found, found.parse_staging(f"staging/{found.name}@dc2", b"\n".join([*lines, end])))
    _taken(found, found.parse_staging(f"staging/{found.name}@dc2", data))


def native(found: Dataset, data: bytes) -> None:
    """Kamailio's own format, as a template of the user's or somebody's editor wrote it."""
    found.ours(data)
    _taken(found, found.parse_native(f"staging/{found.name}@dc2", data))


def _taken(found: Dataset, answer: Answer) -> None:
    for problem in answer.problems:
        clear(problem)
    records, late = found.settled(without_twins(answer).records)
    for problem in late:
        clear(problem)
    if not records:
        return
    release = make_release(records)
    again = found.parse_native("live", live_file(found, release, {}, frozenset()))
    assert not again.problems, f"what we write is refused: {again.problems[0]}"
    assert [record.key for record in again.records] == [
        record.key for record in found.in_file_order(release.records)
    ], "what we write says other things"


def version_file(data: bytes) -> None:
    """db_text's table of tables, which others write too: their rows stay."""
    for name in NAMES:
        found = dataset(name).notation.companion(data)
        if found is not None:
            assert found[1].startswith(data), "others' rows are lost"
            again = dataset(name).notation.companion(found[1])
            assert again == found, "each time it grows"


def guessed(data: bytes) -> None:
    """`consul-kam check FILE` of a file that says itself what it is."""
    found = check.check(None, "somewhere/list", data, config.parse("", "", {"HOME": "/"}))
    for problem in found.dropped:
        clear(problem)
    if found.error:
        clear(found.error)


def env_file_(data: bytes) -> None:
    """docker-compose's, of `env import`."""
    for name, text in env_file.parse(".env", data).items():
        assert not why_not_name(name)
        _one_line(why_not(Spec(name, define="string"), text))


def _one_line(said: str) -> None:
    assert said.isprintable()
    assert len(said) <= 200


_KINDS = ("text", "int", "bool", "enum", "address", "socket", "uri")
_SPECS = [
    *(Spec(f"V_{kind.upper()}", kind, values=("a",), define="string") for kind in _KINDS),
    *(Spec(f"B_{kind.upper()}", kind, values=("a",), define="bare") for kind in ("int", "address", "socket", "enum")),
    Spec("F", "bool", define="flag"),
    Spec("S_", define="subst", rivals=("S_", "S_N")),
    Spec("C", change="cfg", cfg=("consul_kam", "c")),
]


def env_value(data: bytes) -> None:
    """What stands in KV, for a variable of each kind; whatever is let through is one line of the include."""
    found = resolve(_SPECS, ("X",), [Layer("g", {**{spec.name: data for spec in _SPECS}, "X": data})], {})
    for trouble in (*found.troubles, *found.missing):
        _one_line(trouble)
    lines = include(_SPECS, found.texts).split("\n")
    assert lines.pop() == ""
    assert all(re.fullmatch(r"#( [^\x00-\x1f]*|!\w+ [^\x00-\x1f]+)|consul_kam\.\w+ = .*", line) for line in lines)


def env_known_(data: bytes) -> None:
    """known.json."""
    loaded = env_known.load(json.loads(data))
    assert env_known.load(json.loads(json.dumps(env_known.dump(loaded)))) == loaded


_WANTS = [
    Want("a", "kv", "secret/data/a"),
    Want("b", "database", "database/creds/b", text="mysql://{username}:{password}@h/d"),
    Want("c", "consul", "consul/creds/c", text="t={token}"),
    Want("d", "pki", "pki/issue/d", common_name="d"),
]


def vault_answer(data: bytes) -> None:
    """The `data` of an answer, for a secret of each kind: each field is a file of a harmless name."""
    found = json.loads(data)
    for want in _WANTS:
        try:
            made = make_secret(want, found)
        except VaultError as error:
            clear(error)
        else:
            assert all(FIELD.fullmatch(name) for name in made.files)
            assert sum(map(len, made.files.values())) <= LARGEST
            assert made.digest == make_secret(want, found).digest


def held_(data: bytes) -> None:
    """What lies beside a secret, and the login."""
    told = json.loads(data)
    found, login = held.load(told, 1), held.load_login(told, "h")
    assert found is None or held.load(json.loads(json.dumps(held.dump(found))), 1) == found
    assert login is None or held.load_login(json.loads(json.dumps(held.dump_login(login, "h"))), "h") == login


# -- replies ----------------------------------------------------------------------------------------------------------


def binrpc_wire(data: bytes) -> None:
    """Header and body, by a decoder that remembers the reply before."""
    with suppress(RpcMalformed):
        header = decode_header(data)
        data = data if header is None else data[header.body :]
    decoder = Decoder()
    assert decoder.decode("m", data) == decoder.decode("m", data) == Decoder().decode("m", data)


def jsonrpc_wire(data: bytes) -> None:
    """A reply by FIFO or HTTP, to the request that it says it answers."""
    decode_reply("permissions.domainDump", data, _ident(data))
    decode_reply("m", data, _ident(data))


def _ident(data: bytes) -> int:
    found = re.search(rb'"id":\s*"?(\d{1,9})', data)
    return int(found[1]) if found else 1


def kamcmd_output(data: bytes) -> None:
    """What kamcmd prints; `@` stands for the mark that nobody can guess."""
    kamcmd.parse(data.decode(errors="surrogateescape").replace("@", "0123456789abcdef"), "0123456789abcdef")


def memory(found: Dataset, data: bytes) -> None:
    """What a dataset reads in a reply, whichever way it came."""
    values: tuple[Value, ...]
    if data[:1] == b"{":
        values = decode_reply("permissions.domainDump", data, _ident(data))
    else:
        values = Decoder().decode("m", data)
    for at in range(len(found.readback)):
        answers: list[tuple[Value, ...]] = [()] * len(found.readback)
        answers[at] = values
        try:
            for entry in found.decode(answers):
                hash(entry.key)
        except RpcMalformed as error:
            clear(error)
    if found.states is not None:
        found.states.decode(values)


# -- what lies on disk ------------------------------------------------------------------------------------------------


def toml(data: bytes) -> None:
    """The configuration, and the RPC address in it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return  # config.load says so
    settings = config.parse(text, "x.toml", {"HOME": "/"})
    if not re.search(r"\n\s*rpc_(?:password|ca)_file", text):
        rpc.connect(settings.kamailio.rpc)


def remembered(data: bytes) -> None:
    """memory.json's `past`, as the engine reads it."""
    found = json.loads(data)
    loaded = past.load(found["past"])
    assert past.load(json.loads(json.dumps(past.dump(loaded)))) == loaded


# -- the table --------------------------------------------------------------------------------------------------------

LISTS = (ListError,)
RPC = (RpcError,)
FROM_DISK = (ValueError, KeyError, TypeError, RecursionError)


def _lists() -> Iterable[tuple[str, Target]]:
    for name in NAMES:
        found = dataset(name)
        yield f"staging-{name}", Target(partial(staging, found), LISTS, partial(seeds.lists, name))
        yield f"native-{name}", Target(partial(native, found), LISTS, partial(seeds.lists, name))
        yield f"memory-{name}", Target(partial(memory, found), RPC, partial(seeds.replies, name))


TARGETS: dict[str, Target] = {
    **dict(_lists()),
    "version-file": Target(version_file, (), seeds.version_files),
    "check": Target(guessed, (ConfigError,), partial(seeds.lists, "*")),
    "binrpc-wire": Target(binrpc_wire, RPC, partial(seeds.bodies, "*")),
    "jsonrpc-wire": Target(jsonrpc_wire, RPC, partial(seeds.documents, "*")),
    "kamcmd-output": Target(kamcmd_output, RPC, seeds.printed),
    "toml": Target(toml, (ConfigError,), seeds.configurations),
    "env-file": Target(env_file_, LISTS, seeds.env_files),
    "env-value": Target(env_value, (), seeds.env_values),
    "env-known": Target(env_known_, (*FROM_DISK, AttributeError), seeds.env_known, told=False),
    "vault-answer": Target(vault_answer, (ValueError, RecursionError), seeds.vault_answers, told=False),
    "secret-held": Target(held_, (ValueError, RecursionError), seeds.held, told=False),
    "memory-file": Target(remembered, FROM_DISK, seeds.memories, told=False),
    "release": Target(ends.release, DAMAGED, seeds.releases, told=False),
    "boot": Target(ends.boot, (), seeds.left_behind),
    "journal": Target(ends.journal, (), seeds.journals),
    "recording": Target(ends.recording, (ListError,), seeds.recordings),
    "binrpc": Target(ends.binrpc, RPC, seeds.binrpc, examples=100),
    "jsonrpc-fifo": Target(ends.fifo, RPC, seeds.fifo, examples=60),
    "certificate": Target(certificate, (NoCertificate,), seeds.certificates, told=False),
    "jsonrpc-http": Target(ends.http, RPC, seeds.http, examples=100),
    "kamcmd": Target(ends.kamcmd, RPC, seeds.commands, examples=20),
    "consul": Target(ends.consul, (), seeds.consul, examples=40),
    "control-reply": Target(ends.control_reply, (ConsulKamError,), seeds.control_replies, examples=60),
    "control-request": Target(ends.control_request, (), seeds.control_requests),
}
"""`./dev fuzz NAME`."""

CORPUS = Path(__file__).parent / "corpus"


def inputs(name: str) -> list[bytes]:
    """What is always tried: corpus/NAME/, which holds every find, and the seeds."""
    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    return list(dict.fromkeys([*kept, b"", *TARGETS[name].seeds()]))
