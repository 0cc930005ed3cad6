"""A drain over jsonrpcs, which puts numbers where binrpc has text: it counts the same. ctl: test_calls_real.py."""

import time
from pathlib import Path

import pytest

from consul_kam import config
from consul_kam.app.calls import KamailioCalls
from consul_kam.core.drain import Counts
from tests.integration.test_drain import refuses
from tests.integration.test_engine_transports import WAYS, laid_out
from tests.lab import Kamailio, Lab, Struct, wait_for
from tests.lab.example import EXAMPLES
from tests.lab.world import every_version

UP = 3
ROUTE = """\
request_route {
  if (is_method("OPTIONS") && $rU==$null) { sl_send_reply("200","Keepalive"); exit; }
  if (has_totag()) { loose_route(); t_relay(); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  route(DRAIN);
  record_route();
  dlg_manage();
  if (!ds_select_dst("1","4")) { sl_send_reply("404","No destination"); exit; }
  t_relay();
  exit;
}
"""
OPTIONS: dict[str, object] = {
    "modparams": f'loadmodule "dialog.so"\nloadmodule "tmx.so"\ninclude_file "{EXAMPLES}/drain.cfg"',
    "route": ROUTE,
}


def kept(lab: Lab, way: str, directory: Path) -> tuple[Kamailio, KamailioCalls]:
    """A Kamailio, and a drain's eye on it."""
    kamailio, lines = laid_out(lab, way, directory, **OPTIONS)
    lines += f'\nsip = ["udp:127.0.0.1:{kamailio.sip_port}"]'
    settings = config.parse(f'[node]\nrole = "sbc"\n[kamailio]\n{lines}\n', "test", {})
    return kamailio, KamailioCalls(settings)


def lingering(kamailio: Kamailio) -> int:
    """Transactions that are over, and kept for what comes again."""
    (stats,) = kamailio.rpc.call("tm.stats")
    assert isinstance(stats, Struct)
    return int(str(stats["waiting"]))


@every_version
@pytest.mark.parametrize("way", WAYS)
def test_calls_are_counted_refused_and_taken_again(lab: Lab, tmp_path: Path, way: str) -> None:
    kamailio, calls = kept(lab, way, tmp_path)
    callee = lab.uas()
    kamailio.list_file.write_text(f"1 {callee.uri}\n")
    kamailio.rpc.call("dispatcher.reload")
    look = calls.look(False)
    assert (look.trouble, look.gone) == ("", False)
    assert look.counts is not None
    epoch = look.counts.epoch
    assert epoch
    assert look.counts == Counts(calls=0, accepted=0, busy=0, epoch=epoch)
    sipp = lab.sipp(kamailio, 10, UP, 60_000)
    wait_for("calls", lambda: callee.calls == UP <= callee.requests["ACK"], 20)
    found = Counts(UP, UP, 0, epoch)
    wait_for("transactions that are over", lambda: calls.look(False).counts == found and lingering(kamailio), 10)
    sipp.kill9()

    assert not refuses(kamailio)
    look = calls.look(True)
    assert (look.trouble, look.counts) == ("", Counts(UP, UP, 0, epoch))
    assert refuses(kamailio)
    late = lab.sipp(kamailio, 10, 2)
    assert late.wait(20).failed == 2
    assert calls.look(True).counts == Counts(UP, UP, 0, epoch), "a refused call counts for none"
    assert calls.allow() == ""
    assert not refuses(kamailio)
    assert calls.allow() == "", "as well where there is nothing to allow"
    callee.silent = True
    sipp = lab.sipp(kamailio, 10, 1)
    wait_for("one that nobody answers", lambda: calls.look(False).counts == Counts(UP + 1, UP + 1, 1, epoch), 10)
    sipp.kill9()


@pytest.mark.parametrize("way", WAYS)
def test_who_is_away_is_gone_and_who_is_new_has_another_epoch(lab: Lab, tmp_path: Path, way: str) -> None:
    kamailio, calls = kept(lab, way, tmp_path)
    before = calls.look(False).counts
    kamailio.stop()
    look = calls.look(True)
    assert (look.counts, look.gone) == (None, True)
    assert look.trouble.startswith("cannot ")
    assert calls.allow().startswith("cannot tell Kamailio to take calls again: ")
    time.sleep(1.0)  # Kamailio says it in whole seconds
    kamailio.start()
    after = calls.look(False).counts
    assert before is not None
    assert after is not None
    assert before.epoch != after.epoch
