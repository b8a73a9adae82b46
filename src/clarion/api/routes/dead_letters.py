"""`/v1/dead-letters`: what was tried for the last time, sent again or dropped."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.api.repeats import Idempotency
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import IdempotencyConflict, TooCostly
from clarion.notifications.sight.letters import (
    Act,
    DeadJob,
    DeadLetters,
    Done,
    Group,
    Letters,
    Word,
)
from clarion.patterns import worded
from clarion.storage.dead_letters import Kind

_READ: Final = Right("messages:read")
_WRITE: Final = Right("messages:write")


class LettersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters."""

    kind: Annotated[Kind, Meta(description="Messages of channels, runs or jobs")] = "message"
    channel: Annotated[Word, Meta(description="Of this channel")] = ""
    provider: Annotated[Word, Meta(description="Which this provider has refused last")] = ""
    workflow: Annotated[Word, Meta(description="Of this workflow")] = ""
    reason: Annotated[Word, Meta(description="A text in what they died of")] = ""
    job: Annotated[Word, Meta(description="Jobs of this kind")] = ""


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page."""

    before: Annotated[
        str,
        Meta(
            pattern=worded(r"^[!-~]{0,100}$(?!\n)", "the `next` of the page before"),
            description="Older than this one",
        ),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Of a page")] = 50


class GroupList(Struct, frozen=True):
    """The largest groups of dead letters that are alike."""

    items: list[Group]


class DeadJobPage(Struct, frozen=True):
    """Jobs that are not tried any more, newest first; `next` is the cursor of what follows."""

    items: list[DeadJob]
    next: str | None


class ActPage(Struct, frozen=True):
    """What people have done to dead letters, newest first; `next` is the cursor of what follows."""

    items: list[Act]
    next: str | None


def add(api: Api, letters: DeadLetters) -> None:
    """Open the doors of dead letters."""

    @api.route(
        "GET", "/v1/dead-letters", right=_READ, limit=PerCaller(), errors=(*READS, TooCostly)
    )
    async def list_dead_letters(caller: Principal, query: LettersQuery) -> GroupList:
        """Dead letters of a kind by channel, provider, workflow and reason: the 100 largest groups.

        Single ones: `GET /v1/messages?status=failed`, `GET /v1/runs?status=failed`, `GET /v1/dead-letters/jobs`.
        """
        asked = Letters(
            query.kind,
            [],
            query.channel,
            query.provider,
            query.workflow,
            query.reason,
            query.job,
        )
        return GroupList(await letters.groups(caller.tenant, asked))

    @api.route("GET", "/v1/dead-letters/jobs", right=_READ, limit=PerCaller(), errors=READS)
    async def list_dead_jobs(caller: Principal, query: PageQuery) -> DeadJobPage:
        """Jobs that are not tried any more."""
        found = await letters.jobs(caller.tenant, query.before, query.limit + 1)
        items = found[: query.limit]
        return DeadJobPage(items, items[-1].id if len(found) > query.limit else None)

    @api.route("GET", "/v1/dead-letters/acts", right=_READ, limit=PerCaller(), errors=READS)
    async def list_acts(caller: Principal, query: PageQuery) -> ActPage:
        """Who has sent again or dropped what, and how many that were."""
        found = await letters.acts(caller.tenant, query.before, query.limit + 1)
        items = found[: query.limit]
        return ActPage(items, items[-1].id if len(found) > query.limit else None)

    @api.route(
        "POST",
        "/v1/dead-letters/replay",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, IdempotencyConflict),
        example=Letters(channel="email", provider="smtp://mail.example.com", reason="timed out"),
    )
    async def replay_dead_letters(caller: Principal, body: Letters, headers: Idempotency) -> Done:
        """Send dead letters again, with all their attempts before them: those that are dead now, each once.

        `more` says that the call has taken its time and some are left: repeat it, with the same key.
        """
        return await letters.do(caller, "replay", body, headers.key)

    @api.route(
        "POST",
        "/v1/dead-letters/drop",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, IdempotencyConflict),
        example=Letters(ids=["018f3c4e-0000-7000-8000-000000000000.1.0"]),
    )
    async def drop_dead_letters(caller: Principal, body: Letters, headers: Idempotency) -> Done:
        """Give dead letters up: messages and runs end as `cancelled`, jobs are forgotten."""
        return await letters.do(caller, "drop", body, headers.key)
