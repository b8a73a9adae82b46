"""What one user sees of their contacts: a map of those who are here and whom they may see, and the log of its changes.

Pure: nothing here waits, stores or knows the time.
"""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Final

import msgspec

from clarion.features.presence.room import Entry as Published
from clarion.ids import Ids
from clarion.topics import Topic
from clarion.topics.changes import REMOVE, Change, Item, advance
from clarion.topics.patches import merge_patch
from clarion.topics.stores import Items
from clarion.topics.stream import Entry, Position

LOG_SIZE: Final = 200
LOG_AGE_S: Final = 600


class View:
    """A user's contacts as they see them.

    Args:
        topic: `contacts:<user>`.
        ids: For the epoch and marks.
    """

    def __init__(self, topic: Topic, ids: Ids) -> None:
        self.topic = topic
        self._ids = ids
        self.position = Position(ids.token(9), 0, 0)
        # Whether each of them may be seen; the user's own among them.
        self.contacts: dict[str, bool] = {}
        self._items: dict[str, Item] = {}
        self._log: deque[Entry] = deque(maxlen=LOG_SIZE)

    def items(self, after: str, limit: int) -> Items:
        """At most `limit` of those who are here, behind one, in the order of their ids."""
        keys = sorted(key for key in self._items if key > after)
        some = [(key, self._items[key]) for key in keys[:limit]]
        return Items(self.position, some, len(keys) > limit)

    def read(self, after: int, limit: int, since_ms: int) -> list[Entry]:
        """At most `limit` entries behind an offset that are not older."""
        found = (each for each in self._log if each.offset > after and each.at_ms >= since_ms)
        return list(islice(found, limit))

    def show(
        self, who: Mapping[str, bool], published: Mapping[str, Published], now_ms: int
    ) -> list[Entry]:
        """Take whom the user knows from now on, and whether they may be seen; returns what is new."""
        gone = self.contacts.keys() - who.keys()
        self.contacts = dict(who)
        told = [entry for user in sorted(gone) for entry in self._put(user, None, now_ms)]
        return told + [
            entry for user in who for entry in self.put(user, published.get(user), now_ms)
        ]

    def put(self, user: str, published: Published | None, now_ms: int) -> list[Entry]:
        """Take what is published of a user now; None: they are not here. Returns what is new: one entry, or none."""
        return self._put(user, published if self.contacts.get(user) else None, now_ms)

    def _put(self, user: str, shown: Published | None, now_ms: int) -> list[Entry]:
        item = self._items.get(user)
        if shown is None:
            if item is None:
                return []
            change = Change(event=REMOVE, data={"reason": "left"}, key=user)
        elif item is None:
            change = Change(event="enter", data=shown, key=user)
        elif item.data == shown:
            return []
        else:
            change = Change(event="update", data=shown, key=user)
        entry = advance(self.position, change, item, self._ids.mark(), now_ms)
        self.position = Position(self.position.epoch, entry.offset, entry.mark)
        self._log.append(entry)
        if shown is None:
            del self._items[user]
            return [entry]
        self._items[user] = Item(shown, entry.offset)
        patch = None if item is None else merge_patch(item.data, shown)
        return [entry if patch is None else msgspec.structs.replace(entry, patch=patch)]
