"""Operators find every message and see what became of it."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import Struct

from clarion.clock import as_datetime
from clarion.errors import Invalid, NotFound
from clarion.notifications.channels import NotSent
from clarion.notifications.sight import pages
from clarion.notifications.sight.finding import Wanted
from clarion.notifications.sight.shown import MessageStory
from clarion.storage import message_events as told_sql
from clarion.storage import sight as sql
from clarion.storage.store import Sql, Store
from tests.notifications.conftest import user
from tests.notifications.office import ANN, BELL, LETTER, Office, office

__all__ = ["office"]


def _says(story: MessageStory) -> list[str]:
    return [f"{each.status} {each.cause}".strip() for each in story.timeline]


async def _all(office: Office, limit: int = 2, **wanted: Any) -> list[str]:
    """What is found page by page, each as its first letters."""
    found: list[str] = []
    after = ""
    while True:
        page = await office.engine.finder.messages("default", Wanted(**wanted), after, limit)
        found += [f"{each.channel}:{each.user}:{each.status}" for each in page.items]
        if page.next is None:
            return found
        assert len(page.items) <= limit
        after = page.next


async def test_the_timeline_of_a_message(office: Office) -> None:
    """From queued to the last thing that a person did, with each attempt; a report that comes early turns nothing back."""
    await office.workflow(BELL, LETTER)
    office.letters.fails = [NotSent("full", provider="spare", retry_after_s=60)]
    trigger = await office.trigger(ANN, payload={"n": 1})
    await office.run(1)
    store, finder, now_ms = office.house.store, office.engine.finder, office.clock.now_ms
    [letter] = (await finder.messages("default", Wanted(channel="letter"))).items
    assert (letter.status, letter.attempts, letter.says) == ("queued", 1, "Dear ann, 1")
    # Shown before the provider's yes is written down.
    early_ms = now_ms()
    await store.apply(
        told_sql.TELL,
        [told_sql.NewEvent("default", letter.id, "delivered", early_ms, "", "delivered", 20, 0, 0)],
    )
    office.clock.advance(60)
    await store.apply(
        told_sql.TELL,
        [
            told_sql.NewEvent("default", letter.id, "clicked", now_ms(), "https://x", "delivered", 20, 1, 1)
        ],
    )  # fmt: skip
    story = await finder.message("default", letter.id)
    assert _says(story) == ["queued step mail", "delivered", "seen", "read", "clicked https://x"]
    assert [each.at for each in story.timeline] == sorted(each.at for each in story.timeline)
    assert story.timeline[1].at == as_datetime(early_ms)
    [attempt] = story.attempts
    assert (attempt.attempt, attempt.provider, attempt.outcome) == (1, "spare", "retry")
    assert attempt.answer == "full"
    assert [(each.kind, each.count) for each in story.events] == [("delivered", 1), ("clicked", 1)]
    assert (story.message.trigger, story.workflow_version) == (trigger, 1)
    [bell] = (await finder.messages("default", Wanted(channel="inbox"))).items
    await office.house.inbox.mark(user("ann"), bell.id, "read")
    story = await finder.message("default", bell.id, "ann")
    assert [each.status for each in story.timeline] == [
        "queued",
        "sent",
        "delivered",
        "seen",
        "read",
    ]
    assert story.message.status == "read"
    followed = await office.house.inbox.mark(user("ann"), bell.id, "clicked")
    story = await finder.message("default", bell.id, "ann")
    assert (story.message.status, story.message.clicked_at) == ("clicked", followed.clicked_at)
    assert story.timeline[-1].status == "clicked"
    assert (
        len((await finder.messages("default", Wanted(status="clicked", channel="inbox"))).items)
        == 1
    )
    with pytest.raises(NotFound):
        await finder.message("elsewhere", letter.id)
    with pytest.raises(NotFound, match="user="):
        await finder.message("default", "nothing")


async def test_messages_are_found_by_anything_that_is_known_of_them(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of inboxes and channels together, newest first, each once, however small the pages are and however little one looks through."""
    monkeypatch.setattr(pages, "SCAN", 3)
    await office.workflow(BELL, LETTER)
    began = as_datetime(office.clock.now_ms())
    for n, name in enumerate(["ann", "ben", "eve"]):
        if name == "ben":
            office.letters.fails = [NotSent("no such house 100%", is_final=True, provider="post")]
        await office.trigger({"id": name, "email": f"{name}@x"}, payload={"n": n})
        await office.run(1)
    failed, sent = "letter:ben:failed", "letter:eve:sent"
    bells = [f"inbox:{name}:delivered" for name in ("eve", "ben", "ann")]
    found = await _all(office)
    assert sorted(found) == sorted([*bells, failed, sent, "letter:ann:sent"])
    assert [each.split(":")[1] for each in found] == ["eve", "eve", "ben", "ben", "ann", "ann"]
    assert sorted(await _all(office, limit=1)) == sorted(found)
    assert await _all(office, channel="inbox") == bells
    assert await _all(office, status="failed") == [failed]
    assert await _all(office, user="eve", channel="letter") == [sent]
    assert await _all(office, provider="post") == [failed]
    assert await _all(office, q="HOUSE 100%") == [failed]
    assert await _all(office, q="100_") == []
    assert sorted(await _all(office, q="eve")) == sorted([sent, bells[0]])
    assert len(await _all(office, workflow="w")) == 6
    assert await _all(office, workflow="other") == []
    assert len(await _all(office, until=began + timedelta(seconds=1))) == 2
    assert await _all(office, since=began + timedelta(seconds=9)) == []
    triggers = await office.engine.finder.triggers("default", Wanted(workflow="w"), "", "", "", 2)
    assert len(triggers.items) == 2
    rest = await office.engine.finder.triggers("default", Wanted(), "", "", triggers.next or "", 2)
    assert [each.id for each in [*triggers.items, *rest.items]] == sorted(
        {each.id for each in [*triggers.items, *rest.items]}, reverse=True
    )
    with pytest.raises(Invalid):
        await office.engine.finder.messages("default", Wanted(), "nonsense")


async def test_runs_are_found(office: Office) -> None:
    """By recipient, status and time."""
    await office.workflow({"wait": "5m"}, BELL)
    await office.trigger(ANN, {"id": "ben"}, payload={"n": 1})
    finder = office.engine.finder
    runs = (await finder.runs("default", Wanted(user="ann", status="running"), "", 10)).items
    assert [(each.user, each.status) for each in runs] == [("ann", "running")]
    made = as_datetime(office.clock.now_ms())
    assert len((await finder.runs("default", Wanted(since=made), "", 10)).items) == 2
    assert (await finder.runs("default", Wanted(until=made), "", 10)).items == []
    assert (await finder.runs("default", Wanted(status="failed"), "", 10)).items == []


class Plan(Struct, frozen=True):
    """A line of a plan; the last column says it."""

    a: Any
    b: Any = None
    c: Any = None
    d: Any = None


INDEXES: dict[tuple[str, str], str | dict[str, str]] = {
    ("sent", "usr"): "outgoing_usr",
    ("sent", "trigger"): "outgoing_trigger_time",
    ("sent", "stored"): "outgoing_status",
    ("sent", "provider"): "outgoing_carrier",
    ("sent", "workflow"): "outgoing_workflow",
    ("sent", ""): "outgoing_time",
    ("kept", ""): "message_time",
    ("kept", "usr"): {
        "sqlite": "PRIMARY KEY (tenant=? AND usr=?)",
        "postgresql": "(usr = 'x'::text)",
    },
    ("triggers", "workflow"): "trigger_call_workflow",
    ("runs", "usr"): "run_of_user",
    ("runs", "failed"): "run_failed",
}


FILL = (
    """INSERT INTO outgoing (tenant, id, message, run, trigger_id, workflow, category, step, usr, channel, address, content, provider,
         provider_id, status, rank, cause, created_ms)
       SELECT 'x', 'i' || i, 'm' || i, 'r' || i, 't' || i % 50, 'w' || i % 20, '', 's', 'u' || i % 500, 'email', 'a', '{}', 'p' || i % 9,
         '', CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'sent' END, 0, '', i FROM generate_series(1, 5000) AS i""",
    """INSERT INTO notification (tenant, id, sender, title, body, data, action_url, recipients, created_ms)
       SELECT 'x', 'n' || i, '', '', '', '', '', 1, i FROM generate_series(1, 50) AS i""",
    """INSERT INTO message (tenant, usr, seq, id, notification, created_ms)
       SELECT 'x', 'u' || i % 500, i, 'm' || i, 'n' || i % 50 + 1, i FROM generate_series(1, 5000) AS i""",
    """INSERT INTO trigger_call (tenant, id, workflow, version, caller, actor, payload, asked, cancel_key, state, total, created_ms)
       SELECT 'x', 'i' || i, 'w' || i % 20, 1, '', '', '{}', '{}', '', 'planned', 1, i FROM generate_series(1, 5000) AS i""",
    """INSERT INTO run (tenant, id, trigger_id, usr, workflow, version, state, status, wait_key, created_ms)
       SELECT 'x', 'i' || i, 't' || i, 'u' || i % 500, 'w', 1, '{}', CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'done' END, '', i
       FROM generate_series(1, 5000) AS i""",
    "ANALYZE",
)


async def test_each_way_to_look_has_an_index(store: Store) -> None:
    """In the order of the answer, so that no page sorts what is kept: it reads as many rows as it looks through."""
    tables = {"sent": sql.SENT, "kept": sql.KEPT, "triggers": sql.TRIGGERS, "runs": sql.RUNS}
    given = dict.fromkeys(
        ("tenant", "usr", "trigger", "run", "stored", "provider", "workflow", "channel", "category", "button", "status", "state", "actor", "q", "like", "id", "usr_after"),
        "x",
    )  # fmt: skip
    numbers = dict.fromkeys(("since", "until", "at", "scan", "n"), 9)
    if store.engine == "postgresql":
        async with store.transaction() as tx:  # of empty tables it would read everything
            for statement in FILL:
                await tx.execute(Sql(statement))
    for (table, lead), index in INDEXES.items():
        text = tables[table][lead].page.text
        used: dict[str, Any] = {
            name: value for name, value in {**given, **numbers}.items() if f":{name}" in text
        }
        explain = "EXPLAIN QUERY PLAN " if store.engine == "sqlite" else "EXPLAIN "
        async with store.transaction() as tx:
            plan = await tx.fetch(Sql(explain + text, Plan), **used)
        said = " / ".join(str(line.d or line.a) for line in plan)
        wanted = index if isinstance(index, str) else index[store.engine]
        assert wanted in said, (table, lead, said)
        # At most within a millisecond, or of one person: never all of it.
        assert "TEMP B-TREE FOR ORDER BY" not in said or (table, lead) == ("kept", "usr"), said
