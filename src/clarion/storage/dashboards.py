"""Dashboards: rows and statements."""

from msgspec import Struct

from clarion.storage.store import Sql


class DashboardRow(Struct, frozen=True):
    """One of them; `definition` is a text of JSON, times are ms since 1970."""

    id: str
    version: int
    definition: str
    created_ms: int
    changed_ms: int


class Count(Struct, frozen=True):
    """How many there are."""

    count: int


_ROW = "id, version, definition, created_ms, changed_ms"

FIND = Sql(f"SELECT {_ROW} FROM dashboard WHERE tenant = :tenant AND id = :id", DashboardRow)

# As it is, until the end of the transaction.
HOLD = Sql(
    f"SELECT {_ROW} FROM dashboard WHERE tenant = :tenant AND id = :id {{for_update}}",
    DashboardRow,
)

LIST = Sql(
    f"SELECT {_ROW} FROM dashboard WHERE tenant = :tenant AND id > :after ORDER BY id LIMIT :n",
    DashboardRow,
)

# The pattern finds too many rather than too few: whoever asks looks at what it says.
NAMING = Sql(
    f"""SELECT {_ROW} FROM dashboard WHERE tenant = :tenant AND definition LIKE :pattern AND id > :after
        ORDER BY id LIMIT :n""",
    DashboardRow,
)

COUNT = Sql("SELECT COUNT(*) FROM dashboard WHERE tenant = :tenant", Count)

ADD = Sql(
    """INSERT INTO dashboard (tenant, id, version, definition, created_ms, changed_ms)
       VALUES (:tenant, :id, 1, :definition, :now_ms, :now_ms)"""
)

CHANGE = Sql(
    """UPDATE dashboard SET version = :version, definition = :definition, changed_ms = :now_ms
       WHERE tenant = :tenant AND id = :id"""
)

REMOVE = Sql("DELETE FROM dashboard WHERE tenant = :tenant AND id = :id")
