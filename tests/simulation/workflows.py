"""Scenario `workflows`: everybody gets exactly what the workflows say, whatever dies, stalls, jumps or lies meanwhile.

Two nodes with the whole engine over one store that is elsewhere, or one that is alone. Back ends trigger workflows of every kind,
repeat each call until it is answered, and call some off; schedules come due; people read. Nodes die at random, at any request to the store, and when
a provider has a letter that they do not know of; lines stall for longer than a lease, refuse, and lose answers; processes are
stopped and go on; clocks are set forwards and back; the provider is cut, hangs, babbles, and takes letters without saying so.
What must be true then is in `workflow_oracles`.

A fourth of the seeds are calm.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.clock import as_datetime
from clarion.errors import Closed, NotFound, OutcomeUnknown, Unavailable
from clarion.notifications import digests, lanes, planning, runs, triggering
from clarion.notifications.schedules import firing
from clarion.notifications.schedules.shapes import ScheduleDefinition
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from tests.simulation.office import APP, LEASE_S, SENDING_LEASE_S, Life, Office
from tests.simulation.workflow_oracles import check_all
from tests.support.simulation import SimLoop

USERS = ("ann", "bob", "cid", "dan", "eve")
CALLERS = 3
SCHEDULES = 3  # that come due once
SOON_S = 2, 20  # when, from their beginning
CALLS = 4  # of each caller
KINDS = 3  # of workflows in one run, and one that sends letters: so few that their runs meet
READERS = ("ann", "bob")
SLICE = 2  # recipients that are planned in one transaction, in place of 500
PATIENCE_S = 1_800.0  # until everything has come to an end: breakers and backoff take their time
FORGIVEN = (OSError, Unavailable, OutcomeUnknown, Closed)

_SAY = {"inbox": {"title": "{{ payload.n }}"}}
_LIST = {
    "inbox": {
        "title": "{{ digest.count }}:{% for each in digest['items'] %} {{ each.n }}{% endfor %}"
    }
}
WORKFLOWS: dict[str, list[dict[str, Any]]] = {
    "alike": [_SAY, _SAY],
    "plain": [_SAY, {"letter": {"text": "{{ payload.n }}"}}],
    "steps": [_SAY, {"wait": "3s"}, _SAY, {"wait": "4s"}, _SAY],
    "escalate": [
        {"id": "bell", **_SAY},
        {"wait": {"message": "bell", "is": "read", "timeout": "15s"}},
        {"letter": {"text": "{{ payload.n }}"}, "if": "not bell.read"},
    ],
    "receipt": [
        {"id": "mail", "letter": {"text": "{{ payload.n }}"}},
        {"wait": {"message": "mail", "is": "settled", "timeout": "2m"}},
        {"inbox": {"title": "sent"}, "if": "mail.sent"},
        {"inbox": {"title": "failed"}, "if": "mail.failed"},
    ],
    "fixed": [{"digest": {"window": "6s", "key": "payload.thread"}}, _LIST],
    "sliding": [{"digest": {"window": "4s", "sliding": True, "max": "12s", "limit": 2}}, _LIST],
    "lead": [{"digest": {"window": "8s", "lead": True, "key": "payload.thread"}}, _LIST],
    "look": [{"digest": {"window": "6s", "look_back": "5s"}}, _LIST],
    "minutely": [{"digest": {"cron": "* * * * *"}}, _LIST],
    "cap": [{"throttle": {"limit": 2, "per": "30d"}}, _SAY],
    "fetch": [
        {"id": "book", "http": {"url": "https://library.test/{{ payload.n }}", "on_error": "continue"}},
        _SAY,
    ],
}  # fmt: skip
POSTAL = ("plain", "escalate", "receipt")
UNCANCELLED = ("cap",)
"""Whose counts would depend on what was first."""


class Call(Struct):
    """A trigger that was called, and what became of that."""

    n: int
    workflow: str
    users: list[str]
    id: str = ""
    is_cancelled: bool = False
    """Whether it was answered that it was called off: what was over before stays as it came out."""
    schedule: str = ""
    """Which schedule it is that calls."""


class Caller:
    """A back end."""

    def __init__(self, office: Office, number: int, kinds: list[str]) -> None:
        self._office, self._rng, self._number, self._kinds = office, office.rng, number, kinds
        self.calls: list[Call] = []

    async def main(self) -> None:
        """Make all calls."""
        for n in range(CALLS):
            await asyncio.sleep(self._rng.uniform(0, 4.0))
            users = self._rng.sample(USERS, self._rng.choice([1, 1, 2, 4]))
            call = Call(self._number * 100 + n, self._rng.choice(self._kinds), users)
            self.calls.append(call)
            await self._trigger(call)
            if call.workflow not in UNCANCELLED and self._rng.random() < 0.2:
                await asyncio.sleep(self._rng.choice([0.0, 0.05, 3.0, 6.0]))
                await self._cancel(call)

    async def _trigger(self, call: Call) -> None:
        payload = {"n": call.n, "thread": self._rng.choice("ab")}
        body = msgspec.convert(
            {"workflow": call.workflow, "recipients": [{"id": each} for each in call.users], "payload": payload},
            CreateTrigger,
        )  # fmt: skip
        accepted = await self._until_answered(
            lambda life: life.engine.triggers.accept(APP, body, f"call-{call.n}")
        )
        call.id = accepted.id

    async def _cancel(self, call: Call) -> None:
        answer = await self._until_answered(
            lambda life: life.engine.triggers.cancel("default", call.id)
        )
        call.is_cancelled = answer.triggers == 1

    async def _until_answered(self, work: Any) -> Any:
        while True:
            try:
                return await self._office.call(work)
            except FORGIVEN:
                await asyncio.sleep(self._rng.random())


async def _schedule(office: Office, number: int, kind: str) -> Call:
    """Keep a schedule that comes due once, until that is answered; the call that it will make."""
    rng = office.rng
    call = Call(900 + number, kind, rng.sample(USERS, rng.choice([1, 2, 4])))
    call.schedule = f"s{number}"
    soon = as_datetime(office.latest_ms() + rng.randint(*SOON_S) * 1000)
    trigger = {"workflow": kind, "recipients": [{"id": each} for each in call.users], "payload": {"n": call.n, "thread": "a"}}  # fmt: skip
    given = msgspec.convert(
        {"trigger": trigger, "when": {"at": soon.isoformat(timespec="seconds")}}, ScheduleDefinition
    )
    while True:
        try:
            await office.call(
                lambda life: life.engine.schedules.put(APP, call.schedule, given, lambda _: None)
            )
        except FORGIVEN:
            await asyncio.sleep(rng.random())
        else:
            return call


async def _read(office: Office, name: str) -> None:
    """Somebody who looks at their inbox now and then, and reads some of it."""
    user = Principal(id=name)

    async def look(life: Life) -> None:
        page = await life.inbox.page(user, filter="unread")
        for message in page.items:
            if office.rng.random() < 0.5:
                await life.inbox.mark(user, message.id, "read")

    for _ in range(6):
        await asyncio.sleep(office.rng.uniform(0, 6))
        with contextlib.suppress(*FORGIVEN, NotFound):
            await office.call(look)


async def workflows(loop: SimLoop) -> None:
    """One run."""
    rng = loop.rng
    is_calm = rng.random() < 0.25
    is_alone, is_jumpy = rng.random() < 0.25, not is_calm and rng.random() < 0.4
    with (
        _short(),
        Office(loop, is_calm=is_calm, is_alone=is_alone, is_jumpy=is_jumpy) as office,
    ):
        for name in office.names:
            office.start(name)
        await asyncio.sleep(1)
        kinds = [rng.choice(POSTAL), *rng.sample(list(WORKFLOWS), KINDS)]
        for key in dict.fromkeys(kinds):
            definition = Definition(key, WORKFLOWS[key])
            await office.call(lambda life: life.engine.catalog.put(APP, definition))  # noqa: B023  done at once
        calls = [await _schedule(office, n, rng.choice(kinds)) for n in range(SCHEDULES)]
        callers = [Caller(office, number, kinds) for number in range(CALLERS)]
        tasks = [loop.create_task(caller.main()) for caller in callers]
        tasks += [loop.create_task(_read(office, name)) for name in READERS]
        if not is_calm:
            await office.trouble(rng.randint(3, 12))
        await asyncio.gather(*tasks)
        office.post.is_healed = True
        await office.settled(PATIENCE_S)
        check_all(office, calls + [call for caller in callers for call in caller.calls])


@contextlib.contextmanager
def _short() -> Iterator[None]:
    """With leases and slices that a few seconds and recipients outlast."""
    with contextlib.ExitStack() as stack:
        for module in (runs, digests, triggering, firing):
            stack.enter_context(patch.object(module, "LEASE_S", LEASE_S))
        stack.enter_context(patch.object(lanes, "LEASE_S", SENDING_LEASE_S))
        for slices in ("SLICE", "ALIKE_SLICE"):
            stack.enter_context(patch.object(planning, slices, SLICE))
        yield
