"""Topics without rows of their own: heads, logs, states, and the ids that make a change safe to repeat.

Each read is one statement, so that entries or items and their position belong together. Every change is a transaction that
begins with `LOCK`: whoever holds a topic's head is alone in it. What is written there is written in sets, for many topics at
once, each row named once.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql

# ── rows ──


class Name(Struct, frozen=True, array_like=True):
    """Names a topic: `kind:name` of a tenant."""

    tenant: str
    topic: str


class Use(Struct, frozen=True, array_like=True):
    """A topic that somebody uses; `epoch` is that of one which begins now."""

    tenant: str
    topic: str
    epoch: str
    now_ms: int


class Used(Struct, frozen=True):
    """Where the caller's n-th topic stands."""

    n: int
    epoch: str
    top: int
    mark: int


class Head(Struct, frozen=True):
    """Where a topic stands, and what says whether it may be forgotten."""

    topic: str
    epoch: str
    top: int
    mark: int
    items: int
    used_ms: int


class EntryRow(Struct, frozen=True):
    """The head, and one entry behind an offset; `offset` and what follows are None where the log has nothing there."""

    topic: str
    epoch: str
    top: int
    top_mark: int
    items: int
    used_ms: int
    offset: int | None
    mark: int
    prior: int
    event: str
    data: str
    key: str | None
    tags: str | None
    was: str | None
    at_ms: int


class ItemRow(Struct, frozen=True):
    """The head, and one item of the page; `key` and what follows are None in the only row of an empty page.

    `found` counts the items that were looked at: more than there are rows, where their bytes are too many.
    """

    topic: str
    epoch: str
    top: int
    mark: int
    items: int
    used_ms: int
    key: str | None
    data: str
    offset: int
    version: int
    expires_ms: int | None
    tags: str | None
    found: int | None


class Found(Struct, frozen=True):
    """An item that was asked for by its key."""

    key: str
    data: str
    offset: int
    version: int
    expires_ms: int | None
    tags: str | None


class Before(Struct, frozen=True):
    """The newest kept entry that is older than some time (None: there is none), and where the kept ones begin."""

    offset: int | None
    top: int
    trimmed: int
    keep_size: int


class Due(Struct, frozen=True):
    """Names an item whose time is over."""

    tenant: str
    topic: str
    key: str


class Locked(Struct, frozen=True):
    """The caller's n-th topic, which nobody else can change now."""

    n: int
    epoch: str
    top: int
    mark: int
    trimmed: int
    items: int
    keep_size: int
    keep_ms: int
    trim_ms: int | None


class Key(Struct, frozen=True, array_like=True):
    """Names an item."""

    tenant: str
    topic: str
    key: str


class Held(Struct, frozen=True):
    """What is under the caller's n-th key."""

    n: int
    data: str
    offset: int
    version: int
    expires_ms: int | None
    tags: str | None
    is_gone: int


class Id(Struct, frozen=True, array_like=True):
    """An id that a change has, and since when it would be remembered."""

    tenant: str
    topic: str
    id: str
    since_ms: int


class Known(Struct, frozen=True):
    """The entry that the caller's n-th id stands for."""

    n: int
    offset: int
    mark: int


class NewEntry(Struct, frozen=True, array_like=True):
    """An entry to be written."""

    tenant: str
    topic: str
    off: int
    mark: int
    prior: int
    event: str
    data: str
    key: str | None
    tags: str | None
    was: str | None
    at_ms: int


class NewItem(Struct, frozen=True, array_like=True):
    """An item as it is from now on."""

    tenant: str
    topic: str
    key: str
    data: str
    off: int
    version: int
    expires_ms: int | None
    tags: str | None
    is_gone: int


class NewId(Struct, frozen=True, array_like=True):
    """An id to be remembered."""

    tenant: str
    topic: str
    id: str
    off: int
    mark: int
    at_ms: int


class NewTop(Struct, frozen=True, array_like=True):
    """A head as it is from now on."""

    tenant: str
    topic: str
    top: int
    mark: int
    items: int
    keep_size: int
    keep_ms: int
    used_ms: int
    trim_ms: int | None


class Untidy(Struct, frozen=True):
    """A head that may have something to remove."""

    tenant: str
    topic: str
    top: int
    trimmed: int
    items: int
    keep_size: int
    keep_ms: int
    used_ms: int


class Window(Struct, frozen=True, array_like=True):
    """The oldest entries of a log, up to `upto`; of them go those up to `beyond`, and those from before `oldest_ms`."""

    tenant: str
    topic: str
    trimmed: int
    upto: int
    beyond: int
    oldest_ms: int


class Cut(Struct, frozen=True):
    """The newest entry that must go of the caller's n-th window, or None."""

    n: int
    offset: int | None


class Trimmed(Struct, frozen=True, array_like=True):
    """Entries up to `upto` that go, and when to look again."""

    tenant: str
    topic: str
    trimmed: int
    upto: int
    trim_ms: int | None


class Age(Struct, frozen=True):
    """When the entry behind the caller's n-th offset was appended."""

    n: int
    at_ms: int


_TOPIC = "tenant = :tenant AND topic = :topic"
_HEAD = "h.topic, h.epoch, h.top, h.mark, h.items, h.used_ms"
_OF_R = "h.tenant = r.tenant AND h.topic = r.topic"

# ── reading: no row at all means that nobody has used the topic ──

AT_ONCE = 100
# Read like every page: a fixed number of names, the unused ones ''.
_SOME = ", ".join(f":name_{i}" for i in range(AT_ONCE))

HEAD = Sql(f"SELECT {_HEAD} FROM topic_head h WHERE {_TOPIC}", Head)
HEADS = Sql(f"SELECT {_HEAD} FROM topic_head h WHERE tenant = :tenant AND topic IN ({_SOME})", Head)

ENTRIES = Sql(
    f"""SELECT {_HEAD}, e.off, e.mark, e.prior, e.event, e.data, e.key, e.tags, e.was, e.at_ms
        FROM topic_head h LEFT JOIN topic_entry e ON e.tenant = h.tenant AND e.topic = h.topic
          AND e.off > :after AND e.off > h.top - h.keep_size AND e.at_ms >= CAST(:now_ms AS BIGINT) - h.keep_ms
        WHERE h.tenant = :tenant AND h.topic = :topic ORDER BY e.off LIMIT :n""",
    EntryRow,
)

ITEMS = Sql(
    f"""SELECT {_HEAD}, p.* FROM topic_head h LEFT JOIN (
          SELECT key, data, off, version, expires_ms, tags, found FROM (
            SELECT i.*, COUNT(*) OVER () AS found,
              SUM(octet_length(data)) OVER (ORDER BY key) - octet_length(data) AS before FROM (
                SELECT key, data, off, version, expires_ms, tags FROM topic_item
                WHERE {_TOPIC} AND is_gone = 0 AND key >= :after AND (:after = '' OR key > :after)
                ORDER BY key LIMIT :n) AS i) AS w
          WHERE before < CAST(:most AS BIGINT)) AS p ON true
        WHERE h.tenant = :tenant AND h.topic = :topic ORDER BY p.key""",
    ItemRow,
)

_FOUND = "SELECT key, data, off, version, expires_ms, tags FROM topic_item"
ITEM = Sql(f"{_FOUND} WHERE {_TOPIC} AND is_gone = 0 AND key = :name_0", Found)
SOME_ITEMS = Sql(f"{_FOUND} WHERE {_TOPIC} AND is_gone = 0 AND key IN ({_SOME})", Found)

BEFORE = Sql(
    """SELECT (SELECT e.off FROM topic_entry e WHERE e.tenant = h.tenant AND e.topic = h.topic
                 AND e.off > h.top - h.keep_size AND e.at_ms < :at_ms ORDER BY e.off DESC LIMIT 1),
         h.top, h.trimmed, h.keep_size
       FROM topic_head h WHERE h.tenant = :tenant AND h.topic = :topic""",
    Before,
)

# Over all tenants: what is over is removed for whomever.
DUE = Sql(
    "SELECT tenant, topic, key FROM topic_item WHERE expires_ms <= :now_ms ORDER BY expires_ms, key LIMIT :n",
    Due,
)

# Creates heads, or says that they are still used; the first epoch that is offered counts.
USE = Procedure(
    "use_topics",
    Use,
    (
        Sql("""INSERT INTO topic_head (tenant, topic, epoch, top, mark, trimmed, items, keep_size, keep_ms, used_ms, trim_ms)
            SELECT u.tenant, u.topic, u.epoch, 0, 0, 0, 0, 0, 0, u.now_ms, u.now_ms
            FROM (SELECT r.tenant, r.topic, r.epoch, max(r.now_ms) OVER (PARTITION BY r.tenant, r.topic) AS now_ms,
                    row_number() OVER (PARTITION BY r.tenant, r.topic ORDER BY r.n) AS nth FROM {rows r}) AS u
            WHERE u.nth = 1 ORDER BY u.tenant, u.topic
            ON CONFLICT (tenant, topic) DO UPDATE SET used_ms = excluded.used_ms
              WHERE topic_head.used_ms < excluded.used_ms"""),
        Sql(
            f"SELECT r.n, h.epoch, h.top, h.mark FROM {{rows r}} JOIN topic_head h ON {_OF_R} ORDER BY r.n",
            Used,
        ),
    ),
)

# ── changing: one transaction, LOCK first, in the order of the key: no two transactions can wait for each other ──

LOCK = Procedure(
    "lock_topics",
    Name,
    (
        Sql(
            f"""SELECT r.n, h.epoch, h.top, h.mark, h.trimmed, h.items, h.keep_size, h.keep_ms, h.trim_ms
                FROM {{rows r}} JOIN topic_head h ON {_OF_R} ORDER BY h.tenant, h.topic {{for_update}}""",
            Locked,
        ),
    ),
)
HELD = Procedure(
    "read_topic_items",
    Key,
    (
        Sql(
            """SELECT r.n, i.data, i.off, i.version, i.expires_ms, i.tags, i.is_gone FROM {rows r}
               JOIN topic_item i ON i.tenant = r.tenant AND i.topic = r.topic AND i.key = r.key""",
            Held,
        ),
    ),
)
KNOWN = Procedure(
    "read_topic_ids",
    Id,
    (
        Sql(
            """SELECT r.n, k.off, k.mark FROM {rows r}
               JOIN topic_id k ON k.tenant = r.tenant AND k.topic = r.topic AND k.id = r.id AND k.at_ms >= r.since_ms""",
            Known,
        ),
    ),
)
APPEND = Procedure(
    "append_topic_entries",
    NewEntry,
    (
        Sql("""INSERT INTO topic_entry (tenant, topic, off, mark, prior, event, data, key, tags, was, at_ms)
            SELECT tenant, topic, off, mark, prior, event, data, key, tags, was, at_ms FROM {rows r} WHERE true"""),
    ),
)
PUT = Procedure(
    "put_topic_items",
    NewItem,
    (
        Sql("""INSERT INTO topic_item (tenant, topic, key, data, off, version, expires_ms, tags, is_gone)
            SELECT tenant, topic, key, data, off, version, expires_ms, tags, is_gone FROM {rows r} WHERE true
            ON CONFLICT (tenant, topic, key) DO UPDATE SET data = excluded.data, off = excluded.off,
              version = excluded.version, expires_ms = excluded.expires_ms, tags = excluded.tags, is_gone = excluded.is_gone"""),
    ),
)
DROP = Procedure(
    "drop_topic_items",
    Key,
    (
        Sql("""DELETE FROM topic_item WHERE (tenant, topic, key) IN
               (SELECT r.tenant, r.topic, r.key FROM {rows r})"""),
    ),
)
REMEMBER = Procedure(
    "remember_topic_ids",
    NewId,
    (
        Sql("""INSERT INTO topic_id (tenant, topic, id, off, mark, at_ms)
            SELECT tenant, topic, id, off, mark, at_ms FROM {rows r} WHERE true
            ON CONFLICT (tenant, topic, id) DO UPDATE SET off = excluded.off, mark = excluded.mark, at_ms = excluded.at_ms"""),
    ),
)
RAISE = Procedure(
    "raise_topics",
    NewTop,
    (
        Sql("""UPDATE topic_head SET top = r.top, mark = r.mark, items = r.items,
              keep_size = r.keep_size, keep_ms = r.keep_ms, used_ms = r.used_ms, trim_ms = r.trim_ms
            FROM {rows r} WHERE topic_head.tenant = r.tenant AND topic_head.topic = r.topic"""),
    ),
)

CLEAR = (
    Sql(f"DELETE FROM topic_entry WHERE {_TOPIC}"),
    Sql(f"DELETE FROM topic_item WHERE {_TOPIC}"),
    Sql(f"DELETE FROM topic_id WHERE {_TOPIC}"),
)
RENAME = Sql(
    f"""UPDATE topic_head SET epoch = :epoch, top = 0, mark = 0, trimmed = 0, items = 0, used_ms = :now_ms, trim_ms = :now_ms
        WHERE {_TOPIC}"""
)

# ── housekeeping, for all tenants alike; a slice at a time, and past heads that somebody holds ──

UNTIDY = Sql(
    """SELECT tenant, topic, top, trimmed, items, keep_size, keep_ms, used_ms FROM topic_head
       WHERE trim_ms <= :now_ms ORDER BY trim_ms LIMIT :n {skip_locked}""",
    Untidy,
)
CUTS = Procedure(
    "find_topic_cuts",
    Window,
    (
        Sql(
            """SELECT r.n, (SELECT max(e.off) FROM topic_entry e WHERE e.tenant = r.tenant AND e.topic = r.topic
                 AND e.off > r.trimmed AND e.off <= r.upto AND (e.off <= r.beyond OR e.at_ms < r.oldest_ms))
               FROM {rows r} ORDER BY r.n""",
            Cut,
        ),
    ),
)
AGES = Procedure(
    "find_topic_ages",
    Trimmed,
    (
        Sql(
            """SELECT r.n, e.at_ms FROM {rows r}
               JOIN topic_entry e ON e.tenant = r.tenant AND e.topic = r.topic AND e.off = r.upto + 1""",
            Age,
        ),
    ),
)
TRIM = Procedure(
    "trim_topics",
    Trimmed,
    (
        Sql("""DELETE FROM topic_entry WHERE (tenant, topic, off) IN
               (SELECT e.tenant, e.topic, e.off FROM {rows r} JOIN topic_entry e
                ON e.tenant = r.tenant AND e.topic = r.topic AND e.off > r.trimmed AND e.off <= r.upto)"""),
        Sql("""UPDATE topic_head SET trimmed = r.upto, trim_ms = r.trim_ms FROM {rows r}
               WHERE topic_head.tenant = r.tenant AND topic_head.topic = r.topic"""),
    ),
)
FORGET = Procedure(
    "forget_topics",
    Name,
    (
        Sql("""DELETE FROM topic_head WHERE (tenant, topic) IN
               (SELECT r.tenant, r.topic FROM {rows r})"""),
    ),
)
FORGET_IDS = Sql(
    """DELETE FROM topic_id WHERE (tenant, topic, id) IN
       (SELECT tenant, topic, id FROM topic_id WHERE at_ms < :before ORDER BY at_ms LIMIT :n)"""
)
