"""Bulk: what a workflow tells everybody alike goes into the inboxes set by set, and no run is made for anybody.

That is so if each step is an unconditional message of the inbox and no template asks who is being told. The same content is then
stored once for each slice, and of each slice only the people's ids pass through this process.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import ClarionError
from clarion.ids import Ids
from clarion.notifications.channels import Channels
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.inbox import Inbox
from clarion.notifications.prepared import nothing, prepare
from clarion.notifications.rendering import Renderer, Unrenderable, Wish
from clarion.notifications.sight.stats import change
from clarion.notifications.workflows.advance import message_id
from clarion.notifications.workflows.definition import LINKS, Say, Workflow
from clarion.notifications.writing import content_of, message_of_content
from clarion.storage import bulk as sql
from clarion.storage import outgoing as sent_sql
from clarion.storage import stats as stat_sql
from clarion.storage.store import Store, Tx
from clarion.storage.triggers import TriggerRow
from clarion.telemetry import Tasks, get_logger, messages

_log = get_logger(__name__)

TOLD: Final = "told in bulk"
"""What processes tell each other, a `Slice`."""

_PERSONAL: Final = frozenset({"recipient", LINKS})


class Alike(Struct, frozen=True):
    """A message that everybody gets, what it says to a slice of them, and since when it was to be said."""

    message: str
    content: sent_sql.NewContent
    since_ms: int


class Slice(Struct, frozen=True):
    """A message that some people were told, the ids of all of whom lie between two: each process tells those who are there."""

    tenant: str
    message: str
    first: str
    last: str
    content: sent_sql.NewContent


class Bulk:
    """Writes what is the same for all.

    Args:
        store: Where the inboxes are.
        channels: Say what may be said.
        renderer: Fills in templates.
        inbox: Tells who is online.
        clock: The time.
        ids: Marks of the logs.
    """

    def __init__(
        self,
        store: Store,
        channels: Channels,
        renderer: Renderer,
        inbox: Inbox,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._channels, self._renderer, self._inbox = store, channels, renderer, inbox
        self._clock, self._ids = clock, ids
        self._tasks = Tasks()
        self.tell_others: Callable[[Any], None] = _nobody
        """Takes what the other processes are to `hear`."""

    async def alike(self, row: TriggerRow, tenant: str, workflow: Workflow) -> list[Alike] | None:
        """What everybody is told by a trigger; None: that depends on who it is, or there is more to do."""
        says = [
            (step.id, step.act)
            for step in workflow.steps
            if step.when is None and isinstance(step.act, Say) and step.act.channel == INBOX
        ]
        channel = self._channels.get(INBOX)
        if len(says) < len(workflow.steps) or channel is None or workflow.asks:
            return None
        wishes: list[Wish] = []
        facts = {
            "payload": msgspec.json.decode(row.payload),
            "actor": row.actor or None,
            "workflow": {"key": workflow.key, "category": workflow.category},
        }
        for _, say in says:
            if say.content.get("key"):
                return None  # each inbox has its own earlier one
            if say.templates:
                return None  # which of their languages is said depends on the reader
            prepared = prepare(say.content, nothing, 0)
            if any(_PERSONAL & slot.words or slot.is_formatted for slot in prepared.slots):
                return None
            wishes.append(Wish(prepared, facts))
        found: list[Alike] = []
        for n, said in enumerate(await self._renderer.render(wishes)):
            if isinstance(said, Unrenderable):
                return None  # each run says so
            try:
                msgspec.convert(said, channel.said)
            except msgspec.ValidationError:
                return None
            message = message_id(row.id, n)
            # Each slice has a content of its own, as old as its messages: it goes when they do.
            now_ms = self._clock.now_ms()
            content = content_of(
                tenant, self._ids.ordered(now_ms), workflow, says[n][0], row.id, said, now_ms
            )
            # Nobody's own, however few there are: erasing one of them leaves it to the others.
            content = msgspec.structs.replace(content, recipients=0)
            found.append(Alike(message, content, row.created_ms))
        return found

    async def write(
        self, tx: Tx, tenant: str, alike: Sequence[Alike], users: Sequence[str]
    ) -> None:
        """Put the messages into the inboxes of a slice of people, each once."""
        await tx.apply(sent_sql.ADD_CONTENT, [each.content for each in alike])
        text = msgspec.json.encode(users).decode()
        for each in alike:
            mark = self._ids.mark()
            whom: dict[str, Any] = {"tenant": tenant, "users": text}
            await tx.execute(sql.RAISE_HEADS, **whom, mark=mark)
            what: dict[str, Any] = {"message": each.message, "now_ms": each.content.created_ms}
            await tx.execute(sql.ADD_MESSAGES, **whom, **what, notification=each.content.id)
            await tx.execute(sql.ADD_CHANGES, **whom, **what, mark=mark)
        counted = [
            change(
                tenant,
                each.content.created_ms,
                each.content.workflow,
                INBOX,
                each.content.category,
                status,
                len(users),
                each.content.created_ms - each.since_ms,
            )
            for each in alike
            for status in ("sent", "delivered")
        ]
        await tx.apply(stat_sql.ADD, counted)

    async def written(self, tenant: str, alike: Sequence[Alike], users: Sequence[str]) -> None:
        """After the commit: tell those of them who are here."""
        messages.labels(INBOX).inc(len(users) * len(alike))
        for each in alike:
            told = Slice(tenant, each.message, users[0], users[-1], each.content)
            self.tell_others(msgspec.to_builtins(told))
            await self._tell(told, self._inbox.present(tenant, users))

    def hear(self, told: Any) -> None:
        """Another process has told people something: tell the sockets of this one."""
        self._tasks.spawn(self._heard(msgspec.convert(told, Slice)), name="told in bulk")

    async def close(self) -> None:
        """Tell nobody any more."""
        await self._tasks.close()

    async def _heard(self, told: Slice) -> None:
        try:
            here = self._inbox.present_between(told.tenant, told.first, told.last)
            await self._tell(told, here)
        except ClarionError as exc:
            # The position check of their topics finds what they have not heard.
            _log.warning("people here not told in bulk", code=exc.code)

    async def _tell(self, told: Slice, here: Sequence[str]) -> None:
        if not here:
            return
        rows = [sql.Told(told.tenant, user, told.message) for user in here]
        found: list[sql.ToldAt] = await self._store.apply(sql.TOLD, rows)
        for row in found:
            message = message_of_content(told.message, told.content, row.offset)
            await self._inbox.announce_added_here(told.tenant, row.usr, message, row)


def _nobody(_told: Any) -> None:
    """There is no other process."""
