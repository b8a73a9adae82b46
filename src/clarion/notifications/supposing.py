"""Supposing: a message that may be sent, with what is known of it now, outside of any run: to explain it, and to ask once more."""

from collections.abc import Mapping
from typing import Any

from clarion.clock import Clock
from clarion.notifications.addresses import Addresses
from clarion.notifications.catalog import Catalog
from clarion.notifications.facts import recipient_facts
from clarion.notifications.going import Going
from clarion.notifications.preferences.book import Book
from clarion.notifications.workflows.definition import Workflow
from clarion.notifications.workflows.moves import Begin, State
from clarion.storage import subscribers as people_sql
from clarion.storage.store import Store


class Suppose:
    """Makes runs that are never carried on.

    Args:
        store: Where subscribers are.
        book: Knows what they want.
        catalog: Workflows.
        addresses: Of subscribers.
        clock: The time.
    """

    def __init__(
        self, store: Store, book: Book, catalog: Catalog, addresses: Addresses, *, clock: Clock
    ) -> None:
        self._store, self._book, self._catalog = store, book, catalog
        self._addresses, self._clock = addresses, clock

    async def going(
        self,
        tenant: str,
        usr: str,
        *,
        workflow: str = "",
        version: int | None = None,
        category: str = "",
        payload: Mapping[str, Any],
        actor: str = "",
    ) -> Going:
        """A run as it would begin now.

        Args:
            tenant: Theirs.
            usr: Its recipient.
            workflow: '': none, only a notification of `category`.
            version: Of the workflow; None: the current one.
            category: Of a notification that no workflow sends.
            payload: The trigger's.
            actor: The trigger's.

        Raises:
            NotFound: There is no such workflow.
        """
        of = Workflow("", category, False, (), frozenset())
        if workflow:
            if version is None:
                version = (await self._catalog.find(tenant, workflow)).version
            of = (await self._catalog.version(tenant, workflow, version)).workflow
        going = Going(
            tenant=tenant,
            id="",
            trigger="",
            usr=usr,
            workflow=of,
            version=version or 0,
            state=State(),
            event=Begin(),
            payload=payload,
            actor=actor,
            recipient=await self.recipient(tenant, usr),
            created_ms=self._clock.now_ms(),
        )
        await self._addresses.load([going])
        going.wishes = await self._book.wishes(tenant, usr)
        return going

    async def recipient(self, tenant: str, usr: str) -> dict[str, Any] | None:
        """What is known of a subscriber; None: there is no such one."""
        rows: list[people_sql.Known] = await self._store.apply(
            people_sql.KNOWN, [people_sql.Named(tenant, usr)]
        )
        for row in rows:
            return recipient_facts(row.id, row)
        return None
