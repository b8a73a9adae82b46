"""What each change of an inbox is made of: the message as it is then, an entry of the log, the numbers, and word of it."""

from collections.abc import Awaitable, Callable

from msgspec.structs import asdict

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import NotFound
from clarion.ids import Ids
from clarion.notifications.changes import Event, State, changed_facts, data_of
from clarion.notifications.log import WINDOW, topic_of
from clarion.notifications.messages import Message, message_of
from clarion.storage import inbox as sql
from clarion.storage.inbox_rows import Head, MessageRow
from clarion.storage.store import Store, Tx
from clarion.topics.engine import TopicEngine
from clarion.topics.stream import MARK_MODULUS, Entry

Tell = Callable[[], Awaitable[None]]
"""Tells a user's sockets of what was committed."""


class Ledger:
    """Reads and writes single messages with their entries.

    Args:
        store: Where inboxes are.
        engine: Tells subscribers of changes.
        clock: Time of changes.
        ids: For the marks of the logs.
    """

    def __init__(self, store: Store, engine: TopicEngine, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self.on_marked: Callable[[str, str], Awaitable[None]] | None = None
        """Called with tenant and user after they have read, or put away, something: runs may be waiting for that."""

    async def announce(self, tenant: str, user: str, epoch: str, entry: Entry) -> None:
        """Tell a user's sockets of an entry that was committed."""
        await self._engine.announce(topic_of(tenant, user), epoch, [entry])

    async def _marked(self, caller: Principal) -> None:
        if self.on_marked is not None:
            await self.on_marked(caller.tenant, caller.id)

    async def _find(self, where: Store | Tx, caller: Principal, id: str) -> MessageRow:
        found = await where.fetch(sql.FIND, tenant=caller.tenant, usr=caller.id, id=id)
        if not found:
            raise NotFound("there is no such message in this inbox")
        return found[0]

    async def _change(
        self, tx: Tx, caller: Principal, head: Head, row: MessageRow, changed: State
    ) -> Entry | None:
        state = state_of(row)
        if changed == state:
            return None
        await self._write(tx, caller, row, changed)
        carried, entered = None, None
        came_back = state.is_hidden and not changed.is_hidden
        if came_back:
            carried = row
        elif changed.is_hidden and not state.is_hidden:
            carried = await self._entered(tx, caller, row.seq)
            entered = None if carried is None else state_of(carried)
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
        head: Head,
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


def state_of(row: MessageRow) -> State:
    """What its owner has done with a message."""
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
