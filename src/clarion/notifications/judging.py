"""Judging: what would become of definitions if all of them were put together, and what is wrong with which.

A workflow may say a template, and a schedule trigger a workflow, that are only about to come. Nothing is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from clarion.errors import ClarionError, Fault, NotFound
from clarion.notifications.catalog import Catalog, Read, tag_of
from clarion.notifications.editing import Editor
from clarion.notifications.library import Book
from clarion.notifications.preferences.book import Book as Preferences
from clarion.notifications.preferences.document import Defaults
from clarion.notifications.schedules.schedules import Schedules
from clarion.notifications.schedules.shapes import ScheduleDefinition, ScheduleId, to_keep
from clarion.notifications.template import Template
from clarion.notifications.workflows.definition import Definition
from clarion.notifications.workflows.faults import convert, wrong

Kind = Literal["template", "workflow", "schedule", "preferences"]
State = Literal["new", "changed", "unchanged", "wrong"]
DEFAULTS: Final = "defaults"
_KINDS: Final[Mapping[Kind, Any]] = {
    "workflow": Definition,
    "template": Template,
    "schedule": ScheduleDefinition,
    "preferences": Defaults,
}
_NAMED_WITHIN: Final = ("workflow", "template")
Drafts = dict[tuple[str, str], tuple[int, Any]]
"""Kind and name of what could be read → its place among the definitions, and itself."""


class Judged(Struct, frozen=True):
    """What would become of a definition; `wrong` where there are faults, and then nothing else is known."""

    kind: Kind | None
    name: str
    state: State = "wrong"
    version: int | None = None
    """Of workflows and templates: the one that would be current."""
    etag: str | None = None
    """Of what is there now, for If-Match; null: nothing is."""
    before: dict[str, Any] | None = None
    """What is there now."""
    after: dict[str, Any] | None = None
    """What would be."""
    faults: list[Fault] = []
    warnings: list[Fault] = []


class Judge:
    """Says what would become of definitions.

    Args:
        editor: Stored templates.
        catalog: Workflows.
        schedules: Schedules.
        preferences: What holds for everybody.
    """

    def __init__(
        self, editor: Editor, catalog: Catalog, schedules: Schedules, preferences: Preferences
    ) -> None:
        self._editor, self._catalog = editor, catalog
        self._schedules, self._preferences = schedules, preferences

    async def judge(self, tenant: str, given: Sequence[Mapping[str, Any]]) -> list[Judged]:
        """What would become of each of them if all were put; in their order.

        Args:
            tenant: Whose.
            given: Each as its own door takes it, with its name as `workflow`, `template` or `schedule`; `preferences: defaults` is
                what holds for everybody.
        """
        drafts: Drafts = {}
        judged = [self._read(n, each, drafts) for n, each in enumerate(given)]
        templates = [each for (kind, _), (_, each) in drafts.items() if kind == "template"]
        changed = {name for kind, name in drafts if kind == "workflow"}
        book = await self._editor.drafted(tenant, templates)
        reads: dict[str, Read] = {}
        for kind in ("template", "workflow", "schedule", "preferences"):
            for n, draft in [at for (of, _), at in drafts.items() if of == kind]:
                name = judged[n].name
                try:
                    match kind:
                        case "template":
                            judged[n] = await self._template(book, draft, changed)
                        case "workflow":
                            judged[n], reads[name] = await self._workflow(tenant, draft, book)
                        case "schedule":
                            if (of := draft.trigger.workflow) in changed and of not in reads:
                                raise wrong("/trigger/workflow", f"{of!r} has faults of its own")
                            judged[n] = await self._schedule(tenant, name, draft, reads)
                        case _:
                            judged[n] = await self._defaults(tenant, draft)
                except ClarionError as exc:
                    faults = list(exc.faults) or [Fault("", exc.message)]
                    judged[n] = Judged(judged[n].kind, name, faults=faults)
        return judged

    def _read(self, n: int, given: Mapping[str, Any], drafts: Drafts) -> Judged:
        kind = next((each for each in _KINDS if each in given), None)
        if kind is None:
            known = ", ".join(f"`{each}`" for each in _KINDS)
            return Judged(None, "", faults=[Fault("", f"says none of {known}: what is it?")])
        name = given[kind]
        try:
            if kind == "schedule":
                convert(name, ScheduleId, "/schedule")
            elif kind == "preferences" and name != DEFAULTS:
                raise wrong("/preferences", "only `defaults` can be said here")
            inside = {k: v for k, v in given.items() if k != kind or kind in _NAMED_WITHIN}
            draft = convert(inside, _KINDS[kind], "")
            if (kind, name) in drafts:
                raise wrong(f"/{kind}", f"{name!r} is told twice")
        except ClarionError as exc:
            return Judged(kind, name if isinstance(name, str) else "", faults=list(exc.faults))
        drafts[kind, name] = (n, draft)
        return Judged(kind, name)

    async def _template(self, book: Book, draft: Template, changing: set[str]) -> Judged:
        version, name = await self._editor.judge(book, draft, changing), draft.template
        try:
            kept = await self._editor.find(book.tenant, name)
        except NotFound:
            return _judged("template", name, None, None, draft, version)
        judged = _judged("template", name, tag_of(kept.version), kept.definition, draft, version)
        return replace(judged, version=kept.version) if judged.state == "unchanged" else judged

    async def _workflow(self, tenant: str, draft: Definition, book: Book) -> tuple[Judged, Read]:
        read, warnings = await self._catalog.judge(tenant, draft, book)
        name, version = draft.workflow, 1
        try:
            kept = await self._catalog.find(tenant, name)
        except NotFound:
            judged = _judged("workflow", name, None, None, draft)
        else:
            judged = _judged("workflow", name, tag_of(kept.version), kept.definition, draft)
            version = kept.version + (judged.state == "changed")
        return replace(judged, version=version, warnings=warnings), read

    async def _schedule(
        self, tenant: str, name: str, draft: ScheduleDefinition, reads: Mapping[str, Read]
    ) -> Judged:
        await self._schedules.judge(tenant, draft, reads.get(draft.trigger.workflow))
        draft = to_keep(draft)
        try:
            there = await self._schedules.find(tenant, name, 0)
        except NotFound:
            there = None
        if there is None or there.state == "cancelled":
            return _judged("schedule", name, None, None, draft)
        return _judged("schedule", name, there.etag, there.definition, draft)

    async def _defaults(self, tenant: str, draft: Defaults) -> Judged:
        self._preferences.check(draft)
        kept = await self._preferences.defaults(tenant)
        tag, before = (tag_of(kept.revision), kept.document) if kept.revision else (None, None)
        return _judged("preferences", DEFAULTS, tag, before, draft)


def _judged(
    kind: Kind, name: str, etag: str | None, before: Any, after: Any, version: int | None = None
) -> Judged:
    was, is_ = (None if each is None else to_builtins(each) for each in (before, after))
    state: State = "new" if was is None else "unchanged" if was == is_ else "changed"
    return Judged(kind, name, state, version, etag, was, is_)
