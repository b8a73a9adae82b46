"""Saved searches: each document that begins to match is handed on, at least once, whatever happens meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clarion.errors import Invalid, NotFound, TooMany, Unavailable
from clarion.features.search import Content, SaveSearch, document, saved, watching
from clarion.telemetry import spawn
from tests.features.search.test_live import Site, opened

TRIGGER = {"title": "Red!"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path, search_saved=2) as site:
        yield site


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "AGAIN_S", 0.01)


async def save(site: Site, name: str, query: Any, **more: Any) -> None:
    await site.search.saved.put("default", "c", name, SaveSearch(query, TRIGGER, **more))


async def handed(site: Site, count: int) -> list[tuple[str, str]]:
    """The names of the first so many matches, and of their documents."""
    taken = await site.triggers.at_least(count)
    return [(trigger.about["name"], trigger.about["id"]) for trigger in taken]


async def test_what_begins_to_match_is_handed_on_once(site: Site) -> None:
    """Not what matched before, nor what goes on matching; again after it has stopped. With the document, and a key of its own."""
    await site.put("old", {"title": "red"})
    await save(site, "red", {"text": "red"})
    await save(site, "mine", {"text": "red"}, access=["team:red"])
    await site.put("a", {"title": "red", "price": 1})
    await site.put("a", {"title": "red", "price": 2})
    await site.put("old", {"title": "red", "price": 3})
    await site.put("hidden", {"title": "red"}, "team:blue")
    await site.put("a", {"title": "blue"})
    await site.put("a", {"title": "red"})
    wanted = [("red", "a"), ("mine", "a"), ("red", "hidden"), ("red", "a"), ("mine", "a")]
    assert sorted(await handed(site, 5)) == sorted(wanted)
    first = site.triggers.taken[0]
    assert (first.source, first.about["collection"], first.asks) == ("search", "c", TRIGGER)
    assert len({trigger.key for trigger in site.triggers.taken}) == 5


async def test_what_cannot_be_handed_on_now_waits(site: Site) -> None:
    """In its order; a refusal is passed over, so that it keeps nobody."""
    await save(site, "red", {"text": "red"})
    site.triggers.refuses = Unavailable("not now")
    await site.put("a", {"title": "red"})
    await site.put("b", {"title": "red"})
    await asyncio.sleep(0.05)
    site.triggers.refuses = None
    assert await handed(site, 2) == [("red", "a"), ("red", "b")]
    site.triggers.refuses = NotFound("nobody")
    await site.put("c", {"title": "red"})
    await asyncio.sleep(0.05)
    site.triggers.refuses = None
    await site.put("d", {"title": "red"})
    assert (await handed(site, 3))[2] == ("red", "d")


async def test_it_goes_on_where_it_was_after_a_restart(site: Site) -> None:
    """What was written meanwhile is handed on; what was handed on is not, or under the same key."""
    await save(site, "red", {"text": "red"})
    await site.put("a", {"title": "red"})
    await handed(site, 1)
    await site.search.saved.close()
    await site.put("b", {"title": "red"})
    again = Site(site.store, site.limits)
    again.search.saved.start()
    await handed(again, 1)
    await again.search.put("default", "c", "c", Content({"title": "red"}))
    while again.triggers.taken[-1].about["id"] != "c":
        await again.triggers.at_least(len(again.triggers.taken) + 1)
    both = [*site.triggers.taken, *again.triggers.taken]
    assert list(dict.fromkeys(each.about["id"] for each in both)) == ["a", "b", "c"]
    assert len({each.key for each in both}) == 3
    await again.search.close()


async def test_a_search_is_saved_replaced_and_removed(site: Site) -> None:
    """So many for a collection; what is no query is refused, and what was there stays."""
    await save(site, "a", {"text": "red"})
    await save(site, "b", {"text": "blue"})
    with pytest.raises(TooMany, match="search_saved"):
        await save(site, "c", {"text": "x"})
    with pytest.raises(Invalid) as caught:
        await save(site, "a", {"where": {"nothing": 1}})
    assert caught.value.faults[0].pointer == "/query/where/nothing"
    with pytest.raises(Invalid) as caught:
        await site.search.saved.put("default", "c", "a", SaveSearch({}, {}))
    assert caught.value.faults[0].pointer == "/trigger/title"
    await save(site, "b", {"text": "green"})
    items, more = await site.search.saved.list("default", "c", "", 1)
    assert ([each.name for each in items], more) == (["a"], True)
    await site.search.saved.remove("default", "c", "a")
    with pytest.raises(NotFound):
        await site.search.saved.get("default", "c", "a")
    for id, title in (("1", "red"), ("2", "blue"), ("3", "green")):
        await site.put(id, {"title": title})
    assert await handed(site, 1) == [("b", "3")]


async def test_what_one_process_is_asked_the_others_look_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was watching before, and one that never heard of the collection; what was removed is no longer looked for."""
    monkeypatch.setattr(watching, "LOOK_S", 0.02)
    monkeypatch.setattr(saved, "LOOK_S", 0.02)
    other = Site(site.store, site.limits)
    other.search.saved.start()
    await save(site, "red", {"text": "red"})
    await other.put("a", {"title": "red"})
    assert await handed(other, 1) == [("red", "a")]
    await save(site, "blue", {"text": "blue"})
    await site.search.saved.remove("default", "c", "red")
    await save(site, "red", {"text": "crimson"})
    await site.search.saved.close()
    await other.put("b", {"title": "blue"})
    await other.put("c", {"title": "red"})
    await other.put("d", {"title": "crimson"})
    assert await handed(other, 3) == [("red", "a"), ("blue", "b"), ("red", "d")]
    keys = {each.key for each in [*site.triggers.taken, *other.triggers.taken]}
    assert len(keys) == 3
    await other.search.close()


async def test_what_happened_while_nothing_was_looked_for_is_passed_over(site: Site) -> None:
    """After the last one was removed and one is saved again, with the same name or another."""
    await save(site, "red", {"text": "red"})
    await site.search.saved.remove("default", "c", "red")
    for n in range(3):
        await site.put(str(n), {"title": "red"})
    await save(site, "red", {"text": "red"})
    await site.put("late", {"title": "red"})
    assert await handed(site, 1) == [("red", "late")]


async def test_a_bug_in_handing_on_ends_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and tried again: nothing is passed over."""
    monkeypatch.setattr(watching, "LOOK_S", 0.02)
    await save(site, "red", {"text": "red"})
    site.triggers.refuses = KeyError("a bug")
    await site.put("a", {"title": "red"})
    await asyncio.sleep(0.05)
    site.triggers.refuses = None
    assert await handed(site, 1) == [("red", "a")]
    assert "saved searches wait" in caplog.text


async def test_others_have_a_turn_between_two_documents(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many were written at once, and however long they are."""
    await save(site, "red", {"text": "red"})
    seen: list[str] = []

    def prepare(id: str, *given: Any) -> Any:
        seen.append(id)
        return document.prepare(id, *given)

    async def others() -> None:
        while True:
            seen.append("")
            await asyncio.sleep(0)

    monkeypatch.setattr(watching, "prepare", prepare)
    busy = spawn(others(), name="others")
    await site.search.write("default", "c", [(f"d{n}", Content({"title": "b"})) for n in range(9)])
    await site.put("last", {"title": "red"})
    await handed(site, 1)
    busy.cancel()
    compared = [id for id in seen if id]
    assert compared == [*(f"d{n}" for n in range(9)), "last"]
    assert not any(one and other for one, other in itertools.pairwise(seen))


async def test_a_search_that_is_changed_takes_no_room_that_is_not_there(tmp_path: Path) -> None:
    """Of those that ask for nothing in particular there are so many, also where one that asked for a word is put anew; one of them may be."""
    nothing, other = {"where": {"not": {"ok": True}}}, {"where": {"not": {"ok": False}}}
    async with opened(tmp_path, search_unselective=1) as site:
        await save(site, "a", nothing)
        await save(site, "b", {"text": "red"})
        with pytest.raises(TooMany, match="nothing in particular"):
            await save(site, "b", nothing)
        assert (await site.search.saved.get("default", "c", "b")).query == {"text": "red"}
        await save(site, "a", other)
