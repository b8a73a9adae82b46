"""Finding: messages, triggers and runs by what is known of them, a page at a time; and all that is known of one message."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import as_ms
from clarion.errors import NotFound
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.sight import shown, timeline
from clarion.notifications.sight.pages import Page, Source, behind, page_of
from clarion.notifications.sight.shown import MessageFound, MessageStory, RunFound, TriggerFound
from clarion.storage import message_events as event_sql
from clarion.storage import runs as run_sql
from clarion.storage import sight as sql
from clarion.storage.store import Param, Store

PAGE_MAX: Final = 500
_LAST_MS: Final = 1 << 48
_STORED: Final = ("queued", "sent", "delivered", "failed", "bounced", "suppressed", "cancelled")


class Wanted(Struct, frozen=True, kw_only=True):
    """What messages are looked for; '' or None: any."""

    user: str = ""
    workflow: str = ""
    channel: str = ""
    status: str = ""
    provider: str = ""
    category: str = ""
    trigger: str = ""
    run: str = ""
    button: str = ""
    since: datetime | None = None
    until: datetime | None = None
    q: str = ""


class Finder:
    """Finds messages, triggers and runs.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def messages(
        self, tenant: str, wanted: Wanted, cursor: str = "", limit: int = 50
    ) -> Page[MessageFound]:
        """Messages of inboxes and channels, newest first.

        Raises:
            Invalid: The cursor is not one of ours.
        """
        given = {
            **_words(tenant, wanted),
            "run": wanted.run,
            "button": wanted.button,
            "stored": wanted.status,
        }
        top, sources = _top(wanted), list[Source]()
        if wanted.channel != INBOX and not wanted.button:
            lead = next((each for each in sql.SENT if not each or _leads(each, given)), "")
            sources.append(Source("m", sql.SENT[lead], shown.message_of_channel, given, top))
        # No channel's messages have buttons; no channel's providers and runs are the inbox's: what asks for them means messages of channels.
        if wanted.channel in ("", INBOX) and not wanted.provider and not wanted.run:
            lead = "usr" if wanted.user else ""
            sources.append(Source("i", sql.KEPT[lead], shown.message_of_inbox, given, top))
        return await self._page(sources, wanted, cursor, limit)

    async def triggers(
        self, tenant: str, wanted: Wanted, state: str, actor: str, cursor: str, limit: int
    ) -> Page[TriggerFound]:
        """Triggers, newest first."""
        given = {**_words(tenant, wanted), "state": state, "actor": actor}
        lead = "workflow" if wanted.workflow else ""
        source = Source("t", sql.TRIGGERS[lead], shown.trigger, given, _top(wanted))
        return await self._page([source], wanted, cursor, limit)

    async def runs(self, tenant: str, wanted: Wanted, cursor: str, limit: int) -> Page[RunFound]:
        """Runs, newest first."""
        given = _words(tenant, wanted)
        lead = "usr" if wanted.user else "failed" if wanted.status == "failed" else ""
        source = Source("r", sql.RUNS[lead], shown.run, given, _top(wanted))
        return await self._page([source], wanted, cursor, limit)

    async def message(self, tenant: str, id: str, user: str = "") -> MessageStory:
        """All that is known of one message.

        Args:
            tenant: Whose.
            id: Its id.
            user: Whose inbox it is in: needed where many have one of that id.

        Raises:
            NotFound: There is none.
        """
        for row in await self._store.fetch(sql.SENT_ONE, tenant=tenant, id=id):
            return await self._story_of_sent(tenant, row)
        run = (await self._store.fetch(run_sql.FIND, tenant=tenant, id=id.partition(".")[0]))[:1]
        owner = user or (run[0].usr if run else "")
        for kept in await self._store.fetch(sql.KEPT_ONE, tenant=tenant, usr=owner, id=id):
            made_by = run[0].id if run else ""
            workflow = await self._version(tenant, made_by, kept.trigger_id)
            return MessageStory(
                msgspec.structs.replace(shown.message_of_inbox(kept), run=made_by),
                timeline.of_kept(kept),
                [],
                [],
                "",
                None,
                workflow,
                None,
            )
        hint = "" if user else " (of an inbox that it shares with others: say ?user=)"
        raise NotFound(f"there is no message {id[:100]}{hint}")

    async def _story_of_sent(self, tenant: str, row: sql.SentRow) -> MessageStory:
        attempts = await self._store.fetch(sql.ATTEMPTS, tenant=tenant, message=row.id)
        events = await self._store.fetch(event_sql.EVENTS, tenant=tenant, message=row.id)
        read = await self._store.fetch(sql.READ, tenant=tenant, run=row.run, step=row.step)
        return MessageStory(
            shown.message_of_channel(row),
            timeline.of_sent(row, attempts, events),
            [shown.attempt(each) for each in attempts],
            [shown.happened(each) for each in events],
            row.provider_id,
            row.error,
            await self._version(tenant, row.run, row.trigger_id),
            shown.template(read[0].read) if read else None,
        )

    async def _version(self, tenant: str, run: str, trigger: str) -> int | None:
        for row in await self._store.fetch(run_sql.FIND, tenant=tenant, id=run):
            return row.version
        for found in await self._store.fetch(sql.VERSION, tenant=tenant, id=trigger):
            return found.version
        return None

    async def _page(
        self, sources: Sequence[Source], wanted: Wanted, cursor: str, limit: int
    ) -> Page[Any]:
        return await page_of(self._store, behind(cursor, sources), _ms(wanted.since), limit)


def _leads(lead: str, given: Mapping[str, Param]) -> bool:
    """Whether an index of that name can be used. That of a status only where it is stored so: the others are made of times."""
    return bool(given[lead]) and (lead != "stored" or given[lead] in _STORED)


def _words(tenant: str, wanted: Wanted) -> dict[str, Param]:
    return {
        "tenant": tenant,
        "usr": wanted.user,
        "workflow": wanted.workflow,
        "channel": wanted.channel,
        "status": wanted.status,
        "provider": wanted.provider,
        "category": wanted.category,
        "trigger": wanted.trigger,
        "since": _ms(wanted.since),
        "q": wanted.q,
        "like": sql.containing(wanted.q),
    }


def _id(ms: int) -> str:
    """Below all ids that were made then: a UUID of version 7 begins with its milliseconds (RFC 9562 §5.7)."""
    text = f"{ms:012x}"
    return f"{text[:8]}-{text[8:]}"


def _top(wanted: Wanted) -> sql.Place:
    """From where to look back."""
    if wanted.until is None:
        return sql.Place(_LAST_MS, "z", "")
    until_ms = _ms(wanted.until)
    return sql.Place(until_ms, _id(until_ms), "")


def _ms(moment: datetime | None) -> int:
    return 0 if moment is None else max(as_ms(moment), 0)
