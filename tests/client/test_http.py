"""The Python SDK against a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from clarion.client import ApiError, AsyncClient, Client, bulk_calls, calls
from clarion.errors import Closed, UsageError
from tests.support.http_target import HttpTarget, target

__all__ = ["target"]
from tests.support.server import Server, free_port, running, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sdk")) as server:
        yield server


def test_a_notification_is_accepted_and_a_repeated_key_has_one_effect(server: Server) -> None:
    """The answer says that it is on disk."""
    with Client(server.url, key=server.key("notifications:send")) as clarion:
        first = clarion.notify([{"id": "ann", "name": "Ann"}], "Hello", idempotency_key="k1")
        again = clarion.notify([{"id": "ann", "name": "Ann"}], "Hello", idempotency_key="k1")
        other = clarion.notify(
            ["ann"],
            "Hello",
            body="More",
            data={"n": 1},
            action_url="/x",
            key="k",
            expires="1h",
            actions=[{"id": "a", "label": "A"}],
            tags=["a"],
        )
    assert (first.recipients, first.durability) == (1, "fsync")
    assert again == first
    assert other.id != first.id


def test_lines_of_an_answer_come_one_by_one(server: Server) -> None:
    """As many as there are; a key without the right is told at the first."""
    with Client(server.url, key=server.key("subscribers:*")) as clarion:
        job = clarion.import_subscribers([f"line-{n}" for n in range(3_000)])
        assert until(lambda: clarion.find_import(job.id).is_over)
        names = [each["id"] for each in clarion.export_subscribers()]
        assert sum(name.startswith("line-") for name in names) == 3_000
        assert [each.id for each in clarion.subscribers()] == names
    with Client(server.url, key=server.key("topics:read")) as clarion:
        lines = clarion.export_subscribers()
        with pytest.raises(ApiError) as refused:
            next(lines)
    assert refused.value.code == "forbidden"


async def test_lines_are_whole_however_they_travel() -> None:
    """A piece may end anywhere."""
    pieces = [b'{"id": "a"', b'}\n{"id": "b"}\n{', b'"id": "c"}', b"\n"]

    class Cut(Client):
        def stream(self, call: object) -> Iterator[bytes]:
            yield from pieces

    class AsyncCut(AsyncClient):
        async def stream(self, call: object) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

    with Cut() as one:
        assert [each["id"] for each in one.export_subscribers()] == ["a", "b", "c"]
    async with AsyncCut() as other:
        assert [each["id"] async for each in other.export_subscribers()] == ["a", "b", "c"]


async def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    """One set of calls, two clients."""
    async with AsyncClient(server.url, key=server.key("notifications:send")) as clarion:
        assert (await clarion.notify([{"id": "ben"}], "Hello")).recipients == 1


async def test_a_closed_client_says_that_it_is_closed() -> None:
    """In the SDK's words; nothing is sent."""
    one, other = Client("http://127.0.0.1:1"), AsyncClient("http://127.0.0.1:1")
    one.close()
    await other.close()
    with pytest.raises(Closed):
        one.notify(["ann"], "Hello")
    with pytest.raises(Closed):
        await other.notify(["ann"], "Hello")


async def test_whoever_follows_a_topic_of_a_client_that_is_closed_is_told(server: Server) -> None:
    """Who asks for a topic, who enters one, and who waits for its next change."""
    clarion = AsyncClient(server.url, key=server.key("topics:read", "notifications:read"))
    one, other = clarion.topic("job:none"), clarion.topic("presence:x")
    async with other:
        async with asyncio.timeout(30):
            ended, _ = await asyncio.gather(anext(other), clarion.close(), return_exceptions=True)
        assert isinstance(ended, Closed)
    with pytest.raises(Closed):
        await one.__aenter__()
    with pytest.raises(Closed):
        clarion.topic("presence:x")


def test_a_refusal_is_an_error_with_the_servers_code(server: Server) -> None:
    """Its name, its status, and where it was wrong."""
    clarion = Client(server.url, key=server.key("notifications:send"))
    with clarion, pytest.raises(ApiError) as caught:
        clarion.notify(["nobody-knows-them"], "Hello")
    assert (caught.value.status, caught.value.code) == (422, "invalid")
    assert caught.value.problem["errors"][0]["pointer"] == "/recipients/0"


def test_one_text_is_no_list_of_recipients(server: Server) -> None:
    """It would be taken for its letters."""
    with Client(server.url, key="x") as clarion, pytest.raises(TypeError, match="ann"):
        clarion.notify("ann", "Hello")


def test_no_answer_is_an_error_that_says_where(server: Server) -> None:
    """Nobody listens there."""
    clarion = Client(f"http://127.0.0.1:{free_port()}", key="x", retries=1)
    with clarion, pytest.raises(ApiError) as caught:
        clarion.notify(["ann"], "Hello")
    assert (caught.value.status, caught.value.code) == (0, "unreachable")


@pytest.mark.parametrize("url", ["nowhere", "ftp://a", "http://", "http://a..b", "http://" + "a" * 64,
                                 "http://[::", "http://xn--a", "http://a\nb", "http://a/" + "b" * 70_000])  # fmt: skip
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    """And not by whatever would have stumbled over it."""
    with pytest.raises(UsageError, match=r"url: .*is not an http"):
        Client(url)
    with pytest.raises(UsageError, match=r"url: .*is not an http"):
        AsyncClient(url)


@pytest.mark.parametrize("key", ["clk_ä", "clk_a\n", "clk_\x00"])
def test_what_is_no_key_is_said_and_not_shown(key: str) -> None:
    """A line feed would end the header that it stands in; it may be most of a real one."""
    with pytest.raises(UsageError) as caught:
        Client(key=key)
    assert caught.value.message == "key: this is no API key"


async def test_what_is_no_answer_of_clarions_is_an_error_that_says_so(target: HttpTarget) -> None:
    """Whatever it is: a page, other members, none, half a letter, brackets without end, a redirect."""
    others = [(200, b"<p>!"), (200, b"{}"), (200, b""), (200, b'{"id": "\xe9"}'), (301, b""),
              (200, b'{"items": ' + b"[" * 100_000), (500, b'{"x": "\xe9"}')]  # fmt: skip
    async with AsyncClient(target.url, key="x") as clarion:
        for status, body in others:
            target.answers = [(status, body)]
            with pytest.raises(ApiError) as caught:
                await clarion.notify(["ann"], "Hello")
            assert (caught.value.status, caught.value.code) == (status, "unreachable")
            assert status == 500 or target.url in caught.value.message
        target.answers = [(200, b"<p>!")]
        with pytest.raises(ApiError, match="not Clarion"):
            await anext(clarion.export_events())
    lines = bulk_calls.export(None, None, "ndjson")  # JSON is none
    with Client(target.url, key="x") as blocking:
        for call in (
            lambda: blocking.notify(["ann"], "Hello"),
            lambda: list(blocking.stream(lines)),
        ):
            with pytest.raises(ApiError, match="not Clarion"):
                await asyncio.to_thread(call)


def test_what_cannot_be_said_to_a_server_is_an_error(server: Server) -> None:
    """A header in another alphabet is the server's to judge; what is too long for an address was never sent."""
    with Client(server.url, key=server.key("notifications:send", "topics:*")) as clarion:
        with pytest.raises(ApiError) as caught:
            clarion.notify(["ann"], "Hello", idempotency_key="ключ")
        assert caught.value.status == 400
        with pytest.raises(ApiError, match="URL too long"):
            clarion.call(calls.list_rooms("x" * 70_000, None))


def test_only_what_may_succeed_later_is_repeated() -> None:
    """A refusal for lack of room, or silence; with the server's own delay, and spread."""
    assert calls.wait_before_retry(422, b"{}", 1, 0.5) is None
    assert calls.wait_before_retry(503, b'{"retry_after": 2}', 1, 0.5) == 2.5
    assert calls.wait_before_retry(429, b'{"retry_after": 1000}', 1, 0.5) == 30
    assert (
        0
        < (calls.wait_before_retry(0, b"", 1, 0.0) or 0)
        < (calls.wait_before_retry(0, b"", 3, 1.0) or 0)
    )
    assert calls.wait_before_retry(503, b"<html>", 1, 0.5) is not None


def test_an_id_names_nothing_but_a_key() -> None:
    """What is in it cannot lead to another address."""
    assert calls.revoke_key("../auth/me?x#y").path == "/v1/keys/..%2Fauth%2Fme%3Fx%23y"
