"""What every `Bus` promises. Inherit `BusConformance` and give a `bus` fixture."""

import asyncio

import pytest

from clarion.bus import Bus
from clarion.errors import Closed


class BusConformance:
    async def test_delivers_in_order_to_all_who_listen(self, bus: Bus) -> None:
        """Every receiver of a channel gets every message in the order of publishing, and none of other channels."""
        one: asyncio.Queue[bytes] = asyncio.Queue()
        two: asyncio.Queue[bytes] = asyncio.Queue()
        bus.subscribe("a", one.put_nowait)
        bus.subscribe("a", two.put_nowait)
        for i in range(100):
            await bus.publish("b" if i % 10 == 5 else "a", b"%d" % i)
        wanted = [b"%d" % i for i in range(100) if i % 10 != 5]
        assert [await one.get() for _ in wanted] == wanted
        assert [await two.get() for _ in wanted] == wanted
        assert one.empty()

    async def test_never_delivers_inside_the_publishers_call(self, bus: Bus) -> None:
        """A publisher is not called back before its call has returned."""
        got: asyncio.Queue[bytes] = asyncio.Queue()
        bus.subscribe("a", got.put_nowait)
        await bus.publish("a", b"1")
        assert got.empty()
        assert await got.get() == b"1"

    async def test_one_receiver_is_called_once(self, bus: Bus) -> None:
        """Subscribing twice is subscribing once."""
        got: asyncio.Queue[bytes] = asyncio.Queue()
        receiver = got.put_nowait
        bus.subscribe("a", receiver)
        bus.subscribe("a", receiver)
        await bus.publish("a", b"1")
        await bus.publish("a", b"2")
        assert [await got.get(), await got.get()] == [b"1", b"2"]

    async def test_who_has_unsubscribed_hears_nothing_more(self, bus: Bus) -> None:
        """Not even what was on its way; unsubscribing what is not subscribed is fine."""
        got: asyncio.Queue[bytes] = asyncio.Queue()
        gone: list[bytes] = []
        last: asyncio.Queue[bytes] = asyncio.Queue()
        leaver = gone.append

        def leave_now(_: bytes) -> None:
            bus.unsubscribe("a", leaver)

        bus.subscribe("a", leave_now)
        bus.subscribe("a", leaver)
        bus.subscribe("a", got.put_nowait)
        bus.unsubscribe("nowhere", leaver)
        await bus.publish("a", b"1")
        assert await got.get() == b"1"
        bus.subscribe("last", last.put_nowait)
        await bus.publish("a", b"2")
        await bus.publish("last", b"")
        await last.get()
        assert gone == []

    async def test_a_receiver_that_fails_hurts_nobody(self, bus: Bus) -> None:
        """The others get their message, and it gets the next."""
        calls: list[bytes] = []
        got: asyncio.Queue[bytes] = asyncio.Queue()

        def broken(data: bytes) -> None:
            calls.append(data)
            raise ValueError

        bus.subscribe("a", broken)
        bus.subscribe("a", got.put_nowait)
        await bus.publish("a", b"1")
        await bus.publish("a", b"2")
        assert [await got.get(), await got.get()] == [b"1", b"2"]
        assert calls == [b"1", b"2"]

    async def test_what_comes_after_settling_arrives(self, bus: Bus) -> None:
        """However often one has left and come back before; and settling what nobody listens to is no wait at all."""
        got: asyncio.Queue[bytes] = asyncio.Queue()
        for _ in range(3):
            bus.subscribe("a", got.put_nowait)
            bus.unsubscribe("a", got.put_nowait)
        receiver = got.put_nowait
        bus.subscribe("a", receiver)
        await bus.settle("a")
        await bus.settle("nowhere")
        await bus.publish("a", b"1")
        assert await got.get() == b"1"

    async def test_a_closed_bus_refuses(self, bus: Bus) -> None:
        """After the close nothing is delivered, and publishing says so."""
        gone: list[bytes] = []
        bus.subscribe("a", gone.append)
        await bus.publish("a", b"1")
        await bus.close()
        await asyncio.sleep(0)
        assert gone == []
        with pytest.raises(Closed):
            await bus.publish("a", b"2")
