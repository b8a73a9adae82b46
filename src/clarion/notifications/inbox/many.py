"""What a person does with many messages at once: all of them, those of a category or with a tag, or some by name."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import UNSET

from clarion.auth.principal import Principal
from clarion.errors import Fault, Invalid
from clarion.notifications.changes import ActionForAll, Event, act, all_facts, seen_facts
from clarion.notifications.inbox.ledger import Ledger, state_of
from clarion.notifications.log import topic_of
from clarion.notifications.messages import ChangedAll
from clarion.storage import inbox as sql
from clarion.storage.inbox_rows import Head
from clarion.storage.store import Sql, Tx
from clarion.topics.stream import Entry

SEEN_MAX = 100  # messages that are marked as seen together
ARCHIVED_AT_ONCE = 100  # messages that are put away by a filter, with an entry for each
NEWEST = 2**53 - 1  # above every `seq`
_NONE_LEFT = sql.Left(0, 0)

# What is done to all of them, and how the log calls it.
_ALL: Final[Mapping[ActionForAll, tuple[Sql[None], Event]]] = {
    "read": (sql.READ_ALL, "all_read"),
    "archive": (sql.ARCHIVE_ALL, "all_archived"),
    "seen": (sql.SEE_ALL, "all_seen"),
}
# To those of a category or with a tag; what is put away is told one by one.
_SOME: Final[Mapping[ActionForAll, tuple[Sql[None], Event]]] = {
    "read": (sql.READ_SOME, "some_read"),
    "seen": (sql.SEE_SOME, "some_seen"),
}


class Many(Ledger):
    """Changes of many messages."""

    async def mark_all(
        self,
        caller: Principal,
        action: ActionForAll,
        category: str = "",
        upto: int = NEWEST,
        tag: str = "",
    ) -> ChangedAll:
        """Mark all messages of the caller as read or seen, or put them all away: one entry of the log, however many they are.

        Args:
            caller: Whose inbox.
            action: What to do. Some of them, and not all, are put away a hundred at a time, the newest first, with an entry for each:
                `more` says whether there are others.
            category: Only messages of this; '': of all.
            upto: Only messages up to this `seq`: what came meanwhile stays as it is.
            tag: Only messages with this; '': with any or none.
        """
        owner = {"tenant": caller.tenant, "usr": caller.id}
        async with self._store.transaction() as tx:
            heads = await tx.fetch(sql.LOCK, **owner)
            if not heads:
                return ChangedAll(0, 0, 0)
            head, now_ms = heads[0], self._clock.now_ms()
            is_some, upto = bool(category or tag) or upto < head.top, min(upto, head.top)
            if is_some and action == "archive":
                changed, entries = await self._archive_some(tx, caller, head, category, tag, upto)
            else:
                statement, event = _ALL[action]
                only = {"category": category, "tag": tag} if category or tag else {}
                if only:
                    statement, event = _SOME[action]
                count = await tx.execute(statement, **owner, **only, upto=upto, now_ms=now_ms)
                if not count:
                    return ChangedAll(0, head.unread, head.unseen)
                left = (await tx.fetch(sql.LEFT, **owner))[0] if is_some else _NONE_LEFT
                unread = head.unread if action == "seen" else left.unread
                facts = all_facts(action, upto, now_ms, category, tag)
                entry = await self._append(
                    tx, caller, head, event, facts, unread=unread, unseen=left.unseen
                )
                changed, entries = ChangedAll(count, unread, left.unseen), [entry]
        if entries:
            await self._engine.announce(topic_of(caller.tenant, caller.id), head.epoch, entries)
            await self._marked(caller)
        return changed

    async def _archive_some(
        self, tx: Tx, caller: Principal, head: Head, category: str, tag: str, upto: int
    ) -> tuple[ChangedAll, list[Entry]]:
        owner = {"tenant": caller.tenant, "usr": caller.id}
        rows = await tx.fetch(
            sql.PAGES["all"],
            **owner,
            before=upto + 1,
            category=category,
            tag=tag,
            n=ARCHIVED_AT_ONCE + 1,
        )
        now_ms = self._clock.now_ms()
        entries: list[Entry] = []
        for each in rows[:ARCHIVED_AT_ONCE]:
            if each.seq is None:
                break
            row = await self._find(tx, caller, each.id)
            entry = await self._change(tx, caller, head, row, act(state_of(row), "archive", now_ms))
            assert entry is not None, "was in the list, and archived already"
            entries.append(entry)
            numbers = entry.data["unread"], entry.data["unseen"]
            head = Head(head.epoch, entry.offset, entry.mark, *numbers)
        more = len(rows) > ARCHIVED_AT_ONCE or UNSET
        return ChangedAll(len(entries), head.unread, head.unseen, more), entries

    async def mark_seen(self, caller: Principal, ids: Sequence[str]) -> ChangedAll:
        """Mark messages of the caller as seen: one entry of the log. Of ids that are not there, or not theirs, nothing is said.

        Raises:
            Invalid: More than 100.
        """
        if len(ids) > SEEN_MAX:
            raise Invalid(faults=[Fault("/ids", f"at most {SEEN_MAX}")])
        async with self._store.transaction() as tx:
            heads = await tx.fetch(sql.LOCK, tenant=caller.tenant, usr=caller.id)
            if not heads:
                return ChangedAll(0, 0, 0)
            head, now_ms = heads[0], self._clock.now_ms()
            seen: list[str] = []
            unseen = head.unseen
            for id in dict.fromkeys(ids):
                for row in await tx.fetch(sql.FIND, tenant=caller.tenant, usr=caller.id, id=id):
                    state = state_of(row)
                    changed = act(state, "seen", now_ms)
                    if changed != state:
                        await self._write(tx, caller, row, changed)
                        seen.append(id)
                        unseen -= state.is_unseen
            if not seen:
                return ChangedAll(0, head.unread, head.unseen)
            facts = seen_facts(seen, now_ms)
            entry = await self._append(
                tx, caller, head, "seen", facts, unread=head.unread, unseen=unseen
            )
        await self.announce(caller.tenant, caller.id, head.epoch, entry)
        await self._marked(caller)
        return ChangedAll(len(seen), head.unread, unseen)
