"""Two processes that form one server over a real Redis and a real database, with the unchanged JavaScript client."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.official import official
from tests.support.redis_server import RedisServer
from tests.support.server import Server, clarion, running
from tests.support.services import Postgres

SECRET = "the secret of both processes, of 32 bytes or more"
APP = """
from clarion.topics import SignedIn

def setup(app):
    app.topics.add("log", "stream", rights={"subscribe": SignedIn()})
"""
SAID = "/v1/topics/log%3Aa/publications"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """One that a test may hurt."""
    made = RedisServer()
    yield made
    made.remove()


@pytest.fixture
async def both(
    tmp_path: Path, redis: RedisServer, postgres: Postgres
) -> AsyncIterator[tuple[Server, Server]]:
    """Two processes, each with a folder of its own."""
    settings = {
        "CLARION_REDIS_URL": redis.url,
        "CLARION_DATABASE_URL": await postgres.new_database(),
        "CLARION_AUTH_TOKEN_SECRET": SECRET,
        "CLARION_PRESENCE_OPEN": "lobby",
    }
    with ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "logs.py").write_text(APP)
            servers.append(stack.enter_context(running(folder, "--app", "logs:setup", **settings)))
        yield servers[0], servers[1]


async def test_two_processes_are_one_server(
    both: tuple[Server, Server], redis: RedisServer
) -> None:
    """What is published on one reaches the subscriber of the other, in order and once; counting, ending and blocking reach it, too.

    Without Redis each call is refused in time. When it comes back without its last second, the subscriber is told to take the state anew.
    """
    one, two = both
    token = one.register("ann")["access_token"]
    key = two.key("topics:*", "users:*", "realtime:*")

    def say(what: Any) -> Any:
        return two.post(SAID, {"event": "said", "data": what}, token=key)

    async with official("processes.mjs", one.port, token) as facts:
        assert await anext(facts) == ("subscribed", [False, None])
        for number in range(20):
            assert say(number).json()["class"] == "recoverable"
        assert [await anext(facts) for _ in range(20)] == [("said", n) for n in range(20)]
        counted = two.get("/v1/topics/log%3Aa/occupancy", token=key).json()
        assert counted == {"topic": "log:a", "subscriptions": 1, "users": 1, "complete": True}

        [socket] = two.get("/v1/users/ann/sockets", token=key).json()["items"]
        assert (socket["user"], socket["transport"]) == ("ann", "websocket")
        assert two.get(f"/v1/sockets/{socket['id']}", token=key).json() == socket
        body = {"sockets": [socket["id"]], "namespace": "/clarion"}
        assert two.post("/v1/rooms/vip/join", body, token=key).json() == {"sockets": 1}
        [found] = two.get("/v1/rooms/vip/sockets", token=key).json()["items"]
        assert (found["id"], found["rooms"]) == (socket["id"], ["vip"])
        stranger = one.get("/v1/rooms/vip/sockets", token=token)
        assert stranger.status_code == 403

        def present() -> list[str]:
            """Who the other process says is in the room."""
            items = two.get("/v1/presence/lobby", token=key).json().get("items", [])
            return [item["user"] for item in items]

        while present() != ["ann"]:  # at the next tick
            pass
        redis.backup()
        say("lost")
        assert await anext(facts) == ("said", "lost")
        say("go")
        assert await anext(facts) == ("said", "go")
        redis.kill()
        refused = say("to nobody")  # the client waits for five seconds at most
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["code"] in {"unavailable", "outcome_unknown"}
        assert two.get("/v1/topics/log%3Aa/occupancy", token=key).status_code == 503
        assert two.get("/livez").status_code == 200
        assert await anext(facts) == ("refused", "unavailable")

        redis.start()
        assert await anext(facts) == ("unsubscribed", 3010)
        fact, (recovered, reason) = await anext(facts)
        assert (fact, recovered) == ("subscribed", False)
        assert reason == "diverged"
        said = say("again")
        while said.status_code == 503:
            said = say("again")
        assert await anext(facts) == ("said", "again")

        def end() -> Any:
            return two.post("/v1/users/ann/unsubscribe", {"topic": "log:a"}, token=key)

        ended = end()
        while ended.status_code == 503:  # until both hear each other again
            ended = end()
        assert (ended.status_code, ended.json()) == (200, {"subscriptions": 1})
        assert await anext(facts) == ("unsubscribed", 3500)
        assert (await anext(facts))[0] == "subscribed"
        assert present() == ["ann"]
        assert two.put("/v1/users/ann/block", {}, token=key).status_code == 200
        assert await anext(facts) == ("disconnected", "io server disconnect")
        assert one.get(SAID, token=token).status_code in {401, 403}
    for server in both:
        assert "Traceback" not in server.log


async def test_a_process_of_another_server_is_refused(
    tmp_path: Path, redis: RedisServer, postgres: Postgres
) -> None:
    """Two on SQLite have two databases: the second says in one line what is missing."""
    with running(tmp_path, CLARION_REDIS_URL=redis.url):
        env = {"CLARION_REDIS_URL": redis.url, "CLARION_PORT": "0"}
        done = clarion("serve", env=env | {"CLARION_DATA_DIR": str(tmp_path / "other")})
    assert done.returncode == 2
    assert "the same database_url" in done.stderr
    assert "Traceback" not in done.stderr
