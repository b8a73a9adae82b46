"""The inbox: what a person was sent, and what of it they have read or put away.

Every change is one transaction: the message, an entry of the user's log, and the number of unread messages. Whoever holds the
user's head is alone in that inbox, so that the log has one order. Subscribers are told after the commit.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import UNSET, Meta, Struct
from msgspec.structs import asdict, replace

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import Conflict, Fault, Invalid, NotFound
from clarion.ids import Ids
from clarion.jobs.loop import POLL_S, Loop
from clarion.notifications.changes import (
    Action,
    ActionForAll,
    Event,
    State,
    act,
    all_facts,
    changed_facts,
    data_of,
    press,
    removed_facts,
    seen_facts,
    snooze,
    taken_over,
    woken,
    woken_facts,
)
from clarion.notifications.content import Tag
from clarion.notifications.expiring import expire
from clarion.notifications.log import LOG_AGE_S, LOG_SIZE, NOTHING, WINDOW, InboxLog, topic_of
from clarion.notifications.messages import (
    ChangedAll,
    InboxCounts,
    InboxPage,
    Message,
    buttons_of,
    message_of,
    shown,
)
from clarion.storage import inbox as sql
from clarion.storage.inbox import MessageRow
from clarion.storage.inbox_retention import FORGET, Old
from clarion.storage.notifications import FIRST_EPOCH
from clarion.storage.store import Sql, Store, Tx
from clarion.topics.engine import TopicEngine
from clarion.topics.publishing import Call, Publish, Published
from clarion.topics.stream import MARK_MODULUS, Entry, Position

PAGE = 50  # messages of a page, unless asked otherwise
PAGE_MAX = 100
SNOOZE_MAX_S = 366 * 24 * 3600  # for which a message may be put off
DUE_MAX = 200  # messages that come back with one look
SEEN_MAX = 100  # messages that are marked as seen together
ARCHIVED_AT_ONCE = 100  # messages that are put away by a filter, with an entry for each
_NONE_LEFT = sql.Left(0, 0)
_NEWEST = 2**53 - 1  # a cursor above every `seq`


Tell = Callable[[], Awaitable[None]]
"""Tells a user's sockets of what was committed."""


class Seen(Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages have been on the screen: those named, or (None) all, of a category, with a tag, up to a `seq`."""

    ids: (
        Annotated[
            list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=SEEN_MAX)
        ]
        | None
    ) = None
    category: Annotated[str, Meta(max_length=64)] = ""
    tag: Tag = ""
    upto: Annotated[int, Meta(ge=0, le=_NEWEST)] = _NEWEST

    def __post_init__(self) -> None:
        """Refuse names together with what narrows all."""
        if self.ids is not None and (self.category or self.tag or self.upto < _NEWEST):
            raise ValueError("ids name what is meant: neither category, tag nor upto go with them")


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


class Added(Protocol):
    """Where a message stands in the log of its inbox, and how many are unread with it."""

    @property
    def offset(self) -> int | None: ...  # noqa: D102
    @property
    def epoch(self) -> str: ...  # noqa: D102
    @property
    def mark(self) -> int: ...  # noqa: D102
    @property
    def prior(self) -> int: ...  # noqa: D102
    @property
    def unread(self) -> int: ...  # noqa: D102
    @property
    def unseen(self) -> int: ...  # noqa: D102


class Inbox:
    """Everybody's inboxes.

    Args:
        store: Where they are.
        engine: Tells subscribers of changes.
        clock: Time of changes.
        ids: For the marks of the logs.
    """

    def __init__(self, store: Store, engine: TopicEngine, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self.alarm = Loop("inbox-alarm", self.look, ids)
        """Brings back what was put off; whoever runs the process starts and closes it."""
        self.on_marked: Callable[[str, str], Awaitable[None]] | None = None
        """Called with tenant and user after they have read, or put away, something: runs may be waiting for that."""

    async def page(
        self,
        caller: Principal,
        cursor: str | None = None,
        limit: int = PAGE,
        filter: sql.Filter = "all",
        category: str = "",
        tag: str = "",
    ) -> InboxPage:
        """Messages of the caller, newest first.

        Args:
            caller: Whose inbox.
            cursor: `next` of the page before; None: the first page.
            limit: Messages of the page, 1 to 100.
            filter: `all`: what is neither archived nor snoozed; `unread`, `pinned`: of these; `archived`, `snoozed`: the others.
            category: Only messages of this; '': of all.
            tag: Only messages with this; '': with any or none.

        Raises:
            Invalid: The cursor is not one of ours, or the limit out of range.
        """
        before = _NEWEST if cursor is None else _seq(cursor)
        if not 1 <= limit <= PAGE_MAX:
            raise Invalid(
                f"limit must be 1 to {PAGE_MAX}", faults=[Fault("?limit", f"1 to {PAGE_MAX}")]
            )
        found = await self._store.fetch(
            sql.PAGES[filter],
            tenant=caller.tenant,
            usr=caller.id,
            before=before,
            category=category,
            tag=tag,
            n=limit + 1,
        )
        if not found:
            return InboxPage([], None, 0, 0, NOTHING)
        head = found[0]
        rows = [row for row in found[:limit] if row.seq is not None]
        return InboxPage(
            items=[shown(row) for row in rows],
            next=str(rows[-1].seq) if len(found) > limit else None,
            unread=head.unread,
            unseen=head.unseen,
            position=Position(head.epoch, head.top, head.head_mark),
        )

    async def counts(self, caller: Principal, category: str = "", tag: str = "") -> InboxCounts:
        """How many messages of the caller are unread and unseen: of a category, with a tag, or (both '') of all."""
        found = await self._store.fetch(
            sql.COUNTS, tenant=caller.tenant, usr=caller.id, category=category, tag=tag
        )
        if not found:
            return InboxCounts(0, 0, NOTHING)
        head = found[0]
        return InboxCounts(head.unread, head.unseen, Position(head.epoch, head.top, head.mark))

    async def mark(self, caller: Principal, id: str, action: Action) -> Message:
        """Change one message of the caller; returns it as it is then. What changes nothing leaves no trace.

        Raises:
            NotFound: There is no such message, or it is not theirs.
        """
        return await self._do(caller, id, lambda state: act(state, action, self._clock.now_ms()))

    async def press(self, caller: Principal, id: str, button: str) -> Message:
        """Press a button of a message of the caller: that is to follow it. The same once more changes nothing.

        Raises:
            NotFound: There is no such message, it is not theirs, or it has no such button.
            Conflict: Another of its buttons was pressed.
        """
        buttons = buttons_of((await self._find(self._store, caller, id)).actions) or []
        if button not in {each.id for each in buttons}:
            raise NotFound("this message has no such action")
        message = await self._do(
            caller, id, lambda state: press(state, button, self._clock.now_ms())
        )
        if message.done and message.done.action != button:
            raise Conflict(f"{message.done.action!r} was done already")
        return message

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
                    state = woken(_state(row), now_ms)
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
                    head = sql.Head(
                        head.epoch, entry.offset, entry.mark, head.unread + 1, head.unseen + 1
                    )
        if entries:
            await self._engine.announce(topic_of(caller.tenant, caller.id), head.epoch, entries)

    async def _do(self, caller: Principal, id: str, change: Callable[[State], State]) -> Message:
        # Most calls that have nothing to do find out here, without a turn at writing.
        row = await self._find(self._store, caller, id)
        if change(_state(row)) == _state(row):
            return shown(row)
        async with self._store.transaction() as tx:
            head = (await tx.fetch(sql.LOCK, tenant=caller.tenant, usr=caller.id))[0]
            row = await self._find(tx, caller, id)
            changed = change(_state(row))
            entry = await self._change(tx, caller, head, row, changed)
        if entry is not None:
            await self.announce(caller.tenant, caller.id, head.epoch, entry)
            await self._marked(caller)
        return shown(replace(row, **asdict(changed)))

    async def mark_all(
        self,
        caller: Principal,
        action: ActionForAll,
        category: str = "",
        upto: int = _NEWEST,
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
        self, tx: Tx, caller: Principal, head: sql.Head, category: str, tag: str, upto: int
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
            entry = await self._change(tx, caller, head, row, act(_state(row), "archive", now_ms))
            assert entry is not None, "was in the list, and archived already"
            entries.append(entry)
            numbers = entry.data["unread"], entry.data["unseen"]
            head = sql.Head(head.epoch, entry.offset, entry.mark, *numbers)
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
                    state = _state(row)
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

    async def publish(self, call: Call, given: Publish) -> Published:
        """What a person's client says on its own inbox: `seen {ids?}`; without ids all are meant, or those that `category`, `tag`, `upto` say.

        Raises:
            Invalid: It says anything else.
        """
        assert call.principal is not None, "nobody but a person has an inbox"
        if given.event != "seen" or given.key is not None:
            raise Invalid(faults=[Fault("/event", "an inbox is told what was `seen`")])
        try:
            said = msgspec.convert(given.data or {}, Seen)
        except msgspec.ValidationError as exc:
            raise Invalid(faults=[Fault.of(exc, Seen)]) from exc
        if said.ids is None:
            await self.mark_all(call.principal, "seen", said.category, said.upto, said.tag)
        else:
            await self.mark_seen(call.principal, said.ids)
        [at] = await InboxLog(self._store).top([call.topic])
        return Published(call.topic.wire, at.epoch, at.offset, at.mark, "durable")

    async def announce_added(self, tenant: str, user: str, message: Message, at: Added) -> None:
        """Tell a user's sockets of a message that was committed.

        Args:
            tenant: Theirs.
            user: Whose inbox.
            message: As it was added.
            at: Where it stands in the log; of a storage procedure's answer.
        """
        assert at.offset is not None, "committed, and in no log"
        data = data_of("", message, at.unread, at.unseen)
        entry = Entry(at.offset, at.mark, at.prior, "added", data)
        await self.announce(tenant, user, at.epoch, entry)

    def present(self, tenant: str, users: Sequence[str]) -> list[str]:
        """Those of some users who look at their inbox on this process."""
        feeds = self._engine.feeds
        return [user for user in users if topic_of(tenant, user) in feeds] if feeds else []

    def present_between(self, tenant: str, first: str, last: str) -> list[str]:
        """Those who look at their inbox on this process, with ids from one to another."""
        return [
            topic.name
            for topic in self._engine.feeds
            if topic.tenant == tenant and topic.kind == "inbox" and first <= topic.name <= last
        ]

    async def announce_added_here(
        self, tenant: str, user: str, message: Message, at: Added
    ) -> None:
        """As `announce_added`, to the sockets of this process alone: each process tells its own."""
        assert at.offset is not None, "committed, and in no log"
        entry = Entry(
            at.offset, at.mark, at.prior, "added", data_of("", message, at.unread, at.unseen)
        )
        self._engine.announce_here(topic_of(tenant, user), at.epoch, [entry])

    async def announce(self, tenant: str, user: str, epoch: str, entry: Entry) -> None:
        """Tell a user's sockets of an entry that was committed."""
        await self._engine.announce(topic_of(tenant, user), epoch, [entry])

    async def note(
        self, tx: Tx, tenant: str, user: str, event: Event, facts: Mapping[str, Any]
    ) -> Awaitable[None]:
        """Write an entry about the user that is of no message; what is returned tells their sockets, after the commit."""
        owner = Principal(id=user, tenant=tenant)
        await tx.execute(sql.ADD_HEAD, tenant=tenant, usr=user, epoch=FIRST_EPOCH)
        [head] = await tx.fetch(sql.LOCK, tenant=tenant, usr=user)
        text = msgspec.json.encode(facts).decode()
        entry = await self._append(
            tx, owner, head, event, text, unread=head.unread, unseen=head.unseen
        )
        return self.announce(tenant, user, head.epoch, entry)

    async def replace(
        self, tx: Tx, tenant: str, user: str, id: str, key: str, *, quiet: bool = False
    ) -> list[Tell]:
        """Let a message that was just added take the place of the earlier one of its key; what is returned tells of that, after the commit.

        Args:
            tx: In which it was added.
            tenant: Of the user,
            user: whose inbox it is.
            id: Of the message.
            key: That it shares with the earlier one.
            quiet: It asks for nobody's attention anew: it is read, seen, pinned, archived or snoozed if the earlier one was.
        """
        owner = {"tenant": tenant, "usr": user}
        told: list[Tell] = []
        for earlier in await tx.fetch(sql.EARLIER, **owner, id=id, key=key):
            if quiet:
                told += await self._take_over(tx, Principal(id=user, tenant=tenant), id, earlier.id)
            told += await self.remove(tx, tenant, user, earlier.id)
        await tx.execute(sql.KEEP_KEY, **owner, id=id, key=key)
        return told

    async def _take_over(self, tx: Tx, caller: Principal, id: str, earlier: str) -> list[Tell]:
        [head] = await tx.fetch(sql.LOCK, tenant=caller.tenant, usr=caller.id)
        row, former = await self._find(tx, caller, id), await self._find(tx, caller, earlier)
        state = taken_over(_state(row), _state(former))
        entry = await self._change(tx, caller, head, row, state)
        if entry is None:
            return []
        return [partial(self.announce, caller.tenant, caller.id, head.epoch, entry)]

    async def remove(self, tx: Tx, tenant: str, user: str, id: str) -> list[Tell]:
        """Take a message out of an inbox for good; what is returned tells of that, after the commit. Nothing, if it is gone already."""
        owner = Principal(id=user, tenant=tenant)
        heads = await tx.fetch(sql.LOCK, tenant=tenant, usr=user)
        rows = await tx.fetch(sql.FIND, tenant=tenant, usr=user, id=id)
        for row in rows:
            await tx.apply(FORGET, [Old(tenant, user, id, row.notification)])
        if not heads or not rows:
            return []
        [head], [row] = heads, rows
        state = _state(row)
        entered = None if state.is_hidden else await self._entered(tx, owner, row.seq)
        entry = await self._append(
            tx,
            owner,
            head,
            "removed",
            removed_facts([id], None if entered is None else _state(entered)),
            unread=head.unread - state.counts,
            unseen=head.unseen - state.is_unseen,
            carried=None if entered is None else message_of(entered),
        )
        return [partial(self.announce, tenant, user, head.epoch, entry)]

    def trim(self, keep: int | None = None, age_s: int | None = None) -> AsyncIterator[int]:
        """Remove what the logs need not keep: beyond the newest entries, or older than so long. See `jobs.purging.Slices`.

        Args:
            keep: How many; None: 1,000.
            age_s: How old they may get (s); None: 7 days.
        """
        before = self._clock.now_ms() - (LOG_AGE_S if age_s is None else age_s) * 1000
        return sql.LOGS.trim(self._store, keep=LOG_SIZE if keep is None else keep, before_ms=before)

    async def _marked(self, caller: Principal) -> None:
        if self.on_marked is not None:
            await self.on_marked(caller.tenant, caller.id)

    async def _find(self, where: Store | Tx, caller: Principal, id: str) -> MessageRow:
        found = await where.fetch(sql.FIND, tenant=caller.tenant, usr=caller.id, id=id)
        if not found:
            raise NotFound("there is no such message in this inbox")
        return found[0]

    async def _change(
        self, tx: Tx, caller: Principal, head: sql.Head, row: MessageRow, changed: State
    ) -> Entry | None:
        state = _state(row)
        if changed == state:
            return None
        await self._write(tx, caller, row, changed)
        carried, entered = None, None
        came_back = state.is_hidden and not changed.is_hidden
        if came_back:
            carried = row
        elif changed.is_hidden and not state.is_hidden:
            carried = await self._entered(tx, caller, row.seq)
            entered = None if carried is None else _state(carried)
        return await self._append(
            tx,
            caller,
            head,
            "changed",
            changed_facts(
                row.id,
                changed,
                came_back=came_back,
                entered=entered,
                seq=carried.seq if carried else None,
            ),
            unread=head.unread + changed.counts - state.counts,
            unseen=head.unseen + changed.is_unseen - state.is_unseen,
            carried=None if carried is None else message_of(carried),
        )

    async def _entered(self, tx: Tx, caller: Principal, gone: int) -> MessageRow | None:
        """The message that came into the window when another left it."""
        owner = {"tenant": caller.tenant, "usr": caller.id}
        edge = await tx.fetch(sql.ENTERED, **owner, last=WINDOW - 1, gone=gone)
        return await self._find(tx, caller, edge[0].id) if edge else None

    async def _write(
        self,
        tx: Tx,
        caller: Principal,
        row: MessageRow,
        state: State,
        *,
        place: int | None = None,
    ) -> None:
        await tx.execute(
            sql.MARK,
            tenant=caller.tenant,
            usr=caller.id,
            seq=row.seq,
            place=place or row.seq,
            **asdict(state),
        )

    async def _append(
        self,
        tx: Tx,
        caller: Principal,
        head: sql.Head,
        event: Event,
        facts: str,
        *,
        unread: int,
        unseen: int,
        carried: Message | None = None,
    ) -> Entry:
        owner = {"tenant": caller.tenant, "usr": caller.id}
        offset, mark = head.top + 1, (head.mark + self._ids.mark()) % MARK_MODULUS
        await tx.execute(
            sql.APPEND,
            **owner,
            off=offset,
            mark=mark,
            prior=head.mark,
            event=event,
            carries="" if carried is None else carried.id,
            data=facts,
            unread=unread,
            unseen=unseen,
            now_ms=self._clock.now_ms(),
        )
        await tx.execute(sql.RAISE, **owner, off=offset, mark=mark, unread=unread, unseen=unseen)
        return Entry(offset, mark, head.mark, event, data_of(facts, carried, unread, unseen))


def _state(row: MessageRow) -> State:
    return State(
        row.read_ms,
        row.archived_ms,
        row.seen_ms,
        row.pinned_ms,
        row.snooze_ms,
        row.clicked_ms,
        row.done,
        row.done_ms,
        row.put_off_ms,
        row.back_ms,
    )


def _seq(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 15):
        raise Invalid(
            "the cursor is not one that a page has given", faults=[Fault("?cursor", "unknown")]
        )
    return int(cursor)
