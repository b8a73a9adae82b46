"""Kinds: what a topic can be, who may use it, and where its log is.

A kind declares as data who may subscribe; one that does not is refused before anything starts. It owns the rows of its topics
and writes their log inside its own procedures; the engine only asks the log.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

from msgspec import Struct

from clarion.auth import rights
from clarion.auth.capabilities import grants, matches
from clarion.auth.principal import Principal
from clarion.errors import (
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    UndeclaredRight,
    UsageError,
)
from clarion.topics.asking import Ask
from clarion.topics.names import Topic as Topic
from clarion.topics.names import parse as parse
from clarion.topics.stream import Entry, Position

if TYPE_CHECKING:
    from clarion.topics.arguments import SubscribeArgs

Durability = Literal["ephemeral", "recoverable", "durable"]
"""What a topic survives: ephemeral: it may be lost and says so · recoverable: a bounded log in memory · durable: SQL."""

Shape = Literal["stream", "map", "other"]
"""stream: a log, whose state is nothing · map: items by key, whose entries have keys · other: the kind's own state and events."""


class Read(Struct, frozen=True):
    """Entries of a log behind some offset, and its newest position, read together."""

    top: Position
    entries: list[Entry]


class Snapshot(Struct, frozen=True):
    """A topic's whole state at a position."""

    position: Position
    state: Any


class Log(Protocol):
    """What the engine needs of a kind: where the logs of its topics stand, what they hold, and the states they lead to."""

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each topic, in their order."""
        ...

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries with offsets above `after`, in order; those that are kept no longer are missing."""
        ...

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The whole state, and the position that it belongs to."""
        ...


@runtime_checkable
class Timed(Protocol):
    """A log that knows when its entries were appended."""

    async def since(self, topic: Topic, at_ms: int) -> int:
        """The offset of the newest entry that was appended before a time (ms since 1970)."""
        ...


@runtime_checkable
class Paged(Protocol):
    """A log of maps, whose states are read in pages."""

    async def page(self, topic: Topic, after: str) -> Snapshot:
        """The page `{items, more}` that follows a key, and the position that it belongs to."""
        ...


class Granted(Struct, frozen=True):
    """Callers whose token grants the action on the topic: `topics: {"dashboard:*": ["subscribe"]}`.

    Args:
        open: Names of topics (behind the colon) on which every signed-in caller may; patterns as in tokens.
    """

    open: tuple[str, ...] = ()

    def covers(self, action: str, principal: Principal, topic: Topic) -> bool:
        """Whether the caller may."""
        return grants(principal.topics, action, topic.wire) or any(
            matches(pattern, topic.name) for pattern in self.open
        )


class SignedIn(Struct, frozen=True):
    """Every signed-in caller of the tenant, back ends with an API key too."""


Open = Callable[[Topic, Principal | None, Mapping[str, Any]], Awaitable[Topic]]
"""Takes what somebody wants to subscribe to, with their `params`; gives the topic that is meant, whose name the ack has.

Raises what the client is to be answered: `Invalid` for params, `NotFound`, `Forbidden`. May wait.
"""


Began = Callable[[Topic, Any, Principal | None, Mapping[str, Any]], None]
"""Takes the topic, the socket, its principal and the `params` of a subscription that has just begun; before its log is read.

What it raises is what the client is answered; the subscription has ended then.
"""

Ended = Callable[[Topic, Any, Principal | None, bool], None]
"""Takes the topic, the socket and its principal of a subscription that has ended, and whether the client may come back to it.

False: it did not want it any longer, or has lost the right. True: it is gone, its log could not be read, or it was told to come back.
"""


SCOPES: Final[Mapping[str, str]] = {"subscribe": "topics:read", "publish": "topics:publish"}
"""What a back end's credential needs to do that with any topic of its tenant that is not somebody's own."""


class Kind(Struct, frozen=True, kw_only=True):
    """One kind of topic.

    Args:
        name: Before the colon of its topics' names.
        rights: Action → who may; `Self` means: on the topic that bears their own id. `subscribe` is needed; without `publish`
            nobody but the application publishes.
        log: Where its topics' logs are.
        durability: What its topics survive.
        log_size: How many publications can be recovered.
        log_age_s: For how long (s).
        shape: What its entries mean.
        keys: Items that a map may have.
        open: Decides about a subscription; None: the topic as named, and no params.
        publish: Takes what clients publish, a `publishing.Call` and a `publishing.Publish`, and gives a `publishing.Published`;
            None: it is appended to the log, which then is a `TopicStore`.
        queues: `publish` takes its place in the order before it waits: of a batch all may wait at once.
        watched: Called with a topic and True when this node's first subscription to it begins, False when its last ends.
        began: Called when a subscription begins, see `Began`.
        ended: Called when one ends, see `Ended`; in the same turn as `began`, where another one takes its place.
        conflate_s: At most one append in so many seconds (s), of each key the newest; 0: each publication at once.
    """

    name: str
    rights: "Mapping[str, rights.Declared | Granted | SignedIn | Ask]"
    log: Log
    durability: Durability
    log_size: int
    log_age_s: int
    shape: Shape = "other"
    keys: int = 0
    open: Open | None = None
    publish: "Callable[[Any, Any], Awaitable[Any]] | None" = None
    queues: bool = False
    watched: Callable[[Topic, bool], None] | None = None
    began: Began | None = None
    ended: Ended | None = None
    conflate_s: float = 0.0

    def check(self, action: str, principal: Principal | None, topic: Topic) -> None:
        """Return if the principal may do that with the topic: what the kind declares, or the scope of `SCOPES`.

        Nobody is asked: of an `Ask` only a yes that is remembered counts.

        Raises:
            Unauthenticated: Nobody is signed in.
            Forbidden: They may not; whether the topic exists is not said.
        """
        right = self.rights.get(action)
        if right is None or isinstance(right, Granted | SignedIn | Ask):
            if principal is None:
                raise Unauthenticated("sign in first")
            if _has_scope(principal, action):
                return
            if right is None:
                raise Forbidden(f"nobody may {action} on topics of kind {self.name}")
            if isinstance(right, Ask) and not right.remembers(principal, action, topic):
                raise _denied(action, topic)
            if isinstance(right, Granted) and not right.covers(action, principal, topic):
                raise Forbidden(f"the token does not grant {action} on {topic.wire}")
            return
        rights.check(right, principal)
        if _is_personal(right) and (principal is None or principal.id != topic.name):
            raise Forbidden(f"{topic.wire} belongs to somebody else")

    async def admit(
        self, action: str, principal: Principal | None, topic: Topic, *, again: bool = False
    ) -> None:
        """As `check`, and asks where that is the kind's right; otherwise nothing is waited for.

        Args:
            action: `subscribe`, `publish`.
            principal: Who wants to.
            topic: Where.
            again: They were let in before, see `Ask.still_allows`.

        Raises:
            Unauthenticated, Forbidden: They may not.
            Unavailable: Nobody says whether they may.
        """
        right = self.rights.get(action)
        if isinstance(right, Ask) and principal is not None and not _has_scope(principal, action):
            ask = right.still_allows if again else right.allows
            if not await ask(principal, action, topic):
                raise _denied(action, topic)
            return
        self.check(action, principal, topic)

    def asks(self, action: str) -> bool:
        """Whether somebody has to be asked."""
        return isinstance(self.rights.get(action), Ask)

    def asked_as(self, action: str, principal: Principal | None) -> Hashable:
        """What two principals have in common who are one question, see `Ask.asked_as`."""
        right = self.rights.get(action)
        if principal is None or not isinstance(right, Ask):
            return None
        return right.asked_as(principal)


class Kinds:
    """The kinds that a server knows, by name."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def add(self, kind: Kind) -> None:
        """Make a kind known.

        Raises:
            UndeclaredRight: It does not say who may subscribe.
            UsageError: The name is taken, or no name.
        """
        if not kind.name or ":" in kind.name or kind.name in self._kinds:
            raise UsageError(f"kind {kind.name!r}: the name is taken, empty or contains a colon")
        if "subscribe" not in kind.rights:
            raise UndeclaredRight(f"kind {kind.name} does not declare who may subscribe")
        for action, right in kind.rights.items():
            if not isinstance(right, Granted | SignedIn | Ask):
                rights.declared(f"kind {kind.name}, {action}", right)
        self._kinds[kind.name] = kind

    def find(self, name: str) -> Kind:
        """The kind of that name.

        Raises:
            NotFound: There is none.
        """
        try:
            return self._kinds[name]
        except KeyError:
            raise NotFound(f"there is no kind of topic {name!r}") from None

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())


def check_wish(kind: Kind, wish: "SubscribeArgs") -> None:
    """Refuse what a kind cannot do with a subscription.

    Raises:
        Invalid: `params` for a kind that takes none; `rewind` of what is no stream.
    """
    if wish.params and kind.open is None:
        raise Invalid(faults=[Fault("/params", f"kind {kind.name} takes none")])
    if wish.rewind is not None and kind.shape != "stream":
        raise Invalid(faults=[Fault("/rewind", "only a stream can be rewound")])


def _denied(action: str, topic: Topic) -> Forbidden:
    return Forbidden(f"the application does not let you {action} on {topic.wire}")


def _has_scope(principal: Principal, action: str) -> bool:
    scope = SCOPES.get(action)
    return scope is not None and rights.holds(principal.scopes, scope)


def _is_personal(right: rights.Declared) -> bool:
    if isinstance(right, rights.AllOf):
        return any(map(_is_personal, right.parts))
    return isinstance(right, rights.Self)
