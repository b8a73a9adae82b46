"""Editing: stored templates are checked, kept in versions, rolled back, and deleted where nobody uses them."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime
from clarion.errors import Conflict, Fault, Invalid, NotFound, TooMany
from clarion.ids import digest
from clarion.notifications.catalog import Matches, anything, tag_of
from clarion.notifications.checking import Checker
from clarion.notifications.library import Book, Library, names_in
from clarion.notifications.prepared import texts_in
from clarion.notifications.template import Template
from clarion.notifications.template_shapes import (
    KeptTemplate,
    TemplatePage,
    TemplatePut,
    TemplateVersion,
    VersionPage,
)
from clarion.notifications.workflows.definition import Definition
from clarion.settings import Templates
from clarion.storage import templates as sql
from clarion.storage.store import Store
from clarion.telemetry import limit_exceeded

ROUNDS: Final = 5  # of a change that others come before
VERSIONS: Final = 100  # that are told


class Editor:
    """Keeps templates.

    Args:
        store: Where they are.
        library: Reads them.
        checker: Says what is wrong with one.
        settings: Limits.
        clock: Time of changes.
    """

    def __init__(
        self, store: Store, library: Library, checker: Checker, settings: Templates, *, clock: Clock
    ) -> None:
        self._store, self._library, self._checker = store, library, checker
        self._settings, self._clock = settings, clock

    async def drafted(self, tenant: str, drafts: Sequence[Template]) -> Book:
        """All templates as they would be with these."""
        book = await self._library.book(tenant, [each.template for each in drafts])
        for each in drafts:
            await self._library.load_named(book, each)
        for each in drafts:
            book = book.with_draft(each, 0)
        return book

    async def judge(self, book: Book, template: Template, changing: Collection[str] = ()) -> int:
        """The version that a draft of a book would be.

        Args:
            book: All templates as they would be; the draft among them.
            template: The draft.
            changing: Workflows that are about to change, so that what they say now does not matter.

        Raises:
            Invalid: Something is wrong with it; each fault points at it.
        """
        self._check_size(template)
        faults = await self._checker.template(template, book)
        faults += await self._missed(book.tenant, template, changing)
        if faults:
            raise Invalid("this is no template", faults=faults)
        [top] = await self._store.fetch(sql.TOP, tenant=book.tenant, template=template.template)
        return (top.version or 0) + 1

    async def put(
        self,
        caller: Principal,
        template: Template,
        matches: Matches = anything,
        *,
        is_dry: bool = False,
    ) -> TemplatePut:
        """Keep a template as its next version; the same as the current one changes nothing.

        Args:
            caller: Whose it is, and who wrote it.
            template: As it is to be.
            matches: Refuses to change what is there, by its tag (None: nothing is), if it is not what the caller has read.
            is_dry: Say what would happen, and keep nothing.

        Raises:
            Invalid: Something is wrong with it; each fault points at it.
            Stale: Of `matches`.
            TooMany: The tenant has as many as are allowed.
            Conflict: Others changed templates all the time.
        """
        self._check_size(template)
        whose = {"tenant": caller.tenant, "template": template.template}
        text = _text(template)
        for _ in range(ROUNDS):
            book = await self._library.book(caller.tenant, [template.template])
            current = book.find(template.template)
            [top] = await self._store.fetch(sql.TOP, **whose)
            if current is not None and _text(current.template) == text:
                return TemplatePut(template.template, current.version, False, "")
            matches(None if current is None else tag_of(current.version))
            if current is None and len(book.heads) >= self._settings.stored:
                limit_exceeded.labels("templates.stored").inc()
                raise TooMany(
                    f"there are {len(book.heads)} templates, templates.stored allows no more"
                )
            version = (top.version or 0) + 1
            await self._check(book, template, version)
            diff = diff_of(None if current is None else current.template, template)
            put = TemplatePut(template.template, version, True, diff)
            if is_dry:
                return put
            now_ms = self._clock.now_ms()
            author = f"{caller.kind}:{caller.id}"
            async with self._store.transaction() as tx:
                await tx.execute(sql.OPEN_BOOK, tenant=caller.tenant)
                turned = await tx.execute(
                    sql.TURN_PAGE, tenant=caller.tenant, revision=book.revision
                )
                if turned:
                    await tx.execute(
                        sql.ADD_VERSION,
                        **whose,
                        version=version,
                        definition=text,
                        digest=digest(text),
                        author=author,
                        now_ms=now_ms,
                    )
                    await tx.execute(sql.SET_CURRENT, **whose, version=version, now_ms=now_ms)
            if turned:
                return put
        raise Conflict("others changed templates at the same time: try again")

    async def roll_back(self, caller: Principal, template: str, version: int) -> KeptTemplate:
        """Let a version that there is be the current one; the others stay.

        Raises:
            NotFound: There is no such version.
            Invalid: It would be wrong now: what it is made of has gone, say.
            Conflict: Others changed templates all the time.
        """
        for _ in range(ROUNDS):
            book = await self._library.book(caller.tenant, [template])
            if template not in book.heads:
                raise NotFound(f"there is no template {template!r}")
            found = await self._library.version(caller.tenant, template, version)
            await self._check(book, found, version)
            async with self._store.transaction() as tx:
                turned = await tx.execute(
                    sql.TURN_PAGE, tenant=caller.tenant, revision=book.revision
                )
                if turned:
                    await tx.execute(
                        sql.SET_CURRENT,
                        tenant=caller.tenant,
                        template=template,
                        version=version,
                        now_ms=self._clock.now_ms(),
                    )
            if turned:
                return await self.find(caller.tenant, template)
        raise Conflict("others changed templates at the same time: try again")

    async def delete(self, tenant: str, template: str, matches: Matches = anything) -> None:
        """Delete a template. Its versions stay for runs that used them; one of that name that comes later is numbered on.

        Raises:
            NotFound: There is none.
            Stale: Of `matches`.
            Conflict: A workflow or another template uses it, or others changed templates all the time.
        """
        for _ in range(ROUNDS):
            book = await self._library.book(tenant, [])
            if template not in book.heads:
                raise NotFound(f"there is no template {template!r}")
            matches(tag_of(book.heads[template]))
            await self._check_unused(book, template)
            async with self._store.transaction() as tx:
                turned = await tx.execute(sql.TURN_PAGE, tenant=tenant, revision=book.revision)
                if turned:
                    await tx.execute(sql.DELETE, tenant=tenant, template=template)
            if turned:
                return
        raise Conflict("others changed templates at the same time: try again")

    async def find(self, tenant: str, template: str, version: int | None = None) -> KeptTemplate:
        """A template, in its current version unless another is named.

        Raises:
            NotFound: There is none.
        """
        statement = sql.FIND if version is None else sql.FIND_VERSION
        more = {} if version is None else {"version": version}
        for row in await self._store.fetch(statement, tenant=tenant, template=template, **more):
            return _kept(row)
        raise NotFound(
            f"there is no template {template!r}" + (f" in version {version}" if version else "")
        )

    async def page(self, tenant: str, after: str, limit: int) -> TemplatePage:
        """Templates after a key."""
        rows = await self._store.fetch(sql.PAGE, tenant=tenant, after=after, n=limit + 1)
        items = [_kept(row) for row in rows[:limit]]
        return TemplatePage(items, items[-1].template if len(rows) > limit else None)

    async def versions(self, tenant: str, template: str, before: int, limit: int) -> VersionPage:
        """Versions of a template before one, the newest first.

        Raises:
            NotFound: There was never such a template.
        """
        rows = await self._store.fetch(
            sql.VERSIONS, tenant=tenant, template=template, before=before, n=limit + 1
        )
        if not rows:
            raise NotFound(f"there is no template {template!r}")
        items = [
            TemplateVersion(row.version, row.author, as_datetime(row.created_ms))
            for row in rows[:limit]
        ]
        return VersionPage(items, items[-1].version if len(rows) > limit else None)

    # ── what may be wrong ──
    def _check_size(self, template: Template) -> None:
        if (size := len(_text(template))) > self._settings.source_bytes:
            limit_exceeded.labels("templates.source_bytes").inc()
            allowed = self._settings.source_bytes
            raise Invalid(
                f"{size} bytes of JSON, templates.source_bytes allows {allowed}",
                faults=[Fault("", f"at most {allowed} bytes")],
            )

    async def _check(self, book: Book, template: Template, version: int) -> None:
        await self._library.load_named(book, template)
        draft = book.with_draft(template, version)
        faults = await self._checker.template(template, draft)
        faults += await self._missed(book.tenant, template)
        if faults:
            raise Invalid("this is no template", faults=faults)

    async def _missed(
        self, tenant: str, template: Template, but: Collection[str] = ()
    ) -> list[Fault]:
        """What workflows say with it that it no longer says."""
        return [
            Fault("/channels", f"the workflow {workflow!r} says it on {channel}: that is missing")
            for workflow, channel in await self._users(tenant, template.template)
            if channel not in template.channels and channel and workflow not in but
        ]

    async def _check_unused(self, book: Book, template: str) -> None:
        for workflow, _ in await self._users(book.tenant, template):
            raise Conflict(f"the workflow {workflow!r} uses it")
        for name, version in book.heads.items():
            other = await self._library.version(book.tenant, name, version)
            if name != template and template in names_in(other):
                raise Conflict(f"the template {name!r} is made of it")

    async def _users(self, tenant: str, template: str) -> Sequence[tuple[str, str]]:
        """Active workflows that use it, each with the channel; '' for those that only name it in a text."""
        rows = await self._store.fetch(sql.WORKFLOWS, tenant=tenant, words=f"%{template}%")
        found: list[tuple[str, str]] = []
        for row in rows:
            definition = msgspec.json.decode(row.definition, type=Definition)
            for step in definition.steps:
                for name, content in step.items():
                    if not isinstance(content, Mapping):
                        continue
                    if content.get("template") == template:
                        found.append((row.workflow, name))
                    elif template in names_in(content):
                        found.append((row.workflow, ""))
        return found


def diff_of(before: Template | None, after: Template) -> str:
    """How a template differs from another, for a person."""
    was, is_ = ([] if each is None else _lines(each) for each in (before, after))
    lines = difflib.unified_diff(was, is_, lineterm="", n=2)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def _lines(template: Template) -> list[str]:
    lines: list[str] = []
    for at, text, _ in texts_in(msgspec.to_builtins(template, order="sorted")):
        lines += [f"{at}:", *(f"  {line}" for line in text.split("\n"))]
    return lines


def _text(template: Template) -> str:
    return msgspec.json.encode(template, order="sorted").decode()


def _kept(row: sql.TemplateRow) -> KeptTemplate:
    definition: Any = msgspec.json.decode(row.definition, type=Template)
    return KeptTemplate(
        row.template, row.version, definition, row.author, as_datetime(row.created_ms)
    )
