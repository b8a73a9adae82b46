"""Forgetting somebody in all of a server: what they have outside of notifications is told to them, and goes with them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from clarion.app import App
from clarion.errors import NotFound
from clarion.features import dashboard, search
from clarion.features.activity import NewActivity, Upto
from clarion.features.search import Definition as Collection
from clarion.notifications.people_shapes import Described
from clarion.notifications.workflows.definition import Definition
from clarion.settings import Settings
from clarion.storage import Sql
from clarion.topics.triggers import without
from tests.notifications.conftest import APP


class Number(Struct, frozen=True):
    """How many rows."""

    count: int


LEFT = {
    "activity_follow": "usr = 'ann'",
    "activity_follower": "usr = 'ann'",
    "activity_timeline": "usr = 'ann'",
    "activity_mark": "usr = 'ann'",
    "activity_reaction": "usr = 'ann'",
    "search_saved": "hands LIKE '%ann%'",
    "dashboard": "definition LIKE '%ann%'",
}
ANN = {"id": "ann", "email": "ann@example.com"}


async def left(app: App) -> dict[str, int]:
    """Rows that have something of ann."""
    return {
        table: (await app.store.fetch(Sql(f"SELECT count(*) FROM {table} WHERE {where}", Number)))[0].count
        for table, where in LEFT.items()
    }  # fmt: skip


def asks(*recipients: Any, **more: Any) -> dict[str, Any]:
    return {"title": "Look", "recipients": list(recipients), **more}


async def fill(app: App) -> None:
    """Two people follow, react, read, and are told of searches and alerts."""
    await app.workflows.catalog.put(
        APP, Definition(workflow="w", steps=[{"inbox": {"title": "x"}}])
    )
    activity = app.activity
    for stream in ("a", "b"):
        written = await activity.streams.add(
            "default", stream, NewActivity(verb="post", object="x", actor="cleo")
        )
        for user in ("ann", "ben"):
            await activity.timelines.follow("default", user, stream)
            await activity.reactions.add("default", stream, written.activity.id, "like", user)
            await activity.looks.mark("default", stream, user, "read", Upto())
    await app.search.collections.put("default", "c", Collection({"title": "text"}))  # fmt: skip
    for name, trigger in {
        "hers": asks(ANN),
        "both": asks(ANN, "ben"),
        "run": {"workflow": "w", "recipients": ["ann"], "everyone": True, "actor": "ann"},
        "his": asks("ben"),
    }.items():
        await app.search.saved.put("default", "c", name, search.SaveSearch({"text": "x"}, trigger))
    alerts = [
        dashboard.Alert(id=id, above=1, trigger=trigger)
        for id, trigger in {"hers": asks(ANN), "both": asks(ANN, "ben")}.items()
    ]
    await app.dashboards.put(
        "d", dashboard.Definition("D", [dashboard.Stat(id="n", alerts=alerts)])
    )


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_what_somebody_has_left_everywhere_goes_with_them(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What they follow, how they react and how far they have read, and their place in saved searches and alerts; others keep theirs."""
    url = ""
    if engine == "postgresql":
        url = await request.getfixturevalue("postgres").new_database()
    async with App(Settings(data_dir=str(tmp_path), database_url=url)) as app:
        people = app.workflows.people
        for user in ("ann", "ben"):
            await people.put("default", user, Described())
        await fill(app)
        told = [each["kind"] async for each in people.tell_all("default", "ann")]
        assert told == ["subscriber", "follow", "follow", "reaction", "reaction"]
        await app.activity.timelines.page("default", "ann")  # which has a job write it out
        async with asyncio.timeout(20):
            while not all((await left(app)).values()):  # noqa: ASYNC110  rows are no event
                await asyncio.sleep(0.02)
        await people.erase("default", "ann")
        async with asyncio.timeout(20):
            while any((await left(app)).values()):  # noqa: ASYNC110  rows are no event
                await asyncio.sleep(0.02)
        page = await app.activity.timelines.page("default", "ben")
        assert [each.reactions for each in page.items] == [{"like": 1}] * 2
        with pytest.raises(NotFound):
            await app.search.saved.get("default", "c", "hers")
        said = [(await app.search.saved.get("default", "c", name)).trigger for name in ("both", "run", "his")]  # fmt: skip
        assert said == [asks("ben"), {"workflow": "w", "recipients": [], "everyone": True}, asks("ben")]  # fmt: skip
        [widget] = (await app.dashboards.find("d")).definition.widgets
        assert [(each.id, each.trigger) for each in widget.alerts] == [("both", asks("ben"))]  # type: ignore[union-attr]


def test_what_does_not_name_somebody_stays_what_it_is() -> None:
    """The very same, so that nothing is written; and who is told by other names stays told."""
    for same in (asks("ben"), {"workflow": "w", "everyone": True}, {"title": "x"}):
        assert without(same, "ann") is same
    assert without(asks("ann", ANN), "ann") is None
    left = without({"workflow": "w", "filter": "x", "exclude": ["ann", "ben"]}, "ann")
    assert left == {"workflow": "w", "filter": "x", "exclude": ["ben"]}
