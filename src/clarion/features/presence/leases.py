"""Which nodes live, and in which rooms each has somebody, so that what a dead one leaves is taken away.

Everything is in the store that the nodes share. A node has a lease, which it puts off as long as it lives: one item, however many users it has.
Beside it a list of its rooms stays until they are clean. Whoever finds a node without a lease waits for the grace period and cleans its rooms;
that two do so at once changes nothing. A node that was taken for dead, or whose store was lost, finds its own lease gone: it begins anew and
writes everything again.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from clarion.clock import Clock
from clarion.settings import Presence as Settings
from clarion.telemetry import get_logger
from clarion.topics import Topic
from clarion.topics.changes import REMOVE, Change
from clarion.topics.stores import Keep, TopicStore

_log = get_logger(__name__)

BEATS: Final = 3  # in a lease: two may fail
KIND: Final = "presence-nodes"  # of no kind that is offered: nobody subscribes to these
ALIVE: Final = Topic("", KIND, "alive")
KNOWN: Final = Topic("", KIND, "known")
_KEEP: Final = Keep(size=1, age_s=3_600, keys=10_000_000)
_PAGE: Final = 500

Clean = Callable[[str, Topic], Awaitable[None]]
"""Takes away what a node has in a room."""


class Leases:
    """The lease of this node, and a look at the others'.

    Args:
        store: What the nodes share.
        node: This one's name.
        settings: `lease_s`, `grace_s`.
        clock: For the ends of leases: nodes must agree about the time within seconds.
        clean: Called for each room of a dead node.
        revive: Called when this node was taken for dead: everything is to be written again.
    """

    def __init__(
        self,
        store: TopicStore,
        node: str,
        settings: Settings,
        clock: Clock,
        *,
        clean: Clean,
        revive: Callable[[], None],
    ) -> None:
        self._store = store
        self._node = node
        self._settings = settings
        self._clock = clock
        self._clean = clean
        self._revive = revive
        self._rooms: dict[Topic, None] = {}
        # Since when a node has been without a lease, as seen from here (s).
        self._dead: dict[str, float] = {}
        # It was taken for dead; others may still be cleaning up.
        self._was_dead = False

    @property
    def beat_s(self) -> float:
        """Between two beats (s)."""
        return self._settings.lease_s / BEATS

    async def begin(self) -> None:
        """Take a lease.

        Raises:
            Unavailable: The store is not there now; likewise of all that follows.
        """
        await self._write(KNOWN, Change(event="set", key=self._node))
        lease = Change(event="set", key=self._node, expires_ms=self._until(self._settings.lease_s))
        await self._write(ALIVE, lease)

    async def hold(self, room: Topic) -> None:
        """Note a room before something is written there."""
        if room not in self._rooms:
            await self._write(_rooms_of(self._node), Change(event="set", key=_key(room)))
            self._rooms[room] = None

    async def release(self, room: Topic) -> None:
        """Nothing of this node is in the room any longer."""
        if room in self._rooms:
            del self._rooms[room]
            await self._write(_rooms_of(self._node), Change(event=REMOVE, key=_key(room)))

    async def beat(self) -> None:
        """Put off the end of the lease, and look after the others."""
        until_ms = self._until(self._settings.lease_s)
        if not await self._store.renew(ALIVE, [self._node], until_ms):
            _log.warning("this node was taken for dead", rooms=len(self._rooms))
            self._was_dead = True
            await self.begin()
            held, self._rooms = self._rooms, {}
            for room in held:
                await self.hold(room)
            self._revive()
        elif self._was_dead:
            self._was_dead = False
            self._revive()
        await self._look()

    async def end(self, window_s: float) -> None:
        """Stop in good order: what is here stays for so long (s), and the grace period; who is elsewhere then takes it away."""
        if self._rooms:
            await self._store.renew(ALIVE, [self._node], self._until(window_s))
            return
        await self._write(ALIVE, Change(event=REMOVE, key=self._node))
        await self._write(KNOWN, Change(event=REMOVE, key=self._node))

    async def _look(self) -> None:
        now = self._clock.monotonic()
        known = await self._keys(KNOWN)
        alive = await self._store.get(ALIVE, known)
        dead = [name for name, lease in zip(known, alive, strict=True) if lease is None]
        self._dead = {name: self._dead.get(name, now) for name in dead if name != self._node}
        for name, since in self._dead.items():
            if now - since >= self._settings.grace_s:
                await self._sweep(name)

    async def _sweep(self, node: str) -> None:
        rooms = _rooms_of(node)
        count = 0
        while some := (await self._store.items(rooms, "", _PAGE)).items:
            for key, _ in some:
                if (await self._store.get(ALIVE, [node]))[0] is not None:
                    return  # it lives again, and has noted its rooms anew
                await self._clean(node, _room(key))
                await self._write(rooms, Change(event=REMOVE, key=key))
                count += 1
        await self._write(KNOWN, Change(event=REMOVE, key=node))
        _log.info("a dead node's rooms are clean", node=node, rooms=count)

    async def _keys(self, topic: Topic) -> list[str]:
        found: list[str] = []
        while True:
            page = await self._store.items(topic, found[-1] if found else "", _PAGE)
            found += [key for key, _ in page.items]
            if not page.more:
                return found

    async def _write(self, topic: Topic, change: Change) -> None:
        await self._store.append(topic, [change], _KEEP)

    def _until(self, seconds: float) -> int:
        return self._clock.now_ms() + int(seconds * 1000)


def _rooms_of(node: str) -> Topic:
    return Topic("", KIND, f"rooms:{node}")


def _key(room: Topic) -> str:
    # Neither a tenant's name nor a kind's has such a sign.
    return f"{room.tenant}|{room.kind}|{room.name}"


def _room(key: str) -> Topic:
    tenant, kind, name = key.split("|", 2)
    return Topic(tenant, kind, name)
