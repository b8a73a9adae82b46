"""Email from the workflow to the mail server and back: what providers and people tell moves messages on, and wakes runs."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec import Struct
from structlog.testing import capture_logs

from clarion.errors import Forbidden, Invalid, NotFound, SettingsError
from clarion.ids import Ids
from clarion.notifications.channels import Outgoing
from clarion.notifications.delivery import Delivery
from clarion.notifications.email import Email, NoSecret
from clarion.notifications.preferences.document import Defaults
from clarion.notifications.previewing import PreviewTemplate
from clarion.notifications.suppressions import NewSuppression
from clarion.notifications.template import Template
from clarion.notifications.workflows.definition import Definition
from clarion.settings import Email as EmailSettings
from clarion.settings import Settings
from clarion.storage.store import Sql
from tests.notifications.conftest import House, on_one_engine, user
from tests.notifications.email.conftest import Servers
from tests.notifications.office import ANN, BELL, Office
from tests.support.mail_server import MailServer

BEARER = "Bearer a secret of 24 letters"
FIREFOX = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
MAIL: dict[str, Any] = {
    "id": "mail",
    "email": {"subject": "Hello {{ recipient.name }}", "html": '<a href="https://x.example/{{ payload.n }}">Look</a>'},
}  # fmt: skip


class State(Struct, frozen=True):
    """A message as it stands."""

    id: str
    status: str
    cause: str
    is_due: int
    is_read: int
    is_clicked: int


STATES = Sql(
    """SELECT id, status, cause, CASE WHEN run_ms IS NULL THEN 0 ELSE 1 END, CASE WHEN read_ms IS NULL THEN 0 ELSE 1 END,
       CASE WHEN clicked_ms IS NULL THEN 0 ELSE 1 END FROM outgoing ORDER BY id""",
    State,
)


class Desk(Office):
    """The office with email."""

    def __init__(self, house: House, server: MailServer) -> None:
        super().__init__(house)
        self.server = server
        names = ("generic", "ses", "postmark", "mailgun", "sendgrid")
        settings = Settings(
            public_url="https://c.example",
            email=EmailSettings(
                providers=[f"smtp://localhost:{server.port}?tls=none"],
                sender="Clarion <clarion@example.com>",
                tracking=["opens", "clicks"],
                hooks=[f"{name}:{BEARER[7:]}" for name in names],
            ),
        )
        self.email = Email(
            settings,
            house.store,
            self.engine.suppressions,
            self.outbound,
            secret="of tests",
            way_out=lambda message: self.engine.unsubscribing.link(message, "email"),
            clock=self.clock,
            ids=Ids(),
        )
        self.channels.add(self.email.channel)

    async def states(self) -> list[State]:
        return await self.house.store.fetch(STATES)

    async def hear(self, provider: str, body: Any) -> Any:
        return await self.email.hear(provider, BEARER, body)

    async def tell(self, event: str, **more: Any) -> Any:
        told = {"event": event, "message": self.server.said()["Message-ID"], **more}
        return await self.hear("generic", {"events": [told]})

    async def kinds(self, message: str) -> list[str]:
        return [row.kind for row in await self.email.events("default", message)]

    def links(self, kind: str) -> list[str]:
        """Tokens of a kind in the mail that came last."""
        html = self.server.said().get_body(("html",)).get_content()
        return re.findall(rf"https://c\.example/v1/email/{kind}/([\w-]+)", html)


@pytest.fixture
async def desk(house: House, servers: Servers) -> AsyncIterator[Desk]:
    desk = Desk(house, await servers())
    yield desk
    await desk.triggers.settled()
    await desk.sender.close()
    await desk.email.close()
    await desk.outbound.close()


async def test_email_only_for_whom_was_not_reached(desk: Desk) -> None:
    """Inbox, an hour, email: who has read the inbox by then gets none."""
    await desk.workflow(BELL, {"wait": "1h"}, {"stop": "bell.read"}, MAIL)
    await desk.trigger(ANN, {"id": "ben", "email": "ben@example.com", "name": "Ben"}, payload={"n": 7})  # fmt: skip
    await desk.run()
    assert desk.server.mails == []
    inbox = desk.house.inbox
    [item] = (await inbox.page(user("ben"))).items
    await inbox.mark(user("ben"), item.id, "read")
    await desk.run(3_600)
    [mail] = desk.server.mails
    assert mail.rcpt_tos == ["ann@example.com"]
    assert desk.server.said()["Subject"] == "Hello Ann"
    assert [(each.status, each.is_due) for each in await desk.states()] == [("sent", 0)]


async def test_a_click_wakes_who_waits_for_it(desk: Desk) -> None:
    """`wait: {message: mail, is: clicked}` goes on at the click; a program's click is none."""
    wait = {"wait": {"message": "mail", "is": "clicked", "timeout": "7d"}}
    await desk.workflow(MAIL, wait, {"id": "after", "inbox": {"title": "Clicked: {{ mail.clicked }}"}})  # fmt: skip
    await desk.trigger(ANN, payload={"n": 7})
    await desk.run()
    [token] = desk.links("clicks")
    assert await desk.email.clicked(token, FIREFOX) == "https://x.example/7"  # faster than anybody
    desk.clock.advance(60)
    assert await desk.email.clicked(token, {"user-agent": "curl/8"}) == "https://x.example/7"
    await desk.run()
    assert await desk.inbox("ann") == []
    await desk.email.clicked(token, FIREFOX)
    await desk.run()
    assert await desk.inbox("ann") == ["Clicked: True"]
    [state] = await desk.states()
    assert (state.status, state.is_read, state.is_clicked) == ("delivered", 1, 1)
    assert await desk.kinds(state.id) == ["clicked_by_machine", "clicked"]


async def test_an_open_is_told_from_a_fetch(desk: Desk) -> None:
    """The picture that a person's reader fetches says read; Apple's proxy fetches it unread. Tokens of others say nothing."""
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 7})
    await desk.run()
    desk.clock.advance(60)
    [token] = desk.links("opens")
    [link] = desk.links("clicks")
    await desk.email.opened(token, {"user-agent": "Mozilla/5.0"})
    await desk.email.opened("x", FIREFOX)
    await desk.email.opened(link, FIREFOX)
    assert [(each.status, each.is_read) for each in await desk.states()] == [("delivered", 0)]
    await desk.email.opened(token, FIREFOX)
    assert [each.is_read for each in await desk.states()] == [1]
    for other in (token, "x"):
        with pytest.raises(NotFound):
            await desk.email.clicked(other, FIREFOX)


async def test_a_step_can_be_left_alone(desk: Desk) -> None:
    """`track: false`: its links lead where they say, and no picture is in it."""
    await desk.workflow({"email": {**MAIL["email"], "track": False}})  # type: ignore[dict-item]
    await desk.trigger(ANN, payload={"n": 7})
    await desk.run()
    html = desk.server.said().get_body(("html",)).get_content()
    assert html.strip() == '<a href="https://x.example/7">Look</a>'


async def test_a_bounce_is_remembered(desk: Desk) -> None:
    """A mailbox that does not exist: the message has bounced, the address is suppressed, and the next run does not write to it."""
    desk.server.replies["RCPT"] = ["550 5.1.1 User unknown"]
    await desk.workflow(MAIL, {"id": "b", "inbox": {"title": "unreachable"}, "if": "mail.skipped"})
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    assert [(each.status, each.cause) for each in await desk.states()] == [("bounced", "550 5.1.1 User unknown")]  # fmt: skip
    again = await desk.trigger(ANN, payload={"n": 2})
    await desk.run()
    assert await desk.story(again) == ["mail suppressed: bounce: 550 5.1.1 User unknown", "b sent"]
    assert await desk.inbox("ann") == ["unreachable"]
    assert desk.server.mails == []


async def test_what_is_suppressed_meanwhile_is_not_sent(desk: Desk) -> None:
    """Suppressed between the decision and the sending: the message says so."""
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.engine.suppressions.put("default", NewSuppression("Ann@EXAMPLE.com"))
    await desk.run()
    assert [(each.status, each.cause) for each in await desk.states()] == [("suppressed", "suppressed: manual")]  # fmt: skip


async def test_the_life_cycle_never_goes_back(desk: Desk) -> None:
    """Events come twice and in any order: the highest stands, with the first time of each."""
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    desk.clock.advance(60)
    assert (await desk.tell("bounced", detail="552 full")).told == 1
    await desk.tell("delivered", at="2020-01-01T00:00:00Z")
    await desk.tell("deferred", detail="later")
    [state] = await desk.states()
    assert (state.status, state.cause) == ("bounced", "552 full")
    assert sorted(await desk.kinds(state.id)) == ["bounced", "deferred", "delivered"]
    page, more = await desk.engine.suppressions.page("default", "email", "", 10)
    assert (page, more) == ([], False)  # not for good: the address stays


async def test_what_was_unknown_is_not_sent_again(desk: Desk) -> None:
    """The line broke after the message; the provider then tells of its delivery: there is no second attempt."""
    desk.server.replies["DATA"] = ["hang up"]
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    assert [(each.status, each.is_due) for each in await desk.states()] == [("queued", 1)]
    await desk.tell("delivered")
    await desk.run(86_400)
    assert [(each.status, each.is_due) for each in await desk.states()] == [("delivered", 0)]
    assert len(desk.server.mails) == 1


async def test_a_deferred_message_is_sent_again(desk: Desk) -> None:
    """421 and 450: once more after a while, as the same message."""
    desk.server.replies["RCPT"] = ["450 4.2.0 Greylisted, try again in 300 seconds"]
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    await desk.run(299)
    assert desk.server.mails == []
    await desk.run(2)
    assert [each.status for each in await desk.states()] == ["sent"]


async def test_one_click_ends_what_it_came_with(desk: Desk) -> None:
    """Looking at the link changes nothing; the POST turns this workflow's emails off, it can be undone, and the history tells of it."""
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    said = desk.server.said()
    assert said["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = urlsplit(said["List-Unsubscribe"].strip("<>")).path.rpartition("/")[2]
    out = desk.engine.unsubscribing
    found = await out.look(token)
    assert (found.kind, found.name, found.channel, found.wanted) == ("workflow", "w", "email", True)
    found = await out.go(token)
    await desk.email.unsubscribed(found.tenant, found.message)
    kinds = [each.kind for each in await desk.email.events("default", found.message)]
    assert kinds == ["unsubscribed"]
    ended = await desk.trigger(ANN, payload={"n": 2})
    await desk.run()
    assert await desk.story(ended) == ["mail skipped: user:/workflows/w/email"]
    await out.undo(token)
    await desk.trigger(ANN, payload={"n": 3})
    await desk.run()
    assert len(desk.server.mails) == 2


@on_one_engine
async def test_what_is_critical_has_no_way_out(desk: Desk) -> None:
    """No header offers what could not be kept, neither for a critical workflow nor for a category that is required."""
    await desk.workflow(MAIL, critical=True)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    assert desk.server.said()["List-Unsubscribe"] is None
    await desk.workflow(MAIL, category="security")
    required = msgspec.convert({"required": ["security"]}, Defaults)
    await desk.house.book.put_defaults("default", required)
    await desk.trigger(ANN, payload={"n": 2})
    await desk.run()
    assert desk.server.said()["List-Unsubscribe"] is None
    assert len(desk.server.mails) == 2


@on_one_engine
async def test_hooks_want_their_secret(desk: Desk) -> None:
    """Without it nothing is believed; a provider that is not listed is not there; events of others are counted and no error."""
    for given in ("", "Bearer wrong", "Basic eDp3cm9uZw==", "Basic !", "Digest x"):
        with pytest.raises(NoSecret):
            await desk.email.hear("generic", given, {"events": []})
    with pytest.raises(NotFound):
        await desk.email.hear("other", BEARER, {})
    basic = "Basic eDphIHNlY3JldCBvZiAyNCBsZXR0ZXJz"
    heard = await desk.email.hear("generic", basic, {"events": [{"event": "delivered", "message": "<x@y>"}, 7]})  # fmt: skip
    assert (heard.told, heard.unknown) == (0, 1)


@on_one_engine
async def test_amazon_is_confirmed_and_nobody_else(desk: Desk) -> None:
    """The address to confirm at must be SNS's own."""
    for url in (
        "https://evil.example/",
        "https://sns.evil.example/x",
        "https://evil.amazonaws.com/",
        "https://sns.[evil",
        "",
    ):
        with pytest.raises(Forbidden):
            await desk.hear("ses", {"Type": "SubscriptionConfirmation", "SubscribeURL": url})
    refused = "https://user@sns.eu-west-1.amazonaws.com/"  # by the guarded door, which is logged
    await desk.hear("ses", {"Type": "SubscriptionConfirmation", "SubscribeURL": refused})


@on_one_engine
async def test_a_copy_that_bounces_is_not_the_message(desk: Desk) -> None:
    """Its address is suppressed, and the message stays sent."""
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    await desk.tell("bounced", address="bob@example.com", permanent=True)
    assert [each.status for each in await desk.states()] == ["sent"]
    assert (await desk.engine.suppressions.find("default", "email", "bob@example.com")).reason == "bounce"  # fmt: skip


@on_one_engine
async def test_content_that_is_none(desk: Desk) -> None:
    """What a step says is checked when the workflow is put; what comes of its templates, when it is rendered."""
    for said in (
        {"subject": "x"},
        {"subject": "", "text": "x"},
        {"subject": "x", "text": "x", "attachments": [{}]},
        {"subject": "x", "text": "x", "attachments": [{"url": "https://x.org", "content": "eA=="}]},
        {"subject": "x", "text": "x", "attachments": [{"content": "eA==", "cid": "a b"}]},
    ):
        with pytest.raises(Invalid):
            await desk.workflow({"email": said})
    for said, why in (
        ({"subject": "{{ payload.none }}", "text": "x"}, "subject"),
        ({"subject": "x", "text": "x", "reply_to": "{{ payload.to }}"}, "no email address"),
        ({"subject": "x", "text": "x", "attachments": [{"content": "{{ payload.to }}"}]}, "base64"),
    ):
        await desk.workflow({"id": "mail", "email": said})
        trigger = await desk.trigger(ANN, payload={"to": "a@x.org\r\nBcc: b@x.org", "none": " "})
        await desk.run()
        [story] = await desk.story(trigger)
        assert story.startswith("mail failed")
        assert why in story
    assert desk.server.mails == []


@on_one_engine
async def test_a_copy_does_not_leave_where_only_some_are_reached(desk: Desk) -> None:
    """With `allowlist` an email with a copy for somebody who is not listed is kept; without one it is sent."""
    allow = ["user:ann", "@ours.test"]
    desk.sender._diverts = delivery = Delivery(
        desk.house.store, "allowlist", allow, clock=desk.clock, ids=Ids()
    )
    for copy in ("Bob <bob@ours.test>", "Bob <bob@theirs.test>"):
        await desk.workflow({"email": {"subject": copy, "text": "x", "cc": [copy]}})
        await desk.trigger(ANN)
        await desk.run()
    assert [each.rcpt_tos for each in desk.server.mails] == [["ann@example.com", "bob@ours.test"]]
    [kept] = (await delivery.page("default")).items
    assert kept.content["cc"] == ["Bob <bob@theirs.test>"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"hooks": ["unknown:0123456789abcdef"]}, "name:secret"),
        ({"hooks": ["generic:short"]}, "16 characters"),
        ({"hooks": ["ses:0123456789abcdef", "ses:0123456789abcdeg"]}, "twice"),
        ({"tracking": ["opens"]}, "public_url"),
        ({"tracking": ["all"]}, "neither"),
        ({"sender": "nobody"}, "sender"),
        ({"return_path": "nobody"}, "return_path"),
    ],
)
@on_one_engine
async def test_settings_that_are_none(house: House, given: dict[str, Any], why: str, tmp_path: Path) -> None:  # fmt: skip
    """The start says what is wrong."""
    office = Office(house)
    with pytest.raises(SettingsError, match=why):
        Email(
            Settings(email=EmailSettings(**given)), house.store, office.engine.suppressions, office.outbound, secret="x",
            clock=office.clock, ids=Ids(),
        )  # fmt: skip
    await office.outbound.close()


async def test_a_provider_that_names_messages_its_own_way(desk: Desk) -> None:
    """What it called the message when it took it leads there, too."""
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    body = {"events": [{"event": "complained", "provider_id": name} for name in ("Q1", "Q9", "")]}
    heard = await desk.hear("generic", body)
    assert (heard.told, heard.unknown) == (1, 2)
    assert (await desk.engine.suppressions.find("default", "email", "ann@example.com")).reason == "complaint"  # fmt: skip
    assert [each.status for each in await desk.states()] == ["delivered"]


async def test_opens_that_a_provider_tells(desk: Desk) -> None:
    """With the program that opened it, or judged by the provider itself; a message that was purged meanwhile is unknown."""
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 1})
    await desk.run()
    desk.clock.advance(60)
    await desk.tell("opened", user_agent="Mozilla/5.0")
    await desk.tell("opened", machine=True)
    assert [each.is_read for each in await desk.states()] == [0]
    await desk.tell("clicked", user_agent=FIREFOX["user-agent"], url="https://x.example")
    assert [(each.is_read, each.is_clicked) for each in await desk.states()] == [(1, 1)]
    other = "<0199c3a1-2b7e-7c10-9a55-5d1f0c6a7e21.2.0@example.com>"
    assert (await desk.hear("generic", {"events": [{"event": "opened", "message": other}]})).unknown == 1  # fmt: skip


@on_one_engine
async def test_mjml_and_conversations(desk: Desk) -> None:
    """MJML is made HTML; a thread of the payload's shows emails together."""
    await desk.workflow(
        {
            "email": {
                "subject": "x",
                "thread": "issue {{ payload.n }}",
                "mjml": "<mjml><mj-body><mj-section><mj-column><mj-text>Hi {{ recipient.name }}</mj-text></mj-column></mj-section></mj-body></mjml>",
            }
        }
    )
    for _ in range(2):
        await desk.trigger(ANN, payload={"n": 1})
        await desk.run()
    first, second = desk.server.said(0), desk.server.said(1)
    assert first["References"] == second["References"] == second["In-Reply-To"]
    assert first["Message-ID"] != second["Message-ID"]
    assert "Hi Ann" in first.get_body(("plain",)).get_content()


async def test_addresses_that_are_not_written_to(desk: Desk) -> None:
    """Put, found in all their spellings, in pages, and taken back; the first reason stays."""
    suppressions = desk.engine.suppressions
    for name in ("Ben@Example.COM", "cy@bücher.example", "no address"):
        await suppressions.put("default", NewSuppression(name, detail="x"))
    kept = await suppressions.put("default", NewSuppression("ben@example.com", reason="bounce"))
    assert (kept.reason, kept.detail, kept.message) == ("manual", "x", None)
    page, more = await suppressions.page("default", "email", "", 2)
    assert [each.address for each in page] == ["ben@example.com", "cy@xn--bcher-kva.example"]
    assert more
    with pytest.raises(Invalid) as refused:
        await suppressions.put("default", NewSuppression("ben@example.com", channel="fax"))
    assert [each.pointer for each in refused.value.faults] == ["/channel"]
    with pytest.raises(Invalid) as refused:
        await suppressions.put("default", NewSuppression(" "))
    assert [each.pointer for each in refused.value.faults] == ["/address"]
    assert (await suppressions.page("other", "email", "", 2))[0] == []
    assert (await suppressions.page("default", "sms", "", 2))[0] == []
    for _ in range(2):
        await suppressions.remove("default", "email", "BEN@example.com")
    with pytest.raises(NotFound):
        await suppressions.find("default", "email", "ben@example.com")


async def test_the_way_is_not_blocked_for_others(desk: Desk) -> None:
    """One suppressed, one deleted, one without an address: the others get theirs."""
    await desk.engine.suppressions.put("default", NewSuppression("ann@example.com"))
    await desk.workflow(MAIL)
    ben = {"id": "ben", "email": "ben@example.com", "name": "Ben"}
    await desk.trigger(ANN, ben, {"id": "cleo"}, payload={"n": 1})
    await desk.run()
    assert [mail.rcpt_tos for mail in desk.server.mails] == [["ben@example.com"]]


@on_one_engine
async def test_a_mail_that_is_kept_instead_has_its_text_part(desk: Desk) -> None:
    """As it would have gone out: made from its HTML where it has none."""
    delivery = Delivery(desk.house.store, "capture", clock=desk.clock, ids=Ids.seeded(1))
    desk.sender._diverts = delivery
    await desk.workflow(MAIL)
    await desk.trigger(ANN, payload={"n": 7})
    await desk.run()
    [kept] = (await delivery.page("default")).items
    assert kept.content["text"] == "Look (https://x.example/7)\n"
    assert desk.server.mails == []


@pytest.mark.parametrize(
    ("public_url", "delivery", "said"),
    [
        ("", "live", "public_url is not set"),
        ("http://c.example", "allowlist", "public_url is not https"),
        ("", "capture", ""),
        ("https://c.example", "live", ""),
    ],
)
@on_one_engine
async def test_mails_whose_links_lead_nowhere_are_warned_of(
    house: House, public_url: str, delivery: Any, said: str
) -> None:
    """When the server starts, and when a workflow is put that sends them; the mail has no `List-Unsubscribe` then."""
    office = Office(house)
    with capture_logs() as logs:
        mail = Email(
            Settings(
                public_url=public_url,
                delivery=delivery,
                email=EmailSettings(providers=["smtp://localhost:1?tls=none"]),
            ),
            house.store,
            office.engine.suppressions,
            office.outbound,
            secret="of tests",
            way_out=lambda message: office.engine.unsubscribing.link(message, "email"),
            clock=house.clock,
            ids=Ids(),
        )
    assert [each["event"].partition(":")[0] for each in logs] == [said][: bool(said)]
    message = Outgoing("default", "m", "ann", "ann@example.com", MAIL["email"], "w", "", 1)
    letter = (await mail.channel.compose(message)).letter
    assert bool(letter.unsubscribe) == public_url.startswith("https")


@on_one_engine
async def test_a_workflow_and_a_template_tell_of_links_that_lead_nowhere(desk: Desk) -> None:
    """Each step that mails, unless it is critical and says none; on an inbox, which is on the same site, they lead somewhere."""
    link = "{{ links.preferences }}"
    bell = {"inbox": {"title": "a", "body": link}}
    letter = {"letter": {"text": link}}
    for is_critical, places in ((False, ["0/email", "2/letter"]), (True, ["2/letter"])):
        given = {"workflow": "w", "steps": [MAIL, bell, letter], "critical": is_critical}
        put = await desk.catalog.check_put("default", msgspec.convert(given, Definition))
        assert [each.pointer for each in put.warnings] == [f"/steps/{each}" for each in places]
    draft = msgspec.convert(
        {"template": "t", "channels": {"inbox": {"en": bell["inbox"]}, "email": {"en": {**MAIL["email"], "text": link}}}},
        Template,
    )  # fmt: skip
    found = await desk.engine.previews.preview("default", PreviewTemplate(draft=draft))
    assert ([each.pointer for each in found.warnings], found.faults) == (["/channels/email"], [])
