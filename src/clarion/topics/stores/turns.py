"""Changes of topics in SQL: what waits together is written together, in one transaction.

A transaction costs several statements and an fsync, for one change as for many. So while one is under way the next wishes
gather: all their topics are locked, all that they need is read, each is decided in the order of its coming, and all that came
of it is written in sets. Under no load a wish is served at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import ClarionError, Conflict, Internal, Invalid, TooMany, Unavailable
from clarion.ids import Ids
from clarion.storage import Store, Tx
from clarion.storage import topics as sql
from clarion.storage.transaction import refuse_inside, same
from clarion.telemetry import spawn
from clarion.topics.changes import Item, Outcome
from clarion.topics.kinds import Topic
from clarion.topics.stores.base import REMEMBERED_MS, Keep
from clarion.topics.stores.draft import Draft
from clarion.topics.stream import Position

TOGETHER: Final = 1_000  # wishes, keys, ids and blocks of one transaction
BLOCK: Final = 4_000  # bytes
TRIES: Final = 5  # of finding the heads that have just been made: somebody may tidy them away
_NOTHING: Final = object()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

Name = tuple[str, str]
"""Tenant and `kind:name`, as rows have them."""


class Wish(Struct, frozen=True):
    """What somebody wants to do with one topic.

    Args:
        topic: Its name.
        make: Does it, to a draft in which the keys and ids are that it names; what it returns is the answer. May raise `TooMany`.
        keys: Of the items that it looks at or changes.
        ids: Of the changes that are not made twice.
        bytes: That it writes, about.
    """

    topic: Topic
    make: Callable[[Draft], Any]
    keys: Sequence[str] = ()
    ids: Sequence[str] = ()
    bytes: int = 0

    @property
    def size(self) -> int:
        """What it counts in a transaction."""
        return 1 + len(self.keys) + len(self.ids) + self.bytes // BLOCK


_Waiting = tuple[Wish, "asyncio.Future[Any]"]


class Turns:
    """Serves wishes, many in one transaction.

    Args:
        store: The database.
        clock: For the time of entries, and what is over.
        ids: For epochs and marks.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._waiting: deque[_Waiting] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def take(self, wish: Wish) -> Any:
        """Serve a wish; returns its answer when what it changed is on disk. Whoever is cancelled has lost only the answer.

        Raises:
            TooMany: Of its own.
            Invalid, StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        refuse_inside()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((wish, done))
        if self._serving is None or self._serving.done():
            self._serving = spawn(self._serve(), name="topics: write")
        return await done

    async def close(self) -> None:
        """Serve what waits."""
        if self._serving is not None:
            await asyncio.wait([self._serving])

    # ── a group ──
    async def _serve(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft()]
            size = group[0][0].size
            while self._waiting and size + self._waiting[0][0].size <= TOGETHER:
                group.append(self._waiting.popleft())
                size += group[-1][0].size
            await self._serve_group(group)

    async def _serve_group(self, group: Sequence[_Waiting]) -> None:
        try:
            answers = await self._run([wish for wish, _ in group])
        except (Invalid, Conflict, Internal) as exc:
            if len(group) == 1:
                _fail(group[0][1], exc)
                return
            # Somebody's values: each alone, so that only they are refused.
            for each in group:
                await self._serve_group([each])
        except Exception as exc:  # noqa: BLE001  whatever it is, those who wait get it
            for _, done in group:
                _fail(done, same(exc) if isinstance(exc, ClarionError) else _bug(exc))
        else:
            for (_, done), answer in zip(group, answers, strict=True):
                if isinstance(answer, Exception):
                    _fail(done, answer)
                elif not done.done():  # its caller was cancelled otherwise
                    done.set_result(answer)

    async def _run(self, wishes: Sequence[Wish]) -> list[Any]:
        named: dict[Name, list[Wish]] = {}
        for wish in wishes:
            named.setdefault(name_of(wish.topic), []).append(wish)
        for _ in range(TRIES):
            async with self._store.transaction() as tx:
                heads = await lock(tx, list(named))
                if len(heads) == len(named):
                    now_ms = self._clock.now_ms()
                    drafts = await self._read(tx, named, heads, now_ms)
                    answers = [_made(wish, drafts[name_of(wish.topic)]) for wish in wishes]
                    await _write(tx, drafts, heads, now_ms)
                    return answers
            await self.use([name for name in named if name not in heads])
        raise Unavailable("a topic was tidied away again and again")

    async def use(self, names: Sequence[Name]) -> list[sql.Used]:
        """Begin topics that are not there, and note that the others are used; returns where they stand."""
        now_ms = self._clock.now_ms()
        rows = [sql.Use(*name, self._ids.token(9), now_ms) for name in names]
        return await self._store.apply(sql.USE, rows)

    async def _read(
        self,
        tx: Tx,
        named: Mapping[Name, Sequence[Wish]],
        heads: Mapping[Name, sql.Locked],
        now_ms: int,
    ) -> dict[Name, Draft]:
        keys = [
            sql.Key(*name, key)
            for name, wishes in named.items()
            for key in dict.fromkeys(key for wish in wishes for key in wish.keys)
        ]
        ids = [
            sql.Id(*name, id, now_ms - REMEMBERED_MS)
            for name, wishes in named.items()
            for id in dict.fromkeys(id for wish in wishes for id in wish.ids)
        ]
        items: dict[Name, dict[str, Item]] = {name: {} for name in named}
        for held in await tx.apply(sql.HELD, keys):
            row = keys[held.n - 1]
            items[row.tenant, row.topic][row.key] = item_of(held, is_gone=bool(held.is_gone))
        known: dict[Name, dict[str, Outcome]] = {name: {} for name in named}
        for found in await tx.apply(sql.KNOWN, ids):
            asked = ids[found.n - 1]
            known[asked.tenant, asked.topic][asked.id] = Outcome(found.offset, found.mark)
        return {
            name: Draft(
                Position(head.epoch, head.top, head.mark),
                head.items,
                items[name],
                known[name],
                now_ms=now_ms,
                ids=self._ids,
            )
            for name, head in heads.items()
        }


def name_of(topic: Topic) -> Name:
    """A topic as rows name it."""
    return topic.tenant, topic.wire


async def lock(tx: Tx, names: Sequence[Name]) -> dict[Name, sql.Locked]:
    """Hold the topics that are there until the end of the transaction."""
    found = await tx.apply(sql.LOCK, [sql.Name(*name) for name in names])
    return {names[head.n - 1]: head for head in found}


def text_of(value: Any) -> str:
    """A JSON value as rows have it."""
    return _encode(value).decode()


def item_of(row: sql.Held | sql.Found | sql.ItemRow, *, is_gone: bool = False) -> Item:
    """An item from its row."""
    tags = None if row.tags is None else _decode(row.tags)
    return Item(_decode(row.data), row.offset, row.version, row.expires_ms, tags, is_gone)


def _made(wish: Wish, draft: Draft) -> Any:
    try:
        return wish.make(draft)
    except TooMany as exc:
        return exc


async def _write(
    tx: Tx, drafts: Mapping[Name, Draft], heads: Mapping[Name, sql.Locked], now_ms: int
) -> None:
    entries: list[sql.NewEntry] = []
    items: list[sql.NewItem] = []
    gone: list[sql.Key] = []
    ids: list[sql.NewId] = []
    tops: list[sql.NewTop] = []
    for name, draft in drafts.items():
        if not draft.has_changed:
            continue
        texts: dict[int, tuple[Any, str]] = {}
        for entry in draft.entries:
            data = text_of(entry.data)
            texts[entry.offset] = entry.data, data
            marks = entry.offset, entry.mark, entry.prior
            tags = _tags(entry.tags), _tags(entry.was)
            entries.append(
                sql.NewEntry(*name, *marks, entry.event, data, entry.key, *tags, entry.at_ms)
            )
        for key, item in draft.changed.items():
            if item is None:
                gone.append(sql.Key(*name, key))
                continue
            # Not in an entry: an item that was renewed, has grown, or is more than its entry says.
            value, data = texts.get(item.offset, (_NOTHING, ""))
            if value is not item.data:
                data = text_of(item.data)
            items.append(_item_row(name, key, item, "null" if item.is_gone else data))
        ids += [
            sql.NewId(*name, id, made.offset, made.mark, now_ms)
            for id, made in draft.remembered.items()
        ]
        tops.append(_top(name, draft, heads[name], now_ms))
    await tx.apply(sql.APPEND, entries)
    await tx.apply(sql.PUT, items)
    await tx.apply(sql.DROP, gone)
    await tx.apply(sql.REMEMBER, ids)
    await tx.apply(sql.RAISE, tops)


def _top(name: Name, draft: Draft, head: sql.Locked, now_ms: int) -> sql.NewTop:
    keep = draft.keep or Keep(head.keep_size, head.keep_ms / 1000, 0)
    keep_ms, top = int(keep.age_s * 1000), draft.position.offset
    # A quarter more than is kept: tidied at the next look, not at every change.
    is_long = top - head.trimmed > keep.size + keep.size // 4
    trim_ms = min(now_ms if is_long else now_ms + keep_ms, head.trim_ms or now_ms + keep_ms)
    mark, count = draft.position.mark, draft.count
    return sql.NewTop(*name, top, mark, count, keep.size, keep_ms, now_ms, trim_ms)


def _item_row(name: Name, key: str, item: Item, data: str) -> sql.NewItem:
    tenant, topic = name
    gone, tags = int(item.is_gone), _tags(item.tags)
    return sql.NewItem(
        tenant, topic, key, data, item.offset, item.version, item.expires_ms, tags, gone
    )


def _tags(tags: Mapping[str, str] | None) -> str | None:
    return None if tags is None else text_of(tags)


def _fail(done: "asyncio.Future[Any]", exc: Exception) -> None:
    if not done.done():
        done.set_exception(exc)
        done.exception()  # a caller that went away meanwhile is no reason for a warning


def _bug(exc: Exception) -> Exception:
    error = Internal("the write failed")
    error.__cause__ = exc
    return error
