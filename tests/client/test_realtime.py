"""The Python SDK speaks to sockets."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clarion.client import ApiError, AsyncClient, Client
from tests.api.live import NAMESPACE, lively
from tests.support.server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sdk")) as server:
        yield server


async def test_events_rooms_and_disconnects(tmp_path: Path) -> None:
    """What each call says happens to the sockets that it names."""
    async with lively(tmp_path) as live:
        ann, again, ben = [await live.guest(who) for who in ("ann", "ann", "ben")]
        key = (await live.back_end()).headers["authorization"].removeprefix("Bearer ")
        there = {"namespace": NAMESPACE}
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            emitted = await clarion.emit_to_user("ann", "a", 1, "x", **there)
            assert (emitted.sockets, emitted.durability) == (2, "ephemeral")
            assert (await clarion.join_room("x/y", users=["ann"], sockets=[ben.sid], **there)) == 3
            assert (await clarion.leave_room("x/y", sockets=[again.sid], **there)) == 1
            sent = await clarion.emit_to_room("x/y", "b", except_=["user:ben"], **there)
            assert sent.sockets == 1
            assert (await clarion.emit_to_socket(ben.sid, "c", volatile=True)).sockets == 1
            assert (await clarion.broadcast("d", **there)).sockets == 3
            assert await ann.heard() == [["a", 1, "x"], ["b"], ["d"]]
            assert await again.heard() == [["a", 1, "x"], ["d"]]
            assert await ben.heard() == [["c"], ["d"]]
            rooms = await clarion.rooms(NAMESPACE)
            assert [(room.name, room.sockets) for room in rooms] == [("x/y", 2)]
            inside = await clarion.sockets_of_room("x/y")
            assert {each.id: each.user for each in inside} == {ann.sid: "ann", ben.sid: "ben"}
            await clarion.disconnect_socket(ben.sid, close=True)
            assert await clarion.sockets_of_user("ben") == []
            assert await clarion.disconnect_user("ann") == 2


async def test_lists_are_whole_however_many_pages_they_have(tmp_path: Path) -> None:
    """More rooms than a page holds."""
    async with lively(tmp_path) as live:
        ann = await live.guest("ann")
        live.app.io.of(NAMESPACE).sockets[ann.sid].join(*(f"room {n}" for n in range(1001)))
        key = (await live.back_end()).headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            assert len(await clarion.rooms(NAMESPACE)) == 1001


def test_no_name_leads_to_another_address(server: Server) -> None:
    """A room, a user or a socket of any name is asked for by that name; the client that blocks has the same calls."""
    with Client(server.url, key=server.key("realtime:*")) as clarion:
        for name in ("..", ".", "a/../b", "a?b#c", "%2e%2e", "x/emit"):
            assert clarion.emit_to_room(name, "x").sockets == 0
            assert clarion.emit_to_user(name, "x").sockets == 0
            assert clarion.broadcast("x").sockets == 0
            assert clarion.join_room(name, users=[name]) == 0
            assert clarion.leave_room(name, users=[name]) == 0
            assert clarion.rooms() == clarion.sockets_of_room(name) == []
            assert clarion.sockets_of_user(name) == []
            assert clarion.disconnect_user(name, namespace="/", close=True) == 0
            for call in (clarion.disconnect_socket, lambda id: clarion.emit_to_socket(id, "x")):
                with pytest.raises(ApiError) as caught:
                    call(name)
                assert caught.value.status in {404, 405}


def test_one_text_is_no_list() -> None:
    """It would be taken for its letters."""
    with Client(key="x") as clarion:
        with pytest.raises(TypeError, match="lobby"):
            clarion.broadcast("x", except_="lobby")
        with pytest.raises(TypeError, match="lists"):
            clarion.join_room("x", users="ann")


def test_an_event_is_not_sent_twice_where_no_answer_came() -> None:
    """It may have been sent; a call that may be repeated is tried again on such a server."""
    with _hanging_up() as (url, asked), Client(url, key="x", retries=1) as clarion:
        with pytest.raises(ApiError) as caught:
            clarion.broadcast("x")
        assert (caught.value.status, len(asked)) == (0, 1)
        with pytest.raises(ApiError):
            clarion.rooms()
        assert len(asked) == 3


@contextlib.contextmanager
def _hanging_up() -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes each request and hangs up."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as connection:
                        asked.append(connection.recv(65536))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listening.getsockname()
        yield f"http://{host}:{port}", asked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_who_was_not_reached_is_tried_again() -> None:
    """Nothing was sent where there was no connection: so an event may be repeated."""
    tries: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.ConnectError("refused")

    with Client("http://127.0.0.1:1", key="x", retries=1) as clarion:
        clarion._http = httpx.Client(transport=httpx.MockTransport(refuse), base_url="http://x")
        with pytest.raises(ApiError):
            clarion.broadcast("x")
    assert len(tries) == 2
