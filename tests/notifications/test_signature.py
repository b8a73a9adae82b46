"""A mention, reached as little as it takes: the example that the docs begin with, as it stands in `examples/mention.py`.

With the real channels: a push service that checks what it gets and a browser that decrypts it, a mail server, and a clock that goes a minute at a time.
"""

import ast
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from clarion.ids import Ids
from clarion.notifications.email import Email
from clarion.notifications.workflows.definition import Definition
from clarion.settings import Email as EmailSettings
from clarion.settings import Settings
from tests.notifications.conftest import APP, House, user
from tests.notifications.push.conftest import PushOffice
from tests.support.mail_server import MailServer
from tests.support.push_service import Browser, PushService

EXAMPLE = Path("examples/mention.py").read_text()
ANN = {"id": "ann", "email": "ann@example.com"}


class Desk(PushOffice):
    """An office with a push service and mail."""

    browser: Browser

    def __init__(self, house: House, mail: MailServer) -> None:
        super().__init__(house)
        self.mail = mail
        settings = Settings(
            email=EmailSettings(
                providers=[f"smtp://localhost:{mail.port}?tls=none"],
                sender="Clarion <clarion@example.com>",
            )
        )
        self.email = Email(
            settings,
            house.store,
            self.engine.suppressions,
            self.outbound,
            secret="of tests",
            clock=self.clock,
            ids=Ids(),
        )
        self.channels.add(self.email.channel)
        self.minute = 0
        # When they came, in minutes.
        self.pushes: list[tuple[int, str]] = []
        self.mails: list[tuple[int, str]] = []

    async def mention(self, who: str) -> str:
        """Somebody mentions ann; the id of what is in her inbox."""
        await self.trigger(ANN, payload={"actor": who, "text": f"from {who}"}, workflow="mention")
        await self.run()
        return (await self.house.inbox.page(user("ann"))).items[0].id

    async def pass_by(self, minutes: int) -> None:
        """Time passes, a minute at a time."""
        for _ in range(minutes):
            self.minute += 1
            await self.run(60)
            for got in self.browser.got[len(self.pushes) :]:
                self.pushes.append((self.minute, got["title"]))
            for n in range(len(self.mails), len(self.mail.mails)):
                self.mails.append((self.minute, self.mail.said(n)["Subject"]))


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Desk]:
    mail = await MailServer().start()
    desk = Desk(house, mail)
    example = ast.parse(EXAMPLE)
    [written] = [
        each.value
        for each in example.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "MENTION"
    ]
    async with PushService(lambda: house.clock.now_ms() / 1000).serving() as service:
        await desk.open(service)
        await desk.catalog.put(APP, msgspec.convert(ast.literal_eval(written), Definition))
        desk.browser = service.browser()
        await desk.sign_on("ann", desk.browser)
        yield desk
        await desk.triggers.settled()
        await desk.sender.close()
        await desk.email.close()
        await desk.outbound.close()
        await desk.door.close()
    await mail.close()


async def test_who_has_it_on_the_screen_is_told_no_more(desk: Desk) -> None:
    """Seen is enough: it need not be read, and neither push nor email follow."""
    message = await desk.mention("Cleo")
    await desk.pass_by(4)
    await desk.house.inbox.mark_seen(user("ann"), [message])
    await desk.pass_by(120)
    assert (desk.pushes, desk.mails) == ([], [])


async def test_who_does_not_see_it_gets_a_push_and_who_reads_that_no_email(desk: Desk) -> None:
    """After five minutes, not before; an hour later it is read."""
    message = await desk.mention("Cleo")
    await desk.pass_by(4)
    assert desk.pushes == []
    await desk.pass_by(30)
    assert desk.pushes == [(5, "Cleo mentioned you")]
    await desk.house.inbox.mark(user("ann"), message, "read")
    await desk.pass_by(60)
    assert desk.mails == []


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
    assert [at for at, _ in desk.pushes] == [5, 25, 75]
    assert desk.mails == [
        (65, "2 unread, the newest from Cleo"),
        (135, "3 unread, the newest from Emil"),
    ]
    assert desk.mail.said(0).get_body(("plain",)).get_content().strip().splitlines() == [
        "- Ben mentioned you: from Ben",
        "- Cleo mentioned you: from Cleo",
    ]
