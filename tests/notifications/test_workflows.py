"""Workflows from the trigger to the message: on both engines, with a clock that tests move."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from clarion.errors import (
    Conflict,
    IdempotencyConflict,
    Invalid,
    NotFound,
    OutcomeUnknown,
    Unavailable,
)
from clarion.ids import Ids
from clarion.jobs import Queue, Worker
from clarion.notifications import sending
from clarion.notifications.channels import NotSent, Outgoing, Sent
from clarion.notifications.channels.inbox import InboxChannel
from clarion.notifications.engine import Engine
from clarion.notifications.events.events import Events
from clarion.notifications.knowing import Presence
from clarion.notifications.rendering import Wish
from clarion.notifications.triggering import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from clarion.outbound import Outbound
from clarion.settings import Events as EventSettings
from clarion.settings import Templates
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as run_sql
from clarion.storage.store import Procedure, Sql
from clarion.templates.pool import Inside
from tests.notifications.conftest import APP, House, user


class Whose(Struct, frozen=True):
    """A trigger's id."""

    id: str


class Count(Struct, frozen=True):
    """How many rows."""

    count: int


class Anything(Struct, frozen=True):
    """Any content."""


class LetterContent(Struct, frozen=True, forbid_unknown_fields=True):
    """What a letter says."""

    text: str


class Letters:
    """A channel that keeps what it is given, and fails when it is told to."""

    name, content, said, timeout_s, max_attempts = "letter", LetterContent, LetterContent, 5.0, 3
    needs_addresses = False

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.fails: list[Exception] = []

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        return [recipient["email"]] if "email" in recipient else []

    async def send(self, message: Outgoing) -> Sent:
        if self.fails:
            raise self.fails.pop(0)
        self.sent.append(message)
        return Sent("post office", f"no. {len(self.sent)}")


class Office:
    """Everything that carries workflows, put together as the server does."""

    def __init__(self, house: House, presence: Presence | None = None) -> None:
        self.house, self.clock = house, house.clock
        store, clock, ids = house.store, house.clock, Ids()
        self.letters = Letters()
        self.queue = Queue(store, clock, ids, node="n")
        # The tests' own endpoints are on this machine, where strangers' URLs must not lead.
        self.outbound = Outbound(
            clock, allow_private=("127.0.0.1/32",), allow_http=True, ports=range(1, 65536)
        )
        self.events = Events(store, EventSettings(), clock=clock, ids=ids)
        self.engine = engine = Engine(
            store,
            house.inbox,
            self.queue,
            house.limits,
            self.outbound,
            house.book,
            clock=clock,
            ids=ids,
            node="n",
            renders=Inside(Templates()),
            presence=presence,
            events=self.events,
        )
        self.channels = engine.channels
        engine.channels.add(self.letters)
        self.catalog, self.triggers = engine.catalog, engine.triggers
        self.runs, self.digests, self.sender = engine.runs, engine.digests, engine.sender
        self.history, self.retention = engine.history, engine.retention

    async def workflow(self, *steps: dict[str, Any], **more: Any) -> None:
        given = {"workflow": "w", "steps": list(steps), **more}
        await self.catalog.put(APP, msgspec.convert(given, Definition))

    async def trigger(self, *recipients: Any, key: str | None = None, **more: Any) -> str:
        body = msgspec.convert(
            {"workflow": "w", "recipients": list(recipients), **more}, CreateTrigger
        )
        accepted = await self.triggers.accept(APP, body, key)
        await self.triggers.settled()
        return accepted.id

    async def run(self, seconds: float = 0.0) -> None:
        """Let time pass, and do all that is due then."""
        self.clock.advance(seconds)
        while await self.runs.go_on() or await self.digests.close():
            await self.runs.fetched()
        while await self.sender.look() == 0.0:
            await self.sender.close()

    async def inbox(self, name: str) -> list[str]:
        return [item.title for item in (await self.house.inbox.page(user(name))).items]

    async def count(self, table: str) -> int:
        """Rows of a table."""
        [found] = await self.house.store.fetch(Sql(f"SELECT count(*) FROM {table}", Count))
        return found.count

    async def story(self, trigger: str) -> list[str]:
        """What became of each step of a trigger's only run."""
        [run] = await self.house.store.fetch(
            run_sql.OF_TRIGGER, tenant="default", trigger_id=trigger, after="", n=10
        )
        found = await self.house.store.fetch(run_sql.RECORDS, tenant="default", run=run.id)
        return [f"{row.step} {row.outcome}" + (f": {row.why}" if row.why else "") for row in found]


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    office = Office(house)
    yield office
    await office.triggers.settled()
    await office.sender.close()
    await office.outbound.close()


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
STATUS = Sql("SELECT status FROM outgoing", Whose)
PLANNING = Sql("SELECT id FROM trigger_call WHERE state = 'planning'", Whose)
BELL = {
    "id": "bell",
    "inbox": {"title": "Hello {{ recipient.name or recipient.id }}", "body": "{{ payload.n }}"},
}
LETTER = {"id": "mail", "letter": {"text": "Dear {{ recipient.id }}, {{ payload.n }}"}}
ANN = {"id": "ann", "name": "Ann", "email": "ann@example.com"}


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


ESCALATE = (
    BELL,
    {"wait": "5m"},
    {"stop": "bell.read"},
    LETTER,
)


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


async def test_a_provider_that_fails_is_tried_again(office: Office) -> None:
    """With backoff, or when it says; the message's id is the same each time."""
    await office.workflow(LETTER)
    office.letters.fails = [
        NotSent("full", provider="post office", retry_after_s=90),
        RuntimeError("fell"),
    ]
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    await office.run(89)
    assert len(office.letters.fails) == 1
    await office.run(1)
    assert office.letters.fails == []
    await office.run(10)
    [letter] = office.letters.sent
    assert letter.attempt == 3


async def test_what_cannot_be_sent_is_a_dead_letter_and_later_steps_know(office: Office) -> None:
    """A final failure, or the last attempt; a wait for the message ends then."""
    await office.workflow(
        LETTER,
        {"wait": {"message": "mail", "is": "settled", "timeout": "1d"}},
        {"inbox": {"title": "we tried"}, "if": "mail.failed"},
    )
    office.letters.fails = [NotSent("no such house", provider="post office", is_final=True)]
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    await office.run()
    assert await office.inbox("ann") == ["we tried"]
    office.letters.fails = [RuntimeError("fell")] * 3
    await office.trigger({"id": "ben", "email": "b@example.com"}, payload={"n": 1})
    for _ in range(4):
        await office.run(20)
    assert await office.inbox("ben") == ["we tried"]
    assert office.letters.sent == []


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


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"url": "javascript:alert(1)"}, "action_url: neither"),
        ({"url": "//evil.example"}, "action_url: neither"),
        ({"title": "x" * 201}, "length <= 200"),
        ({"title": ""}, "length >= 1"),
        ({"title": "a\0b"}, "U+0000"),
        ({"body": "x" * 8193}, "length <= 8192"),
    ],
)
async def test_what_a_payload_makes_of_a_message_keeps_to_the_inbox(
    office: Office, payload: dict[str, str], why: str
) -> None:
    """What a back end may not send, a payload cannot bring in: the step fails, and nobody else's does."""
    title, url = "{{ payload.title }}", "{{ payload.url }}"
    await office.workflow(
        {"inbox": {"title": title, "body": "{{ payload.body }}", "action_url": url}}
    )
    bad = await office.trigger(ANN, payload={"title": "t", "url": "/x", "body": "", **payload})
    await office.trigger(ANN, payload={"title": "good", "url": "", "body": ""})
    assert await office.inbox("ann") == ["good"]
    [told] = await office.story(bad)
    assert told.startswith("inbox_1 failed: ")
    assert why in told


async def test_what_is_too_much_is_refused_by_its_place(office: Office) -> None:
    """Payloads, attributes, keys: as for every notification."""
    await office.workflow(BELL)
    for wrong, pointer in (
        ({"payload": {"n": 2**53}}, "/payload"),
        ({"payload": {"n": "x" * 65_536}}, "/payload"),
        ({"key": "a b"}, "Idempotency-Key"),
    ):
        with pytest.raises(Invalid) as caught:
            await office.trigger(ANN, **wrong)
        assert caught.value.faults[0].pointer == pointer
    with pytest.raises(Invalid) as caught:
        await office.trigger({"id": "ann", "attributes": {"x": "y" * 5000}})
    assert caught.value.faults[0].pointer == "/recipients/0/attributes"


async def test_what_is_cancelled_does_not_happen(office: Office) -> None:
    """When the answer is there, nothing more begins; by the trigger's id, or a key that several share."""
    await office.workflow(*ESCALATE)
    first = await office.trigger(ANN, {"id": "ben"}, payload={"n": 1})
    assert (await office.triggers.cancel("default", first)).runs == 2
    await office.trigger(ANN, payload={"n": 2}, cancel_key="order-7")
    await office.trigger(ANN, payload={"n": 3}, cancel_key="order-7")
    await office.trigger(ANN, payload={"n": 4}, cancel_key="order-8")
    done = await office.triggers.cancel_by_key("default", "order-7")
    assert (done.triggers, done.runs) == (2, 2)
    await office.run(300)
    assert [each.content["text"] for each in office.letters.sent] == ["Dear ann, 4"]
    with pytest.raises(NotFound):
        await office.triggers.cancel("default", "nothing")


async def test_a_message_that_nobody_has_sent_yet_can_be_cancelled(office: Office) -> None:
    """What waits for its turn is not handed over."""
    await office.workflow(LETTER)
    trigger = await office.trigger(ANN, payload={"n": 1})
    assert (await office.triggers.cancel("default", trigger)).messages == 1
    await office.run(60)
    assert office.letters.sent == []


@pytest.mark.parametrize("answer", ["yes", "no", "nothing"])
async def test_a_message_in_a_providers_hands_is_not_tried_again_once_it_is_cancelled(
    office: Office, answer: str
) -> None:
    """A yes is a yes; after a no, or the end of the lease of who died with it, nobody is asked again."""
    await office.workflow(LETTER)
    trigger = await office.trigger(ANN, payload={"n": 1})
    send = office.letters.send
    asked: list[int] = []

    async def cancelled_meanwhile(message: Outgoing) -> Sent:
        asked.append(message.attempt)
        assert (await office.triggers.cancel("default", trigger)).messages == 0
        if answer == "nothing":
            raise asyncio.CancelledError
        if answer == "no":
            raise NotSent("come back", provider="post office", retry_after_s=1)
        return await send(message)

    office.letters.send = cancelled_meanwhile  # type: ignore[method-assign]
    await office.run()
    await office.run(121)
    [status] = await office.house.store.fetch(STATUS)
    assert status.id == ("sent" if answer == "yes" else "cancelled")
    assert asked == [1]


async def test_what_a_provider_said_is_written_as_soon_as_it_can_be(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is away nothing is forgotten: the message is not sent again for that."""
    monkeypatch.setattr(sending, "SETTLE_S", 0.01)
    await office.workflow(LETTER)
    await office.trigger(ANN, payload={"n": 1})
    apply, failures = office.house.store.apply, [Unavailable("away"), OutcomeUnknown("gone")]

    async def failing(procedure: Any, rows: Any) -> Any:
        if procedure is sent_sql.HANDED and failures:
            raise failures.pop()
        return await apply(procedure, rows)

    office.house.store.apply = failing  # type: ignore[method-assign]
    await office.run()
    await office.run(121)
    assert (len(office.letters.sent), failures) == (1, [])
    [status] = await office.house.store.fetch(STATUS)
    assert status.id == "sent"


async def test_a_lease_that_is_too_old_is_not_used(office: Office) -> None:
    """A process that stood still after it had taken a message sends nothing: somebody else may be at it."""
    await office.workflow(LETTER)
    await office.trigger(ANN, payload={"n": 1})
    send = office.letters.send

    async def nobody(message: Outgoing) -> Sent:
        raise AssertionError("it was sent")

    office.letters.send = nobody  # type: ignore[method-assign]
    assert await office.sender.look() == 0.0
    office.clock.advance(118)  # its task has not begun yet
    await office.sender.close()
    office.letters.send = send  # type: ignore[method-assign]
    await office.run(2)
    [letter] = office.letters.sent
    assert letter.attempt == 2


async def test_a_repeated_trigger_has_one_effect(office: Office) -> None:
    """The same key and body get the same answer; another body is refused."""
    await office.workflow(BELL)
    first = await office.trigger(ANN, payload={"n": 1}, key="k")
    assert await office.trigger(ANN, payload={"n": 1}, key="k") == first
    assert await office.inbox("ann") == ["Hello Ann"]
    with pytest.raises(IdempotencyConflict):
        await office.trigger(ANN, payload={"n": 2}, key="k")


async def test_a_payload_is_what_the_workflow_asks_for(office: Office) -> None:
    """Each fault points at the member, and nothing is triggered."""
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    await office.workflow(BELL, payload=schema)
    for payload, pointer in (({}, "/payload"), ({"n": "x"}, "/payload/n")):
        with pytest.raises(Invalid) as caught:
            await office.trigger(ANN, payload=payload)
        assert caught.value.faults[0].pointer == pointer
    assert await office.inbox("ann") == []
    with pytest.raises(Invalid) as caught:
        await office.workflow(BELL, payload={"type": "nonsense"})
    assert caught.value.faults[0].pointer == "/payload"


async def test_what_cannot_be_triggered_says_so(office: Office) -> None:
    """No such workflow, one that is not active, a recipient that nobody knows; the actor is not told."""
    with pytest.raises(Invalid):
        await office.trigger(ANN)
    await office.workflow(BELL)
    with pytest.raises(Invalid):
        await office.trigger("zoe")
    trigger = await office.trigger(ANN, {"id": "ben"}, actor="ann", payload={"n": 1})
    assert (await office.triggers.find("default", trigger)).recipients == 1
    assert await office.inbox("ann") == []
    await office.catalog.set_active("default", "w", False)
    with pytest.raises(Conflict):
        await office.trigger(ANN, payload={"n": 1})


async def test_two_processes_carry_a_run_on_once(office: Office) -> None:
    """Also when one of them wakes up long after its lease has ended: what it writes then is not written at all."""
    await office.workflow({"wait": "5m"}, BELL)
    await office.trigger(ANN, payload={"n": 1})
    office.clock.advance(300)
    [slow] = await office.runs._claim(10)
    assert await office.runs._claim(10) == []
    office.clock.advance(31)
    await office.run()
    assert await office.inbox("ann") == ["Hello Ann"]
    await office.runs.carry([slow])
    assert await office.inbox("ann") == ["Hello Ann"]


async def test_what_is_cancelled_while_a_process_has_it_in_hand_is_not_written(
    office: Office,
) -> None:
    """The cancellation was answered first: it holds."""
    await office.workflow({"wait": "5m"}, BELL)
    trigger = await office.trigger(ANN, payload={"n": 1})
    office.clock.advance(300)
    [in_hand] = await office.runs._claim(10)
    assert (await office.triggers.cancel("default", trigger)).runs == 1
    await office.runs.carry([in_hand])
    assert await office.inbox("ann") == []
    await office.runs.carry([in_hand])
    assert await office.inbox("ann") == []


async def test_what_is_cancelled_while_it_is_planned_is_not_written(office: Office) -> None:
    """Nobody of whom it was not yet planned gets anything."""
    await office.workflow(BELL)
    carry = office.runs.carry

    async def cancelled_first(*args: Any) -> None:
        [row] = await office.house.store.fetch(PLANNING)
        await office.triggers.cancel("default", row.id)
        await carry(*args)

    office.runs.carry = cancelled_first  # type: ignore[method-assign]
    trigger = await office.trigger(ANN, payload={"n": 1})
    assert await office.inbox("ann") == []
    assert (await office.triggers.find("default", trigger)).state == "cancelled"
    assert await office.queue.next_due_ms() is None


async def test_planning_goes_on_where_a_process_died(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody gets it once, however often the process dies between two slices."""
    monkeypatch.setattr("clarion.notifications.planning.SLICE", 3)
    await office.workflow(BELL)
    carry, left = office.runs.carry, 2

    async def dies(*args: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError
        await carry(*args)

    recipients = [{"id": f"u{n}"} for n in range(8)]
    worker = Worker(office.queue, office.clock, Ids())
    worker.handle("plan_trigger", office.engine.planner.plan)
    with monkeypatch.context() as patch:
        patch.setattr(office.runs, "carry", dies)
        await office.trigger(*recipients, payload={"n": 1})
        [job] = await office.queue.claim(1)
        with pytest.raises(asyncio.CancelledError):
            await office.engine.planner.plan(job)
    assert await office.inbox("u5") == ["Hello u5"]
    assert await office.inbox("u6") == []
    office.clock.advance(31)
    [again] = await office.queue.claim(1)
    await office.engine.planner.plan(again)
    with pytest.raises(Conflict):
        await office.engine.planner.plan(job)
    for n in range(8):
        assert await office.inbox(f"u{n}") == [f"Hello u{n}"]


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


async def test_a_run_that_the_store_refuses_holds_up_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has failed, and says why; those that were due with it go on."""
    await office.workflow({"wait": "5m"}, BELL)
    bad = await office.trigger({"id": "eve", "name": "bad"}, payload={"n": 1})
    await office.trigger(ANN, payload={"n": 1})

    # What a bug elsewhere might let through: a text that no database keeps.
    async def render(wishes: Sequence[Wish]) -> list[dict[str, Any]]:
        who = [wish.facts["recipient"]["id"] for wish in wishes]
        return [{"title": "a\0" if each == "eve" else "fine"} for each in who]

    monkeypatch.setattr(office.runs._decider._renderer, "render", render)
    monkeypatch.setattr(InboxChannel, "said", Anything)
    await office.run(300)
    assert await office.inbox("ann") == ["fine"]
    assert await office.inbox("eve") == []
    [run], _ = await office.history.runs("default", bad, "", 10)
    assert (run.status, run.due_at) == ("failed", None)
    assert str(run.error).startswith("invalid: ")


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
    assert [count async for count in office.retention.purge()] == [1, 0, 0]
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


async def test_a_run_that_takes_its_process_with_it_is_given_up(office: Office) -> None:
    """After so many claims of which nobody has heard again."""
    await office.workflow({"wait": "1m"}, BELL)
    trigger = await office.trigger(ANN, payload={"n": 1})
    office.clock.advance(60)
    for _ in range(10):
        assert len(await office.runs._claim(10)) == 1
        office.clock.advance(31)
    await office.run()
    [run], _ = await office.history.runs("default", trigger, "", 10)
    assert (run.status, run.error) == ("failed", "the process died each time it was carried on")


async def test_more_triggers_than_can_be_planned_at_once_are_planned_by_the_worker(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are accepted all the same, and due at once."""
    monkeypatch.setattr("clarion.notifications.triggering.PLANNING", 0)
    await office.workflow(BELL)
    await office.trigger(ANN, payload={"n": 1})
    assert await office.inbox("ann") == []
    [job] = await office.queue.claim(1)
    await office.engine.planner.plan(job)
    assert await office.inbox("ann") == ["Hello Ann"]
