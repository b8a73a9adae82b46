"""Signals: the kind of topic `signals:<room>`, for what is true for seconds: who types, where cursors are, who has locked what.

Each is an item that goes by itself unless it is repeated; the server says after how long. A repetition that says nothing new is no publication. What a
socket has said goes when it leaves or its connection ends; with its process, when its time is over. A lock is had by one socket: whoever comes second
is told who has it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import Conflict, Fault, Forbidden, Invalid, ServerError, TooLarge, TooMany
from clarion.features.presence.hidden import Hidden
from clarion.features.presence.rooms import user_of
from clarion.ids import Ids
from clarion.settings import Presence as Settings
from clarion.telemetry import Tasks, get_logger, limit_exceeded
from clarion.topics import Call, Granted, Publish, Published, Topic, Topics
from clarion.topics.changes import REMOVE, Change, Guard
from clarion.topics.publishing import At
from clarion.topics.stores import TopicStore

_log = get_logger(__name__)

KIND: Final = "signals"
LOG_SIZE: Final = 500
LOG_AGE_S: Final = 60


class Held(Struct):
    """An item that a socket has put.

    Args:
        user: Whose socket it is.
        key: Of the item.
        offset: Of the entry that made it what it is.
        data: What it says.
    """

    user: str
    key: str
    offset: int
    data: Any


class Signals:
    """The signals of this node's sockets.

    Args:
        topics: Where they are.
        hidden: Who is not to be seen, and so sends none.
        settings: `typing_s`, `cursor_s`, `lock_s`, `signals`, `signals_tick_s`, `data_bytes`, `open`.
        active: Told of a socket whose user has done something.
        clock: For when they go.
        ids: Names cursors.
    """

    def __init__(
        self,
        topics: Topics,
        hidden: Hidden,
        settings: Settings,
        *,
        active: Callable[[str], None],
        clock: Clock,
        ids: Ids,
    ) -> None:
        granted = Granted(tuple(settings.open))
        self.kind = topics.add(
            KIND,
            "map",
            rights={"subscribe": granted, "publish": granted},
            log_size=LOG_SIZE,
            log_age_s=LOG_AGE_S,
            publish=self._publish,
            began=self._began,
            ended=self._ended,
            conflate_s=settings.signals_tick_s,
        )
        assert isinstance(self.kind.log, TopicStore)
        self._store = self.kind.log
        self._topics = topics
        self._hidden = hidden
        self._settings = settings
        self._active = active
        self._clock = clock
        self._ids = ids
        # Socket → topic → slot (`typing`, `cursor`, `lock:<name>`) → item. Nothing empty stays.
        self._of: dict[str, dict[Topic, dict[str, Held]]] = {}
        # Who has unsubscribed, and may subscribe again in the same turn.
        self._leaving: dict[tuple[str, Topic], None] = {}
        self._tasks = Tasks()

    async def close(self) -> None:
        """Finish what was begun."""
        await self._tasks.finish()

    def disconnected(self, socket_id: str) -> None:
        """A socket is gone."""
        for topic, mine in self._of.pop(socket_id, {}).items():
            self._release(topic, mine.values())

    def hide(self, tenant: str, user: str) -> None:
        """A user is not to be seen any longer."""
        for socket_id, topics in list(self._of.items()):
            for topic, mine in list(topics.items()):
                gone = {slot: held for slot, held in mine.items() if held.user == user}
                if topic.tenant == tenant and gone:
                    for slot in gone:
                        self._forget(socket_id, topic, slot)
                    self._release(topic, gone.values())

    # ── what sockets do ──
    async def _publish(self, call: Call, given: Publish) -> Published:
        if given.only or given.version or given.ttl_s or given.owned or given.tags:
            raise Invalid("a signal is `event`, `data` and, of a lock, `key`")
        if call.socket is None:
            raise Invalid("only a socket sends signals")
        user = user_of(call.principal)
        _check_size(given.data, self._settings.data_bytes)
        await self._hidden.load(call.topic.tenant, user)
        if (call.topic.tenant, user) in self._hidden:
            raise Forbidden("who is invisible sends no signals: they would show")
        self._active(call.socket.id)
        if (given.event in {"lock", "unlock"}) != (given.key is not None):
            raise Invalid(faults=[Fault("/key", "a lock has one, nothing else has")])
        match given.event, given.data:
            case "typing", (None | True):
                return await self._put(call, user, "typing", None, self._settings.typing_s)
            case "typing", False:
                return await self._remove(call, "typing")
            case "cursor", None:
                return await self._remove(call, "cursor")
            case "cursor", data:
                return await self._put(call, user, "cursor", data, self._settings.cursor_s)
            case "lock", data:
                return await self._put(call, user, f"lock:{given.key}", data, self._settings.lock_s)
            case "unlock", None:
                return await self._remove(call, f"lock:{given.key}")
        raise Invalid(
            faults=[Fault("/event", "expected typing (true, false), cursor, lock or unlock")]
        )

    async def _put(self, call: Call, user: str, slot: str, data: Any, ttl_s: float) -> Published:
        held = self._held(call, slot)
        if held is not None and held.data == data:
            again = await self._repeat(call, held, ttl_s)
            if again is not None:
                return again
        if held is None:
            self._check_number(call)
        is_lock, key = slot.startswith("lock:"), _key(slot, user, held, self._ids)
        shown = {"user": user} if data is None else {"user": user, "data": data}
        only: Literal["absent"] | At | None = None
        if is_lock:
            only = "absent" if held is None else At(held.offset)
        wanted = Publish(
            event=slot.partition(":")[0], key=key, data=shown, ttl_s=ttl_s, only=only
        )  # fmt: skip
        try:
            done = await self._topics.append(self.kind, call, wanted)
        except Conflict:
            if self._held(call, slot) is held:
                if held is None:
                    raise
                # It ended, and perhaps somebody else has it now: once more from the beginning.
                self._forget(_socket(call), call.topic, slot)
            return await self._put(call, user, slot, data, ttl_s)
        self._note(call, slot, Held(user, key, done.offset, data))
        return msgspec.structs.replace(done, ttl_s=ttl_s)

    async def _repeat(self, call: Call, held: Held, ttl_s: float) -> Published | None:
        """Put off an item's end; None: it is somebody else's, or gone."""
        (item,) = await self._store.get(call.topic, [held.key])
        # Another connection of the user may type as well: that is the same.
        is_ours = item is not None and (
            item.offset == held.offset or not held.key.startswith("lock:")
        )
        until_ms = self._clock.now_ms() + int(ttl_s * 1000)
        if not is_ours or not await self._store.renew(call.topic, [held.key], until_ms):
            return None
        (at,) = await self._store.top([call.topic])
        return Published(
            call.topic.wire, at.epoch, at.offset, at.mark, self.kind.durability, ttl_s=ttl_s
        )

    async def _remove(self, call: Call, slot: str) -> Published:
        held = self._held(call, slot)
        if held is not None:
            self._forget(_socket(call), call.topic, slot)
            await self._topics.change(self.kind, call.topic, [_removal(held)])
        (at,) = await self._store.top([call.topic])
        return Published(call.topic.wire, at.epoch, at.offset, at.mark, self.kind.durability)

    def _began(self, topic: Topic, socket: Any, _: Principal | None, __: Mapping[str, Any]) -> None:
        self._leaving.pop((socket.id, topic), None)

    def _ended(self, topic: Topic, socket: Any, _: Principal | None, may_return: bool) -> None:
        if not may_return and topic in self._of.get(socket.id, {}):
            self._leaving[socket.id, topic] = None
            self._tasks.spawn(self._leave(socket.id, topic), name="presence: signals")

    async def _leave(self, socket_id: str, topic: Topic) -> None:
        if (socket_id, topic) not in self._leaving:
            return  # the subscription took another one's place
        del self._leaving[socket_id, topic]
        mine = self._of.get(socket_id, {}).get(topic, {})
        for slot in list(mine):
            self._release(topic, [mine[slot]])
            self._forget(socket_id, topic, slot)

    # ── what they have put ──
    def _held(self, call: Call, slot: str) -> Held | None:
        return self._of.get(_socket(call), {}).get(call.topic, {}).get(slot)

    def _note(self, call: Call, slot: str, held: Held) -> None:
        assert call.socket is not None
        if call.socket.connected:
            self._of.setdefault(call.socket.id, {}).setdefault(call.topic, {})[slot] = held
        else:  # it left while this was made
            self._release(call.topic, [held])

    def _forget(self, socket_id: str, topic: Topic, slot: str) -> None:
        mine = self._of.get(socket_id, {})
        if mine.get(topic, {}).pop(slot, None) is None:
            return
        if not mine[topic]:
            del mine[topic]
        if not mine:
            del self._of[socket_id]

    def _check_number(self, call: Call) -> None:
        most = self._settings.signals
        if sum(map(len, self._of.get(_socket(call), {}).values())) >= most:
            limit_exceeded.labels("presence_signals").inc()
            raise TooMany(
                f"this socket has {most} signals that hold (presence.signals)", limit=most
            )

    def _release(self, topic: Topic, held: Iterable[Held]) -> None:
        self._tasks.spawn(
            self._try_remove(topic, [_removal(each) for each in held]), name="presence: signals"
        )

    async def _try_remove(self, topic: Topic, removals: list[Change]) -> None:
        try:
            await self._topics.change(self.kind, topic, removals)
        except ServerError as exc:
            # They go by themselves: nobody repeats them.
            _log.warning("signals not removed", error=exc.code)


def _socket(call: Call) -> str:
    assert call.socket is not None
    return call.socket.id


def _key(slot: str, user: str, held: Held | None, ids: Ids) -> str:
    """Of the item: one who types for each user, one cursor for each connection, one lock for each name."""
    if held is not None:
        return held.key
    match slot:
        case "typing":
            return f"typing:{user}"
        case "cursor":
            return f"cursor:{ids.token(6)}"
    return slot


def _removal(held: Held) -> Change:
    guard = Guard("at", held.offset)
    return Change(event=REMOVE, data={"reason": "left"}, key=held.key, guard=guard)


def _check_size(data: Any, most: int) -> None:
    try:
        size = len(msgspec.json.encode(data))
    except (TypeError, ValueError, RecursionError) as exc:
        raise Invalid(f"the data is not JSON: {exc}", faults=[Fault("/data", "not JSON")]) from exc
    if size > most:
        limit_exceeded.labels("presence_data_bytes").inc()
        raise TooLarge(
            f"a signal's data has at most {most} bytes (presence.data_bytes)", limit=most, size=size
        )
