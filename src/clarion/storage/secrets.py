"""Secrets that every process of a server shares, and that must outlive each of them: made once, never changed."""

from msgspec import Struct

from clarion.storage.store import Sql, Store


class SecretRow(Struct, frozen=True):
    """One secret."""

    value: str


MAKE = Sql("INSERT INTO server_secret (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING")
READ = Sql("SELECT value FROM server_secret WHERE name = :name", SecretRow)


async def secret_of(store: Store, name: str, fresh: str) -> str:
    """The secret of that name; `fresh`, if there is none yet."""
    for row in await store.fetch(READ, name=name):
        return row.value
    async with store.transaction() as tx:
        await tx.execute(MAKE, name=name, value=fresh)
    [row] = await store.fetch(READ, name=name)
    return row.value
