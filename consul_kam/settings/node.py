"""The keys of everything but the lists: this node, its neighbours, and what runs beside the engine."""

from typing import Annotated, Literal

from consul_kam.settings.schema import (
    LISTEN,
    RPC,
    TEXT,
    Count,
    Deadline,
    Endpoint,
    Keys,
    Line,
    Meta,
    Name,
    Path,
    ReadFile,
    Seconds,
    Url,
    doc,
)
from consul_kam.settings.tls import Tls

Port = Annotated[int, Meta(ge=1, le=65535)]


class Node(Keys, frozen=True):
    """This node. A role makes `run` its supervisor: it keeps consul-template running and the node registered."""

    role: Annotated[
        Name,
        doc(
            "What the node is: `sbc`, `router`, or a name of yours; `rtp` is an RTPEngine, without Kamailio. "
            "None: lists only."
        ),
    ] = ""
    name: Annotated[Name, doc("Its name.", "the host's")] = ""
    state_dir: Annotated[
        Path,
        doc(
            "Where staging, releases, journal and control socket live. `$CONSUL_KAM_STATE_DIR` wins over it.",
            "/var/lib/consul_kam where that can be written, else $XDG_STATE_HOME/consul_kam",
        ),
    ] = ""
    boot_timeout: Annotated[
        Seconds, doc("How long Kamailio's first start waits for Consul before it goes on with the last known good, s.")
    ] = 10.0


class Consul(Keys, frozen=True):
    """How to reach Consul. What is not given is taken from `CONSUL_HTTP_ADDR`, `CONSUL_CACERT` and the like."""

    address: Annotated[
        str,
        Meta(pattern=TEXT),
        doc("HOST:PORT, URL or `unix:///PATH` of the agent.", "$CONSUL_HTTP_ADDR, else 127.0.0.1:8500"),
    ] = ""
    token_file: Annotated[
        ReadFile,
        doc("File that holds the ACL token.", "$CONSUL_HTTP_TOKEN_FILE; $CONSUL_HTTP_TOKEN holds the token itself"),
    ] = ""
    ca_file: Annotated[
        ReadFile, doc("Authorities that the agent's certificate is checked with (PEM).", "$CONSUL_CACERT")
    ] = ""
    cert_file: Annotated[ReadFile, doc("Our client certificate (PEM).", "$CONSUL_CLIENT_CERT")] = ""
    key_file: Annotated[ReadFile, doc("Its key (PEM).", "$CONSUL_CLIENT_KEY")] = ""
    datacenter: Annotated[Name, doc("Data centre of the sets that name none.", "the agent's own")] = ""


class ConsulTemplate(Keys, frozen=True):
    """The consul-template that stages the lists, and that `status` and `render` run once to see what would be now."""

    mode: Annotated[
        Literal["", "attach", "spawn"],
        doc(
            "`spawn`: `run` starts it, without commands, and keeps it; `attach`: it is yours.",
            "spawn with a role, else attach",
        ),
    ] = ""
    path: Annotated[Path, doc("The program.", "the consul-template in PATH")] = ""
    config: Annotated[Path, doc("With `spawn`: a configuration file of yours that it gets besides ours.")] = ""
    templates: Annotated[
        Path,
        doc(
            "Directory of the templates that you have changed, named as `templates export` names them.",
            "the shipped ones, with the sets configured here",
        ),
    ] = ""
    stale_after: Annotated[
        float,
        Meta(ge=1),
        doc("With `spawn`: how long staging may differ from what Consul says before it is restarted, s."),
    ] = 60.0


class Kamailio(Keys, frozen=True):
    """The Kamailio whose memory is kept right."""

    mode: Annotated[
        Literal["", "attach", "spawn", "none"],
        doc(
            "`attach`: systemd or another container owns it; `spawn`: `run` starts it and keeps it; `none`: there "
            "is none.",
            "none for role `rtp`, else attach",
        ),
    ] = ""
    command: Annotated[
        Annotated[list[Line], Meta(min_length=1)] | None,
        doc(
            "With `spawn`: program and arguments; `-DD -E` and the pid file (`-P`) are added. With `[env]`, `${NAME}` "
            "is the variable's value.",
            '`["kamailio", "-f", "/etc/kamailio/kamailio.cfg"]`',
        ),
    ] = None
    rpc: Annotated[
        str,
        Meta(pattern=RPC),
        doc(
            "Where its RPC interface listens: binrpc on ctl's socket (unix, tcp, udp), jsonrpcs's FIFO, jsonrpcs over "
            "HTTP (without TLS on loopback only; PATH is /RPC where there is none), or the command kamcmd.",
            "unix:/run/kamailio/kamailio_ctl, or the same below /var/run where only that is there",
        ),
    ] = ""
    rpc_reply_dir: Annotated[
        Path,
        doc("With `fifo:`: where the replies' FIFOs are made; jsonrpcs's `fifo_reply_dir` without its last slash."),
    ] = "/tmp"
    rpc_password_file: Annotated[
        Path, doc("With `http:` and `https:`: file that holds `user:password` for basic authentication, mode 0600.")
    ] = ""
    rpc_ca_file: Annotated[
        Path, doc("With `https:`: authorities that Kamailio's certificate is checked with (PEM).", "the system's")
    ] = ""
    rpc_deadline: Annotated[Deadline, doc("Longest wait for one RPC, s.")] = 5.0
    min_gap: Annotated[
        Seconds | None,
        doc("Least time between two writes to one module, s.", "the dataset's own: 0.1 s + 0.5 ms a record"),
    ] = None
    probing: Annotated[
        bool,
        doc("Whether Kamailio probes its destinations (`ds_probing_mode` 1 or 3), so that held ones may wait for it."),
    ] = False
    sip: Annotated[
        list[Endpoint] | None,
        doc("Where an OPTIONS must be answered.", "with a role, UDP at `[registration]`'s address and port; else none"),
    ] = None
    status_url: Annotated[
        Url, doc("A page of its xhttp that must answer 200.", "with a role, http://127.0.0.1:8000/status; else none")
    ] = ""
    start_timeout: Annotated[
        Deadline, doc("With `spawn`: how long a start may take, s; a resolver that is away costs 10 to 30.")
    ] = 60.0
    stop_timeout: Annotated[Deadline, doc("With `spawn`: how long it may take to end before it is killed, s.")] = 10.0
    restart_file: Annotated[
        Path,
        doc(
            "With `attach`: a file that is made where Kamailio has to be restarted; a unit of root's looks for it "
            "(examples/systemd). Without one the node is not ready, and says who must act."
        ),
    ] = ""
    tls: Tls = Tls()


class Rtpengine(Keys, frozen=True):
    """The RTPEngine of role `rtp`; it is started by its own unit."""

    ng: Annotated[Endpoint, doc("Where its NG protocol listens.")] = "udp:127.0.0.1:2223"


class Registration(Keys, frozen=True):
    """What Consul is told of this node, and kept told."""

    enabled: Annotated[bool | None, doc("Whether the node is registered.", "with a role")] = None
    name: Annotated[Name, doc("Service.", "the node's role")] = ""
    id: Annotated[Name, doc("Service ID, of which there must be one.", "the node's name")] = ""
    address: Annotated[Line, doc("Where others reach it.", "Consul uses its agent's address")] = ""
    port: Annotated[
        Port | None, doc("Its SIP port, or RTPEngine's NG port.", "5060; for role `rtp` that of `[rtpengine] ng`")
    ] = None
    tags: Annotated[
        list[Line] | None, doc("Tags.", "the role and `kamailio`; for role `rtp` the role and `rtpengine`")
    ] = None
    meta: Annotated[dict[str, Line], doc("Service meta.")] = {}
    weight: Annotated[int, Meta(ge=1, le=65535), doc("`Weights.Passing`.")] = 1
    check_url: Annotated[
        Url, doc("What Consul's agent asks whether the node is well.", "`[kamailio] status_url`; none for role `rtp`")
    ] = ""
    check_interval: Annotated[float, Meta(ge=1), doc("Seconds between two such checks.")] = 10.0
    check_timeout: Annotated[Deadline, doc("How long such a check may take, s.")] = 1.0
    deregister_after: Annotated[
        float, Meta(ge=60), doc("Consul forgets a node that was critical for so long, s; it comes back by itself.")
    ] = 600.0
    ttl: Annotated[
        Seconds | None,
        doc("A TTL check that this node feeds while it is ready, s; 0: none.", "none; 15 for role `rtp`"),
    ] = None
    every: Annotated[float, Meta(ge=0.2), doc("How often what Consul knows is compared, s.")] = 2.0


class Drain(Keys, frozen=True):
    """How a node leaves without dropping a call, see [draining](drain.md)."""

    deadline: Annotated[
        float, Meta(gt=0, le=86_400), doc("Calls that are up after so many seconds are not waited for any longer.")
    ] = 300.0
    quiet_for: Annotated[
        Seconds,
        doc(
            "Calls are accepted until none came for so long, s. Longer than `fr_timer` of whoever calls this node: it "
            "keeps the destinations that it chose at the INVITE."
        ),
    ] = 35.0
    announce_max: Annotated[Seconds, doc("Calls are accepted for so long at most, s.")] = 60.0
    reply: Annotated[
        int, Meta(ge=400, le=699), doc("Code that new calls are refused with then; callers have to fail over on it.")
    ] = 503
    on_stop: Annotated[
        Literal["", "drain", "announce", "leave"],
        doc(
            "At SIGTERM of `run`: `drain` first; `announce`: maintenance in Consul, and a Kamailio that is not ours "
            "goes on with its calls; `leave` Consul at once, which cuts calls that are up.",
            "drain where `run` started Kamailio, else announce",
        ),
    ] = ""


class Supervise(Keys, frozen=True):
    """How programs that `run` started are started again."""

    first: Annotated[
        Seconds, doc("Wait before the second restart in a row, s; it doubles. The first is immediate.")
    ] = 0.5
    longest: Annotated[Seconds, doc("Longest such wait, s.")] = 30.0
    quiet: Annotated[Seconds, doc("Who ran for so long starts with a clean sheet, s.")] = 10.0
    crash_limit: Annotated[Count, doc("More crashes than this within `crash_window` are a crash loop; 0: never.")] = 5
    crash_window: Annotated[Seconds, doc("Seconds.")] = 60.0
    on_crash_loop: Annotated[
        Literal["keep", "exit"],
        doc("`keep` tries on; `exit` ends `run` with exit code 75, so that the unit or the container starts anew."),
    ] = "keep"


class Probe(Keys, frozen=True):
    """One probe; what is left out is the probe's own, see [health](health.md)."""

    enabled: Annotated[bool | None, doc("Whether it runs.", "where it applies")] = None
    period: Annotated[
        Annotated[float, Meta(ge=0.1, le=3600)] | None, doc("Seconds between two looks.", "the probe's own")
    ] = None
    timeout: Annotated[Deadline | None, doc("How long one look may take, s.", "the probe's own")] = None
    rise: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None, doc("Good looks in a row until it is healthy.", "the probe's own")
    ] = None
    fall: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None, doc("Bad looks in a row until it is not.", "the probe's own")
    ] = None
    action: Annotated[
        Literal["none", "not-ready", "restart"] | None,
        doc("What follows: only a word, not ready, or a restart of what it looks at.", "the probe's own"),
    ] = None


class Http(Keys, frozen=True):
    """`GET /` (the status page), `/livez`, `/readyz` and `/metrics` of `consul-kam run`."""

    listen: Annotated[
        str,
        Meta(pattern=LISTEN),
        doc(
            '`HOST:PORT`, where HOST is an IP address (IPv6: `[::1]:9160`) or `localhost`; `""`: nowhere. Nobody is '
            "asked for a password: loopback."
        ),
    ] = "127.0.0.1:9160"
    token_file: Annotated[
        ReadFile,
        doc(
            "File with a token, mode 0600: who knows it may approve, pause, resume, drain, undrain on the status page.",
            "the page is read only",
        ),
    ] = ""
    cert_file: Annotated[
        ReadFile,
        doc("Certificate with its chain (PEM): HTTPS, TLS 1.2 and newer; followed while it changes.", "no TLS"),
    ] = ""
    key_file: Annotated[ReadFile, doc("Its key (PEM).", "`cert_file`, which then holds both")] = ""
