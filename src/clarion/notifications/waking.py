"""Something became of a message: runs that wait for it look again."""

from clarion.storage import runs as sql
from clarion.storage.store import Store


def wait_key_of(message: str) -> str:
    """What a run waits for, in one word: that something becomes of a message. `message`: as its step made it, for all addresses."""
    return f"message:{message}"


async def wake(store: Store, tenant: str, message: str, now_ms: int) -> bool:
    """Let them look again; returns whether there were any."""
    key = wait_key_of(message)
    async with store.transaction() as tx:
        return bool(await tx.execute(sql.WAKE, tenant=tenant, wait_key=key, now_ms=now_ms))
