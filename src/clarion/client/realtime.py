"""What both clients say to sockets: events, rooms, who is there."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from clarion.client import calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import Emitted, Room, Socket


class RealtimeCalls(Calls):
    """The part of `Client` that speaks to sockets."""

    def emit_to_user(
        self,
        user: str,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """Send an event to all sockets of a user that are connected now: at most once, nothing is stored.

        Args:
            user: The user's id.
            event: Its name.
            args: What the client's handler is called with: JSON.
            namespace: None: Clarion's own.
            except_: Not to those in these rooms: names of rooms, ids of sockets, `user:<id>`.
            volatile: Whether it is dropped for those who are behind in reading.

        Raises:
            ApiError: The server refused it, or could not be reached. Where no answer came (`status` 0) it may have been sent
                all the same: it is not tried again, for that would be a second event.
        """
        call = calls.emit(calls.place("users", user), event, args, namespace, except_, volatile)
        return self.call(call)

    def emit_to_room(
        self,
        room: str,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """Send an event to everybody in a room; as `emit_to_user`."""
        call = calls.emit(calls.place("rooms", room), event, args, namespace, except_, volatile)
        return self.call(call)

    def emit_to_socket(
        self,
        socket: str,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """Send an event to one socket, by its id; as `emit_to_user`."""
        call = calls.emit(calls.place("sockets", socket), event, args, namespace, except_, volatile)
        return self.call(call)

    def broadcast(
        self,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """Send an event to every socket of the key's tenant in a namespace; as `emit_to_user`."""
        call = calls.emit("", event, args, namespace, except_, volatile)
        return self.call(call)

    def rooms(
        self,
        namespace: str | None = None,
    ) -> list[Room]:
        """All rooms of a namespace, by name; None: Clarion's own."""
        pages = partial(calls.list_rooms, namespace)
        return list(self._each(pages))

    def sockets_of_room(
        self,
        room: str,
        namespace: str | None = None,
    ) -> list[Socket]:
        """All sockets in a room, of one namespace or of all."""
        pages = partial(calls.list_sockets, calls.place("rooms", room), namespace)
        return list(self._each(pages))

    def sockets_of_user(
        self,
        user: str,
        namespace: str | None = None,
    ) -> list[Socket]:
        """All sockets of a user, of one namespace or of all."""
        pages = partial(calls.list_sockets, calls.place("users", user), namespace)
        return list(self._each(pages))

    def join_room(
        self,
        room: str,
        *,
        users: Sequence[str] = (),
        sockets: Sequence[str] = (),
        namespace: str | None = None,
    ) -> int:
        """Put sockets into a room: of users those that are connected now. Returns how many."""
        call = calls.move(room, "join", users, sockets, namespace)
        return (self.call(call)).sockets

    def leave_room(
        self,
        room: str,
        *,
        users: Sequence[str] = (),
        sockets: Sequence[str] = (),
        namespace: str | None = None,
    ) -> int:
        """Take sockets out of a room. Returns how many."""
        call = calls.move(room, "leave", users, sockets, namespace)
        return (self.call(call)).sockets

    def disconnect_user(
        self,
        user: str,
        *,
        namespace: str | None = None,
        close: bool = False,
    ) -> int:
        """Put a user's sockets out, of one namespace or of all; with `close` end their sessions. Returns how many."""
        return (self.call(calls.disconnect_user(user, namespace, close))).sockets

    def disconnect_socket(
        self,
        socket: str,
        *,
        close: bool = False,
    ) -> None:
        """Put a socket out of its namespace; with `close` end its session."""
        self.call(calls.disconnect_socket(socket, close))


class AsyncRealtimeCalls(AsyncCalls):
    """The same as coroutines."""

    async def emit_to_user(
        self,
        user: str,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """As `RealtimeCalls.emit_to_user`."""
        call = calls.emit(calls.place("users", user), event, args, namespace, except_, volatile)
        return await self.call(call)

    async def emit_to_room(
        self,
        room: str,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """As `RealtimeCalls.emit_to_room`."""
        call = calls.emit(calls.place("rooms", room), event, args, namespace, except_, volatile)
        return await self.call(call)

    async def emit_to_socket(
        self,
        socket: str,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """As `RealtimeCalls.emit_to_socket`."""
        call = calls.emit(calls.place("sockets", socket), event, args, namespace, except_, volatile)
        return await self.call(call)

    async def broadcast(
        self,
        event: str,
        *args: Any,
        namespace: str | None = None,
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> Emitted:
        """As `RealtimeCalls.broadcast`."""
        call = calls.emit("", event, args, namespace, except_, volatile)
        return await self.call(call)

    async def rooms(
        self,
        namespace: str | None = None,
    ) -> list[Room]:
        """As `RealtimeCalls.rooms`."""
        pages = partial(calls.list_rooms, namespace)
        return [each async for each in self._each(pages)]

    async def sockets_of_room(
        self,
        room: str,
        namespace: str | None = None,
    ) -> list[Socket]:
        """As `RealtimeCalls.sockets_of_room`."""
        pages = partial(calls.list_sockets, calls.place("rooms", room), namespace)
        return [each async for each in self._each(pages)]

    async def sockets_of_user(
        self,
        user: str,
        namespace: str | None = None,
    ) -> list[Socket]:
        """As `RealtimeCalls.sockets_of_user`."""
        pages = partial(calls.list_sockets, calls.place("users", user), namespace)
        return [each async for each in self._each(pages)]

    async def join_room(
        self,
        room: str,
        *,
        users: Sequence[str] = (),
        sockets: Sequence[str] = (),
        namespace: str | None = None,
    ) -> int:
        """As `RealtimeCalls.join_room`."""
        call = calls.move(room, "join", users, sockets, namespace)
        return (await self.call(call)).sockets

    async def leave_room(
        self,
        room: str,
        *,
        users: Sequence[str] = (),
        sockets: Sequence[str] = (),
        namespace: str | None = None,
    ) -> int:
        """As `RealtimeCalls.leave_room`."""
        call = calls.move(room, "leave", users, sockets, namespace)
        return (await self.call(call)).sockets

    async def disconnect_user(
        self,
        user: str,
        *,
        namespace: str | None = None,
        close: bool = False,
    ) -> int:
        """As `RealtimeCalls.disconnect_user`."""
        return (await self.call(calls.disconnect_user(user, namespace, close))).sockets

    async def disconnect_socket(
        self,
        socket: str,
        *,
        close: bool = False,
    ) -> None:
        """As `RealtimeCalls.disconnect_socket`."""
        await self.call(calls.disconnect_socket(socket, close))
