"""Recovery on all nodes, over the stream: who comes back finds its socket wherever it comes to, also when the node that it was on is dead.

What is kept are entries of the stream, and an entry's id is the offset of its event. So an event goes to nobody before it is in the stream, from
which each node, its sender's too, hands it to its own clients; without Redis it goes to this node's alone, and is not kept. A socket is kept as
Node's adapter keeps it, under its `pid`: Node writes that when it sees the socket end, we write it when it begins, too, and on each change.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from typing import Any, Final

from clarion.bus.pump import Pump
from clarion.bus.scripts import Script
from clarion.bus.stream import Stream
from clarion.errors import Overloaded, PeerError, ServerError, UsageError
from clarion.protocol.redis_adapter.streams import Kept, id_at, is_offset, position_of, session_key
from clarion.realtime.backplane.missed import Missed, Place
from clarion.realtime.backplane.others import Others
from clarion.realtime.history import Outcome, Stays
from clarion.realtime.hub import Hub
from clarion.realtime.peers import Selection
from clarion.realtime.recovery import Recovery, Restored
from clarion.realtime.shelf import Client, Expired, Parked
from clarion.realtime.socket import Socket
from clarion.realtime.transports.base import Prepared
from clarion.telemetry import Tasks, get_logger, recovery

log = get_logger(__name__)

# Whoever is away is lost by the node that it left, which then takes the key away; after a node's death its time takes it.
LATER_S: Final = 10.0
REFRESHES: Final = 4  # of a living socket's key, in the time that a client may be away
TOGETHER: Final = 100  # sockets that are written again in one turn of the loop

_TAKE: Final = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class Sessions(Recovery):
    """Recovery in one namespace.

    Args:
        hub: The namespace's.
        alone: What it would be without other nodes.
        others: The same namespace on them.
        stream: What all of them read.
        uid: Who this node is there.
        pump: Writes to Redis.
    """

    is_shared = True

    def __init__(
        self,
        hub: Hub[Socket],
        alone: Recovery,
        others: Others,
        stream: Stream,
        uid: str,
        pump: Pump,
    ) -> None:
        super().__init__(hub.name, alone.shelf, on_expired=alone.on_expired)
        # Fixed at creation
        self._hub, self._others, self._stream, self._uid, self._pump = (
            hub, others, stream, uid, pump,
        )  # fmt: skip
        self.history = place = Place(uid)
        self._missed = Missed(hub, stream, place)
        # Changes; what was written last of each socket that is here or was, and which are to be written.
        self._written: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}
        self._tasks = Tasks()
        self.read(stream.last.decode())

    async def finish(self) -> None:
        """Return when all that has ended is told and written."""
        await self._tasks.finish()

    def read(self, id: str) -> None:
        """This entry is read now."""
        self.history.top = position_of(id)

    def keep(self, rooms: tuple[str, ...], excluded: tuple[str, ...], item: Prepared) -> None:
        """It is in the stream, or is not kept."""

    # ── writing ──
    def began(self, client: Client, restored: Restored | None) -> str:
        """A socket is connected."""
        pid = super().began(client, restored)
        self.changed(client.id)
        return pid

    def changed(self, id: str) -> None:
        """A socket is written at the end of this turn of the loop, in which its handlers may change more."""
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._write_changed)
        self._changed[id] = None

    def _write_changed(self) -> None:
        changed, self._changed = self._changed, {}
        for id in changed:
            socket = self._hub.sockets.get(id)
            if socket is not None and socket.recoverable is not None and socket.stays is not None:
                self._write(socket, socket.recoverable.pid, socket.stays)

    async def refresh(self) -> None:
        """Write everybody who is here once more, with `data` as it is now."""
        for number, (history, client) in enumerate(list(self.shelf.live.values())):
            if history is self.history:
                self.changed(client.id)
            if number % TOGETHER == TOGETHER - 1:
                await asyncio.sleep(0)
                await self._pump.flush()

    def _write(self, client: Client, pid: str, stays: Stays) -> None:
        more = {
            "nsp": self._hub.name,
            "node": self._uid,
            "user": client.user,
            "user_room": client.user_room,
            "begin": id_at(stays.begin),
            "since": [id_at(stays.since(room)) for room in stays.rooms],
        }
        try:
            self._put(pid, Kept(client.id, pid, stays.rooms, client.data, more).write())
        except UsageError as exc:
            log.warning("a socket's data cannot be kept", why=exc.message)

    def _put(self, pid: str, value: bytes) -> None:
        self._written[pid] = value
        ms = round((self.shelf.seconds + LATER_S) * 1_000)
        key = session_key(pid).encode()
        with contextlib.suppress(Overloaded):  # counted; the next time it is written again
            self._pump.push((key, (b"SET", key, value, b"PX", ms)))

    def ended(self, client: Client, *, may_return: bool) -> None:
        """A socket leaves."""
        recoverable = client.recoverable
        if recoverable is None or recoverable.stays is None:
            return
        pid = recoverable.pid
        if may_return:
            self._write(client, pid, recoverable.stays)
        super().ended(client, may_return=may_return)
        if not may_return:
            self._tasks.spawn(self._forget(pid), name="recovery: forget")

    def _when_lost(self, pid: str) -> Callable[[Expired], None]:
        return partial(self._lost, pid)

    def _lost(self, pid: str, expired: Expired) -> None:
        if expired.why == "too_many":  # it was sought just now, so nobody else has it
            self._written.pop(pid, None)
            self.on_expired(expired)
            return
        self._tasks.spawn(self._tell(pid, expired), name="recovery: expired")

    async def _tell(self, pid: str, expired: Expired) -> None:
        if await self._forget(pid):  # else it is back, elsewhere
            self.on_expired(expired)

    async def _forget(self, pid: str) -> bool:
        value = self._written.pop(pid, None)
        await self._pump.flush()
        return value is not None and await self._take(pid, value)

    async def _take(self, pid: str, value: bytes) -> bool:
        try:
            return bool(await self._stream.redis.run(_TAKE, [session_key(pid).encode()], [value]))
        except ServerError as exc:
            log.warning("a socket may be kept for too long", why=exc.message)
            return False

    # ── coming back ──
    async def seek(self, client: Client) -> Restored | None:
        """Look for the socket that a client was, on whatever node."""
        assert client.recoverable is not None
        (pid, offset), client.recoverable.asked = client.recoverable.asked or (None, None), None
        try:
            found = await self._seek(client, pid, offset)
        except (PeerError, ServerError) as exc:
            log.warning("a client cannot be recovered", why=exc.message)
            found = Outcome.UNKNOWN
        outcome = found if isinstance(found, Outcome) else Outcome.RECOVERED
        recovery.labels(outcome.value).inc()
        return None if isinstance(found, Outcome) else found

    async def _seek(self, client: Client, pid: Any, offset: Any) -> Restored | Outcome:
        if type(pid) is not str:
            return Outcome.UNKNOWN
        key = session_key(pid).encode()
        await self._pump.flush()  # it may have left this node just now
        value = await self._stream.redis.call(key, "GET", key, is_write=False)
        if value is None:
            return Outcome.UNKNOWN
        kept = Kept.read(value)
        if kept.pid != pid or kept.more.get("nsp", self._hub.name) != self._hub.name:
            return Outcome.UNKNOWN
        if kept.more and kept.more.get("user_room") != client.user_room:
            return Outcome.OTHER_USER
        if not await self._take(pid, value):
            return Outcome.UNKNOWN
        self._end_former(pid, kept)
        stays = _stays(kept)
        after = _after(offset, stays.begin, is_ours=bool(kept.more))
        items = Outcome.BAD_OFFSET if after is None else await self._missed.read(stays, after)
        data = kept.data if type(kept.data) is dict else {}
        if isinstance(items, Outcome):
            gone = Expired(kept.id, client.user, stays.rooms, data, items.value)
            self.on_expired(gone)
            return items
        self._written[pid] = value
        was = (kept.id, client.user, client.user_room, client.principal, data)
        now = self.shelf.wheel.now()
        lost = self._when_lost(pid)
        return Restored(Parked(*was, pid, stays, now, self.history, lost), items)

    def _end_former(self, pid: str, kept: Kept) -> None:
        """Where the client was faster than the news of its end, end the socket that it was."""
        living = self.shelf.live.get(pid)
        if living is not None:
            living[1].superseded()
        if (parked := self.shelf.find(pid)) is not None:
            self.shelf.take(parked)
        if kept.more.get("node", self._uid) != self._uid:
            with contextlib.suppress(ServerError):  # its ping will end it
                self._others.disconnect(Selection((kept.id,)), close=True)

    def put_back(self, restored: Restored) -> None:
        """It may come once more."""
        pid = restored.parked.pid
        if (value := self._written.pop(pid, None)) is not None:
            self._put(pid, value)
            del self._written[pid]


def _stays(kept: Kept) -> Stays:
    """The rooms that it was in; Node does not say since when."""
    stays = Stays(_position(kept.more.get("begin")) or 0)
    said = kept.more.get("since")
    since: list[Any] = said if isinstance(said, list) else []
    for room, at in zip_longest(kept.rooms, since[: len(kept.rooms)]):
        stays.join(room, _position(at) or 0)
    return stays


def _after(offset: Any, begin: int, *, is_ours: bool) -> int | None:
    """Behind which position the client has had nothing; None: it says nonsense. One that has got nothing yet has no offset: Node does not know it then."""
    if offset is None:
        return begin if is_ours else None
    at = _position(offset)
    return None if at is None else max(at, begin)


def _position(said: Any) -> int | None:
    return position_of(said) if type(said) is str and is_offset(said) else None
