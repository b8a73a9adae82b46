"""Triggers whose recipients come in line by line: all are accepted, or nothing is."""

import tracemalloc
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import IdempotencyConflict, Invalid, NotFound, OutcomeUnknown, Unavailable
from clarion.notifications.recipients import Recipient
from clarion.notifications.trigger_shapes import TriggerAccepted
from clarion.storage import receiving as sql
from tests.notifications.conftest import APP, on_one_engine
from tests.notifications.office import BELL, LETTER, Office, office
from tests.notifications.uploads import Gone, Upload
from tests.support.law import assert_law

__all__ = ["office"]

HEAD = '{"payload": {"n": 1}}'


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices that a test fills."""
    monkeypatch.setattr("clarion.notifications.receiving.SLICE", 3)


async def send(
    office: Office, *lines: str | None, key: str | None = None, by: Principal = APP
) -> TriggerAccepted:
    accepted = await office.engine.receiver.accept(by, "w", Upload(lines), key)
    await office.triggers.settled()
    return accepted


async def plan(office: Office) -> None:
    while jobs := await office.queue.claim(10):
        for job in jobs:
            await office.engine.planner.plan(job)


async def test_everybody_on_the_lines_gets_it_once(office: Office) -> None:
    """However often they stand there, of which the later lines say more; only then are they known, and what was staged goes."""
    await office.engine.people.know("default", [Recipient("zoe", email="zoe@example.com")])
    await office.workflow(LETTER)
    lines = [
        HEAD,
        '{"id": "ann", "email": "old@example.com", "name": "Ann"}',
        '"zoe"',
        '{"id": "ben", "attributes": {"n": 1}}',
        *(f'{{"id": "c{n}", "email": "c{n}@example.com"}}' for n in range(5)),
        '"ann"',
        '{"id": "ann", "email": "ann@example.com"}',
    ]
    accepted = await send(office, *lines)
    await plan(office)
    await office.run()
    addresses = {each.user: each.address for each in office.letters.sent}
    assert addresses == {each: f"{each}@example.com" for each in ("ann", "zoe", *_c(5))}
    assert len(office.letters.sent) == 7
    assert (await office.triggers.find("default", accepted.id)).recipients == 8
    assert (await office.engine.people.find("default", "ann")).name == "Ann"
    office.clock.advance(86_401)
    [job] = await office.queue.claim(9)
    await office.engine.receiver.drop(job)
    assert await office.count("trigger_recipient") == 0


def _c(n: int) -> list[str]:
    return [f"c{i}" for i in range(n)]


@pytest.mark.parametrize(
    ("lines", "pointers"),
    [
        ([], []),
        ([HEAD], ["/1/recipients"]),
        (["[]", '"ann"'], ["/1"]),
        (['{"recipients": ["ann"]}', '"ann"'], ["/1"]),
        (['{"payload": 7}', '"ann"'], ["/1/payload"]),
        (['{"audiences": ["none"]}', '"ann"'], ["/1/audiences/0"]),
        (['{"at": "yesterday"}', '{"id": "ann"}'], ["/1/at"]),
        ([HEAD, '{"id": "new"}', "7", '{"id": "ok"}', '{"id": "", "no": 1}'], ["/3", "/5/id"]),
        ([HEAD, '{"id": "new", "email": "nowhere"}'], ["/2/email"]),
        ([HEAD, '{"id": "new", "attributes": {"x": "%s"}}' % ("x" * 5000)], ["/2/attributes"]),
        ([HEAD, '{"id": "new"}', *['"stranger"'] * 9], ["/3"]),
        ([HEAD, *["7"] * 50], [f"/{n}" for n in range(2, 22)]),
    ],
)
@on_one_engine
async def test_one_line_that_is_not_right_and_nothing_is_accepted(
    office: Office, lines: list[str], pointers: list[str]
) -> None:
    """Lines are named by their numbers, twenty at most; nobody has become known, and nothing stays."""
    await office.workflow(LETTER)
    with pytest.raises(Invalid) as caught:
        await send(office, *lines)
    assert [each.pointer for each in caught.value.faults] == pointers
    with pytest.raises(NotFound):
        await office.engine.people.find("default", "new")
    assert [await office.count(table) for table in ("trigger_call", "trigger_recipient")] == [0, 0]


async def test_a_caller_who_breaks_off_has_sent_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was staged is removed at once; if the store cannot do that now, or the process died, a day later."""
    await office.workflow(LETTER)
    with pytest.raises(Gone):
        await send(office, HEAD, *(f'{{"id": "c{n}"}}' for n in range(7)), None)
    assert await office.count("trigger_recipient") == 0

    async def cannot(*_: Any) -> None:
        raise Unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(office.engine.receiver, "_drop", cannot)
        with pytest.raises(Unavailable):
            await send(office, HEAD, *(f'{{"id": "c{n}"}}' for n in range(7)), None)
    assert await office.count("trigger_recipient") == 6
    office.clock.advance(86_401)
    for job in await office.queue.claim(9):
        await office.engine.receiver.drop(job)
        await office.queue.finish(job)
    assert [await office.count(table) for table in ("trigger_recipient", "job")] == [0, 0]


async def test_the_same_lines_with_the_same_key_are_one_send(office: Office) -> None:
    """Other lines with it are a conflict; of neither anything stays, and what became of the first is not touched."""
    await office.workflow(LETTER)
    first = await send(office, HEAD, '{"id": "ann", "name": "Ann"}', key="k")
    await office.engine.people.know("default", [Recipient("ann", name="Anna")])
    again = await send(office, HEAD, '{"id": "ann", "name": "Ann"}', key="k")
    assert again == first
    assert (await office.engine.people.find("default", "ann")).name == "Anna"
    with pytest.raises(IdempotencyConflict):
        await send(office, HEAD, '{"id": "ann", "name": "Ann "}', key="k")
    assert [await office.count(t) for t in ("trigger_call", "trigger_recipient")] == [1, 1]
    other = Principal(id="other", kind="key", scopes=frozenset({"*"}))
    assert (await send(office, HEAD, '"ann"', key="k", by=other)).id != first.id


async def test_what_may_have_been_accepted_keeps_its_recipients(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the write was not seen: the call can be repeated with its key, and whoever it was for gets it."""
    await office.workflow(LETTER)
    accept = office.triggers.accept

    async def unseen(*given: Any) -> Any:
        await accept(*given)
        raise OutcomeUnknown()

    with monkeypatch.context() as patch:
        patch.setattr(office.triggers, "accept", unseen)
        with pytest.raises(OutcomeUnknown):
            await send(office, HEAD, '{"id": "ann", "email": "ann@example.com"}', key="k")
    await send(office, HEAD, '{"id": "ann", "email": "ann@example.com"}', key="k")
    await plan(office)
    await office.run()
    assert [each.user for each in office.letters.sent] == ["ann"]


@on_one_engine
async def test_a_hundred_thousand_lines_in_bounded_memory(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held is a slice; one more than the limit is refused."""
    monkeypatch.setattr("clarion.notifications.receiving.SLICE", 1_000)
    office.engine.receiver._limits = msgspec.structs.replace(
        office.house.limits, stream_recipients=20_000
    )
    await office.workflow(BELL)

    def lines(count: int) -> Iterable[str]:
        yield HEAD
        for n in range(count):
            yield f'{{"id": "u{n}", "name": "{"x" * 100}"}}'

    with pytest.raises(Invalid, match=r"limits\.stream_recipients = 20000"):
        await office.engine.receiver.accept(APP, "w", Upload(lines(20_001)))
    assert await office.count("trigger_recipient") == 0
    tracemalloc.start()
    accepted = await office.engine.receiver.accept(APP, "w", Upload(lines(20_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000, "of more than 15 MB that came in"
    await office.triggers.settled()
    job = await office.engine.sends.find("default", accepted.id)
    assert (job.total, job.state) == (20_000, "running")


def test_staging_keeps_to_the_law() -> None:
    """Joined or not, the same rows come of it."""
    rows = [
        sql.NewRecipient("t", f"{n % 2}", f"u{n % 3}", n, n % 2, name=f"{n}" if n % 4 else "")
        for n in range(12)
    ]
    assert_law(sql.STAGE, [rows[:5], rows[5:6], rows[6:]])
    faults = [sql.NewFault("t", "i", n % 3, f"why {n}") for n in range(6)]
    assert_law(sql.ADD_FAULTS, [faults[:2], faults[2:]])
