"""Items that belong to a socket: they leave with it, and with its node if that dies.

Each has a time, which this node puts off while the socket is there (a lease); it is removed when the socket leaves, unless somebody
has changed it since.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from clarion.clock import Clock
from clarion.errors import ServerError
from clarion.settings import Limits
from clarion.telemetry import Tasks, get_logger
from clarion.topics.kinds import Topic

_log = get_logger(__name__)

Remove = Callable[[Topic, Mapping[str, int]], Awaitable[None]]
Renew = Callable[[Topic, Mapping[str, int], int], Awaitable[Mapping[str, int]]]


class Owned:
    """What the sockets of this node own.

    Args:
        remove: Removes keys that are still as the entries with these offsets made them.
        renew: Puts off the end of keys that are still as these entries made them; returns those.
        limits: `owned_s`: how long an item outlives a node that died.
        clock: For the end.
    """

    def __init__(self, remove: Remove, renew: Renew, limits: Limits, clock: Clock) -> None:
        self._remove = remove
        self._renew = renew
        self._limits = limits
        self._clock = clock
        # Socket → topic → key → offset, and whose a key is; a key is in both or in none.
        self._of: dict[str, dict[Topic, dict[str, int]]] = {}
        self._owner: dict[tuple[Topic, str], str] = {}
        self._removals = Tasks()

    def note(self, socket: Any, topic: Topic, key: str, offset: int) -> None:
        """A key was changed: for a socket that owns it from now on, or for nobody (None)."""
        before = self._owner.pop((topic, key), None)
        if before is not None:
            self._forget(before, topic, key)
        if socket is None:
            return
        if not socket.connected:  # it left while its change was made
            self._begin_removal(topic, {key: offset})
            return
        self._owner[topic, key] = socket.id
        self._of.setdefault(socket.id, {}).setdefault(topic, {})[key] = offset

    def left(self, socket_id: str) -> None:
        """Remove what a socket owned which is gone."""
        for topic, keys in self._of.pop(socket_id, {}).items():
            for key in keys:
                del self._owner[topic, key]
            self._begin_removal(topic, keys)

    async def renew(self) -> None:
        """Put off the end of everything that is owned here."""
        for sid, mine in list(self._of.items()):
            for topic, keys in list(mine.items()):
                expires_ms = self._clock.now_ms() + int(self._limits.owned_s * 1000)
                asked = dict(keys)
                try:
                    still = await self._renew(topic, asked, expires_ms)
                except ServerError as exc:
                    _log.warning("owned items not renewed", error=exc.code)
                    continue
                # Somebody has changed the others, on another node perhaps: they are nobody's here.
                for key in asked.keys() - still.keys():
                    if self._of.get(sid, {}).get(topic, {}).get(key) == asked[key]:
                        del self._owner[topic, key]
                        self._forget(sid, topic, key)

    async def close(self) -> None:
        """Wait for the removals that were begun."""
        await self._removals.finish()

    def _begin_removal(self, topic: Topic, keys: Mapping[str, int]) -> None:
        self._removals.spawn(self._try_remove(topic, keys), name="topics: an owner is gone")

    async def _try_remove(self, topic: Topic, keys: Mapping[str, int]) -> None:
        try:
            await self._remove(topic, keys)
        except ServerError as exc:
            # They expire: nobody renews them.
            _log.warning("owned items not removed", error=exc.code)

    def _forget(self, socket_id: str, topic: Topic, key: str) -> None:
        mine = self._of[socket_id]
        del mine[topic][key]
        if not mine[topic]:
            del mine[topic]
        if not mine:
            del self._of[socket_id]
