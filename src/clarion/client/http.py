"""The two clients: one that blocks, one for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

import httpx

from clarion.client import calls
from clarion.client.activity import ActivityCalls, AsyncActivityCalls
from clarion.client.audiences import AsyncAudienceCalls, AudienceCalls
from clarion.client.base import UNANSWERED, Base
from clarion.client.bulk import AsyncBulkCalls, BulkCalls
from clarion.client.calling import in_turn
from clarion.client.calls import Accepted, Call, Recipient
from clarion.client.dashboards import AsyncDashboardCalls, DashboardCalls
from clarion.client.delivery import AsyncDeliveryCalls, DeliveryCalls
from clarion.client.events import AsyncEventCalls, EventCalls
from clarion.client.imports import AsyncImportCalls, ImportCalls
from clarion.client.line import Line
from clarion.client.messages import AsyncMessageCalls, MessageCalls
from clarion.client.preferences import AsyncPreferenceCalls, PreferenceCalls
from clarion.client.presence import AsyncPresenceCalls, PresenceCalls
from clarion.client.push import AsyncPushCalls, PushCalls
from clarion.client.realtime import AsyncRealtimeCalls, RealtimeCalls
from clarion.client.schedules import AsyncScheduleCalls, ScheduleCalls
from clarion.client.search import AsyncSearchCalls, SearchCalls
from clarion.client.subscribers import AsyncSubscriberCalls, SubscriberCalls
from clarion.client.subscription import Topic
from clarion.client.suppressions import AsyncSuppressionCalls, SuppressionCalls
from clarion.client.templates import AsyncTemplateCalls, TemplateCalls
from clarion.client.topics import AsyncTopicCalls, TopicCalls
from clarion.client.workflows import AsyncWorkflowCalls, WorkflowCalls
from clarion.clock import pause

T = TypeVar("T")


class Client(
    Base,
    RealtimeCalls,
    TopicCalls,
    PreferenceCalls,
    PresenceCalls,
    ActivityCalls,
    AudienceCalls,
    DashboardCalls,
    EventCalls,
    MessageCalls,
    SearchCalls,
    SuppressionCalls,
    ScheduleCalls,
    SubscriberCalls,
    TemplateCalls,
    WorkflowCalls,
    BulkCalls,
    ImportCalls,
    DeliveryCalls,
    PushCalls,
):
    """The client for programs without an event loop. One may be shared by threads."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._http: httpx.Client = httpx.Client(
            transport=httpx.HTTPTransport(uds=self._socket), **self._options
        )

    def notify(
        self,
        recipients: Sequence[Recipient],
        title: str,
        *,
        body: str | None = None,
        data: Mapping[str, Any] | None = None,
        action_url: str | None = None,
        category: str | None = None,
        key: str | None = None,
        quiet: bool | None = None,
        expires: str | None = None,
        actions: Sequence[Mapping[str, str]] | None = None,
        tags: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Store a notification for each recipient and show it to those who are there.

        Args:
            recipients: Ids, or `{"id": …, "name"?, "email"?, "phone"?, "locale"?, "time_zone"?, "attributes"?}`, which are stored as well.
            title: One line.
            body: More text; shown as text, never as HTML.
            data: JSON for your own page.
            action_url: Where a click leads: http(s), mailto, or a path.
            category: What it is about, as people's preferences name it.
            key: Takes the place of the earlier message of this key in each inbox, on top and unread: `upload 40 % … done`.
            quiet: In that place it is read, seen, pinned, archived or snoozed if the earlier one was.
            expires: When it goes by itself: after a span (`2h`), or at a time (RFC 3339, with its zone).
            actions: Up to five buttons, `{"id", "label", "url"?, "style"?: "default" | "primary" | "danger"}`; one of them is pressed, once.
            tags: Up to eight words that it is filed under; lists and counts of an inbox narrow by one.
            idempotency_key: Makes calls from several processes one call; by default one is made for this call's retries.

        Raises:
            ApiError: The server refused it (`code`, `problem`), or could not be reached.
            TypeError: `recipients` is one text, not a list.
        """
        once = self._key(idempotency_key)
        more = {
            "category": category,
            "key": key,
            "quiet": quiet,
            "expires": expires,
            "actions": actions,
            "tags": tags,
        }
        return self.call(calls.notify(recipients, title, body, data, action_url, once, **more))

    def call(self, call: Call[T]) -> T:
        """Make any call, with retries."""
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._http.request(**self._request(call))
                status, content = response.status_code, response.content
            except UNANSWERED as exc:
                if (wait := self._wait_unanswered(call, exc, attempt)) is None:
                    raise self._unreachable(exc) from None  # it says what; the cause is forty lines
            else:
                if (wait := self._wait(status, content, attempt)) is None:
                    return call.read(status, content, self._where)
            pause(wait)

    def stream(self, call: Call[bytes]) -> Iterator[bytes]:
        """The answer of a call that says what it accepts, piece by piece as it comes, without retries.

        Raises:
            ApiError: The server refused it, could not be reached, or broke off: then what was given is not all.
        """
        try:
            with self._http.stream(**self._request(call)) as response:
                if response.status_code >= 300:
                    call.read(response.status_code, response.read(), self._where)
                self._check_media(call, response)
                yield from response.iter_bytes()
        except UNANSWERED as exc:
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
    Base,
    AsyncRealtimeCalls,
    AsyncTopicCalls,
    AsyncPreferenceCalls,
    AsyncPresenceCalls,
    AsyncActivityCalls,
    AsyncAudienceCalls,
    AsyncDashboardCalls,
    AsyncEventCalls,
    AsyncMessageCalls,
    AsyncSearchCalls,
    AsyncSuppressionCalls,
    AsyncScheduleCalls,
    AsyncSubscriberCalls,
    AsyncTemplateCalls,
    AsyncWorkflowCalls,
    AsyncBulkCalls,
    AsyncImportCalls,
    AsyncDeliveryCalls,
    AsyncPushCalls,
):
    """The client for asyncio; with `app`, for an ASGI application in this process."""

    def __init__(self, *args: Any, app: Any = None, **options: Any) -> None:
        super().__init__(*args, **options)
        transport = httpx.ASGITransport(app) if app else httpx.AsyncHTTPTransport(uds=self._socket)
        self._followed: WeakSet[Topic] = WeakSet()
        self._http: httpx.AsyncClient = httpx.AsyncClient(transport=transport, **self._options)

    async def notify(
        self,
        recipients: Sequence[Recipient],
        title: str,
        *,
        body: str | None = None,
        data: Mapping[str, Any] | None = None,
        action_url: str | None = None,
        category: str | None = None,
        key: str | None = None,
        quiet: bool | None = None,
        expires: str | None = None,
        actions: Sequence[Mapping[str, str]] | None = None,
        tags: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """As `Client.notify`."""
        once = self._key(idempotency_key)
        more = {
            "category": category,
            "key": key,
            "quiet": quiet,
            "expires": expires,
            "actions": actions,
            "tags": tags,
        }
        return await self.call(
            calls.notify(recipients, title, body, data, action_url, once, **more)
        )

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

        Raises:
            Closed: This client was closed. Who follows a topic when it is closed gets it from the iteration.
        """
        self._check_open()
        given = {"filter": filter, "params": params, "rewind": rewind, "token": token}
        wish = {name: value for name, value in given.items() if value is not None}
        topic = Topic(name, lambda: self._line(path), wish, self._ids)
        self._followed.add(topic)
        return topic

    def _line(self, path: str) -> Line:
        self._check_open()
        return Line(self._http, path)

    async def call(self, call: Call[T]) -> T:
        """Make any call, with retries."""
        attempt = 0
        while True:
            attempt += 1
            try:
                request = self._request(call)
                if call.content:
                    request["content"] = in_turn(call.content())
                response = await self._http.request(**request)
                status, content = response.status_code, response.content
            except UNANSWERED as exc:
                if (wait := self._wait_unanswered(call, exc, attempt)) is None:
                    raise self._unreachable(exc) from None
            else:
                if (wait := self._wait(status, content, attempt)) is None:
                    return call.read(status, content, self._where)
            await asyncio.sleep(wait)

    async def stream(self, call: Call[bytes]) -> AsyncIterator[bytes]:
        """As `Client.stream`."""
        try:
            async with self._http.stream(**self._request(call)) as response:
                if response.status_code >= 300:
                    call.read(response.status_code, await response.aread(), self._where)
                self._check_media(call, response)
                async for piece in response.aiter_bytes():
                    yield piece
        except UNANSWERED as exc:
            raise self._unreachable(exc) from None

    async def close(self) -> None:
        """Close the connections, and those of topics that are followed."""
        self._is_closed = True
        for topic in list(self._followed):
            await topic.close()
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
