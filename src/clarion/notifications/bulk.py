"""Bulk: what a workflow tells everybody alike goes into the inboxes set by set, and no run is made for anybody.

That is so if each step is an unconditional message of the inbox and no template asks who is being told. The same content is then
stored once, and of each slice only the people's ids pass through this process.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock
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
from clarion.telemetry import messages

_PERSONAL: Final = frozenset({"recipient", LINKS})


class Alike(Struct, frozen=True):
    """A message that everybody gets, and what it says."""

    message: str
    content: sent_sql.NewContent


class Slice(Struct, frozen=True):
    """People who were told, in the order of their ids: what other processes are to tell their own sockets of."""

    tenant: str
    message: str
    users: Sequence[str]
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
        self.tell_others: Callable[[Slice], Awaitable[None]] | None = None
        """Lets other processes call `tell`."""

    async def alike(self, row: TriggerRow, tenant: str, workflow: Workflow) -> list[Alike] | None:
        """What everybody is told by a trigger; None: that depends on who it is, or there is more to do."""
        acts = [step.act for step in workflow.steps if step.when is None]
        says = [act for act in acts if isinstance(act, Say) and act.channel == INBOX]
        channel = self._channels.get(INBOX)
        if len(says) < len(workflow.steps) or channel is None or workflow.asks:
            return None
        wishes: list[Wish] = []
        facts = {
            "payload": msgspec.json.decode(row.payload),
            "actor": row.actor or None,
            "workflow": {"key": workflow.key, "category": workflow.category},
        }
        for say in says:
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
            found.append(
                Alike(message, content_of(tenant, message, workflow, row.id, said, row.created_ms))
            )
        return found

    async def write(
        self, tx: Tx, tenant: str, alike: Sequence[Alike], users: Sequence[str]
    ) -> None:
        """Put the messages into the inboxes of a slice of people, each once."""
        await tx.apply(sent_sql.ADD_CONTENT, [each.content for each in alike])
        text, now_ms = msgspec.json.encode(users).decode(), self._clock.now_ms()
        for each in alike:
            mark = self._ids.mark()
            whom: dict[str, Any] = {"tenant": tenant, "users": text}
            await tx.execute(sql.RAISE_HEADS, **whom, mark=mark)
            what: dict[str, Any] = {"message": each.message, "now_ms": now_ms}
            await tx.execute(sql.ADD_MESSAGES, **whom, **what, notification=each.content.id)
            await tx.execute(sql.ADD_CHANGES, **whom, **what, mark=mark)
        counted = [
            change(
                tenant,
                now_ms,
                each.content.workflow,
                INBOX,
                each.content.category,
                status,
                len(users),
                now_ms - each.content.created_ms,
            )
            for each in alike
            for status in ("sent", "delivered")
        ]
        await tx.apply(stat_sql.ADD, counted)

    async def written(self, tenant: str, alike: Sequence[Alike], users: Sequence[str]) -> None:
        """After the commit: tell those of them who are here."""
        messages.labels(INBOX).inc(len(users) * len(alike))
        for each in alike:
            told = Slice(tenant, each.message, users, each.content)
            await self.tell(told)
            if self.tell_others is not None:
                await self.tell_others(told)

    async def tell(self, told: Slice) -> None:
        """Tell the sockets of this process. A notice that is lost is found by the position check of its topic."""
        here = self._inbox.present(told.tenant, told.users)
        if not here:
            return
        rows = [sql.Told(told.tenant, user, told.message) for user in here]
        found: list[sql.ToldAt] = await self._store.apply(sql.TOLD, rows)
        for row in found:
            message = message_of_content(told.message, told.content, row.offset)
            await self._inbox.announce_added_here(told.tenant, row.usr, message, row)
