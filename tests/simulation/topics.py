"""Scenario `topics`: whichever node they are on, everybody ends with the state that the topic store has.

Readers follow a map or a stream and come back with their position after cuts, to another node; writers repeat each publication
until it is answered. Nodes crash, the bus and the store have bad moments, sockets get slow; in some seeds the store comes back
without its newest entries, in the same epoch. Oracles, after a time of quiet:

- each reader's state equals the store's, and stands at the log's top; offsets rose by one, or said after which they follow
- what a reader took since its last snapshot is in the log, with equal marks
- the log has no gap, and its marks are a chain
- what was accepted is there, once (unless the store lost it)

A third of the seeds are calm: nothing breaks. There no log may be read: a repair that hides another's failure shows.
"""

import asyncio
import functools
import itertools
from typing import Any

import msgspec

from clarion.client.following import patched
from clarion.settings import Limits
from clarion.topics.changes import REMOVE
from clarion.topics.kinds import Read, Topic
from tests.simulation.cluster import Cluster
from tests.simulation.node import PORT
from tests.simulation.oracles import check_chain
from tests.simulation.wire import Wire
from tests.support.simulation import SimLoop
from tests.support.simulation_network import pairs

NODES = ("north", "south")
TOPICS = ("board:a", "news:a")
READERS = 2  # of each topic
PUBLICATIONS = 8  # of each writer
LOG_SIZE = 1_000  # entries that are kept, in most seeds
SHORT_LOG = 5  # entries that are kept, in some seeds
FEW = 6  # publications that may be recovered, in some seeds
KEYS = ("x", "y", "z")
BETWEEN_S = 2.0  # two troubles, at most
BAD_S = 4.0  # one trouble, at most
# Longer than the position check (25 s ± 20 %), the end of every trouble, and the readers' patience together.
QUIET_S = 50.0


class Reader:
    """A client that follows one topic."""

    def __init__(self, cluster: Cluster, name: str, topic: str) -> None:
        self.cluster, self.name, self.topic = cluster, name, topic
        self.position: dict[str, Any] | None = None
        self.state: dict[str, Any] = {}
        self.taken: dict[int, dict[str, Any]] = {}
        """Publications since the last snapshot, by offset."""
        self.times_ended = 0

    async def main(self) -> None:
        """Follow until the end of the world."""
        rng = self.cluster.loop.rng
        await asyncio.sleep(rng.uniform(0, 3))
        while True:
            try:
                wire = await Wire.dial(self.cluster.network, rng.choice(NODES), PORT)
                try:
                    await self._converse(wire)
                finally:
                    wire.close()
            except OSError:
                await asyncio.sleep(rng.random())

    async def _converse(self, wire: Wire) -> None:
        wire.send({"user": self.name, "kind": "user"})
        self._subscribe(wire)
        while True:
            match await wire.receive():
                case {"answer": {"error": error}}:
                    if error["code"] not in {"unavailable", "outcome_unknown"}:
                        self.cluster.blame(f"{self.name}: subscribe was answered {error}")
                    raise ConnectionResetError
                case {"answer": answer}:
                    self._answered(answer)
                case {"event": "publication", "data": publication}:
                    self._take(publication)
                case {"event": "unsubscribed"}:
                    self.times_ended += 1
                    self._subscribe(wire)

    def _subscribe(self, wire: Wire) -> None:
        args: dict[str, Any] = {"topic": self.topic}
        if self.position is not None:
            args["since"] = self.position
        wire.send({"id": 0, "do": "subscribe", "args": args})

    def _answered(self, answer: dict[str, Any]) -> None:
        position = {key: answer[key] for key in ("epoch", "offset", "mark")}
        if answer["recovered"]:
            for publication in answer["publications"]:
                self._take(publication)
            if position != self.position:
                self.cluster.blame(f"{self.name}: recovered to {self.position}, told {position}")
        else:
            items = (answer["snapshot"] or {"items": []})["items"]
            self.state = {item["key"]: item["data"] for item in items}
            self.taken, self.position = {}, position

    def _take(self, publication: dict[str, Any]) -> None:
        if self.position is None:
            self.cluster.blame(f"{self.name}: {publication['offset']} before any answer")
            raise ConnectionResetError
        if publication.get("after", publication["offset"] - 1) != self.position["offset"]:
            self.cluster.blame(f"{self.name}: {publication} after {self.position}")
        if "event" in publication:
            self._apply(publication)
        self.position = {**self.position, **{k: publication[k] for k in ("offset", "mark")}}

    def _apply(self, publication: dict[str, Any]) -> None:
        self.taken[publication["offset"]] = publication
        key = publication.get("key")
        if key is None:
            return
        if publication["event"] == REMOVE:
            self.state.pop(key, None)
        elif "patch" in publication:
            self.state[key] = patched(self.state[key], publication["patch"])
        else:
            self.state[key] = publication["data"]


class Writers:
    """Those who publish."""

    def __init__(self, cluster: Cluster, *, is_calm: bool) -> None:
        self._cluster, self._is_calm = cluster, is_calm
        self._serials = itertools.count(1)
        self.accepted: dict[str, tuple[str, int]] = {}
        """Topic and offset, by the id of the publication."""

    async def main(self, name: str) -> None:
        """Publish a few times."""
        rng = self._cluster.loop.rng
        for n in range(PUBLICATIONS):
            await asyncio.sleep(rng.uniform(0, 0.5 if self._is_calm else 1.5))
            id, topic = f"{name}-{n}", rng.choice(TOPICS)
            args: dict[str, Any] = {"topic": topic, "id": id}
            if topic.startswith("news"):
                args |= {"event": "said", "data": {"id": id}}
            elif rng.random() < 0.2:
                args |= {"event": REMOVE, "key": rng.choice(KEYS), "data": {"id": id}}
            else:
                # Large enough for a change of it to be sent as a patch.
                args |= {"key": rng.choice(KEYS), "data": {"id": id, "same": "0123456789" * 5}}
                if rng.random() < 0.3:
                    args["ttl_s"] = rng.uniform(0.5, 6)
            answer = await self._call(name, args)
            if "error" in answer:
                self._cluster.blame(f"{id} was answered {answer}")
            else:
                self.accepted[id] = topic, answer["offset"]

    async def _call(self, name: str, args: Any) -> Any:
        rng = self._cluster.loop.rng
        while True:
            try:
                answer = await self._ask(name, args)
                error = answer.get("error")
                if error is None or error["code"] not in {"unavailable", "outcome_unknown"}:
                    return answer
            except OSError:
                pass
            await asyncio.sleep(rng.random())

    async def _ask(self, name: str, args: Any) -> Any:
        wire = await Wire.dial(self._cluster.network, self._cluster.loop.rng.choice(NODES), PORT)
        try:
            wire.send({"user": name, "kind": "user"})
            id = next(self._serials)
            wire.send({"id": id, "do": "publish", "args": args})
            while True:
                message = await wire.receive()
                if message.get("id") == id:
                    return message["answer"]
        finally:
            wire.close()


class Trouble:
    """What a seed does to a cluster; at the end all is well again."""

    def __init__(self, cluster: Cluster, hosts: list[str], *, is_lossy: bool) -> None:
        self._cluster, self._rng, self._is_lossy = cluster, cluster.loop.rng, is_lossy
        self._ways = [way for node in NODES for way in pairs(hosts, node)]

    async def main(self, count: int) -> None:
        """So many times."""
        rng, network, logs = self._rng, self._cluster.network, self._cluster.logs
        for _ in range(count):
            await asyncio.sleep(rng.uniform(0, BETWEEN_S))
            if self._is_lossy and rng.random() < 0.5:
                logs.keep_copy()
            match rng.randrange(8 if self._is_lossy else 6):
                case 0:
                    network.cut(*rng.choice(self._ways))
                case 1:
                    network.block(*rng.choice(self._ways), rng.uniform(0, BAD_S))
                case 2:
                    await self._be_deaf()
                case 3:
                    await self._be_slow()
                case 4:
                    await self._be_down()
                case 5:
                    await self._crash()
                case _:
                    self._lose()

    def _node(self) -> Any:
        return self._cluster.nodes.get(self._rng.choice(NODES))

    async def _be_deaf(self) -> None:
        if (node := self._node()) is not None:
            self._cluster.loop.note("a bus loses messages")
            node.bus.loss = 0.5
            await asyncio.sleep(self._rng.uniform(0, BAD_S))
            node.bus.loss = 0.0

    async def _be_slow(self) -> None:
        if (node := self._node()) is not None:
            self._cluster.loop.note("sockets are slow")
            node.be_slow(is_slow=True)
            await asyncio.sleep(self._rng.uniform(0, BAD_S))
            node.be_slow(is_slow=False)

    async def _be_down(self) -> None:
        self._cluster.loop.note("the store is down")
        self._cluster.logs.is_down = True
        await asyncio.sleep(self._rng.uniform(0, BAD_S / 2))
        self._cluster.logs.is_down = False

    async def _crash(self) -> None:
        name = self._rng.choice(NODES)
        self._cluster.stop(name, is_silent=self._rng.random() < 0.3)
        await asyncio.sleep(self._rng.uniform(0, BAD_S / 2))
        self._cluster.start(name)

    def _lose(self) -> None:
        if self._cluster.logs.put_back():
            self._cluster.loop.note("the store is put back")


async def topics(loop: SimLoop) -> None:
    """One run."""
    rng = loop.rng
    is_calm = rng.random() < 0.33
    is_lossy = not is_calm and rng.random() < 0.6
    size = SHORT_LOG if not is_calm and rng.random() < 0.3 else LOG_SIZE
    limits = Limits(recovery_publications=FEW) if rng.random() < 0.2 else Limits()
    cluster = Cluster(loop, limits, size)
    for name in NODES:
        cluster.start(name)
    names = [f"{topic}-{n}" for topic in TOPICS for n in range(READERS)]
    readers = [Reader(cluster, name, name.rpartition("-")[0]) for name in names]
    following = [cluster.network.start(each.name, each.main) for each in readers]
    writers = Writers(cluster, is_calm=is_calm)
    hosts = ["ann", "ben"]
    tasks = [cluster.network.start(name, functools.partial(writers.main, name)) for name in hosts]
    if not is_calm:
        await Trouble(cluster, names + hosts, is_lossy=is_lossy).main(rng.randint(2, 10))
    await asyncio.gather(*tasks)
    await asyncio.sleep(QUIET_S)
    assert not any(task.done() for task in following), "a reader gave up"
    assert not cluster.blamed, cluster.blamed[0]
    for topic in TOPICS:
        await _check(cluster, topic, readers, {} if is_lossy else writers.accepted)
    if is_calm:
        reads = cluster.logs.reads
        assert reads == 0, f"without any trouble a log had to be read {reads} times"
        assert not any(reader.times_ended for reader in readers), "3010 without trouble"


async def _check(
    cluster: Cluster, name: str, readers: list[Reader], accepted: dict[str, tuple[str, int]]
) -> None:
    store, topic = cluster.logs.store, Topic("default", *name.split(":"))
    read = await store.read(topic, 0, LOG_SIZE)
    check_chain(read)
    state = {key: item.data for key, item in (await store.items(topic, "", 100)).items}
    for reader in readers:
        if reader.topic == name:
            _check_reader(reader, read, msgspec.to_builtins(state))
    first = read.top.offset - len(read.entries) + 1
    by_offset = {entry.offset: entry.data["id"] for entry in read.entries if "id" in entry.data}
    for id, (where, offset) in accepted.items():
        if where == name and offset >= first:
            found = [at for at, its in by_offset.items() if its == id]
            assert found == [offset], f"{id} was accepted as {offset}, and stands at {found}"


def _check_reader(reader: Reader, read: Read, state: dict[str, Any]) -> None:
    at = msgspec.to_builtins(read.top)
    assert reader.position == at, f"{reader.name} stands at {reader.position}, the log at {at}"
    assert reader.state == state, f"{reader.name} has {reader.state}, the store {state}"
    stored = {entry.offset: entry for entry in read.entries}
    for offset, publication in reader.taken.items():
        entry = stored.get(offset)
        if entry is None:
            assert offset < read.top.offset - len(stored) + 1, f"{publication} is not in the log"
            continue
        same = (entry.mark, entry.event) == (publication["mark"], publication["event"])
        same = same and ("patch" in publication or entry.data == publication["data"])
        assert same, f"{reader.name} got {publication}, the log has {entry}"
