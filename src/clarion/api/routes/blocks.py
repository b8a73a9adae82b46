"""`/v1/users/{id}/block`: keeping a user out."""

from clarion.accounts.blocks import Block, Blocks, NewBlock
from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.api.routes.emit import UserPath
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import NotFound

_MANAGE = Right("users:manage")


def add(api: Api, blocks: Blocks) -> None:
    """Open the doors of blocks."""

    @api.route(
        "PUT",
        "/v1/users/{id:path}/block",
        right=_MANAGE,
        limit=PerCaller(),
        errors=WRITES,
        example=NewBlock(for_s=3600, reason="spam"),
    )
    async def block_user(caller: Principal, path: UserPath, body: NewBlock) -> Block:
        """Block a user, for a time or for ever.

        Their sockets and subscriptions end at once, and from then on every credential of theirs is refused with `blocked`, on sockets
        and over HTTP alike, until the block is over or taken back. It is stored before it is answered, and outlives restarts. A second
        block replaces the first.
        """
        return await blocks.put(caller, path.id, body)

    @api.route(
        "GET",
        "/v1/users/{id:path}/block",
        right=_MANAGE,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_block(caller: Principal, path: UserPath) -> Block:
        """Look at a user's block; 404 where there is none."""
        return await blocks.find(caller, path.id)

    @api.route(
        "DELETE",
        "/v1/users/{id:path}/block",
        right=_MANAGE,
        limit=PerCaller(),
        status=204,
        errors=WRITES,
    )
    async def unblock_user(caller: Principal, path: UserPath) -> None:
        """Let a user in again; nothing happens where they are not blocked."""
        await blocks.remove(caller, path.id)
