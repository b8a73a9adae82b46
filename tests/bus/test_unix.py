"""The bus between the workers of one host, and who is there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from clarion.bus.nodes import Nodes
from clarion.bus.unix import UnixBus, UnixRegistry
from clarion.errors import Unavailable
from clarion.ids import Ids
from tests.conformance.bus import BusConformance
from tests.support.owner import linked, owning


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[UnixBus]:
    path = tmp_path / "owner.sock"
    async with owning(path), linked(path) as link:
        yield UnixBus(link)


class TestUnixBus(BusConformance):
    pass


async def test_a_message_reaches_all_workers_and_a_lost_owner_is_a_gap(tmp_path: Path) -> None:
    """Two workers hear one another; without an owner publishing is `unavailable`; with the next one both are told of a gap, and hear again."""
    path = tmp_path / "owner.sock"
    async with contextlib.AsyncExitStack() as first:
        await first.enter_async_context(owning(path))
        async with linked(path, "one0") as one, linked(path, "two0") as two:
            buses = [UnixBus(one), UnixBus(two)]
            heard: asyncio.Queue[bytes] = asyncio.Queue()
            gaps: asyncio.Queue[Sequence[str]] = asyncio.Queue()
            for bus in buses:
                bus.subscribe("a", heard.put_nowait)
                bus.on_gap(gaps.put_nowait)
                await bus.settle("a")
            await buses[0].publish("a", b"1")
            assert [await heard.get(), await heard.get()] == [b"1", b"1"]
            await first.aclose()
            with pytest.raises(Unavailable):  # noqa: PT012
                for _ in range(100):  # the end of a connection takes a moment to be seen
                    await buses[1].publish("a", b"lost")
                    await asyncio.sleep(0.01)
            buses[1].subscribe("b", heard.put_nowait)
            async with owning(path):
                assert sorted([tuple(await gaps.get()), tuple(await gaps.get())]) == [
                    ("a",),
                    ("a", "b"),
                ]
                await buses[0].publish("a", b"2")
                assert [await heard.get(), await heard.get()] == [b"2", b"2"]
                await buses[0].publish("b", b"3")
                assert await heard.get() == b"3"


def _answer(name: str, _: object) -> str:
    return name


async def test_who_is_connected_is_who_is_asked(tmp_path: Path) -> None:
    """A question is answered by all workers; one whose connection ends is not waited for."""
    path = tmp_path / "owner.sock"
    async with owning(path), linked(path, "one0") as one:
        async with linked(path, "two0") as two:
            both = [
                Nodes(name, UnixBus(link), ids=Ids(), registry=UnixRegistry(link))
                for name, link in (("one0", one), ("two0", two))
            ]
            for name, nodes in zip(("one0", "two0"), both, strict=True):
                nodes.on("name?", partial(_answer, name))
                await nodes.start()
            asked = await both[0].ask("name?")
            assert (asked.values, asked.is_complete) == (["one0", "two0"], True)
        asked = await both[0].ask("name?")
        assert (asked.values, asked.is_complete) == (["one0"], True)
        await both[0].close()
