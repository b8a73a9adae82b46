"""Numbers of messages by the hour: `stat_hour`, and beside it what has changed since they were added up last, `stat_change`.

Migration 0076 says who writes the changes. They are read together, so that what is committed is counted at once.
"""

from typing import Final

from msgspec import Struct

from clarion.storage.store import Procedure, Sql

HOUR_MS: Final = 3_600_000


class Change(Struct, frozen=True, array_like=True):
    """So many more, in an hour."""

    tenant: str
    hour_ms: int
    what: str
    workflow: str
    channel: str
    provider: str
    category: str
    status: str
    bucket: int
    count: int


class Number(Struct, frozen=True):
    """How many, in an interval that began at `at_ms`, that took so long."""

    at_ms: int
    name: str
    status: str
    bucket: int
    count: int


class Pending(Struct, frozen=True):
    """There are changes that are not added up."""

    id: int


_COLUMNS = ", ".join(Change.__struct_fields__)
_KEY = ", ".join(Change.__struct_fields__[:-1])
ADD = Procedure(
    "add_stat_change",
    Change,
    (
        Sql(
            f"INSERT INTO stat_change ({_COLUMNS}) SELECT {_COLUMNS} FROM {{rows r}} WHERE true ORDER BY r.n"
        ),
    ),
    is_blind=True,
)
PENDING = Sql("SELECT id FROM stat_change ORDER BY id LIMIT 1", Pending)
TAKE = Sql(
    f"""WITH old AS (SELECT id FROM stat_change ORDER BY id LIMIT :n {{skip_locked}})
        DELETE FROM stat_change WHERE id IN (SELECT old.id FROM old) RETURNING {_COLUMNS}""",
    Change,
)
RAISE = Procedure(
    "raise_stats",
    Change,
    (
        Sql(
            f"""INSERT INTO stat_hour ({_COLUMNS}) SELECT {_KEY}, sum(r.count) FROM {{rows r}} WHERE true
                GROUP BY {_KEY} ORDER BY {_KEY}
                ON CONFLICT ({_KEY}) DO UPDATE SET count = stat_hour.count + excluded.count"""
        ),
    ),
)
_WHICH = """tenant = :tenant AND hour_ms >= :since AND hour_ms < :until AND what = :what
    AND (:workflow = '' OR workflow = :workflow) AND (:channel = '' OR channel = :channel)
    AND (:provider = '' OR provider = :provider) AND (:category = '' OR category = :category)"""
_SHOWN = """hour_ms - (hour_ms - :since) % CAST(:step AS BIGINT) AS at_ms,
    CASE :by WHEN 'workflow' THEN workflow WHEN 'channel' THEN channel WHEN 'provider' THEN provider WHEN 'category' THEN category
      ELSE '' END AS name, status, bucket, count"""
NUMBERS = Sql(
    f"""SELECT s.at_ms, s.name, s.status, s.bucket, CAST(sum(s.count) AS BIGINT) FROM (
          SELECT {_SHOWN} FROM stat_hour WHERE {_WHICH}
          UNION ALL SELECT {_SHOWN} FROM stat_change WHERE {_WHICH}) AS s
        GROUP BY s.at_ms, s.name, s.status, s.bucket HAVING sum(s.count) <> 0
        ORDER BY s.at_ms, s.name, s.status, s.bucket""",
    Number,
    within_s=5.0,
)
FORGET = Sql(
    f"""DELETE FROM stat_hour WHERE ({_KEY}) IN
       (SELECT {_KEY} FROM stat_hour
         WHERE hour_ms < :before ORDER BY hour_ms LIMIT :n)"""
)
