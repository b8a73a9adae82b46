"""Several nodes over one store: they agree about who is there, and a dead one leaves no ghost."""

from typing import Any

import pytest

from clarion.errors import Unavailable
from clarion.features.presence.leases import ALIVE, KNOWN
from clarion.ids import Ids
from tests.features.presence.house import Client, Node, nodes

LEASE_S, GRACE_S = 15, 10


async def counts(node: Node) -> int:
    answer = await node.connect("counter").watch(params={"mode": "count"})
    (item,) = answer["snapshot"]["items"]
    return int(item["data"])


async def live(node: Node, seconds: float) -> None:
    """A node's life for so long, beat by beat."""
    for _ in range(int(seconds / 5)):
        await node.beat(5)


async def test_nodes_agree_about_who_is_there() -> None:
    """Whatever node somebody is on: everybody sees the same, and the number is right."""
    async with nodes("aaaa", "bbbb") as (one, two):
        ann, ben = one.connect("ann"), two.connect("ben")
        await ann.enter()
        await ben.enter(data={"n": 2})
        for node, client in ((one, ann), (two, ben)):
            client.heard()
            assert client.state == await node.members()
            assert sorted(client.state) == ["ann", "ben"]
            assert await counts(node) == 2


async def test_a_user_on_two_nodes_is_one_user() -> None:
    """The second connection, wherever it is, is an update; so is its end."""
    async with nodes("aaaa", "bbbb") as (one, two):
        watcher, laptop, phone = one.connect("w"), one.connect("ann"), two.connect("ann")
        await watcher.watch()
        await laptop.enter(data={"name": "Ann"})
        await phone.enter(status="idle", device="phone")
        assert watcher.heard() == [("enter", "ann"), ("update", "ann")]
        entry = watcher.state["ann"]
        assert (len(entry["devices"]), entry["status"]) == (2, "online")
        assert entry["data"] == {"name": "Ann"}
        assert await counts(one) == 1
        laptop.disconnect()
        await one.tick(GRACE_S)
        assert watcher.heard() == [("update", "ann")]
        assert watcher.state["ann"]["status"] == "idle"
        await phone.say("leave")
        assert watcher.heard() == [("remove", "ann")]


async def test_a_dead_node_leaves_no_ghost() -> None:
    """After its lease and the grace period its connections are taken out of every room: users who were only there, and the others' devices there."""
    async with nodes("aaaa", "bbbb", "cccc") as (one, two, three):
        watcher = one.connect("w")
        await watcher.watch()
        for room in ("lobby", "hall"):
            await one.connect("ann").enter(room)
            for name in ("ann", "ben", "cleo"):
                await two.connect(name).enter(room)
        watcher.heard()
        assert await counts(one) == 3
        # `two` is never heard of again.
        for _ in range(4):
            await one.beat(5)
            await three.beat()
        assert watcher.heard() == []
        for _ in range(3):
            await one.beat(5)
            await three.beat()
        assert sorted(watcher.heard()) == [("remove", "ben"), ("remove", "cleo"), ("update", "ann")]
        for node in (one, three):
            for room in ("lobby", "hall"):
                (entry,) = (await node.members(room)).values()
                assert [id[:4] for id in entry["devices"]] == ["aaaa"]
        assert await counts(one) == 1
        known = await one.shared.store.items(KNOWN, "", 10)
        assert [name for name, _ in known.items] == ["aaaa", "cccc"]


async def test_a_node_that_was_taken_for_dead_writes_everything_again() -> None:
    """It was away for longer than its lease (a paused machine, a store that was not there), and its users never were."""
    async with nodes("aaaa", "bbbb") as (one, two):
        watcher = one.connect("w")
        await watcher.watch()
        await two.connect("ben").enter(data={"name": "Ben"})
        before = await one.members()
        await live(one, LEASE_S + GRACE_S + 5)
        assert watcher.heard() == [("enter", "ben"), ("remove", "ben")]
        await two.beat()
        assert watcher.heard() == [("enter", "ben")]
        assert (await one.members())["ben"]["data"] == {"name": "Ben"}
        assert (await one.members())["ben"]["devices"] == before["ben"]["devices"]
        await two.beat(5)
        await live(one, 0)
        # From then on its lease counts again.
        for _ in range(8):
            await two.beat(5)
            await one.beat()
        assert list(await one.members()) == ["ben"]


async def test_a_store_that_was_lost_is_filled_again() -> None:
    """Its logs begin anew, and everybody who is there is there."""
    async with nodes() as (one,):
        await one.connect("ann").enter()
        before = await one.members()
        await one.shared.store.close()
        assert await one.members() == {}
        await one.beat(5)
        assert await one.members() == before


async def test_a_node_that_stops_in_good_order_hands_its_users_over() -> None:
    """They are kept for the window and the grace period: who comes back elsewhere was never away."""
    async with nodes("aaaa", "bbbb") as (one, two):
        watcher = one.connect("w")
        await watcher.watch()
        ben, cleo = two.connect("ben"), two.connect("cleo")
        await ben.enter()
        await cleo.enter()
        watcher.heard()
        two.presence.freeze()
        for client in (ben, cleo):
            client.disconnect()
        await two.tick(GRACE_S + 1)
        await two.presence.close()
        await one.connect("ben").enter()
        assert [event for event, _ in watcher.heard()] == ["update"]
        await live(one, 15)
        assert watcher.heard() == []
        await live(one, 15)
        assert sorted(watcher.heard()) == [("remove", "cleo"), ("update", "ben")]


async def test_a_node_without_users_leaves_nothing_when_it_stops() -> None:
    async with nodes("aaaa", "bbbb") as (one, two):
        await two.presence.close()
        for topic in (ALIVE, KNOWN):
            found = await one.shared.store.items(topic, "", 10)
            assert [name for name, _ in found.items] == ["aaaa"]


async def test_a_sweep_that_is_interrupted_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store goes away in the middle; the dead node's rooms stay listed until they are clean."""
    async with nodes("aaaa", "bbbb") as (one, two):
        for room in ("x", "y", "z"):
            await two.connect("ben").enter(room)
        real, calls = one.shared.store.append, 0

        async def failing(topic: Any, *more: Any) -> Any:
            nonlocal calls
            calls += topic.kind == "presence"
            if calls == 2:
                raise Unavailable("away")
            return await real(topic, *more)

        await live(one, LEASE_S + GRACE_S - 5)
        with monkeypatch.context() as patch:
            patch.setattr(one.shared.store, "append", failing)
            with pytest.raises(Unavailable):
                await live(one, 10)
        await one.beat(5)
        for room in ("x", "y", "z"):
            assert await one.members(room) == {}


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_everybody_sees_who_is_there(seed: int) -> None:
    """Users come, go, blink and change on three nodes of which one dies; then rooms, counts and what a subscriber made of changes are the truth."""
    chance = Ids.seeded(seed)

    def pick(some: list[Any]) -> Any:
        return some[int(chance.uniform(0, len(some)))]

    async with nodes("aaaa", "bbbb", "cccc") as all_nodes:
        alive = list(all_nodes)
        watcher = all_nodes[0].connect("w")
        await watcher.watch()
        there: list[Client] = []
        for step in range(60):
            node = pick(alive)
            what = chance.uniform(0, 1)
            if step == 30:
                dead = alive.pop()
                there = [client for client in there if client.node is not dead]
            elif what < 0.5 or not there:
                client = node.connect(f"u{int(chance.uniform(0, 5))}")
                await client.ask("subscribe", params={"enter": {"data": {"step": step}}})
                there.append(client)
            elif what < 0.75:
                there.pop(int(chance.uniform(0, len(there)))).disconnect()
            else:
                client = pick(there)
                await client.say("update", status=pick(["online", "idle", "dnd"]))
            for each in alive:
                await (each.beat if chance.uniform(0, 1) < 0.3 else each.tick)()
            node.clock.advance(chance.uniform(0, 1) * 2)
        for _ in range(10):
            for each in alive:
                await each.beat()
            alive[0].clock.advance(5)
        expected: dict[str, list[str]] = {}
        for client in there:
            expected.setdefault(client.node.who[client.socket.id].id, []).append(
                client.node.presence.places._node
            )
        for each in alive:
            found = {
                user: sorted(id[:4] for id in entry["devices"])
                for user, entry in (await each.members()).items()
            }
            assert found == {user: sorted(ids) for user, ids in expected.items()}
            assert await counts(each) == len(expected)
        watcher.heard()
        assert watcher.state == await alive[0].members()
