"""A subscription in Python: the state, each change once, over breaks; and an error that says what ended it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clarion.client import ApiError, AsyncClient, Change, Topic
from clarion.topics import Granted, SignedIn
from tests.api.live import Live, lively


async def after(topic: Topic, count: int) -> list[Change]:
    """The next changes."""
    async with asyncio.timeout(30):
        return [await anext(topic) for _ in range(count)]


def put_out(live: Live) -> None:
    """End every session."""
    for socket in list(live.app.io.of("/clarion").sockets.values()):
        socket.disconnect(close=True)


def shown(changes: list[Change]) -> list[Any]:
    return [(change.event, change.key, change.data) for change in changes]


@pytest.fixture
async def live(tmp_path: Path) -> Any:
    async with lively(tmp_path) as live:
        live.app.topics.add("board", "map", rights={"subscribe": SignedIn()}, keys=3_000)
        live.app.topics.add("news", "stream", rights={"subscribe": SignedIn()})
        live.app.topics.add("closed", "map", rights={"subscribe": Granted()})
        yield live


def client(live: Live, key: str) -> AsyncClient:
    return AsyncClient(app=live.app.asgi, key=key)


async def test_a_large_map_a_filter_and_a_break(live: Live) -> None:
    """All pages; patches; only what the filter takes; a connection that the server ends is made anew, and nothing is missed."""
    board = live.app.topics.of("board:x")
    for n in range(1_100):
        await board.set(f"{n:04}", {"n": n, "same": "x" * 50}, tags={"odd": str(n % 2)})
    async with (
        client(live, live.token("ann")) as clarion,
        clarion.topic("board:x") as whole,
        clarion.topic("board:x", filter={"odd": "1"}) as odd,
    ):
        assert (len(whole.items), len(odd.items)) == (1_100, 550)
        await board.set("0001", {"n": -1, "same": "x" * 50}, tags={"odd": "1"})
        await board.set("0002", {"n": -2, "same": "x" * 50}, tags={"odd": "0"})
        assert [change.data["n"] for change in await after(whole, 2)] == [-1, -2]
        assert [change.key for change in await after(odd, 1)] == ["0001"]
        put_out(live)
        await board.remove("0003")
        assert shown(await after(whole, 1)) == [("remove", "0003", None)]
        assert shown(await after(odd, 1)) == [("remove", "0003", None)]
        assert len(whole.items) == 1_099
        await board.kind.log.clear(board.topic)  # type: ignore[attr-defined]
        await board.set("again", 1)
        put_out(live)
        assert [change.event for change in await after(whole, 1)] == ["snapshot"]
        assert dict(whole.items) == {"again": 1}


async def test_a_stream_is_rewound_and_each_event_told_once(live: Live) -> None:
    """Those from before the subscription, then what comes."""
    news = live.app.topics.of("news:x")
    for n in range(5):
        await news.publish("posted", n)
    async with (
        client(live, live.token("ann")) as clarion,
        clarion.topic("news:x", rewind={"count": 2}) as topic,
    ):
        await news.publish("posted", 5)
        assert [change.data for change in await after(topic, 3)] == [3, 4, 5]


async def test_what_is_refused_is_an_error_with_the_servers_code(live: Live) -> None:
    """A bad credential, a topic that is not theirs, a key without its scope, no server; and a subscription that is ended."""
    made = await live.back_end(scopes=["realtime:read"])
    powerless = made.headers["authorization"].removeprefix("Bearer ")
    ann = live.token("ann")
    for key, topic, code in (
        ("nonsense", "board:x", "unauthenticated"),
        (ann, "closed:x", "forbidden"),
        (ann, "nothing:x", "not_found"),
        (powerless, "board:x", "forbidden"),
    ):
        async with client(live, key) as clarion:
            with pytest.raises(ApiError) as caught:
                await clarion.topic(topic).__aenter__()
            assert caught.value.code == code
    async with AsyncClient("http://127.0.0.1:9", key=ann) as clarion:
        with pytest.raises(ApiError) as caught:
            await clarion.topic("board:x").__aenter__()
        assert caught.value.code == "unreachable"
    async with client(live, ann) as clarion, clarion.topic("board:x") as topic:
        live.app.engine.end_of_user("default", "ann")
        with pytest.raises(ApiError) as caught:
            await after(topic, 1)
        assert caught.value.code == "revoked"
