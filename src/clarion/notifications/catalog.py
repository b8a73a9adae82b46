"""The catalog: workflows as they are kept, in versions that never change."""

from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime
from clarion.errors import Conflict, Fault, Invalid, NotFound
from clarion.ids import digest
from clarion.notifications.channels import Channels
from clarion.notifications.checking import Checker
from clarion.notifications.library import Book, Library
from clarion.notifications.payloads import Schema, read_schema
from clarion.notifications.sharing import SharedReads
from clarion.notifications.workflows.definition import Definition, Workflow
from clarion.notifications.workflows.reading import read_workflow
from clarion.storage import workflows as sql
from clarion.storage.store import Store

CACHED = 1_000  # workflows, read
DEFINITION_BYTES = 256 * 1024  # of JSON


Matches = Callable[[str | None], None]
"""Refuses what has this tag (None: nothing is there) if it is not what the caller has read."""


def anything(_: str | None) -> None:
    """Whatever is there may be changed."""


def tag_of(version: int) -> str:
    """The entity tag of what is kept in versions."""
    return f'"{version}"'


class Kept(Struct, frozen=True):
    """A workflow in its current version, or the one that was asked for."""

    workflow: str
    version: int
    is_active: bool
    definition: Definition
    author: str
    created_at: datetime


class Read(Struct, frozen=True):
    """A version, read: what the engine runs, and what checks payloads (None: any will do)."""

    workflow: Workflow
    schema: Schema | None


class Put(Struct, frozen=True):
    """What came of giving a definition: the version that a trigger gets now, and whether it is a new one."""

    workflow: str
    version: int
    is_new: bool
    warnings: list[Fault]
    """What may go wrong when it runs here, by its place."""


class WorkflowPage(Struct, frozen=True):
    """Workflows in the order of their keys; `next` is the cursor of the page that follows, null on the last one."""

    items: list[Kept]
    next: str | None


class Catalog:
    """Keeps workflows.

    Args:
        store: Where they are.
        channels: What can be said, and where.
        library: Stored templates.
        checker: Says what is wrong with templates.
        clock: Time of changes.
    """

    def __init__(
        self,
        store: Store,
        channels: Channels,
        library: Library,
        checker: Checker,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._channels, self._clock = store, channels, clock
        self._library, self._checker = library, checker
        self._read: dict[tuple[str, str, int], Read] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._heads = SharedReads(self._head)

    async def check(
        self, tenant: str, definition: Definition, book: Book | None = None
    ) -> Workflow:
        """Read a definition without keeping it, and have its templates checked.

        Args:
            tenant: Whose.
            definition: As it is written.
            book: Templates as they may be; None: as they are.

        Raises:
            Invalid: Something is wrong; each fault points at it.
        """
        if (size := len(msgspec.json.encode(definition))) > DEFINITION_BYTES:
            raise Invalid(
                f"the definition has {size} bytes of JSON, {DEFINITION_BYTES} are allowed",
                faults=[Fault("", f"at most {DEFINITION_BYTES} bytes")],
            )
        read_schema(definition.payload)
        workflow = read_workflow(definition, self._channels.contents())
        names = sorted(workflow.templates)
        if book is not None:
            await self._library.load(book, names)
        elif names:
            book = await self._library.book(tenant, names)
        if faults := await self._checker.workflow(workflow, definition.payload, book):
            raise Invalid("this is no workflow", faults=faults)
        return workflow

    async def check_put(self, tenant: str, definition: Definition) -> Put:
        """What `put` would do now.

        Raises:
            Invalid: Something is wrong with it.
        """
        warnings = self._checker.warnings(await self.check(tenant, definition))
        for row in await self._store.fetch(sql.FIND, tenant=tenant, workflow=definition.workflow):
            is_new = row.definition != _text(definition)
            return Put(definition.workflow, row.version + is_new, is_new, warnings)
        return Put(definition.workflow, 1, True, warnings)

    async def judge(
        self, tenant: str, definition: Definition, book: Book
    ) -> tuple[Read, list[Fault]]:
        """A definition, read, with what may go wrong when it runs here, where templates are those of a book.

        Raises:
            Invalid: Something is wrong with it.
        """
        workflow = await self.check(tenant, definition, book)
        return Read(workflow, read_schema(definition.payload)), self._checker.warnings(workflow)

    async def put(
        self, caller: Principal, definition: Definition, matches: Matches = anything
    ) -> Put:
        """Keep a definition as the next version; the same as the current one changes nothing.

        Args:
            caller: Whose it is, and who wrote it.
            definition: As it is to be.
            matches: Refuses to change what is there, by its tag (None: nothing is), if it is not what the caller has read.

        Raises:
            Invalid: Something is wrong with it.
            Stale: Of `matches`.
            Conflict: Somebody else put a first version at the same time.
        """
        warnings = self._checker.warnings(await self.check(caller.tenant, definition))
        text = _text(definition)
        fingerprint = digest(text)
        whose = {"tenant": caller.tenant, "workflow": definition.workflow}
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            current = next(iter(await tx.fetch(sql.CURRENT, **whose)), None)
            if current is not None and current.digest == fingerprint and current.is_active:
                return Put(definition.workflow, current.version, False, warnings)
            matches(None if current is None else tag_of(current.version))
            version = 1 if current is None else current.version
            is_new = current is None or current.digest != fingerprint
            if is_new:
                version += current is not None
                await tx.execute(
                    sql.ADD_VERSION,
                    **whose,
                    version=version,
                    definition=text,
                    digest=fingerprint,
                    author=f"{caller.kind}:{caller.id}",
                    now_ms=now_ms,
                )
            await tx.execute(sql.SET_CURRENT, **whose, version=version, now_ms=now_ms)
        return Put(definition.workflow, version, is_new, warnings)

    async def find(self, tenant: str, workflow: str, version: int | None = None) -> Kept:
        """A workflow, in its current version unless another is named.

        Raises:
            NotFound: There is none.
        """
        statement = sql.FIND if version is None else sql.FIND_VERSION
        more = {} if version is None else {"version": version}
        found = await self._store.fetch(statement, tenant=tenant, workflow=workflow, **more)
        if not found:
            raise NotFound(
                f"there is no workflow {workflow!r}" + (f" in version {version}" if version else "")
            )
        return _kept(found[0])

    async def page(self, tenant: str, after: str, limit: int) -> WorkflowPage:
        """Workflows after a key."""
        found = await self._store.fetch(sql.PAGE, tenant=tenant, after=after, n=limit + 1)
        items = [_kept(row) for row in found[:limit]]
        return WorkflowPage(items, items[-1].workflow if len(found) > limit else None)

    async def set_active(
        self, tenant: str, workflow: str, is_active: bool, matches: Matches = anything
    ) -> None:
        """Let it be triggered, or no longer; what runs goes on.

        Raises:
            NotFound: There is none.
            Stale: Of `matches`.
        """
        async with self._store.transaction() as tx:
            for current in await tx.fetch(sql.CURRENT, tenant=tenant, workflow=workflow):
                matches(tag_of(current.version))
            count = await tx.execute(
                sql.SET_ACTIVE,
                tenant=tenant,
                workflow=workflow,
                is_active=int(is_active),
                now_ms=self._clock.now_ms(),
            )
        if not count:
            raise NotFound(f"there is no workflow {workflow!r}")

    async def current(self, tenant: str, workflow: str) -> tuple[int, Read]:
        """The version that a trigger gets now.

        Raises:
            NotFound: There is none.
            Conflict: It may not be triggered.
        """
        # Each trigger asks, and many ask at once.
        for head in await self._heads((tenant, workflow)):
            if not head.is_active:
                raise Conflict(f"the workflow {workflow!r} is not active")
            read = await self.version(tenant, workflow, head.version)
            while len(self._seen) >= CACHED:
                self._seen.pop(next(iter(self._seen)))
            self._seen[tenant, workflow] = head.version
            return head.version, read
        raise NotFound(f"there is no workflow {workflow!r}")

    def believed(self, tenant: str, workflow: str) -> tuple[int, Read] | None:
        """The version that was current when this process looked last: for who finds out by `current` before it matters. None: it has not looked."""
        version = self._seen.get((tenant, workflow))
        read = version and self._read.get((tenant, workflow, version))
        return (version, read) if version and read else None

    async def _head(self, key: tuple[str, str]) -> list[sql.HeadRow]:
        tenant, workflow = key
        return await self._store.fetch(sql.HEAD, tenant=tenant, workflow=workflow)

    async def version(self, tenant: str, workflow: str, version: int) -> Read:
        """One version, read: from memory after the first time, since it never changes.

        Raises:
            NotFound: There is none.
            Invalid: A channel that it names is no longer there.
        """
        key = (tenant, workflow, version)
        found = self._read.get(key)
        if found is None:
            definition = (await self.find(tenant, workflow, version)).definition
            found = Read(
                read_workflow(definition, self._channels.contents()),
                read_schema(definition.payload),
            )
            while len(self._read) >= CACHED:
                self._read.pop(next(iter(self._read)))
            self._read[key] = found
        return found


def _text(definition: Definition) -> str:
    return msgspec.json.encode(definition, order="sorted").decode()


def _kept(row: sql.WorkflowRow) -> Kept:
    return Kept(
        row.workflow,
        row.version,
        bool(row.is_active),
        msgspec.json.decode(row.definition, type=Definition),
        row.author,
        as_datetime(row.created_ms),
    )
