"""Accounts to try things with (`--demo`, loopback only): made at the first start, with a new password at each."""

from clarion.auth.principal import DEFAULT_TENANT
from clarion.errors import Conflict
from clarion.storage import accounts as rows
from clarion.storage import subscribers
from clarion.storage.store import Store

USERS = ("ann", "ben")
SCOPES = (
    "notifications:send",
    "captures:read",
    "captures:write",
    "messages:read",
    "messages:write",
)


async def put(store: Store, username: str, hashed: str, now_ms: int) -> None:
    """Make a demo account, or give it a new password if it is one.

    Raises:
        Conflict: The name belongs to somebody: an account that a person registered, or a subscriber whose inbox would be opened.
    """
    facts = {"tenant": DEFAULT_TENANT, "id": username, "name": username.capitalize()}
    async with store.transaction() as tx:
        is_known = await tx.fetch(rows.FIND, tenant=DEFAULT_TENANT, id=username)
        is_ours = await tx.execute(
            rows.ADD_DEMO, **facts, password=hashed, scopes=" ".join(SCOPES), now_ms=now_ms
        )
        is_new = await tx.execute(subscribers.ADD, **facts, now_ms=now_ms)
        if not is_ours or not (is_known or is_new):
            raise Conflict(f"the user name {username} is taken")
