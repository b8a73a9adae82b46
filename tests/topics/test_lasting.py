"""What goes by itself: an item whose time is over, and what a socket owns."""

import pytest

from clarion.errors import Invalid
from clarion.topics import Publish
from clarion.topics.changes import Change
from tests.topics.fakes import settle
from tests.topics.house import ADA, House, Reader


async def test_an_item_goes_by_itself(house: House) -> None:
    """After its time, by a publication that says why."""
    socket = house.socket()
    await house.ask(socket, "subscribe", "board:x")
    await house.ask(socket, "publish", "board:x", key="typing", ttl_s=2)
    house.bench.clock.advance(3)
    assert await house.topics.expire() == 1
    await settle()
    _, gone = socket.got[-1]
    assert (gone.event, gone.key, gone.data) == ("remove", "typing", {"reason": "expired"})


async def test_what_a_socket_owns_leaves_with_it(house: House) -> None:
    """Unless somebody has changed it since, whoever that was."""
    one, two = house.socket("1"), house.socket("2")
    watching = house.socket("3")
    answer = await house.ask(watching, "subscribe", "board:x")
    for key in "abc":
        await house.ask(one, "publish", "board:x", key=key, data=1, owned=True)
    await house.ask(two, "publish", "board:x", key="b", data=2, owned=True)
    await house.ask(two, "publish", "board:x", key="c", data=2)
    house.commands.disconnected(one)
    await settle()
    reader = Reader(answer).take(watching)
    assert reader.state == {"b": 2, "c": 2}
    house.commands.disconnected(two)
    await settle()
    assert reader.take(watching).state == {"c": 2}


async def test_what_is_owned_lasts_as_long_as_its_socket_and_not_much_longer_than_its_node(
    house: House,
) -> None:
    """Its lease is renewed while the node lives; when nobody renews it, it ends."""
    socket = house.socket()
    await house.ask(socket, "publish", "board:x", key="a", owned=True)
    owned = house.topics.of("board:x")
    before = await owned.get("a")
    house.bench.clock.advance(0.5)
    await house.topics.renew()
    after = await owned.get("a")
    assert before is not None
    assert after is not None
    assert (after.expires_ms or 0) - (before.expires_ms or 0) == 500
    house.bench.clock.advance(1)
    assert await house.topics.expire() == 1


async def test_what_somebody_else_has_changed_is_not_renewed(house: House) -> None:
    """Whoever changed it, on another node too, said when it goes; and the socket's books do not grow with what it no longer has."""
    socket, board = house.socket(), house.topics.of("board:x")
    for key in "abc":
        await house.ask(socket, "publish", "board:x", key=key, owned=True)
    soon_ms = house.bench.clock.now_ms() + 500
    await board.change(
        Change(event="set", key="a", data=1, expires_ms=soon_ms), Change(event="remove", key="b")
    )
    await house.ask(socket, "publish", "board:x", event="remove", key="d", owned=True)
    house.bench.clock.advance(0.4)
    await house.topics.renew()
    house.bench.clock.advance(0.2)
    assert await house.topics.expire() == 1
    assert [key for key, _ in (await board.items()).items] == ["c"]
    answer = await house.ask(house.socket("2"), "subscribe", "board:x")
    house.commands.disconnected(socket)
    await settle()
    now = await house.ask(house.socket("3"), "subscribe", "board:x")
    assert now["offset"] == answer["offset"] + 1, "only what it still owned is removed"


async def test_only_a_socket_can_own(house: House) -> None:
    with pytest.raises(Invalid, match="only a socket"):
        await house.topics.publish(ADA, "board:x", Publish(key="a", owned=True))
