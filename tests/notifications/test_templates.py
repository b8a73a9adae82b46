"""Stored templates: kept in versions, said by workflows, checked before anybody is told anything."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from clarion.errors import Conflict, Invalid, NotFound, TooMany
from clarion.notifications.channels import Outgoing, Sent
from clarion.notifications.editing import Editor
from clarion.notifications.previewing import PreviewTemplate
from clarion.notifications.template import Template
from clarion.settings import Templates
from tests.notifications.conftest import APP, House, on_one_engine
from tests.notifications.office import Office


class MailContent(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a mail says."""

    subject: str
    text: str = ""
    html: str = ""


class Mails:
    """A channel of mails, which keeps what it is given."""

    name, content, said, timeout_s, max_attempts = "mail", MailContent, MailContent, 5.0, 3
    needs_addresses = False

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        return [f"{recipient['id']}@example.com"]

    async def send(self, message: Outgoing) -> Sent:
        self.sent.append(message)
        return Sent("post office")


class Desk(Office):
    """An office with mails and templates."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.mails = Mails()
        self.engine.channels.add(self.mails)

    async def template(self, key: str, **more: Any) -> int:
        given = msgspec.convert({"template": key, **more}, Template)
        return (await self.engine.templates.put(APP, given)).version

    async def only_run(self, trigger: str) -> Any:
        [run], _ = await self.history.runs("default", trigger, "", 10)
        return await self.history.run("default", run.id)

    async def mail(self, template: str, *recipients: Any, **more: Any) -> list[dict[str, Any]]:
        """What is said to them by a workflow of one step, in their order."""
        self.mails.sent.clear()
        await self.workflow({"id": "m", "mail": {"template": template, **more.pop("own", {})}})
        await self.trigger(*recipients, **more)
        await self.run()
        sent = sorted(self.mails.sent, key=lambda each: each.address)
        return [dict(each.content) for each in sent]


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Desk]:
    desk = Desk(house)
    yield desk
    await desk.triggers.settled()
    await desk.sender.close()
    await desk.outbound.close()


def mail(subject: str, **more: str) -> dict[str, Any]:
    return {"subject": subject, **more}


async def faults(doing: Any) -> list[str]:
    """What is wrong, each with where."""
    with pytest.raises(Invalid) as refused:
        await doing
    return [f"{each.pointer} {each.detail}" for each in refused.value.faults]


async def test_versions_are_kept_and_told_and_one_can_be_rolled_back_to(desk: Desk) -> None:
    """A run says what is current when it is rendered, and its record says which version that was."""
    said = {"en": mail("one {{ recipient.id }}")}
    assert await desk.template("hi", channels={"mail": said}) == 1
    assert await desk.template("hi", channels={"mail": said}) == 1
    assert await desk.mail("hi", {"id": "ann"}) == [mail("one ann")]
    assert await desk.template("hi", channels={"mail": {"en": mail("two")}}) == 2
    trigger = await desk.trigger({"id": "ben"})
    run = await desk.only_run(trigger)
    assert run.steps[0].read == {"template": "hi", "version": 2, "locale": "en"}
    await desk.run()
    editor: Editor = desk.engine.templates
    assert (await editor.roll_back(APP, "hi", 1)).version == 1
    assert await desk.mail("hi", {"id": "cleo"}) == [mail("one cleo")]
    assert await desk.template("hi", channels={"mail": {"en": mail("three")}}) == 3
    page = await editor.versions("default", "hi", 3, 1)
    assert ([each.version for each in page.items], page.next) == ([2], 2)
    with pytest.raises(NotFound):
        await editor.roll_back(APP, "hi", 9)


@on_one_engine
async def test_everybody_reads_their_language_or_the_next_best(desk: Desk) -> None:
    """de-AT, then de, then the server's default; dates and money as the language that is read writes them."""
    said = {
        "de": mail("{{ payload.at|date }} {{ payload.n|plural(one='# Brief', other='# Briefe') }}"),
        "en": mail("{{ payload.at|datetime('short') }} {{ payload.n|currency('EUR') }}"),
        "de-AT": mail("Jänner"),
    }
    await desk.template("hi", channels={"mail": said})
    people = [
        {"id": name, "locale": locale, "time_zone": "Europe/Berlin"}
        for name, locale in (("a", "de_at"), ("b", "de-CH"), ("c", "fr-FR"), ("d", "en-GB"))
    ]
    payload = {"at": "2026-03-01T23:30:00Z", "n": 1}
    found = await desk.mail("hi", *people, payload=payload)
    assert [each["subject"].replace("\u202f", " ") for each in found] == [
        "Jänner",
        "02.03.2026 1 Brief",
        "3/2/26, 12:30 AM €1.00",
        "02/03/2026, 00:30 €1.00",
    ]


@on_one_engine
async def test_layouts_partials_and_texts_in_the_readers_language(desk: Desk) -> None:
    """One layout for all languages; its words by `t`; what values say is escaped; the record names the parts."""
    await desk.template("foot", part={"en": "<i>bye</i>", "de": "<i>tschüss</i>"})
    await desk.template(
        "layout",
        part={
            "en": "<b>{{ t('hello', name=recipient.id) }}</b>{% block body %}{% endblock %}{% include 'foot' %}"
        },
        texts={"en": {"hello": "Hello {name}"}, "de": {"hello": "Hallo {name}"}},
    )
    html = "{% extends 'layout' %}{% block body %}{{ payload.x }}{% endblock %}"
    await desk.template(
        "hi",
        channels={"mail": {"en": mail("s", html=html), "de": mail("s", html=html)}},
    )
    found = await desk.mail("hi", {"id": "a", "locale": "de-AT"}, {"id": "b"}, payload={"x": "<x>"})
    assert [each["html"] for each in found] == [
        "<b>Hallo a</b>&lt;x&gt;<i>tschüss</i>",
        "<b>Hello b</b>&lt;x&gt;<i>bye</i>",
    ]
    await desk.template("foot", part={"en": "changed"})
    trigger = await desk.trigger({"id": "c"}, payload={"x": 1})
    run = await desk.only_run(trigger)
    assert run.steps[0].read["parts"] == {"layout": 1, "foot": 2}


@on_one_engine
async def test_a_step_may_say_some_of_it_itself(desk: Desk) -> None:
    """Its own members go before the template's; MJML stands as HTML, with its styles where mail programs look."""
    mjml = "<mjml><mj-body><mj-section><mj-column><mj-text>{{ payload.x }}</mj-text></mj-column></mj-section></mj-body></mjml>"
    await desk.template("hi", channels={"mail": {"en": mail("theirs", mjml=mjml)}})
    [found] = await desk.mail("hi", {"id": "a"}, own={"subject": "mine"}, payload={"x": "<x>"})
    assert found["subject"] == "mine" and "mjml" not in found  # noqa: PT018
    assert "&lt;x&gt;" in found["html"] and "<!doctype html>" in found["html"].lower()  # noqa: PT018
    own = {"html": "<style>p {color: red}</style><p>x</p>"}
    [found] = await desk.mail("hi", {"id": "b"}, own=own, payload={"x": 1})
    assert '<p style="color: red;">x</p>' in found["html"]


@on_one_engine
async def test_a_subject_is_one_line_whatever_is_in_it(desk: Desk) -> None:
    """Nothing that a value brings ends it."""
    await desk.template(
        "hi", channels={"mail": {"en": mail("{{ payload.x }}{% if true %}!{% endif %}")}}
    )
    [found] = await desk.mail("hi", {"id": "a"}, payload={"x": "a\r\nBcc: b\u2028c\x1b"})
    assert found["subject"] == "a Bcc: b c !"


@on_one_engine
async def test_what_fails_for_one_fails_for_nobody_else(desk: Desk) -> None:
    """The step says why, with line and column."""
    subject = "{% if recipient.id == 'eve' %}{{ recipient.x.y }}{% endif %}hi"
    await desk.template("hi", channels={"mail": {"en": mail(subject)}})
    assert await desk.mail("hi", {"id": "ann"}, {"id": "eve"}) == [mail("hi")]
    trigger = await desk.trigger({"id": "eve"})
    assert await desk.story(trigger) == [
        "m failed: `recipient.x` is undefined (line 1, column 43 of hi/subject)"
    ]


@on_one_engine
@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ({}, [" says nothing: it has neither `channels` nor `part`"]),
        (
            {"channels": {"fax": {"en": {}}}},
            ["/channels/fax there is no channel 'fax'; there are inbox, letter, mail"],
        ),
        (
            {"channels": {"mail": {"fr": mail("x")}}},
            ["/channels/mail needs 'en', for whose language is not there: or say `locale`"],
        ),
        (
            {"channels": {"mail": {"en": mail("x", body="y")}}},
            ["/channels/mail/en/body is not known here"],
        ),
        ({"channels": {"mail": {"en": {"text": "y"}}}}, ["/channels/mail/en/subject is missing"]),
        (
            {"channels": {"mail": {"en": mail("a\n {% if %}")}}},
            ["/channels/mail/en/subject unexpected end of block (line 2, column 8)"],
        ),
        (
            {"channels": {"mail": {"en": mail("{{ payload.x|nope }}")}}},
            ["/channels/mail/en/subject there is no filter 'nope' (line 1, column 1)"],
        ),
        (
            {"channels": {"mail": {"en": mail("x", html="{% include 'gone' %}")}}},
            ["/channels/mail/en/html there is no template 'gone' (line 1, column 1)"],
        ),
        (
            {"channels": {"mail": {"en": mail("x", html="{% include payload.x %}")}}},
            [
                "/channels/mail/en/html which template is meant has to be written here as a text (line 1, column 1)"
            ],
        ),
        ({"part": {"en": "{% include 'hi' %}"}}, ["/part/en hi → hi is a circle"]),
    ],
)
async def test_what_is_wrong_is_said_when_it_is_put(
    desk: Desk, template: dict[str, Any], wrong: list[str]
) -> None:
    """All of it, each with a pointer, and where it is the template's text, line and column."""
    given = msgspec.convert({"template": "hi", **template}, Template)
    assert await faults(desk.engine.templates.put(APP, given)) == wrong
    assert await desk.count("template") == 0


@on_one_engine
async def test_a_workflow_is_checked_against_its_templates_and_they_against_it(desk: Desk) -> None:
    """What it says must be there, and stays there while it is used."""
    step = {"mail": {"template": "hi", "nope": 1}}
    assert await faults(desk.workflow(step)) == ["/steps/0/mail/nope is not known here"]
    step = {"mail": {"template": "hi", "subjcet": "x"}}
    meant = "/steps/0/mail/subjcet is not known here: did you mean 'subject'?"
    assert await faults(desk.workflow(step)) == [meant]
    step = {"mail": {"template": "hi"}}
    assert await faults(desk.workflow(step)) == ["/steps/0/mail/template there is no template 'hi'"]
    await desk.template("foot", part={"en": "x"})
    await desk.template("hi", channels={"inbox": {"en": {"title": "x"}}})
    assert await faults(desk.workflow(step)) == ["/steps/0/mail/template 'hi' says nothing on mail"]
    await desk.template("hi", channels={"mail": {"en": mail("{% include 'foot' %}")}})
    await desk.workflow(step)
    inbox = desk.template("hi", channels={"inbox": {"en": {"title": "x"}}})
    assert await faults(inbox) == ["/channels the workflow 'w' says it on mail: that is missing"]
    for key in ("hi", "foot"):
        with pytest.raises(Conflict):
            await desk.engine.templates.delete("default", key)
    await desk.workflow({"inbox": {"title": "x"}})
    await desk.engine.templates.delete("default", "hi")
    await desk.engine.templates.delete("default", "foot")
    assert await desk.template("hi", channels={"mail": {"en": mail("x")}}) == 3


@on_one_engine
async def test_names_that_nobody_knows_are_found_when_a_workflow_is_put(desk: Desk) -> None:
    """Facts, steps, and of the payload what its schema lets in."""
    schema = {"type": "object", "properties": {"n": {}}, "additionalProperties": False}
    steps = [
        {"id": "bell", "inbox": {"title": "{{ paylod.n }} {{ payload.m }} {{ bell.read }}"}},
        {
            "inbox": {
                "title": "{% for each in digest['items'] %}{{ each.x }}{% endfor %}{{ payload.n }}"
            }
        },
    ]
    assert await faults(desk.workflow(*steps, payload=schema)) == [
        "/steps/0/inbox/title `payload.m` is nothing that is known here",
        "/steps/0/inbox/title `paylod.n` is nothing that is known here",
    ]


@on_one_engine
async def test_a_preview_says_what_would_be_said_or_where_it_fails(desk: Desk) -> None:
    """Of a draft or a stored template, for a reader's language, without anything being kept."""
    draft = msgspec.convert(
        {
            "template": "hi",
            "channels": {
                "mail": {"en": mail("{{ payload.x.y.z }}"), "de": mail("Hallo {{ payload.x }}")},
                "inbox": {"en": {"title": "{{ payload.x }}"}},
            },
        },
        Template,
    )
    previews = desk.engine.previews
    found = await previews.preview(
        "default", PreviewTemplate(draft=draft, locale="de-AT", facts={"payload": {"x": ""}})
    )
    assert found.channels["mail"].content == mail("Hallo ")
    [fault] = found.channels["inbox"].faults
    assert "length >= 1" in fault.detail
    found = await previews.preview("default", PreviewTemplate(draft=draft, channel="mail"))
    [fault] = found.channels["mail"].faults
    assert (fault.pointer, fault.template, fault.line, fault.column) == (
        "/subject",
        "hi/subject",
        1,
        11,
    )
    assert await desk.count("template") == 0
    with pytest.raises(NotFound):
        await previews.preview("default", PreviewTemplate(template="hi"))
    for asked, pointer in (
        (PreviewTemplate(), "/template"),
        (PreviewTemplate(draft=draft, time_zone="Mars"), "/time_zone"),
        (PreviewTemplate(draft=draft, channel="sms"), "/channel"),
    ):
        with pytest.raises(Invalid) as refused:
            await previews.preview("default", asked)
        assert [each.pointer for each in refused.value.faults] == [pointer]


@on_one_engine
async def test_a_dry_run_tells_the_difference_and_keeps_nothing(desk: Desk) -> None:
    """Line by line, each text under a pointer."""
    await desk.template("hi", channels={"mail": {"en": mail("s", text="one\ntwo")}})
    given = msgspec.convert(
        {"template": "hi", "channels": {"mail": {"en": mail("s", text="one\n2")}}}, Template
    )
    put = await desk.engine.templates.put(APP, given, is_dry=True)
    assert (put.version, put.is_new) == (2, True)
    assert [line for line in put.diff.split("\n") if line[0] in "+-"] == ["-  two", "+  2"]
    assert await desk.count("template_version") == 1


async def test_two_changes_at_once_make_no_circle(desk: Desk) -> None:
    """Of two that were checked against the same state the second is checked again."""
    await desk.template("a", part={"en": "a"})
    await desk.template("b", part={"en": "b"})
    results = await asyncio.gather(
        desk.template("a", part={"en": "{% include 'b' %}"}),
        desk.template("b", part={"en": "{% include 'a' %}"}),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in results) == ["Invalid", "int"]


@on_one_engine
async def test_templates_of_tenants_are_apart_and_bounded(desk: Desk) -> None:
    """Nobody includes what is another's; sizes, parts and numbers have limits."""
    await desk.template("foot", part={"en": "secret"})
    other = msgspec.structs.replace(APP, tenant="other")
    given = msgspec.convert({"template": "hi", "part": {"en": "{% include 'foot' %}"}}, Template)
    assert await faults(desk.engine.templates.put(other, given)) == [
        "/part/en there is no template 'foot' (line 1, column 1)"
    ]
    editor = desk.engine.templates
    editor._settings = Templates(stored=1, source_bytes=1_000)
    with pytest.raises(TooMany):
        await desk.template("more", part={"en": "x"})
    assert await faults(desk.template("foot", part={"en": "x" * 2_000})) == [" at most 1000 bytes"]
