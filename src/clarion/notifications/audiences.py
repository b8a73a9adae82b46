"""Audiences: named sets of people. Whoever was put in, the people of the audiences inside, and whom its filter and what they did describe."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Conflict, Fault, Invalid, NotFound
from clarion.notifications.filters import read_filter
from clarion.notifications.recipients import UserId
from clarion.notifications.rules import DIDS, Did, doings
from clarion.notifications.targets import Asked, Targets
from clarion.patterns import worded
from clarion.storage import audiences as sql
from clarion.storage.slices import in_slices, total
from clarion.storage.store import Store, Tx

SLICE: Final = 500  # members that are removed in one transaction
CHILDREN: Final = 50
AudienceKey = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)",
            "a key: a-z, 0-9, `.`, `_` and `-`, at most 64, the first a letter or digit",
        ),
        description="An audience's key",
    ),
]


class AudienceDefinition(Struct, frozen=True, forbid_unknown_fields=True):
    """An audience as it is given: who was put in stays."""

    name: Annotated[str, Meta(max_length=200)] = ""
    filter: Annotated[
        str,
        Meta(max_length=1_000, description='Whom it lets through: `recipient.locale == "de"`'),
    ] = ""
    did: Annotated[list[Did], Meta(max_length=DIDS)] = []
    """Subscribers who did one of these are in it; where there is a filter, those of them whom it lets through."""
    includes: Annotated[list[AudienceKey], Meta(max_length=CHILDREN)] = []
    """Audiences whose people are in it."""


class Audience(Struct, frozen=True):
    """An audience. `members` counts who was put in."""

    audience: str
    name: str
    filter: str
    includes: list[str]
    members: int
    created_at: datetime
    updated_at: datetime
    did: list[Did] = []


class AudiencePage(Struct, frozen=True):
    """Audiences in the order of their keys."""

    items: list[Audience]
    next: str | None


class People(Struct, frozen=True):
    """Ids of people, in order; a page may have fewer than were asked for, although more follow."""

    items: list[str]
    next: str | None


class ChangeMembers(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to put in, and whom to take out."""

    add: Annotated[list[UserId], Meta(max_length=1_000)] = []
    remove: Annotated[list[UserId], Meta(max_length=1_000)] = []


class MembersChanged(Struct, frozen=True):
    """How many of those who were to be put in are in it now, and who is not known here; how many are in it."""

    added: int
    unknown: list[str]
    members: int


class Audiences:
    """The audiences of tenants.

    Args:
        store: Where they are.
        targets: Finds their people.
        clock: Time of changes.
    """

    def __init__(self, store: Store, targets: Targets, *, clock: Clock) -> None:
        self._store, self._targets, self._clock = store, targets, clock

    async def put(self, tenant: str, audience: str, given: AudienceDefinition) -> Audience:
        """Make an audience, or describe it anew; who was put in stays.

        Raises:
            Invalid: The filter is none, a span is none, or an audience inside is not there.
            Conflict: It would be inside itself.
        """
        if given.filter:
            read_filter(given.filter)
        doings(given.did, 0)
        whose = {"tenant": tenant, "audience": audience}
        async with self._store.transaction() as tx:
            there = [row.audience for row in await tx.fetch(sql.LOCK, tenant=tenant)]
            for n, child in enumerate(given.includes):
                await self._check_child(tx, tenant, audience, child, n, there)
            if audience not in there:
                await tx.execute(sql.EMPTY, **whose)
            await tx.execute(
                sql.PUT,
                **whose,
                name=given.name,
                filter=given.filter,
                did=msgspec.json.encode(given.did).decode() if given.did else "",
                now_ms=self._clock.now_ms(),
            )
            await tx.execute(sql.REMOVE_CHILDREN, **whose)
            for child in given.includes:
                await tx.execute(sql.ADD_CHILD, **whose, child=child)
        return await self.find(tenant, audience)

    async def find(self, tenant: str, audience: str) -> Audience:
        """One of them.

        Raises:
            NotFound: There is none.
        """
        for row in await self._store.fetch(sql.FIND, tenant=tenant, audience=audience):
            return await self._told(tenant, row)
        raise NotFound(f"there is no audience {audience!r}")

    async def page(self, tenant: str, after: str, limit: int) -> AudiencePage:
        """Audiences behind a key."""
        found = await self._store.fetch(sql.PAGE, tenant=tenant, after=after, n=limit + 1)
        items = [await self._told(tenant, row) for row in found[:limit]]
        return AudiencePage(items, items[-1].audience if len(found) > limit else None)

    async def delete(self, tenant: str, audience: str) -> None:
        """Forget an audience; its people stay, and what was sent to it.

        Raises:
            NotFound: There is none.
            Conflict: It is inside another.
        """
        whose = {"tenant": tenant, "audience": audience}
        async with self._store.transaction() as tx:
            await tx.fetch(sql.LOCK, tenant=tenant)
            if parents := await tx.fetch(sql.PARENTS, **whose):
                raise Conflict(f"the audience is inside {parents[0].child!r}")
            if not await tx.execute(sql.DELETE, **whose):
                raise NotFound(f"there is no audience {audience!r}")
            await tx.execute(sql.REMOVE_CHILDREN, **whose)
        await total(in_slices(self._store, sql.REMOVE_MEMBERS, SLICE, **whose))

    async def change_members(
        self, tenant: str, audience: str, given: ChangeMembers
    ) -> MembersChanged:
        """Put people in, and take people out; who is in both is out.

        Raises:
            NotFound: There is no such audience.
        """
        await self.find(tenant, audience)
        unknown = await self.add(tenant, audience, given.add)
        if unknown:
            await self.find(tenant, audience)  # nobody is put into one that was deleted meanwhile
        await self.remove(tenant, audience, given.remove)
        [size] = await self._store.fetch(sql.COUNT, tenant=tenant, audience=audience)
        return MembersChanged(len(dict.fromkeys(given.add)) - len(unknown), unknown, size.count)

    async def add(self, tenant: str, audience: str, users: Sequence[str]) -> list[str]:
        """Put people in; returns those who are not known."""
        ids, now_ms = list(dict.fromkeys(users)), self._clock.now_ms()
        if not ids:
            return []
        rows = [sql.Membership(tenant, audience, id, now_ms) for id in ids]
        taken: list[sql.Taken] = await self._store.apply(sql.ADD_MEMBERS, rows)
        there = {row.n for row in taken}
        return [id for n, id in enumerate(ids, 1) if n not in there]

    async def remove(self, tenant: str, audience: str, users: Sequence[str]) -> None:
        """Take people out; who is not in it stays out."""
        rows = [sql.Membership(tenant, audience, id, 0) for id in dict.fromkeys(users)]
        if rows:
            await self._store.apply(sql.TAKE_OUT, rows)

    async def people(self, tenant: str, audience: str, after: str, limit: int) -> People:
        """All whom a send would reach now, behind an id.

        Raises:
            NotFound: There is no such audience.
        """
        await self.find(tenant, audience)
        found = await self._targets.slice(
            tenant, Asked(audiences=[audience]), after, limit, is_bare=True
        )
        return People([each.usr for each in found.people], found.after)

    async def _told(self, tenant: str, row: sql.AudienceRow) -> Audience:
        whose = {"tenant": tenant, "audience": row.audience}
        children = await self._store.fetch(sql.CHILDREN, **whose)
        [size] = await self._store.fetch(sql.COUNT, **whose)
        return Audience(
            row.audience,
            row.name,
            row.filter,
            [each.child for each in children],
            size.count,
            as_datetime(row.created_ms),
            as_datetime(row.updated_ms),
            msgspec.json.decode(row.did, type=list[Did]) if row.did else [],
        )

    async def _check_child(
        self, tx: Tx, tenant: str, audience: str, child: str, n: int, there: Sequence[str]
    ) -> None:
        if child == audience:
            raise Conflict(f"the audience {audience!r} cannot be inside itself")
        if child not in there:
            raise Invalid(
                f"there is no audience {child!r}",
                faults=[Fault(f"/includes/{n}", "there is no such audience")],
            )
        parts = await tx.fetch(sql.PARTS, tenant=tenant, audience=child)
        if audience in [part.audience for part in parts]:
            raise Conflict(f"{audience!r} is inside {child!r}: it cannot be the other way, too")
