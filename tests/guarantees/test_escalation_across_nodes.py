"""Who is told outside the page, where they are on one node, the run is another's, and a node dies in between: those who were not reached, exactly."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clarion.clock import SystemClock
from tests.support.push_service import Browser, PushService
from tests.support.quick_client import Client
from tests.support.raw_socketio import until
from tests.support.server import Server
from tests.support.services import Postgres
from tests.support.two_nodes import House

SEEN = {
    "workflow": "seen",
    "steps": [
        {"id": "bell", "inbox": {"title": "{{ payload.n }}"}},
        {"wait": "2s"},
        {"push": {"title": "{{ payload.n }}"}, "if": "not bell.seen"},
    ],
}
THERE = {
    "workflow": "there",
    "steps": [{"push": {"title": "{{ payload.n }}"}, "if": "not recipient.online"}],
}
PEOPLE = ("sees", "looks away", "is idle", "has died", "is elsewhere", "is gone")


class Town:
    """Six people with a phone each, and two nodes."""

    def __init__(self, house: House, service: PushService) -> None:
        self.house = house
        self.one, self.two = house.nodes
        self.key = self.one.key("workflows:*", "subscribers:*", "notifications:send", "presence:*")
        self.phones: dict[str, Browser] = {who: service.browser() for who in PEOPLE}
        for workflow in (SEEN, THERE):
            path = f"/v1/workflows/{workflow['workflow']}"
            assert self.one.put(path, workflow, token=self.key).is_success
        for who, phone in self.phones.items():
            body = {"subscription": phone.subscription}
            token = house.token(_id(who))
            answer = self.one.post("/v1/push/devices", body, token=token)
            assert answer.is_success, answer.text

    async def opens(self, who: str, node: Server, *, answers_pings: bool = True) -> Client:
        """Somebody opens the page, by way of a node."""
        client = Client(node.port, "/clarion", answers_pings=answers_pings)
        await client.connect(token=self.house.token(_id(who)))
        [answer] = await client.ask("subscribe", {"topic": f"inbox:{_id(who)}"})
        assert "snapshot" in answer, answer
        return client

    def tells(self, workflow: str, n: int, node: Server) -> None:
        """Tell everybody, by way of a node."""
        people = [{"id": _id(who)} for who in PEOPLE]
        body = {"workflow": workflow, "recipients": people, "payload": {"n": str(n)}}
        answer = node.post("/v1/triggers", body, token=self.key)
        assert answer.status_code == 202, answer.text

    def got(self, n: int) -> set[str]:
        """Who got it by push, each once."""
        found = [
            who
            for who, phone in self.phones.items()
            for each in phone.got
            if each["title"] == str(n)
        ]
        assert len(found) == len(set(found)), found
        return set(found)

    async def become(self, node: Server, **statuses: str) -> None:
        """Wait until a node says that people are so."""
        asked = {"users": [_id(who) for who in PEOPLE], "regardless": True}
        async with asyncio.timeout(30):
            while True:
                # Other things of this loop have their turn meanwhile: pings are answered here.
                told = await asyncio.to_thread(
                    node.post, "/v1/presence/status", asked, token=self.key
                )
                found: dict[str, Any] = {}
                if told.is_success:
                    found = {each["user"]: each["status"] for each in told.json()["items"]}
                if statuses.items() <= found.items():
                    return
                await asyncio.sleep(0.05)


def _id(who: str) -> str:
    return who.replace(" ", "-")


@pytest.fixture
async def town(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Town]:
    clock = SystemClock()
    async with PushService(lambda: clock.now_ms() / 1000).serving() as service:
        settings = {
            "CLARION_REALTIME_PING_INTERVAL_S": "0.3",
            "CLARION_REALTIME_PING_TIMEOUT_S": "30",
            "CLARION_PRESENCE_UNANSWERED_S": "0.5",
            "CLARION_PUSH_SERVICES": "127.0.0.1",
            "CLARION_PUSH_NETWORKS": "127.0.0.1/32",
            "CLARION_PUSH_PORTS": str(service.port),
            "CLARION_PUSH_SUBJECT": "mailto:ops@example.com",
            "CLARION_LIMITS_DRAIN_S": "1",
        }
        database = await postgres.new_database()
        house = await asyncio.to_thread(House, tmp_path, database, **settings)
        try:
            yield await asyncio.to_thread(Town, house, service)
        finally:
            await asyncio.to_thread(house.close)


async def test_exactly_those_who_were_not_reached_get_a_push(town: Town) -> None:
    """They are on one node, which is killed after some have seen it and before the others are due; the run is the other node's."""
    sees = await town.opens("sees", town.one)
    await town.opens("looks away", town.one)
    idle = await town.opens("is idle", town.one)
    status = {"topic": "contacts:is-idle", "event": "update", "data": {"status": "idle"}}
    await idle.ask("publish", status)
    await town.opens("has died", town.one, answers_pings=False)
    elsewhere = await town.opens("is elsewhere", town.two)
    reached = {"sees": "online", "is-elsewhere": "online", "looks-away": "online"}
    await town.become(town.two, **reached, **{"is-idle": "idle", "has-died": "idle"})

    await asyncio.to_thread(town.tells, "there", 1, town.two)
    await until(lambda: town.got(1) == {"is idle", "has died", "is gone"})

    await asyncio.to_thread(town.tells, "seen", 2, town.two)
    for client in (sees, elsewhere):
        topic, id = await _told(client)
        await client.ask("publish", {"topic": topic, "event": "seen", "data": {"ids": [id]}})
    town.one.kill()
    await until(lambda: town.got(2) == {"looks away", "is idle", "has died", "is gone"})

    # Whoever was on the node that died is gone once its lease and the grace period are over; who comes back is there.
    await town.become(
        town.two, **{"sees": "offline", "looks-away": "offline", "is-elsewhere": "online"}
    )
    await town.opens("looks away", town.two)
    await town.become(town.two, **{"looks-away": "online"})
    await asyncio.to_thread(town.tells, "there", 3, town.two)
    await until(lambda: town.got(3) == {"sees", "is idle", "has died", "is gone"})
    assert town.got(1) == {"is idle", "has died", "is gone"}
    assert town.got(2) == {"looks away", "is idle", "has died", "is gone"}


async def _told(client: Client) -> tuple[str, str]:
    """The topic and the id of the message that has come."""
    async with asyncio.timeout(10):
        while True:
            for event in client.events:
                if event[0] == "publication" and event[1].get("event") == "added":
                    return event[1]["topic"], event[1]["data"]["message"]["id"]
            await asyncio.sleep(0.01)
