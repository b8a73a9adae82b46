"""Dead letters: looked at, sent again, dropped.

Sending again is set-based: slice by slice the rows are due once more, with all their attempts before them. Who did it is kept.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, IdempotencyConflict, Invalid
from clarion.ids import Ids
from clarion.patterns import worded
from clarion.storage import dead_letters as sql
from clarion.storage.dead_letters import Kind
from clarion.storage.sight import containing
from clarion.storage.store import Param, Store
from clarion.telemetry import dead_letter_acts, get_logger

_log = get_logger(__name__)

SLICE: Final = 1_000  # letters of one transaction
TURN_S: Final = 10.0  # of one call: what is left then, another call does
GROUPS: Final = 100
IDS_MAX: Final = 1_000
KINDS: Final[tuple[Kind, ...]] = ("message", "run", "job")
_TOP: Final = "z"  # above every id

Verb = Literal["replay", "drop"]
Word = Annotated[str, Meta(max_length=200, pattern=worded(r"^[^\u0000]*$", "text without U+0000"))]


class Letters(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters; what is not said is any. Without `ids`, all that are dead when the call comes."""

    kind: Kind = "message"
    ids: (
        Annotated[
            list[
                Annotated[
                    str,
                    Meta(
                        min_length=1,
                        max_length=100,
                        pattern=worded(r"^[^\u0000]*$", "text without U+0000"),
                    ),
                ]
            ],
            # What was asked in former days is read with this, too: `do` refuses an empty list.
            Meta(max_length=IDS_MAX, extra_json_schema={"minItems": 1}),
        ]
        | UnsetType
    ) = UNSET
    channel: Word = ""
    provider: Word = ""
    workflow: Word = ""
    reason: Word = ""
    """A text in what it died of, whatever its case."""
    job: Word = ""
    """The kind of jobs."""


class Done(Struct, frozen=True):
    """What became of a call: so many letters were sent again, or dropped. `more`: there are others left, for another call."""

    id: str
    letters: int
    more: bool


class Group(Struct, frozen=True):
    """Dead letters that are alike."""

    kind: Kind
    channel: str
    provider: str
    workflow: str
    job: str
    reason: str
    letters: int
    first_at: datetime
    last_at: datetime


class DeadJob(Struct, frozen=True):
    """A job that is not tried any more."""

    id: str
    job: str
    payload: Any
    attempts: int
    reason: str
    created_at: datetime


class Act(Struct, frozen=True):
    """What a person has done to dead letters."""

    id: str
    who: str
    act: Verb
    asked: Letters
    letters: int
    is_done: bool
    at: datetime


class DeadLetters:
    """What was tried for the last time.

    Args:
        store: Where it is.
        go_on: Called when there are some that are due again.
        clock: The time.
        ids: Of what is done.
    """

    def __init__(
        self, store: Store, go_on: Callable[[Kind], None], *, clock: Clock, ids: Ids
    ) -> None:
        self._store, self._go_on, self._clock, self._ids = store, go_on, clock, ids

    async def groups(self, tenant: str, asked: Letters) -> list[Group]:
        """Those of one kind by channel, provider, workflow and reason, at most 100 groups, the largest first.

        Raises:
            TooCostly: There are too many to be counted within 5 s.
        """
        found = await self._store.fetch(
            sql.GROUPS[asked.kind], **_which(tenant, asked, self._clock.now_ms()), n=GROUPS
        )
        is_job = asked.kind == "job"
        return [
            Group(
                asked.kind,
                "" if is_job else row.what,
                row.provider,
                row.workflow,
                row.what if is_job else "",
                row.reason,
                row.count,
                as_datetime(row.first_ms),
                as_datetime(row.last_ms),
            )
            for row in found
        ]

    async def jobs(self, tenant: str, before: str, limit: int) -> list[DeadJob]:
        """Dead jobs, newest first. Messages and runs are found as others are: `status=failed`."""
        found = await self._store.fetch(sql.JOBS, tenant=tenant, before=before or _TOP, n=limit)
        return [
            DeadJob(
                row.id,
                row.kind,
                msgspec.json.decode(row.payload),
                row.attempts,
                row.error or "",
                as_datetime(row.created_ms),
            )
            for row in found
        ]

    async def acts(self, tenant: str, before: str, limit: int) -> list[Act]:
        """Who has sent again or dropped what, newest first."""
        found = await self._store.fetch(sql.ACTS, tenant=tenant, before=before or _TOP, n=limit)
        return [
            Act(
                row.id,
                row.who,
                msgspec.convert(row.act, Verb),
                msgspec.json.decode(row.asked, type=Letters),
                row.count,
                bool(row.is_done),
                as_datetime(row.until_ms),
            )
            for row in found
        ]

    async def do(
        self, caller: Principal, act: Verb, asked: Letters, idempotency_key: str | None = None
    ) -> Done:
        """Send letters again, or drop them: those that are dead now, and none that dies meanwhile.

        Args:
            caller: Who does it: kept.
            act: What.
            asked: Which.
            idempotency_key: Makes the call safe to repeat: it goes on where it was left, and ends with the same answer.

        Raises:
            IdempotencyConflict: The key was used for something else.
            Invalid: `ids` is empty: who has found none to name does not mean all.
        """
        if asked.ids is not UNSET and not asked.ids:
            raise Invalid(faults=[Fault("/ids", "at least one; without `ids` all are meant")])
        tenant, now_ms = caller.tenant, self._clock.now_ms()
        who, key = f"{caller.kind}:{caller.id}", idempotency_key or ""
        text = msgspec.json.encode(asked).decode()
        row = sql.Act(self._ids.ordered(now_ms), who, act, text, now_ms, 0, 0)
        async with self._store.transaction() as tx:
            await tx.execute(
                sql.BEGIN, tenant=tenant, id=row.id, who=who, act=act, asked=text, key=key, until_ms=now_ms
            )  # fmt: skip
            for kept in await tx.fetch(sql.OF_KEY, tenant=tenant, who=who, key=key):
                row = kept
        if (row.act, row.asked) != (act, text):
            raise IdempotencyConflict("this Idempotency-Key was used for other letters")
        if row.is_done:
            return Done(row.id, row.count, False)
        count, more = await self._slices(tenant, row, asked)
        _log.info("dead letters", act=act, who=who, kind=asked.kind, letters=count - row.count)
        return Done(row.id, count, more)

    async def _slices(self, tenant: str, row: sql.Act, asked: Letters) -> tuple[int, bool]:
        """Go on; returns how many letters the act has had, and whether some may be left."""
        statement = (sql.REPLAY if row.act == "replay" else sql.DROP)[asked.kind]
        which = {**_which(tenant, asked, row.until_ms), **_listed(asked)}
        began, total, count = self._clock.monotonic(), row.count, SLICE
        while count == SLICE:
            if self._clock.monotonic() - began > TURN_S:
                return total, True
            more: dict[str, Param] = {"now_ms": self._clock.now_ms()} if row.act == "replay" else {}
            async with self._store.transaction() as tx:
                count = await tx.execute(statement, **which, **more, n=SLICE)
                # The same call may run twice at once: what the other has taken counts as well.
                [act] = await tx.fetch(
                    sql.GO_ON, tenant=tenant, id=row.id, count=count, is_done=int(count < SLICE)
                )
            total = act.count
            dead_letter_acts.labels(row.act, asked.kind).inc(count)
            if row.act == "replay":
                self._go_on(asked.kind)
        return total, False


def _which(tenant: str, asked: Letters, until_ms: int) -> dict[str, Param]:
    return {
        "tenant": tenant,
        "until": until_ms,
        "what": asked.job if asked.kind == "job" else asked.channel,
        "provider": asked.provider,
        "workflow": asked.workflow,
        "reason": asked.reason,
        "like": containing(asked.reason),
    }


def _listed(asked: Letters) -> dict[str, Param]:
    listed = msgspec.json.encode(asked.ids or []).decode()
    return {"ids": listed if asked.ids else "", "listed": listed}
