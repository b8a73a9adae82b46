"""The Socket.IO server and its admin page."""

from typing import Annotated

from msgspec import Meta, Struct, field

from clarion.errors import SettingsError
from clarion.settings.about import about


class Realtime(Struct, frozen=True, forbid_unknown_fields=True):
    """The Socket.IO server."""

    path: Annotated[
        str, about("Path of the Socket.IO endpoint, with all below it", pattern="^/.*[^/]/?$")
    ] = "/socket.io/"
    add_trailing_slash: Annotated[
        bool, about("Whether the path ends with a slash, given or not; off: both forms are served")
    ] = True
    transports: Annotated[
        list[Annotated[str, Meta(pattern="^(polling|websocket)$")]],
        about("Transports that are served: polling, websocket", min_length=1),
    ] = field(default_factory=lambda: ["polling", "websocket"])
    allow_upgrades: Annotated[
        bool, about("Whether clients on polling are told that they may go on by WebSocket")
    ] = True
    http_compression: Annotated[
        bool, about("Whether answers on polling are compressed (gzip, deflate)")
    ] = True
    http_compression_bytes: Annotated[
        int, about("Smaller answers on polling are not compressed (bytes)", ge=0)
    ] = 1024
    serve_client: Annotated[
        bool, about("Whether the client is served: `/socket.io/socket.io.js` and its kin")
    ] = True
    namespace: Annotated[str, about("Namespace of Clarion's own commands", pattern="^/.+$")] = (
        "/clarion"
    )
    parser: Annotated[
        str,
        about(
            "Encoding of packets: json, or msgpack for clients with `socket.io-msgpack-parser`",
            pattern="^(json|msgpack)$",
        ),
    ] = "json"
    ping_interval_s: Annotated[float, about("Between two pings (s)", gt=0)] = 25.0
    ping_timeout_s: Annotated[float, about("For the pong (s)", gt=0)] = 20.0
    upgrade_timeout_s: Annotated[
        float, about("For an upgrade from polling to WebSocket (s)", gt=0)
    ] = 10.0
    connect_timeout_s: Annotated[
        float, about("A session without a namespace is closed after this (s)", gt=0)
    ] = 45.0
    cleanup_empty_namespaces: Annotated[
        bool, about("A namespace that a client's wish made goes when its last client has gone")
    ] = True
    recovery_s: Annotated[
        float,
        about("A client may be away so long (s) and come back as the same socket; 0: off", ge=0),
    ] = 0.0
    deflate: Annotated[
        bool, about("Compress WebSocket messages for clients that offer permessage-deflate")
    ] = False
    deflate_threshold_bytes: Annotated[
        int, about("Shorter messages are not compressed (bytes)", ge=0)
    ] = 1024
    deflate_window_bits: Annotated[
        int, about("How far back compression looks: 2^n bytes", ge=9, le=15)
    ] = 15
    deflate_memory_level: Annotated[
        int, about("Memory while compressing: 2^(n + 9) bytes and the window", ge=1, le=9)
    ] = 8


class AdminUi(Struct, frozen=True, forbid_unknown_fields=True):
    """Socket.IO's admin page, and the namespace that it talks to. Off unless there is a password."""

    password: Annotated[
        str, about("Password of the admin page (12 characters or more); empty: there is none")
    ] = ""
    username: Annotated[str, about("Who signs in there", min_length=1)] = "admin"
    mode: Annotated[
        str,
        about(
            "`production`: counts only; `development`: every socket, room and event, payloads included",
            pattern="^(production|development)$",
        ),
    ] = "production"
    readonly: Annotated[bool, about("Whether the page can only look")] = False
    path: Annotated[str, about("Path of the page", pattern="^/[A-Za-z0-9._~/-]+/$")] = "/admin/"
    namespace: Annotated[str, about("Namespace that the page talks to", pattern="^/.+$")] = "/admin"
    sockets: Annotated[
        int, about("Sockets that a page is shown in `development` when it connects", ge=1)
    ] = 1_000
    events_per_s: Annotated[
        int,
        about("Events a second that pages are shown in `development`: the rest is left out", ge=1),
    ] = 200


def check_password(admin: AdminUi) -> None:
    """Raise SettingsError where the admin page's password is too short; none is no page."""
    if admin.password and len(admin.password) < 12:
        raise SettingsError("admin_ui.password must have at least 12 characters")
