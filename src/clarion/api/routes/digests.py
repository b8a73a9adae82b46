"""`/v1/digests`: what is being collected for somebody, and letting it go before its time."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.notifications.digests import DigestPage
from clarion.notifications.engine import Engine
from clarion.notifications.workflows.definition import Key

_READ: Final = Right("workflows:read")
_SEND: Final = Right("notifications:send")


class DigestsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose digests."""

    workflow: Annotated[Key, Meta(description="Of this workflow")]
    recipient: Annotated[str, Meta(min_length=1, max_length=255, description="For whom")]
    after: Annotated[str, Meta(max_length=64, description="Behind this id")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Digests of a page")] = 50


class DigestPath(Struct, frozen=True):
    """Names a digest."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]


def add(api: Api, engine: Engine) -> None:
    """Open the doors of digests."""

    @api.route("GET", "/v1/digests", right=_READ, limit=PerCaller(), errors=READS)
    async def list_digests(caller: Principal, query: DigestsQuery) -> DigestPage:
        """A recipient's open digests of a workflow.

        To take one notification out of a digest, call off its trigger: `DELETE /v1/triggers/{id}`.
        """
        return await engine.digests.open_of(
            caller.tenant, query.workflow, query.recipient, after=query.after, limit=query.limit
        )

    @api.route(
        "POST",
        "/v1/digests/{id}/release",
        right=_SEND,
        limit=PerCaller(),
        status=204,
        errors=WRITES,
    )
    async def release_digest(caller: Principal, path: DigestPath) -> None:
        """Let a digest close now, with what is in it: once, however often it is asked for."""
        await engine.release_digest(caller.tenant, path.id)
