"""Links that need no login: one unsubscribes from something on one channel, another opens a person's page for a while.

What a link may do stands in it, signed with a secret that all processes share: base64url(JSON) "." base64url(HMAC-SHA-256). One that
unsubscribes has no end: an email is opened years later. It can do nothing but that, and undo it.
"""

import base64
import hashlib
import hmac
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from clarion.clock import Clock
from clarion.errors import NotFound, UsageError
from clarion.notifications.preferences.document import Document, Kind, choice_of, with_choice
from clarion.notifications.workflows.definition import Choice

T = TypeVar("T", "Unsubscribe", "Page")

PAGE_S: Final = 30 * 24 * 3600
"""How long a link to a person's page is good, unless asked otherwise (s)."""
UNDO: Final = 4_000  # characters of a token


class Unsubscribe(Struct, frozen=True, array_like=True, tag="u"):
    """What somebody does not want any more on a channel: the category, or the workflow where there is none. `message` brought the link.

    `was`: one that undoes it knows what was said before, of the category or the workflow, and of the workflow beside a category.
    """

    tenant: str
    usr: str
    channel: str
    category: str = ""
    workflow: str = ""
    message: str = ""
    was: tuple[Choice | None, Choice | None] | None = None

    @property
    def what(self) -> tuple[Kind, str]:
        """The kind of what it names, and its name."""
        return ("category", self.category) if self.category else ("workflow", self.workflow)

    def said(self, given: Document) -> tuple[Choice | None, Choice | None]:
        """What a document says of it."""
        of_workflow = choice_of(given, "workflow", self.workflow, self.channel)
        return choice_of(given, *self.what, self.channel), of_workflow if self.category else None

    def apply(self, given: Document) -> Document:
        """The document after it."""
        return self._with(given, False, False)

    def undone(self, given: Document) -> Document:
        """The document in which it says what it said before; nothing, where that is not known."""
        return self._with(given, *(self.was or (None, None)))

    def _with(self, given: Document, choice: Choice | None, beside: Choice | None) -> Document:
        kind, name = self.what
        document = with_choice(given, kind, name, self.channel, choice)
        # A word about the workflow that the link came with would be more specific than the category's.
        if kind == "category" and self.workflow in given.workflows:
            document = with_choice(document, "workflow", self.workflow, self.channel, beside)
        return document


class Page(Struct, frozen=True, array_like=True, tag="p"):
    """A person's page, until then (ms since 1970)."""

    tenant: str
    usr: str
    until_ms: int


class Links:
    """Makes such links, and reads them.

    Args:
        secret: That all processes share.
        public_url: Where people reach the server; '': links are paths.
        clock: The time.
    """

    def __init__(self, secret: str, public_url: str, *, clock: Clock) -> None:
        # Other links are signed with the same secret: none may pass for one of these.
        self._key = hmac.digest(secret.encode(), b"preferences", hashlib.sha256)
        self._base, self._clock = public_url.rstrip("/"), clock

    def unsubscribe(
        self,
        tenant: str,
        usr: str,
        channel: str,
        *,
        category: str = "",
        workflow: str = "",
        message: str = "",
    ) -> str:
        """The address for `List-Unsubscribe` (RFC 8058): a POST to it unsubscribes, a GET shows a page that asks.

        Args:
            tenant: Theirs.
            usr: Who gets the message.
            channel: That it comes by.
            category: The message's; that is what is unsubscribed from.
            workflow: The message's; if it has no category, that is.
            message: Its id, so that its history can tell.

        Raises:
            UsageError: There is neither a category nor a workflow.
        """
        if not category and not workflow:
            raise UsageError("what a link unsubscribes from is a category or a workflow")
        token = self._sign(Unsubscribe(tenant, usr, channel, category, workflow, message))
        return f"{self._base}/v1/unsubscribe/{token}"

    def undo(self, out: Unsubscribe) -> str:
        """The token that undoes it; one that would be too long for an address knows less."""
        token = self._sign(out)
        return token if len(token) <= UNDO else self._sign(replace(out, was=None))

    def page(self, tenant: str, usr: str, *, good_s: int = PAGE_S) -> str:
        """The address of a person's page, good for so long."""
        until_ms = self._clock.now_ms() + good_s * 1000
        return f"{self._base}/preferences/{self._sign(Page(tenant, usr, until_ms))}"

    def read(self, token: str, kind: type[T]) -> T:
        """What a token stands for, which must be of this kind.

        Raises:
            NotFound: It is none of ours, another kind of link, or its time is over.
        """
        text, _, mark = token.partition(".")
        if not hmac.compare_digest(mark.encode(), self._mark(text)):
            raise NotFound("this link is not whole: open it as it was sent")
        found = _decoder.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(found, kind):
            raise NotFound("this link is for something else")
        if isinstance(found, Page) and found.until_ms <= self._clock.now_ms():
            raise NotFound("this link is too old: ask for a new one")
        return found

    def _sign(self, content: Unsubscribe | Page) -> str:
        text = base64.urlsafe_b64encode(msgspec.json.encode(content)).decode().rstrip("=")
        return f"{text}.{self._mark(text).decode()}"

    def _mark(self, text: str) -> bytes:
        found = hmac.digest(self._key, text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(found).rstrip(b"=")


_decoder: Final[msgspec.json.Decoder[Unsubscribe | Page]] = msgspec.json.Decoder(Unsubscribe | Page)
