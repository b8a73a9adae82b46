"""`/v1/rooms`: which rooms there are, who is in them, and putting sockets into them."""

import heapq
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import Api
from clarion.api.limits import PerCaller
from clarion.api.reach import AnySocket, NamespaceName, Reach
from clarion.api.routes.emit import RoomPath
from clarion.api.routes.sockets import SocketPage, SocketQuery, page_of
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import UnknownNamespace
from clarion.realtime import Namespace, Server

_READ, _MANAGE = Right("realtime:read"), Right("realtime:manage")


class RoomQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which rooms."""

    namespace: (
        Annotated[NamespaceName, Meta(description="Where; by default Clarion's own, `/clarion`")]
        | UnsetType
    ) = UNSET
    cursor: (
        Annotated[
            str, Meta(max_length=255, description="`next` of the page before, as it was given")
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rooms of a page")] = 100


class Room(Struct, frozen=True):
    """A room, and how many are in it."""

    name: str
    sockets: int


class RoomPage(Struct, frozen=True):
    """Rooms by name; `next` is null on the last page."""

    items: list[Room]
    next: str | None


class Members(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose places in the room are meant."""

    users: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=255)]],
        Meta(max_length=1000, description="Users: all their sockets that are connected now"),
    ] = []
    sockets: Annotated[
        list[Annotated[str, Meta(max_length=64)]],
        Meta(max_length=1000, description="Ids of sockets; those that are gone are left out"),
    ] = []
    namespace: (
        Annotated[NamespaceName, Meta(description="Where; by default Clarion's own, `/clarion`")]
        | UnsetType
    ) = UNSET


class Changed(Struct, frozen=True):
    """How many sockets were meant."""

    sockets: int


def add(api: Api, io: Server) -> None:
    """Open the doors of rooms."""
    reach = Reach(io)

    @api.route("GET", "/v1/rooms", right=_READ, limit=PerCaller(), errors=(UnknownNamespace,))
    async def list_rooms(caller: Principal, query: RoomQuery) -> RoomPage:
        """List the rooms of a namespace, by name, with how many sockets of this process are in each.

        Rooms of users and of single sockets are not in it.
        """
        where = reach.namespace(query.namespace, "?namespace")
        after = "" if query.cursor is UNSET else query.cursor
        names = (name for name in reach.rooms(caller, where) if name > after)
        found = heapq.nsmallest(query.limit + 1, names)
        page = found[: query.limit]
        items = [
            Room(name, len(await reach.room(caller, where, name).fetch_sockets())) for name in page
        ]
        return RoomPage(
            [room for room in items if room.sockets], page[-1] if found != page else None
        )

    @api.route(
        "GET",
        "/v1/rooms/{room:path}/sockets",
        right=_READ,
        limit=PerCaller(),
        errors=(UnknownNamespace,),
    )
    async def list_sockets_of_room(
        caller: Principal, path: RoomPath, query: SocketQuery
    ) -> SocketPage:
        """List the sockets in a room, by id."""
        found: list[tuple[Namespace, AnySocket]] = []
        for where in reach.namespaces(query.namespace, "?namespace"):
            inside = await reach.room(caller, where, path.room).fetch_sockets()
            found += [(where, socket) for socket in inside]
        return page_of(reach, caller, found, query)

    async def members(caller: Principal, body: Members) -> list[AnySocket]:
        where = reach.namespace(body.namespace, "/namespace")
        found: dict[str, AnySocket] = {}
        for user in body.users:
            for socket in await reach.user(caller, where, user).fetch_sockets():
                found[socket.id] = socket
        for id in body.sockets:
            if (named := await reach.find(caller, [where], id)) is not None:
                found[id] = named[1]
        return list(found.values())

    @api.route(
        "POST",
        "/v1/rooms/{room:path}/join",
        right=_MANAGE,
        limit=PerCaller(),
        errors=(UnknownNamespace,),
        example=Members(users=["ann"]),
    )
    async def join_room(caller: Principal, path: RoomPath, body: Members) -> Changed:
        """Put sockets into a room.

        Of users those that are connected now: who comes later is not in it. A place in a room ends with the socket.
        """
        room = reach.room_name(caller, path.room)
        found = await members(caller, body)
        for socket in found:
            socket.join(room)
        return Changed(len(found))

    @api.route(
        "POST",
        "/v1/rooms/{room:path}/leave",
        right=_MANAGE,
        limit=PerCaller(),
        errors=(UnknownNamespace,),
        example=Members(users=["ann"]),
    )
    async def leave_room(caller: Principal, path: RoomPath, body: Members) -> Changed:
        """Take sockets out of a room, whoever put them there."""
        room = reach.room_name(caller, path.room)
        found = await members(caller, body)
        for socket in found:
            socket.leave(room)
        return Changed(len(found))
