"""What `explain` says of a message is what becomes of it: for preferences, workflows and moments of all kinds."""

import random  # noqa: TID251  seeded
from typing import Any

import msgspec

from clarion.notifications.preferences.document import Defaults, Document
from clarion.notifications.workflows.times import moment
from clarion.storage import runs as run_sql
from tests.notifications.conftest import on_one_engine
from tests.notifications.office import Office, office

__all__ = ["office"]

ROUNDS = 100
SAID = {"inbox": {"title": "x"}, "letter": {"text": "x"}}
CHOICES = (True, False, "payload.urgent", 'recipient.name == "Ann"', 'actor == "boss"')
VERDICTS = {"skipped": "skip", "suppressed": "skip", "sent": "send"}


def chosen(chance: random.Random) -> Any:
    """What somebody says of something: on some channels, or on all."""
    if chance.random() < 0.4:
        return chance.choice(CHOICES)
    names = chance.sample(["inbox", "letter", "*"], chance.randint(1, 2))
    return {name: chance.choice(CHOICES) for name in names}


def said(chance: random.Random) -> dict[str, Any]:
    """What stands in both documents alike."""
    found: dict[str, Any] = {}
    if chance.random() < 0.3:
        found["channels"] = {"letter": chance.choice(CHOICES)}
    if chance.random() < 0.4:
        found["categories"] = {chance.choice(["social", "news"]): chosen(chance)}
    if chance.random() < 0.3:
        found["workflows"] = {"w": chosen(chance)}
    if chance.random() < 0.3:
        found["quiet"] = [{"from": "22:00", "to": "07:00"}]
    if chance.random() < 0.2:
        found["time_zone"] = chance.choice(["Europe/Berlin", "Asia/Tokyo"])
    return found


def of_a_person(chance: random.Random) -> dict[str, Any]:
    """A person's document."""
    found = said(chance)
    if chance.random() < 0.3:
        found["muted"] = [{"path": "payload.thread", "value": "t1"}]
    if chance.random() < 0.2:
        found["paused_until"] = "2030-01-01T00:00:00Z"
    if chance.random() < 0.2:
        found["holidays"] = ["2027-01-11"]
    return found


def of_all(chance: random.Random) -> dict[str, Any]:
    """The deployment's."""
    found = said(chance)
    if chance.random() < 0.2:
        found["required"] = ["social"]
    if chance.random() < 0.5:
        over, channel = chance.choice(["skip", "digest"]), chance.choice(["inbox", "letter"])
        found["caps"] = [{"channel": channel, "limit": 1, "per": "1h", "over": over}]
    return found


async def became(office: Office, trigger: str) -> tuple[str, str]:
    """What became of a trigger's message, in the words of `explain`, and why."""
    store = office.house.store
    runs = await store.fetch(
        run_sql.OF_TRIGGER, tenant="default", trigger_id=trigger, after="", n=1
    )
    if not runs:
        return "send", ""  # where all is sent at once there is nothing to explain
    records = await store.fetch(run_sql.RECORDS, tenant="default", run=runs[0].id)
    record = records[0]
    verdict = VERDICTS.get(record.outcome) or (
        "defer" if record.why.startswith("quiet until") else "collect"
    )
    return verdict, record.why


@on_one_engine
async def test_what_is_explained_is_what_happens(office: Office) -> None:
    """Whether it is sent, left out, or waits, and why; likewise of a notification that no workflow sends."""
    chance, desk = random.Random(11), office.engine.desk
    explain = office.engine.explainer.explain
    begin = moment("2027-01-11T00:00:00Z") or 0
    office.clock.advance((begin - office.clock.now_ms()) / 1000)
    seen: set[str] = set()
    for n in range(ROUNDS):
        office.clock.advance(chance.randint(60, 6 * 3_600))
        ann = {"id": f"ann{n}", "name": chance.choice(["Ann", "Anna"])}
        if chance.random() < 0.9:
            ann["email"] = f"ann{n}@example.com"
        if chance.random() < 0.5:
            ann["time_zone"] = chance.choice(["Europe/Berlin", "America/New_York"])
        more: dict[str, Any] = {"category": chance.choice(["social", "news", ""])}
        if chance.random() < 0.2:
            more["preferences"] = {"letter": chance.choice(CHOICES)}
        if chance.random() < 0.1:
            more["critical"] = True
        channel = chance.choice(list(SAID))
        await office.workflow({channel: SAID[channel]}, **more)
        await office.house.send(ann)
        await office.house.book.put_defaults("default", msgspec.convert(of_all(chance), Defaults))
        await desk.put("default", ann["id"], msgspec.convert(of_a_person(chance), Document))
        if chance.random() < 0.2:
            reason = chance.choice(["bounce", "unsubscribe"])
            address = f"ann{n}@example.com"
            await office.engine.suppressions.add("default", "letter", address, reason)
        payload = {"urgent": chance.random() < 0.5, "thread": chance.choice(["t1", "t2"])}
        actor = chance.choice(["boss", "cleo"])
        for _ in range(chance.choice([1, 2])):  # the second one is over a cap
            found = await explain(
                "default", ann["id"], channel, workflow="w", payload=payload, actor=actor
            )
            id = await office.trigger(ann["id"], payload=payload, actor=actor)
            await office.runs.go_on()
            verdict, why = await became(office, id)
            assert found.verdict == verdict, (n, found, why)
            assert found.why == why or verdict == "send", (n, found, why)
            seen.add(verdict)
        category = chance.choice(["social", "news"])
        only = await explain("default", ann["id"], "inbox", category=category, payload=payload)
        accepted = await office.house.send(f"={ann['id']}", category=category, data=payload)
        assert only.verdict == ("skip" if accepted.skipped else "send"), (n, only)
    assert seen == {"send", "skip", "defer", "collect"}
