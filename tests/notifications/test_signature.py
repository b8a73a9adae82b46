"""A mention, reached as little as it takes: the example that the docs begin with, as it stands in `examples/mention.py`."""

import ast
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from clarion.notifications.channels import Outgoing, Sent
from clarion.notifications.channels.email.content import EmailContent
from clarion.notifications.channels.push.content import PushContent
from clarion.notifications.workflows.definition import Definition
from tests.notifications.conftest import APP, House, user
from tests.notifications.test_workflows import Office

EXAMPLE = Path("examples/mention.py").read_text()
ANN = {"id": "ann", "email": "ann@example.com"}


class Noted:
    """A channel that says what the real one says, and notes when it is said, in minutes."""

    timeout_s, max_attempts, needs_addresses = 5.0, 3, False

    def __init__(self, name: str, content: type[Struct], house: House) -> None:
        self.name, self.content, self.said = name, content, content
        self.sent: list[tuple[int, dict[str, Any]]] = []
        self._clock, self._began = house.clock, house.clock.now_ms()

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        return [str(recipient["email"])]

    async def send(self, message: Outgoing) -> Sent:
        minutes = (self._clock.now_ms() - self._began) // 60_000
        self.sent.append((minutes, dict(message.content)))
        return Sent("noted", "")


class Desk(Office):
    """An office with a push service and mail."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.push = Noted("push", PushContent, house)
        self.email = Noted("email", EmailContent, house)
        self.engine.channels.add(self.push)
        self.engine.channels.add(self.email)

    async def mention(self, who: str) -> str:
        """Somebody mentions ann; the id of what is in her inbox."""
        await self.trigger(ANN, payload={"actor": who, "text": f"from {who}"}, workflow="mention")
        await self.run()
        return (await self.house.inbox.page(user("ann"))).items[0].id

    async def pass_by(self, minutes: int) -> None:
        """Time passes, a minute at a time."""
        for _ in range(minutes):
            await self.run(60)


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Desk]:
    desk = Desk(house)
    example = ast.parse(EXAMPLE)
    [written] = [
        each.value
        for each in example.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "MENTION"
    ]
    await desk.catalog.put(APP, msgspec.convert(ast.literal_eval(written), Definition))
    yield desk
    await desk.triggers.settled()
    await desk.sender.close()
    await desk.outbound.close()


async def test_who_has_it_on_the_screen_is_told_no_more(desk: Desk) -> None:
    """Seen is enough: it need not be read, and neither push nor email follow."""
    message = await desk.mention("Cleo")
    await desk.pass_by(4)
    await desk.house.inbox.mark_seen(user("ann"), [message])
    await desk.pass_by(120)
    assert (desk.push.sent, desk.email.sent) == ([], [])


async def test_who_does_not_see_it_gets_a_push_and_who_reads_that_no_email(desk: Desk) -> None:
    """After five minutes, not before; an hour later it is read."""
    message = await desk.mention("Cleo")
    await desk.pass_by(4)
    assert desk.push.sent == []
    await desk.pass_by(30)
    assert [(at, said["title"]) for at, said in desk.push.sent] == [(5, "Cleo mentioned you")]
    await desk.house.inbox.mark(user("ann"), message, "read")
    await desk.pass_by(60)
    assert desk.email.sent == []


async def test_who_reads_nothing_gets_one_email_with_all_that_is_unread(desk: Desk) -> None:
    """Of three mentions within the hour, one email; what comes later is in the next one, and everything in one of them."""
    await desk.mention("Cleo")
    await desk.pass_by(20)
    await desk.mention("Ben")
    await desk.pass_by(40)
    read = await desk.mention("Dora")
    await desk.house.inbox.mark(user("ann"), read, "read")
    await desk.pass_by(10)
    await desk.mention("Emil")
    await desk.pass_by(100)
    assert [at for at, _ in desk.push.sent] == [5, 25, 75]
    assert [(at, said["subject"]) for at, said in desk.email.sent] == [
        (65, "2 unread, the newest from Cleo"),
        (135, "3 unread, the newest from Emil"),
    ]
    assert desk.email.sent[0][1]["text"].splitlines() == [
        "- Ben mentioned you: from Ben",
        "- Cleo mentioned you: from Cleo",
    ]
