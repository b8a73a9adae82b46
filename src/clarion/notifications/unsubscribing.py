"""The way out of messages that nobody need sign in for: its link, and what following it does."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from clarion.errors import Conflict, NotFound
from clarion.notifications.catalog import Catalog
from clarion.notifications.channels import Outgoing
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.document import Document
from clarion.notifications.preferences.evaluate import Asked, sources
from clarion.notifications.preferences.links import Links, Unsubscribe
from clarion.notifications.supposing import Suppose
from clarion.notifications.workflows.definition import Definition


class WayOut(Struct, frozen=True):
    """What a link unsubscribes from. `locked`: it cannot be turned off. `message`: the one that brought the link, '' if none did. `undo`: the token that undoes it."""

    tenant: str
    channel: str
    kind: Literal["category", "workflow"]
    name: str
    wanted: bool
    locked: bool
    message: str
    undo: str


class Unsubscribing:
    """Makes ways out, and goes them.

    Args:
        book: Keeps preferences.
        catalog: Workflows, which may be critical.
        suppose: Knows subscribers.
        links: Signs.
    """

    def __init__(self, book: Book, catalog: Catalog, suppose: Suppose, links: Links) -> None:
        self._book, self._catalog, self._suppose, self._links = book, catalog, suppose, links

    async def link(self, message: Outgoing, channel: str) -> str:
        """The way out of a message and all like it; '' where there is none, because it cannot be turned off."""
        of = await self._workflow(message.tenant, message.workflow)
        _, others = await self._book.of(message.tenant, [])
        if (of and of.critical) or message.category in others.defaults.required:
            return ""
        return self._links.unsubscribe(
            message.tenant,
            message.user,
            channel,
            category=message.category,
            workflow=message.workflow,
            message=message.id,
        )

    async def look(self, token: str) -> WayOut:
        """What following a link would do.

        Raises:
            NotFound: It is none of ours, or leads to somebody who is not known any more.
        """
        return await self._look(self._links.read(token, Unsubscribe))

    async def go(self, token: str) -> WayOut:
        """Unsubscribe. Twice is as once.

        Raises:
            NotFound: As `look`.
            Conflict: It cannot be turned off.
        """
        out, found = await self._free(token)
        was = None

        def change(document: Document) -> Document:
            nonlocal was
            was = out.said(document) if found.wanted else None
            return out.apply(document)

        await self._book.change(out.tenant, out.usr, change)
        return await self._look(replace(out, was=was))

    async def undo(self, token: str) -> WayOut:
        """Let it be as it was before, as far as the token knows; where that is not wanted either, it is from now on.

        Raises:
            NotFound, Conflict: As `go`.
        """
        out, _ = await self._free(token)
        await self._book.change(out.tenant, out.usr, out.undone)
        found = await self._look(out)
        if found.wanted:
            return found
        wanted = replace(out, was=(True, True))
        await self._book.change(out.tenant, out.usr, wanted.undone)
        return await self._look(out)

    async def _free(self, token: str) -> tuple[Unsubscribe, WayOut]:
        """A link that may do what it says."""
        out = self._links.read(token, Unsubscribe)
        found = await self._look(out)
        if found.locked:
            raise Conflict(f"{found.name!r} cannot be turned off: it is needed")
        return out, found

    async def _look(self, out: Unsubscribe) -> WayOut:
        # Somebody who was erased must not come back by an old link.
        if await self._suppose.recipient(out.tenant, out.usr) is None:
            raise NotFound("this link leads to nobody who is known here")
        wishes = await self._book.wishes(out.tenant, out.usr)
        choices = sources(Asked(out.workflow, out.category, out.channel), wishes)
        kind, name = out.what
        of = await self._workflow(out.tenant, out.workflow)
        return WayOut(
            out.tenant,
            out.channel,
            "category" if kind == "category" else "workflow",
            (of.name if of and kind == "workflow" else "") or name,
            next((choice for _, choice in choices if choice is not None), True) is not False,
            bool(of and of.critical) or out.category in wishes.defaults.required,
            out.message,
            self._links.undo(out),
        )

    async def _workflow(self, tenant: str, workflow: str) -> Definition | None:
        try:
            return (await self._catalog.find(tenant, workflow)).definition if workflow else None
        except NotFound:
            return None
