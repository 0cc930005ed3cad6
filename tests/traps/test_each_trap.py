"""Each trap as data: facts that have it, and the next best facts that have not; none in a host that is well."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from consul_kam.core.certificate import Certificate
from consul_kam.core.hcl import Stanza, Templating, read_templating
from consul_kam.core.kamailio_script import read_script
from consul_kam.core.known import Check, Instance
from consul_kam.core.trap import ERROR, NOTE, WARNING, CertificateFacts, Facts, ListFacts, Place, Running
from consul_kam.datasets import dataset
from consul_kam.traps import traps

CFG = """\
listen=udp:192.0.2.1:5060
listen=tcp:127.0.0.1:8000
tcp_accept_no_cl=yes
rev_dns=no
loadmodule "tm.so"
loadmodule "ctl.so"
loadmodule "xhttp.so"
loadmodule "dialog.so"
loadmodule "dispatcher.so"
loadmodule "permissions.so"
loadmodule "db_text.so"
loadmodule "domain.so"
loadmodule "rtpengine.so"
loadmodule "htable.so"
modparam("ctl", "binrpc", "unix:/run/ctl")
modparam("db_text", "db_mode", 1)
modparam("domain", "db_url", "text:///live/db")
modparam("domain", "register_myself", 0)
modparam("rtpengine", "db_url", "text:///live/db")
modparam("rtpengine", "rtpengine_allow_op", 1)
modparam("rtpengine", "rtpengine_retr", 1)
modparam("permissions", "address_file", "/live/address.list")
modparam("htable", "db_url", "text:///live/db")
modparam("htable", "htable", "peers=>size=8;dbtable=peers;")
modparam("dispatcher", "list_file", "/live/dispatcher.list")
modparam("dispatcher", "flags", 2)
modparam("dispatcher", "ds_ping_interval", 5)
modparam("dispatcher", "ds_probing_mode", 1)
modparam("tm", "fr_timer", 2000)
modparam("tm", "remap_503_500", 0)
request_route {
    if (!ds_is_from_list("1", "2")) exit;
    ds_select_dst("1", "11");
    t_on_failure("NEXT");
}
failure_route[NEXT] {
    if (t_check_status("408|500|503") && ds_next_dst()) t_relay();
}
"""
ARGV = ("kamailio", "-P", "/run/pid", "-f", "/etc/kamailio/kamailio.cfg", "-m", "64", "-M", "8")
SCRIPT = read_script(CFG)
RUNNING = Running(
    version=(5, 6, 3), modules=SCRIPT.modules, argv=ARGV, shm_total=64e6, shm_free=60e6, main_alive=True, started=500.0,
    clock=0.0,
)  # fmt: skip
FILE = Place(kind="file", mode=0o644, uid=10, gid=10, mtime=900.0, size=9, writable=True, readable=True)
FOLDER = Place(kind="directory", mode=0o755, uid=10, gid=10, writable=True, readable=True)
SET = {"setid": 1, "service": "router", "weight_as": "rweight"}
STANZA = '{ source = "/t/%s.ctmpl" destination = "/state/staging/%s" exec { command = ["kam-apply"] } }'
NAMES = ("dispatcher", "domain", "rtpengine", "address", "htable:peers")


def records(name: str, *lines: str) -> tuple[Any, ...]:
    head = b"" if name in ("dispatcher", "address") else HEADERS[name]
    text = head + "".join(f"{line}\n" for line in lines).encode()
    answer = dataset(name).parse_native("list", text)
    assert answer.problems == ()
    return answer.records


RTP = r"0:0:udp\:192.0.2.8\:2223:1:0:0"
HEADERS = {"rtpengine": b"id(int,auto) setid(int) url(string) weight(int) disabled(int) stamp(int)\n"}


def listed(name: str, lines: Sequence[str] = (), **more: Any) -> ListFacts:
    table = name not in ("dispatcher", "address")
    own = name.rpartition(":")[2]
    file = f"/live/db/{own}" if table else f"/live/{own}.list"
    versions = {"domain": {"domain": 2}, "rtpengine": {"rtpengine": 1}}.get(name, {})
    beside = ("/live/db/domain_attrs",) if name == "domain" else ()
    entries = (SET,) if name == "dispatcher" else ()
    given = {
        "file": file, "staging": (f"/state/staging/{name.replace(':', '-')}",), "table": table, "sets": entries,
        "versions": versions, "beside": beside, "records": records(name, *lines) if lines else (),
    }  # fmt: skip
    return ListFacts(name=name, **{**given, **more})


LISTS = (
    listed("dispatcher", ["1 sip:192.0.2.7:5060 0 10 duid=a;rweight=1"]),
    listed("domain"),
    listed("rtpengine", [r"0:0:udp\:192.0.2.8\:2223:1:0:0"]),
    listed("address"),
    listed("htable:peers"),
)
PLACES = {
    "/run/ctl": Place(kind="socket", mode=0o660, uid=20, gid=20, writable=True),
    "/live": FOLDER, "/live/db": FOLDER, "/state": replace(FOLDER, mode=0o700), "/token": replace(FILE, mode=0o640),
    **{each.file: FILE for each in LISTS}, "/live/db/domain_attrs": FILE,
}  # fmt: skip
TEMPLATING = read_templating(
    "consul { retry { attempts = 0 } }\n"
    + "\n".join(f"template {STANZA % (name, name.replace(':', '-'))}" for name in NAMES)
)
WELL = Facts(
    now=1000.0, uid=10, gids=frozenset({10, 20}), user="consul-kam", rpc="unix:/run/ctl", running=RUNNING,
    cfg_path="/etc/kamailio/kamailio.cfg", cfg_mtime=400.0, script=SCRIPT, lists=LISTS, probing=True,
    state_dir="/state", token_file="/token", journal_at=990.0, places=PLACES,
    versions={"/live/db/version": {"domain": 2, "rtpengine": 1}}, templating=TEMPLATING,
    templating_path="/ct.hcl", resolver=0.0,
    template_texts={f"/t/{name}.ctmpl": "{{/* consul_kam */}}{{ .ID | toJSON }}" for name in NAMES},
)  # fmt: skip
MANY = tuple(f"1 sip:192.0.{n // 200}.{n % 200 + 1}:5060 0 {n}" for n in range(4000))


def cfg(old: str = "", new: str = "", more: str = "", running: bool = False, base: Facts = WELL) -> Facts:
    """The same host with another kamailio.cfg."""
    assert old in CFG, old
    script = read_script(CFG.replace(old, new) + more if old else CFG + more)
    modules = script.modules if not running else RUNNING.modules
    return replace(base, script=script, running=replace(RUNNING, modules=modules))


def lists(*lines: str, base: Facts = WELL, **more: Any) -> Facts:
    return replace(base, lists=(listed("dispatcher", lines, **more), *LISTS[1:]))


def at(path: str, base: Facts = WELL, **more: Any) -> Facts:
    return replace(base, places={**PLACES, path: replace(PLACES[path], **more)})


def vault(**more: Any) -> Facts:
    """A file by which we log in to Vault."""
    return replace(
        WELL,
        vault_files=("/secret-id",),
        places={**PLACES, "/secret-id": replace(FILE, **{"mode": 0o600, **more})},
    )


def stanza(**more: Any) -> Facts:
    first, *others = TEMPLATING.stanzas
    return replace(WELL, templating=replace(TEMPLATING, stanzas=(replace(first, **more), *others)))


def runs(**more: Any) -> Facts:
    return replace(WELL, running=replace(RUNNING, **more))


def fifo(**more: Any) -> Facts:
    place = Place(kind="other", mode=0o600, **more)
    return replace(WELL, rpc="fifo:/run/fifo", places={**PLACES, "/run/fifo": place})


def unit(text: str) -> Facts:
    return replace(WELL, units={"/u": f"{text}\nExecStart=/usr/bin/consul-template"})


def checks(*found: Check) -> Facts:
    return replace(WELL, instances=(Instance("router", "r1", "n1", checks=found),))


BIG = lists(*MANY)
LIMITS = 'modparam("ctl", "binrpc_max_body_size", 8192)\nmodparam("ctl", "binrpc_struct_max_body_size", 4096)\n'
WORLD = "listen=tcp:192.0.2.1:8000"
RPC = "event_route[xhttp:request] {\n%s jsonrpc_dispatch(); }\n"
PING = 'modparam("dispatcher", "ds_ping_interval", 5)'
MODE = 'modparam("dispatcher", "ds_probing_mode", 1)'
SELECT = 'ds_select_dst("1", "11")'
DRAIN = """modparam("htable", "htable", "consul_kam=>size=2;autoexpire=10;")
route[DRAIN] { if ($sht(consul_kam=>refuse) == $null) return; exit; }
"""
TABLE = 'modparam("htable", "htable", "peers=>size=8;dbtable=peers;")'
DOMAIN = 'loadmodule "domain.so"\n'
TLS = "1 sip:192.0.2.7:5061;transport=tls 0 10"
NINE = {**SET, "weight_as": "weight"}
TWICE = ("1 sip:192.0.2.7 0 10", "1 sip:192.0.2.8 0 10", "1 sip:192.0.2.7 0 9")
FLAG_16 = "1 sip:a.example 16 10"


KEPT = replace(WELL, tls_cfg="/run/tls/tls.cfg")


def certificate(ends: float = 9000.0, trouble: str = "") -> Facts:
    leaf = None if trouble else Certificate("07", 0.0, ends, "f")
    return replace(WELL, certificates=(CertificateFacts(table="http", path="/c.pem", leaf=leaf, trouble=trouble),))


CASES: dict[str, tuple[Facts, Facts]] = {
    "rpc_unreachable": (replace(WELL, rpc_error="cannot connect", running=None), WELL),
    "ctl_closed": (replace(WELL, gids=frozenset({10})), at("/run/ctl", replace(WELL, gids=frozenset({10})), uid=10)),
    "ctl_open": (at("/run/ctl", mode=0o666), at("/run/ctl", mode=0o660)),
    "ctl_network": (cfg("unix:/run/ctl", "tcp:192.0.2.1:2046"), cfg("unix:/run/ctl", "tcp:127.0.0.1:2046")),
    "ctl_limits": (BIG, replace(BIG, script=read_script(CFG + LIMITS))),
    "ctl_limits_huge": (cfg(more='modparam("ctl", "binrpc_max_body_size", 65536)\n'), cfg(more=LIMITS)),
    "pkg_memory": (BIG, replace(BIG, running=replace(RUNNING, argv=("kamailio", "-M64")))),
    "kamcmd_limit": (replace(BIG, rpc="kamcmd:"), replace(WELL, rpc="kamcmd:")),
    "jsonrpcs_datagram": (
        cfg(more='loadmodule "jsonrpcs.so"\n', base=BIG),
        cfg(more='loadmodule "jsonrpcs.so"\nmodparam("jsonrpcs", "transport", 2)\n', base=BIG),
    ),
    "http_rpc_open": (
        cfg("listen=tcp:127.0.0.1:8000", WORLD, RPC % ""),
        cfg("listen=tcp:127.0.0.1:8000", WORLD, RPC % 'if ($Ri != "127.0.0.1") exit;'),
    ),
    "http_rpc_big": (replace(lists(*MANY, *MANY), rpc="http://127.0.0.1:1/RPC"), BIG),
    "http_no_length": (cfg("tcp_accept_no_cl=yes", ""), WELL),
    "module_missing": (cfg(DOMAIN, ""), replace(cfg(DOMAIN, ""), lists=LISTS[:1])),
    "other_file": (cfg("/live/dispatcher.list", "/etc/kamailio/dispatcher.list"), WELL),
    "db_mode": (cfg('"db_mode", 1', '"db_mode", 0'), replace(cfg('"db_mode", 1', '"db_mode", 0'), lists=LISTS[:1])),
    "table_ahead": (at("/live/db/domain", mtime=5000.0), at("/live/dispatcher.list", mtime=5000.0)),
    "table_cut": (at("/live/db/domain", ends_line=False), at("/live/dispatcher.list", ends_line=False)),
    "table_version": (replace(WELL, versions={"/live/db/version": {"domain": 1, "rtpengine": 1}}), WELL),
    "table_beside": (at("/live/db/domain_attrs", kind="absent"), WELL),
    "cfg_unread": (replace(WELL, script=None, cfg_error="cannot be read"), WELL),
    "cfg_newer": (replace(WELL, cfg_mtime=600.0), replace(WELL, cfg_mtime=499.0)),
    "failover_flag": (cfg('"flags", 2', '"flags", 1'), cfg('"flags", 2', '"flags", 3')),
    "no_503": (cfg("408|500|503", "408|500"), cfg("408|500|503", "[45]..")),
    "no_failover": (cfg("&& ds_next_dst()", ""), WELL),
    "tm_remap_503_500": (
        cfg('modparam("tm", "remap_503_500", 0)\n', ""),
        cfg('modparam("tm", "remap_503_500", 0)\n', "", base=replace(WELL, lists=LISTS[1:])),
    ),
    "blocklist": (
        cfg("rev_dns=no", "rev_dns=no\nuse_dst_blocklist=yes", 'modparam("tm", "blst_503", 60)\n'),
        cfg("rev_dns=no", "rev_dns=no\nuse_dst_blocklist=no", 'modparam("tm", "blst_503", 60)\n'),
    ),
    "from_list_mode": (cfg('ds_is_from_list("1", "2")', 'ds_is_from_list("1", "4")'), WELL),
    "no_probing": (replace(cfg(PING, ""), probing=False), WELL),
    "probing_untold": (replace(WELL, probing=False), replace(cfg(PING, ""), probing=False)),
    "algorithm_9": (cfg(SELECT, 'ds_select_dst("1", "9")'),
                    lists("1 sip:192.0.2.7 0 1 weight=100", base=cfg(SELECT, 'ds_select_dst("1", "9")'), sets=(NINE,))),
    "algorithm_11": (lists("1 sip:192.0.2.7 0 1", sets=(NINE,)), lists("1 sip:192.0.2.7 0 1", sets=(SET,))),
    "algorithm_8": (
        lists("1 sip:a 0 1 rweight=1", "1 sip:b 0 1 rweight=9", base=cfg(SELECT, 'ds_select_dst("1", "8")')),
        lists("1 sip:a 0 1 rweight=1", "1 sip:b 0 1 rweight=1", base=cfg(SELECT, 'ds_select_dst("1", "8")')),
    ),
    "algorithm_4": (cfg(SELECT, 'ds_select_dst("1", "4")'), WELL),
    "algorithm_10": (cfg(SELECT, 'ds_select_dst("1", "10")'), WELL),
    "reload_delta": (cfg(more='modparam("dispatcher", "reload_delta", 30)\n'), WELL),
    "min_gap": (
        replace(cfg(more='modparam("dispatcher", "reload_delta", 0)\n'), min_gap=0.0),
        replace(cfg(more='modparam("dispatcher", "reload_delta", 0)\n'), min_gap=None),
    ),
    "many_in_one_set": (BIG, lists(*MANY[:100])),
    "big_pings": (
        cfg("fr_timer\", 2000", "fr_timer\", 30000", base=BIG),
        cfg(PING, 'modparam("dispatcher", "ds_ping_interval", 60)', base=BIG),
    ),
    "shared_memory": (runs(shm_free=1e6), WELL),
    "names": (lists("1 sip:a.example 0 10"), lists("1 sip:192.0.2.7 0 10")),
    "names_without_dns": (lists(FLAG_16), lists(FLAG_16, base=cfg('if (!ds_is_from_list("1", "2")) exit;', ""))),
    "ipv6_off": (
        lists("1 sip:[2001:db8::1]:5060 0 10", base=cfg("rev_dns=no", "rev_dns=no\ndns_try_ipv6=no")),
        lists("1 sip:[2001:db8::1]:5060 0 10"),
    ),
    "tls_missing": (
        lists(TLS),
        lists(TLS, base=cfg("rev_dns=no", "rev_dns=no\nenable_tls=yes", 'loadmodule "tls.so"\n')),
    ),
    "rtpengine_allow_op": (cfg('"rtpengine_allow_op", 1', '"rtpengine_allow_op", 0'), WELL),
    "rtpengine_timeout": (cfg('"rtpengine_retr", 1', '"rtpengine_retr", 5'), WELL),
    "htable_autoexpire": (
        cfg(TABLE, TABLE.replace("size=8", "size=8;autoexpire=60")),
        cfg(more='modparam("htable", "htable", "mine=>size=8;autoexpire=60;")\n'),
    ),
    "htable_shared": (
        cfg(more="route[X] { $sht(peers=>$fU) = 1; }\n"),
        cfg(more="route[X] { $sht(mine=>$fU) = 1; if ($sht(peers=>$fU) == 1) exit; }\n"),
    ),
    "drain_table": (replace(WELL, drains=True), replace(cfg(more=DRAIN), drains=True)),
    "drain_replicated": (
        cfg(more='modparam("htable", "htable", "consul_kam=>size=4;autoexpire=10;dmqreplicate=1;")\n'),
        cfg(more='modparam("htable", "htable", "drain=>size=4;autoexpire=10;dmqreplicate=1;")\n'),
    ),
    "domain_myself": (cfg('"register_myself", 0', '"register_myself", 1'), WELL),
    "slow_peers": (cfg("2000", "40000"), cfg("2000", "30000")),
    "no_dialog": (cfg('loadmodule "dialog.so"\n', ""), WELL),
    "orphans": (runs(main_alive=False), runs(main_alive=None)),
    "dead_resolver": (replace(cfg("rev_dns=no\n", ""), resolver=inf), replace(WELL, resolver=inf)),
    "unprotected": (lists(unprotected=True), stanza(destination="/elsewhere")),
    "template_retries": (replace(WELL, templating=replace(TEMPLATING, attempts=None)), WELL),
    "template_kamcmd": (stanza(command=("kamcmd dispatcher.reload",)), WELL),
    "template_command": (stanza(command=("systemctl", "reload", "x")), stanza(command=("logger x || true",))),
    "template_not_ours": (
        replace(WELL, template_texts={"/t/dispatcher.ctmpl": "{{ .ID }}"}),
        replace(WELL, template_texts={"/t/dispatcher.ctmpl": "{{ .ID | toJSON }}"}),
    ),
    "template_missing": (stanza(destination="/elsewhere"), replace(WELL, templating=None)),
    "template_far": (
        replace(WELL, template_texts={"/t/a": '{{ range service "router" }}{{ range service "router@dc2" }}'}),
        replace(WELL, template_texts={"/t/a": '{{ range service "router" }}'}),
    ),
    "template_unread": (replace(WELL, templating=None, templating_error="cannot be read"), WELL),
    "live_closed": (at("/live", writable=False), WELL),
    "live_open": (at("/live", mode=0o777), at("/live", mode=0o1777)),
    "live_unread": (at("/live/dispatcher.list", mode=0o640), at("/live/dispatcher.list", mode=0o640, gid=20)),
    "state_open": (at("/state", mode=0o770), WELL),
    "scratch_left": (replace(WELL, scratch=("/state/scratch-1",)), WELL),
    "certificate_unfit": (certificate(trouble="cannot use the key /k: it is not"), certificate()),
    "certificate_ends": (certificate(ends=1100.0), certificate(ends=3000.0)),
    "tls_cfg_other": (
        cfg(more='modparam("tls", "config", "/etc/tls.cfg")\n', base=KEPT),
        cfg(more='modparam("tls", "config", "/run/tls/tls.cfg")\n', base=KEPT),
    ),
    "token_open": (at("/token", mode=0o644), WELL),
    "vault_files": (vault(mode=0o644), vault()),
    "clock_back": (replace(WELL, journal_at=2000.0), replace(WELL, journal_at=1001.0)),
    "fifo_closed": (fifo(writable=False), fifo(writable=True)),
    "live_bad": (lists(problems=("cannot use /live/dispatcher.list:1:1: setid",)), WELL),
    "live_twice": (lists(*TWICE), lists(*TWICE, staged=True)),
    "uac_window": (
        cfg(more='modparam("uac", "reg_db_url", "text:///x")\nmodparam("uac", "reg_timer_interval", 60)\n'),
        cfg(more='modparam("uac", "reg_timer_interval", 60)\n'),
    ),
    "script_reloads": (
        cfg(more="event_route[x:y] { jsonrpc_exec('{\"method\":\"dispatcher.reload\"}'); }\n"),
        cfg(more="event_route[x:y] { jsonrpc_exec('{\"method\":\"core.uptime\"}'); }\n"),
    ),
    "pid_file": (runs(argv=("kamailio",)), runs(argv=("kamailio", "-P", "/run/pid"))),
    "template_sigterm": (unit("[Service]"), unit("[Service]\nKillSignal=SIGINT")),
    "consul_unreachable": (replace(WELL, consul_errors=("cannot reach Consul",)), WELL),
    "acl_filtered": (replace(WELL, filtered=("service router",)), WELL),
    "no_check": (checks(Check("serfHealth", "passing")), checks(Check("service:r1", "passing"))),
    "several_engines": (replace(WELL, other_engines=(7,)), WELL),
}  # fmt: skip


@pytest.mark.parametrize("name", traps())
def test_it_is_found_where_it_is_and_not_where_it_is_not(name: str) -> None:
    has, has_not = CASES[name]
    found = list(traps()[name].find(has))
    assert found
    assert all(each.sentence and each.cure for each in found)
    assert list(traps()[name].find(has_not)) == []


def test_every_trap_has_a_case_and_every_case_a_trap() -> None:
    assert CASES.keys() == traps().keys()


@pytest.mark.parametrize("name", traps())
def test_a_host_that_is_well_has_none(name: str) -> None:
    assert list(traps()[name].find(WELL)) == []


@pytest.mark.parametrize("name", traps())
def test_of_what_is_not_known_nothing_is_said(name: str) -> None:
    assert list(traps()[name].find(Facts())) == []


@pytest.mark.parametrize("name", traps())
def test_it_says_what_it_is(name: str) -> None:
    trap = traps()[name]
    assert trap.severity in (ERROR, WARNING, NOTE)
    assert trap.doc.endswith(".")
    assert trap.mends
    assert trap.source


def found(name: str, facts: Facts) -> list[tuple[str, str]]:
    return [(each.sentence, each.cure) for each in traps()[name].find(facts)]


# ---- more than one way into it


def test_the_group_or_the_mode_of_ctls_socket() -> None:
    ((sentence, cure),) = found("ctl_closed", replace(WELL, gids=frozenset({10})))
    assert "consul-kam is not in it" in sentence
    assert cure.startswith("usermod -aG 20 consul-kam")
    ((sentence, cure),) = found("ctl_closed", at("/run/ctl", mode=0o600))
    assert "mode 600" in sentence
    assert found("ctl_closed", replace(WELL, gids=frozenset(), uid=0)) == []


def test_a_table_older_than_its_release() -> None:
    older = replace(WELL, lists=(LISTS[0], listed("domain", released=950.0), *LISTS[2:]))
    assert found("table_ahead", older)[0][1] == "touch /live/db/domain"


def test_a_version_file_that_is_missing_is_ours_to_make() -> None:
    fixes = {each.fix for each in traps()["table_version"].find(replace(WELL, versions={}))}
    assert fixes == {("companion", "domain"), ("companion", "rtpengine")}


def test_a_probing_mode_that_pings_nobody() -> None:
    assert found("no_probing", cfg(MODE, "")) == [
        ("ds_probing_mode is 0: only who has flag 8 is pinged", 'modparam("dispatcher", "ds_probing_mode", 1)')
    ]


def test_weights_that_are_no_percent() -> None:
    nine = cfg(SELECT, 'ds_select_dst("1", "9")')
    ((sentence, _),) = found(
        "algorithm_9", lists("1 sip:a 0 1 weight=1", "1 sip:b 0 1 weight=1", base=nine, sets=(NINE,))
    )
    assert sentence == "the weights of set 1 add up to 2, not to 100"


def test_a_set_that_only_a_variable_knows() -> None:
    any_set = cfg(SELECT, 'ds_select_dst("$var(set)", "9")')
    assert "set 1 is shared by algorithm 9" in found("algorithm_9", any_set)[0][0]


def test_a_set_that_only_a_variable_knows_and_round_robin() -> None:
    ((sentence, _),) = found("algorithm_4", cfg(SELECT, 'ds_select_dst("$var(set)", "4")'))
    assert sentence.startswith("a set that only a variable knows is shared round robin")


def test_who_does_not_drain_needs_no_table() -> None:
    assert found("drain_table", WELL) == []


def test_the_running_ones_htables_win_and_somebody_has_to_look_at_them() -> None:
    there = replace(WELL, drains=True, running=replace(RUNNING, htables=frozenset({"consul_kam"})))
    assert found("drain_table", there)[0][0].startswith("the script does not look at $sht(consul_kam=>refuse)")
    assert found("drain_table", replace(there, script=None)) == []
    python = read_script(f'{CFG}cfgengine "python"\n')
    assert found("drain_table", replace(there, script=python)) == [], "its routes are in another language"
    gone = replace(cfg(more=DRAIN), drains=True, running=replace(RUNNING, htables=frozenset({"peers"})))
    assert found("drain_table", gone)[0][0].startswith("Kamailio has no htable consul_kam")
    assert found("drain_table", Facts(drains=True)) == []


def test_a_node_that_drains_counts_its_calls_even_without_lists() -> None:
    bare = replace(cfg('loadmodule "dialog.so"\n', ""), lists=())
    assert found("no_dialog", bare) == []
    assert found("no_dialog", replace(bare, drains=True))


def test_what_is_twice_is_named_and_counted() -> None:
    ((sentence, _),) = found("live_twice", lists(*TWICE))
    assert sentence.startswith("1 sip:192.0.2.7 is in /live/dispatcher.list more than once: Kamailio loads each")
    ((sentence, _),) = found("live_twice", lists(*TWICE, *TWICE))
    assert sentence.startswith("1 sip:192.0.2.7 and 1 others are")
    assert found("live_twice", lists("1 sip:192.0.2.7 0 10", "2 sip:192.0.2.7 0 10")) == []
    assert found("live_twice", replace(WELL, lists=(listed("rtpengine", [RTP, RTP]),))) == [], "Kamailio merges them"


def test_a_503_that_nobody_passes_on() -> None:
    silent = CFG.replace('modparam("tm", "remap_503_500", 0)\n', "").replace(" t_relay();", "")
    assert found("tm_remap_503_500", replace(WELL, script=read_script(silent))) == []


def test_what_the_running_one_says_wins() -> None:
    assert found("slow_peers", runs(values={"tm.fr_timer": 60_000})) == [
        ("fr_timer is 60 s, quiet_for 35 s", "[drain] quiet_for = 65")
    ]
    assert found("module_missing", runs(modules=frozenset({"ctl"})))


def test_a_name_with_flag_16_that_6_0_does_not_ping() -> None:
    blind = lists(FLAG_16, base=cfg('if (!ds_is_from_list("1", "2")) exit;', ""))
    six = replace(blind, running=replace(RUNNING, version=(6, 0, 1)))
    assert "6.0 does not ping them" in found("names_without_dns", six)[0][0]


def test_a_template_that_writes_the_live_file() -> None:
    assert (
        "renders /live/dispatcher.list itself"
        in found("unprotected", stanza(destination="/live/dispatcher.list"))[0][0]
    )


def test_consul_template_that_run_starts_has_its_own_retry() -> None:
    spawned = replace(WELL, templating=Templating((Stanza(),)), spawned_templating=True)
    assert found("template_retries", spawned) == []
    assert found("template_missing", spawned) == []


def test_a_live_directory_that_is_not_there_and_a_file_that_is_mounted() -> None:
    assert "there is no directory /live" in found("live_closed", at("/live", kind="absent"))[0][0]
    assert "mount point of its own" in found("live_closed", at("/live/dispatcher.list", mount=True))[0][0]


def test_an_htable_that_no_table_backs() -> None:
    assert "no htable has dbtable=peers" in found("other_file", cfg(TABLE, ""))[0][0]


def test_kamailios_clock() -> None:
    assert found("clock_back", runs(clock=90.0))[0][0] == "Kamailio's clock is +90 s off ours"


def test_consul_template_may_be_told_to_heed_sigterm() -> None:
    heeds = replace(unit("[Service]"), templating=replace(TEMPLATING, kill_signal="SIGTERM"))
    assert found("template_sigterm", heeds) == []


def test_files_of_vault_that_are_not_there_or_not_for_us() -> None:
    assert found("vault_files", vault(kind="absent")) == [
        ("/secret-id is not there, or is no file", "put it there, mode 0600, owned by consul-kam")
    ]
    assert found("vault_files", vault(readable=False)) == [("/secret-id cannot be read", "chown consul-kam /secret-id")]
    assert found("vault_files", vault(mode=0o440, gid=0)) == [], "systemd's LoadCredential"
    assert found("vault_files", vault(mode=0o604, gid=0)) == [("/secret-id has mode 604", "chmod 600 /secret-id")]
    assert found("vault_files", vault(mode=0o440, gid=7)) == [("/secret-id has mode 440", "chmod 600 /secret-id")]


def test_a_token_that_cannot_be_read() -> None:
    assert "cannot be read" in found("token_open", at("/token", readable=False))[0][0]


@pytest.mark.parametrize("name", ["ctl_closed", "ctl_open", "live_unread"])
def test_a_way_without_a_socket_has_no_modes(name: str) -> None:
    bare = replace(WELL, rpc="tcp:127.0.0.1:2046", gids=frozenset(), places={**PLACES, "/live/dispatcher.list": FILE})
    assert found(name, bare) == []


def test_the_running_kamailios_shared_memory_counts() -> None:
    slow = cfg('fr_timer", 2000', 'fr_timer", 30000', base=BIG)
    assert found("big_pings", slow)
    assert found("big_pings", replace(slow, running=replace(RUNNING, shm_total=4e9))) == []


def test_a_blocklist_that_was_switched_at_run_time() -> None:
    on = cfg(more='modparam("tm", "blst_503", 60)\n')
    assert found("blocklist", on) == []
    assert found("blocklist", replace(on, running=replace(RUNNING, values={"core.use_dst_blocklist": 1})))


def test_shared_memory_that_overflowed_in_the_reply_proves_nothing() -> None:
    assert found("shared_memory", runs(shm_total=-2e9, shm_free=-3e9)) == []


def test_a_destination_that_wants_tls_where_it_is_switched_off() -> None:
    loaded = lists(TLS, base=cfg(more='loadmodule "tls.so"\n'))
    assert found("tls_missing", loaded) == [("1 destinations want TLS, and enable_tls is off", "enable_tls=yes")]


def test_a_resolver_is_of_no_account_without_reverse_look_ups_and_names() -> None:
    assert found("dead_resolver", replace(WELL, resolver=inf)) == []
    assert found("dead_resolver", lists("1 sip:a.example 0 10", base=replace(WELL, resolver=inf)))


@pytest.mark.parametrize("name", traps())
def test_where_only_the_lists_are_known_only_what_they_say_counts(name: str) -> None:
    only_lists = replace(BIG, script=None, running=None)
    assert bool(found(name, only_lists)) is (name in ("many_in_one_set",))


@pytest.mark.parametrize("name", traps())
def test_a_host_without_lists_has_no_trap_of_lists(name: str) -> None:
    bare = replace(WELL, script=read_script('loadmodule "dispatcher.so"\n'), lists=(), probing=True, min_gap=0.0)
    assert found(name, replace(bare, running=replace(RUNNING, modules=frozenset({"ctl", "dispatcher"})))) == []


def test_a_big_list_by_a_way_that_carries_it() -> None:
    assert found("http_rpc_big", lists(*MANY, *MANY)) == []
    assert found("http_rpc_big", replace(WELL, rpc="http://127.0.0.1:1/RPC")) == []
    assert found("ctl_limits", replace(BIG, rpc="fifo:/run/fifo")) == []


def test_a_world_that_reaches_no_http() -> None:
    assert found("http_rpc_open", cfg(more=RPC % "")) == [], "UDP to the world, HTTP on loopback"


def test_a_gap_that_the_module_keeps() -> None:
    assert found("min_gap", replace(WELL, min_gap=0.0)) == []


def test_ipv6_that_was_switched_off_at_run_time() -> None:
    six = lists("1 sip:[2001:db8::1]:5060 0 10")
    assert found("ipv6_off", replace(six, running=replace(RUNNING, values={"core.dns_try_ipv6": 0})))
    assert found("ipv6_off", replace(six, running=replace(RUNNING, values={"core.dns_try_ipv6": 1}))) == []


def test_a_pattern_that_nobody_understands_is_left_alone() -> None:
    assert found("no_503", cfg("408|500|503", "408|(")) == []


def test_jsonrpcs_whose_replies_are_short() -> None:
    assert found("jsonrpcs_datagram", cfg(more='loadmodule "jsonrpcs.so"\n')) == []
