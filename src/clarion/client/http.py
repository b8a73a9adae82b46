"""The two clients: one that blocks, one for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from clarion.client import calls
from clarion.client.activity import ActivityCalls, AsyncActivityCalls
from clarion.client.bulk import AsyncBulkCalls, BulkCalls
from clarion.client.calls import Accepted, ApiError, Call, Recipient
from clarion.client.dashboards import AsyncDashboardCalls, DashboardCalls
from clarion.client.delivery import AsyncDeliveryCalls, DeliveryCalls
from clarion.client.events import AsyncEventCalls, EventCalls
from clarion.client.line import Line
from clarion.client.messages import AsyncMessageCalls, MessageCalls
from clarion.client.preferences import AsyncPreferenceCalls, PreferenceCalls
from clarion.client.presence import AsyncPresenceCalls, PresenceCalls
from clarion.client.push import AsyncPushCalls, PushCalls
from clarion.client.realtime import AsyncRealtimeCalls, RealtimeCalls
from clarion.client.schedules import AsyncScheduleCalls, ScheduleCalls
from clarion.client.search import AsyncSearchCalls, SearchCalls
from clarion.client.subscription import Topic
from clarion.client.suppressions import AsyncSuppressionCalls, SuppressionCalls
from clarion.client.templates import AsyncTemplateCalls, TemplateCalls
from clarion.client.topics import AsyncTopicCalls, TopicCalls
from clarion.client.workflows import AsyncWorkflowCalls, WorkflowCalls
from clarion.clock import pause
from clarion.ids import Ids

T = TypeVar("T")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class _Base:
    """What both clients know: where, as whom, how patient."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        socket: Path | None = None,
        timeout_s: float = 10.0,
        retries: int = 3,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: Where the server is.
            key: An API key (`clk_…`) or an access token.
            socket: The server's local socket (`data/clarion.sock`) instead of a key: its owner may do anything.
            timeout_s: For one try (s).
            retries: How often a call is repeated that met a refusal for lack of room or no answer. A repetition carries
                the same Idempotency-Key, so it has one effect; events have none, and are not repeated where no answer came.
        """
        self._options: dict[str, Any] = {
            "base_url": url,
            "timeout": timeout_s,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
        }
        self._socket = str(socket) if socket else None
        self._retries = retries
        self._ids = Ids()

    def _request(self, call: Call[T]) -> dict[str, Any]:
        return {
            "method": call.method,
            "url": call.path,
            "headers": dict(call.headers),
        } | ({"content": call.content()} if call.content else {"json": call.body})

    def _unreachable(self, exc: httpx.TransportError) -> ApiError:
        where = self._socket or self._options["base_url"]
        return ApiError(0, {"detail": f"no answer from {where}: {str(exc) or type(exc).__name__}"})

    def _wait(self, status: int, content: bytes, attempt: int) -> float | None:
        if attempt > self._retries:
            return None
        return calls.wait_before_retry(status, content, attempt, self._ids.uniform(0, 1))

    def _wait_unanswered(
        self, call: Call[T], exc: httpx.TransportError, attempt: int
    ) -> float | None:
        # Who could not even connect has sent nothing.
        may_be_repeated = call.is_repeatable or isinstance(exc, _NOT_SENT)
        return self._wait(0, b"", attempt) if may_be_repeated else None

    def _key(self, given: str | None) -> str:
        return given or self._ids.token()


class Client(
    _Base,
    RealtimeCalls,
    TopicCalls,
    PreferenceCalls,
    PresenceCalls,
    ActivityCalls,
    DashboardCalls,
    EventCalls,
    MessageCalls,
    SearchCalls,
    SuppressionCalls,
    ScheduleCalls,
    TemplateCalls,
    WorkflowCalls,
    BulkCalls,
    DeliveryCalls,
    PushCalls,
):
    """The client for programs without an event loop. One may be shared by threads."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._http = httpx.Client(transport=httpx.HTTPTransport(uds=self._socket), **self._options)

    def notify(
        self,
        recipients: Sequence[Recipient],
        title: str,
        *,
        body: str | None = None,
        data: Mapping[str, Any] | None = None,
        action_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Store a notification for each recipient and show it to those who are there.

        Args:
            recipients: Ids, or `{"id": …, "name"?, "email"?, "phone"?, "locale"?, "time_zone"?, "attributes"?}`, which are stored as well.
            title: One line.
            body: More text; shown as text, never as HTML.
            data: JSON for your own page.
            action_url: Where a click leads: http(s), mailto, or a path.
            idempotency_key: Makes calls from several processes one call; by default one is made for this call's retries.

        Raises:
            ApiError: The server refused it (`code`, `problem`), or could not be reached.
            TypeError: `recipients` is one text, not a list.
        """
        key = self._key(idempotency_key)
        return self.call(calls.notify(recipients, title, body, data, action_url, key))

    def call(self, call: Call[T]) -> T:
        """Make any call, with retries."""
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._http.request(**self._request(call))
                status, content = response.status_code, response.content
            except httpx.TransportError as exc:
                if (wait := self._wait_unanswered(call, exc, attempt)) is None:
                    raise self._unreachable(exc) from None  # it says what; the cause is forty lines
            else:
                if (wait := self._wait(status, content, attempt)) is None:
                    return call.read(status, content)
            pause(wait)

    def stream(self, call: Call[bytes]) -> Iterator[bytes]:
        """The answer of a call, piece by piece as it comes, without retries.

        Raises:
            ApiError: The server refused it, could not be reached, or broke off: then what was given is not all.
        """
        try:
            with self._http.stream(**self._request(call)) as response:
                if response.status_code >= 400:
                    call.read(response.status_code, response.read())
                yield from response.iter_bytes()
        except httpx.TransportError as exc:
            raise self._unreachable(exc) from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(
    _Base,
    AsyncRealtimeCalls,
    AsyncTopicCalls,
    AsyncPreferenceCalls,
    AsyncPresenceCalls,
    AsyncActivityCalls,
    AsyncDashboardCalls,
    AsyncEventCalls,
    AsyncMessageCalls,
    AsyncSearchCalls,
    AsyncSuppressionCalls,
    AsyncScheduleCalls,
    AsyncTemplateCalls,
    AsyncWorkflowCalls,
    AsyncBulkCalls,
    AsyncDeliveryCalls,
    AsyncPushCalls,
):
    """The client for asyncio; with `app`, for an ASGI application in this process."""

    def __init__(self, *args: Any, app: Any = None, **options: Any) -> None:
        super().__init__(*args, **options)
        transport = httpx.ASGITransport(app) if app else httpx.AsyncHTTPTransport(uds=self._socket)
        self._http = httpx.AsyncClient(transport=transport, **self._options)

    async def notify(
        self,
        recipients: Sequence[Recipient],
        title: str,
        *,
        body: str | None = None,
        data: Mapping[str, Any] | None = None,
        action_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """As `Client.notify`."""
        key = self._key(idempotency_key)
        return await self.call(calls.notify(recipients, title, body, data, action_url, key))

    def topic(
        self,
        name: str,
        *,
        filter: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        rewind: Mapping[str, int] | None = None,
        token: str | None = None,
        path: str = "/socket.io/",
    ) -> Topic:
        """A topic to follow, `async with`: its state, then every change in order, over breaks of the connection.

        Args:
            name: `kind:name`. With an API key it needs the scope `topics:read`.
            filter: Which publications and items, by their tags.
            params: For the kind.
            rewind: Of a stream, publications from before: `{"count": 10}`, `{"since_ms": …}`.
            token: For this topic alone.
            path: Of the Socket.IO endpoint (the server's `realtime.path`).
        """
        given = {"filter": filter, "params": params, "rewind": rewind, "token": token}
        wish = {name: value for name, value in given.items() if value is not None}
        return Topic(name, lambda: Line(self._http, path), wish, self._ids)

    async def call(self, call: Call[T]) -> T:
        """Make any call, with retries."""
        attempt = 0
        while True:
            attempt += 1
            try:
                request = self._request(call)
                if call.content:
                    request["content"] = _async(call.content())
                response = await self._http.request(**request)
                status, content = response.status_code, response.content
            except httpx.TransportError as exc:
                if (wait := self._wait_unanswered(call, exc, attempt)) is None:
                    raise self._unreachable(exc) from None
            else:
                if (wait := self._wait(status, content, attempt)) is None:
                    return call.read(status, content)
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


async def _async(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
