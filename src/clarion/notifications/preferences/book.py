"""The book: everybody's preferences as they are kept, each document with a revision that a change must name.

Reading them costs bulk sends nothing where nobody of a tenant has any: that is looked up once a second at most, so another process may
overlook the very first preferences of a tenant for so long. Once there are any, they are read with each slice of recipients.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import Invalid, Unavailable
from clarion.notifications.inbox import Inbox
from clarion.notifications.preferences.document import Defaults, Document, check, past
from clarion.notifications.preferences.evaluate import NONE, Wishes
from clarion.settings import Limits
from clarion.storage import preferences as sql
from clarion.storage.store import Sql, Store, Tx

LOOK_AGAIN_MS: Final = 1_000
TENANTS: Final = 10_000  # that are remembered
_TRIES: Final = 5  # of a first document, where there was none that could be held
_DEPLOYMENT: Final = ""

Matches = Callable[[int], None]
"""Is given the revision that is there (0: none), and raises `Stale` if it is not the right one."""


class Kept(Struct, frozen=True):
    """One person's document; `revision` 0: they have never said anything."""

    document: Document
    revision: int


class KeptDefaults(Struct, frozen=True):
    """The deployment's document; `revision` 0: it has never said anything."""

    document: Defaults
    revision: int


class Wanting(Protocol):
    """A run that is told what its recipient wants."""

    wishes: Wishes

    @property
    def tenant(self) -> str: ...  # noqa: D102
    @property
    def usr(self) -> str: ...  # noqa: D102


class Book:
    """Keeps preferences.

    Args:
        store: Where they are.
        inbox: Tells a person's open pages of changes, by the log of their inbox.
        limits: `preference_bytes`.
        clock: The time.
    """

    def __init__(self, store: Store, inbox: Inbox, limits: Limits, *, clock: Clock) -> None:
        self._store, self._inbox, self._limits, self._clock = store, inbox, limits, clock
        self._any: dict[str, int | None] = {}
        """Tenant → when it was found that nobody has any; None: somebody has."""

    # ── for those who send ──
    async def give(self, goings: Iterable[Wanting]) -> None:
        """Tell runs what their recipients want."""
        by_tenant: dict[str, list[Wanting]] = {}
        for going in goings:
            by_tenant.setdefault(going.tenant, []).append(going)
        for tenant, some in by_tenant.items():
            found, others = await self.of(tenant, [each.usr for each in some])
            for going in some:
                going.wishes = found.get(going.usr, others)

    async def of(self, tenant: str, users: Sequence[str]) -> tuple[Mapping[str, Wishes], Wishes]:
        """What people want: by user, and what holds for those who have said nothing."""
        if not await self._has_any(tenant):
            return {}, NONE
        asked = [sql.Whose(tenant, usr) for usr in dict.fromkeys([_DEPLOYMENT, *users])]
        rows: list[sql.Known] = await self._store.apply(sql.OF, asked)
        others = NONE
        for row in rows:
            if row.usr == _DEPLOYMENT:
                others = Wishes(defaults=_defaults_of(row.document), defaults_revision=row.revision)
        found = {
            row.usr: msgspec.structs.replace(
                others, own=_document_of(row.document), revision=row.revision
            )
            for row in rows
            if row.usr != _DEPLOYMENT
        }
        return found, others

    async def has_changed(self, tenant: str, usr: str, since_ms: int) -> bool:
        """Whether what a person wants, or what holds for all, was changed since then (ms since 1970)."""
        if not await self._has_any(tenant):
            return False
        asked = [sql.Since(tenant, whose, since_ms) for whose in (usr, _DEPLOYMENT)]
        return bool(await self._store.apply(sql.CHANGED, asked))

    async def wishes(self, tenant: str, usr: str) -> Wishes:
        """What one person wants, as it is now."""
        own, defaults = await self.find(tenant, usr), await self.defaults(tenant)
        return Wishes(own.document, defaults.document, own.revision, defaults.revision)

    # ── documents ──
    async def find(self, tenant: str, usr: str) -> Kept:
        """A person's document; an empty one if they have never said anything."""
        row = await self._read(self._store, sql.FIND, tenant, usr)
        return Kept(_document_of(row.document), row.revision)

    async def defaults(self, tenant: str) -> KeptDefaults:
        """The deployment's document."""
        row = await self._read(self._store, sql.FIND, tenant, _DEPLOYMENT)
        return KeptDefaults(_defaults_of(row.document), row.revision)

    async def change(
        self,
        tenant: str,
        usr: str,
        change: Callable[[Document], Document],
        matches: Matches | None = None,
    ) -> Kept:
        """Change a person's document, and tell their open pages. The same as it was changes nothing.

        Args:
            tenant: Theirs.
            usr: Who.
            change: Makes the new document of the one that is there; called again where somebody else was faster.
            matches: What the document must be; None: any.

        Raises:
            Stale: It is not what `matches` expects.
            Invalid: The document is not right, or a pause or mute that is new in it is over; each fault points at what is wrong.
            TooLarge: It exceeds `limits.preference_bytes`.
        """

        def made(text: str) -> Document:
            before = _document_of(text)
            document = change(before)
            if faults := list(past(before, document, self._clock.now_ms())):
                raise Invalid("these preferences are not right", faults=faults)
            return document

        document, revision = await self._change(tenant, usr, made, matches)
        return Kept(document, revision)

    def check(self, document: Defaults) -> None:
        """Refuse what could not hold for everybody.

        Raises:
            Invalid, TooLarge: As `change`.
        """
        check(document, self._limits.preference_bytes)

    async def put_defaults(
        self, tenant: str, document: Defaults, matches: Matches | None = None
    ) -> KeptDefaults:
        """Set what holds for everybody of a deployment who has not said otherwise.

        Raises:
            Stale, Invalid, TooLarge: As `change`.
        """
        kept, revision = await self._change(tenant, _DEPLOYMENT, lambda _: document, matches)
        return KeptDefaults(kept, revision)

    async def _change(
        self,
        tenant: str,
        usr: str,
        change: Callable[[str], Any],
        matches: Matches | None,
    ) -> tuple[Any, int]:
        def made(before: sql.PreferenceRow) -> tuple[Any, str]:
            if matches is not None:
                matches(before.revision)
            document = change(before.document)
            check(document, self._limits.preference_bytes)
            return document, msgspec.json.encode(document, order="sorted").decode()

        for _ in range(_TRIES):
            before = await self._read(self._store, sql.FIND, tenant, usr)
            document, text = made(before)
            if text == before.document:
                return document, before.revision
            told: Awaitable[None] | None = None
            async with self._store.transaction() as tx:
                held = await self._read(tx, sql.HOLD, tenant, usr)
                if held != before:  # somebody was faster; from here on nobody is
                    document, text = made(held)
                    if text == held.document:
                        return document, held.revision
                found = await tx.fetch(
                    sql.PUT,
                    tenant=tenant,
                    usr=usr,
                    document=text,
                    seen=held.revision,
                    now_ms=self._clock.now_ms(),
                )
                if found and usr != _DEPLOYMENT:
                    facts = {"revision": found[0].revision}
                    told = await self._inbox.note(tx, tenant, usr, "preferences", facts)
            if found:
                self._remember(tenant, None)
                if told is not None:
                    await told
                return document, found[0].revision
        raise Unavailable("these preferences are being changed; try again")

    @staticmethod
    async def _read(
        where: Store | Tx, how: Sql[sql.PreferenceRow], tenant: str, usr: str
    ) -> sql.PreferenceRow:
        for row in await where.fetch(how, tenant=tenant, usr=usr):
            return row
        return sql.PreferenceRow("{}", 0)

    async def _has_any(self, tenant: str) -> bool:
        now_ms = self._clock.now_ms()
        looked_ms = self._any.get(tenant, -LOOK_AGAIN_MS)
        if looked_ms is None:
            return True
        if 0 <= now_ms - looked_ms < LOOK_AGAIN_MS:
            return False
        is_any = bool(await self._store.fetch(sql.ANY, tenant=tenant))
        if is_any or self._any.get(tenant, 0) is not None:
            self._remember(tenant, None if is_any else now_ms)
        return is_any

    def _remember(self, tenant: str, looked_ms: int | None) -> None:
        if len(self._any) >= TENANTS:
            self._any.clear()
        self._any[tenant] = looked_ms


def _document_of(text: str) -> Document:
    return msgspec.json.decode(text, type=Document)


def _defaults_of(text: str) -> Defaults:
    return msgspec.json.decode(text, type=Defaults)
