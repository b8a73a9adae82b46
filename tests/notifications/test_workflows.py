"""What workflows say happens: to whom, when, in which version; and what goes wrong for one alone."""

from typing import Any

import pytest

from clarion.errors import Invalid
from clarion.notifications.content import Button
from clarion.storage import runs as run_sql
from clarion.storage.store import Procedure, Sql
from tests.notifications.conftest import on_one_engine, user
from tests.notifications.office import ANN, BELL, ESCALATE, LETTER, Office, office

__all__ = ["office"]

TABLES = (
    "run",
    "run_record",
    "trigger_call",
    "outgoing",
    "attempt",
    "batch",
    "batch_item",
    "throttle",
)
QUIETLY = Procedure(  # without anybody being told
    "read_quietly",
    run_sql.Named,
    (
        Sql("""UPDATE message SET read_ms = 1 FROM {rows r}
               WHERE message.tenant = r.tenant AND message.usr = r.usr AND message.id = r.id"""),
    ),
)


async def test_everybody_gets_what_the_workflow_says_once(office: Office) -> None:
    """The inbox at once, a letter to who has an address; both rendered for each."""
    await office.workflow(BELL, LETTER)
    await office.trigger(ANN, {"id": "ben"}, "ann", payload={"n": 7})
    await office.run()
    assert await office.inbox("ann") == ["Hello Ann"]
    assert await office.inbox("ben") == ["Hello ben"]
    assert [(each.address, each.content) for each in office.letters.sent] == [
        ("ann@example.com", {"text": "Dear ann, 7"})
    ]
    await office.run(3600)
    assert len(office.letters.sent) == 1


async def test_where_all_was_sent_at_once_there_is_nothing_to_explain(office: Office) -> None:
    """No run, and no records of one, which nothing would ever remove."""
    await office.workflow(BELL, LETTER)
    await office.trigger(ANN, payload={"n": 7})
    assert [await office.count(table) for table in ("run", "run_record")] == [0, 0]


async def test_who_reads_in_time_gets_no_letter(office: Office) -> None:
    """The condition is asked when the wait is over, of what is so then."""
    await office.workflow(*ESCALATE)
    trigger = await office.trigger(ANN, payload={"n": 1})
    [message] = (await office.house.inbox.page(user("ann"))).items
    await office.run(60)
    await office.house.inbox.mark(user("ann"), message.id, "read")
    await office.run(240)
    assert office.letters.sent == []
    assert await office.story(trigger) == [
        "bell sent",
        "wait_2 waiting",
        "wait_2 passed",
        "stop_3 stopped: bell.read",
    ]


async def test_who_does_not_gets_one(office: Office) -> None:
    """Not before the wait is over, and once."""
    await office.workflow(*ESCALATE)
    await office.trigger(ANN, payload={"n": 1})
    await office.run(299)
    assert office.letters.sent == []
    await office.run(1)
    await office.run(3600)
    assert len(office.letters.sent) == 1


async def test_a_run_keeps_the_version_that_it_began_with(office: Office) -> None:
    """What is put meanwhile is for later triggers."""
    await office.workflow(*ESCALATE)
    await office.trigger(ANN, payload={"n": 1})
    await office.workflow(BELL)
    await office.run(300)
    assert len(office.letters.sent) == 1
    await office.trigger(ANN, payload={"n": 2})
    await office.run(300)
    assert len(office.letters.sent) == 1


async def test_a_template_that_fails_for_one_recipient_fails_for_no_other(office: Office) -> None:
    """The others get theirs; the record says what was wrong, and the run goes on."""
    await office.workflow(
        {"id": "bell", "inbox": {"title": "{{ 10 // recipient.attributes.n }}"}},
        {"inbox": {"title": "sorry"}, "if": "bell.failed"},
    )
    recipients = [{"id": f"u{n}", "attributes": {"n": n}} for n in range(3)]
    await office.trigger(*recipients)
    assert await office.inbox("u0") == ["sorry"]
    assert await office.inbox("u1") == ["10"]
    assert await office.inbox("u2") == ["5"]


async def test_what_would_fail_for_everybody_is_refused_when_it_is_saved(office: Office) -> None:
    """Of a message and of a fetch: all of it at once, each pointed at."""
    bell = {"inbox": {"title": "{{ payload.n }}", "action_url": "javascript:alert(1)"}}
    fetch = {"http": {"url": "file:///etc/passwd", "headers": {"x": "a\r\nb"}}}
    with pytest.raises(Invalid) as refused:
        await office.workflow(bell, {"fallback": [bell, {"letter": LETTER["letter"]}]}, fetch)
    assert sorted({each.pointer for each in refused.value.faults}) == [
        "/steps/0/inbox/action_url",
        "/steps/1/fallback/0/inbox/action_url",
        "/steps/2/http/headers/x",
        "/steps/2/http/url",
    ]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"url": "javascript:alert(1)"}, "action_url: neither"),
        ({"url": "//evil.example"}, "action_url: neither"),
        ({"title": "x" * 201}, "length <= 200"),
        ({"title": ""}, "length >= 1"),
        ({"title": "nul"}, "U+0000"),
        ({"body": "x" * 8193}, "length <= 8192"),
        ({"key": "x" * 201}, "length <= 200"),
        ({"until": "tomorrow"}, "expires: 'tomorrow' is no span of time"),
    ],
)
async def test_what_a_payload_makes_of_a_message_keeps_to_the_inbox(
    office: Office, payload: dict[str, str], why: str
) -> None:
    """What a back end may not send, a payload cannot bring in: the step fails, and nobody else's does."""
    title, url = (
        r"{{ payload.title if payload.title != 'nul' else 'a\u0000' }}",
        "{{ payload.url }}",
    )
    leaves = {"key": "{{ payload.key }}", "expires": "{{ payload.until }}"}
    said = {"title": title, "body": "{{ payload.body }}", "action_url": url, **leaves}
    await office.workflow({"inbox": said})
    bad = await office.trigger(ANN, payload={"title": "t", "url": "/x", "body": "", **payload})
    await office.trigger(ANN, payload={"title": "good", "url": "", "body": ""})
    assert await office.inbox("ann") == ["good"]
    [told] = await office.story(bad)
    assert told.startswith("inbox_1 failed: ")
    assert why in told
    with pytest.raises(Invalid, match=r"U\+0000"):
        await office.trigger(ANN, payload={"title": "a\0b"})


@on_one_engine
async def test_data_may_have_members_that_are_named_like_a_text(office: Office) -> None:
    """`mjml` is MJML where it is a text; a mark of that name stays one."""
    data = {"mjml": True, "of": {"mjml": None, "html": 7}}
    await office.workflow({"inbox": {"title": "x", "data": data}})
    await office.trigger(ANN)
    await office.run()
    [message] = (await office.house.inbox.page(user("ann"))).items
    assert message.data == data


async def test_what_a_workflow_says_of_one_thing_is_one_message_that_goes_in_time(
    office: Office,
) -> None:
    """The key is a template: of each upload the newest message alone, until it expires; also where one trigger says both."""
    said = {"title": "{{ payload.done }} %", "key": "upload {{ payload.file }}", "expires": "1h"}
    button = {"id": "open", "label": "Open {{ payload.file }}", "url": "/files/{{ payload.file }}"}
    said["actions"] = [button]  # type: ignore[assignment]
    said["tags"] = ["files", "{{ payload.file }}", "{{ payload.nothing | default('') }}"]  # type: ignore[assignment]
    await office.workflow(
        {"inbox": said}, {"inbox": {**said, "title": "{{ payload.done }} % so far"}}
    )
    for file, done in (("a", 40), ("b", 10), ("a", 100)):
        await office.trigger(ANN, {"id": "ben"}, payload={"file": file, "done": done})
    assert await office.inbox("ann") == ["100 % so far", "10 % so far"]
    page = await office.house.inbox.page(user("ann"))
    assert (page.unread, page.unseen) == (2, 2)
    assert page.items[0].key == "upload a"
    assert page.items[0].actions == [Button("open", "Open a", "/files/a")]
    assert page.items[0].tags == ["files", "a"]
    office.clock.advance(3_600)
    await office.house.inbox.look()
    assert (await office.inbox("ann"), await office.inbox("ben")) == ([], [])
    assert await office.count("notification") == 0


@pytest.mark.parametrize("how", ["one", "all"])
async def test_a_wait_for_a_message_ends_when_it_is_read(office: Office, how: str) -> None:
    """At once, not when the wait would have been over; what others read wakes nobody."""
    await office.workflow(
        BELL,
        {"id": "w", "wait": {"message": "bell", "is": "read", "timeout": "1h"}},
        {"inbox": {"title": "thanks"}, "if": "not w.timed_out"},
        {"inbox": {"title": "well?"}, "if": "w.timed_out"},
    )
    await office.trigger(ANN, {"id": "ben"}, payload={"n": 1})
    await office.run(60)
    ann = user("ann")
    if how == "one":
        [message] = (await office.house.inbox.page(ann)).items
        await office.house.inbox.mark(ann, message.id, "read")
    else:
        await office.house.inbox.mark_all(ann, "read")
    await office.run()
    assert await office.inbox("ann") == ["thanks", "Hello Ann"]
    await office.run(3600)
    assert await office.inbox("ben") == ["well?", "Hello ben"]


async def test_what_is_read_before_the_run_waits_for_it_is_seen(office: Office) -> None:
    """A page may be quicker than the transaction in which the run begins to wait."""
    await office.workflow(
        BELL,
        {"wait": {"message": "bell", "is": "read", "timeout": "1h"}},
        {"inbox": {"title": "thanks"}},
    )
    ann, write = user("ann"), office.runs._writer.write

    async def then_read(*args: Any) -> Any:
        written = await write(*args)
        told = list(written.told)

        async def read() -> (
            None
        ):  # it is told to who is online after the commit, and they read it at once
            for each in told:
                await each()
            [message] = (await office.house.inbox.page(ann)).items
            office.runs._writer.write = write  # type: ignore[method-assign]
            await office.house.store.apply(QUIETLY, [run_sql.Named("default", "ann", message.id)])

        return type(written)([read], written.is_sent)

    office.runs._writer.write = then_read  # type: ignore[method-assign]
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    assert (await office.inbox("ann"))[0] == "thanks"


async def test_what_has_become_of_runs_is_known_for_a_while(office: Office) -> None:
    """Then runs, records, digests, attempts and triggers go; what goes on stays, and so does what inboxes have."""
    await office.workflow(
        {"throttle": {"limit": 9, "per": "1h"}},
        BELL,
        LETTER,
        {"digest": {"window": "1m"}},
        {"stop": "true"},
    )
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    await office.run(60)
    await office.workflow({"wait": "200d"}, BELL)
    waiting = await office.trigger(ANN, payload={"n": 2})
    await office.run(89 * 86_400)
    assert [count async for count in office.retention.purge()] == [1, 0, 0, 0]
    await office.run(2 * 86_400)
    assert sum([count async for count in office.retention.purge()]) == 4
    left = {name: await office.count(name) for name in TABLES}
    assert {name: count for name, count in left.items() if count} == {
        "run": 1,
        "run_record": 1,
        "trigger_call": 1,
    }
    assert await office.inbox("ann") == ["Hello Ann"]
    await office.run(200 * 86_400)
    assert len(await office.inbox("ann")) == 2
    assert (await office.triggers.find("default", waiting)).recipients == 1
