"""Putting off: a message is out of sight until a time, and then comes back as if it were new.

There is no timer for each. One loop in each process asks an index what is due first; what expires goes by the same loop.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import Fault, Invalid
from clarion.ids import Ids
from clarion.jobs.loop import POLL_S, Loop
from clarion.notifications.changes import snooze, woken, woken_facts
from clarion.notifications.expiring import expire
from clarion.notifications.inbox.leaving import Leaving
from clarion.notifications.inbox.ledger import state_of
from clarion.notifications.inbox.single import Single
from clarion.notifications.log import topic_of
from clarion.notifications.messages import Message, message_of
from clarion.storage import inbox as sql
from clarion.storage.inbox_rows import Head
from clarion.storage.store import Store
from clarion.topics.engine import TopicEngine
from clarion.topics.stream import Entry

SNOOZE_MAX_S = 366 * 24 * 3600  # for which a message may be put off
DUE_MAX = 200  # messages that come back with one look


class Snoozing(Single, Leaving):
    """What is put off, and what comes back."""

    def __init__(self, store: Store, engine: TopicEngine, *, clock: Clock, ids: Ids) -> None:
        super().__init__(store, engine, clock=clock, ids=ids)
        self.alarm = Loop("inbox-alarm", self.look, ids)
        """Brings back what was put off; whoever runs the process starts and closes it."""

    async def snooze(self, caller: Principal, id: str, until_ms: int) -> Message:
        """Put one message of the caller off: it is out of sight, and comes back unread and as the newest.

        Args:
            caller: Whose message.
            id: Of the message; one that is put off already gets the new time, one that is archived leaves the archive.
            until_ms: When it comes back: later than now, by a year and a day at most.

        Raises:
            NotFound: There is no such message, or it is not theirs.
            Invalid: The time has passed, or is too far away.
        """
        ahead_ms = until_ms - self._clock.now_ms()
        if not 0 < ahead_ms <= SNOOZE_MAX_S * 1000:
            wrong = "has passed" if ahead_ms <= 0 else "more than 366 days away"
            raise Invalid(f"until: {wrong}", faults=[Fault("/until", wrong)])
        message = await self._do(
            caller, id, lambda state: snooze(state, until_ms, self._clock.now_ms())
        )
        self.alarm.wake()
        return message

    async def look(self) -> float:
        """Bring back what was put off until now, and take away what has expired; returns how long to wait for the next (s)."""
        return min(await self._wake_up(), await expire(self, self._store, self._clock))

    async def _wake_up(self) -> float:
        rows = await self._store.fetch(sql.PUT_OFF, n=DUE_MAX)
        now_ms = self._clock.now_ms()
        due: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            if row.snooze_ms <= now_ms:
                due.setdefault((row.tenant, row.usr), []).append(row.id)
        for (tenant, user), ids in due.items():
            await self._bring_back(Principal(id=user, tenant=tenant), ids)
        if rows and rows[-1].snooze_ms <= now_ms:
            return POLL_S if len(rows) < DUE_MAX else 0.0
        later = [row.snooze_ms for row in rows if row.snooze_ms > now_ms]
        return max(0.0, later[0] - self._clock.now_ms()) / 1000 if later else POLL_S

    async def _bring_back(self, caller: Principal, ids: Sequence[str]) -> None:
        owner = {"tenant": caller.tenant, "usr": caller.id}
        entries: list[Entry] = []
        async with self._store.transaction() as tx:
            heads = await tx.fetch(sql.LOCK, **owner)
            if not heads:  # They were erased since.
                return
            head, now_ms = heads[0], self._clock.now_ms()
            for id in ids:
                for row in await tx.fetch(sql.FIND, **owner, id=id):
                    # Somebody may have put it off longer, or another process brought it back.
                    if row.snooze_ms is None or row.snooze_ms > now_ms:
                        continue
                    state = woken(state_of(row), now_ms)
                    await self._write(tx, caller, row, state, place=head.top + 1)
                    entry = await self._append(
                        tx,
                        caller,
                        head,
                        "added",
                        woken_facts(state),
                        unread=head.unread + 1,
                        unseen=head.unseen + 1,
                        carried=replace(message_of(row), seq=head.top + 1),
                    )
                    entries.append(entry)
                    head = Head(
                        head.epoch, entry.offset, entry.mark, head.unread + 1, head.unseen + 1
                    )
        if entries:
            await self._engine.announce(topic_of(caller.tenant, caller.id), head.epoch, entries)
