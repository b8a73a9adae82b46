"""The desk: where people and the deployment see preferences and change them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from clarion.clock import Clock
from clarion.errors import Fault, Invalid, TooMany
from clarion.notifications.catalog import Catalog
from clarion.notifications.catalog import Kept as KeptWorkflow
from clarion.notifications.channels import Channels
from clarion.notifications.preferences.book import Book, Kept, Matches
from clarion.notifications.preferences.document import (
    MUTED,
    OVER,
    Document,
    Muted,
    is_over,
    unmuted,
)
from clarion.notifications.preferences.evaluate import Asked, Wishes, sources, zone_name
from clarion.notifications.supposing import Suppose
from clarion.notifications.workflows.definition import Definition, Say
from clarion.telemetry import limit_exceeded

WORKFLOWS: Final = 500  # that are listed


class Cell(Struct, frozen=True):
    """Whether something is wanted on a channel, and who says so: `source` is a pointer into a document, '' if nobody does."""

    channel: str
    wanted: bool
    """With a `condition`: only if that holds."""
    source: str
    condition: str | None = None


class Row(Struct, frozen=True):
    """A category or a workflow on each channel. `locked`: it cannot be turned off."""

    kind: Literal["category", "workflow"]
    key: str
    name: str
    category: str
    locked: bool
    channels: list[Cell]


class NoEffect(Struct, frozen=True):
    """A part of the document that changes nothing, and why."""

    at: str
    why: str


class Overview(Struct, frozen=True):
    """One person's preferences: what they have said, and what holds with what others have said."""

    user: str
    name: str
    revision: int
    document: Document
    time_zone: str
    """In which their times are read."""
    items: list[Row]
    without_effect: list[NoEffect]


class Desk:
    """Shows preferences, and takes changes.

    Args:
        book: Keeps preferences.
        catalog: Workflows, which may be critical.
        channels: Those there are.
        suppose: Knows subscribers.
        clock: The time.
    """

    def __init__(
        self, book: Book, catalog: Catalog, channels: Channels, suppose: Suppose, *, clock: Clock
    ) -> None:
        self._book, self._catalog, self._channels = book, catalog, channels
        self._suppose, self._clock = suppose, clock

    async def overview(self, tenant: str, usr: str) -> Overview:
        """What one person wants, with what holds where they have said nothing."""
        wishes = await self._book.wishes(tenant, usr)
        recipient = await self._suppose.recipient(tenant, usr) or {"id": usr}
        rows = await self._rows(tenant, wishes)
        return Overview(
            user=usr,
            name=str(recipient.get("name") or usr),
            revision=wishes.revision,
            document=wishes.own,
            time_zone=zone_name(wishes, {"recipient": recipient}),
            items=rows,
            without_effect=_without_effect(wishes, rows),
        )

    async def put(
        self, tenant: str, usr: str, document: Document, matches: Matches | None = None
    ) -> Kept:
        """Set what a person wants; see `Book.change`."""
        return await self._book.change(tenant, usr, lambda _: document, matches)

    async def patch(
        self, tenant: str, usr: str, patch: Mapping[str, Any], matches: Matches | None = None
    ) -> Kept:
        """Change parts of what a person wants: a merge patch (RFC 7396), in which null takes something back."""

        def change(found: Document) -> Document:
            merged = _merged(msgspec.to_builtins(found), patch)
            try:
                return msgspec.convert(merged, Document)
            except msgspec.ValidationError as exc:
                fault = Fault.of(exc, Document)
                raise Invalid(fault.detail, faults=[fault]) from exc

        return await self._book.change(tenant, usr, change, matches)

    async def mute(self, tenant: str, usr: str, thread: Muted) -> Kept:
        """Tell a person nothing more of a thread, for good or until then. What has run out makes room.

        Raises:
            Invalid: Then is over.
            TooMany: They have muted `document.MUTED` already.
        """
        if is_over(thread.until, self._clock.now_ms()):
            raise Invalid(faults=[Fault("/until", OVER)])

        def change(found: Document) -> Document:
            others = unmuted(self._still(found), thread.path, thread.value)
            if len(others) >= MUTED:
                limit_exceeded.labels("muted").inc()
                raise TooMany(f"a person mutes at most {MUTED} threads", limit=MUTED)
            return replace(found, muted=[*others, thread])

        return await self._book.change(tenant, usr, change)

    async def unmute(self, tenant: str, usr: str, path: str, value: str | int | bool) -> Kept:
        """Tell a person of a thread again; one that is not muted stays so."""
        return await self._book.change(
            tenant,
            usr,
            lambda found: replace(found, muted=unmuted(self._still(found), path, value)),
        )

    def _still(self, found: Document) -> list[Muted]:
        now_ms = self._clock.now_ms()
        return [each for each in found.muted if not is_over(each.until, now_ms)]

    async def _rows(self, tenant: str, wishes: Wishes) -> list[Row]:
        rows: list[Row] = []
        page = await self._catalog.page(tenant, "", WORKFLOWS)
        for kept in page.items:
            if kept.is_active:
                given = kept.definition
                channels = await self._channels_of(tenant, kept)
                rows.append(_workflow_row(given, channels, wishes))
        said = [*wishes.own.categories, *wishes.defaults.categories, *wishes.defaults.required]
        categories = sorted({*said, *(row.category for row in rows if row.category)})
        return [*(self._category_row(each, rows, wishes) for each in categories), *rows]

    def _category_row(self, category: str, rows: Sequence[Row], wishes: Wishes) -> Row:
        used = {cell.channel for row in rows if row.category == category for cell in row.channels}
        # One that no workflow has may come by `POST /v1/notifications`, or from a workflow that is still to be written.
        channels = [name for name in self._channels.contents() if name in used or not used]
        return Row(
            "category",
            category,
            category,
            category,
            category in wishes.defaults.required,
            [_cell(Asked("", category, name), wishes) for name in channels],
        )

    async def _channels_of(self, tenant: str, kept: KeptWorkflow) -> list[str]:
        """The channels by which a workflow's messages come, those of its fallbacks as well."""
        try:
            read = await self._catalog.version(tenant, kept.workflow, kept.version)
        except Invalid:  # it names a channel that is no longer there: it sends nothing
            return []
        used = {step.act.channel for step in read.workflow.steps if isinstance(step.act, Say)}
        return [name for name in self._channels.contents() if name in used]


def _workflow_row(given: Definition, channels: Sequence[str], wishes: Wishes) -> Row:
    asked = [
        Asked(given.workflow, given.category, name, given.critical, given.preferences)
        for name in channels
    ]
    return Row(
        "workflow",
        given.workflow,
        given.name or given.workflow,
        given.category,
        given.critical or given.category in wishes.defaults.required,
        [_cell(each, wishes) for each in asked],
    )


def _cell(asked: Asked, wishes: Wishes) -> Cell:
    if asked.is_critical or asked.category in wishes.defaults.required:
        return Cell(asked.channel, True, "required")
    for source, choice in sources(asked, wishes):
        if choice is not None:
            condition = choice if isinstance(choice, str) else None
            return Cell(asked.channel, choice is not False, source, condition)
    return Cell(asked.channel, True, "")


def _without_effect(wishes: Wishes, rows: list[Row]) -> list[NoEffect]:
    known = {(row.kind, row.key): row for row in rows}
    found: list[NoEffect] = []
    for key in wishes.own.workflows:
        row = known.get(("workflow", key))
        if row is None:
            found.append(NoEffect(f"/workflows/{key}", "there is no such workflow"))
        elif row.locked:
            found.append(NoEffect(f"/workflows/{key}", "it is critical: it cannot be turned off"))
    found += [
        NoEffect(f"/categories/{key}", "it is required: it cannot be turned off")
        for key in wishes.own.categories
        if key in wishes.defaults.required
    ]
    return found


def _merged(given: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(given) if isinstance(given, Mapping) else {}
    for name, each in patch.items():
        if each is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), each)
    return merged
