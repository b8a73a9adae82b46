"""`/v1/keys`: API keys of back ends. `clarion keys` speaks to these doors over the server's local socket."""

from typing import Annotated

from msgspec import Meta, Struct

from clarion.accounts.forms import ApiKeyInfo, CreateKey, NewApiKey
from clarion.accounts.keys import Keys
from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import Forbidden, NotFound

_MANAGE = Right("keys:manage")


class KeyList(Struct, frozen=True):
    """All keys of the caller's tenant, oldest first."""

    items: list[ApiKeyInfo]


class KeyPath(Struct, frozen=True):
    """Names a key."""

    id: Annotated[str, Meta(max_length=64, description="The key's id, as the list has it")]


def add(api: Api, keys: Keys) -> None:
    """Open the doors of keys."""

    @api.route(
        "POST",
        "/v1/keys",
        right=_MANAGE,
        takes_key=False,
        limit=PerCaller(),
        status=201,
        errors=(*WRITES, Forbidden),
        example=CreateKey("my-backend", ["notifications:send"]),
    )
    async def create_key(caller: Principal, body: CreateKey) -> NewApiKey:
        """Make a key.

        `key` is shown this once: the server keeps only its digest. A key can do nothing that its maker may not.
        """
        return await keys.create(caller, body.name, body.scopes)

    @api.route("GET", "/v1/keys", right=_MANAGE, limit=PerCaller(), errors=READS)
    async def list_keys(caller: Principal) -> KeyList:
        """List the keys, without their secrets."""
        return KeyList(await keys.list(caller))

    @api.route(
        "DELETE",
        "/v1/keys/{id}",
        right=_MANAGE,
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound),
    )
    async def revoke_key(caller: Principal, path: KeyPath) -> None:
        """End a key at once, with everything that it opened."""
        await keys.revoke(caller, path.id)
