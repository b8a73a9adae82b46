"""Settings: frozen structs, one a part. Names, defaults, units and help are written here and nowhere else.

A value comes from a flag, from the environment (`CLARION_<SECTION>_<NAME>`), from `clarion.toml`, from a name of the former
system (`REDIS_HOST` …), or is the default, in this order of weight. `load` merges them and remembers where each came from.
"""

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from clarion.errors import SettingsError

Source = str
"""Where a value came from, as a person would say it: `default`, `flag --port`, `CLARION_PORT`, `clarion.toml`, `REDIS_HOST`."""


def _help(text: str, **rules: Any) -> Meta:
    return Meta(description=text, **rules)


Size = Annotated[int, Meta(ge=1)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Default limits. Each breach is answered by name and counted in `clarion_limit_exceeded_total{limit}`."""

    # HTTP
    head_bytes: Annotated[int, _help("A request's head (bytes): 431", ge=1024)] = 32 * 1024
    headers: Annotated[int, _help("Headers of a request: 431", ge=10)] = 100
    head_s: Annotated[float, _help("From the first byte to the end of the head (s): 408", gt=0)] = (
        10.0
    )
    keep_alive_s: Annotated[
        float, _help("Between an answer and the next request (s): closed", gt=0)
    ] = 15.0
    body_bytes: Annotated[int, _help("A request's body (bytes): 413", ge=1024)] = 1 << 20
    body_s: Annotated[float, _help("Grace for a body before its rate counts (s): 408", gt=0)] = 5.0
    body_rate: Annotated[int, _help("A body must come at least this fast (bytes/s): 408", ge=1)] = (
        1024
    )
    stall_s: Annotated[
        float, _help("A peer that takes nothing of what we send (s): cut off", gt=0)
    ] = 30.0
    connections: Annotated[
        int, _help("Open connections of this process, of any kind: 503", ge=10)
    ] = 20_000
    api_requests: Annotated[int, _help("Requests of one caller in `api_window_s`: 429", ge=1)] = (
        6_000
    )
    api_window_s: Annotated[float, _help("The window of `api_requests` (s)", gt=0)] = 60.0
    login_tries: Annotated[
        int, _help("Login attempts a minute for one account from one address: 429", ge=1)
    ] = 5
    hashes_queued: Annotated[int, _help("Passwords that may wait to be hashed: 503", ge=1)] = 16
    recipients: Annotated[int, _help("Recipients named in one notification: 422", ge=1)] = 1_000
    # Real-time server
    max_payload_bytes: Annotated[
        int, _help("A WebSocket message or a polling body (bytes): 1009, 413", ge=1)
    ] = 1_000_000
    fragments: Annotated[int, _help("Fragments of one WebSocket message: 1009", ge=1)] = 1_024
    packets_per_payload: Annotated[
        int, _help("Packets in one polling body: 400, session closed", ge=1)
    ] = 2_000
    attachments: Annotated[int, _help("Binary attachments of one packet: session closed", ge=0)] = (
        10
    )
    close_s: Annotated[float, _help("For the peer's close frame (s): cut off", gt=0)] = 5.0
    drain_s: Annotated[float, _help("A shutdown spreads its closes over this (s)", ge=0)] = 10.0
    handshake_s: Annotated[
        float, _help("For the application to decide about a new session (s): 503", gt=0)
    ] = 10.0
    handshakes_per_s: Annotated[
        int, _help("New sessions of this process a second (burst: twice): 503", ge=1)
    ] = 2_000
    pending_handshakes: Annotated[
        int, _help("New sessions about which the application is still deciding: 503", ge=1)
    ] = 1_000
    handshakes_per_address: Annotated[
        int,
        _help("New sessions of one address a second (burst: twice; 0: any number): 429", ge=0),
    ] = 50
    sessions_per_address: Annotated[
        int, _help("Open sessions of one address (0: any number): 429", ge=0)
    ] = 1_000
    sessions_per_user: Annotated[
        int,
        _help(
            "Sockets of one user in a namespace (0: any number): connect_error too_many_connections, 3505",
            ge=0,
        ),
    ] = 50
    refusals_per_address: Annotated[
        int,
        _help(
            "Refused requests of one address a second (burst: twice; 0: any number): told 1-5 s late",
            ge=0,
        ),
    ] = 10
    connection_age_s: Annotated[
        float, _help("A session's age, give or take a fifth (s; 0: any): 3002 aged", ge=0)
    ] = 86_400.0
    bytes_per_s: Annotated[
        int,
        _help(
            "Bytes that one session may send a second (burst: 4 s; 0: any number): reading pauses",
            ge=0,
        ),
    ] = 8 << 20
    packets_per_s: Annotated[
        int,
        _help(
            "Messages of one session that use up `bytes_per_s` by their number alone (0: only bytes count)",
            ge=0,
        ),
    ] = 10_000
    namespaces: Annotated[int, _help("Namespaces of one session: connect_error too_many", ge=1)] = (
        10
    )
    dynamic_namespaces: Annotated[
        int, _help("Namespaces that clients' wishes may make: connect_error too_many", ge=1)
    ] = 1_000
    rooms: Annotated[
        int, _help("Rooms that one socket may join by command: ack too_many", ge=1)
    ] = 500
    topics: Annotated[int, _help("Topics that one socket may subscribe to: ack too_many", ge=1)] = (
        128
    )
    event_name_bytes: Annotated[
        int, _help("An event's name (bytes of UTF-8): ack invalid", ge=1)
    ] = 256
    name_bytes: Annotated[
        int, _help("A room's or topic's name (bytes of UTF-8): ack invalid", ge=1)
    ] = 255
    events_per_s: Annotated[
        int, _help("Events of one socket a second (burst: twice): ack rate_limited", ge=1)
    ] = 1_000
    events_waiting: Annotated[
        int, _help("Events of one socket that wait for an async middleware: ack too_many", ge=1)
    ] = 2_000
    commands_per_s: Annotated[
        int, _help("Clarion commands of one socket a second (burst: twice): ack rate_limited", ge=1)
    ] = 50
    pending_acks: Annotated[int, _help("Answers that the server may await of one socket", ge=1)] = (
        1_000
    )
    egress_soft_bytes: Annotated[
        int, _help("Unsent bytes above which volatile events are dropped", ge=1)
    ] = 256 * 1024
    egress_hard_bytes: Annotated[
        int, _help("Unsent bytes above which a session is closed: 3008 slow", ge=1)
    ] = 4 << 20
    recovery_events: Annotated[
        int, _help("Events kept for clients that may come back: the oldest is dropped", ge=1)
    ] = 20_000
    recovery_bytes: Annotated[
        int, _help("Memory of these events (bytes): the oldest are dropped", ge=1)
    ] = 32 << 20
    recovery_sockets: Annotated[
        int, _help("Sockets kept for clients that are away: who left first is dropped", ge=1)
    ] = 10_000
    unread_messages: Annotated[
        int,
        _help(
            "Messages that wait for the handler of a raw endpoint: no more is read meanwhile", ge=1
        ),
    ] = 64
    unread_bytes: Annotated[
        int,
        _help("Bytes that wait for the handler of a raw endpoint: no more is read meanwhile", ge=1),
    ] = 256 * 1024
    # Topics
    publication_bytes: Annotated[
        int, _help("A publication's data (bytes of JSON): ack too_large, 413", ge=1)
    ] = 65_536
    batch: Annotated[int, _help("Publications of one call: 422", ge=1)] = 1_000
    topic_keys: Annotated[int, _help("Keys of a map: ack too_many, 429", ge=1)] = 10_000
    owned_s: Annotated[
        float, _help("What a socket owns outlives a node that died by this (s)", gt=0)
    ] = 30.0
    recovery_publications: Annotated[
        int, _help("Publications that one recovery may bring: otherwise a snapshot", ge=1)
    ] = 1_000
    position_check_s: Annotated[
        float, _help("Between two comparisons of a subscriber's position with its log (s)", gt=0)
    ] = 25.0
    topic_log_size: Annotated[
        int,
        _help("Publications that the log of a topic keeps, if its kind says nothing else", ge=1),
    ] = 1_000
    topic_log_age_s: Annotated[int, _help("For how long (s) it keeps them; likewise", ge=1)] = 3_600
    # Activity
    activity_days: Annotated[
        int, _help("Activities published longer ago (days; 0: none) are removed", ge=0, le=36_600)
    ] = 366
    activity_log_size: Annotated[
        int, _help("Changes that the log of a stream keeps: the oldest go", ge=1)
    ] = 1_000
    activity_log_days: Annotated[
        int, _help("For how long (days) it keeps them: older ones go", ge=1, le=36_600)
    ] = 7
    activity_follows: Annotated[
        int, _help("Streams of activities that one user follows: 429 too_many", ge=1, le=100_000)
    ] = 2_000
    activity_written_followers: Annotated[
        int,
        _help(
            "What is added to a stream with more followers is not written into their timelines but merged on reading",
            ge=0,
        ),
    ] = 10_000
    activity_away_days: Annotated[
        int,
        _help(
            "The timeline of a user who has not looked for so long (days) is written no more", ge=1
        ),
    ] = 30
    activity_live: Annotated[
        int, _help("Timelines that one process keeps true for pages: 429 too_many", ge=1)
    ] = 20_000
    # Dashboards
    dashboards: Annotated[int, _help("Dashboards of one tenant: 429 too_many", ge=1)] = 1_000
    dashboard_widgets: Annotated[int, _help("Widgets of one dashboard: 422", ge=1, le=400)] = 100
    dashboard_rows: Annotated[int, _help("Rows of a table: ack invalid, 422", ge=1)] = 500
    # Search
    search_collections: Annotated[int, _help("Collections of one tenant: 429 too_many", ge=1)] = 100
    search_documents: Annotated[
        int, _help("Documents of one collection: 429 too_many", ge=1, le=2**36)
    ] = 1_000_000
    search_document_bytes: Annotated[
        int, _help("A document's data (bytes of JSON): 413", ge=1, le=1 << 20)
    ] = 65_536
    search_saved: Annotated[int, _help("Saved searches of one collection: 429 too_many", ge=1)] = (
        10_000
    )
    search_standing: Annotated[
        int, _help("Different queries that this process keeps true: ack too_many, 429", ge=1)
    ] = 100_000
    search_standing_caller: Annotated[
        int, _help("Of these, how many one caller may have begun: ack too_many, 429", ge=1)
    ] = 256
    search_unselective: Annotated[
        int,
        _help(
            "Of these for one collection, how many may ask for nothing in particular: ack too_many",
            ge=0,
        ),
    ] = 1_000
    search_window_bytes: Annotated[
        int, _help("Documents that a subscriber sees at once (bytes of JSON): too_costly", ge=1)
    ] = 1 << 20
    search_windows_bytes: Annotated[
        int,
        _help(
            "Documents that all of these keep together (bytes of JSON; memory takes some times as many): ack too_many, 429",
            ge=1,
        ),
    ] = 128 << 20
    search_linger_s: Annotated[
        float,
        _help("A query is kept true for so long (s) after its last subscriber has left", ge=0),
    ] = 60.0
    search_changes: Annotated[
        int, _help("Changes that the log of a collection keeps: the oldest go", ge=1)
    ] = 10_000
    search_changes_s: Annotated[
        float, _help("For how long (s) it keeps them: older ones go", gt=0)
    ] = 3_600.0
    search_s: Annotated[
        float, _help("For one query, and as long for its turn (s): 422 too_costly, 503", gt=0)
    ] = 2.0


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may come in. With one of `jwt_secret`, `jwt_public_key`, `jwks_url` the application's own login is used, and Clarion's accounts are off."""

    jwt_secret: Annotated[
        str, _help("The application's secret for HS256 tokens (32 bytes or more)")
    ] = ""
    jwt_public_key: Annotated[
        str, _help("The application's public key (PEM) for RS256, ES256 or EdDSA tokens")
    ] = ""
    jwks_url: Annotated[str, _help("Where the application publishes its keys (https)")] = ""
    issuer: Annotated[
        str, _help("`iss` that a token must carry; needed with the application's own login")
    ] = ""
    token_secret: Annotated[
        str,
        _help(
            "Signs Clarion's own access tokens (32 bytes or more); empty: made once, in `data_dir`. Processes that form one server need the same"
        ),
    ] = ""
    audience: Annotated[str, _help("`aud` that a token must carry")] = "clarion"
    open_namespaces: Annotated[
        list[str],
        _help("Namespaces that may be joined without a token; one that is given is still checked"),
    ] = []
    leeway_s: Annotated[int, _help("How far clocks may differ (s)", ge=0, le=60)] = 30
    registration: Annotated[bool, _help("Whether people may make an account for themselves")] = True
    access_token_s: Annotated[int, _help("Life of an access token (s)", ge=10)] = 900
    refresh_token_s: Annotated[int, _help("Life of a refresh token (s)", ge=60)] = 30 * 86_400

    @property
    def is_external(self) -> bool:
        """Whether the application brings its own login."""
        return bool(self.jwt_secret or self.jwt_public_key or self.jwks_url)


class Realtime(Struct, frozen=True, forbid_unknown_fields=True):
    """The Socket.IO server."""

    path: Annotated[
        str, _help("Path of the Socket.IO endpoint, with all below it", pattern="^/.*[^/]/?$")
    ] = "/socket.io/"
    add_trailing_slash: Annotated[
        bool, _help("Whether the path ends with a slash, given or not; off: both forms are served")
    ] = True
    transports: Annotated[
        list[Annotated[str, Meta(pattern="^(polling|websocket)$")]],
        _help("Transports that are served: polling, websocket", min_length=1),
    ] = msgspec.field(default_factory=lambda: ["polling", "websocket"])
    allow_upgrades: Annotated[
        bool, _help("Whether clients on polling are told that they may go on by WebSocket")
    ] = True
    http_compression: Annotated[
        bool, _help("Whether answers on polling are compressed (gzip, deflate)")
    ] = True
    http_compression_bytes: Annotated[
        int, _help("Smaller answers on polling are not compressed (bytes)", ge=0)
    ] = 1024
    serve_client: Annotated[
        bool, _help("Whether the client is served: `/socket.io/socket.io.js` and its kin")
    ] = True
    namespace: Annotated[str, _help("Namespace of Clarion's own commands", pattern="^/.+$")] = (
        "/clarion"
    )
    parser: Annotated[
        str,
        _help(
            "Encoding of packets: json, or msgpack for clients with `socket.io-msgpack-parser`",
            pattern="^(json|msgpack)$",
        ),
    ] = "json"
    ping_interval_s: Annotated[float, _help("Between two pings (s)", gt=0)] = 25.0
    ping_timeout_s: Annotated[float, _help("For the pong (s)", gt=0)] = 20.0
    upgrade_timeout_s: Annotated[
        float, _help("For an upgrade from polling to WebSocket (s)", gt=0)
    ] = 10.0
    connect_timeout_s: Annotated[
        float, _help("A session without a namespace is closed after this (s)", gt=0)
    ] = 45.0
    cleanup_empty_namespaces: Annotated[
        bool, _help("A namespace that a client's wish made goes when its last client has gone")
    ] = True
    recovery_s: Annotated[
        float,
        _help("A client may be away so long (s) and come back as the same socket; 0: off", ge=0),
    ] = 0.0
    deflate: Annotated[
        bool, _help("Compress WebSocket messages for clients that offer permessage-deflate")
    ] = False
    deflate_threshold_bytes: Annotated[
        int, _help("Shorter messages are not compressed (bytes)", ge=0)
    ] = 1024
    deflate_window_bits: Annotated[
        int, _help("How far back compression looks: 2^n bytes", ge=9, le=15)
    ] = 15
    deflate_memory_level: Annotated[
        int, _help("Memory while compressing: 2^(n + 9) bytes and the window", ge=1, le=9)
    ] = 8


class AdminUi(Struct, frozen=True, forbid_unknown_fields=True):
    """Socket.IO's admin page, and the namespace that it talks to. Off unless there is a password."""

    password: Annotated[
        str, _help("Password of the admin page (12 characters or more); empty: there is none")
    ] = ""
    username: Annotated[str, _help("Who signs in there", min_length=1)] = "admin"
    mode: Annotated[
        str,
        _help(
            "`production`: counts only; `development`: every socket, room and event, payloads included",
            pattern="^(production|development)$",
        ),
    ] = "production"
    readonly: Annotated[bool, _help("Whether the page can only look")] = False
    path: Annotated[str, _help("Path of the page", pattern="^/[A-Za-z0-9._~/-]+/$")] = "/admin/"
    namespace: Annotated[str, _help("Namespace that the page talks to", pattern="^/.+$")] = "/admin"
    sockets: Annotated[
        int, _help("Sockets that a page is shown in `development` when it connects", ge=1)
    ] = 1_000
    events_per_s: Annotated[
        int,
        _help("Events a second that pages are shown in `development`: the rest is left out", ge=1),
    ] = 200


class Upstream(Struct, frozen=True, forbid_unknown_fields=True):
    """The application's HTTP endpoint, which handles events in whatever language it is written. Off unless there is a URL."""

    url: Annotated[str, _help("Where events are posted; empty: nowhere")] = ""
    secret: Annotated[
        str,
        _help("Signs what is posted: `whsec_` and base64, or any text of 24 characters or more"),
    ] = ""
    namespaces: Annotated[list[str], _help("Namespaces whose events go there")] = msgspec.field(
        default_factory=lambda: ["/"]
    )
    events: Annotated[
        list[str],
        _help(
            "Events that go there if no handler takes them: names, or patterns such as `order:*`; `*`: all"
        ),
    ] = msgspec.field(default_factory=lambda: ["*"])
    connect: Annotated[bool, _help("Whether it decides who may connect")] = False
    disconnect: Annotated[bool, _help("Whether it is told of disconnects")] = False
    streams: Annotated[
        list[str],
        _help(
            "Kinds of topics that are streams, about which it decides who subscribes and publishes"
        ),
    ] = []
    maps: Annotated[list[str], _help("The same for kinds that are maps")] = []
    timeout_s: Annotated[
        float, _help("For an answer, waiting included (s): ack upstream_unavailable", gt=0)
    ] = 5.0
    connections: Annotated[int, _help("Calls at the same time", ge=1)] = 8
    batch: Annotated[int, _help("Events in one call", ge=1)] = 100
    batch_bytes: Annotated[
        int, _help("Bytes of the events in one call, if it has more than one", ge=1)
    ] = 1 << 20
    waiting: Annotated[
        int, _help("Events that wait or are under way: ack upstream_unavailable", ge=1)
    ] = 10_000
    waiting_bytes: Annotated[
        int, _help("Their size as JSON (bytes): ack upstream_unavailable", ge=1)
    ] = 32 << 20
    answer_bytes: Annotated[int, _help("An answer's body (bytes)", ge=1)] = 4 << 20


class Presence(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is here: topics `presence:<room>`."""

    open: Annotated[
        list[str],
        _help(
            "Rooms that every signed-in user may watch and enter, whatever their token says: names, or patterns such as `page:*`"
        ),
    ] = []
    tick_s: Annotated[
        float, _help("Changes of a room are published together, so often (s)", ge=0.01, le=1)
    ] = 0.25
    grace_s: Annotated[
        float, _help("Who comes back so soon after a broken connection was never away (s)", ge=0)
    ] = 10.0
    lease_s: Annotated[
        float, _help("A process that has not been heard of for so long is dead (s)", gt=0)
    ] = 15.0
    full: Annotated[
        int, _help("Users of a room above which its list is no longer sent to subscribers", ge=1)
    ] = 500
    changes: Annotated[
        int, _help("Users of a room above which only their number is sent to subscribers", ge=1)
    ] = 5_000
    members: Annotated[int, _help("Users of a room: ack too_many", ge=1)] = 100_000
    rooms: Annotated[int, _help("Rooms that one socket may be in: ack too_many", ge=1)] = 128
    data_bytes: Annotated[
        int, _help("What is said of a user in a room (bytes of JSON): ack too_large", ge=64)
    ] = 4_096
    log_size: Annotated[int, _help("Publications of a room that can be recovered", ge=1)] = 1_000
    log_age_s: Annotated[int, _help("For how long (s)", ge=1)] = 3_600
    seen_s: Annotated[
        float,
        _help(
            "When users were here is written so often (s): after a kill it is known so exactly",
            ge=1,
        ),
    ] = 60.0
    seen_keep_days: Annotated[
        int, _help("For how long it is known when a user was here last (days)", ge=1)
    ] = 400
    visibility: Annotated[
        str,
        _help(
            "Who may see that a user is here, of users who have not chosen: `everyone`, `contacts`, `nobody`",
            pattern="^(everyone|contacts|nobody)$",
        ),
    ] = "everyone"
    contacts: Annotated[int, _help("Contacts of a user: 429 too_many", ge=1, le=5_000)] = 1_000
    typing_s: Annotated[
        float, _help("Who types does so for so long unless they say it again (s)", ge=0.1)
    ] = 6.0
    cursor_s: Annotated[
        float, _help("A cursor goes after so long unless it is told again (s)", ge=0.1)
    ] = 30.0
    lock_s: Annotated[
        float, _help("A lock ends after so long unless it is taken again (s)", ge=0.1)
    ] = 30.0
    signals: Annotated[
        int, _help("Cursors, locks and the like that one socket may have: ack too_many", ge=1)
    ] = 100
    signals_tick_s: Annotated[
        float,
        _help(
            "Signals of a room are published together, of each cursor the newest, so often (s)",
            ge=0,
            le=1,
        ),
    ] = 0.05


class Dashboards(Struct, frozen=True, forbid_unknown_fields=True):
    """Dashboards: topics `dashboard:<id>`."""

    conflate_s: Annotated[
        float,
        _help("What widgets are given is gathered, and written so often (s)", ge=0.05, le=60),
    ] = 0.5
    log_size: Annotated[int, _help("Publications of a dashboard that can be recovered", ge=1)] = (
        1_000
    )
    log_age_s: Annotated[int, _help("For how long (s)", ge=1)] = 3_600
    keep_s: Annotated[
        int,
        _help(
            "What a widget has is forgotten after so long without anything more (s; up to a tenth longer)",
            ge=10,
            le=366 * 86_400,
        ),
    ] = 7 * 86_400
    points_raw: Annotated[
        int, _help("Points that a chart keeps as they were given", ge=1, le=10_000)
    ] = 600
    points_10s: Annotated[
        int, _help("Points that it keeps of 10 s each (360: an hour)", ge=1, le=10_000)
    ] = 360
    points_1m: Annotated[
        int, _help("Points that it keeps of a minute each (1,440: a day)", ge=1, le=10_000)
    ] = 1_440
    lease_s: Annotated[
        float,
        _help(
            "After a process that asked sources has died, another takes over (s)", ge=0.3, le=300
        ),
    ] = 15.0
    source_timeout_s: Annotated[float, _help("For a source's answer (s)", gt=0, le=60)] = 10.0
    source_concurrency: Annotated[
        int, _help("Sources that this process asks at the same time", ge=1, le=1_000)
    ] = 32
    source_networks: Annotated[
        list[str],
        _help(
            "Networks that are not public in which sources may be (`10.1.2.0/24`); with any of them, `http://` is allowed"
        ),
    ] = []
    source_ports: Annotated[
        list[int], _help("Ports on which sources may be asked; empty: 443 and 8443")
    ] = []


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    host: Annotated[str, _help("Address to listen on")] = "127.0.0.1"
    port: Annotated[int, _help("Port to listen on; 0 takes a free one", ge=0, le=65535)] = 8000
    data_dir: Annotated[str, _help("Folder of the database, the secrets and the local socket")] = (
        "data"
    )
    database_url: Annotated[str, _help("`postgresql://…`; empty: SQLite in `data_dir`")] = ""
    redis_url: Annotated[
        str,
        _help(
            "`redis://…`, `rediss://…` or `unix:///path`: topics are kept there, and processes that share it form one server"
        ),
    ] = ""
    redis_prefix: Annotated[
        str,
        _help(
            "Before the names of all keys and channels in Redis; each server has one of its own",
            pattern="^[^{}]+$",
        ),
    ] = "clarion"
    public_url: Annotated[
        str, _help("Where people reach this server; for links, and an allowed origin")
    ] = ""
    allowed_origins: Annotated[
        list[str], _help("Further origins whose pages may call (comma-separated, or a list)")
    ] = []
    trusted_proxies: Annotated[
        list[str], _help("Addresses whose X-Forwarded-* headers are believed")
    ] = []
    log_level: Annotated[
        str, _help("debug, info, warning, error", pattern="^(debug|info|warning|error)$")
    ] = "info"
    log_json: Annotated[bool, _help("One JSON object a line")] = False
    demo: Annotated[bool, _help("Two ready accounts with random passwords; loopback only")] = False
    auth: Auth = Auth()
    realtime: Realtime = Realtime()
    admin_ui: AdminUi = AdminUi()
    upstream: Upstream = Upstream()
    presence: Presence = Presence()
    dashboards: Dashboards = Dashboards()
    limits: Limits = Limits()


class Field(Struct, frozen=True):
    """One setting: where it stands, what it is for."""

    section: str
    name: str
    type: Any
    default: Any
    help: str

    @property
    def key(self) -> str:
        """As in `clarion.toml` and in messages: `limits.body_bytes`."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def env(self) -> str:
        """As in the environment: `CLARION_LIMITS_BODY_BYTES`."""
        return "CLARION_" + self.key.replace(".", "_").upper()

    @property
    def flag(self) -> str:
        """As on the command line: `--limits.body-bytes`."""
        return "--" + self.key.replace("_", "-")

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown."""
        return self.name in {
            "jwt_secret",
            "token_secret",
            "redis_url",
            "database_url",
            "password",
            "secret",
        }


SECTIONS: Mapping[str, type[Struct]] = {
    "auth": Auth,
    "realtime": Realtime,
    "admin_ui": AdminUi,
    "upstream": Upstream,
    "presence": Presence,
    "dashboards": Dashboards,
    "limits": Limits,
}


def fields() -> Iterator[Field]:
    """Every setting, in the order of this file; sections last."""
    structs: dict[str, type[Struct]] = {"": Settings, **SECTIONS}
    for section, struct in structs.items():
        for field in msgspec.structs.fields(struct):
            if field.name in SECTIONS:
                continue
            default = (
                field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            )
            yield Field(section, field.name, _bare(field.type), default, _description(field.type))


class Loaded(Struct, frozen=True):
    """Settings with the source of each value, and what a person should be told about them at the start."""

    settings: Settings
    sources: dict[str, Source]
    notes: list[str]


def load(
    *,
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    toml: Mapping[str, Any] | None = None,
) -> Loaded:
    """Merge what was given into settings.

    Args:
        flags: By key (`limits.body_bytes`); values are text or of the setting's type.
        env: The environment.
        toml: `clarion.toml`, decoded.

    Raises:
        SettingsError: An unknown name, a value of the wrong type or out of range, or settings that do not go together;
            the message names the setting and its source.
    """
    known = {field.key: field for field in fields()}
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    notes: list[str] = []

    def put(key: str, value: Any, source: Source) -> None:
        if key not in known:
            raise SettingsError(f"{source}: there is no setting {key!r}{_nearest(key, known)}")
        values[key] = _parse(known[key], value, source)
        sources[key] = source

    env = env or {}
    for key, (value, source) in _former(env).items():
        put(key, value, source)
    former = dict(sources)
    for key, value in _flatten(toml or {}):
        put(key, value, "clarion.toml")
    by_env = {field.env: field for field in known.values()}
    for name, value in env.items():
        if not name.startswith("CLARION_") or name in _NOT_SETTINGS:
            continue
        if name not in by_env:
            raise SettingsError(f"{name}: there is no such setting{_nearest(name, by_env)}")
        put(by_env[name].key, value, name)
    for key, value in (flags or {}).items():
        put(key, value, f"flag {known[key].flag}" if key in known else "flag")
    for key, source in former.items():
        if sources[key] == source:
            notes.append(f"{known[key].key} is taken from {source}")
        else:
            notes.append(f"{known[key].key} is taken from {sources[key]}, which wins over {source}")
    settings = _build(values)
    if "*" in settings.allowed_origins:
        notes.append(
            f"allowed_origins is * (from {sources['allowed_origins']}): pages of every site may call"
        )
    _check_together(settings, sources)
    return Loaded(settings, {key: sources.get(key, "default") for key in known}, notes)


# Read by other parts of the program, not settings of the server.
_NOT_SETTINGS = frozenset(
    {
        "CLARION_TEST",
        "CLARION_CRASH_AT",
        "CLARION_CONFIG",
        "CLARION_SKIP_FRONTEND",
        "CLARION_TEST_POSTGRES",
    }
)


def _former(env: Mapping[str, str]) -> dict[str, tuple[Any, Source]]:
    """What the names of the former system say, by today's keys."""
    out: dict[str, tuple[Any, Source]] = {}
    if host := env.get("REDIS_HOST"):
        password = f":{quote(env['REDIS_PASSWORD'], safe='')}@" if env.get("REDIS_PASSWORD") else ""
        out["redis_url"] = f"redis://{password}{host}:{env.get('REDIS_PORT') or 6379}", "REDIS_HOST"
    if url := env.get("FRONTEND_URL"):
        out["public_url"] = url, "FRONTEND_URL"
    if origins := env.get("CORS_ORIGIN"):
        out["allowed_origins"] = origins, "CORS_ORIGIN"
    if window := env.get("RATE_LIMIT_WINDOW_MS"):
        if not window.isdigit():
            raise SettingsError(f"RATE_LIMIT_WINDOW_MS: {window!r} is not a number of milliseconds")
        out["limits.api_window_s"] = int(window) / 1000, "RATE_LIMIT_WINDOW_MS"
    if most := env.get("RATE_LIMIT_MAX_REQUESTS"):
        out["limits.api_requests"] = most, "RATE_LIMIT_MAX_REQUESTS"
    return out


def _flatten(toml: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in toml.items():
        if isinstance(value, Mapping):
            for inner, item in value.items():
                yield f"{name}.{inner}", item
        else:
            yield name, value


def _parse(field: Field, value: Any, source: Source) -> Any:
    if isinstance(value, str) and get_origin(field.type) is list:
        value = [item.strip() for item in value.split(",") if item.strip()]
    if (
        isinstance(value, str)
        and field.type is bool
        and value.lower() in {"yes", "on", "no", "off"}
    ):
        value = value.lower() in {"yes", "on"}
    struct = SECTIONS.get(field.section, Settings)
    annotated = next(f.type for f in msgspec.structs.fields(struct) if f.name == field.name)
    try:
        return msgspec.convert(value, annotated, strict=False)
    except msgspec.ValidationError as exc:
        shown = "the value" if field.is_secret else repr(value)
        raise SettingsError(
            f"{source}: {shown} is no good for {field.key} ({field.help}): {exc}"
        ) from exc


def _build(values: Mapping[str, Any]) -> Settings:
    top = {key: value for key, value in values.items() if "." not in key}
    for section, struct in SECTIONS.items():
        prefix = section + "."
        top[section] = struct(
            **{k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
        )
    return Settings(**top)


P = TypeVar("P", bound=Struct)


def checked(part: P | None, kind: type[P]) -> P:
    """A part that a program wrote, by the rules by which `load` judges: a struct's constructor applies none.

    Args:
        part: Such as `Realtime(path="/ws/")`; None: the defaults.
        kind: What it has to be.

    Raises:
        SettingsError: It is something else, or one of its values is no good.
    """
    if part is None:
        return kind()
    if not isinstance(part, kind):
        raise SettingsError(f"{kind.__name__}(…) is wanted here, not {part!r:.60}")
    try:
        return msgspec.convert(msgspec.to_builtins(part), kind)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"{kind.__name__}: {exc}") from exc


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _check_together(settings: Settings, sources: Mapping[str, Source]) -> None:
    auth = settings.auth
    if settings.demo and settings.host not in LOOPBACK:
        raise SettingsError(
            f"demo accounts are for loopback only, and host is {settings.host} ({sources.get('host', 'default')})"
        )
    if settings.database_url and not settings.database_url.startswith(
        ("postgresql://", "postgres://")
    ):
        raise SettingsError(
            "database_url must begin with postgresql:// (leave it empty for SQLite in data_dir)"
        )
    if sum(map(bool, (auth.jwt_secret, auth.jwt_public_key, auth.jwks_url))) > 1:
        raise SettingsError(
            "set one of auth.jwt_secret, auth.jwt_public_key and auth.jwks_url, not several"
        )
    if auth.is_external and not auth.issuer:
        raise SettingsError(
            "auth.issuer must be set with the application's own login: a token without a known issuer is refused"
        )
    if auth.is_external and settings.demo:
        raise SettingsError(
            "demo accounts need Clarion's own login: unset auth.jwt_secret, auth.jwt_public_key and auth.jwks_url"
        )
    if auth.jwt_secret and len(auth.jwt_secret.encode()) < 32:
        raise SettingsError("auth.jwt_secret must be at least 32 bytes long (RFC 7518 §3.2)")
    if auth.jwks_url and not auth.jwks_url.startswith("https://"):
        raise SettingsError("auth.jwks_url must begin with https://")
    check_password(settings.admin_ui)
    check_upstream(settings.upstream)
    if settings.admin_ui.namespace == settings.realtime.namespace:
        raise SettingsError("admin_ui.namespace and realtime.namespace must not be the same")
    if settings.limits.egress_soft_bytes > settings.limits.egress_hard_bytes:
        raise SettingsError("limits.egress_soft_bytes must not exceed limits.egress_hard_bytes")
    for origin in (
        *settings.allowed_origins,
        *([settings.public_url] if settings.public_url else []),
    ):
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise SettingsError(
                f"{origin!r} is not an origin: it must begin with http:// or https://"
            )


def check_password(admin: AdminUi) -> None:
    """Raise SettingsError where the admin page's password is too short; none is no page."""
    if admin.password and len(admin.password) < 12:
        raise SettingsError("admin_ui.password must have at least 12 characters")


def check_upstream(upstream: Upstream) -> None:
    """Raise SettingsError where the application's endpoint is no URL, or could be called by anybody."""
    if not upstream.url:
        return
    if not upstream.url.startswith(("http://", "https://")):
        raise SettingsError("upstream.url must begin with http:// or https://")
    if len(upstream.secret) < 24:
        raise SettingsError("upstream.secret must have at least 24 characters")


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]}?" if found else ""


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _description(annotation: Any) -> str:
    metas = [
        m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Meta) and m.description
    ]
    return metas[0].description or "" if metas else ""


assert not any(get_origin(f.type) in (Union, types.UnionType) for f in fields()), (
    "a setting has one type"
)
