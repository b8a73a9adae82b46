"""Text messages: from the workflow to a real server on this machine, and what that tells afterwards."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import pytest

from clarion.errors import Forbidden, NotFound, SettingsError
from clarion.settings import Sms
from tests.notifications.conftest import on_one_engine
from tests.notifications.doors import ANN, Doors, doors, office, send, settings, target
from tests.notifications.office import Office
from tests.support.http_target import HttpTarget

__all__ = ["doors", "office", "target"]

TEXT = {"id": "text", "sms": {"text": "Hello {{ payload.n }}"}}


def _twilio(target: HttpTarget, **more: str) -> str:
    options = "".join(f"&{name}={value}" for name, value in more.items())
    return f"twilio://AC1:hush@+15550100?name=main&api={target.url}{options}"


@pytest.fixture
async def texts(office: Office, target: HttpTarget) -> AsyncIterator[Doors]:
    target.answers = [(201, b'{"sid": "SM1", "status": "queued"}')]
    doors = Doors(office, settings(sms=Sms(providers=[_twilio(target)], stop_words=["halt"])))
    yield doors
    await doors.reach.close()


def _signed(token: str, url: str, form: dict[str, str]) -> str:
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


async def test_a_text_goes_out_and_its_delivery_is_told(
    office: Office, texts: Doors, target: HttpTarget
) -> None:
    """To the number as carriers take it, with where to tell; what is told moves its life on, and never back."""
    wait = {"wait": {"message": "text", "is": "settled", "timeout": "1d"}}
    await send(office, TEXT, wait, {"inbox": {"title": "bounced"}, "if": "text.bounced"})
    [(method, path, body)] = target.calls
    form = dict(parse_qsl(body.decode()))
    assert (method, path) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
    assert (form["To"], form["From"], form["Body"]) == ("+4930123456", "+15550100", "Hello 1")
    basic = base64.b64encode(b"AC1:hush").decode()
    assert target.headers[0]["Authorization"] == f"Basic {basic}"
    [row] = await texts.rows()
    assert (row.status, row.provider) == ("sent", "main")

    url = form["StatusCallback"]
    asked = dict(parse_qsl(url.partition("?")[2]))
    for status, after in (
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("queued", "delivered"),
        ("undelivered", "bounced"),
        ("delivered", "bounced"),
    ):
        told = {"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": "30003"}
        await texts.reach.texting.hear(
            "main", asked["tenant"], asked["message"], told, _signed("hush", url, told)
        )
        assert [row.status for row in await texts.rows()] == [after]


@on_one_engine
async def test_only_the_provider_may_tell(texts: Doors) -> None:
    """By its signature of the whole address and form."""
    hear, form = texts.reach.texting.hear, {"From": "+4930123456", "Body": "STOP"}
    url = "https://clarion.test/v1/hooks/sms/main?tenant=default"
    good = _signed("hush", url, form)
    await hear("main", "default", "", form, good)
    for name, tenant, told, sign, error in (
        ("main", "other", form, good, Forbidden),
        ("main", "default", {**form, "Body": "START"}, good, Forbidden),
        ("main", "default", form, "", Forbidden),
        ("main", "default", form, "ü", Forbidden),
        ("main", "default", form, _signed("wrong", url, form), Forbidden),
        ("spare", "default", form, good, NotFound),
    ):
        with pytest.raises(error):
            await hear(name, tenant, "", told, sign)


async def test_who_answers_stop_gets_no_more(
    office: Office, texts: Doors, target: HttpTarget
) -> None:
    """In any case of letters, with a dot behind; a sentence is no such word; START begins again."""

    async def answer(word: str) -> None:
        form = {"From": "+4930123456", "Body": word}
        url = "https://clarion.test/v1/hooks/sms/main?tenant=default"
        await texts.reach.texting.hear("main", "default", "", form, _signed("hush", url, form))

    for word, calls in (("please stop it", 1), (" Halt. ", 1), ("Start", 2), ("STOP", 2)):
        await answer(word)
        await send(office, TEXT)
        assert len(target.calls) == calls, word


@on_one_engine
async def test_start_takes_back_what_they_have_said_and_nothing_else(
    office: Office, texts: Doors, target: HttpTarget
) -> None:
    """A number that somebody here does not want written to stays on the list."""
    suppressions = office.engine.suppressions
    await suppressions.add("default", "sms", "+4930123456", "manual")
    form = {"From": "+4930123456", "Body": "YES"}
    url = "https://clarion.test/v1/hooks/sms/main?tenant=default"
    await texts.reach.texting.hear("main", "default", "", form, _signed("hush", url, form))
    assert (await suppressions.find("default", "sms", "+4930123456")).reason == "manual"


@on_one_engine
async def test_who_stops_between_deciding_and_sending_gets_none(
    office: Office, texts: Doors, target: HttpTarget
) -> None:
    """The number is asked for once more when the message is handed over."""
    await office.workflow(TEXT)
    await office.trigger(ANN, payload={"n": 1})
    await office.engine.suppressions.add("default", "sms", "+4930123456", "complaint", "said so")
    await office.run()
    [row] = await texts.rows()
    assert (row.status, row.cause) == ("suppressed", "complaint: said so")
    assert target.calls == []


@on_one_engine
@pytest.mark.parametrize(
    ("status", "body", "becomes", "attempts"),
    [
        (400, b'{"code": 21211, "message": "no such number"}', "failed", 1),
        (400, b'{"code": 21610, "message": "opted out"}', "suppressed", 1),
        (401, b'{"code": 20003}', "queued", 1),
        (429, b"", "queued", 1),
        (500, b"<html>", "queued", 1),
        (201, b"garbage", "queued", 1),
        (201, b"[" * 5_000, "queued", 1),
        (201, b'["SM1"]', "queued", 1),
        (201, b'{"sid": 5}', "queued", 1),
    ],
)
async def test_a_no_is_the_numbers_or_the_providers(
    office: Office,
    texts: Doors,
    target: HttpTarget,
    status: int,
    body: bytes,
    becomes: str,
    attempts: int,
) -> None:
    """A bad number is final; a provider that refuses us, is busy or talks garbage is tried again."""
    target.answers = [(status, body)]
    await send(office, TEXT)
    [row] = await texts.rows()
    assert (row.status, row.attempts) == (becomes, attempts)


@on_one_engine
async def test_the_next_provider_takes_over(office: Office, target: HttpTarget) -> None:
    """Within the same attempt; both are on record."""
    target.answers = [(500, b""), (201, b'{"sid": "SM2"}')]
    spare = _twilio(target).replace("name=main", "name=spare")
    doors = Doors(office, settings(sms=Sms(providers=[_twilio(target), spare])))
    try:
        await send(office, TEXT)
        [row] = await doors.rows()
        assert (row.status, row.provider, row.attempts) == ("sent", "spare", 1)
        assert await office.count("attempt") == 2
    finally:
        await doors.reach.close()


@on_one_engine
async def test_a_text_of_too_many_segments_is_not_sent(
    office: Office, texts: Doors, target: HttpTarget
) -> None:
    """They would be charged."""
    await send(office, {"sms": {"text": "é" * 2_000 + "{{ payload.n }}"}})
    [row] = await texts.rows()
    assert row.cause == "14 segments, sms.max_segments = 10"
    assert target.calls == []


@on_one_engine
async def test_who_has_no_number_is_skipped(office: Office, texts: Doors) -> None:
    """There is nobody to send it to."""
    await send(office, TEXT, who={"id": "ann"})
    assert await texts.rows() == []


@on_one_engine
@pytest.mark.parametrize(
    "url",
    [
        "twilio://+15550100",
        "twilio://AC1:hush@",
        "twilio://AC1:hush@+1555?colour=red",
        "twilio://AC1:hush@+1555?api=ftp://x",
        "twilio://AC1:hush@+1555?api=http://x:99999",
        "twilio://AC1:hush@+1555?api=http://[x",
        "pigeon://AC1:hush@+1555",
    ],
)
async def test_a_provider_that_is_no_good_stops_the_start(office: Office, url: str) -> None:
    """And the secret in its URL is not shown."""
    with pytest.raises(SettingsError) as caught:
        Doors(office, settings(sms=Sms(providers=[url])))
    assert "sms.providers" in str(caught.value)
    assert "hush" not in str(caught.value)
