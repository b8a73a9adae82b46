"""The Python SDK against a real server."""

from collections.abc import Iterator

import pytest

from clarion.client import ApiError, AsyncClient, Client, calls
from tests.support.server import Server, free_port, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sdk")) as server:
        yield server


def test_a_notification_is_accepted_and_a_repeated_key_has_one_effect(server: Server) -> None:
    """The answer says that it is on disk."""
    with Client(server.url, key=server.key("notifications:send")) as clarion:
        first = clarion.notify([{"id": "ann", "name": "Ann"}], "Hello", idempotency_key="k1")
        again = clarion.notify([{"id": "ann", "name": "Ann"}], "Hello", idempotency_key="k1")
        other = clarion.notify(["ann"], "Hello", body="More", data={"n": 1}, action_url="/x")
    assert (first.recipients, first.durability) == (1, "fsync")
    assert again == first
    assert other.id != first.id


async def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    """One set of calls, two clients."""
    async with AsyncClient(server.url, key=server.key("notifications:send")) as clarion:
        assert (await clarion.notify([{"id": "ben"}], "Hello")).recipients == 1


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
