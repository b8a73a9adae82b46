"""`/v1/hooks/email`, `/v1/email`: what providers tell of emails, and what the links in them lead to."""

from typing import Annotated, Any, Final
from urllib.parse import quote

from msgspec import Meta, Struct, to_builtins

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import Unlimited
from clarion.auth.rights import Public
from clarion.errors import ClarionError, Forbidden, NotFound, Unauthenticated
from clarion.notifications.channels.email.tracking import PIXEL
from clarion.notifications.email import Email, Heard
from clarion.patterns import worded
from clarion.telemetry import get_logger

_log = get_logger(__name__)
_GIF: Final = "image/gif"
# Whatever a link came from must not learn more of where it leads.
_HEADERS: Final = {"referrer-policy": "no-referrer", "cache-control": "no-store"}


class ProviderPath(Struct, frozen=True):
    """Names a provider of `email.hooks`."""

    provider: Annotated[str, Meta(max_length=40)]


class TokenPath(Struct, frozen=True):
    """A token that stands in an email."""

    token: Annotated[
        str,
        Meta(
            pattern=worded(r"^[A-Za-z0-9_-]{1,8000}$(?!\n)", "a token, as it stands in a message")
        ),
    ]


class Secret(Struct, frozen=True, rename="kebab"):
    """Who calls."""

    authorization: Annotated[str, Meta(max_length=1_000)] = ""


class Reader(Struct, frozen=True, rename="kebab"):
    """What fetches."""

    user_agent: str = ""
    purpose: str = ""
    sec_purpose: str = ""
    x_purpose: str = ""
    x_moz: str = ""


class Told(Struct, frozen=True):
    """What the provider `generic` says; the others have shapes of their own."""

    events: list[dict[str, Any]]


EXAMPLE: Final = Told(
    [
        {
            "event": "bounced",
            "message": "<0199c3a1-2b7e-7c10-9a55-5d1f0c6a7e21.2.0@example.com>",
            "permanent": True,
            "detail": "550 5.1.1 user unknown",
        }
    ]
)


def add(api: Api, email: Email) -> None:
    """Open the doors of email."""
    has_secret = Public(reason="providers have a secret of their own, which the handler asks for")
    in_email = Public(reason="the link stands in an email, and what it may do is signed")
    as_often = Unlimited(reason="a provider that is refused tries again, and counts us as broken")
    by_all = Unlimited(reason="a mail service's proxy fetches for all of its readers")

    @api.route(
        "POST",
        "/v1/hooks/email/{provider}",
        right=has_secret,
        limit=as_often,
        errors=(*WRITES, Unauthenticated, Forbidden, NotFound),
        example=EXAMPLE,
        is_foreign=True,
    )
    async def hear_of_email(path: ProviderPath, headers: Secret, body: Any) -> Heard:
        """Hear what became of emails: for the webhooks of providers that `email.hooks` lists.

        The secret comes as a bearer token or as the password of Basic; who sends none is asked for it, as Amazon SNS wants to be. What is told of messages that are not known here is counted, and
        is no error: a provider would try again for days.
        """
        return await email.hear(path.provider, headers.authorization, body)

    @api.route(
        "GET",
        "/v1/email/opens/{token}",
        right=in_email,
        limit=by_all,
        errors=READS,
        media=(_GIF,),
    )
    async def note_open(path: TokenPath, headers: Reader) -> Reply[bytes]:
        """The picture in an email: fetched, it tells that the email was shown."""
        try:
            await email.opened(path.token, to_builtins(headers))
        except ClarionError as exc:
            _log.warning(
                "an open was not noted", code=exc.code
            )  # the picture is shown all the same
        return Reply(PIXEL, media_type=_GIF, headers={"cache-control": "no-store"})

    @api.route(
        "GET",
        "/v1/email/clicks/{token}",
        right=in_email,
        limit=by_all,
        status=302,
        errors=(*WRITES, NotFound),
    )
    async def follow_link(path: TokenPath, headers: Reader) -> Reply[None]:
        """A link in an email: on to where it leads, which is signed."""
        url = await email.clicked(path.token, to_builtins(headers))
        # RFC 3986 §2: what may not stand in a URL, and no end of line, is escaped; what is escaped stays so.
        location = quote(url, safe="%:/?#[]@!$&'()*+,;=~")
        return Reply(None, status=302, headers={"location": location, **_HEADERS})
