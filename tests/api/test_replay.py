"""`GET /v1/runs/{id}/replay`: the mention that is told as little as it takes, gone through again under another version."""

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from clarion.storage.store import Sql
from tests.api.conftest import Site, bearer, problem
from tests.notifications.office import Letters


class Table(Struct, frozen=True):
    """A table, and how all of it is read."""

    name: str
    read: str


class Rows(Struct, frozen=True):
    """All rows of a table in one text; None: it has none."""

    rows: str | None


TABLES = Sql(
    """SELECT t.name, 'SELECT group_concat(' || group_concat('quote("' || c.name || '")', ' || ') || ') FROM ' || t.name
       FROM (SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%') AS t
       CROSS JOIN pragma_table_info(t.name) AS c GROUP BY t.name""",
    Table,
)


def mention(seen: str = "5m", read: str = "1h", stop: str = "bell.seen") -> dict[str, Any]:
    """A letter if it is not seen, and another if it is not read."""
    steps = [
        {"id": "bell", "inbox": {"title": "{{ payload.actor }} mentioned you"}},
        {"id": "look", "wait": {"message": "bell", "is": "seen", "timeout": seen}},
        {"id": "enough", "stop": stop},
        {"id": "push", "letter": {"text": "psst"}},
        {"id": "hour", "wait": {"message": "bell", "is": "read", "timeout": read}},
        {"id": "known", "stop": "bell.read"},
        {"id": "once", "throttle": {"limit": 1, "per": "1h"}},
        {"id": "mail", "letter": {"text": "{{ inbox.unread }} unread"}},
    ]
    return {"workflow": "mention", "category": "social", "steps": steps}


class Mentioned:
    """A site where ann was mentioned, and the caller who asks about that."""

    def __init__(self, site: Site) -> None:
        self.site, self.letters = site, Letters()
        site.workflows.channels.add(self.letters)

    @property
    def boss(self) -> dict[str, str]:
        return bearer(self.site.token("ops", "workflows:*", "notifications:send"))

    async def put(self, workflow: dict[str, Any]) -> None:
        answer = await self.site.http.put("/v1/workflows/mention", json=workflow, headers=self.boss)
        assert answer.status_code == 200, answer.text

    async def passes(self, minutes: int) -> None:
        workflows = self.site.workflows
        for _ in range(minutes):
            self.site.clock.advance(60)
            while await workflows.runs.go_on():
                await workflows.runs.fetched()
            while await workflows.sender.look() == 0.0:
                await workflows.sender.close()

    async def begin(self) -> str:
        """Mention her; the id of her run."""
        await self.put(mention())
        body = {
            "workflow": "mention",
            "recipients": [{"id": "ann", "email": "ann@example.com"}],
            "payload": {"actor": "Cleo"},
        }
        sent = await self.site.http.post("/v1/triggers", json=body, headers=self.boss)
        await self.site.workflows.triggers.settled()
        at = f"/v1/triggers/{sent.json()['id']}/runs"
        runs = await self.site.http.get(at, headers=self.boss)
        return str(runs.json()["items"][0]["id"])

    async def see(self) -> None:
        """She has it on her screen."""
        ann = bearer(self.site.token("ann"))
        [message] = (await self.site.http.get("/v1/inbox", headers=ann)).json()["items"]
        answer = await self.site.http.post(f"/v1/inbox/{message['id']}/seen", headers=ann)
        assert answer.status_code == 200, answer.text

    async def replay(self, run: str, query: str = "") -> dict[str, Any]:
        """The answer; nothing is written or sent by asking."""
        before, letters = await self.everything(), len(self.letters.sent)
        answer = await self.site.http.get(f"/v1/runs/{run}/replay{query}", headers=self.boss)
        assert answer.status_code == 200, answer.text
        await self.passes(0)
        assert await self.everything() == before
        assert len(self.letters.sent) == letters
        found: dict[str, Any] = answer.json()
        return found

    async def everything(self) -> dict[str, str | None]:
        """All rows of all tables."""
        store = self.site.store
        return {
            table.name: (await store.fetch(Sql(table.read, Rows)))[0].rows
            for table in await store.fetch(TABLES)
        }


def told(replay: dict[str, Any]) -> list[str]:
    """Each step in short: what became of it, `*` where that differs."""
    return [
        f"{each['step']} {each['outcome']}{'*' if each['differs'] else ''}"
        for each in replay["steps"]
    ]


async def test_another_wait_and_another_condition_make_another_end(site: Site) -> None:
    """Seen after seven minutes and never read: a push after five, an email after the hour; with ten minutes to see it, neither."""
    given = Mentioned(site)
    run = await given.begin()
    await given.passes(7)
    await given.see()
    await given.passes(120)
    assert [each.content["text"] for each in given.letters.sent] == ["psst", "1 unread"]
    itself = await given.replay(run)
    own = (await site.http.get(f"/v1/runs/{run}", headers=given.boss)).json()
    assert [{name: each[name] for name in own["steps"][0]} for each in itself["steps"]] == own[
        "steps"
    ]
    assert not any(each["differs"] or each["assumed"] for each in itself["steps"])
    assert (itself["id"], itself["workflow"]) == (run, "mention")
    assert (itself["version"], itself["run_version"], itself["status"]) == (1, 1, "done")

    await given.put(mention(seen="10m"))
    patient = await given.replay(run)
    assert told(patient) == ["bell sent", "look passed*", "enough stopped*"]
    assert (patient["version"], patient["run_version"], patient["status"]) == (2, 1, "stopped")
    assert patient["steps"][1]["why"] == "happened"
    assert patient["left_out"] == ["push", "hour", "known", "once", "mail"]

    # Who is content with less: it is there from the beginning, and its condition is read from what really became of it.
    await given.put(mention(seen="10m", stop="bell.read"))
    assert told(await given.replay(run, "?version=3")) == [
        "bell sent", "look passed*", "enough passed*", "push sent", "hour passed", "known passed",
        "once passed", "mail sent",
    ]  # fmt: skip
    # The hour is the same: what comes after it as well.
    await given.put(mention(stop="actor"))
    assert told(await given.replay(run))[:3] == ["bell sent", "look passed", "enough passed*"]
    assert told(await given.replay(run, "?version=1")) == told(itself)


async def test_it_goes_no_further_than_the_present(site: Site) -> None:
    """What is still to come of a run is not made up."""
    given = Mentioned(site)
    run = await given.begin()
    await given.passes(7)
    await given.put(mention(seen="20m"))
    ahead = await given.replay(run)
    assert (told(ahead), ahead["status"]) == (["bell sent"], "running")
    own = (await site.http.get(f"/v1/runs/{run}", headers=given.boss)).json()
    waits = datetime.fromisoformat(ahead["due_at"]) - datetime.fromisoformat(own["steps"][0]["at"])
    assert waits == timedelta(minutes=20)


async def test_what_is_not_there_is_not_found(site: Site) -> None:
    """A run, a version, a run of another tenant; a version that is none is refused."""
    given = Mentioned(site)
    run = await given.begin()
    for at, status, code in (
        (f"{run[:-4]}ffff/replay", 404, "not_found"),
        (f"{run}/replay?version=2", 404, "not_found"),
        (f"{run}/replay?version={2**63 - 1}", 404, "not_found"),
        (f"{run}/replay?version={2**63}", 422, "invalid"),
        (f"{run}/replay?version=0", 422, "invalid"),
    ):
        answer = await site.http.get(f"/v1/runs/{at}", headers=given.boss)
        problem(answer, status, code)
    others = bearer(site.token("ops", "workflows:read", tenant="elsewhere"))
    problem(await site.http.get(f"/v1/runs/{run}/replay", headers=others), 404, "not_found")
