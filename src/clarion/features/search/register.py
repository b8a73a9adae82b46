"""The register of a node's standing queries: which there are and of whom, who follows their collections, and for how many there is room.

What nobody is subscribed to stays for a while, and makes room where there is none. Nothing here waits or asks a database.
"""

from collections.abc import Callable, Iterable
from typing import Final

from clarion.clock import Clock
from clarion.errors import TooMany
from clarion.features.search.collections import Kept
from clarion.features.search.finding import Whose
from clarion.features.search.following import Follower
from clarion.features.search.shelf import Shelf
from clarion.features.search.standing import Standing
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded, search_standing
from clarion.topics.kinds import Topic

KIND: Final = "search"


class Register:
    """The standing queries of this node.

    Args:
        limits: `search_standing`, `search_standing_caller`, `search_windows_bytes`, `search_linger_s`.
        clock: For what lingers.
        follow: Makes the follower of a collection.
        drop: Takes a follower that nothing needs any more.

    Attributes:
        shelf: The documents in their windows.
        followers: By tenant and number of the collection.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        follow: Callable[[Kept], Follower],
        drop: Callable[[Follower], None],
    ) -> None:
        # Fixed at creation
        self._limits = limits
        self._clock = clock
        self._follow = follow
        self._drop = drop
        self.shelf = Shelf()
        # Invariant: a standing query is here, in its follower and among what its caller has begun, or in none of them.
        self.followers: dict[tuple[str, int], Follower] = {}
        self._standing: dict[Topic, Standing] = {}
        self._begun: dict[Whose, dict[Topic, None]] = {}
        # Those that nobody watches, and since when; the longest first. Of these some are needed all the same, because they have just been asked for.
        self._idle: dict[Topic, float] = {}
        self._needed: dict[Topic, None] = {}

    def get(self, topic: Topic) -> Standing | None:
        """The query of that name, if it stands."""
        return self._standing.get(topic)

    def add(self, standing: Standing, name: str) -> Follower:
        """Let a query stand, `needed` until that is taken back, and show it changes from now on.

        Args:
            standing: What.
            name: Its name at its follower.

        Raises:
            TooMany: There is no room, and somebody is subscribed to all that is there.
        """
        mine, limits = self._begun.get(standing.whose, {}), self._limits
        if len(mine) >= limits.search_standing_caller and not self._forget_first(mine):
            raise _too_many("search_standing_caller", limits.search_standing_caller)
        if len(self._standing) >= limits.search_standing and not self._forget_first(self._idle):
            raise _too_many("search_standing", limits.search_standing)
        follower = self._show(standing, name)
        topic = standing.topic
        self._begun.setdefault(standing.whose, {})[topic] = None
        self._standing[topic] = standing
        self._idle[topic] = self._clock.monotonic()
        self._needed[topic] = None
        search_standing.set(len(self._standing))
        return follower

    def began(self, standing: Standing) -> None:
        """A query need not be kept for its own beginning any longer."""
        self._needed.pop(standing.topic, None)

    def watched(self, topic: Topic, is_watched: bool) -> None:
        """Somebody has subscribed, or nobody is subscribed any more."""
        if topic not in self._standing:
            return
        self._idle.pop(topic, None)
        if not is_watched:
            self._idle[topic] = self._clock.monotonic()

    def touch(self, topic: Topic) -> None:
        """Somebody has asked for a query: let it stand as if they had left just now."""
        if self._idle.pop(topic, None) is not None:
            self._idle[topic] = self._clock.monotonic()

    def forget(self, standing: Standing) -> None:
        """Let a query stand no longer."""
        topic = standing.topic
        if self._standing.get(topic) is not standing:
            return
        del self._standing[topic]
        self._idle.pop(topic, None)
        self._needed.pop(topic, None)
        mine = self._begun[standing.whose]
        del mine[topic]
        if not mine:
            del self._begun[standing.whose]
        search_standing.set(len(self._standing))
        follower = self.followers[topic.tenant, standing.kept.number]
        follower.remove(topic.name.rpartition("/")[2])
        self._leave(follower)

    def sweep(self) -> None:
        """Forget what has lingered long enough."""
        since = self._clock.monotonic() - self._limits.search_linger_s
        for topic in [topic for topic, at in self._idle.items() if at <= since]:
            if topic not in self._needed:
                self.forget(self._standing[topic])

    def weigh(self) -> None:
        """Return if all documents that are kept have room in memory, if need be by forgetting what nobody watches.

        Raises:
            TooMany: They have none.
        """
        most = self._limits.search_windows_bytes
        while self.shelf.size > most and self._forget_first(self._idle):
            pass
        if self.shelf.size > most:
            raise _too_many("search_windows_bytes", most)

    def _show(self, standing: Standing, name: str) -> Follower:
        tenant, kept = standing.topic.tenant, standing.kept
        while True:
            key = tenant, kept.number
            follower = self.followers.get(key)
            if follower is None:
                follower = self.followers[key] = self._follow(kept)
            try:
                follower.add(name, standing)
            except TooMany:
                names = follower.percolator.unselective
                before = kept.collection.name
                if not self._forget_first(
                    Topic(tenant, KIND, f"{before}/{each}") for each in names
                ):
                    self._leave(follower)
                    raise
            else:
                return follower

    def _leave(self, follower: Follower) -> None:
        key = follower.kept.tenant, follower.kept.number
        if not follower.standing and self.followers.get(key) is follower:
            del self.followers[key]
            self._drop(follower)

    def _forget_first(self, topics: Iterable[Topic]) -> bool:
        """Forget the first of these that nobody needs; False: there is none."""
        for topic in topics:
            if topic in self._idle and topic not in self._needed:
                self.forget(self._standing[topic])
                return True
        return False


def _too_many(limit: str, most: int) -> TooMany:
    limit_exceeded.labels(limit).inc()
    return TooMany(f"no more queries can be kept true: limits.{limit} = {most}", limit=most)
