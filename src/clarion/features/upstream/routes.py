"""Which events go to the application, and what is done with its answers.

A disconnect that it cannot be told of now is a job: told again, with growing pauses, until it has answered.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from clarion.auth.capabilities import matches
from clarion.auth.principal import DEFAULT_TENANT, Principal
from clarion.auth.tenants import barred_from, is_reserved, room_of, user_room
from clarion.errors import (
    ClarionError,
    ConnectRefused,
    Forbidden,
    Internal,
    Invalid,
    PeerError,
    ServerError,
    UnknownEvent,
)
from clarion.features.upstream.caller import Caller
from clarion.features.upstream.wire import Answer, Client, Emit, Error, Request
from clarion.jobs import Job, Queue, Worker
from clarion.realtime import Namespace, Server, Socket
from clarion.settings import Upstream
from clarion.telemetry import Tasks, get_logger
from clarion.topics import Ask, Call, Kind, Publish, PublishArgs, Published, SignedIn, Topic, Topics
from clarion.topics.arguments import convert
from clarion.topics.kinds import Shape

_log = get_logger(__name__)

KEY: Final = "upstream"
"""Where in a socket's `data` the application's own is."""
_LATER: Final = "upstream: to be done once it is connected"
DISCONNECT_JOB: Final = "upstream disconnect"


class Refused(PeerError):
    """The application said no; its code and message go to the client."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message or "The application said no")
        self._code = error.code

    def as_answer(self) -> dict[str, Any]:
        """`{code, message}` as the application wrote them."""
        return {**super().as_answer(), "code": self._code}


class Routes:
    """Sends what happens in some namespaces to the application.

    Args:
        settings: What goes there.
        caller: Asks it.
        topics: Takes what answers want published, and the kinds that are the application's.
        io: The server whose namespaces they are.
        queue: Keeps the disconnects that it has not heard of.
    """

    def __init__(
        self, settings: Upstream, caller: Caller, topics: Topics, io: Server, queue: Queue
    ) -> None:
        # Fixed at creation
        self._settings = settings
        self._caller = caller
        self._topics = topics
        self._io = io
        self._queue = queue
        # Changes while open. By socket: disconnects that the application has not answered, and no job keeps.
        self._untold: dict[str, Request] = {}
        self._tasks = Tasks()
        self._kinds: dict[str, Kind] = {}

    def install(self, worker: Worker) -> None:
        """Route from now on."""
        worker.handle(DISCONNECT_JOB, self._tell_again)
        for name in self._settings.namespaces:
            namespace = self._io.of(name)
            if self._settings.events:
                namespace.handle_others(self._event)
            if self._settings.connect:
                namespace.use(self._connect)
                namespace.on("connection", self._connected)
            if self._settings.disconnect:
                namespace.handle("disconnect", self._disconnected)
        self._add_kinds()

    def _add_kinds(self) -> None:
        """Make the kinds known whose topics are the application's: it says who subscribes, and what of what is published stands."""
        shapes: list[tuple[Shape, list[str]]] = [
            ("stream", self._settings.streams),
            ("map", self._settings.maps),
        ]
        for shape, names in shapes:
            for name in names:
                self._kinds[name] = self._topics.add(
                    name,
                    shape,
                    rights={"subscribe": Ask(self._may), "publish": SignedIn()},
                    publish=self._published,
                )

    async def close(self) -> None:
        """Leave the disconnects that the application has not answered to the next process."""
        await self._tasks.close()
        await self._keep(list(self._untold.values()))

    # ── what happens ──
    async def _event(self, socket: Socket, event: str, *args: Any) -> tuple[Any, ...]:
        if not isinstance(event, str) or not _is_one_of(event, self._settings.events):
            raise UnknownEvent(f"nobody listens to {str(event)[:64]!r} here")
        request = Request(
            "event", socket.namespace, _client(socket), event=event, args=_plain(args)
        )
        answer = await self._caller.ask(request)
        if answer.error is not None:
            raise Refused(answer.error)
        await self._do(socket, answer)
        return tuple(answer.ack)

    async def _connect(self, socket: Socket) -> None:
        handshake = socket.handshake
        request = Request(
            "connect",
            socket.namespace,
            _client(socket),
            auth=_plain([handshake.auth])[0],
            address=handshake.address,
        )
        answer = await self._caller.ask(request)
        if answer.error is not None:
            raise ConnectRefused(answer.error.message, code=answer.error.code)
        if answer.user is not None:
            if socket.principal is not None:
                raise Internal("the application names a user of a socket that is signed in")
            socket.user = answer.user
        if answer.data is not msgspec.UNSET:
            socket.data[KEY] = answer.data
        # It is in no room yet, and may still be refused: the rest waits until it is connected.
        socket.data[_LATER] = msgspec.structs.replace(answer, data=msgspec.UNSET)

    def _connected(self, socket: Socket) -> None:
        answer = socket.data.pop(_LATER, None)
        if answer is not None:
            self._tasks.spawn(self._do_later(socket, answer), name="upstream: connected")

    def _disconnected(self, socket: Socket, reason: str, *_: Any) -> None:
        request = Request("disconnect", socket.namespace, _client(socket), reason=reason)
        self._untold[socket.id] = request
        self._tasks.spawn(self._tell(request), name="upstream: disconnected")

    async def _tell(self, request: Request) -> None:
        try:
            answer = await self._caller.ask(request)
        except ServerError:
            await self._keep([request])
            return
        except PeerError as exc:
            _log.warning("disconnect cannot be told", error=exc.code)
            return
        finally:
            # Who is cancelled here has not been heard: `close` keeps it.
            if (me := asyncio.current_task()) is None or not me.cancelling():
                del self._untold[request.socket.id]
        await self._do_without(request, answer)

    async def _keep(self, requests: Sequence[Request]) -> None:
        jobs = [
            self._queue.job(DISCONNECT_JOB, msgspec.to_builtins(each), tenant=each.socket.tenant)
            for each in requests
        ]
        try:
            await self._queue.enqueue(*jobs)
        except ServerError as exc:
            _log.warning("disconnects not told, and not kept", count=len(jobs), error=exc.code)

    async def _tell_again(self, job: Job) -> None:
        request: Request = job.read(Request)
        await self._do_without(request, await self._caller.ask(request))

    async def _do_without(self, request: Request, answer: Answer) -> None:
        """What the answer to a disconnect wants; the socket is gone."""
        whose, nsp = request.socket.tenant, self._io.of(request.namespace)
        try:
            for each in answer.emit:
                _emit_to(nsp, whose, each)
            for given in answer.publish:
                await self._publish(whose, given)
        except (PeerError, ServerError) as exc:
            _log.warning("what a disconnect wants cannot be done", error=exc.code, why=exc.message)

    async def _do_later(self, socket: Socket, answer: Answer) -> None:
        try:
            await self._do(socket, answer)
        except (PeerError, ServerError) as exc:
            _log.warning("not done for a new socket", error=exc.code)

    # ── topics ──
    async def _may(self, principal: Principal, action: str, topic: Topic) -> bool:
        answer = await self._caller.ask(
            Request("subscribe", "", Client("", principal.id, topic.tenant), topic=topic.wire)
        )
        return answer.allow and answer.error is None

    async def _published(self, call: Call, given: Publish) -> Published:
        topic, principal, topics = call.topic, call.principal, self._topics
        if principal is None:  # the application itself
            return await topics.append(self._kinds[topic.kind], call, given)
        socket_id = "" if call.socket is None else call.socket.id
        answer = await self._caller.ask(
            Request(
                "publish",
                "",
                Client(socket_id, principal.id, topic.tenant),
                topic=topic.wire,
                publication=given,
            )
        )
        if answer.error is not None:
            raise Refused(answer.error)
        if not answer.allow:
            raise Forbidden(f"the application does not let this caller publish to {topic.wire}")
        if answer.publish:
            return await self._publish_all(topic.tenant, answer.publish)
        return await topics.append(self._kinds[topic.kind], call, given)

    async def _publish_all(self, tenant: str, given: list[dict[str, Any]]) -> Published:
        try:
            done = [await self._publish(tenant, each) for each in given]
        except PeerError as exc:
            raise _wrong(exc) from exc
        return done[-1]

    async def _publish(self, tenant: str, given: dict[str, Any]) -> Published:
        """As the application: what the command `publish` takes."""
        args = convert((given,), PublishArgs)
        return await self._topics.of(args.topic, tenant).give(args)

    # ── what is wanted ──
    async def _do(self, socket: Socket, answer: Answer) -> None:
        try:
            if answer.data is not msgspec.UNSET:
                socket.data[KEY] = answer.data
            if answer.join:
                socket.join(*_rooms(_tenant(socket), answer.join))
            for room in _rooms(_tenant(socket), answer.leave):
                socket.leave(room)
            for each in answer.emit:
                _emit(socket, each)
            for given in answer.publish:
                await self._publish(_tenant(socket), given)
        except PeerError as exc:
            raise _wrong(exc) from exc
        if answer.disconnect:
            socket.disconnect()


def _wrong(exc: PeerError) -> Internal:
    """What the application asked for cannot be done: that is not the client's to know."""
    _log.error("upstream's answer cannot be carried out", error=exc.code, why=exc.message)
    return Internal()


def _is_one_of(event: str, patterns: Iterable[str]) -> bool:
    return any(pattern == "*" or matches(pattern, event) for pattern in patterns)


def _tenant(socket: Socket) -> str:
    principal = socket.principal
    return principal.tenant if isinstance(principal, Principal) else DEFAULT_TENANT


def _client(socket: Socket) -> Client:
    principal = socket.principal
    user = principal.id if isinstance(principal, Principal) else socket.user
    return Client(socket.id, user, _tenant(socket), socket.data.get(KEY))


def _rooms(tenant: str, names: Sequence[str]) -> list[str]:
    for name in names:
        if is_reserved(name):
            raise Invalid(f"{name!r} is a room of the server")
    return [room_of(tenant, name) for name in names]


def _emit(socket: Socket, given: Emit) -> None:
    if given.room or given.user or given.everyone:
        _emit_to(socket.nsp, _tenant(socket), given)
    else:
        socket.emit(given.event, *given.args)


def _emit_to(nsp: Namespace, tenant: str, given: Emit) -> None:
    if not (given.room or given.user or given.everyone):
        return  # to the socket itself, which is gone
    where = nsp.except_(*barred_from(tenant)) if barred_from(tenant) else nsp
    if given.but:
        where = where.except_(*given.but, *(room_of(tenant, name) for name in given.but))
    if given.room is not None:
        [room] = _rooms(tenant, [given.room])
        where = where.to(room)
    elif given.user is not None:
        where = where.to(user_room(tenant, given.user))
    elif tenant != DEFAULT_TENANT:
        where = where.to(f"{tenant}|")
    where.emit(given.event, *given.args)


def _plain(args: Sequence[Any]) -> list[Any]:
    """Arguments as JSON has them; bytes become base64.

    Raises:
        Invalid: They have no JSON.
    """
    try:
        plain: list[Any] = msgspec.to_builtins(list(args))
    except (TypeError, ValueError, ClarionError) as exc:
        raise Invalid("the arguments have no JSON") from exc
    return plain
