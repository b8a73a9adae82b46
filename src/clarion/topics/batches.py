"""Many publications in one call: those of one topic are made at one moment, in their order, and each has its own outcome."""

import asyncio
from collections.abc import Sequence

from clarion.auth.principal import Principal
from clarion.errors import ClarionError, PeerError, ServerError
from clarion.topics.arguments import check_name
from clarion.topics.changes import Change
from clarion.topics.kinds import Kind, Topic, parse
from clarion.topics.publishing import Call, PublishArgs, Published
from clarion.topics.topics import Topics

AT_ONCE = 16  # topics that one batch appends to at a time

Outcome = Published | ClarionError
"""What became of one publication."""


async def publish_many(
    topics: Topics, caller: Principal, given: Sequence[PublishArgs], name_bytes: int
) -> list[Outcome]:
    """Publish as somebody, to as many topics as there are.

    Args:
        topics: Where.
        caller: Who; each topic is asked whether they may.
        given: What, and where each.
        name_bytes: Of a topic's name (`limits.name_bytes`).

    Returns:
        An outcome for each, in their order. What is wrong with one does not keep the others; but where a topic cannot be appended
        to (`TooMany`, `Unavailable`), none of its publications is made, and all have that error.
    """
    outcomes: list[Outcome | None] = [None] * len(given)
    batches: dict[Topic, _Batch] = {}
    for at, each in enumerate(given):
        try:
            check_name("topic", each.topic, name_bytes)
            topic = parse(caller.tenant, each.topic)
            batch = batches.get(topic)
            if batch is None:
                kind = topics.kinds.find(topic.kind)
                batch = batches[topic] = _Batch(topics, kind, Call(topic, caller))
            batch.items.append((at, each))
        except PeerError as exc:
            outcomes[at] = exc
    room = asyncio.Semaphore(AT_ONCE)

    async def run(batch: _Batch) -> None:
        async with room:
            await batch.run(outcomes)

    await asyncio.gather(*map(run, batches.values()))
    return [outcome for outcome in outcomes if outcome is not None]


class _Batch:
    """The publications of one topic, with their places in the whole."""

    def __init__(self, topics: Topics, kind: Kind, call: Call) -> None:
        self._topics = topics
        self._kind = kind
        self._call = call
        self.items: list[tuple[int, PublishArgs]] = []

    async def run(self, outcomes: list[Outcome | None]) -> None:
        try:
            await self._kind.admit("publish", self._call.principal, self._call.topic)
        except (PeerError, ServerError) as exc:
            for at, _ in self.items:
                outcomes[at] = exc
            return
        if self._kind.publish is not None or self._kind.conflate_s:
            await self._take(outcomes)
            return
        changes: list[tuple[int, PublishArgs, Change]] = []
        for at, each in self.items:
            try:
                changes.append((at, each, self._topics.change_of(self._kind, self._call, each)))
            except PeerError as exc:
                outcomes[at] = exc
        if changes:
            await self._append(changes, outcomes)

    async def _take(self, outcomes: list[Outcome | None]) -> None:
        async def take(at: int, given: PublishArgs) -> None:
            try:
                outcomes[at] = await self._topics.take(self._kind, self._call, given)
            except (PeerError, ServerError) as exc:
                outcomes[at] = exc

        if self._kind.queues or self._kind.publish is None:
            # They queue in this order before they wait: with conflation all for the same tick.
            await asyncio.gather(*(take(at, each) for at, each in self.items))
            return
        # What the kind makes of one may depend on the one before.
        for at, each in self.items:
            await take(at, each)

    async def _append(
        self, changes: Sequence[tuple[int, PublishArgs, Change]], outcomes: list[Outcome | None]
    ) -> None:
        kind, call = self._kind, self._call
        try:
            appended = await self._topics.change(kind, call.topic, [each[2] for each in changes])
        except (PeerError, ServerError) as exc:
            for at, _, _ in changes:
                outcomes[at] = exc
            return
        for nth, (at, given, change) in enumerate(changes):
            try:
                outcomes[at] = self._topics.published(kind, call, given, change, appended, nth)
            except PeerError as exc:
                outcomes[at] = exc
