"""Finding: messages, triggers and runs by what is known of them, a page at a time.

A page looks through so many rows at most (`SCAN`), so it may be short, or empty, and still have a `next`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from clarion.clock import as_datetime, as_ms
from clarion.errors import Fault, Invalid, NotFound
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.messages import maybe_datetime
from clarion.notifications.sight import timeline
from clarion.notifications.sight.timeline import Moment
from clarion.storage import message_events as event_sql
from clarion.storage import runs as run_sql
from clarion.storage import sight as sql
from clarion.storage.store import Param, Store

T = TypeVar("T")
SCAN: Final = 10_000  # rows that one page looks through at most
SAYS: Final = 200  # characters of what a message says
PAGE_MAX: Final = 500
CURSOR: Final = r"[mitr][0-9]{1,15}\.([0-9a-f]{2}){0,100}\.([0-9a-f]{2}){0,512}"
"""One table's part of a cursor: which, when, and the hex of the ids behind which it goes on."""
_LAST_MS: Final = 1 << 48
_STORED: Final = ("queued", "sent", "delivered", "failed", "bounced", "suppressed", "cancelled")
# The addresses of other channels are secrets: whoever has a chat's URL may write there.
_SHOWN: Final = ("email", "sms")


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
    since: datetime | None = None
    until: datetime | None = None
    q: str = ""


class MessageFound(Struct, frozen=True):
    """A message, of an inbox or of a channel. `says`: its title, subject or text. `address` only of email and sms."""

    id: str
    channel: str
    user: str
    status: str
    cause: str
    says: str
    workflow: str
    category: str
    step: str
    trigger: str
    run: str
    provider: str
    address: str
    attempts: int
    due_at: datetime | None
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    seen_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None
    archived_at: datetime | None
    ended_at: datetime | None


class Page(Struct, Generic[T], frozen=True):
    """What was found, the newest first; `next` is the cursor of what follows, null where nothing does."""

    items: list[T]
    next: str | None


class Attempt(Struct, frozen=True):
    """A provider was asked. `part` counts those that were asked in one attempt; `outcome`: `sent`, `retry`, `failed` and others."""

    attempt: int
    part: int
    provider: str
    outcome: str
    answer: str
    at: datetime
    took_ms: int


class Happened(Struct, frozen=True):
    """Something was told of a message, so often."""

    kind: str
    first_at: datetime
    last_at: datetime
    count: int
    detail: str


class Template(Struct, frozen=True):
    """In which version of a stored template a message was said, and in which language."""

    template: str
    version: int
    locale: str


class MessageStory(Struct, frozen=True):
    """All that is known of a message."""

    message: MessageFound
    timeline: list[Moment]
    attempts: list[Attempt]
    events: list[Happened]
    provider_id: str
    last_error: str | None
    workflow_version: int | None
    template: Template | None


class TriggerFound(Struct, frozen=True):
    """A trigger. `recipients` were found so far."""

    id: str
    workflow: str
    version: int
    state: str
    hold: str
    caller: str
    actor: str | None
    cancel_key: str | None
    recipients: int
    created_at: datetime


class RunFound(Struct, frozen=True):
    """One recipient's way through a workflow."""

    id: str
    trigger: str
    user: str
    workflow: str
    version: int
    status: str
    due_at: datetime | None
    error: str | None
    created_at: datetime


class _Source(Struct):
    """One table that is looked through, and from where."""

    name: str
    search: sql.Search
    show: Callable[[Any], Any]
    given: Mapping[str, Param]
    place: sql.Place


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
        given = {**_words(tenant, wanted), "run": wanted.run, "stored": wanted.status}
        places = _places(cursor)
        sources: list[_Source] = []
        if wanted.channel != INBOX:
            lead = next((each for each in sql.SENT if not each or _leads(each, given)), "")
            _add(sources, places, _Source("m", sql.SENT[lead], _sent, given, _top(wanted)))
        # No channel's providers and runs are the inbox's: what asks for them means messages of channels.
        if wanted.channel in ("", INBOX) and not wanted.provider and not wanted.run:
            lead = "usr" if wanted.user else ""
            _add(sources, places, _Source("i", sql.KEPT[lead], _kept, given, _top(wanted)))
        return await self._page(sources, wanted, limit)

    async def triggers(
        self, tenant: str, wanted: Wanted, state: str, actor: str, cursor: str, limit: int
    ) -> Page[TriggerFound]:
        """Triggers, newest first."""
        given = {**_words(tenant, wanted), "state": state, "actor": actor}
        lead = "workflow" if wanted.workflow else ""
        sources: list[_Source] = []
        source = _Source("t", sql.TRIGGERS[lead], _trigger, given, _top(wanted))
        _add(sources, _places(cursor), source)
        return await self._page(sources, wanted, limit)

    async def runs(self, tenant: str, wanted: Wanted, cursor: str, limit: int) -> Page[RunFound]:
        """Runs, newest first."""
        given = _words(tenant, wanted)
        lead = "usr" if wanted.user else "failed" if wanted.status == "failed" else ""
        sources: list[_Source] = []
        _add(sources, _places(cursor), _Source("r", sql.RUNS[lead], _run, given, _top(wanted)))
        return await self._page(sources, wanted, limit)

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
                msgspec.structs.replace(_kept(kept), run=made_by),
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
            _sent(row),
            timeline.of_sent(row, attempts, events),
            [_attempt(each) for each in attempts],
            [
                Happened(
                    each.kind,
                    as_datetime(each.first_ms),
                    as_datetime(each.last_ms),
                    each.count,
                    each.detail,
                )
                for each in events
            ],
            row.provider_id,
            row.error,
            await self._version(tenant, row.run, row.trigger_id),
            _template(read[0].read) if read else None,
        )

    async def _version(self, tenant: str, run: str, trigger: str) -> int | None:
        for row in await self._store.fetch(run_sql.FIND, tenant=tenant, id=run):
            return row.version
        for found in await self._store.fetch(sql.VERSION, tenant=tenant, id=trigger):
            return found.version
        return None

    async def _page(self, sources: Sequence[_Source], wanted: Wanted, limit: int) -> Page[Any]:
        """The newest of several tables. What one of them has not looked through yet may be newer than what another has found."""
        found: list[tuple[_Source, Any]] = []
        ahead: dict[str, sql.Place] = {}
        floor = -1
        for source in sources:
            begin = source.place
            asked: dict[str, Param] = {
                **source.given,
                "at": begin.at_ms,
                "id": begin.id,
                "usr_after": begin.usr,
                "scan": SCAN,
            }
            rows = await self._store.fetch(source.search.page, **asked, n=limit + 1)
            found += [(source, row) for row in rows[:limit]]
            if len(rows) > limit:
                floor = max(floor, rows[limit - 1].created_ms)
                ahead[source.name] = _place(rows[limit - 1])
                continue
            for end in await self._store.fetch(source.search.end, **asked, last=SCAN - 1):
                if end.at_ms >= _ms(wanted.since):
                    floor = max(floor, end.at_ms)
                    ahead[source.name] = end
        shown = sorted(
            ((source, row) for source, row in found if row.created_ms >= floor),
            key=lambda each: each[1].created_ms,
            reverse=True,
        )[:limit]
        rest = {
            source.name: place
            for source in sources
            if (place := _go_on(source, shown, found, ahead.get(source.name))) is not None
        }
        return Page([source.show(row) for source, row in shown], _cursor(rest) if rest else None)


def _go_on(
    source: _Source,
    shown: Sequence[tuple[_Source, Any]],
    found: Sequence[tuple[_Source, Any]],
    ahead: sql.Place | None,
) -> sql.Place | None:
    """From where a table is looked through for the next page; None: there is nothing more."""
    mine = [row for each, row in shown if each is source]
    if len(mine) < sum(each is source for each, _ in found):
        return _place(mine[-1]) if mine else source.place
    return ahead


def _add(sources: list[_Source], places: Mapping[str, sql.Place] | None, source: _Source) -> None:
    if places is None:
        sources.append(source)
    elif source.name in places:
        source.place = places[source.name]
        sources.append(source)


def _places(cursor: str) -> dict[str, sql.Place] | None:
    if not cursor:
        return None
    if not re.fullmatch(f"{CURSOR}(_{CURSOR})?", cursor):
        raise Invalid(
            "the cursor is not one that a page has given", faults=[Fault("?after", "unknown")]
        )
    places: dict[str, sql.Place] = {}
    for part in cursor.split("_"):
        at, id, usr = part[1:].split(".")
        places[part[0]] = sql.Place(int(at), _text(id), _text(usr))
    return places


def _cursor(places: Mapping[str, sql.Place]) -> str:
    return "_".join(
        f"{name}{place.at_ms}.{place.id.encode().hex()}.{place.usr.encode().hex()}"
        for name, place in places.items()
    )


def _text(hexed: str) -> str:
    return bytes.fromhex(hexed).decode(errors="replace").replace("\0", "")


def _place(row: Any) -> sql.Place:
    return sql.Place(row.created_ms, row.id, getattr(row, "usr", ""))


def _leads(lead: str, given: Mapping[str, Param]) -> bool:
    """Whether an index of that name can be used. That of a status only where it is stored so: the others are made of times."""
    return bool(given[lead]) and (lead != "stored" or given[lead] in _STORED)


def _words(tenant: str, wanted: Wanted) -> dict[str, Param]:
    quoted = wanted.q.lower()
    for special in "!%_":
        quoted = quoted.replace(special, f"!{special}")
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
        "like": f"%{quoted}%",
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


# ── rows as they are shown ──
def _sent(row: sql.SentRow) -> MessageFound:
    content = msgspec.json.decode(row.content)
    says = next((content[name] for name in ("title", "subject", "text") if content.get(name)), "")
    return MessageFound(
        row.id,
        row.channel,
        row.usr,
        timeline.status_of_sent(row),
        row.cause,
        str(says)[:SAYS],
        row.workflow,
        row.category,
        row.step,
        row.trigger_id,
        row.run,
        row.provider,
        row.address if row.channel in _SHOWN else "",
        row.attempts,
        maybe_datetime(row.run_ms),
        as_datetime(row.created_ms),
        maybe_datetime(row.sent_ms),
        maybe_datetime(row.delivered_ms),
        maybe_datetime(row.seen_ms),
        maybe_datetime(row.read_ms),
        maybe_datetime(row.clicked_ms),
        None,
        maybe_datetime(row.ended_ms),
    )


def _kept(row: sql.KeptRow) -> MessageFound:
    at = as_datetime(row.created_ms)
    return MessageFound(
        id=row.id,
        channel=INBOX,
        user=row.usr,
        status=timeline.status_of_kept(row),
        cause="",
        says=row.title[:SAYS],
        workflow=row.workflow,
        category=row.category,
        step="",
        trigger=row.trigger_id,
        run="",
        provider="",
        address="",
        attempts=0,
        due_at=None,
        created_at=at,
        sent_at=at,
        delivered_at=at,
        seen_at=maybe_datetime(row.seen_ms),
        read_at=maybe_datetime(row.read_ms),
        clicked_at=None,
        archived_at=maybe_datetime(row.archived_ms),
        ended_at=None,
    )


def _trigger(row: sql.TriggerFound) -> TriggerFound:
    return TriggerFound(
        row.id,
        row.workflow,
        row.version,
        row.state,
        row.hold,
        row.caller,
        row.actor or None,
        row.cancel_key or None,
        row.total,
        as_datetime(row.created_ms),
    )


def _run(row: sql.RunFound) -> RunFound:
    return RunFound(
        row.id,
        row.trigger_id,
        row.usr,
        row.workflow,
        row.version,
        row.status,
        maybe_datetime(row.run_ms),
        row.error,
        as_datetime(row.created_ms),
    )


def _attempt(row: sql.AttemptRow) -> Attempt:
    return Attempt(
        row.n, row.part, row.provider, row.outcome, row.answer, as_datetime(row.at_ms), row.took_ms
    )


def _template(text: str) -> Template | None:
    read = msgspec.json.decode(text)
    if not isinstance(read, dict) or not isinstance(read.get("version"), int):
        return None
    return Template(str(read.get("template", "")), read["version"], str(read.get("locale", "")))
