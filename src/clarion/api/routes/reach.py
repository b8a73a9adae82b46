"""`/v1/webhook-secrets`, `/v1/hooks/sms`: what webhooks are signed with, and what carriers of text messages tell."""

from typing import Annotated

from msgspec import Meta, Struct

from clarion.api.layer import FORM, WRITES, Api, Reply
from clarion.api.limits import PerCaller, Unlimited
from clarion.auth.principal import Principal
from clarion.auth.rights import Public, Right
from clarion.errors import Conflict, Forbidden, NotFound
from clarion.notifications.reach import Reach
from clarion.notifications.webhooks import EndpointSecret

_WRITE = Right("webhooks:manage")
Url = Annotated[str, Meta(min_length=1, max_length=2_048, description="The endpoint")]


class Endpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """Names an endpoint."""

    url: Url


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """A new secret for an endpoint; for `keep_s` the former signs as well."""

    url: Url
    keep_s: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400


class ProviderPath(Struct, frozen=True):
    """Names a provider of `sms.providers`."""

    provider: Annotated[str, Meta(max_length=64)]


class HookQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of which tenant, and of which message."""

    tenant: Annotated[str, Meta(max_length=128)] = "default"
    message: Annotated[str, Meta(max_length=128)] = ""


class Signature(Struct, frozen=True, rename="kebab"):
    """Who calls."""

    x_twilio_signature: Annotated[str, Meta(max_length=200)] = ""


class SmsReport(Struct, frozen=True, rename="pascal"):
    """What a provider says of a message, among more; all of a form is taken, since all of it is signed."""

    message_sid: str
    message_status: str


def add(api: Api, reach: Reach) -> None:
    """Open the doors."""

    @api.route(
        "POST",
        "/v1/webhook-secrets",
        right=_WRITE,
        takes_key=False,
        limit=PerCaller(),
        errors=(*WRITES, Conflict),
        example=Endpoint("https://hooks.example.org/clarion"),
    )
    async def get_webhook_secret(caller: Principal, body: Endpoint) -> EndpointSecret:
        """What an endpoint has to check signatures with; made, if it has none yet. The URL is in the body, because it may be secret."""
        url = reach.webhook.kept(body.url, "/url")
        return await reach.endpoints.secret(caller.tenant, url)

    @api.route(
        "POST",
        "/v1/webhook-secrets/rotate",
        right=_WRITE,
        takes_key=False,
        limit=PerCaller(),
        errors=WRITES,
        example=Rotation("https://hooks.example.org/clarion"),
    )
    async def rotate_webhook_secret(caller: Principal, body: Rotation) -> EndpointSecret:
        """Give an endpoint another secret. For a day, or `keep_s`, both sign, so that it can change without missing one; within that time a repeated call replaces only the new one."""
        url = reach.webhook.kept(body.url, "/url")
        return await reach.endpoints.rotate(caller.tenant, url, body.keep_s)

    @api.route(
        "POST",
        "/v1/hooks/sms/{provider}",
        right=Public(reason="the provider signs what it tells, which the handler checks"),
        limit=Unlimited(reason="a provider that is refused tries again, and counts us as broken"),
        errors=(*WRITES, Forbidden, NotFound),
        takes=FORM,
        example=SmsReport("SM0123", "delivered"),
        media=("text/xml",),
    )
    async def hear_of_sms(
        path: ProviderPath, query: HookQuery, headers: Signature, body: dict[str, str]
    ) -> Reply[str]:
        """Hear what became of text messages, and what people have answered: for the provider's webhooks, with its signature.

        The address for answers is `…/v1/hooks/sms/<provider>?tenant=default`; that of messages is told to the provider with each.
        """
        await reach.texting.hear(
            path.provider, query.tenant, query.message, body, headers.x_twilio_signature
        )
        return Reply("<Response/>", media_type="text/xml")
