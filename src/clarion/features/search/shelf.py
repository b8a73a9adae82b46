"""The documents that are in windows of standing queries: each version once, however many windows have it, and how many bytes they are together."""

from collections.abc import Mapping
from typing import Any
from weakref import ref

import msgspec
from msgspec import Struct

_encode = msgspec.json.Encoder().encode


class Shown(Struct, frozen=True, weakref=True):
    """A version of a document as subscribers get it, and its size in bytes of JSON."""

    item: Mapping[str, Any]
    size: int


def shown(id: str, data: Mapping[str, Any], version: int, offset: int) -> Shown:
    """A version of a document."""
    item = {"id": id, "data": data, "version": version, "offset": offset}
    return Shown(item, len(_encode(data)))


class Shelf:
    """What is shown somewhere; whatever nobody holds any more is gone by itself.

    Attributes:
        size: Bytes of all that is there.
    """

    def __init__(self) -> None:
        self.size = 0
        # By collection and offset: that names one version of one document.
        self._there: dict[tuple[int, int], ref[Shown]] = {}

    def put(
        self, collection: int, id: str, data: Mapping[str, Any], version: int, offset: int
    ) -> Shown:
        """The version of a document that a change made: the same for all who ask while anybody holds it."""
        key = collection, offset
        held = self._there.get(key)
        there = None if held is None else held()
        if there is not None:
            return there
        made = shown(id, data, version, offset)
        size = made.size

        def gone(which: "ref[Shown]") -> None:
            self.size -= size
            if self._there.get(key) is which:
                del self._there[key]

        self.size += size
        self._there[key] = ref(made, gone)
        return made
