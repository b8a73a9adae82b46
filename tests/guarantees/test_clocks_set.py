"""What happens to a running server whose calendar is set: into a leap day, an hour on and back, over the night in which clocks go forward."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from clarion.accounts import opened
from clarion.app import App
from clarion.client import AsyncClient
from clarion.clock import SystemClock, as_ms
from clarion.notifications.schedules import firing
from clarion.settings import Auth, Settings
from tests.api.conftest import bearer, client, problem
from tests.api.live import NAMESPACE, Live

STEPS = [{"inbox": {"title": "{{ payload.n }}"}}]
SOON_MS = 200  # before a moment
SCOPES = ["workflows:*", "notifications:send"]


class Calendar(SystemClock):
    """The machine's clocks, whose calendar can be set. What seconds are counted with goes on as it does."""

    set_by_ms = 0

    def now_ms(self) -> int:
        """What it shows."""
        return super().now_ms() + self.set_by_ms

    def set(self, moment: str) -> None:
        """From now on it is this moment, or soon: schedules come with whole seconds."""
        at_ms = as_ms(datetime.fromisoformat(moment)) - SOON_MS
        self.set_by_ms = at_ms - super().now_ms()


class House:
    """A server, a back end that has schedules there, and ann whom they tell."""

    def __init__(self, live: Live, calendar: Calendar, back_end: AsyncClient) -> None:
        self.live, self.calendar, self.back_end = live, calendar, back_end
        self.looks = 0

    async def schedule(self, name: str, **when: Any) -> None:
        """Have ann told the name."""
        trigger = {"workflow": "w", "recipients": [{"id": "ann"}], "payload": {"n": name}}
        await self.back_end.put_schedule(name, trigger, when)

    async def set(self, moment: str) -> None:
        """Set the calendar, and return when what is due by then has been told."""
        self.calendar.set(moment)
        self.looks += 1
        await self.schedule(f"look-{self.looks}", at=moment)
        while f"look-{self.looks}" not in await self.told():  # noqa: ASYNC110  it comes by itself
            await asyncio.sleep(0.02)

    async def told(self) -> list[str]:
        """What is in ann's inbox."""
        async with client(self.live.app.asgi) as http:
            token = bearer(self.live.token("ann"))
            page = (await http.get("/v1/inbox?limit=100", headers=token)).json()
        return sorted(item["title"] for item in page["items"])

    async def told_of_schedules(self) -> list[str]:
        """The same, without looks, each of which was told once."""
        told = await self.told()
        looks = [each for each in told if each.startswith("look")]
        assert looks == sorted(f"look-{n + 1}" for n in range(self.looks))
        return [each for each in told if each not in looks]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """On the evening before a leap day. What looks at the calendar every few seconds, or every minute, does so at each opportunity."""
    monkeypatch.setattr(opened, "LONGEST_SLEEP_S", 0.1)
    monkeypatch.setattr(firing, "RECKON_EVERY_S", 0.0)
    calendar = Calendar()
    calendar.set("2028-02-28T23:58:00Z")
    settings = Settings(data_dir=str(tmp_path), auth=Auth(open_namespaces=[NAMESPACE]))
    async with App(settings, lambda app: app.io.of(NAMESPACE) and None, clock=calendar) as app:
        live = Live(app)
        http = await live.back_end(scopes=SCOPES)
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=app.asgi, key=key) as back_end:
            await back_end.put_workflow({"workflow": "w", "steps": STEPS})
            yield House(live, calendar, back_end)


async def test_schedules_come_once_by_their_rule_and_connections_stay(house: House) -> None:
    """A leap day, a time that a night does not have, an hour back and on again: each occurrence is told once, and who is connected notices nothing.

    What a credential allows ends by the calendar, and comes back with it.
    """
    machine = await house.live.machine()
    await house.schedule("leap-day", cron="0 0 29 2 *")
    for moment in ("02-29T00:00:30", "02-28T23:30:00", "02-29T00:01:00"):
        await house.set(f"2028-{moment}Z")
        assert await house.told_of_schedules() == ["leap-day"]

    await house.set("2028-03-26T00:58:00Z")
    # In that night Berlin has no 02:30: it comes at 03:30, which is 01:30 UTC.
    await house.schedule(
        "night", repeats={"frequency": "daily", "at": "02:30", "zone": "Europe/Berlin"}
    )
    ann, token = await house.live.guest("ann"), bearer(house.live.token("ann"))
    await house.set("2028-03-26T01:29:00Z")
    assert await house.told_of_schedules() == ["leap-day"]
    await house.set("2028-03-26T01:58:00Z")
    assert await house.told_of_schedules() == ["leap-day", "night"]
    await house.set("2028-03-26T00:58:00Z")
    await house.set("2028-03-26T01:58:00Z")
    assert await house.told_of_schedules() == ["leap-day", "night"]
    for name in ("leap-day", "night"):
        told = (await house.back_end.occurrences(name))["items"]
        assert [each["outcome"] for each in told] == ["triggered"]
    assert await machine.heard() == []
    assert await ann.heard() == [f"41{NAMESPACE},"]
    async with client(house.live.app.asgi) as http:
        problem(await http.get("/v1/inbox", headers=token), 401, "token_expired")
        house.calendar.set("2028-03-26T00:58:00Z")
        assert (await http.get("/v1/inbox", headers=token)).is_success
