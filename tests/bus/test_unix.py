"""The bus between the workers of one host, and who is there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from clarion.bus import owner_link
from clarion.bus.frames import packed
from clarion.bus.nodes import Nodes
from clarion.bus.owner_link import OwnerLink
from clarion.bus.unix import UnixBus, UnixRegistry
from clarion.errors import Closed, OutcomeUnknown, SettingsError, Unavailable
from clarion.ids import Ids
from clarion.realtime.transports import listen_local
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


async def test_garbage_ends_its_own_connection(tmp_path: Path) -> None:
    """What is no frame, or asks for what is not known, is hung up on; the workers go on."""
    path = tmp_path / "owner.sock"
    async with owning(path), linked(path) as link:
        unknown, long = packed(1, "nothing", b""), b"\xff\xff\xff\xff"
        for garbage in (b"\0\0\0\1\xc1", unknown, long, packed(0, "publish", b"\xc1")):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(garbage)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert await UnixRegistry(link).living() == ["one0"]


async def test_an_owner_that_hangs_is_lost(tmp_path: Path) -> None:
    """Connected and silent: who waits is told after two looks, a writer that it does not know."""
    path = tmp_path / "owner.sock"
    listening = listen_local(path)
    link = OwnerLink(path, "one0", ids=Ids(), health_s=0.05)
    await link.start()
    reading, writing = link.begin("read"), link.begin("write", is_write=True)
    await asyncio.wait([reading, writing])
    assert type(reading.exception()) is Unavailable
    assert type(writing.exception()) is OutcomeUnknown
    await link.close()
    listening.close()


def _be_reached_and_go(path: Path, *, times: int) -> None:
    for _ in range(times):
        with listen_local(path) as dying:
            dying.settimeout(5)
            dying.accept()[0].close()


async def test_an_owner_that_goes_as_it_is_reached_is_sought_again(tmp_path: Path) -> None:
    """A process that is being killed may still take a connection, and closes it before anything is said: as often as that, the next is tried."""
    path = tmp_path / "owner.sock"
    async with contextlib.AsyncExitStack() as stack:
        async with owning(path):
            link = await stack.enter_async_context(linked(path))
            bus, gaps = UnixBus(link), asyncio.Queue[Sequence[str]]()
            bus.subscribe("a", lambda _: None)
            await bus.settle("a")
            bus.on_gap(gaps.put_nowait)
        await asyncio.to_thread(_be_reached_and_go, path, times=50)
        await stack.enter_async_context(owning(path))
        async with asyncio.timeout(5):
            assert await gaps.get() == ("a",)


async def test_an_owner_that_cannot_be_reached_is_sought_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the system says why not: here the path leads to itself, elsewhere no descriptor is free. When it can be, workers are back."""
    path = tmp_path / "owner.sock"
    async with contextlib.AsyncExitStack() as stack:
        async with owning(path):
            link = await stack.enter_async_context(linked(path))
            bus, gaps = UnixBus(link), asyncio.Queue[Sequence[str]]()
            bus.subscribe("a", lambda _: None)
            await bus.settle("a")
            bus.on_gap(gaps.put_nowait)
            path.unlink()
            path.symlink_to(path)
        while "is not reached" not in caplog.text:  # noqa: ASYNC110  the log says when
            await asyncio.sleep(0.01)
        path.unlink()
        await stack.enter_async_context(owning(path))
        async with asyncio.timeout(5):
            assert await gaps.get() == ("a",)
    other = OwnerLink(tmp_path / ("x" * 200), "one0", ids=Ids())
    with pytest.raises(SettingsError, match="data_dir"):
        await other.start()


async def test_a_channel_is_heard_though_the_owner_was_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too much waits for the owner to be told of one more channel, the next connection tells it, and a gap is told."""
    path = tmp_path / "owner.sock"
    async with owning(path), linked(path) as link:
        bus = UnixBus(link)
        heard, gaps = asyncio.Queue[bytes](), asyncio.Queue[Sequence[str]]()
        bus.on_gap(gaps.put_nowait)
        with monkeypatch.context() as patched:
            patched.setattr(owner_link, "WAITING_BYTES", -1)
            bus.subscribe("a", heard.put_nowait)
        async with asyncio.timeout(5):
            assert await gaps.get() == ("a",)
            await bus.publish("a", b"1")
            assert await heard.get() == b"1"


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    """A worker does not wait for ever for an owner."""
    link = OwnerLink(tmp_path / "owner.sock", "one0", ids=Ids())
    with pytest.raises(Unavailable):
        await link.start(within_s=0.05)
    with pytest.raises(Unavailable):
        await link.ask("read")
    await link.close()
    with pytest.raises(Closed):
        await link.ask("read")
