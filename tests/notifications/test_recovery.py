"""State + publications = the state now: for an inbox after any history, wherever a client was cut off and came back."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.clock import ManualClock
from clarion.storage import open_store
from clarion.storage.slices import total
from clarion.topics.stream import Position
from tests.notifications.conftest import House, Reader, build, user
from tests.support.services import Postgres

WINDOW = 3
ACTIONS = ["read", "unread", "archive", "archive", "unarchive", "seen"]

Step = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 3)),
    st.tuples(st.just("mark"), st.integers(0, 2 * WINDOW), st.sampled_from(ACTIONS)),
    st.tuples(st.just("mark"), st.integers(0, 2 * WINDOW), st.sampled_from(ACTIONS)),
    st.tuples(st.just("all"), st.sampled_from(["read", "archive", "seen"])),
    st.tuples(st.just("some"), st.integers(0, 2 * WINDOW)),
    st.tuples(st.just("lose")),
    st.tuples(st.just("trim"), st.integers(0, 4)),
    st.tuples(st.just("cut")),
    st.tuples(st.just("return")),
)


TIMES = ("read_at", "archived_at", "seen_at")


class Client:
    """What a client library makes of the wire: a window of messages, the count of unread ones, a position."""

    def __init__(self, house: House, name: str) -> None:
        self.house, self.name = house, name
        self.items: dict[int, dict[str, Any]] = {}
        self.unread = (0, 0)
        self.position: Position | None = None
        self.reader: Reader | None = None
        self.recovered = 0

    async def come(self) -> None:
        if self.reader is not None:
            return
        self.reader = reader = await self.house.subscribe(self.name, self.position)
        answer = msgspec.to_builtins(reader.answer)
        if answer["recovered"]:
            self.recovered += 1
            for publication in answer["publications"]:
                self._apply(publication)
        else:
            self.items = {item["seq"]: item for item in answer["snapshot"]["items"]}
            self.unread = answer["snapshot"]["unread"], answer["snapshot"]["unseen"]
        self.position = Position(answer["epoch"], answer["offset"], answer["mark"])

    def go(self) -> None:
        if self.reader is not None:
            self.take()
            self.house.engine.leave(self.reader)
            self.reader = None

    def take(self) -> None:
        assert self.reader is not None
        assert self.reader.ended == []
        for publication in self.reader.publications:
            assert self.position is not None
            assert publication.offset == self.position.offset + 1
            self._apply(msgspec.to_builtins(publication))
        self.reader.publications.clear()

    def _apply(self, publication: dict[str, Any]) -> None:
        data = publication["data"]
        match publication["event"]:
            case "added":
                self._insert(data["message"])
            case "changed":
                for item in list(self.items.values()):
                    if item["id"] == data["id"]:
                        item.update({name: data[name] for name in TIMES})
                        if item["archived_at"]:
                            del self.items[item["seq"]]
                for member in ("message", "entered"):
                    if member in data:
                        self._insert(data[member])
            case "all_read":
                for item in self.items.values():
                    if item["read_at"] is None:
                        item["read_at"] = data["read_at"]
                        item["seen_at"] = item["seen_at"] or data["read_at"]
            case "seen" | "all_seen":
                for item in self.items.values():
                    is_meant = item["id"] in data["ids"] if "ids" in data else not item["read_at"]
                    if is_meant:
                        item["seen_at"] = item["seen_at"] or data["seen_at"]
            case "all_archived":
                self.items.clear()
        self.unread = data["unread"], data["unseen"]
        epoch = "" if self.position is None else self.position.epoch
        self.position = Position(epoch, publication["offset"], publication["mark"])

    def _insert(self, item: dict[str, Any]) -> None:
        self.items[item["seq"]] = dict(item)
        for seq in sorted(self.items)[:-WINDOW]:
            del self.items[seq]

    def state(self) -> tuple[list[Any], tuple[int, int]]:
        return [self.items[seq] for seq in sorted(self.items, reverse=True)], self.unread


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, House]]:
    """A house with a window of 3, and the loop that it lives in."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr("clarion.notifications.log.WINDOW", WINDOW)
        patch.setattr("clarion.notifications.inbox.ledger.WINDOW", WINDOW)
        url = ""
        if request.param == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = runner.run(postgres.new_database())
        folder = tmp_path_factory.mktemp("recovery")

        async def start() -> House:
            return build(await open_store(url=url, data_dir=folder, clock=ManualClock()))

        house = runner.run(start())
        yield runner, house
        runner.run(house.engine.close())
        runner.run(house.store.close())


names = (f"reader{number}" for number in itertools.count())


@settings(max_examples=60, deadline=None)
@given(st.lists(Step, min_size=8, max_size=40))
def test_any_history_with_cuts_and_trims(
    place: tuple[asyncio.Runner, House], steps: list[tuple[Any, ...]]
) -> None:
    runner, house = place
    runner.run(history(house, next(names), steps))


async def history(house: House, name: str, steps: list[tuple[Any, ...]]) -> None:
    stays, roams = Client(house, name), Client(house, name)
    for _ in range(2 * WINDOW):
        await house.send(name)
    await stays.come()
    ids = [item.id for item in (await house.inbox.page(user(name))).items]
    is_deaf = False
    for step in steps:
        house.clock.advance(1)
        match step:
            case ("send", count):
                for _ in range(count):
                    await house.send(name)
                ids = [item.id for item in (await house.inbox.page(user(name))).items]
            case ("mark", at, action) if ids:
                await house.inbox.mark(user(name), ids[at % len(ids)], action)
            case ("all", action):
                await house.inbox.mark_all(user(name), action)
            case ("some", count):
                await house.inbox.mark_seen(user(name), ids[:count])
            case ("lose",):
                # What is announced until the next check is lost.
                is_deaf = not is_deaf
                house.deafen(is_deaf)
            case ("trim", keep):
                await house.settle()
                await house.engine.check_positions()
                await house.caught_up()
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("clarion.notifications.inbox.inbox.LOG_SIZE", keep)
                    await total(house.inbox.trim())
            case ("cut",):
                await house.settle()
                roams.go()
            case ("return",):
                await roams.come()
    house.deafen(False)
    await roams.come()
    await house.settle()
    await house.engine.check_positions()
    await house.caught_up()
    fresh = await house.kind.log.snapshot(house.topic(name))
    for client in (stays, roams):
        client.take()
        assert client.state() == (
            fresh.state["items"],
            (fresh.state["unread"], fresh.state["unseen"]),
        )
        assert client.position == fresh.position
        client.go()


async def test_what_was_missed_comes_as_publications_not_as_a_snapshot(house: House) -> None:
    """The second oracle: a client that always got snapshots would pass the first."""
    client = Client(house, "ann")
    await client.come()
    for number in range(3):
        client.go()
        await house.send("ann", "bob", title=str(number))
        await client.come()
    assert client.recovered == 3
    assert [item["title"] for item in client.items.values()] == ["0", "1", "2"]


async def test_live_publications_need_no_repair(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a run without faults the log is never read: a defence that works overtime would hide a bug."""
    client = Client(house, "ann")
    await client.come()
    monkeypatch.setattr(house.kind.log, "read", None)
    await asyncio.gather(*(house.send("ann", f"other{number}") for number in range(20)))
    for item in (await house.inbox.page(user("ann"), limit=5)).items:
        await house.inbox.mark(user("ann"), item.id, "read")
    await house.settle()
    client.take()
    assert client.unread == (15, 15)
    assert client.position == (await house.inbox.page(user("ann"))).position
