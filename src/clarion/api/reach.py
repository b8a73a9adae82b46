"""Whom a caller may reach: sockets of the caller's tenant, and nobody else's.

Names of rooms and users are put into the tenant's words here (`auth.tenants`), so that a route cannot forget to.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from clarion.auth.principal import DEFAULT_TENANT, Principal
from clarion.auth.tenants import (
    barred_from,
    is_reserved,
    own_name,
    room_of,
    rooms_of_tenant,
    user_room,
)
from clarion.errors import Fault, Invalid, NotFound, UnknownNamespace
from clarion.patterns import worded
from clarion.realtime import Namespace, Operator, RemoteSocket, Server, Socket

AnySocket = Socket | RemoteSocket
"""Of this process, or of another node."""

NamespaceName = Annotated[
    str,
    Meta(
        pattern=worded("^/", "a namespace, which begins with `/`"),
        max_length=255,
        description="A namespace, such as `/chat`",
    ),
]
RoomName = Annotated[str, Meta(min_length=1, max_length=255)]
"""A room as its tenant calls it; the id of a socket is the room of that socket alone."""


class Reach:
    """The sockets behind the doors.

    Args:
        io: Has them.
    """

    def __init__(self, io: Server) -> None:
        self._io = io

    # ── where ──
    def namespace(self, name: str | UnsetType, pointer: str) -> Namespace:
        """A namespace by its name; the home namespace where none is given.

        Raises:
            UnknownNamespace: There is none.
        """
        wanted = self._io.home if name is UNSET else name
        found = self._io.namespaces.get(wanted)
        if found is None:
            fault = Fault(pointer, "there is no such namespace")
            raise UnknownNamespace(f"{pointer}: {fault.detail}", faults=[fault])
        return found

    def namespaces(self, name: str | UnsetType, pointer: str) -> list[Namespace]:
        """The named one, or all."""
        if name is UNSET:
            return list(self._io.namespaces.values())
        return [self.namespace(name, pointer)]

    # ── whom ──
    def room_name(self, caller: Principal, room: str) -> str:
        """What the server calls a room of the caller's tenant.

        Raises:
            NotFound: Nobody but the server makes rooms of such a name.
        """
        if is_reserved(room):
            raise NotFound("no room's name begins with `user:` or contains `|`")
        return room_of(caller.tenant, room)

    def room(self, caller: Principal, where: Namespace, room: str) -> Operator[Socket]:
        """Sockets in a room of the caller's tenant; raises as `room_name`."""
        return where.to(self.room_name(caller, room)).except_(*barred_from(caller.tenant))

    def user(self, caller: Principal, where: Namespace, user: str) -> Operator[Socket]:
        """A user's sockets."""
        return where.to(user_room(caller.tenant, user))

    def everybody(self, caller: Principal, where: Namespace) -> Operator[Socket]:
        """All sockets of the caller's tenant."""
        whom = where.except_(*barred_from(caller.tenant))
        rooms = rooms_of_tenant(caller.tenant)
        return whom.to(rooms[-1]) if rooms else whom

    def without(
        self, caller: Principal, whom: Operator[Socket], names: Iterable[str]
    ) -> Operator[Socket]:
        """But not those in these rooms: names of rooms, ids of sockets, `user:<id>`."""
        tenant = caller.tenant
        return whom.except_(*names, *(room_of(tenant, name) for name in names))

    # ── what of them ──
    async def find(
        self, caller: Principal, where: Sequence[Namespace], id: str
    ) -> tuple[Namespace, AnySocket] | None:
        """The socket of an id, and its namespace; None if there is none that the caller may know of.

        Raises:
            Unavailable: It is not here, and the other nodes cannot be asked.
        """
        for namespace in where:
            own = namespace.sockets.get(id)
            if own is not None:
                return (namespace, own) if _is_of(caller.tenant, own) else None
        for namespace in where:
            for found in await namespace.in_(id).fetch_sockets():
                if found.id == id and _is_of(caller.tenant, found):
                    return namespace, found
        return None

    async def socket(
        self, caller: Principal, where: Sequence[Namespace], id: str
    ) -> tuple[Namespace, AnySocket]:
        """As `find`; raises NotFound."""
        if (found := await self.find(caller, where, id)) is None:
            raise NotFound("there is no such socket: it may have left")
        return found

    def rooms(self, caller: Principal, where: Namespace) -> Iterator[str]:
        """The names of all rooms of the caller's tenant."""
        names = (own_name(caller.tenant, room) for room in where.rooms)
        return (name for name in names if name is not None)

    def rooms_of(self, caller: Principal, socket: AnySocket) -> list[str]:
        """The rooms of a socket that have a name, without its own."""
        names = (own_name(caller.tenant, room) for room in socket.rooms if room != socket.id)
        return [name for name in names if name is not None]


def _is_of(tenant: str, socket: AnySocket) -> bool:
    """Whether it is a tenant's. Who came without a credential is the default tenant's; of another node's socket its rooms tell."""
    if isinstance(socket, RemoteSocket):
        rooms = set(socket.rooms)
        return rooms.issuperset(rooms_of_tenant(tenant)) and rooms.isdisjoint(barred_from(tenant))
    principal = socket.principal
    return tenant == (principal.tenant if isinstance(principal, Principal) else DEFAULT_TENANT)


def user_of(caller: Principal, socket: AnySocket) -> str | None:
    """Whose socket it is; None: a back end's, or nobody's."""
    if isinstance(socket, RemoteSocket):
        prefix = user_room(caller.tenant, "")
        users = (room[len(prefix) :] for room in socket.rooms if room.startswith(prefix))
        return next(users, None)
    principal = socket.principal
    if isinstance(principal, Principal):
        return principal.id if principal.kind == "user" else None
    return socket.user


def invalid(pointer: str, detail: str) -> Invalid:
    """What is wrong, and where."""
    return Invalid(f"{pointer}: {detail}", faults=[Fault(pointer, detail)])
