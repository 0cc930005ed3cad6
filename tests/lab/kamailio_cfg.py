"""The text of the lab's kamailio.cfg, after ../shared/baseline/kamailio.cfg."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_MODULES = ["tm", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "xlog", "kex"]
_MODULES += ["ctl", "jsonrpcs", "xhttp", "dispatcher", "db_text"]

_DEFAULT_ROUTE = """\
request_route {
  if (is_method("OPTIONS") && $rU==$null) { sl_send_reply("200","Keepalive"); exit; }
  if (has_totag()) {
    if (loose_route()) { t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
    sl_send_reply("404","Not here"); exit;
  }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  record_route();
  if (!ds_select_dst("%(setid)s","%(algorithm)s")) { sl_send_reply("404","No destination"); exit; }
  t_relay(); exit;
}
"""


@dataclass
class Options:
    """What a test may choose about its Kamailio; the defaults are the modules' own wherever there is one."""

    version: str = ""  # of Kamailio, a key of kamailio_roots.DEBIAN; "" is LAB_KAMAILIO's, else this machine's own
    reload_delta: int | None = None  # whole s between two dispatcher writes; None leaves the module's 5
    ping_interval: int = 0  # s between OPTIONS probes of the dispatcher; 0 is off
    probing_mode: int = 1  # with pings: 1 probes all destinations, 0 only those flagged
    probing_threshold: int = 1  # failures before a destination is inactive
    fr_timer: int | None = None  # ms until a request without reply fails (pings too); None leaves tm's 30,000
    algorithm: int = 4  # of ds_select_dst in the default route; 4 round robin, 8 first by priority
    setid: int = 1  # the set that the default route calls
    domain: bool = False
    rtpengine: bool = False
    rtpengine_tout_ms: int = 1000
    db_mode: int = 1  # of db_text; the module's own 0 never sees a changed file
    ctl_body: int | None = None  # ctl's binrpc_max_body_size, kB
    ctl_struct: int | None = None  # ctl's binrpc_struct_max_body_size, kB
    fifo: bool = False  # jsonrpcs's FIFO, `Kamailio.fifo`; replies go to `Kamailio.run`
    http_rpc: Literal["", "tcp", "tls"] = ""  # jsonrpcs over HTTP or HTTPS on `Kamailio.rpc_port`, /RPC
    rpc_password: str = ""  # USER:PASSWORD of basic authentication for it
    children: int = 2
    shm: int = 64  # MB, -m
    pkg: int = 8  # MB, -M
    debug: int = 1
    globals: str = ""  # extra lines before the modules
    modparams: str = ""  # extra loadmodule/modparam lines; {live} is the directory of the live files
    files: Mapping[str, str] = field(default_factory=dict)  # below that directory, where there is none: name -> text
    route: str | None = None  # replaces the default request_route
    routes: str = ""  # further route blocks
    argv: list[str] = field(default_factory=list)  # further command line words


RPC_CFG = Path(__file__).parents[2] / "examples" / "kamailio-rpc.cfg"


def render(
    options: Options, modules_path: Path, sip_port: int, http_port: int, rpc_port: int, run: Path, live: Path
) -> str:
    """The whole configuration; `live` holds dispatcher.list and dbtext/, `run` the sockets and the certificate."""
    modules = [*_MODULES, *(["domain"] if options.domain else []), *(["rtpengine"] if options.rtpengine else [])]
    route = options.route if options.route is not None else _DEFAULT_ROUTE % vars(options)
    return "\n".join(
        [
            "#!KAMAILIO",
            f"debug={options.debug}\nlog_stderror=yes\nfork=yes\nchildren={options.children}\nauto_aliases=no",
            # a resolver that does not answer would cost 10 to 30 s at start
            "dns=no\nrev_dns=no\ndns_retr_time=1\ndns_retr_no=1\ndns_servers_no=1\ndns_use_search_list=no",
            f"listen=udp:127.0.0.1:{sip_port}\nlisten=tcp:127.0.0.1:{sip_port}\nlisten=tcp:127.0.0.1:{http_port}",
            "tcp_children=1\ntcp_accept_no_cl=yes",
            f"listen={options.http_rpc}:127.0.0.1:{rpc_port}" if options.http_rpc else "",
            "enable_tls=yes" if options.http_rpc == "tls" else "",
            options.globals,
            f'mpath="{modules_path}/"',
            *(f'loadmodule "{module}.so"' for module in modules),
            *_modparams(options, run, live),
            options.modparams.replace("{live}", str(live)),
            *(_http_rpc(options, rpc_port, run) if options.http_rpc else ()),
            "event_route[xhttp:request] {",
            "  route(CONSUL_KAM_RPC);" if options.http_rpc else "",
            '  if ($hu == "/status") { xhttp_reply("200","OK","text/plain",""); exit; }',
            '  xhttp_reply("404","Not Found","text/plain","");\n}',
            route,
            options.routes,
            "",
        ]
    )


def _http_rpc(options: Options, port: int, run: Path) -> list[str]:
    """What examples/kamailio-rpc.cfg asks for, and that file itself."""
    lines = [f"#!define CONSUL_KAM_RPC_PORT {port}"]
    if options.rpc_password:
        secret = base64.b64encode(options.rpc_password.encode()).decode()
        lines.append(f'#!define CONSUL_KAM_RPC_AUTH "Basic {secret}"')
    if options.http_rpc == "tls":
        lines += ['loadmodule "tls.so"', 'modparam("tls","tls_method","TLSv1.2+")']
        lines += [f'modparam("tls","certificate","{run}/cert.pem")', f'modparam("tls","private_key","{run}/key.pem")']
    return [*lines, f'include_file "{RPC_CFG}"']


def _modparams(options: Options, run: Path, live: Path) -> list[str]:
    wanted: list[tuple[str, str, int | str | None]] = [
        ("ctl", "binrpc", f"unix:{run}/ctl"),
        ("ctl", "binrpc_max_body_size", options.ctl_body),
        ("ctl", "binrpc_struct_max_body_size", options.ctl_struct),
        ("jsonrpcs", "transport", 3 if options.fifo else 1),
        ("jsonrpcs", "fifo_name", f"{run}/rpc.fifo" if options.fifo else None),
        ("jsonrpcs", "fifo_reply_dir", f"{run}/" if options.fifo else None),
        ("db_text", "db_mode", options.db_mode),
        ("tm", "fr_timer", options.fr_timer),
        ("dispatcher", "list_file", f"{live}/dispatcher.list"),
        ("dispatcher", "flags", 2),
        ("dispatcher", "reload_delta", options.reload_delta),
    ]
    if options.ping_interval:
        wanted += [
            ("dispatcher", "ds_ping_interval", options.ping_interval),
            ("dispatcher", "ds_probing_mode", options.probing_mode),
            ("dispatcher", "ds_probing_threshold", options.probing_threshold),
            ("dispatcher", "ds_inactive_threshold", 1),
        ]
    if options.domain:
        wanted += [("domain", "db_url", f"text://{live}/dbtext"), ("domain", "register_myself", 0)]
    if options.rtpengine:
        wanted += [
            ("rtpengine", "db_url", f"text://{live}/dbtext"),
            ("rtpengine", "rtpengine_tout_ms", options.rtpengine_tout_ms),
        ]
    return [
        f'modparam("{module}","{name}",{value})'
        if isinstance(value, int)
        else f'modparam("{module}","{name}","{value}")'
        for module, name, value in wanted
        if value is not None
    ]
