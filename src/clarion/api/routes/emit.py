"""`/v1/…/emit` and `/v1/broadcast`: a back end sends an event to sockets.

At most once: what is not connected now does not get it, and nothing is stored. So there is no Idempotency-Key either: a call
that is repeated is a second event.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from clarion.api.layer import Api
from clarion.api.limits import PerCaller
from clarion.api.reach import NamespaceName, Reach, RoomName, invalid
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import NotFound, UnknownNamespace, UsageError
from clarion.patterns import worded
from clarion.protocol.socketio import check_event_name
from clarion.realtime import Operator, Server, Socket

_EMIT = Right("realtime:emit")


class Emit(Struct, frozen=True, forbid_unknown_fields=True):
    """An event."""

    event: Annotated[
        str,
        Meta(
            pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
            description="Its name; not one of those that mean something to Socket.IO itself, such as `disconnect`",
        ),
    ]
    args: Annotated[list[Any], Meta(description="What the client's handler is called with")] = []
    namespace: (
        Annotated[NamespaceName, Meta(description="Where; by default Clarion's own, `/clarion`")]
        | UnsetType
    ) = UNSET
    except_: Annotated[
        list[RoomName],
        Meta(
            max_length=100,
            description="Not to those in these rooms: names of rooms, ids of sockets, `user:<id>`",
        ),
    ] = field(name="except", default_factory=list)
    volatile: Annotated[
        bool, Meta(description="Whether it is dropped for those who are behind in reading")
    ] = False


class Emitted(Struct, frozen=True):
    """An event that is on its way."""

    sockets: Annotated[int, Meta(description="To how many sockets of this process")]
    durability: Annotated[
        Literal["ephemeral"],
        Meta(description="At most once: who is not connected now does not get it"),
    ] = "ephemeral"


class UserPath(Struct, frozen=True):
    """Names a user."""

    id: Annotated[str, Meta(min_length=1, max_length=255, description="The user's id")]


class RoomPath(Struct, frozen=True):
    """Names a room."""

    room: Annotated[RoomName, Meta(description="The room; a slash in it is written `%2F`")]


class SocketPath(Struct, frozen=True):
    """Names a socket."""

    id: Annotated[str, Meta(max_length=64, description="The socket's id")]


_EXAMPLE = Emit("build:finished", [{"id": 17, "passed": True}], namespace="/")


def add(api: Api, io: Server) -> None:
    """Open the doors of events."""
    reach = Reach(io)

    def send(caller: Principal, whom: Operator[Socket], body: Emit) -> Emitted:
        _check_name(body.event, io.limits.event_name_bytes)
        if body.except_:
            whom = reach.without(caller, whom, body.except_)
        if body.volatile:
            whom = whom.volatile
        return Emitted(whom.emit(body.event, *body.args))

    @api.route(
        "POST",
        "/v1/users/{id:path}/emit",
        right=_EMIT,
        takes_key=False,
        limit=PerCaller(),
        status=202,
        errors=(UnknownNamespace,),
        example=_EXAMPLE,
    )
    async def emit_to_user(caller: Principal, path: UserPath, body: Emit) -> Emitted:
        """Send an event to all sockets of a user.

        It is `ephemeral`: sent at most once, to who is connected now. For what must arrive use `POST /v1/notifications`.
        Calls are not made one by an Idempotency-Key: a repeated call is a second event.
        """
        where = reach.namespace(body.namespace, "/namespace")
        return send(caller, reach.user(caller, where, path.id), body)

    @api.route(
        "POST",
        "/v1/rooms/{room:path}/emit",
        right=_EMIT,
        takes_key=False,
        limit=PerCaller(),
        status=202,
        errors=(UnknownNamespace,),
        example=_EXAMPLE,
    )
    async def emit_to_room(caller: Principal, path: RoomPath, body: Emit) -> Emitted:
        """Send an event to everybody in a room.

        A room exists as long as somebody is in it: where nobody is, `sockets` is 0. At most once, as for a user.
        """
        where = reach.namespace(body.namespace, "/namespace")
        return send(caller, reach.room(caller, where, path.room), body)

    @api.route(
        "POST",
        "/v1/sockets/{id}/emit",
        right=_EMIT,
        takes_key=False,
        limit=PerCaller(),
        status=202,
        errors=(NotFound, UnknownNamespace),
        example=Emit("your-turn"),
    )
    async def emit_to_socket(caller: Principal, path: SocketPath, body: Emit) -> Emitted:
        """Send an event to one socket, in whatever namespace it is.

        At most once, as for a user.
        """
        where = reach.namespaces(body.namespace, "/namespace")
        namespace, socket = await reach.socket(caller, where, path.id)
        return send(caller, namespace.to(socket.id), body)

    @api.route(
        "POST",
        "/v1/broadcast",
        right=_EMIT,
        takes_key=False,
        limit=PerCaller(),
        status=202,
        errors=(UnknownNamespace,),
        example=_EXAMPLE,
    )
    async def broadcast(caller: Principal, body: Emit) -> Emitted:
        """Send an event to every socket of the caller's tenant in a namespace.

        Sockets without a credential (of a namespace that is open) are the default tenant's. At most once, as for a user.
        """
        where = reach.namespace(body.namespace, "/namespace")
        return send(caller, reach.everybody(caller, where), body)


def _check_name(event: str, most_bytes: int) -> None:
    try:
        check_event_name(event)
    except UsageError as exc:
        raise invalid("/event", exc.message) from exc
    if len(event.encode()) > most_bytes:
        raise invalid("/event", f"at most {most_bytes} bytes (limits.event_name_bytes)")
