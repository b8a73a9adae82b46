"""What a subscriber makes of what it is told, in whatever order it comes: the server's state."""

import itertools
from typing import Any

import pytest

from clarion.client.following import Change, Following, Gap, patched
from clarion.ids import Ids
from clarion.topics.growth import grown
from clarion.topics.patches import merge_patch


class Chance:
    """The same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._ids = Ids.seeded(seed)

    def below(self, most: int) -> int:
        return min(most - 1, int(self._ids.uniform(0, most)))

    def happens(self, share: float) -> bool:
        return self._ids.uniform(0, 1) < share


class Server:
    """A map and its log, as values."""

    def __init__(self, chance: Chance) -> None:
        self.items: dict[str, tuple[Any, int]] = {}
        self.log: list[dict[str, Any]] = []
        self.epoch, self.size = "e", 1 + chance.below(4)

    @property
    def position(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "offset": len(self.log), "mark": 7 * len(self.log)}

    def set(self, key: str, data: Any) -> dict[str, Any]:
        before = self.items.get(key)
        told = self._append(key, "set", data)
        self.items[key] = data, told["offset"]
        patch = None if before is None else merge_patch(before[0], data)
        if patch is None:
            return told
        return {**{k: v for k, v in told.items() if k != "data"}, "patch": patch}

    def grow(self, key: str, by: dict[str, Any]) -> dict[str, Any]:
        told = self._append(key, "append", by)
        self.items[key] = grown(self.items[key][0], by), told["offset"]
        return told

    def remove(self, key: str) -> dict[str, Any]:
        self.items.pop(key, None)
        return self._append(key, "remove", {"reason": "left"})

    def page(self, after: str) -> dict[str, Any]:
        keys = sorted(key for key in self.items if key > after)
        some = keys[: self.size]
        items = [
            {"key": key, "data": self.items[key][0], "offset": self.items[key][1]} for key in some
        ]
        more = len(keys) > len(some)
        return {**self.position, "items": items, "more": more} | (
            {"next": some[-1]} if more else {}
        )

    def answer(self, since: dict[str, Any] | None) -> dict[str, Any]:
        if since is not None and since["epoch"] == self.epoch:
            missed = self.log[since["offset"] :]
            return {**self.position, "recovered": True, "publications": missed}
        return {**self.position, "recovered": False, "snapshot": self.page("")}

    def lose_log(self) -> None:
        self.epoch += "+"
        self.log = []
        for key, (data, _) in list(self.items.items()):
            self.set(key, data)

    def _append(self, key: str, event: str, data: Any) -> dict[str, Any]:
        offset = len(self.log) + 1
        told = {"offset": offset, "mark": 7 * offset, "event": event, "key": key, "data": data}
        self.log.append(told)
        return told


@pytest.mark.parametrize("seed", range(150))
def test_any_interleaving_ends_in_the_servers_state(seed: int) -> None:
    """Pages that are ahead of the log or behind it, breaks, skipped publications, lost logs; of one log no change is told of twice."""
    chance = Chance(seed)
    server, known = Server(chance), Following()
    waiting: list[dict[str, Any]] = []  # announced, not delivered
    pages: list[dict[str, Any]] = []  # read by the server, not delivered
    told: list[Change] = []

    def change() -> None:
        key = "abcdefghij"[chance.below(10)]
        if key in server.items and chance.happens(0.25):
            waiting.append(server.remove(key))
        elif isinstance(server.items.get(key, (0,))[0], dict) and chance.happens(0.4):
            waiting.append(server.grow(key, {"add": {"t": [chance.below(99)], "n": None}}))
        else:
            data = {"n": chance.below(1_000), "same": "s" * 30, f"m{chance.below(3)}": 1}
            waiting.append(server.set(key, data if chance.happens(0.8) else chance.below(99)))

    def subscribe() -> None:
        waiting.clear()
        pages.clear()
        told.extend(known.answer(server.answer(known.since)))

    for _ in range(chance.below(21)):
        change()
    subscribe()
    for _ in range(150):
        match chance.below(10):
            case 0 | 1 | 2 | 3:
                change()
            case 4 | 5 if waiting:
                if (one := known.take(waiting.pop(0))) is not None:
                    told.append(one)
            case 6 if known.next is not None and not pages:
                pages.append(server.page(known.next))
            case 7 if pages:
                known.page(pages.pop())
            case 8 if chance.happens(0.3):
                subscribe()
            case 9 if chance.happens(0.05):
                server.lose_log()
                subscribe()
            case _:
                pass
    for each in waiting:
        known.take(each)
    while known.next is not None:
        known.page(server.page(known.next))
    assert known.items == {key: data for key, (data, _) in server.items.items()}
    assert known.since == server.position
    changes = [each.offset for each in told if each.event != "snapshot"]
    falls = sum(later <= earlier for earlier, later in itertools.pairwise(changes))
    assert falls < len(server.epoch)


def test_what_does_not_follow_is_a_gap_and_what_says_so_is_none() -> None:
    """`after` names what a publication follows; one without an event only moves the position."""
    known = Following()
    at = {"epoch": "e", "offset": 1, "mark": 1}
    assert list(known.answer({**at, "recovered": False, "snapshot": None})) == [
        Change("snapshot", 1)
    ]
    assert known.take({"offset": 4, "mark": 4, "after": 1}) is None
    assert known.take({"offset": 4, "mark": 4, "after": 1}) is None
    said = {"offset": 7, "mark": 7, "event": "said", "data": "x"}
    for wrong in (said, {**said, "after": 3}, {**said, "offset": 4, "after": 3}):
        with pytest.raises(Gap):
            known.take(wrong)
    assert known.take({**said, "after": 4}) == Change("said", 7, "x")
    assert known.offset == 7


def test_a_rewind_is_told_once() -> None:
    """Publications from before, but for those that were known."""
    known = Following()

    def answer(last: int, epoch: str = "e") -> list[Any]:
        said = [{"offset": n, "mark": n, "event": "said", "data": n} for n in range(1, last + 1)]
        at = {"epoch": epoch, "offset": last, "mark": last, "snapshot": None}
        return [
            each.data
            for each in known.answer({**at, "recovered": False, "publications": said[-2:]})
            if each.event == "said"
        ]

    assert answer(2) == [1, 2]
    assert answer(3) == [3]
    assert answer(2, "other") == [1, 2]


def test_merge_patches_as_rfc_7396_has_them() -> None:
    """Members change, go, and nest; anything but an object replaces."""
    assert patched({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": None, "e": 4}}) == {
        "a": {"b": 1, "e": 4},
        "d": 3,
    }
    assert patched({"a": 1}, [1]) == [1]
    assert patched([1], {"a": {"b": None}}) == {"a": {}}


@pytest.mark.parametrize(
    "snapshot", [{"items": [], "more": False}, {"items": [{"id": "1"}], "more": True}]
)
def test_a_state_that_is_no_maps_is_there_as_it_came(snapshot: Any) -> None:
    """As a timeline's: each publication is a change, and no page is missing."""
    known, at = Following(), {"epoch": "e", "offset": 3, "mark": 3}
    told = list(known.answer({**at, "recovered": False, "snapshot": snapshot}))
    assert told == [Change("snapshot", 3, snapshot)]
    assert (known.items, known.next) == ({}, None)
    data = {"item": {"id": "2"}, "more": False}
    change = known.take({"offset": 4, "mark": 4, "event": "added", "data": data})
    assert change == Change("added", 4, data)
