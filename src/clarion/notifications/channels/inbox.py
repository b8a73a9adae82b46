"""The inbox as a channel: what is said there is in the person's inbox with the step itself, so there is nothing to hand over."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from clarion.notifications.channels.base import Outgoing, Sent
from clarion.notifications.content import TAGS_MAX, Said

NAME = "inbox"
Template = Annotated[str, Meta(max_length=8192, description="A template")]


class ButtonContent(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A button; label and URL are templates."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    label: Annotated[str, Meta(min_length=1, max_length=1_000)]
    url: Annotated[str, Meta(max_length=2_048)] = ""
    style: Literal["default", "primary", "danger"] = "default"


class InboxContent(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a message of the inbox says; each text is a template."""

    title: Annotated[str, Meta(min_length=1, max_length=1_000)]
    body: Template = ""
    action_url: Annotated[str, Meta(max_length=2_048)] = ""
    data: dict[str, Any] | None = None
    key: Annotated[str, Meta(max_length=1_000)] = ""
    quiet: bool = False
    expires: Annotated[str, Meta(max_length=1_000)] = ""
    actions: Annotated[list[ButtonContent], Meta(max_length=5)] = []
    tags: Annotated[list[Annotated[str, Meta(max_length=1_000)]], Meta(max_length=TAGS_MAX)] = []


class InboxChannel:
    """Everybody has an inbox."""

    name = NAME
    content = InboxContent
    said = Said
    timeout_s = 0.0
    max_attempts = 1
    needs_addresses = False

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """The recipient's own id."""
        return [str(recipient["id"])]

    async def send(self, message: Outgoing) -> Sent:
        """Never called: the message is delivered by the step that makes it."""
        raise AssertionError(message.id)
