"""Whom a trigger is for: people that it names, audiences, a filter, everybody; minus those whom it leaves out. Everybody once.

They are read slice by slice in the order of their ids, with a cursor. Whether somebody is in an audience is looked at when their slice
comes: who joins behind the cursor gets it, who leaves before it came by does not, and nobody gets anything twice.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.errors import Fault, Invalid, TooCostly
from clarion.notifications.facts import recipient_facts
from clarion.notifications.filters import narrow, read_filter
from clarion.notifications.workflows.conditions import Condition
from clarion.storage import audiences as audience_sql
from clarion.storage import targets as sql
from clarion.storage.events import who_did
from clarion.storage.store import Param, Store

PARTS: Final = 100  # audiences that all those a trigger names consist of


class Doing(Struct, frozen=True, array_like=True):
    """Those who did something since a time (ms since 1970), so often at least of all that is kept."""

    event: str
    since_ms: int
    times: int


class Asked(Struct, frozen=True, omit_defaults=True):
    """Whom a trigger is for; kept with it as JSON."""

    users: Sequence[str] = ()
    has_rows: bool = False
    """Whether more of them are in rows of their own."""
    audiences: Sequence[str] = ()
    filter: str = ""
    everyone: bool = False
    did: Sequence[Doing] = ()
    exclude: Sequence[str] = ()
    exclude_audiences: Sequence[str] = ()


class Sliced(Struct, frozen=True):
    """Some of them, and behind whom the next slice begins; None: there are no more."""

    people: list[sql.Candidate]
    after: str | None


class _Meant(Struct, frozen=True):
    """Where they come from, and the conditions that SQL cannot decide alone."""

    sides: sql.Sides
    params: dict[str, Param]
    filters: list[Condition]
    out_filters: list[Condition]


class Targets:
    """Finds people.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def slice(
        self,
        tenant: str,
        asked: Asked,
        after: str,
        limit: int,
        *,
        trigger: str = "",
        is_bare: bool = False,
    ) -> Sliced:
        """The next of them.

        Args:
            tenant: Whose.
            asked: Whom.
            after: Behind this user.
            limit: So many at most; it may be fewer, even none, although there are more.
            trigger: Whose own rows are meant by `asked.has_rows`.
            is_bare: Their ids are enough.
        """
        meant = await self._meant(tenant, asked, trigger)
        sides, filters, out_filters = meant.sides, meant.filters, meant.out_filters
        if sides.is_nobody:
            return Sliced([], None)
        asks = bool(out_filters) or not all(is_exact for _, is_exact in sides.filters)
        statement = sql.slice_of(sides, is_bare=is_bare and not asks)
        found = await self._store.fetch(statement, **meant.params, after=after, n=limit)
        excluded = frozenset(asked.exclude)
        people = [
            each
            for each in found
            if each.id is not None and not each.is_out and each.usr not in excluded
        ]
        if asks:
            people = [each for each in people if _is_in(each, filters, out_filters)]
        return Sliced(people, found[-1].usr if len(found) == limit else None)

    async def count(self, tenant: str, asked: Asked, *, trigger: str = "") -> int | None:
        """How many there are now, those who are left out by name or by an audience among them; None: that takes too long to say."""
        meant = await self._meant(tenant, asked, trigger)
        if meant.sides.is_nobody:
            return 0
        if not all(is_exact for _, is_exact in meant.sides.filters):
            return None
        params = {k: v for k, v in meant.params.items() if not k.startswith("without_")}
        try:
            [found] = await self._store.fetch(sql.count_of(meant.sides), **params)
        except TooCostly:
            return None
        return found.count

    async def check(self, tenant: str, asked: Asked) -> None:
        """Refuse what cannot be meant.

        Raises:
            Invalid: A filter is none, an audience is not there, or it all consists of too many.
        """
        if asked.filter:
            read_filter(asked.filter)
        for member in ("audiences", "exclude_audiences"):
            for i, name in enumerate(getattr(asked, member)):
                if not await self._store.fetch(audience_sql.FIND, tenant=tenant, audience=name):
                    raise Invalid(
                        f"there is no audience {name!r}",
                        faults=[Fault(f"/{member}/{i}", "there is no such audience")],
                    )
            await self._parts(tenant, getattr(asked, member))

    async def _meant(self, tenant: str, asked: Asked, trigger: str) -> _Meant:
        within, filters = await self._parts(tenant, asked.audiences)
        without, out_filters = await self._parts(tenant, asked.exclude_audiences)
        if asked.filter:
            filters.append(read_filter(asked.filter))
        narrowed = [narrow(each, f"f{i}_") for i, each in enumerate(filters)]
        narrowed += [_who_did(each, f"d{i}") for i, each in enumerate(asked.did)]
        if asked.everyone:
            narrowed.append(sql.Narrowed(is_exact=True))
        params: dict[str, Param] = {"tenant": tenant}
        if asked.users:
            params["users"] = msgspec.json.encode(asked.users).decode()
        if asked.has_rows:
            params["trigger"] = trigger
        for each in narrowed:
            params.update(each.params)
        params.update({f"audience_{i}": name for i, name in enumerate(within)})
        params.update({f"without_{i}": name for i, name in enumerate(without)})
        sides = sql.Sides(
            bool(asked.users),
            asked.has_rows,
            len(within),
            tuple((each.where, each.is_exact) for each in narrowed),
            len(without),
        )
        return _Meant(sides, params, filters, out_filters)

    async def _parts(
        self, tenant: str, audiences: Sequence[str]
    ) -> tuple[list[str], list[Condition]]:
        """All audiences that these consist of, and the filters among them."""
        found: dict[str, str] = {}
        for name in audiences:
            for part in await self._store.fetch(audience_sql.PARTS, tenant=tenant, audience=name):
                found[part.audience] = part.filter
        if len(found) > PARTS:
            raise Invalid(f"the audiences consist of {len(found)}, {PARTS} are allowed")
        return list(found), [read_filter(each) for each in found.values() if each]


def _who_did(doing: Doing, prefix: str) -> sql.Narrowed:
    event, since, times = (f"{prefix}_{name}" for name in ("event", "since", "times"))
    params: dict[str, Param] = {event: doing.event, since: doing.since_ms, times: doing.times}
    return sql.Narrowed(
        f"s.id IN ({who_did(f':{event}', f':{since}', times=f':{times}')})", params, True
    )


def _is_in(
    person: sql.Candidate, filters: Sequence[Condition], out_filters: Sequence[Condition]
) -> bool:
    facts: dict[str, Any] = {"recipient": recipient_facts(person.usr, person)}
    if not person.is_sure and not any(each(facts)[0] for each in filters):
        return False
    return not any(each(facts)[0] for each in out_filters)
