"""A provider of text messages that speaks as Twilio does: `twilio://SID:TOKEN@+15550100`.

The host is the sender: a number, a name, or a messaging service (`MG…`). `?api=https://…` names another server that speaks the
same. What it tells afterwards (delivery, answers) is signed with the token. Source: Twilio, "Message resource", "Validating
requests are coming from Twilio".
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from clarion.clock import Clock
from clarion.errors import OutboundRefused, Unavailable
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.urls import ProviderUrl
from clarion.notifications.channels.webhook import retry_after_s
from clarion.outbound import Answer, Outbound, to_endpoint

API: Final = "https://api.twilio.com"
# What is wrong with the number, and would be with every provider. 21610: it has answered STOP.
_BAD_NUMBER: Final = frozenset({21211, 21214, 21217, 21408, 21612, 21614, 21635})
_OPTED_OUT: Final = 21610
_TEXT_TOO_LONG: Final = 21617


class Twilio:
    """One account and sender.

    Args:
        url: See above.
        base_url: Where this server is reached, for what the provider tells of messages; '' if nobody knows: then it tells nothing.
        clock: For the log.

    Raises:
        SettingsError: The URL is no good.
    """

    def __init__(self, url: ProviderUrl, base_url: str, clock: Clock) -> None:
        url.only("api")
        if not (url.user and url.password and url.host):
            raise url.wrong("wants twilio://SID:TOKEN@sender")
        self.name, self._user, self._token, self._sender = (
            url.name,
            url.user,
            url.password,
            url.host,
        )
        self._api = url.options.get("api", API).rstrip("/")
        try:
            self._outbound = Outbound(clock) if self._api == API else to_endpoint(clock, self._api)
        except ValueError as exc:
            raise url.wrong("api must be a URL") from exc
        self._base_url = base_url.rstrip("/")

    async def close(self) -> None:
        """Close its connections."""
        await self._outbound.close()

    def hook(self, tenant: str, message: str = "") -> str:
        """Where it tells what became of a message, or what somebody has answered."""
        asked = {"tenant": tenant, **({"message": message} if message else {})}
        return f"{self._base_url}/v1/hooks/sms/{quote(self.name, safe='')}?{urlencode(asked)}"

    def is_genuine(self, url: str, form: Mapping[str, str], signature: str) -> bool:
        """Whether it was the provider who called."""
        text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
        digest = hmac.digest(self._token.encode(), text.encode(), hashlib.sha1)
        expected = base64.b64encode(digest)
        return hmac.compare_digest(expected, signature.encode(errors="replace"))

    async def send(self, message: Outgoing) -> Sent:
        """Hand a message over."""
        form = {"To": message.address, "Body": message.content["text"]}
        form["MessagingServiceSid" if self._sender.startswith("MG") else "From"] = self._sender
        if self._base_url:
            form["StatusCallback"] = self.hook(message.tenant, message.id)
        basic = base64.b64encode(f"{self._user}:{self._token}".encode()).decode()
        headers = {
            "authorization": f"Basic {basic}",
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        url = f"{self._api}/2010-04-01/Accounts/{quote(self._user, safe='')}/Messages.json"
        try:
            answer = await self._outbound.request(
                "POST", url, headers, urlencode(form).encode(), deadline_s=100.0
            )
        except (OutboundRefused, Unavailable) as exc:
            raise NotSent(str(exc), provider=self.name) from exc
        return self._read(answer)

    def _read(self, answer: Answer) -> Sent:
        said = _object(answer.body)
        code, words = said.get("code"), str(said.get("message", ""))[:300]
        if 200 <= answer.status < 300:
            if not isinstance(sid := said.get("sid"), str) or not sid:
                raise NotSent("an answer that names no message", provider=self.name)
            return Sent(self.name, sid, str(said.get("status", "")))
        why = f"{answer.status} {code or ''} {words}".replace("  ", " ").strip()
        if code == _OPTED_OUT:
            raise NotSent(why, provider=self.name, is_final=True, cause="suppressed")
        if code in _BAD_NUMBER or code == _TEXT_TOO_LONG:
            raise NotSent(why, provider=self.name, is_final=True)
        # Everything else, our own mistakes among it (401, a sender that is none): another provider may do better.
        raise NotSent(why, provider=self.name, retry_after_s=retry_after_s(answer))


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
