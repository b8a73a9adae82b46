"""The same namespace on other nodes: what they are told and asked, and what is done and answered when they tell and ask. It knows no format.

Whatever comes may be of anybody who can write to the backplane: it is validated by its format, and what still fails here is counted and logged,
never raised.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from clarion.errors import ClarionError, PeerError, ServerError, Unavailable, UsageError
from clarion.protocol.redis_adapter import (
    Acked,
    AllRooms,
    Beat,
    Broadcast,
    Counted,
    Disconnect,
    Done,
    Emitted,
    Fetch,
    Fetched,
    Join,
    Leave,
    ListedIds,
    ListIds,
    Message,
    Options,
    Rooms,
    ServerSide,
)
from clarion.realtime.backplane.base import ANSWER_S, Wire
from clarion.realtime.handlers import nobody_asked
from clarion.realtime.heartbeat import Timed, Wheel
from clarion.realtime.namespace import Namespace
from clarion.realtime.operators import Operator
from clarion.realtime.peers import Answers, Described, Selection
from clarion.realtime.remote import described
from clarion.realtime.socket import Socket
from clarion.telemetry import backplane_messages, get_logger

log = get_logger(__name__)

_MOST_S = 300.0  # for answers that another server waits for, whatever it says


class _Asked:
    """A question that is on its way to other servers."""

    def __init__(self, servers: int) -> None:
        self.servers = servers  # that have not answered
        self.clients = 0  # that will answer, as far as is known
        self.values: list[Any] = []
        self.done = asyncio.Event()

    def look(self) -> None:
        """Whether that was all."""
        if self.servers <= 0 and len(self.values) >= self.clients:
            self.done.set()


class _Relay(Timed):
    """A question of another server to sockets of this one: each answer goes back as it comes."""

    __slots__ = ("_asked", "_id", "_others", "_request", "_to")

    def __init__(self, others: "Others", to: str, request: str, id: int) -> None:
        super().__init__()
        self._others, self._to, self._request, self._id = others, to, request, id
        self._asked: list[Socket] = []

    def ask(self, sockets: Iterable[Socket], limit: int) -> int:
        """Expect the answers of these; returns how many they are."""
        self._asked = list(sockets)
        for socket in self._asked:
            socket.acks.expect(self._id, self, limit)
        return len(self._asked)

    def answered(self, args: Sequence[Any]) -> None:
        """One has answered."""
        self._others.answer(self._to, Acked(self._request, args[0] if args else None))

    def left(self) -> None:
        """One has gone: in these formats nobody can be told."""

    def on_time(self, now: float) -> None:
        """Nobody waits for answers any more."""
        for socket in self._asked:
            socket.acks.forget(self._id)


class Others:
    """See `Peers`.

    Args:
        namespace: On this node.
        wire: The way to the others.
        wheel: The server's timer.
    """

    def __init__(self, namespace: Namespace, wire: Wire, wheel: Wheel) -> None:
        self._namespace, self._hub, self._wire, self._wheel = namespace, namespace.hub, wire, wheel
        self._asked: dict[str, _Asked] = {}

    # ── telling and asking ──
    def emit(
        self,
        selection: Selection,
        event: Sequence[Any],
        *,
        is_volatile: bool = False,
        is_compressed: bool = True,
        is_one: bool = False,
    ) -> bool:
        """Send an event to their sockets."""
        compress = None if is_compressed else False
        options = _options(selection, is_volatile, compress, is_one)
        try:
            self._wire.send(Broadcast(self._wire.uid, list(event), options))
        except ServerError as exc:
            backplane_messages.labels("lost").inc()
            log.warning("others were not told of a broadcast", why=exc.message)
            return False
        return True

    async def ask(
        self,
        selection: Selection,
        event: Sequence[Any],
        timeout_s: float,
        *,
        is_one: bool = False,
    ) -> Answers:
        """Ask their sockets."""
        options = _options(selection, False, None, is_one, timeout_s * 1000)
        request = self._wire.request()
        question = Broadcast(self._wire.uid, list(event), options, request)
        asked, is_whole = await self._ask(request, question, timeout_s)
        missing = 0 if is_whole else asked.servers + max(0, asked.clients - len(asked.values))
        return Answers(asked.values, missing)

    async def fetch(self, selection: Selection) -> list[Described]:
        """Ask for their sockets."""
        request = self._wire.request()
        question = Fetch(self._wire.uid, _options(selection), request)
        asked, is_whole = await self._ask(request, question, ANSWER_S)
        if not is_whole:
            raise Unavailable("another server has not said which sockets it has")
        return asked.values

    def join(self, selection: Selection, rooms: Sequence[str]) -> None:
        """Put their sockets into rooms."""
        self._wire.send(Join(self._wire.uid, _options(selection), tuple(rooms)))

    def leave(self, selection: Selection, rooms: Sequence[str]) -> None:
        """Take their sockets out of rooms."""
        self._wire.send(Leave(self._wire.uid, _options(selection), tuple(rooms)))

    def disconnect(self, selection: Selection, *, close: bool) -> None:
        """Put their sockets out."""
        self._wire.send(Disconnect(self._wire.uid, _options(selection), close))

    def tell_servers(self, event: str, args: Sequence[Any]) -> None:
        """Have their listeners called."""
        self._wire.send(ServerSide(self._wire.uid, [event, *args]))

    async def ask_servers(self, event: str, args: Sequence[Any]) -> list[Any]:
        """Have their listeners called, and wait for what they return."""
        request = self._wire.request()
        question = ServerSide(self._wire.uid, [event, *args], request)
        asked, is_whole = await self._ask(request, question, ANSWER_S)
        if not is_whole:
            came, all_of = len(asked.values), len(asked.values) + asked.servers
            raise Unavailable(
                f"only {came} of {all_of} servers have answered", answers=asked.values
            )
        return asked.values

    async def count(self) -> int:
        """How many there are."""
        return await self._wire.count()

    async def _ask(self, request: str, question: Message, seconds: float) -> tuple[_Asked, bool]:
        asked = _Asked(await self._wire.count())
        asked.look()
        if asked.done.is_set():
            return asked, True
        self._asked[request] = asked
        try:
            self._wire.send(question)
            async with asyncio.timeout(seconds):
                await asked.done.wait()
        except TimeoutError:
            return asked, False
        finally:
            del self._asked[request]
        return asked, True

    # ── being told and asked ──
    def hear(self, message: Message) -> None:
        """Another server has said something; its format has found it right."""
        if getattr(message, "uid", "") == self._wire.uid:
            return  # the own echo
        backplane_messages.labels("heard").inc()
        self.take(message)

    def take(self, message: Message) -> None:
        """As `hear`, whoever has said it."""
        try:
            self._hear(message)
        except (PeerError, UsageError) as exc:
            backplane_messages.labels("refused").inc()
            log.warning("another server asked for what cannot be done", why=exc.message)
        except ServerError as exc:
            backplane_messages.labels("lost").inc()
            log.warning("another server cannot be answered", why=exc.message)

    def _hear(self, message: Message) -> None:
        match message:
            case Broadcast(request=None):
                name, *args = message.event
                whom = self._whom(message.options)
                if message.options.is_volatile:
                    whom = whom.volatile
                whom.compress(message.options.compress is not False).emit(name, *args)
            case Broadcast():
                self._relay(message, message.request or "")
            case Join():
                self._whom(message.options).join_here(message.rooms)
                self._done(message)
            case Leave():
                self._whom(message.options).leave_here(message.rooms)
                self._done(message)
            case Disconnect():
                self._whom(message.options).disconnect_here(close=message.close)
                self._done(message)
            case Fetch():
                found = [_describe(socket) for socket in self._whom(message.options).here()]
                self.answer(message.uid, Fetched(message.request, found, self._wire.uid))
            case ServerSide():
                self._server_side(message)
            case AllRooms():
                rooms = (*self._hub.rooms(), *self._hub.sockets)
                self.answer(message.uid, Rooms(message.request, rooms))
            case ListIds():
                sockets = self._whom(Options(message.rooms)).here()
                ids = tuple(socket.id for socket in sockets)
                self.answer(message.uid, ListedIds(message.request, ids))
            case Beat():
                pass
            case _:
                self._answered(message)

    def answer(self, to: str, message: Message) -> None:
        """Answer another server."""
        try:
            self._wire.answer(to, message)
        except ClarionError as exc:
            backplane_messages.labels("lost").inc()
            log.warning("another server cannot be answered", why=exc.message)

    def _whom(self, options: Options) -> Operator[Socket]:
        selection = Selection(options.rooms, options.excluded)
        return Operator(self._hub, selection, is_local=True)

    def _relay(self, message: Broadcast, request: str) -> None:
        hub, options = self._hub, message.options
        name, *args = message.event
        id = hub.next_ack()
        prepared = hub.prepare(name, args, id, compress=options.compress is not False)
        relay = _Relay(self, message.uid, request, id)
        sockets = list(self._whom(options).here())
        count = relay.ask(sockets, hub.limits.pending_acks)
        self.answer(message.uid, Counted(request, count, self._wire.uid))
        if sockets:
            seconds = min((options.timeout_ms or ANSWER_S * 1000) / 1000, _MOST_S)
            self._wheel.set(relay, self._wheel.now() + seconds)
        for socket in sockets:
            socket.deliver(prepared)

    def _done(self, message: Join | Leave | Disconnect) -> None:
        # Servers with an old adapter name one socket, whose own server says when it is done.
        request, rooms = message.request, message.options.rooms
        if request is not None and rooms and rooms[0] in self._hub.sockets:
            self.answer(message.uid, Done(request))

    def _server_side(self, message: ServerSide) -> None:
        name, *args = message.event
        request = message.request

        def reply(*answer: Any) -> None:
            value = answer[0] if answer else None
            self.answer(message.uid, Emitted(request or "", value, self._wire.uid))

        told = nobody_asked if request is None else reply
        self._namespace.server_side.heard(str(name), args, told)

    def _answered(self, message: Message) -> None:
        asked = self._asked.get(getattr(message, "request", ""))
        if asked is None:
            return  # of another server's question, or too late
        match message:
            case Counted():
                asked.clients += max(0, message.count)
                asked.servers -= 1
            case Acked():
                asked.values.append(message.value)
            case Emitted():
                asked.values.append(message.value)
                asked.clients += 1
                asked.servers -= 1
            case Fetched():
                found = [one for each in message.sockets if (one := _described(each)) is not None]
                asked.values += found
                asked.clients += len(found)
                asked.servers -= 1
        asked.look()


def _options(
    selection: Selection,
    is_volatile: bool = False,
    compress: bool | None = None,
    is_one: bool = False,
    timeout_ms: float | None = None,
) -> Options:
    whole = None if timeout_ms is None else max(1, round(timeout_ms))
    return Options(selection.rooms, selection.excluded, is_volatile, compress, is_one, whole)


def _describe(socket: Socket) -> dict[str, Any]:
    return {
        "id": socket.id,
        "handshake": described(socket.handshake),
        "rooms": list(socket.rooms),
        "data": socket.data,
        "transport": socket.transport,
    }


def _described(said: dict[str, Any]) -> Described | None:
    """What another server says of a socket; None: it says nothing that could be one."""
    id, handshake, rooms = said.get("id"), said.get("handshake"), said.get("rooms", [])
    transport = said.get("transport", "")
    if type(id) is not str or type(handshake) is not dict or type(rooms) is not list:
        return None
    named = tuple(str(room) for room in rooms if type(room) in (str, int))
    return Described(id, handshake, named, said.get("data"), str(transport)[:20])
