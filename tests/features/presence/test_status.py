"""How users are: online by the mere fact of a connection, and last seen when it ended."""

import pytest

from clarion.auth.principal import Principal
from clarion.errors import Unavailable
from clarion.features.presence import UserStatus
from clarion.features.presence.users import shard_of
from clarion.storage.slices import total
from tests.features.presence.house import Node, nodes


async def status(node: Node, user: str = "ann", tenant: str = "default") -> UserStatus:
    (found,) = await node.presence.status(tenant, [user])
    return found


async def test_a_connection_makes_a_user_online_and_its_end_tells_when_they_were_here() -> None:
    """Connected since, last active, last seen; a blink is nothing; several devices are one user."""
    async with nodes() as (node,):
        assert await status(node) == UserStatus("ann", "offline")
        phone = node.connect("ann")
        await node.tick()
        first = await status(node)
        assert (first.status, len(first.devices)) == ("online", 1)
        assert first.connected_since == first.last_active == first.last_seen
        laptop = node.connect("ann")
        await node.tick(60)
        await laptop.say("enter", "lobby")
        second = await status(node)
        assert len(second.devices) == 2
        assert second.connected_since == first.connected_since
        assert second.last_active == second.last_seen != first.last_seen
        await node.tick(30)
        assert (await status(node)).last_active == second.last_active
        for client in (phone, laptop):
            client.disconnect()
        gone = (await status(node)).last_seen
        await node.tick(9)
        assert (await status(node)).status == "online"
        await node.tick(2)
        last = UserStatus("ann", "offline", last_active=second.last_active, last_seen=gone)
        assert await status(node) == last
        await node.presence.users.seen.flush()
        assert await status(node) == last


async def test_last_seen_is_written_in_batches_and_outlives_the_process() -> None:
    """One write for all who are connected or went, not one for each of them; a killed process is known of as of the last one."""
    async with nodes("aaaa") as (node,):
        ann, _ = node.connect("ann"), node.connect("ben")
        node.connect(Principal(id="key", kind="key"))
        await node.tick()
        written = node.shared.count_calls()
        ann.disconnect()
        await node.tick(50)
        assert written == []
        await node.presence.users.seen.flush()
        assert written == [("see_users", 2)]
        now = (await status(node, "ben")).last_seen
        # The next process knows nothing but what is written.
        await node.shared.store.close()
        later = Node(node.shared, "bbbb", node.settings)
        node.clock.advance(3_600)
        found = await later.presence.status("default", ["ann", "ben", "key"])
        seen = [each.last_seen for each in found]
        assert seen[1] == now
        assert (seen[0] or "") < (now or "")
        assert seen[2] is None
        await later.close()


async def test_nodes_agree_about_users_and_a_dead_one_leaves_no_ghost() -> None:
    async with nodes("aaaa", "bbbb") as (one, two):
        one.connect("ann")
        two.connect("ann")
        two.connect("ben")
        for node in (one, two):
            await node.tick()
        for node in (one, two):
            found = await node.presence.status("default", ["ann", "ben", "cleo"])
            assert [(each.status, len(each.devices)) for each in found] == [
                ("online", 2),
                ("online", 1),
                ("offline", 0),
            ]
        died = (await status(two, "ben")).last_seen
        for _ in range(6):
            await one.beat(5)
        found = await one.presence.status("default", ["ann", "ben"])
        assert [(each.status, len(each.devices)) for each in found] == [
            ("online", 1),
            ("offline", 0),
        ]
        assert (died or "") <= (found[1].last_seen or "") < (found[0].last_seen or "")


async def test_who_came_back_from_a_dead_node_was_seen_there_and_not_before() -> None:
    """They have left another node since, which is not forgotten when the dead one is cleaned up."""
    async with nodes("aaaa", "bbbb") as (one, two):
        two.connect("ann")
        await two.tick()
        await one.beat(5)
        ann = one.connect("ann")
        await ann.say("enter")
        ann.disconnect()
        left = await status(one)
        assert left.status == "online"
        for _ in range(6):
            await one.beat(5)
        assert await status(one) == UserStatus(
            "ann", "offline", last_active=left.last_active, last_seen=left.last_seen
        )


async def test_users_of_tenants_are_other_users() -> None:
    async with nodes() as (node,):
        node.connect(Principal(id="ann", tenant="acme"))
        await node.tick()
        assert (await status(node)).status == "offline"
        assert (await status(node, tenant="acme")).status == "online"


async def test_nobody_subscribes_to_all_users() -> None:
    """Not even whose token lists every topic: who may see whom is asked elsewhere."""
    async with nodes() as (node,):
        every = Principal(id="ann", topics={"*:*": ("subscribe", "publish")}, scopes=frozenset("*"))
        client = node.connect(every)
        error = await client.error("subscribe", shard_of("default", "ann").wire)
        assert error["code"] == "not_found"
        assert (await client.error("publish", shard_of("default", "ann").wire, key="x", data=1))[
            "code"
        ] == "not_found"


async def test_what_is_read_can_be_changed_without_harm() -> None:
    """Members and statuses are the caller's own."""
    async with nodes() as (node,):
        await node.connect("ann").enter(data={"list": [1.5]})
        (member,) = (await node.presence.members("lobby")).members
        member.entry["data"]["list"].append(2)
        member.entry["devices"].clear()
        (again,) = (await node.presence.members("lobby")).members
        assert again.entry["data"] == {"list": [1.5]}
        assert len(again.entry["devices"]) == 1


async def test_who_has_not_been_here_for_long_is_forgotten() -> None:
    """`presence.seen_keep_days`; slice by slice."""
    async with nodes(seen_keep_days=2) as (node,):
        for number in range(600):
            node.presence.users.seen.left("default", f"u{number}", 5)
        await node.presence.users.seen.flush()
        await total(node.presence.purge())
        node.clock.advance(3 * 86_400)
        node.presence.users.seen.left("default", "ann", 5)
        await node.presence.users.seen.flush()
        assert (await status(node, "u7")).last_seen is not None
        await total(node.presence.purge())
        assert (await status(node, "u7")).last_seen is None
        assert (await status(node)).last_seen is not None


async def test_a_database_that_is_away_loses_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who went meanwhile is written when it is back, with the time of going."""
    async with nodes() as (node,):
        node.connect("ann").disconnect()
        at = (await status(node)).last_seen
        await node.tick(60)

        async def away(*_: object) -> None:
            raise Unavailable("away")

        with monkeypatch.context() as patch:
            patch.setattr(node.shared.database, "apply", away)
            with pytest.raises(Unavailable):
                await node.presence.users.seen.flush()
        await node.presence.users.seen.flush()
        assert (await status(node)).last_seen == at


async def test_a_user_with_very_many_connections_is_there_all_the_same() -> None:
    """The 51st works as any other and is not counted."""
    async with nodes() as (node,):
        clients = [node.connect("ann") for _ in range(51)]
        await node.tick()
        assert len((await status(node)).devices) == 50
        await clients[-1].enter()
        clients[-1].disconnect()
        assert (await status(node)).status == "online"


async def test_a_connection_that_answers_no_more_is_idle_until_it_does() -> None:
    """Nobody has seen it go: on every node it counts as idle, whatever it has said, and online again by another connection, or once it answers."""
    silent: dict[str, float] = {}
    async with nodes("aaaa", "bbbb") as (one, two):
        one.presence.unanswered_s = lambda id: silent.get(id, 0.0)
        phone = one.connect("ann")
        other = one.connect("ben")
        await phone.ask("publish", "contacts:ann", event="update", data={"status": "dnd"})
        await one.tick()
        silent[phone.socket.id] = one.settings.unanswered_s - 0.1
        await one.beat()
        assert (await status(two)).status == "dnd"
        silent[phone.socket.id] += 0.1
        await one.beat()
        assert [(await status(two, who)).status for who in ("ann", "ben")] == ["idle", "online"]
        laptop = two.connect("ann")
        await two.tick()
        assert (await status(one)).status == "online"
        laptop.disconnect()
        await two.tick(11)
        assert (await status(one)).status == "idle"
        # Its ping times out: for the grace it stays as it was, and who comes back is there.
        phone.disconnect()
        await one.tick(1)
        assert (await status(two)).status == "idle"
        one.connect("ann")
        await one.tick()
        assert (await status(two)).status == "online"
        assert other.socket.connected
