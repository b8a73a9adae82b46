"""Limits: how much of everything. Each breach is answered by name."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Default limits. Each breach is answered by name and counted in `clarion_limit_exceeded_total{limit}`."""

    # HTTP
    head_bytes: Annotated[int, about("A request's head (bytes): 431", ge=1024)] = 32 * 1024
    headers: Annotated[int, about("Headers of a request: 431", ge=10)] = 100
    head_s: Annotated[float, about("From the first byte to the end of the head (s): 408", gt=0)] = (
        10.0
    )
    keep_alive_s: Annotated[
        float, about("Between an answer and the next request (s): closed", gt=0)
    ] = 15.0
    body_bytes: Annotated[int, about("A request's body (bytes): 413", ge=1024)] = 1 << 20
    stream_bytes: Annotated[
        int, about("A body that is read line by line, as imports are (bytes): 413", ge=1024)
    ] = 256 << 20
    line_bytes: Annotated[int, about("A line of such a body (bytes): 413", ge=256)] = 64 * 1024
    body_s: Annotated[float, about("Grace for a body before its rate counts (s): 408", gt=0)] = 5.0
    body_rate: Annotated[int, about("A body must come at least this fast (bytes/s): 408", ge=1)] = (
        1024
    )
    stall_s: Annotated[
        float, about("A peer that takes nothing of what we send (s): cut off", gt=0)
    ] = 30.0
    connections: Annotated[
        int, about("Open connections of this process, of any kind: 503", ge=10)
    ] = 20_000
    api_requests: Annotated[int, about("Requests of one caller in `api_window_s`: 429", ge=1)] = (
        6_000
    )
    api_window_s: Annotated[float, about("The window of `api_requests` (s)", gt=0)] = 60.0
    login_tries: Annotated[
        int, about("Login attempts a minute for one account from one address: 429", ge=1)
    ] = 5
    hashes_queued: Annotated[int, about("Passwords that may wait to be hashed: 503", ge=1)] = 16
    recipients: Annotated[int, about("Recipients named in one notification: 422", ge=1)] = 1_000
    stream_recipients: Annotated[
        int, about("Recipients of one trigger that come in line by line: 422", ge=1)
    ] = 100_000
    import_lines: Annotated[int, about("Lines of one import: 422", ge=1)] = 1_000_000
    import_faults: Annotated[
        int, about("Lines of one import that were not taken and are told one by one", ge=0)
    ] = 10_000
    captures: Annotated[
        int,
        about("Messages of a tenant that are kept instead of sent; the oldest are forgotten", ge=1),
    ] = 1_000
    # Real-time server
    max_payload_bytes: Annotated[
        int, about("A WebSocket message or a polling body (bytes): 1009, 413", ge=1)
    ] = 1_000_000
    fragments: Annotated[int, about("Fragments of one WebSocket message: 1009", ge=1)] = 1_024
    packets_per_payload: Annotated[
        int, about("Packets in one polling body: 400, session closed", ge=1)
    ] = 2_000
    attachments: Annotated[int, about("Binary attachments of one packet: session closed", ge=0)] = (
        10
    )
    close_s: Annotated[float, about("For the peer's close frame (s): cut off", gt=0)] = 5.0
    notice_s: Annotated[
        float,
        about(
            "After SIGTERM `/readyz` says 503, and all is served on for this (s), until balancers look elsewhere",
            ge=0,
        ),
    ] = 5.0
    drain_s: Annotated[float, about("A shutdown spreads its closes over this (s)", ge=0)] = 10.0
    handshake_s: Annotated[
        float, about("For the application to decide about a new session (s): 503", gt=0)
    ] = 10.0
    handshakes_per_s: Annotated[
        int, about("New sessions of this process a second (burst: twice): 503", ge=1)
    ] = 2_000
    pending_handshakes: Annotated[
        int, about("New sessions about which the application is still deciding: 503", ge=1)
    ] = 1_000
    handshakes_per_address: Annotated[
        int,
        about("New sessions of one address a second (burst: twice; 0: any number): 429", ge=0),
    ] = 50
    sessions_per_address: Annotated[
        int, about("Open sessions of one address (0: any number): 429", ge=0)
    ] = 1_000
    sessions_per_user: Annotated[
        int,
        about(
            "Sockets of one user in a namespace (0: any number): connect_error too_many_connections, 3505",
            ge=0,
        ),
    ] = 50
    refusals_per_address: Annotated[
        int,
        about(
            "Refused requests of one address a second (burst: twice; 0: any number): told 1-5 s late",
            ge=0,
        ),
    ] = 10
    connection_age_s: Annotated[
        float, about("A session's age, give or take a fifth (s; 0: any): 3002 aged", ge=0)
    ] = 86_400.0
    bytes_per_s: Annotated[
        int,
        about(
            "Bytes that one session may send a second (burst: 4 s; 0: any number): reading pauses",
            ge=0,
        ),
    ] = 8 << 20
    packets_per_s: Annotated[
        int,
        about(
            "Messages of one session that use up `bytes_per_s` by their number alone (0: only bytes count)",
            ge=0,
        ),
    ] = 10_000
    namespaces: Annotated[int, about("Namespaces of one session: connect_error too_many", ge=1)] = (
        10
    )
    dynamic_namespaces: Annotated[
        int, about("Namespaces that clients' wishes may make: connect_error too_many", ge=1)
    ] = 1_000
    rooms: Annotated[
        int, about("Rooms that one socket may join by command: ack too_many", ge=1)
    ] = 500
    topics: Annotated[int, about("Topics that one socket may subscribe to: ack too_many", ge=1)] = (
        128
    )
    event_name_bytes: Annotated[
        int, about("An event's name (bytes of UTF-8): ack invalid", ge=1)
    ] = 256
    name_bytes: Annotated[
        int, about("A room's or topic's name (bytes of UTF-8): ack invalid", ge=1)
    ] = 255
    events_per_s: Annotated[
        int, about("Events of one socket a second (burst: twice): ack rate_limited", ge=1)
    ] = 1_000
    events_waiting: Annotated[
        int, about("Events of one socket that wait for an async middleware: ack too_many", ge=1)
    ] = 2_000
    commands_per_s: Annotated[
        int, about("Clarion commands of one socket a second (burst: twice): ack rate_limited", ge=1)
    ] = 50
    pending_acks: Annotated[int, about("Answers that the server may await of one socket", ge=1)] = (
        1_000
    )
    egress_soft_bytes: Annotated[
        int, about("Unsent bytes above which volatile events are dropped", ge=1)
    ] = 256 * 1024
    egress_hard_bytes: Annotated[
        int, about("Unsent bytes above which a session is closed: 3008 slow", ge=1)
    ] = 4 << 20
    recovery_events: Annotated[
        int, about("Events kept for clients that may come back: the oldest is dropped", ge=1)
    ] = 20_000
    recovery_bytes: Annotated[
        int, about("Memory of these events (bytes): the oldest are dropped", ge=1)
    ] = 32 << 20
    recovery_sockets: Annotated[
        int, about("Sockets kept for clients that are away: who left first is dropped", ge=1)
    ] = 10_000
    unread_messages: Annotated[
        int,
        about(
            "Messages that wait for the handler of a raw endpoint: no more is read meanwhile", ge=1
        ),
    ] = 64
    unread_bytes: Annotated[
        int,
        about("Bytes that wait for the handler of a raw endpoint: no more is read meanwhile", ge=1),
    ] = 256 * 1024
    # Topics
    publication_bytes: Annotated[
        int, about("A publication's data (bytes of JSON): ack too_large, 413", ge=1)
    ] = 65_536
    batch: Annotated[int, about("Publications of one call: 422", ge=1)] = 1_000
    topic_keys: Annotated[int, about("Keys of a map: ack too_many, 429", ge=1)] = 10_000
    owned_s: Annotated[
        float, about("What a socket owns outlives a node that died by this (s)", gt=0)
    ] = 30.0
    recovery_publications: Annotated[
        int, about("Publications that one recovery may bring: otherwise a snapshot", ge=1)
    ] = 1_000
    position_check_s: Annotated[
        float, about("Between two comparisons of a subscriber's position with its log (s)", gt=0)
    ] = 25.0
    topic_log_size: Annotated[
        int,
        about("Publications that the log of a topic keeps, if its kind says nothing else", ge=1),
    ] = 1_000
    topic_log_age_s: Annotated[int, about("For how long (s) it keeps them; likewise", ge=1)] = 3_600
    # Workflows
    fetches: Annotated[
        int,
        about(
            "`http` steps of workflows that are under way at a time, in each process; the others wait",
            ge=1,
        ),
    ] = 64
    run_days: Annotated[
        int,
        about(
            "What has become of runs, digests and occurrences of schedules is known for so long (days; 0: for ever)",
            ge=0,
            le=36_600,
        ),
    ] = 90
    message_days: Annotated[
        int,
        about(
            "Messages of channels other than the inbox, with their attempts, are kept for so long after they were made (days; 0: for ever)",
            ge=0,
            le=36_600,
        ),
    ] = 90
    trigger_days: Annotated[
        int,
        about(
            "Triggers of which no run and no message is left, and what was done to dead letters (days; 0: for ever)",
            ge=0,
            le=36_600,
        ),
    ] = 90
    inbox_days: Annotated[
        int,
        about(
            "Messages of inboxes are kept for so long, read or not (days; 0: for ever)",
            ge=0,
            le=36_600,
        ),
    ] = 0
    inbox_log_size: Annotated[
        int, about("Changes that the log of an inbox keeps: the oldest go", ge=1)
    ] = 1_000
    inbox_log_days: Annotated[
        int, about("For how long (days) it keeps them: older ones go", ge=1, le=36_600)
    ] = 7
    stats_days: Annotated[
        int,
        about("Numbers of messages are kept for so long (days; 0: for ever)", ge=0, le=36_600),
    ] = 366
    schedules: Annotated[
        int, about("Schedules of one tenant that are active or paused: 429 too_many", ge=1)
    ] = 10_000
    schedule_interval_s: Annotated[
        int, about("Between two occurrences of a schedule at least (s): 422", ge=60)
    ] = 60
    # Preferences
    preference_bytes: Annotated[
        int, about("One person's preferences, or a deployment's (bytes of JSON): 413", ge=256)
    ] = 32_768
    push_devices: Annotated[
        int,
        about(
            "Devices of one user that take push messages: beyond, the one not heard of for longest is forgotten",
            ge=1,
            le=1_000,
        ),
    ] = 20
    # Activity
    activity_days: Annotated[
        int, about("Activities published longer ago (days; 0: none) are removed", ge=0, le=36_600)
    ] = 366
    activity_log_size: Annotated[
        int, about("Changes that the log of a stream keeps: the oldest go", ge=1)
    ] = 1_000
    activity_log_days: Annotated[
        int, about("For how long (days) it keeps them: older ones go", ge=1, le=36_600)
    ] = 7
    activity_follows: Annotated[
        int, about("Streams of activities that one user follows: 429 too_many", ge=1, le=100_000)
    ] = 2_000
    activity_written_followers: Annotated[
        int,
        about(
            "What is added to a stream with more followers is not written into their timelines but merged on reading",
            ge=0,
        ),
    ] = 10_000
    activity_away_days: Annotated[
        int,
        about(
            "The timeline of a user who has not looked for so long (days) is written no more", ge=1
        ),
    ] = 30
    activity_reactions: Annotated[
        int, about("Kinds of reactions to one activity: 429 too_many", ge=1, le=1_000)
    ] = 20
    activity_live: Annotated[
        int, about("Timelines and feeds that one process keeps true for pages: 429 too_many", ge=1)
    ] = 20_000
    # Dashboards
    dashboards: Annotated[int, about("Dashboards of one tenant: 429 too_many", ge=1)] = 1_000
    dashboard_widgets: Annotated[int, about("Widgets of one dashboard: 422", ge=1, le=400)] = 100
    dashboard_rows: Annotated[int, about("Rows of a table: ack invalid, 422", ge=1)] = 500
    # Search
    search_collections: Annotated[int, about("Collections of one tenant: 429 too_many", ge=1)] = 100
    search_documents: Annotated[
        int, about("Documents of one collection: 429 too_many", ge=1, le=2**36)
    ] = 1_000_000
    search_document_bytes: Annotated[
        int, about("A document's data (bytes of JSON): 413", ge=1, le=1 << 20)
    ] = 65_536
    search_saved: Annotated[int, about("Saved searches of one collection: 429 too_many", ge=1)] = (
        10_000
    )
    search_standing: Annotated[
        int, about("Different queries that this process keeps true: ack too_many, 429", ge=1)
    ] = 100_000
    search_standing_caller: Annotated[
        int, about("Of these, how many one caller may have begun: ack too_many, 429", ge=1)
    ] = 256
    search_unselective: Annotated[
        int,
        about(
            "Of these for one collection, how many may ask for nothing in particular: ack too_many",
            ge=0,
        ),
    ] = 1_000
    search_window_bytes: Annotated[
        int, about("Documents that a subscriber sees at once (bytes of JSON): too_costly", ge=1)
    ] = 1 << 20
    search_windows_bytes: Annotated[
        int,
        about(
            "Documents that all of these keep together (bytes of JSON; memory takes some times as many): ack too_many, 429",
            ge=1,
        ),
    ] = 128 << 20
    search_linger_s: Annotated[
        float,
        about("A query is kept true for so long (s) after its last subscriber has left", ge=0),
    ] = 60.0
    search_changes: Annotated[
        int, about("Changes that the log of a collection keeps: the oldest go", ge=1)
    ] = 10_000
    search_changes_s: Annotated[
        float, about("For how long (s) it keeps them: older ones go", gt=0)
    ] = 3_600.0
    search_s: Annotated[
        float, about("For one query, and as long for its turn (s): 422 too_costly, 503", gt=0)
    ] = 2.0
