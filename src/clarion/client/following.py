"""What a subscriber knows of a topic, as values: a state, a position, and what publications do to both. No I/O."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct


class Change(Struct, frozen=True):
    """One change of a topic.

    Args:
        event: What happened. `remove` took an item away, `append` let it grow, another event with a key set it; `snapshot`: the state is here as a whole,
            for the first time or anew, because what was missed is kept no longer.
        offset: Its number.
        data: With a key, the item's whole new value; of a removal, the reason.
        key: Of a map's item.
    """

    event: str
    offset: int
    data: Any = None
    key: str | None = None


class Gap(Exception):
    """A publication does not follow: the log has to be asked."""


class Following:
    """One topic, as far as it is known.

    Attributes:
        items: Of a map, by key.
        snapshot: As the kind gave it: a map's first page, None for a stream, and the state of what is neither (a timeline), to which each
            publication is a change.
        next: The key behind which the page of items begins that is missing; None: the state is whole.
    """

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self.snapshot: Any = None
        self.next: str | None = None
        self._epoch = ""
        self._offset = self._mark = 0
        # By key, the offset of its last change. While pages are missing, also of those that were removed.
        self._changed: dict[str, int] = {}
        # Publications that say how something changes which is on a page that is missing.
        self._differences: dict[str, list[Mapping[str, Any]]] = {}

    @property
    def since(self) -> dict[str, Any] | None:
        """The position, as `subscribe` takes it; None: nothing is known."""
        if not self._epoch:
            return None
        return {"epoch": self._epoch, "offset": self._offset, "mark": self._mark}

    @property
    def offset(self) -> int:
        """How far it is known."""
        return self._offset

    def answer(self, answer: Mapping[str, Any]) -> Iterator[Change]:
        """Take the answer to `subscribe`; gives its changes while it takes them.

        Raises:
            Gap: Something is missing in it; what comes before that was taken.
        """
        if answer["recovered"]:
            for each in answer["publications"]:
                if (change := self.take(each)) is not None:
                    yield change
            # What does not concern this subscriber is not among them.
            self._move(answer)
            return
        before = self._offset if answer["epoch"] == self._epoch else 0
        self.snapshot, self.next = answer.get("snapshot"), None
        self.items, self._changed, self._differences = {}, {}, {}
        self._epoch = answer["epoch"]
        self._move(answer)
        if _is_page(self.snapshot):
            self.page(self.snapshot)
        rewound = [each for each in answer.get("publications", ()) if each["offset"] > before]
        yield Change("snapshot", self._offset, self.snapshot)
        for each in rewound:
            yield Change(each["event"], each["offset"], each["data"])

    def page(self, page: Mapping[str, Any]) -> None:
        """Take a page of items. Of one and a publication about its key, the one with the higher offset is right."""
        for item in page["items"]:
            key, offset = item["key"], item["offset"]
            if self._changed.get(key, 0) >= offset:
                continue
            data = item["data"]
            for later in self._differences.pop(key, ()):
                if later["offset"] > offset:
                    data, offset = _after(data, later), later["offset"]
            self.items[key], self._changed[key] = data, offset
        last = page["items"][-1]["key"] if page["items"] else None
        self.next = page.get("next", last) if page["more"] else None
        if self.next is None:
            self._differences.clear()
            self._changed = {key: at for key, at in self._changed.items() if key in self.items}

    def is_of_now(self, page: Mapping[str, Any]) -> bool:
        """Whether a page is of the log that is followed."""
        return bool(page["epoch"] == self._epoch)

    def take(self, told: Mapping[str, Any]) -> Change | None:
        """Take a publication; None: it is known already, or changes nothing that is known.

        Raises:
            Gap: It does not follow.
        """
        offset, mark = told["offset"], told["mark"]
        if offset < self._offset or (offset == self._offset and mark == self._mark):
            return None
        if offset == self._offset or told.get("after", offset - 1) != self._offset:
            raise Gap
        self._move(told)
        if "event" not in told:
            return None
        key = told.get("key")
        if key is None:
            return Change(told["event"], offset, told.get("data"))
        return self._take_item(told, key)

    def _take_item(self, told: Mapping[str, Any], key: str) -> Change | None:
        event, offset = told["event"], told["offset"]
        if self._changed.get(key, 0) >= offset:  # a page was ahead of the log
            return None
        if event == "remove":
            self.items.pop(key, None)
            self._differences.pop(key, None)
            self._note(key, offset)
            return Change(event, offset, told.get("data"), key)
        if key not in self.items and ("patch" in told or event == "append"):
            if self.next is not None:
                self._differences.setdefault(key, []).append(told)
            return None
        self._differences.pop(key, None)
        data = _after(self.items.get(key), told)
        self.items[key], self._changed[key] = data, offset
        return Change(event, offset, data, key)

    def _note(self, key: str, offset: int) -> None:
        if self.next is None:
            self._changed.pop(key, None)
        else:
            self._changed[key] = offset

    def _move(self, to: Mapping[str, Any]) -> None:
        self._offset, self._mark = to["offset"], to["mark"]


def _is_page(snapshot: Any) -> bool:
    """Whether a state is a map's: those of timelines, feeds and searches have items, too, but no keys."""
    items = snapshot.get("items") if isinstance(snapshot, dict) else None
    return isinstance(items, list) and all("key" in item for item in items)


def _after(before: Any, told: Mapping[str, Any]) -> Any:
    """An item's value after a publication that does not remove it."""
    if "patch" in told:
        return patched(before, told["patch"])
    if told["event"] != "append":
        return told.get("data")
    by = told["data"]
    return grown(before, by["add"], by.get("pop", 0), by.get("drop", 0))


def patched(before: Any, patch: Any) -> Any:
    """What a merge patch makes of a value, which stays as it is (RFC 7396 §2)."""
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for name, change in patch.items():
        if change is None:
            after.pop(name, None)
        else:
            after[name] = patched(after.get(name), change)
    return after


def grown(before: Any, add: Any, pop: int, drop: int) -> Any:
    """What an append makes of a value, which stays as it is: a merge patch whose arrays are columns that grow (docs/reference/wire.md)."""
    if isinstance(add, dict):
        after = dict(before) if isinstance(before, dict) else {}
        for name, more in add.items():
            if more is None:
                after.pop(name, None)
            else:
                after[name] = grown(after.get(name), more, pop, drop)
        return after
    if not isinstance(add, list):
        return add
    known = before if isinstance(before, list) else []
    if add and isinstance(add[0], list):
        columns = known or [[] for _ in add]
        return [grown(old, new, pop, drop) for old, new in zip(columns, add, strict=True)]
    return [*known[: len(known) - pop], *add][drop:]
