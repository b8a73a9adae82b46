"""Web Push: messages to browsers by their push services (RFC 8030), encrypted so that these cannot read them.

What a push service answers: 201 is taken; 404 and 410, the subscription is gone; 413, too long; 429 and 5xx, later, as Retry-After
says. Anything else is the message's or the subscription's fault: a few in a row, and the device is forgotten. No other answer
forgets one at once: a service that answers 400 or 403 for an hour would take every device with it.
"""

from typing import Final

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.push.base import (
    Gone,
    Unwelcome,
    push_of,
    retry_after_s,
    words,
)
from clarion.notifications.channels.push.content import topic_of, web_payload
from clarion.notifications.channels.push.encryption import (
    SEED,
    TooLong,
    encrypt,
    private_key,
    receiver,
    unbase64,
)
from clarion.notifications.channels.push.vapid import Vapid
from clarion.outbound import Answer, Outbound

ANSWER_BYTES: Final = 64 * 1024


class WebPush:
    """Hands messages to push services of browsers.

    Args:
        name: In records and metrics.
        outbound: The guarded door to the outside.
        vapid: Signs.
        clock: For dates in Retry-After.
        ids: Keys and salts.
        timeout_s: For an answer.
    """

    def __init__(
        self,
        name: str,
        outbound: Outbound,
        vapid: Vapid,
        *,
        clock: Clock,
        ids: Ids,
        timeout_s: float,
    ) -> None:
        self.name = name
        self._outbound, self._vapid = outbound, vapid
        self._clock, self._ids, self._timeout_s = clock, ids, timeout_s

    async def send(self, message: Outgoing) -> Sent:
        """Hand a message over.

        Raises:
            NotSent: It was not taken.
            Unavailable: No answer.
        """
        push = push_of(message)
        endpoint, said = push.device.address, push.said
        try:
            to = receiver(push.device.data["p256dh"], push.device.data["auth"])
            body = encrypt(
                web_payload(said, push.report), to, private_key(self._bytes(SEED)), self._bytes(16)
            )
        except TooLong as exc:
            raise NotSent(str(exc), provider=self.name, is_final=True) from exc
        headers = {
            "authorization": self._vapid.authorization(endpoint),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(said.ttl),
            "urgency": said.urgency,
        }
        if said.tag:
            headers["topic"] = topic_of(said.tag)
        answer = await self._outbound.request(
            "POST",
            endpoint,
            headers,
            body,
            max_bytes=ANSWER_BYTES,
            deadline_s=self._timeout_s,
        )
        return self._read(answer)

    def _read(self, answer: Answer) -> Sent:
        status, why = answer.status, f"{answer.status} {words(answer.body)}".strip()
        # 200 and 202 are no answers of RFC 8030, but some services give them.
        if status in (200, 201, 202):
            return Sent(self.name, answer.header("location") or "", str(status))
        if status in (404, 410):
            raise Gone(why, provider=self.name)
        if status == 413:
            raise NotSent(why, provider=self.name, is_final=True)
        if status in (408, 425, 429) or status >= 500:
            wait_s = retry_after_s(answer.header("retry-after"), self._clock)
            # 429 is mostly about one subscription: the others of the service are not made to wait.
            raise NotSent(why, provider=self.name, retry_after_s=wait_s, is_providers=status != 429)
        raise Unwelcome(why, provider=self.name)

    def _bytes(self, size: int) -> bytes:
        found = unbase64(self._ids.token(size))
        assert found is not None, "a token is base64url"
        return found
