"""The desk: where people and the deployment see and change preferences, and ask why something would be sent or not."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, Invalid, NotFound
from clarion.notifications.addresses import Addresses
from clarion.notifications.catalog import Catalog
from clarion.notifications.channels import Channels
from clarion.notifications.deciding import asked_of
from clarion.notifications.facts import recipient_facts
from clarion.notifications.going import Going
from clarion.notifications.preferences.book import Book, Matches
from clarion.notifications.preferences.document import Document
from clarion.notifications.preferences.evaluate import (
    Asked,
    Counted,
    Wishes,
    cap_key,
    decide,
    explain,
    sources,
    span_ms,
    zone_name,
)
from clarion.notifications.workflows.advance import Begin, State
from clarion.notifications.workflows.definition import Workflow
from clarion.storage import preferences as sql
from clarion.storage import subscribers as people_sql
from clarion.storage.store import Store

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
    revision: int
    document: Document
    time_zone: str
    """In which their times are read."""
    items: list[Row]
    without_effect: list[NoEffect]


class Rule(Struct, frozen=True):
    """What one rule says: `verdict` null, nothing. The first one that says something `decides`."""

    rule: str
    verdict: str | None
    why: str
    read: dict[str, Any]
    decides: bool


class Source(Struct, frozen=True):
    """Who may say whether it is wanted, the first one counts, and what they say: null, nothing."""

    source: str
    choice: bool | str | None


class Explained(Struct, frozen=True):
    """What would become of a message now, and why. `defer` and `collect`: until when."""

    verdict: Literal["send", "skip", "defer", "collect"]
    why: str
    until: datetime | None
    revision: int
    defaults_revision: int
    rules: list[Rule]
    choices: list[Source]


class Desk:
    """Shows preferences, and takes changes.

    Args:
        store: Where subscribers are.
        book: Keeps preferences.
        catalog: Workflows, which may be critical.
        channels: Those there are.
        addresses: Of subscribers.
        clock: The time.
    """

    def __init__(
        self,
        store: Store,
        book: Book,
        catalog: Catalog,
        channels: Channels,
        addresses: Addresses,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._book, self._catalog = store, book, catalog
        self._channels, self._addresses, self._clock = channels, addresses, clock

    async def overview(self, tenant: str, usr: str) -> Overview:
        """What one person wants, with what holds where they have said nothing."""
        wishes = await self._book.wishes(tenant, usr)
        recipient = await self._recipient(tenant, usr) or {"id": usr}
        rows = await self._rows(tenant, wishes)
        return Overview(
            user=usr,
            revision=wishes.revision,
            document=wishes.own,
            time_zone=zone_name(wishes, {"recipient": recipient}),
            items=rows,
            without_effect=_without_effect(wishes, rows),
        )

    async def put(
        self, tenant: str, usr: str, document: Document, matches: Matches | None = None
    ) -> Overview:
        """Set what a person wants; see `Book.change`."""
        await self._book.change(tenant, usr, lambda _: document, matches)
        return await self.overview(tenant, usr)

    async def patch(
        self, tenant: str, usr: str, patch: Mapping[str, Any], matches: Matches | None = None
    ) -> Overview:
        """Change parts of what a person wants: a merge patch (RFC 7396), in which null takes something back."""

        def change(found: Document) -> Document:
            merged = _merged(msgspec.to_builtins(found), patch)
            try:
                return msgspec.convert(merged, Document)
            except msgspec.ValidationError as exc:
                fault = Fault.of(exc)
                raise Invalid(fault.detail, faults=[fault]) from exc

        await self._book.change(tenant, usr, change, matches)
        return await self.overview(tenant, usr)

    async def explain(
        self,
        tenant: str,
        usr: str,
        channel: str,
        *,
        workflow: str = "",
        category: str = "",
        payload: Mapping[str, Any] | None = None,
    ) -> Explained:
        """What would become of a message now: the rules that its sending goes through, each with what it says.

        Args:
            tenant: Theirs.
            usr: Who would get it.
            channel: By which it would come.
            workflow: Whose message it is; '': it is a notification of `category`.
            category: Of a notification that no workflow sends.
            payload: That conditions and muted threads read.

        Raises:
            Invalid: There is no such channel or workflow.
        """
        found = self._channels.get(channel)
        if found is None:
            raise Invalid(
                f"there is no channel {channel[:64]!r}", faults=[Fault("?channel", "unknown")]
            )
        going = await self._going(tenant, usr, workflow, category, payload or {})
        asked = asked_of(going, channel, None)
        said = decide(asked, going.wishes, self._clock.now_ms())
        if said.verdict == "count":
            counted = {
                cap_key(cap): await self._next(tenant, usr, cap_key(cap), span_ms(cap))
                for cap in said.caps
            }
            asked = msgspec.structs.replace(asked, counted=counted)
        return self._explained(asked, going, bool(found.addresses(going.recipient or {"id": usr})))

    def _explained(self, asked: Asked, going: Going, is_reached: bool) -> Explained:
        wishes, now_ms = going.wishes, self._clock.now_ms()
        rules: list[Rule] = []
        if going.recipient is None:
            rules.append(Rule("recipient", "skip", "there is no such subscriber", {}, True))
        elif not is_reached:
            rules.append(Rule("address", "skip", "no address", {}, True))
        decided = decide(asked, wishes, now_ms)
        for said in explain(asked, wishes, now_ms):
            is_first = not any(rule.decides for rule in rules) and said.verdict is not None
            rules.append(Rule(said.rule, said.verdict, said.why, dict(said.read), is_first))
        by = next((rule for rule in rules if rule.decides), None)
        verdict: Any = "send" if by is None else by.verdict
        waits = verdict in ("defer", "collect")
        return Explained(
            verdict,
            "nothing is in its way" if by is None else by.why,
            as_datetime(decided.until_ms) if waits else None,
            wishes.revision,
            wishes.defaults_revision,
            rules,
            [Source(source, choice) for source, choice in sources(asked, wishes)],
        )

    async def _going(
        self, tenant: str, usr: str, workflow: str, category: str, payload: Mapping[str, Any]
    ) -> Going:
        version, of = 0, Workflow("", category, False, (), frozenset())
        if workflow:
            try:
                kept = await self._catalog.find(tenant, workflow)
            except NotFound as exc:
                raise Invalid(str(exc), faults=[Fault("?workflow", "unknown")]) from exc
            version = kept.version
            of = (await self._catalog.version(tenant, workflow, version)).workflow
        going = Going(
            tenant=tenant,
            id="",
            trigger="",
            usr=usr,
            workflow=of,
            version=version,
            state=State(),
            event=Begin(),
            payload=payload,
            actor="",
            recipient=await self._recipient(tenant, usr),
            created_ms=self._clock.now_ms(),
        )
        await self._addresses.load([going])
        going.wishes = await self._book.wishes(tenant, usr)
        return going

    async def _recipient(self, tenant: str, usr: str) -> dict[str, Any] | None:
        rows: list[people_sql.Known] = await self._store.apply(
            people_sql.KNOWN, [people_sql.Named(tenant, usr)]
        )
        for row in rows:
            return recipient_facts(row.id, row)
        return None

    async def _next(self, tenant: str, usr: str, key: str, span: int) -> Counted:
        """What a cap would count if a message came to it now."""
        now_ms = self._clock.now_ms()
        for row in await self._store.fetch(sql.WINDOW, tenant=tenant, throttle=f"{usr}:{key}"):
            if row.ends_ms > now_ms:
                return Counted(row.hits + 1, row.ends_ms)
        return Counted(1, now_ms + span)

    async def _rows(self, tenant: str, wishes: Wishes) -> list[Row]:
        names = list(self._channels.contents())
        rows: list[Row] = []
        page = await self._catalog.page(tenant, "", WORKFLOWS)
        for kept in page.items:
            given = kept.definition
            used = {name for step in given.steps for name in step}
            asked = [
                Asked(given.workflow, given.category, name, given.critical, given.preferences)
                for name in names
                if name in used
            ]
            rows.append(
                Row(
                    "workflow",
                    given.workflow,
                    given.name or given.workflow,
                    given.category,
                    given.critical or given.category in wishes.defaults.required,
                    [_cell(each, wishes) for each in asked],
                )
            )
        said = [*wishes.own.categories, *wishes.defaults.categories, *wishes.defaults.required]
        categories = sorted({*said, *(row.category for row in rows if row.category)})
        return [
            *(
                Row(
                    "category",
                    category,
                    category,
                    category,
                    category in wishes.defaults.required,
                    [_cell(Asked("", category, name), wishes) for name in names],
                )
                for category in categories
            ),
            *rows,
        ]


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
