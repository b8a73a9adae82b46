"""Whom a trigger is for: people that it names, audiences, a filter, everybody; minus those whom it leaves out. Everybody once.

They are read slice by slice in the order of their ids, with a cursor. Whether somebody is in an audience is looked at when their slice
comes: who joins behind the cursor gets it, who leaves before it came by does not, and nobody gets anything twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import Fault, Invalid, TooCostly
from clarion.notifications.facts import recipient_facts
from clarion.notifications.filters import read_filter
from clarion.notifications.rules import Did, Doing, Rule, doings, narrowed
from clarion.storage import audiences as audience_sql
from clarion.storage import events as event_sql
from clarion.storage import targets as sql
from clarion.storage.store import Param, Store

PARTS: Final = 100  # audiences that all those a trigger names consist of


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

    @property
    def is_named(self) -> bool:
        """Whether it says by name for whom it is, and for whom it is not."""
        by_others = self.audiences or self.filter or self.did or self.exclude_audiences
        return not (by_others or self.has_rows or self.everyone)


class Sliced(Struct, frozen=True):
    """Some of them, and behind whom the next slice begins; None: there are no more."""

    people: list[sql.Candidate]
    after: str | None


class _Meant(Struct, frozen=True):
    """Where they come from, and the rules: `rules` that SQL cannot decide alone, and those by which people are left out."""

    sides: sql.Sides
    params: dict[str, Param]
    rules: list[Rule]
    out: list[Rule]


class Targets:
    """Finds people.

    Args:
        store: Where they are.
        clock: For what they did within a time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

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
        sides = meant.sides
        if sides.is_nobody:
            return Sliced([], None)
        asks = bool(meant.rules or meant.out)
        statement = sql.slice_of(sides, is_bare=is_bare and not asks)
        found = await self._store.fetch(statement, **meant.params, after=after, n=limit)
        excluded = frozenset(asked.exclude)
        people = [
            each
            for each in found
            if each.id is not None and not each.is_out and each.usr not in excluded
        ]
        if asks:
            done = await self._done(tenant, people, (*meant.rules, *meant.out))
            people = [each for each in people if _is_in(each, meant, done)]
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
        within, rules = await self._parts(tenant, asked.audiences)
        without, out = await self._parts(tenant, asked.exclude_audiences)
        if asked.filter:
            rules.append(Rule(read_filter(asked.filter)))
        if asked.did:
            rules.append(Rule(did=asked.did))
        if asked.everyone:
            rules.append(Rule())
        sides_of = [narrowed(each, f"f{i}_") for i, each in enumerate(rules)]
        params: dict[str, Param] = {"tenant": tenant}
        if asked.users:
            params["users"] = msgspec.json.encode(asked.users).decode()
        if asked.has_rows:
            params["trigger"] = trigger
        for each in sides_of:
            params.update(each.params)
        params.update({f"audience_{i}": name for i, name in enumerate(within)})
        params.update({f"without_{i}": name for i, name in enumerate(without)})
        sides = sql.Sides(
            bool(asked.users),
            asked.has_rows,
            len(within),
            tuple((each.where, each.is_exact) for each in sides_of),
            len(without),
        )
        unsure = [rule for rule, side in zip(rules, sides_of, strict=True) if not side.is_exact]
        return _Meant(sides, params, unsure, out)

    async def _done(
        self, tenant: str, people: Sequence[sql.Candidate], rules: Sequence[Rule]
    ) -> dict[str, set[Doing]]:
        """What these people did of what the rules ask for."""
        users = msgspec.json.encode([each.usr for each in people]).decode()
        found: dict[str, set[Doing]] = {}
        for doing in {each: None for rule in rules for each in rule.did}:
            for row in await self._store.fetch(
                event_sql.WHO_OF,
                tenant=tenant,
                users=users,
                event=doing.event,
                since_ms=doing.since_ms,
                times=doing.times,
            ):
                found.setdefault(row.usr, set()).add(doing)
        return found

    async def _parts(self, tenant: str, audiences: Sequence[str]) -> tuple[list[str], list[Rule]]:
        """All audiences that these consist of, and the rules among them."""
        found: dict[str, audience_sql.Part] = {}
        for name in audiences:
            for part in await self._store.fetch(audience_sql.PARTS, tenant=tenant, audience=name):
                found[part.audience] = part
        if len(found) > PARTS:
            raise Invalid(f"the audiences consist of {len(found)}, {PARTS} are allowed")
        now_ms = self._clock.now_ms()
        return list(found), [
            _rule_of(each, now_ms) for each in found.values() if each.filter or each.did
        ]


def _rule_of(part: audience_sql.Part, now_ms: int) -> Rule:
    did = msgspec.json.decode(part.did, type=list[Did]) if part.did else []
    return Rule(read_filter(part.filter) if part.filter else None, doings(did, now_ms))


def _is_in(person: sql.Candidate, meant: _Meant, done: Mapping[str, set[Doing]]) -> bool:
    facts: dict[str, Any] = {"recipient": recipient_facts(person.usr, person)}
    theirs = done.get(person.usr, set())
    if not person.is_sure and not any(each.holds(facts, theirs) for each in meant.rules):
        return False
    return not any(each.holds(facts, theirs) for each in meant.out)
