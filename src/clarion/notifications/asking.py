"""What a call that triggers a workflow asks for: judged, and as the row that is written of it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.errors import Fault, Invalid, NotFound
from clarion.ids import Ids
from clarion.jobs.queue import MAX_ATTEMPTS
from clarion.notifications.catalog import Catalog, Read
from clarion.notifications.content import check_json
from clarion.notifications.recipients import Named, columns_of, people_of, strangers
from clarion.notifications.rules import doings
from clarion.notifications.targets import Asked, Targets
from clarion.notifications.trigger_shapes import CreateTrigger, Received
from clarion.notifications.workflows.occurrences import is_floating, moment_of
from clarion.notifications.workflows.when import read_at
from clarion.settings import Limits
from clarion.storage import subscribers as people_sql
from clarion.storage import triggers as sql
from clarion.storage.jobs import PRIORITIES
from clarion.storage.store import Store

PAYLOAD_BYTES: Final = 64 * 1024  # of JSON


class Asking:
    """Judges calls.

    Args:
        store: Knows the people.
        catalog: Workflows.
        targets: Knows whom it can be for.
        limits: `recipients`.
        clock: Time of acceptance.
        ids: Of triggers.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        targets: Targets,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._catalog, self._targets = store, catalog, targets
        self._limits, self._clock, self._ids = limits, clock, ids

    async def check(self, tenant: str, body: CreateTrigger, *, has_rows: bool = False) -> None:
        """Refuse what could never be accepted; whether the workflow is active and those whom it names are known may be different when it is.

        Raises:
            Invalid: As `accept`.
        """
        try:
            kept = await self._catalog.find(tenant, body.workflow)
        except NotFound as exc:
            raise _no_workflow(exc) from exc
        read = await self._catalog.version(tenant, body.workflow, kept.version)
        _check_payload(read, body.payload)
        await self._asked(tenant, body, self._people(body), has_rows=has_rows)

    async def current(self, tenant: str, workflow: str) -> tuple[int, Read]:
        """The version that a trigger gets now.

        Raises:
            Invalid: There is no such workflow; `Conflict`: it is not active.
        """
        try:
            return await self._catalog.current(tenant, workflow)
        except NotFound as exc:
            raise _no_workflow(exc) from exc

    async def row(
        self,
        tenant: str,
        caller: str,
        body: CreateTrigger,
        current: tuple[int, Read],
        *,
        local_start: str = "",
        received: Received | None = None,
    ) -> tuple[list[Named], sql.NewTrigger]:
        """The people whom a call names, and what is written of it; whether these are known is not looked at.

        Args:
            tenant: Whose.
            caller: Who triggers it.
            body: What for whom.
            current: The version of the workflow, and what it says.
            local_start: What each recipient's own clock shows when their run begins.
            received: Recipients who have come in already; None: none.

        Raises:
            Invalid: It is not as the workflow, or this server, allows.
        """
        version, read = current
        _check_payload(read, body.payload)
        now_ms = self._clock.now_ms()
        start_ms = 0
        if body.at is not None:
            # One that is past is now: a call that is repeated must not fail for its delay.
            rule = read_at(body.at, body.zone, now_ms, may_be_past=True)
            start_ms = moment_of(rule).at_ms
            local_start = rule.local if is_floating(rule) else ""
        elif body.zone is not None:
            raise Invalid("a zone is that of `at`", faults=[Fault("/zone", "there is no `at`")])
        people = self._people(body)
        asked = await self._asked(tenant, body, people, has_rows=received is not None)
        return people, sql.NewTrigger(
            tenant=tenant,
            caller=caller,
            id=self._ids.ordered(now_ms) if received is None else received.id,
            workflow=body.workflow,
            version=version,
            actor=body.actor or "",
            payload=_text(body.payload),
            asked=_text(asked),
            cancel_key=body.cancel_key or "",
            at_ms=now_ms,
            lease_ms=now_ms,
            max_attempts=MAX_ATTEMPTS,
            priority=PRIORITIES.index(body.priority or read.workflow.priority),
            start_ms=start_ms,
            local_start=local_start,
        )

    def _people(self, body: CreateTrigger) -> list[Named]:
        found = people_of(body.recipients, self._limits.recipients)
        return [each for each in found if each.id != body.actor]

    async def _asked(
        self, tenant: str, body: CreateTrigger, people: Sequence[Named], *, has_rows: bool
    ) -> Asked:
        if not (
            has_rows
            or body.recipients
            or body.audiences
            or body.filter
            or body.everyone
            or body.did
        ):
            raise Invalid(
                "nobody is named: give recipients, audiences, a filter, did, or everyone",
                faults=[Fault("/recipients", "nobody is named")],
            )
        now_ms = self._clock.now_ms()
        asked = Asked(
            users=[each.id for each in people],
            has_rows=has_rows,
            audiences=list(dict.fromkeys(body.audiences)),
            filter=body.filter or "",
            everyone=body.everyone,
            did=doings(body.did, now_ms),
            exclude=list(dict.fromkeys(body.exclude)),
            exclude_audiences=list(dict.fromkeys(body.exclude_audiences)),
        )
        await self._targets.check(tenant, asked)
        return asked

    async def describe(self, tenant: str, people: Sequence[Named]) -> None:
        """Let those become known who are described."""
        now_ms = self._clock.now_ms()
        described = [
            people_sql.Described(tenant, each.id, **columns_of(each.described), at_ms=now_ms)
            for each in people
            if each.described is not None
        ]
        if described:
            await self._store.apply(people_sql.DESCRIBE, described)

    async def check_known(self, tenant: str, people: Sequence[Named]) -> None:
        """Refuse strangers.

        Raises:
            Invalid: Some who are only named are not known.
        """
        named = [each for each in people if each.described is None]
        if not named:
            return
        rows = [people_sql.Named(tenant, each.id) for each in named]
        known: list[people_sql.Known] = await self._store.apply(people_sql.KNOWN, rows)
        there = {row.id for row in known}
        if unknown := [each for each in named if each.id not in there]:
            raise strangers(unknown)


def _no_workflow(exc: NotFound) -> Invalid:
    return Invalid(str(exc), faults=[Fault("/workflow", "unknown")])


def check_size(payload: dict[str, Any]) -> None:
    """Refuse a payload that is too large.

    Raises:
        Invalid: It has more than 64 KiB of JSON, is too deep, or has what a browser would not get.
    """
    check_json(payload, PAYLOAD_BYTES, "/payload")


def _check_payload(read: Read, payload: dict[str, Any]) -> None:
    check_size(payload)
    if read.schema is None:
        return
    faults = read.schema.faults(payload)
    if faults:
        raise Invalid("the payload is not what the workflow asks for", faults=faults)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
