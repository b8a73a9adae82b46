"""Scenario `inbox`: everybody ends with the state that is stored, whatever happened on the way.

Clients follow inboxes and come back with their position after cuts; the node crashes, announcements get lost, in some seeds the
disk is put back to an earlier state. Oracles, after a time of quiet:

- each client's snapshot with its publications on it equals a fresh snapshot, and stands at the log's top
- offsets rose by one; what a client took since its last snapshot is in the log, with equal marks
- what the log keeps has no gap, and its marks are a chain
- what was accepted is stored (unless the disk was put back)

In some seeds the logs are kept short, so that who comes back late must be told so.

A fourth of the seeds are calm: no trouble, one writer per inbox. There nobody may need to recover anything: that shows a
defence that hides another's failure.
"""

import asyncio
import functools
from typing import Any
from unittest.mock import patch

import msgspec

import clarion.notifications.inbox.inbox
from clarion.notifications.log import LOG_SIZE, WINDOW, InboxLog, topic_of
from clarion.settings import Limits
from clarion.topics.kinds import Read, Snapshot
from tests.simulation.node import PORT
from tests.simulation.oracles import NOTIFICATIONS, check_chain
from tests.simulation.view import View
from tests.simulation.wire import Wire
from tests.simulation.world import NODE, QUIET_S, World
from tests.support.simulation import SimLoop

USERS = ("ann", "bob")
FOLLOWERS = 2  # of each user
CHANGES = 12  # by each writer
CATEGORY = "news"
TAG = "urgent"
SHORT_LOG = 5  # entries that are kept, in some seeds
FEW = 8  # publications that may be recovered, in some seeds
PRELOADED = WINDOW + 2  # messages, in some inboxes: more than the window


class Follower:
    """One client that follows one inbox."""

    def __init__(self, world: World, name: str, user: str) -> None:
        self.world, self.name, self.user = world, name, user
        self.position: dict[str, Any] | None = None
        self.view: View | None = None
        self.taken: dict[int, dict[str, Any]] = {}
        """Publications since the last snapshot, by offset."""
        self.times_ended = 0

    async def main(self) -> None:
        """Follow until the end of the world."""
        await asyncio.sleep(self.world.rng.uniform(0, 3))
        while True:
            try:
                wire = await Wire.dial(self.world.network, NODE, PORT)
                try:
                    await self._converse(wire)
                finally:
                    wire.close()
            except OSError:
                await asyncio.sleep(self.world.rng.random())

    async def _converse(self, wire: Wire) -> None:
        wire.send({"user": self.user, "kind": "user"})
        self._subscribe(wire)
        while True:
            match await wire.receive():
                case {"answer": {"error": error}}:
                    # Only a failing store refuses; there is another try then.
                    if error["code"] not in {"closed", "unavailable"}:
                        self.world.blame(f"{self.name}: subscribe was answered {error}")
                    raise ConnectionResetError
                case {"answer": answer}:
                    self._answered(answer)
                case {"event": "publication", "data": publication}:
                    self._take(publication)
                case {"event": "unsubscribed"}:
                    self.times_ended += 1
                    self._subscribe(wire)

    def _subscribe(self, wire: Wire) -> None:
        args: dict[str, Any] = {"topic": f"inbox:{self.user}"}
        if self.position is not None:
            args["since"] = self.position
        wire.send({"id": 0, "do": "subscribe", "args": args})

    def _answered(self, answer: dict[str, Any]) -> None:
        if answer["recovered"]:
            for publication in answer["publications"]:
                self._take(publication)
        else:
            self.view = View(answer["snapshot"])
            self.taken = {}
        position = {key: answer[key] for key in ("epoch", "offset", "mark")}
        if answer["recovered"] and position != self.position:
            self.world.blame(f"{self.name}: recovered to {self.position}, told {position}")
        self.position = position

    def _take(self, publication: dict[str, Any]) -> None:
        if self.position is None or self.view is None:
            self.world.blame(f"{self.name}: {publication['offset']} before any snapshot")
            raise ConnectionResetError
        if publication["offset"] != self.position["offset"] + 1:
            self.world.blame(f"{self.name}: {publication['offset']} after {self.position}")
        self.view.apply(publication["event"], publication["data"])
        self.taken[publication["offset"]] = publication
        self.position = {**self.position, **{k: publication[k] for k in ("offset", "mark")}}


class Writers:
    """Those who change inboxes: a back end that sends, and people who read and put away."""

    def __init__(self, world: World, followers: list[Follower], *, is_calm: bool) -> None:
        self._world, self._followers, self._is_calm = world, followers, is_calm
        self.accepted: list[str] = []

    async def preload(self, user: str) -> None:
        """Fill an inbox beyond its window."""
        await asyncio.gather(*(self._send(f"{user} {n}", [user]) for n in range(PRELOADED)))

    async def main(self, name: str, user: str) -> None:
        """Change a user's inbox a few times."""
        rng = self._world.rng
        for n in range(CHANGES):
            await asyncio.sleep(rng.uniform(0, 0.4 if self._is_calm else 1.5))
            if rng.random() < 0.6:
                # In a calm world each inbox has one writer: announcements come in the order of the log.
                everybody = not self._is_calm and rng.random() < 0.5
                await self._send(f"{name} says {n}", list(USERS) if everybody else [user])
            elif rng.random() < 0.8:
                await self._mark(user)
            else:
                action = rng.choice(
                    [
                        *("read", "archive", "some", "put some away", "upto"),
                        *("seen", "some with a tag", "some seen"),
                    ]
                )
                args = {"action": action, "upto": rng.randint(1, 40)}
                await self._world.call(user, "mark_all", args)

    async def _send(self, title: str, users: list[str]) -> None:
        category = self._world.rng.choice(["", CATEGORY])
        body: dict[str, Any] = {"recipients": [{"id": user} for user in users], "title": title}
        body["category"] = category
        body["tags"] = self._world.rng.choice([[], [TAG], ["quiet", TAG]])
        body["actions"] = [{"id": "yes", "label": "Yes"}]
        if self._world.rng.random() < 0.3:
            body["key"] = self._world.rng.choice(["upload", "build"])
            body["quiet"] = body["key"] == "build"
        if self._world.rng.random() < 0.2:
            body["expires"] = f"{self._world.rng.randint(1, 5)}s"
        key = title.replace(" ", "-")
        answer = await self._world.call("app", "send", body, kind="key", key=key)
        if "id" in answer:
            if not {"key", "expires"} & body.keys():  # the others may be gone at the end
                self.accepted.append(answer["id"])
        else:
            self._world.blame(f"send was answered {answer}")

    async def _mark(self, user: str) -> None:
        rng = self._world.rng
        seen = [
            message
            for follower in self._followers
            if follower.user == user and follower.view is not None
            for message in follower.view.newest(WINDOW)
        ]
        if seen:
            what = ["read", "unread", "archive", "unarchive", "pin", "unpin", "unsnooze", "clicked"]
            id = rng.choice(seen)["id"]
            if rng.random() < 0.25:
                await self._world.call(user, "snooze", {"id": id, "for_s": rng.uniform(0.1, 4)})
            elif rng.random() < 0.1:
                await self._world.call(user, "press", {"id": id})
            else:
                await self._world.call(user, "mark", {"id": id, "action": rng.choice(what)})


async def inbox(loop: SimLoop) -> None:
    """One run."""
    rng = loop.rng
    is_calm = rng.random() < 0.25
    is_lossy = not is_calm and rng.random() < 0.5
    size = SHORT_LOG if not is_calm and rng.random() < 0.3 else LOG_SIZE
    limits = Limits(recovery_publications=FEW) if rng.random() < 0.2 else Limits()
    with (
        patch.object(clarion.notifications.inbox.inbox, "LOG_SIZE", size),
        World(loop, limits=limits, is_lossy=is_lossy) as world,
    ):
        world.start()
        followers = [
            Follower(world, f"{user}{n}", user) for user in USERS for n in range(FOLLOWERS)
        ]
        writers = Writers(world, followers, is_calm=is_calm)
        if rng.random() < 0.3:
            await world.network.start("app", lambda: writers.preload(USERS[0]))
        following = [world.network.start(each.name, each.main) for each in followers]
        names = {f"{user}-{n}": user for user in USERS for n in range(1 if is_calm else 2)}
        tasks = [
            world.network.start(name, functools.partial(writers.main, name, user))
            for name, user in names.items()
        ]
        if not is_calm:
            hosts = [*names, *(follower.name for follower in followers)]
            await world.trouble(hosts, rng.randint(2, 10))
        await asyncio.gather(*tasks)
        await asyncio.sleep(QUIET_S)
        assert not any(task.done() for task in following), "a client gave up"
        reads = world.node.log.reads if world.node else 0
        world.stop()
        world.assert_blameless()
        await _check(world, followers, [] if is_lossy else writers.accepted)
        if is_calm:
            assert reads == 0, f"without any trouble a log had to be read {reads} times"
            assert not any(follower.times_ended for follower in followers), "3010 without trouble"


async def _check(world: World, followers: list[Follower], accepted: list[str]) -> None:
    store = world.opened()
    log = InboxLog(store)
    for user in USERS:
        topic = topic_of("default", user)
        read, fresh = await log.read(topic, 0, 1_000_000), await log.snapshot(topic)
        check_chain(read)
        for follower in followers:
            if follower.user == user:
                _check_follower(follower, read, fresh)
    stored = {row.id for row in await store.fetch(NOTIFICATIONS, tenant="default")}
    missing = [id for id in accepted if id not in stored]
    assert not missing, f"accepted, and not stored: {missing}"
    await store.close()


def _check_follower(follower: Follower, read: Read, fresh: Snapshot) -> None:
    name, view = follower.name, follower.view
    assert view is not None, f"{name} never got a snapshot"
    at = msgspec.to_builtins(fresh.position)
    assert follower.position == at, f"{name} stands at {follower.position}, the log at {at}"
    stored = {entry.offset: msgspec.to_builtins(entry) for entry in read.entries}
    for offset, publication in follower.taken.items():
        if offset < read.top.offset - len(stored) + 1:
            continue  # the log keeps it no longer
        entry = stored[offset]
        same = all(entry[key] == publication[key] for key in ("offset", "mark", "event", "data"))
        assert same, f"{name} got {publication}, the log has {entry}"
    state = msgspec.to_builtins(fresh.state)
    assert view.unread == state["unread"], f"{name}: {view.unread} unread, {state['unread']} stored"
    assert view.unseen == state["unseen"], f"{name}: {view.unseen} unseen, {state['unseen']} stored"
    assert view.newest(WINDOW) == state["items"], f"{name} sees other messages than are stored"
