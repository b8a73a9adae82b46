"""The commands that a socket may send in Clarion's own namespace: subscribe, unsubscribe, page, publish, join, leave.

Each declares its right, takes one object, and is answered by an ack: what it says, or `{error: {code, message, …}}`. Rights are
checked at every command, against the credential as it is then.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from clarion.auth import rights
from clarion.auth.capabilities import grants
from clarion.auth.principal import Principal
from clarion.auth.tenants import is_reserved, room_of
from clarion.clock import Clock
from clarion.errors import (
    Conflict,
    Fault,
    Forbidden,
    Internal,
    Invalid,
    PeerError,
    RateLimited,
    ServerError,
    TokenExpired,
    TooMany,
    UndeclaredRight,
)
from clarion.settings import Limits
from clarion.telemetry import Tasks, get_logger, limit_exceeded
from clarion.topics.arguments import (
    PageArgs,
    RoomArgs,
    SubscribeArgs,
    TopicArgs,
    check_name,
    convert,
)
from clarion.topics.automatic import subscribe_all
from clarion.topics.engine import TopicEngine
from clarion.topics.live import Peer
from clarion.topics.publishing import PublishArgs
from clarion.topics.topics import Topics

_log = get_logger(__name__)


class Member(Peer, Protocol):
    """What commands need of a socket beyond what a subscription needs."""

    def join(self, room: str, /) -> None:
        """Put it into a room."""
        ...

    def leave(self, room: str, /) -> None:
        """Take it out of a room."""
        ...


class Space(Protocol):
    """What commands need of a namespace."""

    def on(self, event: str, handler: Callable[..., Any], /) -> Any:
        """Call the handler with each socket that connects."""
        ...

    def handle(self, event: str, handler: Callable[..., Any], /) -> Any:
        """Call the handler with the socket and the arguments of each such event; a parameter `ack` answers it."""
        ...


class Caller(Struct):
    """A connected socket, and what it has used of its limits."""

    socket: Member
    rooms: dict[str, None]
    """Those that it joined by command; only these it may leave by command."""
    tokens: float
    refilled_at: float


class Answer(Struct, frozen=True):
    """What the ack says, and what is to be done once it is on its way."""

    value: Any
    then: Callable[[], None] | None = None


Authenticate = Callable[[str], Awaitable[Principal]]
"""Who a token says is calling; raises `Unauthenticated`, `Unavailable`."""

Handler = Callable[["Commands", Caller, Principal, Any], Awaitable[Answer]]


class Command(Struct, frozen=True):
    """A door: its name, who may, what it takes, what it does."""

    name: str
    right: rights.Declared
    args: type[Struct]
    handler: Handler


COMMANDS: dict[str, Command] = {}

# Users as far as the topic lets them, back ends with a scope: as over HTTP.
READ, PUBLISH = rights.ByItem("topics:read"), rights.ByItem("topics:publish")


def command(
    name: str, *, right: rights.Declared, args: type[Struct]
) -> Callable[[Handler], Handler]:
    """Make a method of `Commands` a command.

    Raises:
        UndeclaredRight: It does not say who may use it.
    """
    if isinstance(rights.declared(f"command {name}", right), rights.Public):
        raise UndeclaredRight(f"command {name} cannot be public: it acts for somebody")

    def add(handler: Handler) -> Handler:
        COMMANDS[name] = Command(name, right, args, handler)
        return handler

    return add


class Commands:
    """Runs the commands of this node's sockets.

    Args:
        engine: Has the subscriptions.
        topics: Takes what is published.
        principal_of: Who is behind a socket; None: nobody.
        limits: `commands_per_s`, `rooms`, `name_bytes`.
        clock: For rates, and the end of credentials.
        authenticate: Checks a token that comes with `subscribe`; None: none is taken.
    """

    def __init__(
        self,
        engine: TopicEngine,
        topics: Topics,
        principal_of: Callable[[Any], Principal | None],
        limits: Limits,
        *,
        clock: Clock,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._engine = engine
        self._topics = topics
        self._principal_of = principal_of
        self._limits = limits
        self._clock = clock
        self._authenticate = authenticate
        self._callers: dict[str, Caller] = {}
        self._subscribing = Tasks()

    def install(self, namespace: Space) -> None:
        """Offer the commands to every socket that connects to a namespace from now on."""
        namespace.on("connection", self.connected)
        for name in COMMANDS:
            namespace.handle(name, self._handler(name))
        namespace.handle("disconnect", lambda socket, *_: self.disconnected(socket))

    def _handler(self, name: str) -> Callable[..., Awaitable[None]]:
        async def handle(socket: Member, *given: Any, ack: Callable[..., None]) -> None:
            answer = await self.run(socket, name, *given)
            ack(answer.value)
            if answer.then is not None:
                answer.then()

        return handle

    def connected(self, socket: Member) -> None:
        """Take commands of a socket from now on."""
        burst = 2.0 * self._limits.commands_per_s
        self._callers[socket.id] = Caller(socket, {}, burst, self._clock.monotonic())
        principal = self._principal_of(socket)
        if principal is not None and principal.subscribe:
            self._subscribing.spawn(
                subscribe_all(self._engine, socket, principal, self._limits.name_bytes),
                name="topics: what the token lists",
            )

    async def close(self) -> None:
        """End what was begun for sockets that have just come."""
        await self._subscribing.close()

    def disconnected(self, socket: Member) -> None:
        """Forget a socket, and end its subscriptions."""
        self._callers.pop(socket.id, None)
        self._engine.leave(socket)
        self._topics.left(socket.id)

    async def run(self, socket: Member, name: str, *given: Any) -> Answer:
        """Run a command; what goes wrong is in the answer.

        Args:
            socket: A connected socket.
            name: One of `COMMANDS`.
            given: The event's arguments: one object.
        """
        try:
            # Invariant: from here to the engine's own books nothing is awaited; a socket that is gone cannot subscribe.
            caller = self._callers.get(socket.id)
            if caller is None:
                raise Conflict("the socket is gone")
            return await self._run(caller, COMMANDS[name], given)
        except (PeerError, ServerError) as exc:
            return Answer({"error": exc.as_answer()})
        except Exception:  # noqa: BLE001  a bug in one command must not cost the connection
            # The peer is told that it was our fault, and nothing else; the connection lives on.
            _log.exception("command failed", command=name)
            return Answer({"error": Internal().as_answer()})

    async def _run(self, caller: Caller, door: Command, given: tuple[Any, ...]) -> Answer:
        self._spend(caller)
        principal = self._principal_of(caller.socket)
        rights.check(door.right, principal)
        assert principal is not None, "no command is public"
        if principal.has_expired(self._clock.now_ms()):
            raise TokenExpired()
        return await door.handler(self, caller, principal, convert(given, door.args))

    def _spend(self, caller: Caller) -> None:
        """Token bucket: `commands_per_s`, twice that at once."""
        rate, now = self._limits.commands_per_s, self._clock.monotonic()
        caller.tokens = min(2.0 * rate, caller.tokens + (now - caller.refilled_at) * rate)
        caller.refilled_at = now
        if caller.tokens < 1:
            limit_exceeded.labels("commands_per_s").inc()
            raise RateLimited(
                f"more than {rate} commands a second (limits.commands_per_s)",
                retry_after_s=(1 - caller.tokens) / rate,
            )
        caller.tokens -= 1

    @command("subscribe", right=READ, args=SubscribeArgs)
    async def _subscribe(self, caller: Caller, principal: Principal, args: SubscribeArgs) -> Answer:
        check_name("topic", args.topic, self._limits.name_bytes)
        if args.token is not None:
            with self._engine.deciding(caller.socket, args.topic):
                principal = await self._with_token(principal, args.topic, args.token)
        answer, subscription = await self._engine.subscribe(caller.socket, principal, args)
        return Answer(answer, lambda: self._engine.go(subscription))

    async def _with_token(self, principal: Principal, topic: str, token: str) -> Principal:
        """The caller with what a token for this topic adds, until the earlier of both ends."""
        if self._authenticate is None:
            raise Invalid(faults=[Fault("/token", "is not taken here")])
        own = await self._authenticate(token)
        if own.key != principal.key:
            raise Forbidden("the token is somebody else's")
        if topic not in own.topics:
            raise Forbidden("the token does not name this topic")
        ends = [ms for ms in (principal.expires_ms, own.expires_ms) if ms is not None]
        return msgspec.structs.replace(
            principal,
            topics={**principal.topics, topic: own.topics[topic]},
            expires_ms=min(ends, default=None),
        )

    @command("unsubscribe", right=READ, args=TopicArgs)
    async def _unsubscribe(self, caller: Caller, principal: Principal, args: TopicArgs) -> Answer:
        check_name("topic", args.topic, self._limits.name_bytes)
        self._engine.unsubscribe(caller.socket, args.topic)
        return Answer({"topic": args.topic})

    @command("page", right=READ, args=PageArgs)
    async def _page(self, caller: Caller, principal: Principal, args: PageArgs) -> Answer:
        check_name("topic", args.topic, self._limits.name_bytes)
        return Answer(await self._engine.page(caller.socket, args.topic, args.after))

    @command("publish", right=PUBLISH, args=PublishArgs)
    async def _publish(self, caller: Caller, principal: Principal, args: PublishArgs) -> Answer:
        check_name("topic", args.topic, self._limits.name_bytes)
        done = await self._topics.publish(principal, args.topic, args, caller.socket)
        return Answer(done)

    @command("join", right=rights.Self(), args=RoomArgs)
    async def _join(self, caller: Caller, principal: Principal, args: RoomArgs) -> Answer:
        check_name("room", args.room, self._limits.name_bytes)
        if is_reserved(args.room):
            raise Invalid(
                "a room's name may not begin with `user:` nor contain `|`",
                faults=[Fault("/room", "a reserved name")],
            )
        if not grants(principal.rooms, "join", args.room):
            raise Forbidden("the token does not grant `join` on this room")
        if args.room not in caller.rooms and len(caller.rooms) >= self._limits.rooms:
            limit_exceeded.labels("rooms").inc()
            raise TooMany(
                f"this socket has joined {self._limits.rooms} rooms (limits.rooms)",
                limit=self._limits.rooms,
            )
        caller.socket.join(room_of(principal.tenant, args.room))
        caller.rooms[args.room] = None
        return Answer({"room": args.room})

    @command("leave", right=rights.Self(), args=RoomArgs)
    async def _leave(self, caller: Caller, principal: Principal, args: RoomArgs) -> Answer:
        check_name("room", args.room, self._limits.name_bytes)
        if args.room in caller.rooms:
            del caller.rooms[args.room]
            caller.socket.leave(room_of(principal.tenant, args.room))
        return Answer({"room": args.room})
