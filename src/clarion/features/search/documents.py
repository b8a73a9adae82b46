"""Writing documents: what waits together for one collection is written in one transaction, with one entry of its log for each change.

Whoever holds the collection's row is alone in it: what is there is read, each wish is decided in the order of its coming, and all that came of it is
written in sets. A document that is put as it is already changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.clock import Clock
from clarion.errors import (
    ClarionError,
    Conflict,
    Fault,
    Internal,
    Invalid,
    StorageFull,
    TooLarge,
    TooMany,
)
from clarion.features.search.collections import Collections, Kept, kept
from clarion.features.search.document import ACCESS, EVERYBODY, Prepared, prepare
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.storage import Store, Tx
from clarion.storage import search as sql
from clarion.storage.transaction import same
from clarion.telemetry import Tasks, limit_exceeded

TAGS: Final = 32
TOGETHER: Final = 1_000  # documents of one transaction
PAUSE: Final = 32 * 1024  # bytes of documents are prepared in one go; then others have a turn
TRIES: Final = 3  # of writing to a collection that is made anew meanwhile
_encode = msgspec.json.Encoder(order="deterministic").encode

Tag = Annotated[
    str,
    Meta(pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]{1,128}$(?!\n)", "1 to 128 printable characters")),
]


class Content(Struct, frozen=True, forbid_unknown_fields=True):
    """A document as somebody gives it.

    Args:
        data: An object. Its members that are fields of the collection are searched, the others only kept.
        access: Tags of which a reader needs one; none: every reader of the collection may see it.
        version: Written only if the stored document's is lower, so that late writes are dropped; 0: written anyway.
    """

    data: dict[str, Any]
    access: Annotated[list[Tag], Meta(max_length=TAGS)] = []
    version: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0


class Written(Struct, frozen=True):
    """What became of a document.

    Args:
        id: Its name.
        offset: Of the change in the collection's log: of this one, or of the newest where nothing was written.
        dropped: Why nothing was written: `older`: what is there has the same or a higher version; `same`: it is so already, or is not there.
        durability: Of what was written.
    """

    id: str
    offset: int
    dropped: Literal["older", "same"] | UnsetType = UNSET
    durability: Literal["fsync"] = "fsync"


class State(Struct, frozen=True):
    """A document as it is stored; texts of JSON."""

    doc: int
    data: str
    access: str
    version: int


class Change(Struct, frozen=True):
    """One entry of a collection's log: a document before and after; None: there is none."""

    offset: int
    id: str
    before: State | None
    after: State | None
    prepared: Prepared | None = None
    """`after`, where whoever has it saw it prepared."""


class _Wish(Struct, frozen=True):
    """A document that somebody wants to be so; `prepared` None: to be gone."""

    id: str
    prepared: Prepared | None
    data: str
    access: str
    version: int


class _Group(Struct, frozen=True):
    """Wishes of one caller, made for one definition of the collection."""

    made_for: Kept
    wishes: Sequence[_Wish]
    done: "asyncio.Future[list[Written | ClarionError]]"


Changed = Callable[[Kept, Sequence[Change]], Awaitable[None]]
"""Called after the commit."""


class Writer:
    """Writes documents.

    Args:
        store: Where to.
        collections: Whose they are.
        limits: `search_document_bytes`, `search_documents`, `name_bytes`.
        clock: Time of changes.
        changed: Told of what was written.
    """

    def __init__(
        self, store: Store, collections: Collections, limits: Limits, clock: Clock, changed: Changed
    ) -> None:
        self._store = store
        self._collections = collections
        self._limits = limits
        self._clock = clock
        self._changed = changed
        # By tenant and collection. A task is there as long as somebody waits.
        self._waiting: dict[tuple[str, str], deque[_Group]] = {}
        self._tasks = Tasks()

    async def write(
        self, tenant: str, name: str, given: Sequence[tuple[str, Content | None]]
    ) -> list[Written | ClarionError]:
        """Put documents (None: remove) in this order; what is wrong with one does not keep the others.

        Raises:
            NotFound: There is no such collection.
            Conflict: The collection was made anew all the time.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        for _ in range(TRIES):
            found = await self._collections.find(tenant, name)
            outcomes: list[Written | ClarionError | _Wish] = []
            size = 0
            for id, content in given:
                try:
                    outcomes.append(wish := self._wish(found, id, content))
                except (Invalid, TooLarge) as exc:
                    outcomes.append(exc)
                else:
                    size += len(wish.data) + 1024
                if size >= PAUSE:
                    size = 0
                    await asyncio.sleep(0)
            wishes = [each for each in outcomes if isinstance(each, _Wish)]
            written = await self._take(found, wishes) if wishes else []
            if written is None:
                continue
            rest = iter(written)
            return [next(rest) if isinstance(each, _Wish) else each for each in outcomes]
        raise Conflict("the collection was made anew meanwhile")

    async def close(self) -> None:
        """Write what waits."""
        await self._tasks.finish()

    # ── one caller ──
    def _wish(self, found: Kept, id: str, content: Content | None) -> _Wish:
        if len(id.encode()) > self._limits.name_bytes:
            limit_exceeded.labels("name_bytes").inc()
            detail = f"at most {self._limits.name_bytes} bytes (limits.name_bytes)"
            raise Invalid(faults=[Fault("/id", detail)])
        if content is None:
            return _Wish(id, None, "", "[]", 0)
        data, most = _encode(content.data), self._limits.search_document_bytes
        if len(data) > most:
            limit_exceeded.labels("search_document_bytes").inc()
            raise TooLarge(
                f"a document has at most {most} bytes (limits.search_document_bytes)",
                limit=most,
                size=len(data),
            )
        access = sorted({*content.access})
        prepared = prepare(id, content.data, found.fields, access)
        return _Wish(id, prepared, data.decode(), _encode(access).decode(), content.version)

    async def _take(
        self, found: Kept, wishes: Sequence[_Wish]
    ) -> list[Written | ClarionError] | None:
        """What became of the wishes; None: they were made for what the collection is no longer."""
        key = found.tenant, found.collection.name
        loop = asyncio.get_running_loop()
        group = _Group(found, wishes, loop.create_future())
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = deque()
            self._tasks.spawn(self._serve(key, waiting), name="search: write")
        waiting.append(group)
        try:
            return await group.done
        except _MadeAnew:
            return None

    # ── those who wait together ──
    async def _serve(self, key: tuple[str, str], waiting: deque[_Group]) -> None:
        while waiting:
            some = [waiting.popleft()]
            size = len(some[0].wishes)
            while waiting and size + len(waiting[0].wishes) <= TOGETHER:
                some.append(waiting.popleft())
                size += len(some[-1].wishes)
            await self._write(key, some)
        del self._waiting[key]

    async def _write(self, key: tuple[str, str], groups: Sequence[_Group]) -> None:
        try:
            where, changes, answers = await self._commit(key, groups)
        except (Invalid, Conflict, StorageFull) as exc:
            if len(groups) == 1:
                _fail(groups, exc)
                return
            # Somebody's values: each alone, so that only they are refused.
            for each in groups:
                await self._write(key, [each])
            return
        except Exception as exc:  # noqa: BLE001  whatever it is, those who wait get it
            _fail(groups, exc)
            return
        for group, answer in zip(groups, answers, strict=True):
            if group.done.done():
                continue
            if answer is None:
                group.done.set_exception(_MadeAnew())
            else:
                group.done.set_result(answer)
        if changes:
            await self._changed(where, changes)

    async def _commit(
        self, key: tuple[str, str], groups: Sequence[_Group]
    ) -> tuple[Kept, list[Change], list[list[Written | ClarionError] | None]]:
        tenant, name = key
        async with self._store.transaction() as tx:
            row = kept(tenant, name, await tx.fetch(sql.LOCK, tenant=tenant, name=name))
            head = (await tx.fetch(sql.LOCK, tenant=tenant, name=name))[0]
            draft = _Draft(row, head, self._limits, self._clock.now_ms())
            good = [each for each in groups if draft.fits(each)]
            await draft.read(tx, [wish.id for each in good for wish in each.wishes])
            made = {id(each): [draft.make(wish) for wish in each.wishes] for each in good}
            if draft.changes:
                await draft.write(tx, self._store)
        return row, draft.changes, [made.get(id(each)) for each in groups]


class _MadeAnew(Exception):
    """The collection is another one than the wishes were made for."""


class _Draft:
    """What is going to be written to one collection."""

    def __init__(self, where: Kept, head: sql.CollectionRow, limits: Limits, now_ms: int) -> None:
        self._where = where
        self._head = head
        self._most = limits.search_documents
        self._now_ms = now_ms
        self._next = head.next
        self._documents = head.documents
        self._before: dict[str, State] = {}
        self._now: dict[str, tuple[State | None, Prepared | None, int]] = {}
        self.changes: list[Change] = []

    def fits(self, group: _Group) -> bool:
        """Whether wishes were made for this collection, as it is."""
        made_for = group.made_for
        return made_for.number == self._where.number and made_for.fields == self._where.fields

    async def read(self, tx: Tx, ids: Sequence[str]) -> None:
        """Read what is there."""
        names = list(dict.fromkeys(ids))
        keys = [sql.Key(self._where.tenant, self._where.number, name) for name in names]
        for row in await tx.apply(sql.FIND, keys):
            self._before[names[row.n - 1]] = State(row.doc, row.data, row.access, row.version)

    def make(self, wish: _Wish) -> Written | ClarionError:
        """Decide about one wish."""
        top = self._head.top + len(self.changes)
        changed = self._now.get(wish.id)
        before = self._before.get(wish.id) if changed is None else changed[0]
        after: State | None = None
        if wish.prepared is not None:
            if before is None and self._documents >= self._most:
                limit_exceeded.labels("search_documents").inc()
                return TooMany(
                    f"the collection has {self._most} documents (limits.search_documents)",
                    limit=self._most,
                )
            if before is not None and 0 < wish.version <= before.version:
                return Written(wish.id, top, "older")
            number = self._where.number * sql.NUMBERS + self._next
            version = wish.version or (before.version if before else 0)
            after = State(before.doc if before else number, wish.data, wish.access, version)
        if before == after:
            return Written(wish.id, top, "same")
        if before is None:
            self._next += 1
        self._documents += (after is not None) - (before is not None)
        self.changes.append(Change(top + 1, wish.id, before, after, wish.prepared))
        self._now[wish.id] = after, wish.prepared, top + 1
        return Written(wish.id, top + 1)

    async def write(self, tx: Tx, store: Store) -> None:
        """Write it."""
        tenant, number = self._where.tenant, self._where.number
        gone = [id for id, (after, _, _) in self._now.items() if after is None]
        stale = [
            sql.Doc(tenant, before.doc) for id in self._now if (before := self._before.get(id))
        ]
        await tx.apply(sql.FORGET[store.engine], stale)
        await tx.apply(sql.REMOVE, [sql.Key(tenant, number, id) for id in gone])
        documents, values, texts = [], list[sql.NewValue](), list[sql.NewText]()
        for id, (after, prepared, offset) in self._now.items():
            if after is None or prepared is None:
                continue
            documents.append(
                sql.NewDocument(
                    tenant, number, id, after.doc, after.data, after.access, after.version, offset, self._now_ms
                )
            )  # fmt: skip
            values += _values(tenant, number, after.doc, prepared)
            if prepared.spoken:
                texts.append(sql.NewText(tenant, number, after.doc, prepared.spoken))
        await tx.apply(sql.PUT, documents)
        await tx.apply(sql.ADD_VALUES, values)
        await tx.apply(sql.ADD_TEXTS[store.engine], texts)
        await tx.apply(sql.APPEND, [self._entry(change) for change in self.changes])
        await tx.execute(
            sql.RAISE,
            tenant=tenant,
            collection=number,
            top=self.changes[-1].offset,
            documents=self._documents,
            next=self._next,
        )

    def _entry(self, change: Change) -> sql.NewChange:
        before, after = change.before, change.after
        return sql.NewChange(
            self._where.tenant,
            self._where.number,
            change.offset,
            change.id,
            None if before is None else before.data,
            None if before is None else before.access,
            None if after is None else after.data,
            None if after is None else after.access,
            0 if after is None else after.version,
            self._now_ms,
        )


def _values(tenant: str, number: int, doc: int, prepared: Prepared) -> list[sql.NewValue]:
    rows = []
    for field, values in prepared.values.items():
        for value in values:
            if field == ACCESS and value == EVERYBODY:
                continue  # `search_document.access` says so
            txt, num = (value, 0.0) if isinstance(value, str) else ("", float(value))
            rows.append(sql.NewValue(tenant, number, field, txt, num, doc))
    return rows


def _fail(groups: Sequence[_Group], exc: Exception) -> None:
    for group in groups:
        if group.done.done():
            continue
        error: Exception
        if isinstance(exc, ClarionError):
            error = same(exc)
        else:
            error = Internal("the write failed")
            error.__cause__ = exc
        group.done.set_exception(error)
