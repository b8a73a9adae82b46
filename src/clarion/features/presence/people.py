"""Who may see that a user is here, and whom users know: what they have chosen, in the database.

Who is visible to `contacts` is seen by those whom they know themselves: nobody makes themself somebody's contact to watch them. Each change is told to
all nodes once it is written; those that have to do with the user read it anew.
"""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from clarion.bus import Bus
from clarion.errors import TooMany
from clarion.settings import Presence as Settings
from clarion.storage import Store
from clarion.storage import presence as sql
from clarion.telemetry import limit_exceeded

Visibility = Literal["everyone", "contacts", "nobody"]
"""Who may see that a user is here. In rooms, whose list is the same for all, only those are listed whom everyone may see."""

EVERYONE, CONTACTS, NOBODY = range(3)
NAMES: Final[Sequence[Visibility]] = get_args(Visibility)
CHANNEL: Final = "presence:people"


class People:
    """What users have chosen.

    Args:
        store: Where it is.
        bus: Tells nodes of changes.
        settings: `contacts`, `visibility`.
    """

    def __init__(self, store: Store, bus: Bus, settings: Settings) -> None:
        self._store = store
        self._bus = bus
        self._settings = settings
        self._default = [*map(str, NAMES)].index(settings.visibility)

    def chosen(self, row: int | None) -> int:
        """What holds for a user of whom the database says this; None: they have not chosen."""
        return self._default if row is None else row

    async def visibility(self, tenant: str, user: str) -> Visibility:
        """Who may see that a user is here.

        Raises:
            Unavailable: The database is not there now; likewise of all that follows.
        """
        return (await self.visibilities([(tenant, user)]))[0]

    async def visibilities(self, users: Sequence[tuple[str, str]]) -> list[Visibility]:
        """The same of many, each a tenant and a user, in their order."""
        rows = await self._store.apply(sql.PEOPLE, [sql.User(*each) for each in users])
        return [NAMES[self.chosen(row.visibility)] for row in rows]

    async def choose(self, tenant: str, user: str, visibility: Visibility) -> None:
        """Say who may see that a user is here; it holds everywhere as soon as nodes have heard of it."""
        async with self._store.transaction() as tx:
            await tx.execute(sql.CHOOSE, tenant=tenant, id=user, visibility=NAMES.index(visibility))
        await self._notify(tenant, user)

    async def contacts(self, tenant: str, user: str, after: str, limit: int) -> list[str]:
        """Whom a user knows, in the order of their ids, behind one."""
        rows = await self._store.fetch(sql.CONTACTS, tenant=tenant, id=user, after=after, n=limit)
        return [row.contact for row in rows]

    async def change_contacts(
        self, tenant: str, user: str, add: Sequence[str], remove: Sequence[str]
    ) -> int:
        """Let a user know others, or know them no longer; returns how many they know then.

        Raises:
            TooMany: They would know more than `presence.contacts`; nothing is changed.
        """
        most = self._settings.contacts
        pairs = [[sql.Pair(tenant, user, each) for each in some] for some in (remove, add)]
        async with self._store.transaction() as tx:
            for procedure, rows in zip((sql.REMOVE, sql.ADD), pairs, strict=True):
                if rows:
                    await tx.apply(procedure, rows)
            (number,) = await tx.fetch(sql.COUNT, tenant=tenant, id=user)
            if add and number.n > most:
                limit_exceeded.labels("presence_contacts").inc()
                raise TooMany(f"a user has at most {most} contacts (presence.contacts)", limit=most)
        await self._notify(tenant, user)
        return number.n

    async def seen_by(
        self, tenant: str, viewer: str | None, users: Sequence[str], chosen: Sequence[int]
    ) -> list[bool]:
        """Whether somebody may see that users are here, in their order.

        Args:
            tenant: Whose.
            viewer: Who looks; None: nobody in particular.
            users: At whom.
            chosen: What each of them has chosen.
        """
        doubtful = [
            sql.Pair(tenant, user, viewer)
            for user, each in zip(users, chosen, strict=True)
            if each == CONTACTS and viewer is not None
        ]
        friends = {pair.id for pair in await self._known(doubtful)}
        return [
            user == viewer or each == EVERYONE or (each == CONTACTS and user in friends)
            for user, each in zip(users, chosen, strict=True)
        ]

    async def visible(self, tenant: str, viewer: str | None, users: Sequence[str]) -> list[bool]:
        """As `seen_by`, of users whose choice is not at hand."""
        if not users:
            return []
        rows = await self._store.apply(sql.PEOPLE, [sql.User(tenant, user) for user in users])
        chosen = [self.chosen(row.visibility) for row in rows]
        return await self.seen_by(tenant, viewer, users, chosen)

    async def visible_to(self, tenant: str, user: str, viewers: Sequence[str]) -> list[bool]:
        """Which of them may see that one user is here, in their order."""
        visibility = await self.visibility(tenant, user)
        doubtful = viewers if visibility == "contacts" else ()
        pairs = [sql.Pair(tenant, user, viewer) for viewer in doubtful]
        friends = {pair.contact for pair in await self._known(pairs)}
        return [
            visibility == "everyone" or viewer == user or viewer in friends for viewer in viewers
        ]

    async def _known(self, pairs: Sequence[sql.Pair]) -> list[sql.Pair]:
        """Those of them that are so."""
        rows = await self._store.apply(sql.KNOWN, pairs) if pairs else []
        return [pairs[row.n - 1] for row in rows]

    async def _notify(self, tenant: str, user: str) -> None:
        await self._bus.publish(CHANNEL, msgspec.json.encode((tenant, user)))
