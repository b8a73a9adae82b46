"""`/v1/sockets` and `/v1/users/{id}/sockets`: who is connected, and putting them out."""

import heapq
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import Api
from clarion.api.limits import PerCaller
from clarion.api.reach import AnySocket, NamespaceName, Reach, user_of
from clarion.api.routes.emit import SocketPath, UserPath
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.clock import as_datetime
from clarion.errors import NotFound, UnknownNamespace
from clarion.realtime import Namespace, Server

_READ, _MANAGE = Right("realtime:read"), Right("realtime:manage")

_SomeNamespace = (
    Annotated[NamespaceName, Meta(description="Only in this one; by default in all")] | UnsetType
)


class SocketInfo(Struct, frozen=True):
    """A socket of this process."""

    id: str
    namespace: str
    user: Annotated[
        str | None, Meta(description="Null: it came without a credential, or with a key")
    ]
    rooms: Annotated[list[str], Meta(description="Without those of its id and its user")]
    transport: Annotated[str, Meta(description="`polling` or `websocket`, as it is now")]
    opened_at: Annotated[datetime, Meta(description="When its session began")]


class SocketPage(Struct, frozen=True):
    """Sockets by id; `next` is null on the last page."""

    items: list[SocketInfo]
    next: str | None


class SocketQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which sockets."""

    namespace: _SomeNamespace = UNSET
    cursor: (
        Annotated[
            str, Meta(max_length=64, description="`next` of the page before, as it was given")
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=1000, description="Sockets of a page")] = 100


class Leaving(Struct, frozen=True, forbid_unknown_fields=True):
    """How to put out."""

    namespace: _SomeNamespace = UNSET
    close: Annotated[
        bool,
        Meta(description="Whether the whole session ends, with its sockets in other namespaces"),
    ] = False


class Disconnected(Struct, frozen=True):
    """How many sockets were put out."""

    sockets: int


def add(api: Api, io: Server) -> None:
    """Open the doors of sockets."""
    reach = Reach(io)

    @api.route("GET", "/v1/sockets/{id}", right=_READ, limit=PerCaller(), errors=(NotFound,))
    async def get_socket(caller: Principal, path: SocketPath) -> SocketInfo:
        """Look at a socket."""
        return _info(
            reach, caller, *await reach.socket(caller, list(io.namespaces.values()), path.id)
        )

    @api.route(
        "DELETE",
        "/v1/sockets/{id}",
        right=_MANAGE,
        limit=PerCaller(),
        status=204,
        errors=(NotFound, UnknownNamespace),
    )
    async def disconnect_socket(caller: Principal, path: SocketPath, query: Leaving) -> None:
        """Put a socket out of its namespace.

        Its client is told `io server disconnect`, after which the official one does not come back by itself. To keep
        somebody out, end their credential.
        """
        where = reach.namespaces(query.namespace, "?namespace")
        _, socket = await reach.socket(caller, where, path.id)
        socket.disconnect(close=query.close)

    @api.route(
        "GET",
        "/v1/users/{id:path}/sockets",
        right=_READ,
        limit=PerCaller(),
        errors=(UnknownNamespace,),
    )
    async def list_sockets_of_user(
        caller: Principal, path: UserPath, query: SocketQuery
    ) -> SocketPage:
        """List a user's sockets, by id."""
        found: list[tuple[Namespace, AnySocket]] = []
        for where in reach.namespaces(query.namespace, "?namespace"):
            sockets = await reach.user(caller, where, path.id).fetch_sockets()
            found += [(where, socket) for socket in sockets]
        return page_of(reach, caller, found, query)

    @api.route(
        "DELETE",
        "/v1/users/{id:path}/sockets",
        right=_MANAGE,
        limit=PerCaller(),
        errors=(UnknownNamespace,),
    )
    async def disconnect_user(caller: Principal, path: UserPath, query: Leaving) -> Disconnected:
        """Put a user's sockets out, of one namespace or of all; as `DELETE /v1/sockets/{id}`."""
        count = 0
        for where in reach.namespaces(query.namespace, "?namespace"):
            for socket in await reach.user(caller, where, path.id).fetch_sockets():
                count += socket.connected
                socket.disconnect(close=query.close)
        return Disconnected(count)


def page_of(
    reach: Reach,
    caller: Principal,
    found: Iterable[tuple[Namespace, AnySocket]],
    query: SocketQuery,
) -> SocketPage:
    """A page of sockets."""
    after = "" if query.cursor is UNSET else query.cursor
    rest = (each for each in found if each[1].id > after)
    first = heapq.nsmallest(query.limit + 1, rest, key=lambda each: each[1].id)
    items = [_info(reach, caller, *each) for each in first[: query.limit]]
    return SocketPage(items, items[-1].id if len(first) > len(items) else None)


def _info(reach: Reach, caller: Principal, where: Namespace, socket: AnySocket) -> SocketInfo:
    return SocketInfo(
        socket.id,
        where.name,
        user_of(caller, socket),
        reach.rooms_of(caller, socket),
        socket.transport,
        as_datetime(socket.handshake.issued),
    )
