"""Webhooks as a channel: a message is posted to the endpoints that a subscriber has, signed as Standard Webhooks says.

    - webhook: {event: "order.shipped", data: {order: "{{ payload.order }}"}}

An endpoint is somebody else's: it may not be on a private network (checked after its name was looked up, and again for each
redirect), it gets a few messages at a time, and one that fails again and again is left alone, whatever the others do. One that
answers 410 is gone, and is forgotten.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, Invalid, OutboundRefused, Unavailable
from clarion.ids import Ids
from clarion.notifications.channels.base import NotSent, NotYet, Outgoing, Sent
from clarion.notifications.channels.breaker import Breaker
from clarion.notifications.channels.line import Allowed
from clarion.notifications.channels.providers import Provided, Providers
from clarion.notifications.sealing import Unopenable
from clarion.notifications.webhooks import Endpoints, signature
from clarion.outbound import Answer, Outbound
from clarion.settings import Webhook as WebhookSettings

NAME: Final = "webhook"
REDIRECTS: Final = 3
ANSWER_BYTES: Final = 64 * 1024
HOSTS: Final = 10_000  # endpoints' hosts of which it is known how they do
URL_CHARS: Final = 2_048


class WebhookContent(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is posted: `{"type": event, "timestamp": …, "data": data}`; each text is a template."""

    event: Annotated[str, Meta(min_length=1, max_length=200)]
    data: dict[str, Any] = {}


class WebhookSaid(Struct, frozen=True):
    """The same, rendered."""

    event: Annotated[str, Meta(min_length=1, max_length=200)]
    data: dict[str, Any] = {}


class WebhookChannel(Provided):
    """Subscribers' endpoints: their addresses on the channel `webhook`."""

    name = NAME
    content = WebhookContent
    said = WebhookSaid
    needs_addresses = True

    def __init__(self, poster: "Poster", providers: Providers, settings: WebhookSettings) -> None:
        super().__init__(providers)
        self.max_attempts = settings.max_attempts
        self._poster = poster
        providers.add(poster, Allowed(None, None, settings.concurrency, settings.timeout_s))

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Their endpoints."""
        known = recipient.get("addresses", {}).get(NAME, ())
        return [str(each["address"]) for each in known]

    def kept(self, address: str, at: str = "/address") -> str:
        """An endpoint as it is stored.

        Raises:
            Invalid: It is none that could ever be called; the fault is `at` this place.
        """
        try:
            if len(address) > URL_CHARS:
                raise OutboundRefused(f"the URL has more than {URL_CHARS} characters")
            self._poster.check(address)
        except OutboundRefused as exc:
            setting = exc.facts.get("opened_by")
            how = f": the server's setting webhook.{setting} may allow it" if setting else ""
            raise Invalid(f"{exc}{how}", faults=[Fault(at, f"{exc}{how}")]) from exc
        return address


class Poster:
    """Posts messages, each to its endpoint: the channel's one provider.

    Args:
        endpoints: Their secrets.
        outbound: The guarded door to the outside.
        settings: Times and limits.
        forget: Called with a tenant and an endpoint that is gone.
        clock: The time.
        ids: Jitter.
    """

    name = NAME

    def __init__(
        self,
        endpoints: Endpoints,
        outbound: Outbound,
        settings: WebhookSettings,
        forget: Callable[[str, str], Awaitable[None]],
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._endpoints, self._outbound, self._settings = endpoints, outbound, settings
        self._forget, self._clock, self._ids = forget, clock, ids
        # A little less than the provider's time, so that what is told is the endpoint's failure.
        self._time_s = settings.timeout_s * 0.9
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def check(self, url: str) -> None:
        """Refuse an endpoint that could never be called; raises `OutboundRefused`."""
        self._outbound.check(url)

    async def send(self, message: Outgoing) -> Sent:
        """Post a message to its endpoint."""
        host = self._host(urlsplit(message.address).netloc.lower())
        now = self._clock.monotonic()
        if wait_s := host.breaker.wait_s(now):
            raise NotYet(min(wait_s, 60.0), "the endpoint has failed several times in a row")
        if host.in_hand >= self._settings.per_host:
            raise NotYet(1.0, f"webhook.per_host = {self._settings.per_host}")
        host.in_hand += 1
        host.breaker.begin()
        try:
            sent = await self._post(message)
        except NotSent as exc:
            if exc.is_final:
                host.breaker.worked()
            else:
                jitter = self._ids.uniform(0.0, 1.0)
                host.breaker.failed(self._clock.monotonic(), exc.retry_after_s, jitter)
            raise
        except BaseException:
            # Stopped after its time: it hangs, which is a failure like any other.
            host.breaker.failed(self._clock.monotonic(), None, self._ids.uniform(0.0, 1.0))
            raise
        finally:
            host.in_hand -= 1
        host.breaker.worked()
        return sent

    async def _post(self, message: Outgoing) -> Sent:
        try:
            secrets = await self._endpoints.secrets(message.tenant, message.address)
        except Unopenable as exc:
            raise _no(str(exc), is_final=True) from exc
        now_ms = self._clock.now_ms()
        body = msgspec.json.encode(
            {
                "type": message.content["event"],
                "timestamp": as_datetime(now_ms),
                "data": message.content.get("data", {}),
            }
        )
        headers = {
            "content-type": "application/json",
            "user-agent": "Clarion",
            "webhook-id": message.id,
            "webhook-timestamp": str(now_ms // 1000),
            "webhook-signature": signature(secrets, message.id, now_ms // 1000, body),
        }
        try:
            async with asyncio.timeout(self._time_s):
                answer = await self._followed(message.address, headers, body)
        except OutboundRefused as exc:
            raise _no(str(exc), is_final=True) from exc
        except Unavailable as exc:
            raise _no(str(exc)) from exc
        except TimeoutError as exc:
            raise _no(f"no answer within {self._time_s:g} s, redirects included") from exc
        return await self._read(message, answer)

    async def _followed(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer, after redirects that keep what is posted: others would lose it, and count as delivered."""
        for _ in range(REDIRECTS + 1):
            answer = await self._outbound.request(
                "POST", url, headers, body, max_bytes=ANSWER_BYTES, deadline_s=self._time_s
            )
            to = answer.header("location")
            if answer.status not in (307, 308) or not to:
                return answer
            try:
                former, url = url, urljoin(url, to)
            except ValueError as exc:
                raise OutboundRefused("the endpoint redirects to what is not a URL") from exc
            if former.startswith("https:") and not url.startswith("https:"):
                raise OutboundRefused("the endpoint redirects from https to http")
        raise OutboundRefused(f"the endpoint redirects more than {REDIRECTS} times")

    async def _read(self, message: Outgoing, answer: Answer) -> Sent:
        status = answer.status
        if 200 <= status < 300:
            return Sent(NAME, answer=str(status))
        words = answer.body[:300].decode(errors="replace")
        said = f"{status} {words}".strip()
        if status == 410:
            await self._forget(message.tenant, message.address)
            raise _no(f"{said}: the endpoint is gone, and was forgotten", is_final=True)
        raise _no(said, retry_after_s=retry_after_s(answer))

    def _host(self, name: str) -> "_Host":
        found = self._hosts.get(name)
        if found is None:
            settings = self._settings
            found = self._hosts[name] = _Host(Breaker(settings.failures, 10.0, 300.0))
            while len(self._hosts) > HOSTS:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(name)
        return found


class _Host(Struct):
    breaker: Breaker
    in_hand: int = 0


def _no(why: str, *, is_final: bool = False, retry_after_s: float | None = None) -> NotSent:
    return NotSent(
        why, provider=NAME, is_final=is_final, retry_after_s=retry_after_s, is_providers=False
    )


def retry_after_s(answer: Answer) -> float | None:
    """When it may be asked again (s), where it says so as a number; dates are left to the backoff."""
    text = (answer.header("retry-after") or "").strip()
    return min(float(text), 86_400.0) if text.isdecimal() and len(text) < 10 else None
