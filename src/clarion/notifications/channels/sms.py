"""Text messages as a channel, to the subscriber's telephone number.

    - sms: {text: "Your parcel {{ payload.order }} has arrived."}

What a carrier charges is segments: a text of more than `sms.max_segments` is not sent. Who has answered STOP gets no more.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.providers import Provided, Providers
from clarion.notifications.channels.segments import segments
from clarion.patterns import worded

NAME: Final = "sms"
# E.164: what every carrier takes.
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")


class SmsContent(Struct, frozen=True, forbid_unknown_fields=True):
    """What a text message says; a template."""

    text: Annotated[str, Meta(min_length=1, max_length=8_192)]


class SmsSaid(Struct, frozen=True):
    """The same, rendered."""

    text: Annotated[
        str, Meta(min_length=1, max_length=8_192, pattern=worded(r"\S", "something to say"))
    ]


class SmsChannel(Provided):
    """The subscriber's telephone.

    Args:
        providers: Who carries text messages.
        max_segments: Of one message.
        suppressed: Why a message must not go out, '' if it may.
    """

    name = NAME
    content = SmsContent
    said = SmsSaid
    max_attempts = 5
    needs_addresses = False

    def __init__(
        self,
        providers: Providers,
        max_segments: int,
        suppressed: Callable[[Outgoing], Awaitable[str]],
    ) -> None:
        super().__init__(providers)
        self._max_segments, self._suppressed = max_segments, suppressed

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Their number, if it is one."""
        found = number(str(recipient.get("phone", "")))
        return [found] if found else []

    async def send(self, message: Outgoing) -> Sent:
        """Hand it to a provider, unless the number wants none or it is too long."""
        if why := await self._suppressed(message):
            raise NotSent(why, provider="", is_final=True, cause="suppressed")
        count = segments(message.content["text"]).segments
        if count > self._max_segments:
            why = f"{count} segments, sms.max_segments = {self._max_segments}"
            raise NotSent(why, provider="", is_final=True)
        return await self.providers.send(message)


def number(text: str) -> str:
    """A telephone number as carriers take it (E.164), or '' if this is none."""
    return text if _NUMBER.fullmatch(text) else ""
