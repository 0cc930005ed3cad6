"""What is told, what is put right, and what is only said, case by case."""

from dataclasses import replace

import pytest

from consul_kam.core.registered import (
    CRITICAL,
    PASSING,
    Check,
    ClearMaintenance,
    Deregister,
    DropCheck,
    FeedTtl,
    Forget,
    Record,
    Register,
    Row,
    Seen,
    Service,
    Wanted,
    load,
)
from consul_kam.core.registration import LONGEST, QUIET, State, Where, another_agent, leaving, reconcile
from tests.core.registration_world import (
    ASKED,
    HTTP,
    MAINTENANCE,
    SERVICE,
    TTL,
    URL,
    WANTED,
    Node,
    Paper,
    maintenance,
    right,
)

HERE = Record("lab", "host1", "sbc", "10.0.0.1", 5060)
HTTP_ONLY = replace(WANTED, ttl=0.0)
TTL_ONLY = replace(WANTED, url="")


def http(**changes: object) -> Check:
    wanted = WANTED.checks[0]
    return replace(replace(wanted, status=PASSING, output=ASKED), **changes)  # type: ignore[arg-type]


def known(**changes: object) -> Node:
    """Registered and at rest."""
    node = Node().look().look()
    assert right(node) == ""
    return node.on(**changes)


def with_check(node: Node, check: Check) -> Node:
    return node.on(agent=node.agent.with_check("host1", check))


def without_service(node: Node) -> Node:
    return node.on(agent=node.agent.without("host1"))


def kinds(node: Node) -> list[str]:
    return [type(action).__name__ for action in node.plan().actions]


def registers(node: Node) -> dict[str, object]:
    (found,) = [action for action in node.plan().actions if isinstance(action, Register)]
    return dict(found.body)


def told(node: Node) -> dict[str, dict[str, object]]:
    """The checks of a registration, by their ID."""
    checks = registers(node)["Checks"]
    assert isinstance(checks, list)
    return {check["CheckID"]: check for check in checks}


def test_what_is_told_is_the_articles_data_json_with_weight_and_meta() -> None:
    body = registers(Node(wanted=HTTP_ONLY))
    (check,) = body.pop("Checks")  # type: ignore[misc]
    assert body == {
        "ID": "host1",
        "Name": "sbc",
        "Tags": ["kamailio", "sbc"],
        "Address": "10.0.0.1",
        "Port": 5060,
        "Meta": {"zone": "a"},
        "Weights": {"Passing": 7, "Warning": 1},
        "EnableTagOverride": False,
    }
    assert check == {
        "CheckID": "service:host1",
        "Name": "consul_kam: status page",
        "Notes": f"consul_kam: GET {URL}; deregistered after 600 s critical",
        "HTTP": URL,
        "Method": "GET",
        "Interval": "10000ms",
        "Timeout": "1000ms",
        "DeregisterCriticalServiceAfter": "600000ms",
        "Status": "passing",
    }


def test_the_ttl_check_stands_beside_it() -> None:
    check = told(Node())[TTL]
    assert (check["TTL"], check["Status"], check["DeregisterCriticalServiceAfter"]) == ("15000ms", PASSING, "600000ms")
    assert list(told(Node(wanted=TTL_ONLY))) == [TTL]


@pytest.mark.parametrize(("given", "said"), [(0.00001, "1ms"), (1.2346, "1235ms"), (1.0, "1000ms")])
def test_times_are_whole_milliseconds_and_what_comes_back_is_no_difference(given: float, said: str) -> None:
    node = Node(wanted=replace(HTTP_ONLY, timeout=given))
    assert told(node)[HTTP]["Timeout"] == said
    assert node.look().plan().actions == ()


def test_not_registered_before_it_is_ready() -> None:
    plan = Node(ready=False).plan()
    assert (plan.where, plan.actions, plan.trouble) == (Where.WAITING, (), "")


def test_once_ready_it_is_registered_and_that_is_written_down_before() -> None:
    plan = Node().plan()
    assert (plan.where, plan.record, plan.after, plan.why) == (Where.REGISTERED, HERE, HERE, "it is ready")
    assert kinds(Node()) == ["Register", "FeedTtl"]
    assert right(Node().look()) == ""
    assert kinds(Node(wanted=HTTP_ONLY).look()) == []


def test_not_ready_any_more_it_stays_and_its_ttl_check_says_so_once() -> None:
    node = known(ready=False)
    assert node.plan().actions == (FeedTtl(TTL, CRITICAL),)
    assert node.plan().where is Where.REGISTERED
    assert node.look().plan().actions == ()
    assert kinds(node.by_hand(tags=("x",)).look()) == []
    assert known(ready=False, wanted=HTTP_ONLY).plan().actions == ()


def test_one_that_vanished_is_back_when_ready() -> None:
    plan = without_service(known()).plan()
    assert plan.why == "agent lab had lost it"
    assert without_service(known(ready=False)).plan().actions == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tags": ()}, "tags is none, not kamailio, sbc"),
        ({"port": 5070}, "port is 5070, not 5060"),
        ({"weight": 1}, "weight is 1, not 7"),
        ({"meta": (("zone", "b"),)}, "meta is zone=b, not zone=a"),
        ({"address": ""}, "address is none, not 10.0.0.1"),
    ],
)
def test_what_was_changed_by_hand_is_named_and_put_right(change: dict[str, object], words: str) -> None:
    node = known().by_hand(**change)
    assert node.plan().why == words
    assert right(node.look()) == ""


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (http(kind="ttl"), "is another one"),
        (http(notes="by hand"), "is another one"),
        (http(output="HTTP GET http://127.0.0.1:1/: 200 OK Output: "), "is another one"),
        (http(interval=60.0), "has other times"),
        (http(timeout=9.0), "has other times"),
    ],
)
def test_a_check_that_was_changed_begins_anew(check: Check, words: str) -> None:
    """Registered again it would keep status and output, and so be another one for ever."""
    node = with_check(known(), check)
    assert words in node.plan().why
    assert kinds(node) == ["DropCheck", "Register"]
    assert right(node.look()) == ""
    assert node.look().look().plan().why == ""


def test_a_check_that_is_missing_is_back_and_a_strangers_stays() -> None:
    node = known()
    node = node.on(agent=node.agent.without_check(HTTP).with_check("host1", Check("disk", CRITICAL, "script")))
    assert node.plan().why == f"check {HTTP} is missing"
    assert [check.id for check in node.look().agent.checks_of("host1")] == ["disk", HTTP, TTL]


def test_a_ttl_check_is_fed_three_times_in_its_life() -> None:
    node = known()
    assert [kinds(node.on(now=node.now + after)) for after in (4.9, 5.0)] == [[], ["FeedTtl"]]
    strange = with_check(node, replace(WANTED.checks[1], status=PASSING, output="HTTP GET http://x/: 200 OK"))
    assert kinds(strange) == []
    expired = with_check(node, replace(WANTED.checks[1], status=CRITICAL))
    assert kinds(expired) == ["FeedTtl"]


def test_a_check_of_an_earlier_configuration_goes() -> None:
    node = known(wanted=HTTP_ONLY)
    assert node.plan().actions == (DropCheck(TTL),)
    theirs = with_check(node.look(), Check(TTL, PASSING, "ttl", "not ours"))
    assert theirs.plan().actions == ()


def test_an_agent_that_was_started_again_need_not_ask_first() -> None:
    node = with_check(known(), http(status=CRITICAL, output=""))
    assert node.plan().actions[0] == DropCheck(HTTP)
    assert node.plan().why == "its agent has not asked its status page yet"
    assert right(node.look()) == ""


def test_but_one_that_throws_outputs_away_is_believed_the_second_time() -> None:
    """`discard_check_output`."""
    node = with_check(known(), http(status=CRITICAL, output="")).look()
    node = with_check(node, http(status=CRITICAL, output=""))
    assert node.plan().why == ""
    node = with_check(node, http()).look()
    assert with_check(node, http(status=CRITICAL, output="")).plan().why != ""


def test_where_consuls_own_check_fails_though_it_is_ready_a_new_one_begins_critical() -> None:
    node = with_check(known(), http(status=CRITICAL, output="Get: refused")).look()
    assert node.state.contradicted
    gone = without_service(node)
    assert told(gone)[HTTP]["Status"] == CRITICAL
    after = gone.look().look()
    assert after.plan().why == ""
    assert not with_check(after, http()).look().state.contradicted
    assert not gone.on(ready=False).look().state.contradicted
    assert told(without_service(known()))[HTTP]["Status"] == PASSING


def test_another_hand_again_and_again_is_no_war() -> None:
    node = known()
    for _ in range(3):
        node = node.by_hand(address="10.9.9.9")
        assert kinds(node) == ["Register"]
        node = node.look().look()
    node = node.by_hand(address="10.9.9.9")
    plan = node.plan()
    assert (plan.where, plan.actions) == (Where.CONFLICT, ())
    assert "address is 10.9.9.9, not 10.0.0.1; is there another node with this ID?" in plan.trouble
    node = node.look()
    later = node.on(now=node.now + QUIET - 1)
    assert later.plan().where is Where.CONFLICT
    once = node.on(now=node.now + QUIET).look()
    assert right(once) == ""
    again = once.look().by_hand(address="10.9.9.9").look()
    assert again.state.hold_until - again.now == 2 * QUIET
    assert right(without_service(again).look()) == ""
    forgiven = without_service(again).look().look().by_hand(tags=())
    assert right(forgiven.look()) == ""
    assert again.by_hand(address="10.0.0.1").plan().where is Where.REGISTERED


def test_holds_grow_to_an_hour_and_peace_ends_them() -> None:
    state = State(right=True, holds=9)
    held = known(state=state).by_hand(port=1).look()
    assert held.state.hold_until - held.now == LONGEST
    calm = held.by_hand(port=5060).on(now=held.state.hold_until + QUIET).look()
    assert calm.state.holds == 10
    assert calm.on(now=calm.now + 1).look().state.holds == 0


def test_changes_are_forgotten_after_a_while() -> None:
    node = known()
    for _ in range(8):
        node = node.by_hand(port=1).on(now=node.now + QUIET / 2).look().look()
    assert right(node) == ""


def test_what_another_configuration_of_ours_left_is_no_war() -> None:
    node = known(state=State()).by_hand(tags=("before",))
    assert node.look().state.changes == ()


def test_a_service_of_another_name_under_our_id_is_never_touched() -> None:
    theirs = replace(SERVICE, name="rtp", port=2223)
    for ready in (True, False):
        plan = Node(Paper(services=(theirs,)), ready=ready).plan()
        assert (plan.where, plan.actions) == (Where.CONFLICT, ())
        assert plan.trouble == (
            "cannot register host1: on agent lab that ID is service rtp at 10.0.0.1:2223; set [registration] id"
        )
    renamed = Node(Paper(services=(theirs,)), Record("lab", "host1", "rtp", "10.0.0.1", 2223))
    assert right(renamed.look()) == ""


def test_after_a_crash_and_a_new_address_the_old_place_goes_at_once_and_the_new_comes_when_ready() -> None:
    stale = replace(SERVICE, address="2001:db8::1")
    record = Record("lab", "host1", "sbc", "2001:db8::1", 5060)
    node = Node(Paper(services=(stale,)), record, ready=False)
    assert node.plan().actions == (Deregister("host1"),)
    assert node.plan().why == "[2001:db8::1]:5060 is no longer its place"
    gone = node.look()
    assert (gone.record.id, gone.record.node) == ("", "lab")
    assert right(gone.on(ready=True).look()) == ""
    assert right(node.on(ready=True).look()) == ""


def test_a_rivals_place_is_not_ours_to_take_away() -> None:
    rival = replace(SERVICE, address="10.9.9.9")
    node = Node(Paper(services=(rival,)), ready=False)
    assert (node.plan().where, node.plan().actions) == (Where.WAITING, ())
    assert leaving(WANTED, HERE, node.agent.seen("host1")) == ()


def test_the_id_that_it_had_before_goes_when_the_new_one_is_there() -> None:
    record = Record("lab", "old1", "sbc", "10.0.0.1", 5060)
    node = Node(Paper(services=(replace(SERVICE, id="old1"),)), record)
    assert kinds(node) == ["Register", "FeedTtl", "Deregister"]
    assert (node.plan().record.id, node.plan().after.id) == ("old1", "host1")
    assert right(node.look()) == ""
    assert node.on(ready=False).plan().actions == ()
    moved = replace(record, address="10.0.0.8")
    elsewhere = Node(Paper(services=(replace(SERVICE, id="old1", address="10.0.0.8"),)), moved, ready=False)
    assert elsewhere.plan().actions == (Deregister("old1"),)


def test_our_own_maintenance_is_cleared_before_it_is_ready() -> None:
    node = with_check(known(), maintenance("consul_kam: drain"))
    assert node.plan().actions[-1] == ClearMaintenance("host1")
    changed = node.by_hand(tags=())
    assert kinds(changed) == ["Register", "ClearMaintenance"]
    assert node.plan().after.maintenance is None
    assert right(node.look()) == ""
    assert kinds(node.on(ready=False)) == ["FeedTtl"]


def test_but_not_while_a_drain_is_under_way() -> None:
    drain = replace(HERE, drain="consul_kam: drain")
    for ready in (True, False):
        node = with_check(known(record=drain, ready=ready), maintenance("consul_kam: drain"))
        assert "ClearMaintenance" not in kinds(node)
        lost = without_service(node)
        check = told(lost)[MAINTENANCE]
        assert (check["Status"], check["Notes"], check["TTL"]) == (CRITICAL, "consul_kam: drain", "87600h")
    theirs = with_check(known(record=drain), maintenance("a disk is changed")).by_hand(tags=())
    assert MAINTENANCE not in told(theirs)
    without = known(record=drain)
    assert told(without)[MAINTENANCE]["Notes"] == "consul_kam: drain"
    assert not any(isinstance(action, Register) for action in without.look().plan().actions)
    assert kinds(known(record=drain, ready=False).look()) == []


def test_nobody_elses_maintenance_ever_and_it_outlives_an_agent_that_lost_it() -> None:
    node = with_check(known(), maintenance("a disk is changed"))
    assert kinds(node) == []
    node = node.look()
    assert node.record.maintenance == "a disk is changed"
    lost = without_service(node)
    assert told(lost)[MAINTENANCE]["Notes"] == "a disk is changed"
    over = node.on(agent=node.agent.without_check(MAINTENANCE)).look()
    assert over.record.maintenance is None
    assert MAINTENANCE not in told(without_service(over))


def test_a_load_balancer_that_hands_us_another_agent_makes_no_ghost() -> None:
    record = replace(HERE, node="other")
    seen = replace(Paper().seen("host1"), pinned_lives=True)
    plan = reconcile(WANTED, record, State(), seen, True, 0.0)
    assert (plan.where, plan.actions, plan.after) == (Where.ELSEWHERE, (), record)
    assert "agent lab answers, but it is registered with other, which is alive" in plan.trouble
    unknown = reconcile(WANTED, record, State(), replace(seen, pinned_lives=None), True, 0.0)
    assert "which may be alive" in unknown.trouble
    assert another_agent(record, seen)


def test_an_agent_that_is_no_more_gives_way_to_the_new_one_and_what_is_left_there_goes() -> None:
    record = replace(HERE, node="other")
    left = Paper(elsewhere=(Row("other", SERVICE),)).seen("host1")
    dead = replace(left, pinned_lives=False)
    waits = reconcile(WANTED, record, State(), dead, True, 100.0)
    assert (waits.where, waits.actions, waits.state.dead_since) == (Where.ELSEWHERE, (), 100.0)
    assert "which is dead, says Consul" in waits.trouble
    flaps = reconcile(WANTED, record, waits.state, replace(left, pinned_lives=True), True, 105.0)
    assert reconcile(WANTED, record, flaps.state, dead, True, 112.0).actions == ()
    plan = reconcile(WANTED, record, waits.state, dead, True, 110.0)
    assert plan.state.dead_since == 0.0
    assert plan.actions[0] == Forget("other", "host1")
    assert (plan.record.node, plan.after.node) == ("other", "lab")
    assert plan.why == "the agent is lab now, and was other; agent lab had lost it"
    nothing = reconcile(WANTED, record, waits.state, replace(dead, catalog=None), True, 110.0)
    assert (type(nothing.actions[0]), nothing.record.node) == (Register, "lab")


def test_an_agent_that_may_not_say_who_it_is() -> None:
    seen = Seen("", catalog=())
    plan = reconcile(WANTED, HERE, State(), seen, True, 0.0)
    assert (plan.after.node, type(plan.actions[0])) == ("lab", Register)
    assert "the agent had lost it" in plan.why


def test_what_the_catalog_lost_is_told_again_as_news_with_its_maintenance() -> None:
    """What an agent knows already it does not tell on."""
    node = with_check(known(), maintenance("a disk is changed"))
    node = node.on(agent=replace(node.agent, in_catalog=False))
    first, second = [action.body for action in node.plan().actions if isinstance(action, Register)]
    assert (first["Weights"], second["Weights"]) == ({"Passing": 7, "Warning": 2}, {"Passing": 7, "Warning": 1})
    assert [check["CheckID"] for check in second["Checks"]] == [HTTP, TTL, MAINTENANCE]
    assert [check["Notes"] for check in first["Checks"]] == [f"{each['Notes']} (again)" for each in second["Checks"]]
    assert second["Checks"][2]["Notes"] == "a disk is changed"
    assert right(node.look()) == ""


def test_what_the_catalog_lost_is_registered_again_but_not_at_each_look() -> None:
    node = known()
    lost = node.on(agent=replace(node.agent, in_catalog=False))
    assert lost.plan().why == "the catalog does not have it"
    acted, said = [], ""
    for look in range(1, 20):
        plan = lost.plan()
        acted += [look] if plan.why else []
        lost, said = lost.on(state=plan.state), plan.trouble
    assert acted == [1, 2, 4, 8, 16]
    assert said == (
        "cannot bring host1 into Consul's catalog: the catalog does not have it; the log of agent lab says why: "
        "a token without the right, or a node ID that changed under its name"
    )
    unknown = replace(lost.agent.seen("host1"), catalog=None)
    assert reconcile(WANTED, HERE, State(), unknown, True, 0.0).why == ""


def test_with_another_token_it_is_registered_again_as_news_once_and_keeps_its_maintenance() -> None:
    """The agent would go on telling the catalog with the old one, which is deleted soon."""
    node = with_check(known(), maintenance("a disk is changed"))
    turned = node.on(agent=replace(node.agent, token="b"))
    plan = turned.plan()
    assert (plan.why, plan.record.token, plan.after.token) == ("Consul's token is another one", "", "b")
    first, second = [action.body for action in plan.actions if isinstance(action, Register)]
    assert (first["Weights"]["Warning"], second["Weights"]["Warning"]) == (2, 1)
    assert [check["CheckID"] for check in second["Checks"]] == [HTTP, TTL, MAINTENANCE]
    assert not any(isinstance(action, DropCheck) for action in plan.actions)
    cut = turned.look(cut=1)
    assert cut.record.token == ""
    done = cut.look()
    assert (done.record.token, done.plan().why, right(done)) == ("b", "", "")
    again = done.on(agent=replace(done.agent, token="c")).look()
    for _ in range(5):  # it is nobody else's hand
        again = again.on(agent=replace(again.agent, token=again.record.token + "d")).look()
    assert again.plan().where is Where.REGISTERED
    assert again.state.changes == ()


def test_without_a_token_nothing_is_said_of_it() -> None:
    assert known(record=replace(known().record, token="b")).plan().why == ""
    first = Node(agent=Paper(token="a")).look()
    assert (first.record.token, first.plan().why) == ("a", "")


def test_what_was_changed_in_the_catalog_is_put_right() -> None:
    seen = known().agent.seen("host1")
    plan = reconcile(WANTED, HERE, State(), replace(seen, catalog=(Row("lab", replace(SERVICE, port=1)),)), True, 0.0)
    assert plan.why == "in the catalog port is 1, not 5060"
    agents = replace(SERVICE, address="")
    wanted = replace(WANTED, service=agents)
    same = replace(seen, service=agents, catalog=(Row("lab", replace(SERVICE, address="10.0.0.77")),))
    assert reconcile(wanted, HERE, State(), same, True, 0.0).why == ""


@pytest.mark.parametrize(
    ("place", "cure"), [("10.9.9.9", "give one of them another ID"), ("10.0.0.1", "a ghost of this one")]
)
def test_two_nodes_with_one_id_are_found_by_address_and_nobody_overwrites_anybody(place: str, cure: str) -> None:
    node = known()
    for ready in (True, False):
        twin = node.on(
            agent=replace(node.agent, elsewhere=(Row("lab2", replace(SERVICE, address=place)),)), ready=ready
        )
        plan = twin.plan()
        assert plan.where is Where.REGISTERED
        assert plan.trouble.startswith(f"cannot be the only host1: node lab2 has one at {place}:5060; {cure}")
        assert kinds(twin) == ([] if ready else ["FeedTtl"])


def test_leaving_takes_what_is_ours_whenever_it_comes() -> None:
    node, gone = known(), (Deregister("host1"), Forget("lab", "host1"))
    assert leaving(WANTED, HERE, node.agent.seen("host1")) == gone
    assert leaving(WANTED, Record(), node.agent.seen("host1")) == gone
    assert leaving(WANTED, Record(), replace(node.agent.seen("host1"), node="")) == gone[:1]
    assert leaving(WANTED, Record(), Paper().seen("host1")) == ()
    stale = Paper(services=(replace(SERVICE, address="10.0.0.8"), replace(SERVICE, id="old1")))
    assert leaving(WANTED, replace(HERE, address="10.0.0.8"), stale.seen("host1")) == gone
    old = leaving(WANTED, replace(HERE, id="old1"), stale.seen("host1", "old1"))
    assert old == (Deregister("old1"), Forget("lab", "old1"))


def test_a_record_comes_back_as_it_was_and_a_damaged_one_as_far_as_it_goes() -> None:
    whole = {"node": "lab", "id": "a", "name": "b", "address": "c", "port": 1, "maintenance": "d", "drain": "e"}
    assert load(whole | {"token": "f"}) == Record("lab", "a", "b", "c", 1, "d", "e", "f")
    assert load(whole) == Record("lab", "a", "b", "c", 1, "d", "e")
    assert load({"node": 3, "id": "a", "maintenance": None, "more": 1}) == Record(id="a")
    assert load(None) == load([]) == Record()


def test_a_place_without_an_address_is_named() -> None:
    assert Service("a", "b", port=1).at == "the address of its agent:1"
    assert Wanted(SERVICE).checks == ()


def test_another_token_is_told_to_the_agent_and_no_war_is_made_of_it() -> None:
    """Anti-entropy goes on with the token of the registration, which dies."""
    agent, record, state = known().agent, replace(HERE, token="token"), State(right=True)
    for number in range(9):
        now, seen = 20.0 * number, replace(agent.seen("host1"), token=f"token {number}")
        plan = reconcile(WANTED, record, state, seen, True, now)
        assert (plan.where, plan.why, plan.trouble) == (Where.REGISTERED, "Consul's token is another one", "")
        assert [type(action) for action in plan.actions if not isinstance(action, FeedTtl)] == [Register] * 2
        assert (plan.record.token, plan.after.token) == (record.token, f"token {number}")
        again = reconcile(WANTED, plan.record, plan.state, seen, True, now)
        assert Register in map(type, again.actions), "it failed"
        for action in plan.actions:
            agent = agent.do(action)
        seen, state, record = replace(agent.seen("host1"), token=f"token {number}"), plan.state, plan.after
        rest = reconcile(WANTED, record, state, seen, True, now)
        assert (rest.actions, rest.why) == ((), "")
    nobody = reconcile(WANTED, record, state, agent.seen("host1"), True, 180.0)
    assert (Register in map(type, nobody.actions), nobody.after.token) == (False, "token 8")


def test_who_is_not_ready_tells_it_too() -> None:
    agent, record = known().agent, replace(HERE, token="one")
    plan = reconcile(WANTED, record, State(), replace(agent.seen("host1"), token="two"), False, 5.0)
    assert [type(action) for action in plan.actions] == [Register, FeedTtl]
    assert (plan.record.token, plan.after.token, plan.where) == ("one", "two", Where.REGISTERED)
    for other, token in ((replace(record, name="another"), "two"), (record, "")):
        plan = reconcile(WANTED, other, State(), replace(agent.seen("host1"), token=token), False, 5.0)
        assert Register not in map(type, plan.actions)
