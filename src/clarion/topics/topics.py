"""Topics as an application and the doors use them: kinds without rows of their own, publishing, reading, and what ends by itself.

    polls = app.topics.add("poll", "map", rights={"subscribe": SignedIn(), "publish": SignedIn()})
    lunch = app.topics.of("poll:lunch")
    await lunch.increment("pizza")

The engine brings what was appended to the subscribers; a kind with rows of its own writes them itself and announces there.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from clarion.auth.principal import DEFAULT_TENANT, Principal
from clarion.auth.rights import Declared
from clarion.clock import Clock
from clarion.errors import Conflict, Fault, Invalid, ServerError, UsageError
from clarion.settings import Limits
from clarion.telemetry import Tasks, get_logger, publications
from clarion.topics.arguments import check_json
from clarion.topics.asking import Ask
from clarion.topics.changes import REMOVE, Change, Guard, Item
from clarion.topics.conflation import Conflator
from clarion.topics.engine import TopicEngine
from clarion.topics.handle import TopicHandle, store_of
from clarion.topics.kinds import (
    Began,
    Durability,
    Ended,
    Granted,
    Kind,
    Kinds,
    Open,
    Shape,
    SignedIn,
    Topic,
    parse,
)
from clarion.topics.owned import Owned
from clarion.topics.patches import merge_patch
from clarion.topics.publishing import Call, Publish, Published, change_of, current
from clarion.topics.stores import Appended, Keep, TopicStore, announces
from clarion.topics.stream import Entry

_log = get_logger(__name__)

EXPIRE_S: Final = 0.5  # between two looks at what expires
EXPIRED_AT_ONCE: Final = 1_000
TRIM_S: Final = 60.0


class Topics:
    """What is done with topics on this node.

    Args:
        engine: Announces to subscribers.
        kinds: What there is.
        store: Where the topics are of kinds that are added here.
        limits: `publication_bytes`, `topic_keys`, `owned_s`, `name_bytes`.
        clock: For what expires.
        durable: Where those of durable kinds are; None: there can be none.
    """

    def __init__(
        self,
        engine: TopicEngine,
        kinds: Kinds,
        store: TopicStore,
        limits: Limits,
        *,
        clock: Clock,
        durable: TopicStore | None = None,
    ) -> None:
        self._engine = engine
        self._kinds = kinds
        self._store = store
        self._durable = durable
        # Those that have a kind: in them things end by themselves.
        self._stores: list[TopicStore] = []
        self._limits = limits
        self._clock = clock
        self._owned = Owned(self._remove_owned, self._renew, limits, clock)
        self._conflators: dict[str, Conflator] = {}
        self._tasks = Tasks()

    @property
    def kinds(self) -> Kinds:
        """What there is."""
        return self._kinds

    def start(self) -> None:
        """Begin to remove what expires, and to forget what is kept no longer."""
        for work in (self._expire_forever, self._trim_forever, self._renew_forever):
            self._tasks.spawn_forever(work, name="topics: what ends by itself")

    async def close(self) -> None:
        """Append what still waits, and end every task."""
        for conflator in self._conflators.values():
            await conflator.close()
        await self._tasks.close()
        await self._owned.close()

    # ── kinds ──
    def add(
        self,
        name: str,
        shape: Shape,
        *,
        rights: "Mapping[str, Declared | Granted | SignedIn | Ask]",
        durability: Durability = "recoverable",
        log_size: int | None = None,
        log_age_s: int | None = None,
        keys: int | None = None,
        open: Open | None = None,
        publish: Any = None,
        queues: bool = False,
        watched: Callable[[Topic, bool], None] | None = None,
        began: Began | None = None,
        ended: Ended | None = None,
        conflate_s: float = 0.0,
        store: TopicStore | None = None,
    ) -> Kind:
        """Make a kind known whose topics are in a topic store.

        Args:
            name: Before the colon of its topics' names.
            shape: `stream` or `map`.
            rights: Action → who may; `subscribe` is needed, `publish` lets clients publish.
            durability: What its topics survive; `durable`: they are in the database.
            log_size: How many publications can be recovered; None: `limits.topic_log_size`.
            log_age_s: For how long (s); None: `limits.topic_log_age_s`.
            keys: Items that a map may have; None: `limits.topic_keys`.
            open: Decides about a subscription, see `kinds.Open`.
            publish: `async (call, publish) -> Published`, in place of appending what a client publishes as it is.
            queues: `publish` takes its place in the order before it waits: of a batch all may wait at once.
            watched: Told when this node's first subscription to a topic begins (True), and when its last ends.
            began: Told when a subscription begins, see `kinds.Began`.
            ended: Told when one ends, see `kinds.Ended`.
            conflate_s: At most one append in so many seconds, of each key the newest.
            store: Where its topics are; None: the server's store for that durability.

        Raises:
            UndeclaredRight: It does not say who may subscribe.
            UsageError: The name is taken, or no name; or there is no store for durable topics.
        """
        found, limits = store or self.store(durability), self._limits
        kind = Kind(
            name=name,
            rights=rights,
            log=found,
            durability=durability,
            log_size=limits.topic_log_size if log_size is None else log_size,
            log_age_s=limits.topic_log_age_s if log_age_s is None else log_age_s,
            shape=shape,
            keys=limits.topic_keys if keys is None else keys,
            open=open,
            publish=publish,
            queues=queues,
            watched=watched,
            began=began,
            ended=ended,
            conflate_s=conflate_s,
        )
        self._kinds.add(kind)
        self._tidy(found)
        return kind

    def store(self, durability: Durability = "recoverable") -> TopicStore:
        """The server's store for topics of that durability, for a kind that writes there in ways of its own; what expires there, does.

        Raises:
            UsageError: There is none for durable topics here.
        """
        found = self._durable if durability == "durable" else self._store
        if found is None:
            raise UsageError("there is no store for durable topics here")
        self._tidy(found)
        return found

    def _tidy(self, store: TopicStore) -> None:
        if not any(store is known for known in self._stores):
            self._stores.append(store)

    def of(self, name: str, tenant: str = DEFAULT_TENANT) -> TopicHandle:
        """A topic to publish to and to read from as the application, whose rights are not asked.

        Raises:
            Invalid: It is not `kind:name`.
            NotFound: There is no such kind.
        """
        topic = parse(tenant, name)
        return TopicHandle(self, topic, self._kinds.find(topic.kind))

    # ── publishing ──
    async def publish(
        self, call_of: Principal, name: str, given: Publish, socket: Any = None
    ) -> Published:
        """Publish as somebody.

        Raises:
            Invalid, NotFound, Forbidden, TooLarge, TooMany: It cannot be published, there, by them.
            Conflict: `if` did not hold; `current` is what is there.
            Unavailable: The store is not there now.
        """
        topic = parse(call_of.tenant, name)
        kind = self._kinds.find(topic.kind)
        await kind.admit("publish", call_of, topic)
        return await self.take(kind, Call(topic, call_of, socket), given)

    async def take(self, kind: Kind, call: Call, given: Publish) -> Published:
        """Publish as a kind does it; that the caller may is checked.

        Raises:
            Invalid, TooLarge, TooMany, Conflict, Unavailable: As `publish`.
        """
        if kind.publish is not None:
            check_json("data", given.data)
            answer: Published = await kind.publish(call, given)
            return answer
        return await self.append(kind, call, given)

    async def append(self, kind: Kind, call: Call, given: Publish) -> Published:
        """Append a publication to a topic of a kind in a topic store, and announce it.

        Raises:
            Invalid, TooLarge, TooMany, Conflict, Unavailable: As `publish`.
        """
        change = self.change_of(kind, call, given)
        if kind.conflate_s:
            appended, at = await self._conflator(kind).add(call.topic, change)
        else:
            appended, at = await self.change(kind, call.topic, [change]), 0
        return self.published(kind, call, given, change, appended, at)

    def change_of(self, kind: Kind, call: Call, given: Publish) -> Change:
        """The change that a publication asks for.

        Raises:
            Invalid, TooLarge: See `publishing.change_of`; or an owner is wanted, and there is no socket.
        """
        if given.owned and call.socket is None:
            raise Invalid(
                "only a socket can own an item", faults=[Fault("/owned", "needs a socket")]
            )
        return change_of(
            given, is_map=kind.shape == "map", limits=self._limits, now_ms=self._clock.now_ms()
        )

    def published(
        self, kind: Kind, call: Call, given: Publish, change: Change, appended: Appended, at: int
    ) -> Published:
        """What became of a publication whose change was the `at`-th of an append; to be called once.

        Raises:
            Conflict: `if` did not hold; `current` is what is there.
        """
        outcome = appended.outcomes[at]
        if outcome.refused == "guard" and change.guard.kind != "newer":
            raise Conflict("the key is not as `if` wants it", current=current(outcome.item))
        if outcome.refused is None and change.key is not None:
            owner = call.socket if given.owned and change.event != REMOVE else None
            self._owned.note(owner, call.topic, change.key, outcome.offset)
        dropped = {"duplicate": "duplicate", "guard": "older"}.get(outcome.refused or "")
        return Published(
            call.topic.wire,
            appended.position.epoch,
            outcome.offset,
            outcome.mark,
            kind.durability,
            **({} if dropped is None else {"dropped": dropped}),  # type: ignore[arg-type]
        )

    async def change(self, kind: Kind, topic: Topic, changes: Sequence[Change]) -> Appended:
        """Make changes of a topic in a topic store, all at one moment, and announce them. Nothing of them is checked.

        Raises:
            TooMany, StorageFull, Unavailable: See `TopicStore.append`.
        """
        store = store_of(kind)
        keep = Keep(kind.log_size, kind.log_age_s, kind.keys)
        appended = await store.append(topic, changes, keep)
        if appended.entries:
            is_map = kind.shape == "map"
            entries = _with_patches(changes, appended) if is_map else appended.entries
            await self._announce(store, topic, appended.position.epoch, entries)
        return appended

    async def _announce(
        self, store: TopicStore, topic: Topic, epoch: str, entries: Sequence[Entry]
    ) -> None:
        if announces(store):
            publications.labels(topic.kind).inc(len(entries))
        else:
            await self._engine.announce(topic, epoch, entries)

    # ── sockets and time ──
    def left(self, socket_id: str) -> None:
        """Remove the items that a socket owned which is gone."""
        self._owned.left(socket_id)

    async def expire(self) -> int:
        """Remove items whose time is over, and announce that; returns how many. A store that is not there now is asked again later."""
        count = 0
        for store in tuple(self._stores):
            try:
                expired = await store.expire(EXPIRED_AT_ONCE)
            except ServerError as exc:
                _log.warning("nothing expires now", error=exc.code)
                continue
            for each in expired:
                await self._announce(store, each.topic, each.epoch, each.entries)
                count += len(each.entries)
        return count

    async def trim(self) -> None:
        """Forget what is kept no longer."""
        for store in tuple(self._stores):
            try:
                await store.trim()
            except ServerError as exc:
                _log.warning("topics not trimmed", error=exc.code)

    async def renew(self) -> None:
        """Put off the end of what this node's sockets own."""
        await self._owned.renew()

    def _conflator(self, kind: Kind) -> Conflator:
        found = self._conflators.get(kind.name)
        if found is None:
            found = self._conflators[kind.name] = Conflator(
                lambda topic, changes: self.change(kind, topic, changes), kind.conflate_s
            )
        return found

    async def _remove_owned(self, topic: Topic, keys: Mapping[str, int]) -> None:
        changes = [
            Change(event=REMOVE, data={"reason": "left"}, key=key, guard=Guard("at", offset))
            for key, offset in keys.items()
        ]
        await self.change(self._kinds.find(topic.kind), topic, changes)

    async def _renew(
        self, topic: Topic, keys: Mapping[str, int], expires_ms: int
    ) -> dict[str, int]:
        store, asked = store_of(self._kinds.find(topic.kind)), list(keys)
        found = dict(zip(asked, await store.get(topic, asked), strict=True))
        still = {
            key: item.offset
            for key, item in found.items()
            if item is not None and item.offset == keys[key]
        }
        await store.renew(topic, list(still), expires_ms)
        return still

    async def _expire_forever(self) -> None:
        pause_s = EXPIRE_S
        while True:
            await asyncio.sleep(pause_s)
            # The others have a turn between two slices.
            pause_s = 0 if await self.expire() >= EXPIRED_AT_ONCE else EXPIRE_S

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._limits.owned_s / 3)  # two may fail
            await self.renew()

    async def _trim_forever(self) -> None:
        while True:
            await asyncio.sleep(TRIM_S)
            await self.trim()


def _with_patches(changes: Sequence[Change], appended: Appended) -> list[Entry]:
    """The new entries, with a merge patch where that is smaller than the value."""
    before: dict[int, Item] = {
        outcome.offset: outcome.item
        for change, outcome in zip(changes, appended.outcomes, strict=True)
        # Where the item is more than the entry says, a patch of it would say nothing to who has the entries.
        if change.item is UNSET
        and outcome.refused is None
        and outcome.item is not None
        and not outcome.item.is_gone
    }
    entries = []
    for entry in appended.entries:
        item = before.get(entry.offset)
        patch = None
        if item is not None and entry.event != REMOVE:
            patch = merge_patch(item.data, entry.data)
        entries.append(entry if patch is None else msgspec.structs.replace(entry, patch=patch))
    return entries
