"""What outlives connections, on both engines: the same answers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.bus import LocalBus
from clarion.clock import ManualClock
from clarion.errors import Invalid, TooMany
from clarion.features.presence.people import People, Visibility
from clarion.features.presence.seen import DAY_MS, Seen, Times
from clarion.settings import Presence as Settings
from clarion.storage import Store, open_store
from clarion.storage.slices import total
from tests.support.services import Postgres

SETTINGS = Settings(contacts=3, seen_keep_days=2)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = ""
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = await postgres.new_database()
    store = await open_store(url=url, data_dir=tmp_path, clock=ManualClock())
    yield store
    await store.close()


async def test_times_are_kept_and_the_latest_count(store: Store) -> None:
    """Of several processes that write, in whatever order; what is too old goes."""
    clock = ManualClock()
    here: list[tuple[str, str, int]] = [("t", "ann", 5), ("t", "ben", 7)]
    one, other = (Seen(store, SETTINGS, clock, lambda: here) for _ in range(2))
    await one.flush()
    first = clock.now_ms()
    found = await other.find("t", ["ben", "nobody", "ann"])
    assert found == [(Times(first, 7), None), (Times(None, None), None), (Times(first, 5), None)]
    clock.advance(10)
    other.left("t", "ann", 3)
    here.clear()
    await other.flush()
    assert await one.find("t", ["ann"]) == [(Times(first + 10_000, 5), None)]
    assert await one.find("u", ["ann"]) == [(Times(None, None), None)]
    clock.advance(2 * DAY_MS / 1000 - 5)
    assert await total(one.purge()) == 1
    assert [times.seen_ms for times, _ in await one.find("t", ["ann", "ben"])] == [
        first + 10_000,
        None,
    ]


async def test_choices_and_contacts(store: Store) -> None:
    """Chosen again and again; known or not; bounded, and of a call that is refused nothing is done."""
    people = People(store, LocalBus(), SETTINGS)
    assert await people.visibility("t", "ann") == "everyone"
    choices: tuple[Visibility, ...] = ("nobody", "contacts")
    for choice in choices:
        await people.choose("t", "ann", choice)
        assert await people.visibility("t", "ann") == choice
    assert await people.change_contacts("t", "ann", ["ben", "cleo", "ben"], ["dan"]) == 2
    assert await people.change_contacts("t", "ann", ["ben"], []) == 2
    with pytest.raises(TooMany):
        await people.change_contacts("t", "ann", ["x", "y"], ["dan"])
    assert await people.contacts("t", "ann", "", 10) == ["ben", "cleo"]
    assert await people.contacts("t", "ann", "ben", 10) == ["cleo"]
    assert await people.contacts("t", "ann", "", 1) == ["ben"]
    assert await people.change_contacts("t", "ann", ["Zoe", "äda"], ["ben"]) == 3
    assert await people.contacts("t", "ann", "", 10) == ["Zoe", "cleo", "äda"]
    seen = [await people.visible("t", who, ["ann", "ben"]) for who in ("cleo", "ben", "ann", None)]
    assert seen == [[True, True], [False, True], [True, True], [False, True]]
    assert await people.visible("u", "cleo", ["ann"]) == [True]
    assert await people.visible("t", "cleo", []) == []
    with pytest.raises(Invalid):
        await people.visible("t", "cleo", ["a\x00b"])
