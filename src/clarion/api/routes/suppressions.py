"""`/v1/suppressions`: addresses that are not written to."""

from typing import Annotated

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import NotFound
from clarion.notifications.suppressions import (
    AddressText,
    ChannelName,
    NewSuppression,
    Suppression,
    Suppressions,
)

_READ, _WRITE = Right("workflows:read"), Right("workflows:write")


class AddressPath(Struct, frozen=True):
    """Names an address on a channel."""

    channel: ChannelName
    address: AddressText


class SuppressionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which of them."""

    channel: ChannelName = "email"
    after: Annotated[str, Meta(max_length=2_048, description="Behind this address")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Of a page")] = 50


class SuppressionPage(Struct, frozen=True):
    """In the order of their addresses; `next` is the cursor of the page that follows, null on the last one."""

    items: list[Suppression]
    next: str | None


def add(api: Api, suppressions: Suppressions) -> None:
    """Open the doors of suppressions."""

    @api.route(
        "POST",
        "/v1/suppressions",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
        example=NewSuppression("ann@example.com", detail="asked us by telephone"),
    )
    async def suppress(caller: Principal, body: NewSuppression) -> Suppression:
        """Write to an address no more. One that is suppressed already keeps its reason, which is what is answered."""
        return await suppressions.put(caller.tenant, body)

    @api.route("GET", "/v1/suppressions", right=_READ, limit=PerCaller(), errors=READS)
    async def list_suppressions(caller: Principal, query: SuppressionsQuery) -> SuppressionPage:
        """Addresses of a channel that are not written to."""
        found, more = await suppressions.page(
            caller.tenant, query.channel, query.after, query.limit
        )
        return SuppressionPage(found, found[-1].address if more else None)

    @api.route(
        "GET",
        "/v1/suppressions/{channel}/{address:path}",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_suppression(caller: Principal, path: AddressPath) -> Suppression:
        """Why an address is not written to; 404 if it is."""
        return await suppressions.find(caller.tenant, path.channel, path.address)

    @api.route(
        "DELETE",
        "/v1/suppressions/{channel}/{address:path}",
        right=_WRITE,
        limit=PerCaller(),
        status=204,
        errors=WRITES,
    )
    async def write_again(caller: Principal, path: AddressPath) -> None:
        """Write to an address again; nothing happens where it is not suppressed."""
        await suppressions.remove(caller.tenant, path.channel, path.address)
