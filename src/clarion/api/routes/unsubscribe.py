"""`/v1/unsubscribe`: the way out that stands in an email, which nobody need sign in for."""

from html import escape
from typing import Final

from msgspec import Struct

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import Unlimited
from clarion.api.page import HTML, headed
from clarion.api.pages.plain import plain
from clarion.auth.rights import Public
from clarion.errors import Conflict, NotFound
from clarion.notifications.email import Email
from clarion.notifications.unsubscribing import Unsubscribing, WayOut

_UP: Final = "../../"


class TokenPath(Struct, frozen=True):
    """A token that stands in a message."""

    token: str


def add(api: Api, unsubscribing: Unsubscribing, email: Email) -> None:
    """Open the doors of the way out."""
    in_message = Public(reason="the link stands in a message, and what it may do is signed")
    by_all = Unlimited(
        reason="a mail service clicks for all of its readers, and a click that is refused is not made again"
    )

    @api.route(
        "GET", "/v1/unsubscribe/{token}", right=in_message, limit=by_all, errors=(*READS, NotFound),
        media=(HTML,),
    )  # fmt: skip
    async def ask_to_unsubscribe(path: TokenPath) -> Reply[str]:
        """A page that asks whether somebody wants no more of these messages. It changes nothing: filters follow links, too."""
        return _page(await unsubscribing.look(path.token), path.token)

    @api.route(
        "POST", "/v1/unsubscribe/{token}", right=in_message, limit=by_all,
        errors=(*WRITES, NotFound, Conflict), media=(HTML,),
    )  # fmt: skip
    async def unsubscribe(path: TokenPath) -> Reply[str]:
        """Unsubscribe: one click in a mail reader (RFC 8058) or on the page. Twice is as once.

        The body is not looked at: readers send `List-Unsubscribe=One-Click` as either kind of form, and the page sends nothing.
        """
        found = await unsubscribing.go(path.token)
        if found.message:
            await email.unsubscribed(found.tenant, found.message)
        return _page(found, path.token)

    @api.route(
        "POST", "/v1/unsubscribe/{token}/undo", right=in_message, limit=by_all,
        errors=(*WRITES, NotFound, Conflict), media=(HTML,),
    )  # fmt: skip
    async def undo_unsubscribe(path: TokenPath) -> Reply[str]:
        """Take it back: what was said of these messages before holds again, and they are wanted."""
        return _page(await unsubscribing.undo(path.token), path.token, f"{_UP}../")


def _page(found: WayOut, token: str, up: str = _UP) -> Reply[str]:
    what = f"<strong>{escape(headed(found.name))}</strong> by {escape(found.channel)}"
    at = f"{up}v1/unsubscribe/{token}"
    if found.locked:
        return plain("These messages stay", f"<p>You get {what} whatever you choose: these are needed.</p>", up=up)  # fmt: skip
    if found.wanted:
        ask = f'<p>You get {what}.</p><form method="post" action="{at}"><button>Unsubscribe</button></form>'
        return plain("Unsubscribe?", ask, up=up)
    done = f'<p>You get no more {what}.</p><form method="post" action="{up}v1/unsubscribe/{found.undo}/undo"><button class="quiet">Undo</button></form>'
    return plain("You are unsubscribed", done, up=up)
