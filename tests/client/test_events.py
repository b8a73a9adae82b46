"""The Python SDK speaks of events."""

from pathlib import Path

import pytest

from clarion.client import ApiError, AsyncClient
from clarion.client import events as both
from clarion.clock import as_datetime
from tests.api.live import lively


async def test_events_are_told_counted_exported_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, in a batch, of one person; page by page; what is told twice by its id counts once."""
    monkeypatch.setattr("clarion.client.event_calls.PAGE", 2)
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["events:*"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            for taken in (1, 0):
                told = await clarion.track("order.paid", "ann", {"total": 3}, id="o-1")
                assert (told.taken, told.repeated, told.durability) == (taken, 1 - taken, "fsync")
            at = as_datetime(live.app.clock.now_ms())
            many = [{"event": "a"}, {"event": "a"}, {"event": "order.paid", "user": "ben"}]
            assert (await clarion.track_many(many)).taken == 3
            assert (await clarion.track("a", "ann", {"b": 1}, at=at, consent=False)).taken == 1
            found = await clarion.event_numbers("order.paid")
            assert (found.count, found.people) == (2, 2)
            lines = [line async for line in clarion.export_events()]
            assert len(lines) == 5
            assert (lines[0].user, lines[0].properties) == ("ann", {"total": 3})
            assert [line.id async for line in clarion.export_events(user="ann")] == ["o-1"]
            assert await clarion.forget_events("ann") == 1
            with pytest.raises(ApiError) as caught:
                await clarion.track("no name")
            assert caught.value.code == "invalid"


def test_both_clients_say_the_same() -> None:
    """What one has, the other has."""
    names = [
        {name for name in vars(kind) if not name.startswith("_")}
        for kind in (both.EventCalls, both.AsyncEventCalls)
    ]
    assert names[0] == names[1]
