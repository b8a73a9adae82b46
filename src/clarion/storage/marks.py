"""How far users have seen and read streams, and who may read them."""

from msgspec import Struct

from clarion.storage.activity import FIRST_EPOCH
from clarion.storage.store import Sql


class MarkRow(Struct, frozen=True):
    """The places (ms since 1970, id) up to which a user has seen and read a stream."""

    seen_ms: int
    seen_id: str
    read_ms: int
    read_id: str


class ReadersRow(Struct, frozen=True):
    """Who may read a stream, and whether the one who was asked about follows it."""

    readers: str
    follows: int


_OF = "tenant = :tenant AND stream = :stream"

MARK = Sql(
    f"SELECT seen_ms, seen_id, read_ms, read_id FROM activity_mark WHERE {_OF} AND usr = :usr",
    MarkRow,
)


def _later(what: str) -> str:
    later = f"(excluded.{what}_ms, excluded.{what}_id) > (activity_mark.{what}_ms, activity_mark.{what}_id)"
    return ", ".join(
        f"{what}_{part} = CASE WHEN {later} THEN excluded.{what}_{part} ELSE activity_mark.{what}_{part} END"
        for part in ("ms", "id")
    )


# Never back.
SET = Sql(
    f"""INSERT INTO activity_mark (tenant, stream, usr, seen_ms, seen_id, read_ms, read_id)
        VALUES (:tenant, :stream, :usr, :seen_ms, :seen_id, :read_ms, :read_id)
        ON CONFLICT (tenant, stream, usr) DO UPDATE SET {_later("seen")}, {_later("read")}"""
)
FORGET = Sql(
    """DELETE FROM activity_mark WHERE (tenant, stream, usr) IN
         (SELECT tenant, stream, usr FROM activity_mark WHERE tenant = :tenant AND usr = :usr LIMIT :n)"""
)
READERS = Sql(
    """SELECT s.readers, CASE WHEN EXISTS (SELECT 1 FROM activity_follow f
          WHERE f.tenant = s.tenant AND f.stream = s.stream AND f.usr = :usr) THEN 1 ELSE 0 END
        FROM activity_stream s WHERE s.tenant = :tenant AND s.stream = :stream""",
    ReadersRow,
)
SET_READERS = Sql(
    f"""INSERT INTO activity_stream (tenant, stream, epoch, top, mark, items, readers)
       VALUES (:tenant, :stream, '{FIRST_EPOCH}', 0, 0, 0, :readers)
       ON CONFLICT (tenant, stream) DO UPDATE SET readers = excluded.readers"""
)
