"""`/v1/providers`, `/v1/captures`: who carries messages and how they do, and what was kept instead of sent."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.routes.workflows import IdPath
from clarion.auth.principal import Principal
from clarion.auth.rights import Public, Right
from clarion.errors import Forbidden, NotFound
from clarion.notifications.channels.line import ProviderStatus
from clarion.notifications.delivery import Capture, CapturePage, Delivery, Mode
from clarion.notifications.engine import Engine

_PROVIDERS, _READ, _WRITE = (
    Right("workflows:read"),
    Right("captures:read"),
    Right("captures:write"),
)
# Somebody else's HTML: it may look as it likes and show pictures, and do nothing. It has no origin of ours.
_HTML_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; font-src data: https:; "
    "sandbox; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)


class ChannelProviders(Struct, frozen=True):
    """A channel with its providers, in the order in which they are asked. None: its messages fail, and say so."""

    channel: str
    providers: list[ProviderStatus]


class ProviderList(Struct, frozen=True):
    """How messages leave this process."""

    delivery: Mode
    channels: list[ChannelProviders]


class CapturesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which captures."""

    channel: Annotated[str, Meta(max_length=64, description="Of this channel")] = ""
    user: Annotated[str, Meta(max_length=128, description="For this user")] = ""
    before: Annotated[str, Meta(max_length=64, description="Older than this one")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Captures of a page")] = 50


class LinkQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What a link to HTML carries."""

    tenant: Annotated[str, Meta(max_length=128)]
    until: Annotated[int, Meta(ge=0, le=1 << 40)]
    signature: Annotated[str, Meta(max_length=64)]


class Cleared(Struct, frozen=True):
    """How many captures were forgotten."""

    captures: int


def add(api: Api, engine: Engine) -> None:
    """Open the doors of providers and captures."""

    @api.route("GET", "/v1/providers", right=_PROVIDERS, limit=PerCaller())
    async def list_providers(caller: Principal) -> ProviderList:
        """The providers of each channel, as the process that answers sees them: breakers, rates, what came of messages since its start."""
        channels = [ChannelProviders(name, found) for name, found in engine.sender.status().items()]
        return ProviderList(engine.delivery.mode, channels)

    _captures(api, engine.delivery)


def _captures(api: Api, delivery: Delivery) -> None:
    @api.route("GET", "/v1/captures", right=_READ, limit=PerCaller(), errors=READS)
    async def list_captures(caller: Principal, query: CapturesQuery) -> CapturePage:
        """Messages that were kept instead of sent, newest first."""
        return await delivery.page(
            caller.tenant,
            channel=query.channel,
            user=query.user,
            before=query.before,
            limit=query.limit,
        )

    @api.route(
        "GET", "/v1/captures/{id}", right=_READ, limit=PerCaller(), errors=(*READS, NotFound)
    )
    async def get_capture(caller: Principal, path: IdPath) -> Capture:
        """One of them."""
        return await delivery.find(caller.tenant, path.id)

    @api.route(
        "GET",
        "/v1/captures/{id}/html",
        right=Public(reason="the link is signed, for one message and ten minutes"),
        limit=PerCaller(),
        errors=(*READS, NotFound, Forbidden),
        media=("text/html",),
    )
    async def show_capture(path: IdPath, query: LinkQuery) -> Reply[str]:
        """The HTML of one, as a page that can do nothing: for a frame or a tab. Its address is the capture's `html_url`."""
        html = await delivery.html(query.tenant, path.id, query.until, query.signature)
        headers = {"content-security-policy": _HTML_POLICY, "cache-control": "no-store"}
        return Reply(html, headers=headers, media_type="text/html")

    @api.route("DELETE", "/v1/captures", right=_WRITE, limit=PerCaller(), errors=WRITES)
    async def clear_captures(caller: Principal) -> Cleared:
        """Forget all of them."""
        return Cleared(await delivery.clear(caller.tenant))
