"""What would fail for everybody is found when it is saved."""

from typing import Any

import pytest
from msgspec import Struct

from clarion.clock import ManualClock
from clarion.notifications.channels.email.content import EmailSaid
from clarion.notifications.channels.push.content import PushSaid
from clarion.notifications.channels.sms import SmsSaid
from clarion.notifications.constants import wrong_constants, wrong_fetch
from clarion.notifications.content import Said
from clarion.notifications.workflows.definition import Http
from clarion.outbound import Outbound

MAIL = {"subject": "Hello {{ recipient.name }}", "text": "{{ payload.text }}"}
BUTTON = {"id": "a", "label": "{{ payload.label }}"}


@pytest.mark.parametrize(
    ("said", "content", "pointer", "why"),
    [
        (Said, {"title": "a", "action_url": "javascript:alert(1)"}, "/action_url", "neither http(s)"),
        (Said, {"title": "{{ a }}", "action_url": " javascript:{{ payload.x }}"}, "/action_url", "neither http(s)"),
        (Said, {"title": "a", "action_url": "//evil.example"}, "/action_url", "neither http(s)"),
        (Said, {"title": "a", "expires": "soon"}, "/expires", "no span of time"),
        (Said, {"title": "x" * 201}, "/title", "length <= 200"),
        (Said, {"title": "a", "actions": [BUTTON, {**BUTTON, "id": "b", "url": "data:{{ x }}"}]}, "/actions/1/url", "Expected empty, http(s)"),
        (Said, {"title": "a", "actions": [BUTTON, BUTTON]}, "/actions", "two have one id"),
        (EmailSaid, {**MAIL, "subject": "Hello\r\nBcc: eve@example.com"}, "/subject", "of one line"),
        (EmailSaid, {**MAIL, "subject": " "}, "/subject", "is empty"),
        (EmailSaid, {**MAIL, "reply_to": "nobody"}, "/reply_to", "no email address"),
        (EmailSaid, {**MAIL, "from": "a@example.com\r\nBcc: b@example.com"}, "/from", "no email address"),
        (EmailSaid, {**MAIL, "cc": ["a@example.com", "b"]}, "/cc", "no email address"),
        (EmailSaid, {**MAIL, "attachments": [{"content": "é"}]}, "", "no base64"),
        (PushSaid, {"title": "a", "badge": "many"}, "/badge", "Expected"),
        (SmsSaid, {"text": "  "}, "/text", "something to say"),
    ],
)  # fmt: skip
def test_what_nobody_could_be_told_is_pointed_at(
    said: type[Struct], content: dict[str, Any], pointer: str, why: str
) -> None:
    """Addresses that are scripts, lines that are several, what is too long, what is no address; also beside a template."""
    [fault] = wrong_constants(content, said, "/steps/0")
    assert fault.pointer == f"/steps/0{pointer}"
    assert why in fault.detail


@pytest.mark.parametrize(
    ("said", "content"),
    [
        (Said, {"title": "{{ a }}", "action_url": "{{ url }}", "expires": "{{ when }}", "data": {"n": 1}}),
        (Said, {"title": "a", "action_url": "/orders/{{ n }}", "actions": [{**BUTTON, "url": "https://{{ host }}/"}]}),
        (EmailSaid, {"subject": "Hello\n", "html": "{{ html }}", "cc": ["{{ payload.cc }}"], "from": "A <{{ x }}>"}),
        (EmailSaid, {"subject": "{% if a %}\nA{% endif %}", "mjml": "<mjml></mjml>", "reply_to": "Ann <ann@example.com>"}),
        (EmailSaid, {**MAIL, "attachments": [{"url": "{{ payload.pdf }}"}, {"content": "aGk="}]}),
        (PushSaid, {"title": "a", "badge": "{{ inbox.unread }}", "url": "app://order/{{ n }}"}),
    ],
)  # fmt: skip
def test_what_a_template_makes_is_not_known_yet(
    said: type[Struct], content: dict[str, Any]
) -> None:
    """It is judged when it is rendered; a line may end."""
    assert wrong_constants(content, said, "") == []


@pytest.mark.parametrize(
    ("url", "headers", "pointers"),
    [
        ("https://x.test/{{ n }}", {"x-a": "{{ b }}"}, []),
        ("{{ payload.url }}", None, []),
        ("http{% if a %}s{% endif %}://x.test", None, []),
        ("file:///etc/passwd", None, ["/url"]),
        ("https://10.0.0.1/", None, ["/url"]),
        ("https://x.test:22/", None, ["/url"]),
        ("ftp://{{ host }}", None, ["/url"]),
        ("https://x.test", {"x-a": "a\r\nx-b: c", "x b": "d"}, ["/headers/x-a", "/headers/x b"]),
    ],
)
def test_what_nobody_could_fetch(
    url: str, headers: dict[str, str] | None, pointers: list[str]
) -> None:
    """Another scheme, an address that is private as it is written, a header that is several lines, or has no name."""
    check = Outbound(ManualClock()).check
    assert [each.pointer for each in wrong_fetch(Http(url, headers=headers), "", check)] == pointers
