"""Each probe on its own, against the shipped fakes: what it asks, and what it makes of the answer."""

from typing import Any

import pytest

from consul_kam import probes
from consul_kam.config import known_probes
from consul_kam.core.fresh import DIFFERS, EQUAL, UNKNOWN, Fresh
from consul_kam.core.health import ACTIONS, LEVELS, NONE, NOT_READY, READY, RESTART, Outcome, look
from consul_kam.core.world import CONSUL_TEMPLATE, KAMAILIO, ListFacts, NodeFacts, ProcessFacts, SipReply
from consul_kam.errors import RpcFault, RpcUnreachable
from consul_kam.testing import FakeKamailio, FakeWorld

SBC = NodeFacts(
    role="sbc",
    kamailio="spawn",
    consul_template="spawn",
    sip=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"),
    status_url="http://127.0.0.1:8000/status",
    ng="udp:127.0.0.1:2223",
    lists=("dispatcher",),
)
RTP = NodeFacts(role="rtp", kamailio="none", ng="udp:127.0.0.1:2223")
LISTS_ONLY = NodeFacts(lists=("dispatcher",))
every = pytest.mark.parametrize("name", known_probes())


def found(name: str, world: FakeWorld, timeout: float = 1.0) -> Outcome:
    return look(probes.probe(name), world, timeout)


def world(**more: Any) -> FakeWorld:
    return FakeWorld(**{"node": SBC, **more})


# -- what holds for all -----------------------------------------------------------------------------------------------


def test_they_are_found_by_file_name() -> None:
    assert tuple(probes.probes()) == known_probes()
    assert set(known_probes()) == {
        "consul", "http_status", "kamailio_memory", "lists", "process", "render_age", "rpc", "rtpengine_ng",
        "sip_options",
    }  # fmt: skip
    with pytest.raises(ModuleNotFoundError):
        probes.probe("nope")


@every
def test_level_action_and_target_agree(name: str) -> None:
    one = probes.probe(name)
    assert one.level in LEVELS
    assert one.action in ACTIONS
    assert (one.action == NOT_READY) <= (one.level == READY)
    assert (one.action == NONE) <= (one.level == NONE)
    assert (one.action == RESTART) <= bool(one.target)
    assert one.target in ("", KAMAILIO, CONSUL_TEMPLATE)
    assert one.rise >= 1
    assert one.fall >= 1
    assert one.doc.endswith(".")
    assert one.applies_doc
    assert callable(one.period) == bool(one.period_doc)


@every
def test_what_nobody_answers_is_no_good_look_and_no_defect(name: str) -> None:
    kamailio = FakeKamailio()
    for method in ("core.uptime", "core.shmmem", "pkg.stats"):
        for _ in range(3):
            kamailio.fail_next(method, RpcUnreachable(f"cannot {method}: nobody is there"))
    nobody = world(kamailio=kamailio, memory=[ListFacts("dispatcher", None)], staging={"x": Fresh(UNKNOWN, "away")})
    assert found(name, nobody).ok is not True


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (SBC, set(known_probes()) - {"rtpengine_ng"}),
        (RTP, {"consul", "rtpengine_ng"}),
        (LISTS_ONLY, {"rpc", "kamailio_memory", "lists"}),
    ],
)
def test_which_run_on_which_node(node: NodeFacts, expected: set[str]) -> None:
    assert {name for name, one in probes.probes().items() if one.applies(node)} == expected


# -- rpc --------------------------------------------------------------------------------------------------------------


def test_rpc_asks_for_the_uptime() -> None:
    here = world()
    assert found("rpc", here) == Outcome(True)
    assert here.kamailio.log == [("core.uptime",)]
    here.kamailio.fail_next("core.uptime", RpcUnreachable("cannot reach unix:/x: no such file"))
    assert found("rpc", here) == Outcome(False, "cannot reach unix:/x: no such file")


# -- sip_options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, 404, 503, 603])
def test_any_final_response_is_an_answer(code: int) -> None:
    replies = dict.fromkeys(SBC.sip, SipReply(code))
    assert found("sip_options", world(sip=replies)) == Outcome(True, "", {"endpoints": 2.0, "unanswered": 0.0})


def test_stuck_workers_are_told_from_a_dead_kamailio() -> None:
    udp, tcp = SBC.sip
    here = world(sip={tcp: SipReply(200)})
    said = f"OPTIONS to {udp}: no final response within 1 s; "
    stuck = found("sip_options", here)
    assert (stuck.ok, stuck.reason) == (
        False,
        said + "RPC answers, so its SIP workers are stuck (or its script drops OPTIONS)",
    )
    assert (stuck.about, stuck.facts["unanswered"]) == (frozenset({udp}), 1.0)
    here.kamailio.fail_next("core.uptime", RpcUnreachable("cannot reach it"))
    assert found("sip_options", here).reason == said + "RPC does not answer either"


def test_without_an_endpoint_there_is_nothing_to_ask() -> None:
    assert found("sip_options", world(node=NodeFacts())).ok is False


# -- http_status, consul, rtpengine_ng --------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "ok"), [(200, True), (204, False), (302, False), (503, False)])
def test_the_status_page_must_say_200(code: int, ok: bool) -> None:
    outcome = found("http_status", world(said={SBC.status_url: code}))
    assert (outcome.ok, outcome.reason) == (ok, "" if ok else f"GET {SBC.status_url}: {code}, expected 200")


def test_consul_needs_a_leader() -> None:
    assert found("consul", world(said={"consul": "127.0.0.1:8300"})).ok is True
    assert found("consul", world(said={"consul": ""})) == Outcome(False, "Consul's agent answers, and has no leader")
    assert found("consul", world()).reason == "cannot ask consul: no answer"


def test_rtpengine_must_say_pong() -> None:
    assert found("rtpengine_ng", world(node=RTP, said={RTP.ng: "pong"})).ok is True
    other = found("rtpengine_ng", world(node=RTP, said={RTP.ng: "error"}))
    assert (other.ok, other.reason) == (False, f"ping to {RTP.ng}: 'error', expected 'pong'")


# -- process ----------------------------------------------------------------------------------------------------------

RUNS = ProcessFacts(7, alive=True, rss_bytes=1e6, cpu_s=2.0)


def test_both_programs_run() -> None:
    outcome = found("process", world(programs={KAMAILIO: RUNS, CONSUL_TEMPLATE: RUNS}))
    assert (outcome.ok, outcome.reason) == (True, "")
    assert outcome.facts == {
        "kamailio_up": 1.0, "kamailio_rss_bytes": 1e6, "kamailio_cpu_seconds": 2.0,
        "consul_template_up": 1.0, "consul_template_rss_bytes": 1e6, "consul_template_cpu_seconds": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (None, "kamailio does not run"),
        (ProcessFacts(7, alive=False), "kamailio does not run"),
        (ProcessFacts(7, alive=True, zombie=True), "kamailio is a zombie"),
        (ProcessFacts(7, alive=False, zombie=True), "kamailio is a zombie"),
    ],
)
def test_kamailios_end_is_a_bad_look(there: ProcessFacts | None, reason: str) -> None:
    programs = {CONSUL_TEMPLATE: RUNS} | ({KAMAILIO: there} if there else {})
    outcome = found("process", world(programs=programs))
    assert (outcome.ok, outcome.reason, outcome.facts["kamailio_up"]) == (False, reason, 0.0)


def test_consul_templates_end_is_a_remark() -> None:
    outcome = found("process", world(programs={KAMAILIO: RUNS}))
    assert (outcome.ok, outcome.reason) == (True, "consul-template does not run")
    assert outcome.facts["consul_template_up"] == 0.0


def test_what_is_not_ours_is_not_looked_at() -> None:
    attached = NodeFacts(role="sbc", kamailio="attach", consul_template="spawn")
    outcome = found("process", world(node=attached, programs={CONSUL_TEMPLATE: RUNS}))
    assert (outcome.ok, "kamailio_up" in outcome.facts) == (True, False)


# -- kamailio_memory: what 5.6.3 and 6.0.1 said, the figures varied ---------------------------------------------------


def memory(shm_free: str = "64383600", pkg_free: str = "7573200", pkg_used: str = "815056") -> FakeWorld:
    shm = (("total", "67108864"), ("free", shm_free), ("used", "2483560"), ("real_used", "2725264"),
           ("max_used", "2725264"), ("fragments", "1"))  # fmt: skip

    def process(entry: int, desc: str, free: str, used: str) -> tuple[tuple[str, str], ...]:
        return (("entry", str(entry)), ("pid", str(5452 + entry)), ("rank", str(entry)), ("used", "499304"),
                ("free", free), ("real_used", used), ("total_size", "8388608"), ("total_frags", "3"),
                ("desc", desc))  # fmt: skip

    main = process(0, "main process - attendant", "7573552", "0" if pkg_used == "none" else "815056")
    stats = (main, process(1, "udp receiver child=0", pkg_free, "0" if pkg_used == "none" else pkg_used))
    return world(kamailio=FakeKamailio({"core.shmmem": lambda: (shm,), "pkg.stats": lambda: stats}))


def test_memory_is_shown_by_the_process_that_has_least() -> None:
    assert found("kamailio_memory", memory()) == Outcome(
        True,
        facts={
            "shm_total_bytes": 67108864.0, "shm_free_bytes": 64383600.0,
            "pkg_total_bytes": 8388608.0, "pkg_free_bytes": 7573200.0,
        },
    )  # fmt: skip


def test_shared_memory_below_a_tenth_is_told() -> None:
    assert found("kamailio_memory", memory(shm_free="6710887")).ok is True
    outcome = found("kamailio_memory", memory(shm_free="6710886"))
    assert (outcome.ok, outcome.about) == (False, {"shared"})
    assert outcome.reason == "6.4 of 64 MiB shared memory are free: give it more by -m"


def test_a_process_below_a_tenth_is_named() -> None:
    assert found("kamailio_memory", memory(pkg_free="838861")).ok is True
    outcome = found("kamailio_memory", memory(pkg_free="838860"))
    assert (outcome.ok, outcome.about) == (False, {"own"})
    assert outcome.reason == "0.8 of 8 MiB are free in process 5453 (udp receiver child=0): give it more by -M"


def test_processes_that_did_not_report_yet_are_left_out() -> None:
    assert found("kamailio_memory", memory(pkg_free="0", pkg_used="0")).facts["pkg_free_bytes"] == 7573552.0
    outcome = found("kamailio_memory", memory(pkg_free="0", pkg_used="none"))
    assert (outcome.ok, set(outcome.facts)) == (True, {"shm_total_bytes", "shm_free_bytes"})


def test_without_kex_the_shared_memory_alone_is_looked_at() -> None:
    here = memory()
    here.kamailio.fail_next("pkg.stats", RpcFault("pkg.stats", 500, "command pkg.stats not found"))
    outcome = found("kamailio_memory", here)
    assert (outcome.ok, set(outcome.facts)) == (True, {"shm_total_bytes", "shm_free_bytes"})


@pytest.mark.parametrize("shm", [(), ("text",), ((("total", "x"), ("free", "1")),), ((("total", "1"),),)])
def test_memory_that_cannot_be_read_is_a_bad_look(shm: Any) -> None:
    here = world(kamailio=FakeKamailio({"core.shmmem": lambda: shm}))
    assert found("kamailio_memory", here).reason.startswith("cannot read the answer: ")


# -- lists ------------------------------------------------------------------------------------------------------------


def lists(*facts: ListFacts) -> Outcome:
    return found("lists", world(memory=list(facts)))


def test_every_list_must_be_in_memory() -> None:
    good = ListFacts("domain", True, "IDLE")
    assert lists(good, ListFacts("address", True, "READING")) == Outcome(True, facts={"lists": 2.0, "wrong": 0.0})
    waits = lists(good, ListFacts("dispatcher", False, "WAITING", trouble="waits for window"))
    assert waits.reason == "dispatcher: memory is not what it shall be (WAITING: waits for window)"
    assert (waits.ok, waits.about, waits.facts) == (False, {"dispatcher"}, {"lists": 2.0, "wrong": 1.0})
    assert lists(ListFacts("dispatcher", None, "READING")).reason == "dispatcher: memory is not known yet (READING)"


def test_a_list_that_is_to_be_left_alone_is_a_remark() -> None:
    outcome = lists(ListFacts("domain", False, "IDLE", halted=True))
    assert (outcome.ok, outcome.reason) == (True, "not kept right, as you said: domain")
    assert lists(ListFacts("domain", True, "IDLE", halted=True)).reason == ""


# -- render_age -------------------------------------------------------------------------------------------------------

STALE = Fresh(DIFFERS, "1 records that Consul has are not staged", ("r2",), (), "digest")


def test_records_that_are_missing_from_staging_are_named() -> None:
    outcome = found("render_age", world(staging={"dispatcher": STALE, "domain": Fresh(EQUAL)}))
    assert outcome.ok is False
    assert outcome.reason == "dispatcher: 1 records that Consul has are not staged (missing r2)"
    assert outcome.about == {"dispatcher: missing r2", "dispatcher: digest"}
    assert outcome.facts == {"lists": 2.0, "differ": 1.0}


def test_records_that_are_left_there_are_named_as_such() -> None:
    outcome = found("render_age", world(staging={"dispatcher": Fresh(DIFFERS, "1 records", (), ("r9",), "d")}))
    assert outcome.reason == "dispatcher: 1 records (left r9)"
    assert "dispatcher: left r9" in outcome.about


def test_a_difference_without_records_is_one() -> None:
    outcome = found("render_age", world(staging={"dispatcher": Fresh(DIFFERS, "nothing is staged", difference="d")}))
    assert (outcome.ok, outcome.reason, outcome.about) == (False, "dispatcher: nothing is staged", {"dispatcher: d"})


def test_equal_is_good_and_unknown_neither() -> None:
    assert found("render_age", world(staging={"dispatcher": Fresh(EQUAL)})).ok is True
    away = found("render_age", world(staging={"dispatcher": Fresh(UNKNOWN, "Consul is away"), "domain": Fresh(EQUAL)}))
    assert (away.ok, away.reason) == (None, "dispatcher: Consul is away")


def test_three_looks_fit_into_stale_after() -> None:
    one = probes.probe("render_age")
    assert callable(one.period)
    assert [one.period(NodeFacts(stale_after=seconds)) * one.fall for seconds in (61.0, 7.0, 1.0)] == [60.0, 6.0, 6.0]
