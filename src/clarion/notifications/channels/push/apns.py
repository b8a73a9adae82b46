"""Apple's push notification service: HTTP/2, a token of our own that is made anew within its hour."""

from pathlib import Path
from typing import Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import SettingsError
from clarion.ids import digest
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.push.base import Gone, Unwelcome, push_of, retry_after_s
from clarion.notifications.channels.push.content import APNS_PRIORITY, apns_payload, topic_of
from clarion.notifications.channels.push.encryption import MAX_BODY
from clarion.outbound import Answer, Outbound

URL: Final = "https://api.push.apple.com"
SANDBOX: Final = "https://api.sandbox.push.apple.com"
# Apple takes a token for an hour, and refuses one that is made anew within 20 minutes (TooManyProviderTokenUpdates).
TOKEN_S: Final = 2_400.0
TOKEN_LEAST_S: Final = 1_200.0
ANSWER_BYTES: Final = 64 * 1024
_GONE: Final = frozenset({"BadDeviceToken", "Unregistered", "ExpiredToken"})


class _Reason(Struct, frozen=True):
    reason: str = ""
    timestamp: int | None = None


def read_key(path: Path, setting: str) -> EllipticCurvePrivateKey:
    """Read a key as Apple gives it out (`AuthKey_….p8`).

    Raises:
        SettingsError: There is none.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as exc:
        raise SettingsError(f"{setting}: {path} can't be read: {exc.strerror}") from exc
    except (ValueError, TypeError):
        raise SettingsError(f"{setting}: {path} is not a private key (.p8)") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SettingsError(f"{setting}: {path} is not a key for ES256 (.p8)")
    return key


class Apns:
    """Hands messages to APNs.

    Args:
        name: In records and metrics.
        key: Signs.
        key_id: What Apple calls the key.
        team: Whose it is.
        topic: The application's bundle id; a device may have another.
        outbound: The guarded door to the outside.
        clock: The time of tokens.
        timeout_s: For an answer.
        url: Where APNs is; `SANDBOX` for builds that are not from the store.
    """

    def __init__(
        self,
        name: str,
        key: EllipticCurvePrivateKey,
        key_id: str,
        team: str,
        topic: str,
        outbound: Outbound,
        *,
        clock: Clock,
        timeout_s: float,
        url: str = URL,
    ) -> None:
        self.name = name
        self._key, self._key_id, self._team, self._topic = key, key_id, team, topic
        self._outbound, self._clock = outbound, clock
        self._timeout_s, self._url = timeout_s, url.rstrip("/")
        self._token, self._made_s = "", float("-inf")

    async def send(self, message: Outgoing) -> Sent:
        """Hand a message over.

        Raises:
            NotSent: It was not taken.
            Unavailable: No answer.
        """
        push = push_of(message)
        said, now_s = push.said, self._clock.now_ms() // 1000
        body = apns_payload(said, push.report)
        if len(body) > MAX_BODY:
            why = f"{len(body)} bytes for APNs, {MAX_BODY} are allowed"
            raise NotSent(why, provider=self.name, is_final=True)
        headers = {
            "apns-topic": push.device.data.get("topic") or self._topic,
            "apns-push-type": "alert",
            "apns-priority": APNS_PRIORITY[said.urgency],
            "apns-expiration": str(now_s + said.ttl if said.ttl else 0),
            # The same at every attempt, so that Apple and we speak of the same message.
            "apns-id": _uuid(digest(message.id)),
            "content-type": "application/json",
        }
        if said.tag:
            headers["apns-collapse-id"] = topic_of(said.tag)  # 64 bytes are allowed
        answer = await self._post(push.device.address, headers, body)
        if answer.status == 403 and _reason(answer).reason == "ExpiredProviderToken":
            if self._clock.now_ms() / 1000 - self._made_s >= TOKEN_LEAST_S:
                self._made_s = float("-inf")
                answer = await self._post(push.device.address, headers, body)
        return self._read(answer)

    async def _post(self, token: str, headers: dict[str, str], body: bytes) -> Answer:
        return await self._outbound.request(
            "POST",
            f"{self._url}/3/device/{token}",
            {**headers, "authorization": f"bearer {self._signed()}"},
            body,
            max_bytes=ANSWER_BYTES,
            deadline_s=self._timeout_s,
        )

    def _signed(self) -> str:
        now_s = self._clock.now_ms() / 1000
        if not 0 <= now_s - self._made_s < TOKEN_S:
            claims: dict[str, str | int] = {"iss": self._team, "iat": int(now_s)}
            self._token = jwt.encode(
                claims, self._key, algorithm="ES256", headers={"kid": self._key_id}
            )
            self._made_s = now_s
        return self._token

    def _read(self, answer: Answer) -> Sent:
        if answer.status == 200:
            return Sent(self.name, answer.header("apns-id") or "")
        found = _reason(answer)
        why = f"{answer.status} {found.reason}".strip()
        if answer.status == 410 or found.reason in _GONE:
            # The time at which Apple knew it to be gone: a device that was registered later is there again.
            raise Gone(why, provider=self.name, since_ms=found.timestamp)
        if answer.status == 413:
            raise NotSent(why, provider=self.name, is_final=True)
        if answer.status == 429 or answer.status >= 500:
            wait_s = retry_after_s(answer.header("retry-after"), self._clock)
            about_device = found.reason == "TooManyRequests"  # "for the same device token"
            raise NotSent(
                why, provider=self.name, retry_after_s=wait_s, is_providers=not about_device
            )
        if answer.status == 403:
            raise NotSent(why, provider=self.name)  # the key's: every message would be refused
        raise Unwelcome(why, provider=self.name)


def _reason(answer: Answer) -> _Reason:
    try:
        return msgspec.json.decode(answer.body, type=_Reason)
    except (ValueError, RecursionError):  # no body, or a proxy's page
        return _Reason()


def _uuid(hex: str) -> str:
    return "-".join((hex[:8], hex[8:12], hex[12:16], hex[16:20], hex[20:32]))
