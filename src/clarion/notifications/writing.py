"""Writing: what comes of a slice of runs, in one transaction."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from clarion.clock import Clock, as_datetime, maybe_datetime
from clarion.ids import Ids
from clarion.notifications.answers import take_places
from clarion.notifications.channels import Channels
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.content import expiry_ms, kept_buttons, kept_tags, tags_of
from clarion.notifications.going import (
    Decided,
    Going,
    held_of,
    is_kept,
    new_run,
    record_of,
    settlement,
)
from clarion.notifications.inbox import Inbox
from clarion.notifications.messages import Message, buttons_of
from clarion.notifications.rendering import fingerprint
from clarion.notifications.sight.counting import counts
from clarion.notifications.workflows.definition import Say, Step, Workflow
from clarion.notifications.workflows.moves import Send
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as sql
from clarion.storage import stats as stat_sql
from clarion.storage.store import Part, Tx
from clarion.telemetry import messages


class Written(Struct, frozen=True):
    """What is to be told after the commit, and whether there is something to send."""

    told: list[Callable[[], Awaitable[None]]]
    is_sent: bool


class Writer:
    """Writes runs and what they send.

    Args:
        channels: Where messages go.
        inbox: Tells who is online.
        clock: The time.
        ids: For contents and the marks of logs.
    """

    def __init__(self, channels: Channels, inbox: Inbox, *, clock: Clock, ids: Ids) -> None:
        self._channels, self._inbox, self._clock, self._ids = channels, inbox, clock, ids

    async def write(self, tx: Tx, decided: Sequence[Decided], first: Part | None = None) -> Written:
        """Write what comes of a slice of runs, as far as they are this process' own; before it another part."""
        now_ms = self._clock.now_ms()
        mine = await self._hold(tx, decided)
        contents: dict[tuple[str, bytes], sent_sql.NewContent] = {}
        deliveries: list[sent_sql.Delivery] = []
        keys: list[tuple[str, bool]] = []
        outgoing: list[sent_sql.NewOutgoing] = []
        records: list[sql.NewRecord] = []
        for each in mine:
            going = each.going
            if not _is_new(each) or is_kept(each):
                records += [record_of(going, record, now_ms) for record in each.records]
            for step, send, content in each.sends:
                assert isinstance(step.act, Say)
                if step.act.channel == INBOX:
                    id = self._content(contents, going, step, content, now_ms)
                    deliveries.append(
                        sent_sql.Delivery(
                            going.tenant, going.usr, send.message, id, self._ids.mark(), now_ms
                        )
                    )
                    keys.append((content.get("key", ""), content.get("quiet", False)))
                else:
                    outgoing += self._outgoing(going, step, send, content, now_ms)
        calls_off = [
            sent_sql.CalledOff(each.tenant, message, now_ms)
            for each in mine
            for message in each.calls_off
        ]
        uses = Counter(each.notification for each in deliveries)
        said = [
            msgspec.structs.replace(each, recipients=uses[each.id]) for each in contents.values()
        ]
        delivered: list[sent_sql.Delivered]
        *_, delivered = await tx.apply_all(
            *([] if first is None else [first]),
            (sql.ADD_RUNS, [new_run(each) for each in mine if _is_new(each) and is_kept(each)]),
            (stat_sql.ADD, counts(mine, outgoing, now_ms)),
            (sent_sql.ADD_CONTENT, said),
            (sql.SETTLE, [settlement(each) for each in mine if not _is_new(each)]),
            (sql.ADD_RECORDS, records),
            (sent_sql.CALL_OFF, calls_off),
            (sent_sql.ADD, outgoing),
            (sent_sql.DELIVER, deliveries),
        )
        messages.labels(INBOX).inc(len(delivered))
        by_id = {content.id: content for content in contents.values()}
        told: list[Callable[[], Awaitable[None]]] = []
        for row in delivered:
            delivery = deliveries[row.n - 1]
            message = message_of_content(
                delivery.message, by_id[delivery.notification], row.offset, keys[row.n - 1][0]
            )
            told.append(
                partial(self._inbox.announce_added, delivery.tenant, delivery.usr, message, row)
            )
        for delivery, (key, quiet) in zip(deliveries, keys, strict=True):
            if key:
                told += await self._inbox.replace(
                    tx, delivery.tenant, delivery.usr, delivery.message, key, quiet=quiet
                )
        return Written(told, bool(outgoing))

    async def _hold(self, tx: Tx, decided: Sequence[Decided]) -> list[Decided]:
        """Those that are this process' own, with the places that they take."""
        fresh = [each for each in decided if _is_new(each)]
        held = [each for each in decided if not _is_new(each)]
        mine: list[Decided] = []
        if held:
            found: list[sql.Mine] = await tx.apply(sql.HOLD, [held_of(each.going) for each in held])
            mine = [held[row.n - 1] for row in found]
        await take_places(tx, fresh + mine, self._ids, self._clock.now_ms())
        return fresh + mine

    def _content(
        self,
        contents: dict[tuple[str, bytes], sent_sql.NewContent],
        going: Going,
        step: Step,
        content: Mapping[str, Any],
        now_ms: int,
    ) -> str:
        key = (f"{going.tenant}|{going.trigger}|{step.id}", fingerprint(content))
        found = contents.get(key)
        if found is None:
            id, workflow = self._ids.ordered(now_ms), going.workflow
            found = contents[key] = content_of(
                going.tenant, id, workflow, step.id, going.trigger, content, now_ms
            )
        return found.id

    def _outgoing(
        self, going: Going, step: Step, send: Send, content: Mapping[str, Any], now_ms: int
    ) -> list[sent_sql.NewOutgoing]:
        assert isinstance(step.act, Say)
        channel = self._channels.get(step.act.channel)
        assert channel is not None, "decided to send on it"
        assert going.recipient is not None, "decided to send to them"
        text = msgspec.json.encode(content).decode()
        addresses = channel.addresses(going.recipient)
        return [
            sent_sql.NewOutgoing(
                going.tenant,
                f"{send.message}.{n}",
                send.message,
                going.id,
                going.trigger,
                going.workflow.key,
                going.workflow.category,
                step.id,
                going.usr,
                channel.name,
                address,
                text,
                now_ms,
                now_ms,
                going.priority,
            )
            for n, address in enumerate(addresses)
            if (channel.name, address) not in going.suppressed
        ]


def _is_new(decided: Decided) -> bool:
    """Whether its run has not been written yet."""
    return decided.going.token is None


def content_of(
    tenant: str,
    id: str,
    workflow: Workflow,
    step: str,
    trigger: str,
    said: Mapping[str, Any],
    now_ms: int,
) -> sent_sql.NewContent:
    """What messages of an inbox say, as it is kept."""
    data = said.get("data")
    return sent_sql.NewContent(
        tenant,
        id,
        f"workflow:{workflow.key}",
        said["title"],
        said.get("body", ""),
        "" if data is None else msgspec.json.encode(data).decode(),
        said.get("action_url", ""),
        1,
        now_ms,
        trigger,
        workflow.key,
        workflow.category,
        expiry_ms(said.get("expires", ""), now_ms),
        kept_buttons(said.get("actions", ())),
        kept_tags(said.get("tags", ())),
        step,
    )


def message_of_content(id: str, content: sent_sql.NewContent, seq: int, key: str = "") -> Message:
    """A message that was just put into an inbox, as it is shown there."""
    return Message(
        id=id,
        seq=seq,
        notification_id=content.id,
        title=content.title,
        body=content.body,
        data=msgspec.json.decode(content.data) if content.data else None,
        action_url=content.action_url or None,
        created_at=as_datetime(content.created_ms),
        category=content.category or UNSET,
        key=key or UNSET,
        expires_at=maybe_datetime(content.expires_ms) or UNSET,
        actions=buttons_of(content.actions),
        tags=tags_of(content.tags) or UNSET,
    )
