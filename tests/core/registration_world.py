"""An agent of paper, as Consul 1.22 was seen to behave, and a node that keeps itself registered with it."""

from dataclasses import dataclass, replace

from consul_kam.core.registered import (
    CRITICAL,
    PASSING,
    Action,
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
)
from consul_kam.core.registration import Plan, State, reconcile

SERVICE = Service("host1", "sbc", ("kamailio", "sbc"), "10.0.0.1", 5060, (("zone", "a"),), 7)
URL = "http://127.0.0.1:8000/status"
WANTED = Wanted(SERVICE, URL, ttl=15.0)
HTTP, TTL, MAINTENANCE = WANTED.http_id, WANTED.ttl_id, WANTED.maintenance_id
UNKNOWN, BEGUN = Record(), State()
ASKED = f"HTTP GET {URL}: 200 OK Output: "


def maintenance(notes: str) -> Check:
    return Check(MAINTENANCE, CRITICAL, "maintenance", notes)


@dataclass(frozen=True)
class Paper:
    """One agent. `services` by ID, `checks` of each; `reachable`: the catalog holds what the agent holds."""

    node: str = "lab"
    services: tuple[Service, ...] = ()
    checks: tuple[tuple[str, Check], ...] = ()
    in_catalog: bool = True
    elsewhere: tuple[Row, ...] = ()
    token: str = ""
    """The mark of the one that it is asked with."""

    def get(self, id: str) -> Service | None:
        return next((service for service in self.services if service.id == id), None)

    def checks_of(self, id: str) -> tuple[Check, ...]:
        return tuple(check for owner, check in self.checks if owner == id)

    def seen(self, id: str, old: str = "") -> Seen:
        mine = self.get(id)
        rows = (Row(self.node, mine),) if mine is not None and self.in_catalog else ()
        was = self.get(old) if old and old != id else None
        return Seen(self.node, mine, self.checks_of(id), was, rows + self.elsewhere, None, self.token)

    def with_check(self, id: str, check: Check) -> "Paper":
        """As `PUT /v1/agent/check/register`."""
        kept = tuple((owner, each) for owner, each in self.checks if (owner, each.id) != (id, check.id))
        return replace(self, checks=tuple(sorted((*kept, (id, check)), key=lambda pair: (pair[0], pair[1].id))))

    def without_check(self, name: str) -> "Paper":
        return replace(self, checks=tuple(pair for pair in self.checks if pair[1].id != name))

    def without(self, id: str) -> "Paper":
        services = tuple(service for service in self.services if service.id != id)
        return replace(self, services=services, checks=tuple(pair for pair in self.checks if pair[0] != id))

    def do(self, action: Action) -> "Paper":
        match action:
            case Register(body):
                return self._register(body)
            case Deregister(id):
                return self.without(id)
            case DropCheck(name):
                return self.without_check(name)
            case ClearMaintenance(id):
                return self.without_check(f"_service_maintenance:{id}")
            case Forget(node, id):
                left = tuple(row for row in self.elsewhere if (row.node, row.service.id) != (node, id))
                return replace(self, elsewhere=left)
            case FeedTtl(name, status):
                owner, check = next(pair for pair in self.checks if pair[1].id == name)
                return self.with_check(owner, replace(check, status=status, output="fed"))

    def _register(self, body: object) -> "Paper":
        """Status and output of a check that is there stay, whatever its new definition; what the agent knows already it
        does not tell the catalog (both tried)."""
        assert isinstance(body, dict | type(Register({}).body))
        id, paper = body["ID"], self
        service = Service(
            id,
            body["Name"],
            tuple(body["Tags"]),
            body["Address"],
            body["Port"],
            tuple(body["Meta"].items()),
            body["Weights"]["Passing"],
        )
        told = self.in_catalog or body["Weights"]["Warning"] == 2 or service not in self.services
        paper = replace(paper, services=(*(each for each in paper.services if each.id != id), service), in_catalog=told)
        for given in body["Checks"]:
            there = next((check for check in self.checks_of(id) if check.id == given["CheckID"]), None)
            new = Check(
                given["CheckID"],
                there.status if there else given["Status"],
                "http" if "HTTP" in given else "ttl",
                given["Notes"],
                there.output if there else "",
                float(given.get("Interval", "0ms").removesuffix("ms")) / 1000,
                float(given.get("Timeout", "0ms").removesuffix("ms")) / 1000,
            )
            paper = paper.with_check(id, new)
        return paper


@dataclass(frozen=True)
class Node:
    """A node, its agent and the time. `record` is what is on disk."""

    agent: Paper = Paper()
    record: Record = UNKNOWN
    state: State = BEGUN
    ready: bool = True
    now: float = 1000.0
    wanted: Wanted = WANTED

    def plan(self) -> Plan:
        seen = self.agent.seen(self.wanted.service.id, self.record.id)
        return reconcile(self.wanted, self.record, self.state, seen, self.ready, self.now)

    def look(self, cut: int = -1) -> "Node":
        """One look and all that follows. `cut`: a crash after so many actions."""
        plan, agent = self.plan(), self.agent
        for index, action in enumerate(plan.actions):
            if index == cut:
                return replace(self, agent=agent, record=plan.record, state=State())
            agent = agent.do(action)
        return replace(self, agent=agent, record=plan.after, state=plan.state)

    def on(self, **changes: object) -> "Node":
        return replace(self, **changes)  # type: ignore[arg-type]

    def by_hand(self, **changes: object) -> "Node":
        """Somebody registers another thing under our ID."""
        there = self.agent.get(self.wanted.service.id)
        assert there is not None
        services = tuple(replace(s, **changes) if s is there else s for s in self.agent.services)  # type: ignore[arg-type]
        return replace(self, agent=replace(self.agent, services=services))


def right(node: Node) -> str:
    """What is wrong with a ready node at rest, said without the code's own comparison; "" when nothing is."""
    agent = node.agent
    if agent.get("host1") != node.wanted.service or len(agent.services) != 1:
        return f"registered is {agent.services}"
    checks = {check.id: check for check in agent.checks_of("host1")}
    http, ttl = checks.get(HTTP), checks.get(TTL)
    if http is None or (http.kind, http.interval, http.timeout, http.status) != ("http", 10.0, 1.0, PASSING):
        return f"the HTTP check is {http}"
    if ttl is None or (ttl.kind, ttl.status) != ("ttl", PASSING):
        return f"the TTL check is {ttl}"
    if MAINTENANCE in checks and checks[MAINTENANCE].notes.startswith("consul_kam"):
        return "our own maintenance was left"
    if not agent.in_catalog:
        return "not in the catalog"
    wanted = node.wanted.service
    if (node.record.id, node.record.name, node.record.address, node.record.port) != ("host1", "sbc", *wanted.place):
        return f"the record is {node.record}"
    return ""
