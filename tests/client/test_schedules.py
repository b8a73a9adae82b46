"""The Python SDK speaks of schedules, to a server whose clock goes on by itself."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from clarion.client import ApiError, AsyncClient, Client
from clarion.clock import SystemClock, as_datetime
from tests.api.live import lively

NOON = {"repeats": {"frequency": "daily", "at": "12:00", "zone": "Europe/Berlin"}}
HELLO = {"workflow": "hello", "steps": [{"inbox": {"title": "{{ payload.n }}"}}]}
WHAT = {"workflow": "hello", "recipients": [{"id": "ann"}], "payload": {"n": 1}}


async def test_a_schedule_is_put_changed_run_and_called_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a back end does with one; and what is due in a second has come when that is over."""
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["workflows:*", "notifications:send"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            await clarion.put_workflow(HELLO)
            assert [each.local[-5:] for each in await clarion.preview_schedule(NOON, count=2)] == [
                "12:00", "12:00",
            ]  # fmt: skip
            first = await clarion.put_schedule("noon", WHAT, NOON, missed="skip")
            assert (await clarion.put_schedule("noon", WHAT, NOON, missed="skip")) == first
            changed = await clarion.put_schedule("noon", WHAT, NOON, if_match=first.etag)
            for change in (clarion.pause_schedule, clarion.cancel_schedule):
                with pytest.raises(ApiError) as stale:
                    await change("noon", if_match=first.etag)
                assert stale.value.code == "stale"
            assert (await clarion.pause_schedule("noon", if_match=changed.etag)).state == "paused"
            assert (await clarion.schedules(state="paused", workflow="hello"))["next"] is None
            assert (await clarion.resume_schedule("noon")).next == first.next
            ran = await clarion.run_schedule("noon", idempotency_key="k")
            assert (await clarion.run_schedule("noon", idempotency_key="k")).id == ran.id
            [by_hand] = (await clarion.occurrences("noon"))["items"]
            assert (by_hand["by_hand"], by_hand["trigger"]) == (True, ran.id)
            await clarion.cancel_schedule("noon")
            assert (await clarion.find_schedule("noon")).state == "cancelled"

            came, triggers = asyncio.Event(), live.app.workflows.triggers
            begin = triggers.begin

            def note(*given: Any) -> Any:
                came.set()
                return begin(*given)

            monkeypatch.setattr(triggers, "begin", note)
            soon = as_datetime(SystemClock().now_ms()) + timedelta(seconds=1)
            await clarion.put_schedule("soon", WHAT, {"at": soon.isoformat()})
            async with asyncio.timeout(30):
                await came.wait()
            come = (await clarion.occurrences("soon"))["items"]
            assert [each["outcome"] for each in come] == ["triggered"]
            assert datetime.fromisoformat(come[0]["created_at"]) >= soon.replace(microsecond=0)
            with pytest.raises(ApiError) as wrong:
                await clarion.put_schedule("bad", WHAT, {"at": "2026", "zone": "Berlin"})
            assert [fault["pointer"] for fault in wrong.value.problem["errors"]] == ["/when/zone"]


def test_a_change_of_what_was_read_is_not_made_twice_where_no_answer_came() -> None:
    """If it has happened, the repetition would say that somebody else had changed it. Calling off may be repeated."""
    tries: list[str] = []

    def hang_up(request: httpx.Request) -> httpx.Response:
        tries.append(request.method)
        raise httpx.ReadError("")

    with Client("http://x", key="x", retries=1) as clarion:
        clarion._http = httpx.Client(transport=httpx.MockTransport(hang_up), base_url="http://x")
        for change in (
            lambda: clarion.put_schedule("s", WHAT, NOON, if_match='"1"'),
            lambda: clarion.pause_schedule("s", if_match='"1"'),
            lambda: clarion.cancel_schedule("s", if_match='"1"'),
        ):
            with pytest.raises(ApiError, match="no answer"):
                change()
    assert tries == ["PUT", "PATCH", "DELETE", "DELETE"]
