"""Two engines over one Redis, which is all that they share beside the database: they agree, and a dead one leaves no ghost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import RedisBus
from clarion.ids import Ids
from clarion.settings import Presence as Settings
from clarion.topics.books import channel
from clarion.topics.stores.redis import RedisStore
from tests.features.presence.house import Client, Node, Shared
from tests.support.official import official
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.services import Postgres


class OverRedis(Shared):
    """A client, a bus and a store for each node."""

    def __init__(self, server: RedisServer, prefix: str) -> None:
        super().__init__()
        self.server, self.prefix = server, prefix
        self.buses: dict[str, RedisBus] = {}
        self.clients: dict[str, RedisClient] = {}

    def bus_of(self, node: str) -> RedisBus:
        if node not in self.buses:
            self.buses[node] = RedisBus(self.server.url, ids=Ids(), prefix=self.prefix)
        return self.buses[node]

    def store_of(self, node: str) -> RedisStore:
        client = self.clients[node] = RedisClient(self.server.url, ids=Ids())
        bus = self.bus_of(node)
        return RedisStore(
            client,
            clock=self.clock,
            ids=Ids(),
            prefix=self.prefix,
            channel=lambda topic: bus.name_of(channel(topic)),
        )

    async def cut_off(self, node: str) -> None:
        """A node is no more: it says no good-bye."""
        await self.buses.pop(node).close()
        await self.clients.pop(node).close()

    async def close(self) -> None:
        for node in list(self.buses):
            await self.cut_off(node)
        await super().close()


@asynccontextmanager
async def two(server: RedisServer, prefix: str) -> AsyncIterator[tuple[Node, Node]]:
    shared = OverRedis(server, prefix)
    made = Node(shared, "aaaa", Settings()), Node(shared, "bbbb", Settings())
    for node, bus in zip(made, shared.buses.values(), strict=True):
        await bus.start()
        await node.presence.begin()
    try:
        yield made
    finally:
        for node in made:
            await node.close()
        await shared.close()


async def until(nodes: tuple[Node, ...], check: Callable[[], bool]) -> None:
    """Let nodes work until something is so."""
    async with asyncio.timeout(10):
        while not check():
            for node in nodes:
                await node.tick()
            await asyncio.sleep(0.005)


async def statuses(node: Node) -> list[tuple[str, int]]:
    found = await node.presence.status("default", ["ann", "ben"])
    return [(each.status, len(each.devices)) for each in found]


async def count(client: Client) -> Any:
    answer = await client.watch(params={"mode": "count"})
    return answer["snapshot"]["items"][0]["data"]


async def test_engines_agree_and_a_dead_one_leaves_no_ghost(redis_server: RedisServer) -> None:
    """Rooms, numbers, statuses, contacts and locks are the same whatever node is asked, and what the dead node had goes from all of them, once."""
    async with two(redis_server, "presence") as (one, two_):
        both = one, two_
        await one.presence.people.change_contacts("default", "w", ["ann", "ben"], [])
        watchers = [node.connect("w") for node in both]
        friend = one.connect("w")
        await one.tick()
        for watcher in watchers:
            await watcher.watch()
        await friend.follow()
        ann, ben, also_ann = one.connect("ann"), two_.connect("ben"), two_.connect("ann")
        await ann.enter(data={"n": 1.5})
        await ben.enter(device="phone")
        await also_ann.enter(status="idle", device="phone")
        lock = {"event": "lock", "key": "x"}
        assert "error" not in await ben.ask("publish", "signals:doc", **lock)
        assert (await ann.error("publish", "signals:doc", **lock))["code"] == "conflict"
        seen: list[Any] = []

        def all_see(names: list[str], devices: int) -> bool:
            seen.extend(watcher.heard() for watcher in [*watchers, friend])
            states = [watcher.state for watcher in watchers]
            return (
                all(sorted(state) == names for state in states)
                and all(len(state["ann"]["devices"]) == devices for state in states)
                and sorted(friend.state) == sorted([*names, "w"])
                and len(friend.state["ann"]["devices"]) == devices
            )

        await until(both, lambda: all_see(["ann", "ben"], 2))
        for node, watcher in zip(both, watchers, strict=True):
            assert await node.members() == watcher.state
            assert await statuses(node) == [("online", 2), ("online", 1)]
            assert await count(node.connect("c")) == 2
        assert watchers[0].state["ann"]["data"] == {"n": 1.5}
        # The second node is never heard of again.
        shared = one.shared
        assert isinstance(shared, OverRedis)
        await shared.cut_off("bbbb")
        watchers.pop().disconnect()
        for _ in range(7):
            await one.beat(5)
        await until((one,), lambda: all_see(["ann"], 1))
        assert await statuses(one) == [("online", 1), ("offline", 0)]
        assert await count(one.connect("c")) == 1
        assert "error" not in await ann.ask("publish", "signals:doc", **lock)
        late = one.connect("late")
        await late.watch()
        assert late.state == await one.members()


async def test_a_redis_that_was_lost_is_filled_again() -> None:
    """It comes back empty; everybody who is there is there."""
    server = RedisServer()
    try:
        async with two(server, "lost") as (one, two_):
            ann = one.connect("ann")
            await ann.enter()
            await two_.connect("ben").enter()
            before = await one.members()
            assert sorted(before) == ["ann", "ben"]
            shared = one.shared
            assert isinstance(shared, OverRedis)
            client = shared.clients["aaaa"]
            await client.call(b"x", "FLUSHALL", is_write=True)
            assert await one.members() == {}
            for node in (one, two_):
                await node.beat(5)
            assert await one.members() == before
    finally:
        server.remove()


async def test_processes_agree_and_a_killed_one_leaves_no_ghost(
    tmp_path: Path, redis_server: RedisServer, postgres: Postgres
) -> None:
    """With the unchanged client: what a killed process had goes after its lease and the grace period, and it is known when that was."""
    settings = {
        "CLARION_REDIS_URL": redis_server.url,
        "CLARION_DATABASE_URL": await postgres.new_database(),
        "CLARION_AUTH_TOKEN_SECRET": "the secret of both processes, of 32 bytes or more",
        "CLARION_PRESENCE_OPEN": "lobby",
        "CLARION_PRESENCE_LEASE_S": "1.5",
        "CLARION_PRESENCE_GRACE_S": "0.5",
        "CLARION_LIMITS_DRAIN_S": "0.5",
    }
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            servers.append(Server(tmp_path / name, **settings))
            stack.enter_context(contextlib.closing(servers[-1].start()))
        one, two_ = servers
        tokens = [one.register(name)["access_token"] for name in ("ann", "ben")]
        one.post("/v1/users/ann/contacts", {"add": ["ben"]}, token=tokens[0])
        told = {}
        args = tokens[0], two_.url, tokens[1]
        async with official("presence_processes.mjs", one.port, *args) as facts:
            async for fact, value in facts:
                told[fact] = value
                if fact == "kill":
                    two_.kill()
        assert told["entered"] == [["contacts", "enter", "ben"], ["presence", "enter", "ben"]]
        assert told["killed"] == [
            ["contacts", "remove", "ben", "left"],
            ["presence", "remove", "ben", "lost"],
        ]
        answer = one.post("/v1/presence/status", {"users": ["ann", "ben"]}, token=tokens[0])
        ann, ben = answer.json()["items"]
        assert (ann["status"], ben["status"]) == ("online", "offline")
        assert ann["connected_since"] < ben["last_seen"] < ann["last_seen"]
        assert "Traceback" not in one.log + two_.log
