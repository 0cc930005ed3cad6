"""The configuration: defaults that work without a file, and errors that name file, key, expected and got."""

import re
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest

from consul_kam import config
from consul_kam import settings as keys
from consul_kam.config import Settings, known_datasets, load, parse
from consul_kam.core.dataset import SetKey
from consul_kam.core.grammar import Choice, Number, Text
from consul_kam.datasets import dataset
from consul_kam.errors import ConfigError

EXAMPLE = Path(__file__).parents[1] / "examples" / "consul-kam.toml"


def settings(text: str = "", **environ: str) -> Settings:
    return parse(text, "f.toml", environ)


def test_without_a_file_the_dispatcher_of_the_article_is_enabled() -> None:
    found = load(environ={})
    (dispatcher,) = found.enabled
    assert (dispatcher.name, str(dispatcher.file)) == ("dispatcher", "/etc/kamailio/dispatcher.list")
    assert dispatcher.sets == (
        {
            "setid": 1, "service": "router", "tag": "", "datacenter": "", "static": [], "kv": "", "priority": None,
            "weight_as": "rweight", "warning": "in", "critical": "out", "address": "",
        },
    )  # fmt: skip
    assert found.consul.address == "127.0.0.1:8500"
    assert found.kamailio.rpc.removeprefix("unix:") in config.CTL_SOCKETS
    assert (found.observe, found.verify_every, found.kamailio.min_gap) == (False, 30.0, None)


def test_everything_of_ours_is_below_the_state_directory() -> None:
    found = settings('node.state_dir = "/s"')
    paths = [found.staging_dir, found.control, found.journal, found.releases, found.dataset("dispatcher").staging]
    assert [str(path) for path in paths] == [
        "/s/staging", "/s/control.sock", "/s/journal.jsonl", "/s/releases", "/s/staging/dispatcher",
    ]  # fmt: skip


def test_the_environment_names_the_state_directory_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('mode = "observe"\nnode.state_dir = "/s"\n')
    found = load(environ={"CONSUL_KAM_CONFIG": str(file), "CONSUL_KAM_STATE_DIR": "/t"})
    assert (found.observe, str(found.state_dir), found.source) == (True, "/t", str(file))
    assert str(load(str(file), {"CONSUL_KAM_CONFIG": "/nope"}).state_dir) == "/s"


def test_consuls_own_variables_fill_what_the_file_leaves_out() -> None:
    given = {"CONSUL_HTTP_ADDR": "https://c:8501", "CONSUL_CACERT": "/ca.pem", "CONSUL_HTTP_TOKEN_FILE": "/token"}
    found = settings('consul.ca_file = "/mine.pem"', **given).consul
    assert (found.address, found.ca_file, found.token_file) == ("https://c:8501", "/mine.pem", "/token")


@pytest.mark.parametrize(
    ("given", "ssl", "address"),
    [
        ("", "true", "https://127.0.0.1:8500"),
        ("c:8501", "1", "https://c:8501"),
        ("http://c:8500", "true", "http://c:8500"),
        ("unix:///run/consul", "true", "unix:///run/consul"),
        ("c:8500", "no", "c:8500"),
        ("c:8500", "false", "c:8500"),
    ],
)
def test_consul_http_ssl_is_for_an_address_without_a_scheme(given: str, ssl: str, address: str) -> None:
    """As consul-template, which gets the same environment, understands it."""
    assert settings(CONSUL_HTTP_ADDR=given, CONSUL_HTTP_SSL=ssl).consul.address == address


def test_without_a_writable_var_lib_the_state_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "STATE_DIR", "/proc/none/consul_kam")
    assert str(settings(XDG_STATE_HOME="/x").state_dir) == "/x/consul_kam"
    assert str(settings(HOME="/home/u").state_dir) == "/home/u/.local/state/consul_kam"


def test_the_first_ctl_socket_that_is_there_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    monkeypatch.setattr(config, "CTL_SOCKETS", (str(first), str(second)))
    assert settings().kamailio.rpc == f"unix:{first}"
    second.touch()
    assert settings().kamailio.rpc == f"unix:{second}"


def test_a_dataset_is_enabled_by_its_file() -> None:
    found = settings('datasets.domain.file = "/etc/kamailio/dbtext/domain"')
    assert [dataset.name for dataset in found.enabled] == ["dispatcher", "domain"]
    assert found.dataset("domain").sets[0]["service"] == "router"
    assert found.dataset("rtpengine").sets[0] == {**found.dataset("rtpengine").sets[0], "service": "rtp", "setid": 0}


def test_a_dataset_may_be_there_by_name_and_has_files_of_its_own() -> None:
    tables = "".join(
        f'[datasets."htable:{name}"]\nfile = "/l/{name}"\nsets = [{{ kv = "{name}" }}]\n' for name in ("a", "b-c")
    )
    found = settings('order = ["htable:b-c", "dispatcher"]\n' + tables)
    assert [each.name for each in found.enabled] == ["dispatcher", "htable:a", "htable:b-c"]
    assert found.dataset("htable:b-c").staging.name == "htable-b-c"
    assert found.dataset("htable:b-c").sets[0]["kv"] == "b-c"
    assert found.order == ("htable:b-c", "dispatcher")
    assert found.dataset("htable").file is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("domain:x", "datasets.'domain:x': dataset is 'domain:x', allowed: domain"),
        ("htable:", "datasets.'htable:': dataset is 'htable:', allowed: htable, or htable:NAME"),
        ("htable:a b", "datasets.'htable:a b': table is 'a b', allowed: 1 to 64 letters, digits, _ or -"),
        ("htabel:a", "datasets.htabel:a: expected one of"),
    ],
)
def test_a_name_that_no_dataset_takes_is_named(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^cannot use test: {re.escape(said)}"):
        parse(f'[datasets."{name}"]\n', "test", {})


def test_mode_is_inherited_and_overridden() -> None:
    found = settings('mode = "observe"\ndatasets.dispatcher.mode = "apply"')
    assert (found.dataset("dispatcher").observe, found.dataset("domain").observe) == (False, True)


def test_an_order_is_kept_between_lists_that_are_enabled() -> None:
    files = "".join(f'[datasets.{name}]\nfile = "/l/{name}"\n' for name in ("domain", "rtpengine"))
    wanted = 'order = ["rtpengine", "domain", "dispatcher"]\n'
    assert settings(wanted + files).order == ("rtpengine", "domain", "dispatcher")
    assert settings(wanted).order == ()  # dispatcher alone
    assert (settings(files).order, settings(files).order_wait) == ((), 10.0)
    assert settings("order = []\n" + files).order == ()


def test_each_data_centre_has_a_staging_file() -> None:
    found = settings(
        '[[datasets.dispatcher.sets]]\nservice = "a"\n'
        '[[datasets.dispatcher.sets]]\nservice = "b"\ndatacenter = "dc2"\n'
        '[[datasets.dispatcher.sets]]\nstatic = ["sip:1.2.3.4"]\nsetid = 2\n'
    ).dataset("dispatcher")
    assert found.parts == ("", "dc2")
    assert found.staging_of("dc2").name == "dispatcher@dc2"
    assert [entry["setid"] for entry in found.sets] == [1, 1, 2]


def test_the_data_centre_of_consul_is_that_of_sets_without_one() -> None:
    assert settings('consul.datacenter = "dc9"').dataset("dispatcher").parts == ("dc9",)


def test_one_path_for_staging_and_live_file_is_unprotected(tmp_path: Path) -> None:
    live, link = tmp_path / "dispatcher.list", tmp_path / "link"
    live.touch()
    link.symlink_to(live)
    assert settings().unprotected == ()
    for staging in (live, link):
        found = settings(f'[datasets.dispatcher]\nfile = "{live}"\nstaging = "{staging}"')
        assert [dataset.name for dataset in found.unprotected] == ["dispatcher"]


SET = "[[datasets.dispatcher.sets]]\n"
BAD = [
    (
        "x = 1",
        "x: expected one of mode, order, order_wait, verify_every, node, consul, consul_template, kamailio, rtpengine, "
        "registration, drain, supervise, probes, env, vault, http, datasets, alert, doctor, log, got 'x'",
    ),
    ("moed = 1", "moed: expected one of * got 'moed' (did you mean mode?)"),
    ('order = ["x"]', "order: x: expected one of *dispatcher*, got 'x'"),
    ('order = ["domain", "domain"]', "order: expected each dataset once, got 'domain' twice"),
    ("[probes.sip_option]", "probes.sip_option: expected one of *rpc*, got 'sip_option' (did you mean sip_options?)"),
    ("[probes.x]\nenabled = true", "probes.x: expected one of consul, http_status, *, got 'x'"),
    ("[probes.rpc]\nfal = 1", "probes.rpc.fal: expected one of *, got 'fal' (did you mean fall?)"),
    ("probes = 1", "probes: expected a table, got 1"),
    ("probes.rpc = 1", "probes.rpc: expected a table, got 1"),
    ("[probes.rpc]\nrise = 0", "probes.rpc.rise: expected a whole number from 1 to 1000, got 0"),
    (
        '[probes.consul]\naction = "restart"',
        "probes.consul.action: expected none or not-ready: nothing to restart, got 'restart'",
    ),
    ("order_wait = 601", "order_wait: expected a number from 0 to 600, got 601"),
    ('mode = "foo"', "mode: expected one of apply, observe, got 'foo'"),
    ("[kamailio]\nmin_gap = 'a'", "kamailio.min_gap: expected a number from 0, got 'a'"),
    ("[kamailio]\nmin_gap = -1", "kamailio.min_gap: expected a number from 0, got -1"),
    ("[kamailio]\nprobing = 1", "kamailio.probing: expected true or false, got 1"),
    ("[kamailio]\nrpc = 'x'", "kamailio.rpc: expected `unix:PATH`, `tcp:HOST:PORT`, * got 'x'"),
    ("[kamailio]\nrpc = 'fifo:x'", "kamailio.rpc: expected `unix:PATH`, * got 'fifo:x'"),
    (
        "[kamailio]\nrpc = 'http://a:b@127.0.0.1:1/'",
        "kamailio.rpc: expected no user and password: use rpc_password_file",
    ),
    (
        "[kamailio]\nrpc_ca_file = 'ca.pem'",
        "kamailio.rpc_ca_file: expected an absolute path, got 'ca.pem'",
    ),
    ("[kamailio]\nrpc_deadline = 0", "kamailio.rpc_deadline: expected a number above 0 to 600, got 0"),
    ("kamailio = 2", "kamailio: expected a table, got 2"),
    *(
        (
            f'[kamailio.tls]\nnames = ["b\u00fccher.example", "::1", "{name}"]',
            "kamailio.tls.names: expected DNS names and IP*",
        )
        for name in (".example.org", "a..b", "a" * 64, "x." * 127)
    ),
    ("verify_every = nan", "verify_every: expected a finite number, got nan"),
    ("verify_every = 0", "verify_every: expected a number from 1, got 0"),
    ("[node]\nstate_dir = 'x'", "node.state_dir: expected an absolute path, got 'x'"),
    ("datasets = 3", "datasets: expected a table, got 3"),
    ("datasets.dispatcher = 3", "datasets.dispatcher: expected a table, got 3"),
    ("datasets.dispacher = {}", "datasets.dispacher: * got 'dispacher' (did you mean dispatcher?)"),
    ("datasets.domain.setz = 1", "datasets.domain.setz: * (did you mean sets?)"),
    ("datasets.dispatcher.max_shrink = 3", "datasets.dispatcher.max_shrink: expected a number from 0 to 1, got 3"),
    ("datasets.dispatcher.hold_for = inf", "datasets.dispatcher.hold_for: expected a finite number, got inf"),
    (
        "datasets.dispatcher.min_records = 1.5",
        "datasets.dispatcher.min_records: expected a whole number from 0, got 1.5",
    ),
    (
        "datasets.dispatcher.sets = []",
        "datasets.dispatcher.sets: expected a list of at least one, each a table, got []",
    ),
    ("datasets.dispatcher.sets = [3]", "datasets.dispatcher.sets[0]: expected a table, got 3"),
    (SET + "setid = 1", "datasets.dispatcher.sets[0]: expected service, static or kv, got none of them"),
    (SET + "service = 'a'\n" + SET + "service = 'a b'", "datasets.dispatcher.sets[1].service: expected letters*'a b'"),
    (
        SET + 'service = "a\\n"',
        "datasets.dispatcher.sets[0].service: expected letters, digits, `_` and `-`, got 'a\\n'",
    ),
    (SET + "service = 'a@dc'", "datasets.dispatcher.sets[0].service: expected letters*"),
    (SET + "service = 'a.b'", "datasets.dispatcher.sets[0].service: expected letters*"),
    (SET + "static = ['a', '']", "datasets.dispatcher.sets[0].static[1]: expected text of one line, got ''"),
    (SET + "serivce = 'a'", "datasets.dispatcher.sets[0].serivce: * (did you mean service?)"),
    ("[[datasets.domain.sets]]\nservice = 'a'\nsetid = 1", "datasets.domain.sets[0].setid: *"),
    (
        "[[datasets.rtpengine.sets]]\nservice = 'a'\nport = 0",
        "datasets.rtpengine.sets[0].port: * from 1 to 65535, got 0",
    ),
    (
        "datasets.domain.file = '/etc/kamailio/dispatcher.list'",
        "datasets.domain: * got */dispatcher.list of dispatcher",
    ),
    ("[alert]\ncommand = 'x'", "alert.command: expected a list of text, got 'x'"),
    ("[alert]\nenvironment = ['1']", "alert.environment[0]: expected letters, digits and `_`, no digit first, got '1'"),
    ("[alert]\ncommand = ['a', 1]", "alert.command[1]: expected text, got 1"),
    ("mode", "Expected '=' after a key in a key/value pair (at end of document)"),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_what_is_wrong_is_named(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as found:
        settings(text)
    pattern = "cannot use f.toml: " + ".*".join(map(re.escape, expected.split("*")))
    assert re.fullmatch(pattern, str(found.value)), str(found.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read /nope: No such file"):
        load("/nope")
    (tmp_path / "x").write_bytes(b'mode = "\xff"')
    with pytest.raises(ConfigError, match=r"cannot use .*/x: byte 8: expected UTF-8"):
        load(str(tmp_path / "x"))


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(ConfigError, match=f"cannot find dataset 'x': expected one of {', '.join(known_datasets())}"):
        settings().dataset("x")


def test_without_a_role_nothing_is_started_and_nothing_registered() -> None:
    found = settings()
    assert (found.consul_template.mode, found.kamailio.mode, found.registration.enabled) == ("attach", "attach", False)
    assert (found.kamailio.sip, found.kamailio.status_url) == ([], "")
    assert found.node.name == socket.gethostname()


def test_a_role_registers_as_the_article_does() -> None:
    found = settings('node = { role = "sbc", name = "sbc-1" }\nregistration.address = "::1"')
    told = found.registration
    assert (told.enabled, told.name, told.id, told.port, told.tags) == (True, "sbc", "sbc-1", 5060, ["sbc", "kamailio"])
    assert (told.check_url, told.ttl) == ("http://127.0.0.1:8000/status", 0)
    assert (found.consul_template.mode, found.kamailio.mode) == ("spawn", "attach")
    assert found.kamailio.sip == ["udp:[::1]:5060"]


def test_an_rtpengine_has_no_kamailio_and_no_list_unless_one_is_named() -> None:
    found = settings('node = { role = "rtp", name = "rtp-1" }\nrtpengine.ng = "udp:127.0.0.1:2299"')
    told = found.registration
    assert (told.name, told.port, told.tags, told.ttl, told.check_url) == ("rtp", 2299, ["rtp", "rtpengine"], 15.0, "")
    assert (found.consul_template.mode, found.kamailio.mode, found.enabled) == ("attach", "none", ())
    named = settings('node.role = "rtp"\ndatasets.dispatcher.file = "/x"')
    assert [each.name for each in named.enabled] == ["dispatcher"]


def test_what_the_file_says_wins_over_the_role() -> None:
    text = """
        node.role = "router"
        registration = { enabled = false, name = "edge", tags = [], port = 5080, ttl = 3 }
        kamailio = { mode = "spawn", sip = [], command = ["k"] }
        consul_template.mode = "attach"
    """
    found = settings(text)
    told = found.registration
    assert (told.enabled, told.name, told.tags, told.port, told.ttl) == (False, "edge", [], 5080, 3)
    assert (found.kamailio.mode, found.kamailio.sip, found.kamailio.command) == ("spawn", [], ["k"])
    assert found.consul_template.mode == "attach"


def test_the_example_says_only_defaults_and_holds_every_key() -> None:
    example = EXAMPLE.read_text()
    assert {**parse(example, "example", {}).plain(), "source": ""} == load(environ={}).plain()
    every_key = "\n".join(line.removeprefix("#") for line in example.splitlines() if not line.startswith("# "))
    raw = tomllib.loads(every_key)
    datasets = raw["datasets"]
    assert {each.name for each in parse(every_key, "example", {}).enabled} == set(datasets)
    shown = {
        keys.File: raw, keys.Node: raw["node"], keys.Consul: raw["consul"],
        keys.ConsulTemplate: raw["consul_template"], keys.Kamailio: raw["kamailio"],
        keys.Rtpengine: raw["rtpengine"], keys.Registration: raw["registration"], keys.Supervise: raw["supervise"],
        keys.Env: raw["env"], keys.Var: raw["env"]["vars"]["HTTP_API_TIMEOUT"],
        keys.Probe: raw["probes"]["rpc"], keys.Http: raw["http"], keys.Tls: raw["kamailio"]["tls"],
        keys.Alert: raw["alert"], keys.Log: raw["log"], keys.Dataset: datasets["dispatcher"],
        keys.Set: datasets["dispatcher"]["sets"][0],
    }  # fmt: skip
    for table, found in shown.items():
        assert set(table.__struct_fields__) - set(found) == set()
    for name, table in datasets.items():
        assert {key.name for key in dataset(name).set_keys} - set(table["sets"][0]) == set()


ENV = """
node = {{ role = "sbc", name = "n-1" }}
[env]
layers = ["g", "r/{{role}}/", "n/{{node}}"]
[env.vars.{}]
{}
"""


def test_an_environment_is_completed() -> None:
    found = settings(ENV.format("DBURL", 'cfg = "g.v"\nchange = "cfg"') + "[env.vars.N]\ntype = 'int'\ndefault = 5").env
    assert found.layers == ("g", "r/sbc", "n/n-1")
    assert [(s.name, s.define, s.change, s.cfg, s.secret, s.default) for s in found.specs] == [
        ("DBURL", "string", "cfg", ("g", "v"), True, None),
        ("N", "bare", "restart", ("", ""), False, "5"),
    ]
    assert settings(ENV.format("B", 'type = "bool"\ndefault = true\nchange = "cfg"')).env.specs[0].default == "true"
    assert settings(ENV.format("B", 'change = "cfg"')).env.specs[0].cfg == ("consul_kam", "b")
    assert (found.spec("OTHER").define, found.spec("A_TOKEN").secret) == ("none", True)
    assert settings("").env.layers == ()


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("LD_PRELOAD", "", "env.vars.LD_PRELOAD: never taken"),
        ("sip_port", "", "env.vars.sip_port: no name of a define"),
        ("NAME", "", "env.vars.NAME: no name of a define"),
        ("A", 'type = "x"', "env.vars.A.type: expected one of"),
        ("A", 'type = "int"\ndefault = "x"', "env.vars.A.default: it is no whole number"),
        ("A", 'define = "flag"', "env.vars.A.define: expected another than flag"),
        ("A", 'define = "bare"', "env.vars.A.define: expected another than bare"),
        ("A", 'type = "enum"', "env.vars.A.values: expected what an enum may be"),
        ("A", 'type = "enum"\ndefine = "bare"\nvalues = ["a b"]', "env.vars.A.values: expected words"),
        ("A", 'pattern = "("', "env.vars.A.pattern: expected a regular expression"),
        ("A", 'change = "cfg"\ncfg = "consul_kam.env"', "env.vars.A.cfg: expected another one"),
        ("A", 'change = "cfg"\ncfg = "fr_timer"', "env.vars.A.cfg: expected `GROUP.NAME`"),
        ("A", "pasword = 1", "env.vars.A.pasword: expected one of"),
        ("A_B", 'define = "subst"\n[env.vars.A]\ndefine = "subst"', "env.vars.A_B: expected a name without A"),
    ],
)
def test_a_variable_that_is_wrong_is_named(name: str, lines: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"cannot use f.toml: {expected}")):
        settings(ENV.format(name, lines))


def test_a_secret_is_no_argument() -> None:
    text = 'kamailio = {{ command = ["kamailio", "-A", "X=${{DBURL}}"] }}\n{}\n[env.vars.DBURL]\n{}'
    with pytest.raises(ConfigError, match=re.escape("kamailio.command: expected no secret, got ${DBURL}: everybody")):
        settings(text.format('env.layers = ["g"]', ""))
    assert settings(text.format('env.layers = ["g"]', "secret = false")).kamailio.command is not None
    assert settings(text.format("", "")).kamailio.command is not None, "without [env] it stands for itself"


def test_more_defines_than_kamailio_has_room_for() -> None:
    many = "".join(f"[env.vars.A{number}]\n" for number in range(257))
    with pytest.raises(ConfigError, match="expected at most 256 that are defined, got 257"):
        settings(many)
    assert len(settings(many + 'define = "none"').env.specs) == 257


def test_layers_of_a_role_need_a_role() -> None:
    with pytest.raises(ConfigError, match=re.escape("env.layers: expected no {role}")):
        settings('env.layers = ["{role}"]')
    with pytest.raises(ConfigError, match=r"env.layers\[0\]: expected letters"):
        settings('env.layers = ["{x}"]')
    with pytest.raises(ConfigError, match=r"env.vars: expected a table"):
        settings("env.vars = 3")


OWN = (
    SetKey("size", Number("size", 3, 9, "test"), 4, "A number."),
    SetKey("kind", Choice("kind", ("", "a", "b"), "test"), "a", "A choice."),
    SetKey("word", Text("word", re.compile("[a-z]+|[0-9]+"), "letters or digits", "test"), None, "Text.", "none"),
    SetKey("bold", bool, False, "A flag."),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"size": 2}, "set.size: expected a whole number from 3 to 9, got 2"),
        ({"size": "4"}, "set.size: expected a whole number from 3 to 9, got '4'"),
        ({"kind": "c"}, "set.kind: expected one of \"\", a, b, got 'c'"),
        ({"word": "A"}, "set.word: expected letters or digits, got 'A'"),
        ({"word": "a1"}, "set.word: expected letters or digits, got 'a1'"),
        ({"word": "1\n"}, "set.word: expected letters or digits, got '1\\n'"),
        ({"bold": 1}, "set.bold: expected true or false, got 1"),
        ({"bald": True}, "set.bald: expected one of * got 'bald' (did you mean bold?)"),
        ({"tag": "a b"}, "set.tag: expected letters, digits, * got 'a b'"),
    ],
)
def test_a_key_of_a_datasets_own_is_checked_by_its_grammar(value: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as found:
        keys.convert(value, keys.set_table("test", "Doc.", OWN), "f.toml", "set")
    pattern = ".*".join(map(re.escape, f"cannot use f.toml: {expected}".split("*")))
    assert re.fullmatch(pattern, str(found.value)), str(found.value)


def test_keys_of_a_datasets_own_stand_beside_those_of_every_set() -> None:
    table = keys.set_table("test", "Doc.", OWN)
    plain = keys.plain(keys.convert({"word": "1"}, table, "f.toml", "set"))
    assert plain == {**keys.plain(keys.Set()), "size": 4, "kind": "a", "word": "1", "bold": False}
    assert keys.plain(keys.convert({}, table, "f.toml", "set"))["word"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 60 + "]" * 60, "cannot use f.toml: tables or arrays are more than 50 deep"),
        ("a = " + "[" * 2_000, "cannot use f.toml: tables or arrays are more than 50 deep"),
        (".".join("a" * 900) + " = 1.5", "cannot use f.toml: tables or arrays are more than 50 deep"),
        ("a = " + "9" * 5_000, "cannot use f.toml: Exceeds the limit (4300 digits)"),
        ("a" * 2_000 + " = 1", "cannot use f.toml: aaa"),
        ('"a\\n\\u001b[2J" = 1', r"cannot use f.toml: a\n\x1b[2J: "),
    ],
)
def test_what_python_cannot_read_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(text)
    message = str(caught.value)
    assert message.startswith(said)
    assert message.isprintable()
    assert len(message) <= 1_000


VAULT = """
[vault.auth]
token_file = "/t"
[vault.secrets.node]
kind = "consul"
path = "consul/creds/node"
[vault.secrets.db]
kind = "database"
path = "database/creds/kamailio"
text = "postgres://{username}:{password}@h/d"
[vault.secrets.page]
kind = "kv"
path = "secret/data/page"
"""


def test_a_secret_in_a_key_that_names_a_file_is_its_path() -> None:
    found = settings('vault.directory = "/run/x/"\nconsul.token_file = "secret://node/token"' + VAULT)
    assert found.consul.token_file == "/run/x/node/token"


def test_each_key_that_takes_a_secret() -> None:
    keys_of = {
        "consul": ("token_file", "ca_file", "cert_file", "key_file"),
        "http": ("token_file", "cert_file", "key_file"),
        "kamailio.tls": ("cert_file", "key_file", "ca_file"),
    }
    for table, names in keys_of.items():
        lines = "".join(f'{name} = "secret://page/{name}"\n' for name in names)
        found = settings(f"[{table}]\n{lines}{VAULT}")
        shown: Any = found.plain()
        assert "references" not in shown
        given: Any = found
        for name in table.split("."):
            given, shown = getattr(given, name), shown[name]
        for name in names:
            assert getattr(given, name) == f"/run/consul_kam/secrets/page/{name}"
            assert shown[name] == f"secret://page/{name}", "config show has what was written"


def test_a_variable_takes_a_secret_and_is_one() -> None:
    found = settings('[env.vars.DSN]\nvalue = "secret://db/text"\n' + VAULT)
    (spec,) = found.env.specs
    assert (spec.origin, spec.secret, spec.leased, found.env.on, found.env.layers) == (
        ("db", "text"),
        True,
        True,
        True,
        (),
    )
    assert found.env.secrets == Path("/run/consul_kam/secrets")
    assert found.plain()["env"]["specs"][0]["origin"] == "secret://db/text"
    assert settings("[env.vars.A]").plain()["env"]["specs"][0]["origin"] == ""
    with pytest.raises(ConfigError, match=r"kamailio.command: expected no secret"):
        settings('kamailio.command = ["k", "${DSN}"]\n[env.vars.DSN]\nvalue = "secret://db/text"\n' + VAULT)


NAMES = "consul.token_file: expected one of node, db, page, got secret"
ONLY = "expected no secret: only env.vars.NAME.value takes one, and files that are read anew as they change; got"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('consul.token_file = "secret://nod/token"', f"{NAMES} 'nod' (did you mean node?)"),
        ('consul.token_file = "secret://x9/token"', f"{NAMES} 'x9'"),
        ('consul.token_file = "secret://node/tokn"', "consul.token_file: node is of kind consul: expected one of its"),
        ('consul.token_file = "secret://Node/token"', "consul.token_file: expected secret://NAME/FIELD, got"),
        ('consul.token_file = "/x/secret://node/token"', "consul.token_file: expected secret://NAME/FIELD, got"),
        ('consul.address = "secret://node/token"', f"consul.address: {ONLY} 'secret://node/token'"),
        ('consul.tokn_file = "secret://node/token"', "consul.tokn_file: expected one of address"),
        ('kamailio.command = ["k", "-A", "X=secret://db/text"]', f"kamailio.command[2]: {ONLY} 'X=secret://db/text'"),
        ('kamailio.rpc_password_file = "secret://page/x"', f"kamailio.rpc_password_file: {ONLY}"),
        ('kamailio.restart_file = "secret://page/x"', f"kamailio.restart_file: {ONLY}"),
        ('env.include = "secret://page/x"', f"env.include: {ONLY}"),
        ('registration.meta.x = "secret://page/x"', f"registration.meta.x: {ONLY}"),
        ('doctor.ignore.x = "secret://page/x"', f"doctor.ignore.x: {ONLY}"),
        ('alert.command = ["secret://page/x"]', f"alert.command[0]: {ONLY}"),
        ('mode = "secret://page/x"', f"mode: {ONLY}"),
        ('datasets.dispatcher.file = "secret://page/x"', f"datasets.dispatcher.file: {ONLY}"),
        ('probes.rpc.action = "secret://page/x"', f"probes.rpc.action: {ONLY}"),
        ('env.vars.A.default = "secret://db/text"', f"env.vars.A.default: {ONLY}"),
        ('env.vars.A.value = "secret://db/txt"', "env.vars.A.value: db is of kind database: expected one"),
        ('env.vars.A.value = "text"', "env.vars.A.value: expected `secret://NAME/FIELD`, got 'text'"),
        ('env.vars.A = { value = "secret://db/text", secret = false }', "env.vars.A.secret: expected true"),
        ('env.vars = "secret://db/text"', f"env.vars: {ONLY}"),
        ('vault.directory = "secret://page/x"', "vault.directory: expected an absolute path, got"),
    ],
)  # fmt: skip
def test_a_secret_that_is_none_or_anywhere_else_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"cannot use f.toml: {expected}")):
        settings(text + VAULT)


def test_a_secret_without_vault() -> None:
    with pytest.raises(ConfigError, match=re.escape("consul.token_file: expected a [vault.secrets] table for it, got")):
        settings('consul.token_file = "secret://node/token"')
