"""What carriers of text messages tell us: what became of a message, and what somebody has answered.

An answer of one word that says STOP ends text messages to that number, in the tenant whose hook was called; START begins them again.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Final, Literal

from clarion.clock import Clock
from clarion.errors import Forbidden, NotFound
from clarion.notifications.channels.sms import NAME, number
from clarion.notifications.channels.twilio import Twilio
from clarion.notifications.lanes import RANKS
from clarion.notifications.runs import nothing
from clarion.notifications.suppressions import Suppressions
from clarion.notifications.waking import wake
from clarion.settings import Sms
from clarion.storage import message_events as sql
from clarion.storage.store import Store
from clarion.telemetry import get_logger

_log = get_logger(__name__)

STOP: Final = frozenset(
    ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"]
)
START: Final = frozenset({"START", "UNSTOP", "YES"})
THEIR_OWN: Final = ("complaint", "unsubscribe")
"""What who is meant has said, and may take back; what a number that is none has bounced, or somebody here has put there, stays."""
_BECAME: Final[Mapping[str, Literal["delivered", "bounced"]]] = {
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "bounced",
    "failed": "bounced",
}


class Texting:
    """Hears carriers.

    Args:
        store: Where messages are.
        suppressions: Numbers that get none.
        settings: Section `sms`.
        clock: The time.

    Attributes:
        providers: Those whose calls are taken, by name.
    """

    def __init__(
        self, store: Store, suppressions: Suppressions, settings: Sms, *, clock: Clock
    ) -> None:
        self._store, self._suppressions, self._clock = store, suppressions, clock
        self._stop = STOP | {word.upper() for word in settings.stop_words}
        self._start = START | {word.upper() for word in settings.start_words}
        self.providers: dict[str, Twilio] = {}
        self.on_woken: Callable[[], None] = nothing
        """Called when runs may have been waiting for what was told."""

    async def hear(
        self, name: str, tenant: str, message: str, form: Mapping[str, str], signature: str
    ) -> None:
        """Take a provider's call.

        Args:
            name: The provider's.
            tenant: Of the URL that was called.
            message: Of the URL: which message it is about; '' for an answer.
            form: What was posted.
            signature: `X-Twilio-Signature`.

        Raises:
            NotFound: There is no such provider.
            Forbidden: It was not that provider who called.
        """
        provider = self.providers.get(name)
        if provider is None:
            raise NotFound("there is no such provider of text messages")
        if not provider.is_genuine(provider.hook(tenant, message), form, signature):
            raise Forbidden("this call is not signed by the provider")
        if message:
            await self._became(tenant, message, form)
        elif phone := number(form.get("From", "")):
            await self._answered(tenant, phone, form.get("Body", ""))

    async def _became(self, tenant: str, message: str, form: Mapping[str, str]) -> None:
        status = _BECAME.get(form.get("MessageStatus", form.get("SmsStatus", "")))
        found = await self._store.fetch(sql.MESSAGE, tenant=tenant, id=message)
        if status is None or not found or found[0].channel != NAME:
            return  # queued, sending: nothing that we would not know
        now_ms = self._clock.now_ms()
        detail = f"error {form['ErrorCode'][:20]}" if form.get("ErrorCode") else ""
        row = sql.NewEvent(tenant, message, status, now_ms, detail, status, RANKS[status], 0, 0)
        told: list[sql.Told] = await self._store.apply(sql.TELL, [row])
        for each in told:
            if await wake(self._store, tenant, each.made, now_ms):
                self.on_woken()

    async def _answered(self, tenant: str, phone: str, text: str) -> None:
        word = text.strip().strip(".!\"'").upper()
        if word in self._start:
            await self._begin_again(tenant, phone)
        elif word in self._stop:
            # As a complaint is for email: what is critical does not reach them either, and a carrier would refuse it.
            await self._suppressions.add(tenant, NAME, phone, "complaint", f"answered {word}")
        else:
            return
        _log.info("a number has opted in or out of text messages", word=word)

    async def _begin_again(self, tenant: str, phone: str) -> None:
        with contextlib.suppress(NotFound):
            found = await self._suppressions.find(tenant, NAME, phone)
            if found.reason in THEIR_OWN:
                await self._suppressions.remove(tenant, NAME, phone)
