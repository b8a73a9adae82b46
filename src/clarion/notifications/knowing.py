"""What has to be found out before runs are decided: who is there, what is unread, what people have done.

It is read when a decision is due, not before: "is she online" is asked when the push would be sent, not when the mention came. Only
what a workflow asks about is read, for all runs of a slice together; what a condition then reads of it stands in the step's record.

`recipient.online` is true while the recipient has a connection that somebody is at: one that has not said that it is `idle` or
`away`. A tab that is open and idle does not count, and neither does a connection that has left a ping unanswered for
`presence.unanswered_s`. Until the next ping is due a peer that has died without a word is not known to be dead (35 s by default at
most): so what must not be lost is better made to depend on `<step>.seen`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from clarion.clock import Clock, as_datetime, as_ms
from clarion.errors import Unavailable
from clarion.notifications.going import Decided, Going, event_key
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.advance import awaited, the_one
from clarion.notifications.workflows.conditions import value
from clarion.notifications.workflows.definition import Fact
from clarion.notifications.workflows.moves import AwaitEvent, Done
from clarion.storage import events as sql
from clarion.storage import inbox as inbox_sql
from clarion.storage.store import Store

LOOKED_AT: Final = 500  # newest events of which one is looked for
NEWEST: Final = 10  # unread messages that `inbox.newest` tells


class Status(Protocol):
    """How a user is."""

    @property
    def user(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def last_seen(self) -> str | None: ...  # noqa: D102
    @property
    def last_active(self) -> str | None: ...  # noqa: D102


class Presence(Protocol):
    """Who is there; see `features.presence.Presence.status`."""

    async def status(
        self,
        tenant: str,
        users: Sequence[str],
        *,
        viewer: str | None = None,
        regardless: bool = False,
    ) -> Sequence[Status]:
        """How users are, in their order."""
        ...


class Knowing:
    """Finds out what decisions need.

    Args:
        store: Inboxes and events.
        presence: Who is there; None: nobody can be asked.
        clock: The time.
    """

    def __init__(self, store: Store, presence: Presence | None, clock: Clock) -> None:
        self._store, self._presence, self._clock = store, presence, clock

    async def find_out(self, goings: Sequence[Going]) -> None:
        """Give each run what its workflow asks about.

        Raises:
            Unavailable: Nobody can say who is there, and a run asks: it is to be decided later.
        """
        await self._who_is_there([each for each in goings if "presence" in each.workflow.asks])
        await self._unread([each for each in goings if "inbox" in each.workflow.asks])
        await self._facts([each for each in goings if "facts" in each.workflow.asks])
        await self.done([each for each in goings if awaited(each.workflow, each.state)])

    async def have_happened(self, decided: Sequence[Decided]) -> list[sql.WaitKey]:
        """Of what runs have just begun to wait for, that which was done already: nobody would wake them."""
        goings = [
            msgspec.structs.replace(each.going, state=each.state, done=()) for each in decided
        ]
        await self.done(goings)
        keys: list[sql.WaitKey] = []
        for going, each in zip(goings, decided, strict=True):
            step = going.workflow.steps[going.state.at]
            facts = {**going.state.left, **going.facts()}
            if the_one(step, going.done, facts) is not None:
                assert isinstance(each.next, AwaitEvent), "waits for one"
                key = event_key(each.next.user, each.next.event)
                keys.append(sql.WaitKey(going.tenant, key, self._clock.now_ms()))
        return keys

    async def _who_is_there(self, goings: Sequence[Going]) -> None:
        if goings and self._presence is None:
            raise Unavailable("nobody can say who is online")
        by_tenant: dict[str, dict[str, list[Going]]] = {}
        for going in goings:
            by_tenant.setdefault(going.tenant, {}).setdefault(going.usr, []).append(going)
        for tenant, users in by_tenant.items():
            assert self._presence is not None, "asked above"
            for status in await self._presence.status(tenant, list(users), regardless=True):
                for going in users[status.user]:
                    going.presence = presence_facts(status, self._clock.now_ms())

    async def _unread(self, goings: Sequence[Going]) -> None:
        if not goings:
            return
        asked = [inbox_sql.Whose(each.tenant, each.usr, NEWEST) for each in goings]
        found: list[inbox_sql.UnreadRow] = await self._store.apply(inbox_sql.UNREAD, asked)
        for going in goings:
            going.known = {**going.known, "inbox": {"unread": 0, "newest": []}}
        for row in found:
            facts = goings[row.n - 1].known["inbox"]
            facts["unread"] = row.unread
            if row.id is not None:
                facts["newest"].append(
                    {
                        "id": row.id,
                        "title": row.title,
                        "body": row.body,
                        "action_url": row.action_url or None,
                        "created_at": as_datetime(row.created_ms or 0).isoformat(),
                    }
                )

    async def _facts(self, goings: Sequence[Going]) -> None:
        now_ms = self._clock.now_ms()
        counted: list[tuple[Going, str, sql.Of]] = []
        listed: list[tuple[Going, str, sql.Of]] = []
        for going in goings:
            going.known = {**going.known, "facts": {}}
            for name, fact in going.workflow.facts.items():
                of = _of(going, fact, now_ms)
                if fact.where is None:
                    counted.append((going, name, of))
                listed.append((going, name, of))
        for row in await self._ask(sql.COUNT, counted):
            going, name, _ = counted[row.n - 1]
            going.known["facts"][name] = _told(row.count, row.first_ms, row.last_ms)
        lists: dict[int, list[sql.Did]] = {}
        for did in await self._ask(sql.FIND, listed):
            lists.setdefault(did.n, []).append(did)
        for n, (going, name, _) in enumerate(listed, 1):
            where = going.workflow.facts[name].where
            facts = going.facts()
            these = [
                (did, properties)
                for did in lists.get(n, [])
                for properties in [msgspec.json.decode(did.properties or "{}")]
                if where is None or where({**facts, "event": properties})[0]
            ]
            if where is not None:
                times = [did.at_ms for did, _ in these]
                told = _told(len(these), min(times, default=None), max(times, default=None))
                going.known["facts"][name] = told
            going.known["facts"][name]["last"] = these[0][1] if these else None

    async def _ask(self, procedure: Any, asked: Sequence[tuple[Going, str, sql.Of]]) -> list[Any]:
        return await self._store.apply(procedure, [of for _, _, of in asked]) if asked else []

    async def done(self, goings: Sequence[Going]) -> None:
        """Give runs that wait for an event those that may be the one, the newest first."""
        asked: list[sql.Of] = []
        for going in goings:
            wait = awaited(going.workflow, going.state)
            assert wait is not None, "waits for one"
            assert wait.event is not None, "waits for one"
            left = going.state.left[going.workflow.steps[going.state.at].id]
            since = left["since_ms"]
            asked.append(sql.Of(going.tenant, left["user"], wait.event, since, 0, LOOKED_AT))
        if not asked:
            return
        done: dict[int, list[Done]] = {}
        for did in await self._store.apply(sql.FIND, asked):
            done.setdefault(did.n, []).append(_done_of(did))
        for n, going in enumerate(goings, 1):
            going.done = done.get(n, ())


def presence_facts(status: Status, now_ms: int) -> dict[str, Any]:
    """What conditions know of where somebody is; see the module."""
    return {
        "online": status.status in ("online", "dnd"),
        "idle": status.status in ("idle", "away"),
        "status": status.status,
        "last_seen": status.last_seen,
        "last_seen_s": _ago_s(status.last_seen, now_ms),
        "last_active": status.last_active,
        "last_active_s": _ago_s(status.last_active, now_ms),
    }


def _ago_s(time: str | None, now_ms: int) -> float | None:
    if time is None:
        return None
    return max(0, now_ms - as_ms(datetime.fromisoformat(time))) / 1000


def _of(going: Going, fact: Fact, now_ms: int) -> sql.Of:
    user = going.usr
    if fact.event.user is not None:
        named = value(fact.event.user, going.facts())
        user = named if isinstance(named, str) else ""
    within = fact.event.within
    since = 0 if within is None else now_ms - durations.seconds(within) * 1000
    # It is received when it has happened, or later.
    most = 1 if fact.where is None else LOOKED_AT
    return sql.Of(going.tenant, user, fact.event.event, since, since, most)


def _told(count: int, first_ms: int | None, last_ms: int | None) -> dict[str, Any]:
    return {"count": count, "first_at": _time(first_ms), "last_at": _time(last_ms), "last": None}


def _time(ms: int | None) -> str | None:
    return None if ms is None else as_datetime(ms).isoformat()


def _done_of(did: sql.Did) -> Done:
    at = as_datetime(did.at_ms).isoformat()
    return Done(did.id, msgspec.json.decode(did.properties or "{}"), at)
