"""Subscriptions with an end of their own: each came with a token for its topic, and ends when that does."""

import heapq

from clarion.topics.live import Subscription

PRUNED_FROM = 64


class Ending:
    """Subscriptions by their ends. Those that end otherwise are forgotten when more than half of what is here is of that kind."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Subscription]] = []
        self._serial = 0  # keeps subscriptions from being compared
        self._most = PRUNED_FROM

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, subscription: Subscription, ends_ms: int | None) -> None:
        """Note an end (ms since 1970); None: there is none."""
        if ends_ms is None:
            return
        self._serial += 1
        heapq.heappush(self._heap, (ends_ms, self._serial, subscription))
        if len(self._heap) > self._most:
            self._heap = [each for each in self._heap if not each[2].has_ended]
            heapq.heapify(self._heap)
            self._most = 2 * len(self._heap) + PRUNED_FROM

    def due(self, now_ms: int) -> list[Subscription]:
        """Those whose time is over and that are still there; each is given out once."""
        found = []
        while self._heap and self._heap[0][0] <= now_ms:
            subscription = heapq.heappop(self._heap)[2]
            if not subscription.has_ended:
                found.append(subscription)
        return found
