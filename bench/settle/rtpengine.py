"""An rtpengine leaves while it has calls: removed, disabled in the table, or left in with weight 0 (real rtpengine)."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.settle._media import Call, ng
from bench.settle.common import attempt, put, say
from tests.lab import Kamailio, Lab, Process, free_port, wait_for
from tests.lab.kamailio import RTPENGINE_HEADER

ROUTE = """request_route {
  if (is_method("OPTIONS") && $rU==$null) { sl_send_reply("200","Keepalive"); exit; }
  if (is_method("ACK")) { exit; }
  if (is_method("INVITE")) {
    rtpengine_offer();
    xlog("L_ERR", "SETTLE $ci offer rc=$rc node=$avp(node)\\n");
    t_on_reply("MEDIA");
  }
  if (is_method("BYE")) {
    rtpengine_delete();
    xlog("L_ERR", "SETTLE $ci delete rc=$rc node=$avp(node)\\n");
  }
  $du = "sip:127.0.0.1:%d";
  t_relay();
}
onreply_route[MEDIA] {
  if (has_body("application/sdp")) {
    rtpengine_answer();
    xlog("L_ERR", "SETTLE $ci answer rc=$rc node=$avp(node)\\n");
  }
}
"""


class Engine:
    """A real rtpengine on a free NG port."""

    def __init__(self, directory: Path, low: int) -> None:
        self.port = free_port()
        argv = [
            "rtpengine",
            "--config-file=none",
            "--table=-1",
            "--interface=127.0.0.1",
            "--foreground",
            "--log-stderr",
        ]
        argv += [f"--listen-ng=127.0.0.1:{self.port}", f"--port-min={low}", f"--port-max={low + 1998}"]
        self.process = Process([*argv, "--log-level=4", "--delete-delay=0"], directory / f"rtpengine-{self.port}.log")
        wait_for("rtpengine's pong", lambda: b"pong" in ng(self.port, b"d7:command4:pinge"), 10)

    def sessions(self) -> int:
        """Calls that it holds now."""
        return ng(self.port, b"d7:command4:list5:limiti99ee").count(b"@settle")

    def row(self, number: int, weight: int = 1, disabled: int = 0) -> str:
        return f"{number}:0:udp\\:127.0.0.1\\:{self.port}:{weight}:{disabled}:0\n"


def run(directory: Path) -> None:
    directory = directory / "engines"
    directory.mkdir()
    one, two = Engine(directory, 40_000), Engine(directory, 44_000)
    try:
        leaving = {"removed": two.row(2), "disabled=1": one.row(1, disabled=1) + two.row(2)}
        leaving |= {"weight 0": one.row(1, weight=0) + two.row(2)}
        for allow in (0, 1):
            for how, rows in leaving.items():
                with Lab(directory / f"{allow}{how}") as lab:
                    _leave(lab, one, two, allow, how, rows)
        with Lab(directory / "deaf") as lab:
            _deaf(lab, one)
    finally:
        one.process.stop(2)
        two.process.stop(2)


def _kamailio(lab: Lab, uas_port: int, allow: int) -> Kamailio:
    modparams = (
        f'modparam("rtpengine","rtpengine_allow_op",{allow})\nmodparam("rtpengine","rtp_inst_pvar","$avp(node)")'
    )
    return lab.kamailio(rtpengine=True, route=ROUTE % uas_port, modparams=modparams)


def _reload(kam: Kamailio, rows: str) -> str:
    """Wait for the window, put the table there with a newer mtime, reload; how long it took."""
    newest = int((kam.dbtext / "rtpengine").stat().st_mtime)
    put(kam.dbtext / "rtpengine", RTPENGINE_HEADER + rows, max(newest + 1, int(time.time())))
    while "try later" in (answer := attempt(kam.rpc, "rtpengine.reload")):
        time.sleep(0.05)
    return answer


def _leave(lab: Lab, one: Engine, two: Engine, allow: int, how: str, rows: str) -> None:
    kam = _kamailio(lab, (uas := free_port()), allow)
    title = f"allow_op {allow}, node {how}"
    _reload(kam, one.row(1))
    with Call(kam.sip_port, uas) as up:
        up.invite()
        up.answer()
        with up.another() as ringing, up.another() as again:
            ringing.invite()
            again.invite()
            again.answer()
            say(f"{title}: sessions on it before", one.sessions())
            _reload(kam, rows)
            say("  show all", kam.rpc.rtpengines())
            ringing.answer()
            again.invite(again=True)
            with up.another() as fresh:
                fresh.invite()
                fresh.answer()
                for name, call in (("established", up), ("ringing", ringing), ("re-INVITE", again), ("new", fresh)):
                    call.bye()
                    say(f"  {name}", _log(kam, call, one, two))
    time.sleep(0.2)
    say("  sessions left on the leaving and on the other node", (one.sessions(), two.sessions()))
    if how == "weight 0" and allow == 0:
        _reload(kam, one.row(1, weight=0))
        with Call(kam.sip_port, uas) as last:
            last.invite()
            say(
                "  a new call where all nodes of the set have weight 0",
                (_log(kam, last, one, two), kam.rpc.rtpengines()),
            )
    for left in (one, two):
        _clear(left)


def _clear(engine: Engine) -> None:
    """Delete what a scenario left behind, so that the next one counts from 0."""
    for name in set(Call.names):
        wire = f"d7:call-id{len(name)}:{name}7:command6:delete12:delete-delayi0e8:from-tag1:ae"
        ng(engine.port, wire.encode())


def _log(kam: Kamailio, call: Call, one: Engine, two: Engine) -> str:
    lines = [
        line.split(call.name, 1)[1].strip()
        for line in kam.log.read_text().splitlines()
        if f"SETTLE {call.name}" in line
    ]
    return "; ".join(lines).replace(f"127.0.0.1:{one.port}", "LEAVING").replace(f"127.0.0.1:{two.port}", "OTHER")


def _deaf(lab: Lab, one: Engine) -> None:
    """New calls while a reload pings a node that swallows everything (1 s x 5 by default)."""
    kam = _kamailio(lab, (uas := free_port()), 0)
    kam.rpc.timeout = 30
    _reload(kam, one.row(1))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole,
        Call(kam.sip_port, uas) as first,
        ThreadPoolExecutor() as pool,
    ):
        hole.bind(("127.0.0.1", 0))
        row = f"2:1:udp\\:127.0.0.1\\:{hole.getsockname()[1]}:1:0:0\n"
        began = time.monotonic()
        reloading = pool.submit(_reload, kam, one.row(1) + row)
        while not reloading.done():
            with first.another() as call:
                at = time.monotonic()
                call.invite(timeout=20)
                took = time.monotonic() - at
                if took > 0.2:
                    say("an INVITE during the reload with a deaf node waited s", round(took, 2))
            time.sleep(0.05)
        say(
            "reload with one deaf node, s (the window's wait of up to 10 s included)",
            round(time.monotonic() - began, 2),
        )
        say("  its answer, show all", (reloading.result(), kam.rpc.rtpengines()))
