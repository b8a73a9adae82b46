"""The name of a database: made once, the same for every process that uses it."""

from msgspec import Struct

from clarion.storage.store import Sql, Store


class ServerRow(Struct, frozen=True):
    """The one row."""

    id: str


MAKE = Sql("INSERT INTO server (one, id) VALUES (1, :id) ON CONFLICT DO NOTHING")
READ = Sql("SELECT id FROM server WHERE one = 1", ServerRow)


async def name_of(store: Store, fresh: str) -> str:
    """The database's name; `fresh`, if it has none yet."""
    async with store.transaction() as tx:
        await tx.execute(MAKE, id=fresh)
    [row] = await store.fetch(READ)
    return row.id
