"""Subscribers as they are kept: put, changed, listed, told whole, and erased with everything of theirs."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from clarion.clock import Clock
from clarion.errors import Fault, Invalid, NotFound
from clarion.jobs.queue import Job, Queue
from clarion.notifications.addresses import Addresses
from clarion.notifications.people_shapes import (
    Changed,
    Described,
    Page,
    Subscriber,
    subscriber_of,
)
from clarion.notifications.recipients import Recipient, check_said, columns_of, distinct
from clarion.notifications.targets import Asked, Targets
from clarion.storage import addresses as address_sql
from clarion.storage import erasure
from clarion.storage import events as event_sql
from clarion.storage import inbox as inbox_sql
from clarion.storage import preferences as preference_sql
from clarion.storage import runs as run_sql
from clarion.storage import subscribers as sql
from clarion.storage.jobs import ENQUEUE
from clarion.storage.slices import in_slices, total
from clarion.storage.store import Store

ERASE: Final = "erase_subscriber"  # the job
AGAIN_MS: Final = 60_000  # until what was in hand when somebody was erased is written
SLICE: Final = 500  # rows that are erased in one transaction
BULK: Final = 1_000  # subscribers of one call
_NEWEST: Final = 2**53 - 1


Erases = Callable[[str, str, int], Awaitable[None]]
"""Takes away what somebody has outside of notifications: tenant, id, and as of when (ms since 1970)."""
Tells = Callable[[str, str], AsyncIterator[dict[str, Any]]]
"""Tells what somebody has there, one thing at a time: `{kind, …}`."""


class People:
    """The subscribers of tenants.

    Args:
        store: Where they are.
        targets: Finds those whom a filter lets through.
        addresses: Where they can be reached.
        queue: Does what takes longer.
        clock: Time of changes.

    Attributes:
        also_erase: Called for whoever is erased.
        also_tell: Called for whoever is told everything.
    """

    def __init__(
        self, store: Store, targets: Targets, addresses: Addresses, queue: Queue, *, clock: Clock
    ) -> None:
        self._store, self._targets, self._addresses = store, targets, addresses
        self._queue, self._clock = queue, clock
        self.also_erase: list[Erases] = []
        self.also_tell: list[Tells] = []

    async def find(self, tenant: str, id: str) -> Subscriber:
        """One of them.

        Raises:
            NotFound: There is none.
        """
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            return subscriber_of(row)
        raise _missing(id)

    async def put(self, tenant: str, id: str, described: Described) -> Subscriber:
        """Keep somebody as they are described here.

        Raises:
            Invalid: The attributes are too large or too deep, or there is no such time zone.
        """
        check_said(described.attributes, described.time_zone)
        columns = columns_of(Recipient(id, **msgspec.structs.asdict(described)))
        async with self._store.transaction() as tx:
            await tx.execute(sql.PUT, tenant=tenant, id=id, **columns, now_ms=self._clock.now_ms())
        return await self.find(tenant, id)

    async def change(self, tenant: str, id: str, changed: Changed) -> Subscriber:
        """Change what is known of somebody.

        Raises:
            NotFound: There is none.
            Invalid: The attributes are too large or too deep, or there is no such time zone.
        """
        async with self._store.transaction() as tx:
            for row in await tx.fetch(sql.HOLD, tenant=tenant, id=id):
                now = _merged(row, changed)
                await tx.execute(sql.PUT, tenant=tenant, id=id, **now, now_ms=self._clock.now_ms())
                break
            else:
                raise _missing(id)
        return await self.find(tenant, id)

    async def know(self, tenant: str, people: Sequence[Recipient]) -> int:
        """Make people known, or say more of them; returns how many there were, each once.

        Raises:
            Invalid: There are too many, or the attributes of one are too large.
        """
        if len(people) > BULK:
            raise Invalid(
                f"{len(people)} subscribers, {BULK} are allowed in one call",
                faults=[Fault("/subscribers", f"at most {BULK} items")],
            )
        for n, each in enumerate(people):
            check_said(each.attributes, each.time_zone, f"/subscribers/{n}")
        return await self.describe(tenant, people)

    async def describe(self, tenant: str, people: Sequence[Recipient]) -> int:
        """As `know`, of people who are checked."""
        now_ms = self._clock.now_ms()
        once = distinct(people)
        rows = [
            sql.Described(tenant, each.id, **columns_of(each.described), at_ms=now_ms)
            for each in once
        ]
        if rows:
            await self._store.apply(sql.DESCRIBE, rows)
        return len(rows)

    async def page(self, tenant: str, filter: str, after: str, limit: int) -> Page:
        """Some of them behind an id.

        Raises:
            Invalid: The filter is none.
        """
        asked = Asked(filter=filter, everyone=not filter)
        found = await self._targets.slice(tenant, asked, after, limit)
        ids = msgspec.json.encode([each.usr for each in found.people]).decode()
        rows = await self._store.fetch(sql.FIND_ALL, tenant=tenant, ids=ids)
        return Page([subscriber_of(row) for row in rows], found.after)

    async def all(
        self, tenant: str, filter: str = "", audience: str = ""
    ) -> AsyncGenerator[Recipient, None]:
        """All subscribers, or those whom a filter lets through, or an audience's people; in the order of their ids, in a form to be imported.

        Raises:
            Invalid: The filter is none, there is no such audience, or both are given.
        """
        if filter and audience:
            raise Invalid("a filter or an audience, not both")
        audiences = [audience] if audience else []
        asked = Asked(filter=filter, audiences=audiences, everyone=not (filter or audience))
        await self._targets.check(tenant, asked)
        after: str | None = ""
        while after is not None:
            found = await self._targets.slice(tenant, asked, after, SLICE)
            for each in found.people:
                yield Recipient(
                    each.usr,
                    each.name or None,
                    each.email or None,
                    each.phone or None,
                    each.locale or None,
                    each.time_zone or None,
                    msgspec.json.decode(each.attributes) if each.attributes else None,
                )
            after = found.after

    async def erase(self, tenant: str, id: str) -> str:
        """Forget somebody, at once, and what is theirs soon after; returns the id of the job that does it.

        Runs that wait for them end; messages that are on their way already arrive. What was being written to them meanwhile is erased a
        minute later.

        Raises:
            NotFound: There is none.
        """
        async with self._store.transaction() as tx:
            if not await tx.execute(sql.DELETE, tenant=tenant, id=id):
                raise _missing(id)
            now_ms = (
                self._clock.now_ms()
            )  # after others' writes, for which this one may have waited
            what = {"usr": id, "at_ms": now_ms}
            job = self._queue.job(ERASE, what, tenant=tenant)
            again = self._queue.job(ERASE, what, tenant=tenant, run_ms=now_ms + AGAIN_MS)
            for statement in erasure.AT_ONCE:
                given = {"now_ms": now_ms} if ":now_ms" in statement.text else {}
                await tx.execute(statement, tenant=tenant, usr=id, **given)
            await tx.apply(ENQUEUE, [job, again])
        self._queue.notify()
        return job.id

    async def erase_all(self, job: Job) -> None:
        """Erase what is theirs, in slices: the handler of the job. Begun again it goes on with what is left."""
        whose = {"tenant": job.tenant, **job.read()}
        if not await self._store.fetch(sql.FIND, tenant=job.tenant, id=whose["usr"]):
            whose["at_ms"] = self._clock.now_ms()  # they have not come back: nothing is theirs
        for statement in erasure.SLICES:
            await total(in_slices(self._store, statement, SLICE, **whose))
        for old, forget in erasure.BY_ID:
            while rows := await self._store.fetch(old, **whose, n=SLICE):
                await self._store.apply(forget, rows)
        for erase in self.also_erase:
            await erase(job.tenant, whose["usr"], whose["at_ms"])
        async with self._store.transaction() as tx:
            for statement in erasure.AT_LAST:
                given = whose if ":at_ms" in statement.text else _without(whose, "at_ms")
                await tx.execute(statement, **given)

    async def tell_all(self, tenant: str, id: str) -> AsyncGenerator[dict[str, Any], None]:
        """Everything that is kept of somebody, one thing at a time: `{kind, …}`.

        Raises:
            NotFound: There is none.
        """
        yield {"kind": "subscriber", **msgspec.to_builtins(await self.find(tenant, id))}
        for address in await self._addresses.of_user(tenant, id):
            yield {"kind": "address", **_address(address)}
        for filter in ("all", "archived", "snoozed"):
            before = _NEWEST
            while rows := await self._store.fetch(
                inbox_sql.PAGES[filter],
                tenant=tenant,
                usr=id,
                before=before,
                category="",
                tag="",
                n=SLICE,
            ):
                found = [row for row in rows if row.seq is not None]
                for row in found:
                    yield {"kind": "message", **msgspec.to_builtins(row)}
                if len(found) < SLICE:
                    break
                before = int(found[-1].seq or 0)
        for wants in await self._store.fetch(preference_sql.FIND, tenant=tenant, usr=id):
            yield {"kind": "preferences", **msgspec.json.decode(wants.document)}
        at_ms, at_id = -1, ""
        while events := await self._store.fetch(
            event_sql.EXPORT_OF, tenant=tenant, usr=id, after_ms=at_ms, after_id=at_id, n=SLICE
        ):
            for event in events:
                yield {"kind": "event", **msgspec.to_builtins(event)}
            at_ms, at_id = events[-1].received_ms, events[-1].id
        after = ""
        while runs := await self._store.fetch(
            run_sql.OF_USER, tenant=tenant, usr=id, after=after, n=SLICE
        ):
            for run in runs:
                yield {"kind": "run", **msgspec.to_builtins(run)}
            after = runs[-1].id
        for tell in self.also_tell:
            async for told in tell(tenant, id):
                yield told


def _merged(row: sql.Subscriber, changed: Changed) -> dict[str, str]:
    now = {name: getattr(row, name) for name in ("name", "email", "phone", "locale", "time_zone")}
    for name in now:
        given = getattr(changed, name)
        if given is not UNSET:
            now[name] = given or ""
    attributes: dict[str, Any] = msgspec.json.decode(row.attributes) if row.attributes else {}
    check_said(None, changed.time_zone or None)
    if changed.attributes is None:
        attributes = {}
    elif changed.attributes is not UNSET:
        merged = {**attributes, **changed.attributes}
        attributes = {name: value for name, value in merged.items() if value is not None}
        check_said(attributes, None)
    now["attributes"] = msgspec.json.encode(attributes).decode() if attributes else ""
    return now


def _address(row: address_sql.AddressRow) -> dict[str, Any]:
    data = msgspec.json.decode(row.data) if row.data else {}
    return {**msgspec.structs.asdict(row), "data": data}


def _without(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


def _missing(id: str) -> NotFound:
    return NotFound(f"there is no subscriber {id}")
