"""`/v1/messages`, and lists of triggers and runs: what operators look for, a page at a time or all of it as a file."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from clarion.api.layer import READS, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.lines import CSV, NDJSON
from clarion.api.listing import Format, streamed
from clarion.api.streaming import Stream
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import NotFound
from clarion.notifications.sight.finding import PAGE_MAX, Finder, Wanted
from clarion.notifications.sight.letters import Word
from clarion.notifications.sight.pages import CURSOR, Page
from clarion.notifications.sight.shown import MessageFound, MessageStory, RunFound, TriggerFound
from clarion.patterns import worded

_READ: Final = Right("messages:read")
_RUNS: Final = Right("workflows:read")
_DAY: Final = (
    r"(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    r"|20([02468][048]|[13579][26])-02-29)"
)
Moment = Annotated[
    str,
    Meta(
        pattern=worded(
            rf"^({_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9]))?$(?!\n)",
            "a time with its zone, such as 2026-11-26T08:30:00Z",
        ),
        max_length=40,
    ),
]
"""A time with its zone (RFC 3339), of this century."""
After = Annotated[
    str,
    Meta(
        pattern=worded(rf"^({CURSOR}(_{CURSOR})?)?$(?!\n)", "the `next` of the page before"),
        description="`next` of the page before",
    ),
]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Of a page, at most")]
Status = Literal[
    "", "queued", "sent", "delivered", "seen", "read", "clicked", "snoozed", "archived", "bounced", "failed", "suppressed", "cancelled"
]  # fmt: skip


class _Asked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be asked of all of them."""

    workflow: Annotated[Word, Meta(description="Of this workflow")] = ""
    from_: Annotated[Moment, Meta(description="Made then or later")] = field(
        default="", name="from"
    )
    to: Annotated[Moment, Meta(description="Made before")] = ""
    q: Annotated[
        Word, Meta(description="A text that is found in it, whatever its case; or an id")
    ] = ""


class _Messages(_Asked, frozen=True, kw_only=True):
    user: Annotated[Word, Meta(description="For this user")] = ""
    channel: Annotated[Word, Meta(description="`inbox`, `email`, …")] = ""
    status: Annotated[Status, Meta(description="What became of it last")] = ""
    provider: Annotated[Word, Meta(description="Who has it, or has refused it last")] = ""
    category: Annotated[Word, Meta(description="Of this category")] = ""
    trigger: Annotated[Word, Meta(description="Of this trigger")] = ""
    run: Annotated[Word, Meta(description="Of this run")] = ""
    button: Annotated[Word, Meta(description="Of an inbox, of which this action was pressed")] = ""


class MessagesQuery(_Messages, frozen=True, kw_only=True):
    """Which messages."""

    after: After = ""
    limit: Limit = 50


class MessagesExport(_Messages, frozen=True, kw_only=True):
    """Which messages."""

    format: Format = "ndjson"


class _Triggers(_Asked, frozen=True, kw_only=True):
    state: Annotated[
        Literal["", "planning", "planned", "cancelled", "failed"], Meta(description="As it stands")
    ] = ""
    actor: Annotated[Word, Meta(description="Who did it")] = ""


class TriggersQuery(_Triggers, frozen=True, kw_only=True):
    """Which triggers."""

    after: After = ""
    limit: Limit = 50


class TriggersExport(_Triggers, frozen=True, kw_only=True):
    """Which triggers."""

    format: Format = "ndjson"


class _Runs(_Asked, frozen=True, kw_only=True):
    user: Annotated[Word, Meta(description="Of this recipient")] = ""
    status: Annotated[
        Literal["", "running", "collected", "done", "stopped", "failed", "cancelled"],
        Meta(description="As it stands"),
    ] = ""
    trigger: Annotated[Word, Meta(description="Of this trigger")] = ""


class RunsQuery(_Runs, frozen=True, kw_only=True):
    """Which runs."""

    after: After = ""
    limit: Limit = 50


class RunsExport(_Runs, frozen=True, kw_only=True):
    """Which runs."""

    format: Format = "ndjson"


class MessagePath(Struct, frozen=True):
    """Names a message."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]


class WhoseQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose."""

    user: Annotated[
        Word, Meta(description="Whose inbox it is in: needed where many were told the same")
    ] = ""


class MessagePage(Struct, frozen=True):
    """Messages, newest first. A page may be short and still have a `next`: it looks through 10,000 rows at most."""

    items: list[MessageFound]
    next: str | None


class TriggerPage(Struct, frozen=True):
    """Triggers, newest first."""

    items: list[TriggerFound]
    next: str | None


class RunsPage(Struct, frozen=True):
    """Runs, newest first."""

    items: list[RunFound]
    next: str | None


def add(api: Api, finder: Finder) -> None:
    """Open the doors of what operators look for."""
    _exports(api, finder)

    @api.route("GET", "/v1/messages", right=_READ, limit=PerCaller(), errors=READS)
    async def list_messages(caller: Principal, query: MessagesQuery) -> MessagePage:
        """Messages of inboxes and channels, newest first, by anything that is known of them."""
        page = await finder.messages(caller.tenant, _wanted(query), query.after, query.limit)
        return MessagePage(page.items, page.next)

    @api.route(
        "GET", "/v1/messages/{id}", right=_READ, limit=PerCaller(), errors=(*READS, NotFound)
    )
    async def get_message(caller: Principal, path: MessagePath, query: WhoseQuery) -> MessageStory:
        """One message with its timeline, each attempt to hand it to a provider, and what was told of it afterwards."""
        return await finder.message(caller.tenant, path.id, query.user)

    @api.route("GET", "/v1/triggers", right=_RUNS, limit=PerCaller(), errors=READS)
    async def list_triggers(caller: Principal, query: TriggersQuery) -> TriggerPage:
        """Triggers, newest first."""
        wanted = _wanted(query)
        page = await finder.triggers(
            caller.tenant, wanted, query.state, query.actor, query.after, query.limit
        )
        return TriggerPage(page.items, page.next)

    @api.route("GET", "/v1/runs", right=_RUNS, limit=PerCaller(), errors=READS)
    async def search_runs(caller: Principal, query: RunsQuery) -> RunsPage:
        """Runs of all triggers, newest first. Of recipients who were sent everything at once there are none."""
        page = await finder.runs(caller.tenant, _wanted(query), query.after, query.limit)
        return RunsPage(page.items, page.next)


def _exports(api: Api, finder: Finder) -> None:
    media = (NDJSON, CSV)

    @api.route(
        "GET", "/v1/exports/messages", right=_READ, limit=PerCaller(), errors=READS, media=media
    )
    async def export_messages(caller: Principal, query: MessagesExport) -> Reply[Stream]:
        """All of these messages, newest first, as a file that is made while it is read."""
        wanted = _wanted(query)
        found = _all(lambda after: finder.messages(caller.tenant, wanted, after, PAGE_MAX))
        return streamed(found, MessageFound, query.format)

    @api.route(
        "GET", "/v1/exports/triggers", right=_RUNS, limit=PerCaller(), errors=READS, media=media
    )
    async def export_triggers(caller: Principal, query: TriggersExport) -> Reply[Stream]:
        """All of these triggers, newest first, as a file that is made while it is read."""
        wanted, state, actor = _wanted(query), query.state, query.actor
        found = _all(
            lambda after: finder.triggers(caller.tenant, wanted, state, actor, after, PAGE_MAX)
        )
        return streamed(found, TriggerFound, query.format)

    @api.route("GET", "/v1/exports/runs", right=_RUNS, limit=PerCaller(), errors=READS, media=media)
    async def export_runs(caller: Principal, query: RunsExport) -> Reply[Stream]:
        """All of these runs, newest first, as a file that is made while it is read."""
        wanted = _wanted(query)
        found = _all(lambda after: finder.runs(caller.tenant, wanted, after, PAGE_MAX))
        return streamed(found, RunFound, query.format)


async def _all(find: Callable[[str], Awaitable[Page[Any]]]) -> AsyncGenerator[Any, None]:
    after: str | None = ""
    while after is not None:
        page = await find(after)
        for item in page.items:
            yield item
        after = page.next


def _wanted(query: _Asked) -> Wanted:
    given: dict[str, Any] = msgspec.structs.asdict(query)
    names = Wanted.__struct_fields__
    same = {name: value for name, value in given.items() if name in names}
    return Wanted(**same, since=moment(query.from_), until=moment(query.to))


def moment(text: str) -> datetime | None:
    """A time as it is read; None: none was given."""
    return datetime.fromisoformat(text) if text else None
