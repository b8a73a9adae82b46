"""Leases by name: statements. One row for each thing that one node does alone."""

from msgspec import Struct

from clarion.storage.store import Sql


class Holder(Struct, frozen=True):
    """Who has it."""

    holder: str


# Answers a row where it was free, had run out, or was the caller's.
TAKE = Sql(
    """INSERT INTO lease (tenant, name, holder, until_ms) VALUES (:tenant, :name, :holder, :until_ms)
       ON CONFLICT (tenant, name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
       WHERE lease.holder = excluded.holder OR lease.until_ms <= :now_ms
       RETURNING holder""",
    Holder,
)

RELEASE = Sql("DELETE FROM lease WHERE tenant = :tenant AND name = :name AND holder = :holder")

FORGET = Sql("DELETE FROM lease WHERE until_ms < :before_ms")


class Number(Struct, frozen=True):
    """How many there are."""

    n: int


# Of a range of names, that others hold.
OF_OTHERS = Sql(
    """SELECT count(*) FROM lease WHERE tenant = :tenant AND name >= :first AND name < :end
       AND holder <> :holder AND until_ms > :now_ms""",
    Number,
)
