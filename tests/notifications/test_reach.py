"""Webhooks, text messages, chats: from the workflow to real servers on this machine, and what those tell afterwards."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from clarion.errors import Conflict, Forbidden, Invalid, NotFound, SettingsError
from clarion.ids import Ids
from clarion.notifications.channels import chat
from clarion.notifications.reach import Reach
from clarion.notifications.sealing import Sealer, Unopenable
from clarion.notifications.webhooks import signature
from clarion.settings import Settings, Sms, Webhook
from clarion.storage.store import Sql
from tests.notifications.conftest import House, on_one_engine
from tests.notifications.office import Office
from tests.support.http_target import HttpTarget

HOOK = {"id": "hook", "webhook": {"event": "greeted", "data": {"n": "{{ payload.n }}"}}}
TEXT = {"id": "text", "sms": {"text": "Hello {{ payload.n }}"}}
ANN = {"id": "ann", "phone": "+4930123456"}
SECRET = "the deployment's"


class Row(Struct, frozen=True):
    """How a message stands."""

    status: str
    cause: str
    attempts: int
    provider: str


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    target = HttpTarget()
    await target.start()
    yield target
    await target.close()


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    office = Office(house)
    yield office
    await office.triggers.settled()
    await office.sender.close()
    await office.outbound.close()


def settings(**more: Any) -> Settings:
    hook = Webhook(networks=["127.0.0.0/8"], ports=list(range(1, 65536)), timeout_s=0.5)
    return Settings(**{"webhook": hook, "public_url": "https://clarion.test", **more})


class Doors:
    """An office with the three channels."""

    def __init__(self, office: Office, given: Settings) -> None:
        self.office = office
        self.reach = Reach(
            given, office.house.store, office.engine, SECRET, clock=office.clock, ids=Ids.seeded(7)
        )

    async def endpoint(self, url: str, user: str = "ann") -> None:
        await self.office.engine.addresses.put("default", user, "webhook", url)

    async def rows(self) -> list[Row]:
        return await self.office.house.store.fetch(
            Sql("SELECT status, cause, attempts, provider FROM outgoing ORDER BY id", Row)
        )


@pytest.fixture
async def doors(office: Office) -> AsyncIterator[Doors]:
    doors = Doors(office, settings())
    yield doors
    await doors.reach.close()


async def _send(office: Office, *steps: dict[str, Any], who: Any = ANN) -> None:
    await office.workflow(*steps)
    await office.trigger(who, payload={"n": 1})
    await office.run()


async def _known(office: Office) -> None:
    """Ann has to be there before she can have an address."""
    await office.workflow({"inbox": {"title": "hello"}})
    await office.trigger(ANN)


# ── webhooks ──
def test_signatures_are_those_of_the_specification() -> None:
    """The vector of the Standard Webhooks libraries; with two secrets there are two, the present one first."""
    secret, id, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330  # fmt: skip
    body = b'{"test": 2432232314}'
    known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature([secret], id, at, body) == known
    assert signature([secret, secret], id, at, body) == f"{known} {known}"


async def test_a_message_is_posted_signed_to_each_endpoint(
    office: Office, doors: Doors, target: HttpTarget
) -> None:
    """Type, time and data; the id is the same at each attempt; a receiver can check it with the secret it was given."""
    await _known(office)
    await doors.endpoint(f"{target.url}/a")
    await doors.endpoint(f"{target.url}/b")
    target.answers = [(503, b"later"), (200, b"")]
    await _send(office, HOOK)
    await office.run(3_600)
    assert [row.status for row in await doors.rows()] == ["sent", "sent"]
    assert len(target.calls) == 3
    ids = [headers["webhook-id"] for headers in target.headers]
    assert len(set(ids)) == 2
    for (_, path, body), headers in zip(target.calls, target.headers, strict=True):
        said = msgspec.json.decode(body)
        assert (said["type"], said["data"]) == ("greeted", {"n": "1"})
        known = await doors.reach.endpoints.secret("default", f"{target.url}{path}")
        at = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signature(
            [known.secret], headers["webhook-id"], at, body
        )


async def test_a_secret_changes_without_a_gap(office: Office, doors: Doors) -> None:
    """For a while both sign; the store has neither in the clear."""
    first = await doors.reach.endpoints.secret("default", "https://a.test/")
    assert await doors.reach.endpoints.secret("default", "https://a.test/") == first
    assert (await doors.reach.endpoints.secret("other", "https://a.test/")) != first
    second = await doors.reach.endpoints.rotate("default", "https://a.test/", 60)
    both = [second.secret, first.secret]
    assert await doors.reach.endpoints.secrets("default", "https://a.test/") == both
    third = await doors.reach.endpoints.rotate("default", "https://a.test/", 60)
    both = [third.secret, first.secret]
    assert await doors.reach.endpoints.secrets("default", "https://a.test/") == both, "repeated"
    office.clock.advance(61)
    assert await doors.reach.endpoints.secrets("default", "https://a.test/") == both[:1]

    class Stored(Struct, frozen=True):
        current: str
        former: str

    rows = await office.house.store.fetch(Sql("SELECT current, former FROM webhook_secret", Stored))
    assert not any(
        s.removeprefix("whsec_") in row.current + row.former for s in both for row in rows
    )


@on_one_engine
async def test_a_secret_sealed_with_another_key_is_replaced_by_rotating(
    office: Office, doors: Doors, target: HttpTarget
) -> None:
    """After the deployment's secret was changed: a message says what is wrong, the door says what to do, and doing it helps at once."""
    await _known(office)
    await doors.endpoint(target.url)
    endpoints = doors.reach.endpoints
    await endpoints.rotate("default", target.url, 86_400)
    endpoints._sealer = Sealer("another", Ids())
    await _send(office, HOOK)
    [row] = await doors.rows()
    assert (row.status, row.cause) == ("failed", "it was sealed with another key: set it again")
    with pytest.raises(Conflict, match="rotate it"):
        await endpoints.secret("default", target.url)
    fresh = await endpoints.rotate("default", target.url, 86_400)
    assert await endpoints.secrets("default", target.url) == [fresh.secret]
    assert await endpoints.secret("default", target.url) == fresh
    assert target.calls == []


async def test_an_endpoint_that_is_gone_is_forgotten(
    office: Office, doors: Doors, target: HttpTarget
) -> None:
    """410: the message has failed, and nothing is sent there any more."""
    await _known(office)
    await doors.endpoint(target.url)
    target.answers = [(410, b"bye")]
    await _send(office, HOOK)
    [row] = await doors.rows()
    assert (row.status, row.cause) == ("failed", "410 bye: the endpoint is gone, and was forgotten")
    assert await office.engine.addresses.of_user("default", "ann") == []


@on_one_engine
async def test_redirects_keep_what_is_posted_or_are_none(
    office: Office, doors: Doors, target: HttpTarget
) -> None:
    """307 and 308 are followed with body and signature; a 302, which would lose them, is a failure; each is checked again."""
    seen: list[tuple[str, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path, await request.read()))
        to = {
            "/a": (307, "/b"),
            "/b": (200, ""),
            "/lost": (302, "/b"),
            "/loop": (308, "/loop"),
            "/inside": (307, "http://10.0.0.1/"),
        }[request.path]
        return web.Response(status=to[0], headers={"location": to[1]} if to[1] else {})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        await _known(office)
        for path in ("a", "lost", "loop", "inside"):
            await doors.endpoint(f"{url}/{path}")
        await _send(office, HOOK)
    finally:
        await runner.cleanup()
    posted = dict(seen)
    assert posted["/a"] == posted["/b"] != b""
    rows = await doors.rows()
    assert sorted(row.status for row in rows) == ["failed", "failed", "queued", "sent"]
    causes = {row.cause for row in rows if row.status == "failed"}
    assert causes == {
        "the endpoint redirects more than 3 times",
        "10.0.0.1 is not a public address",
    }


@on_one_engine
@pytest.mark.parametrize("to", ["/slow", "http://["])
async def test_an_endpoint_that_redirects_badly_hurts_no_other(office: Office, to: str) -> None:
    """One that takes all its time in hops, or leads to what is no URL: that is its failure, and nothing against the channel."""

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response(status=307, headers={"location": to})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    doors = Doors(office, settings())
    try:
        await _known(office)
        await doors.endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await _send(office, HOOK)
        [provider] = office.sender.status()["webhook"]
        assert (provider.refused, provider.failures) == (1, 0)
    finally:
        await runner.cleanup()
        await doors.reach.close()


@on_one_engine
@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@hooks.test/",
        "ftp://hooks.test/",
        "hooks.test",
        "https://hooks.test:22/",
        "http://hooks.test/",
        f"https://hooks.test/{'x' * 2_050}",
    ],
)
async def test_what_can_never_be_called_is_refused_when_it_is_given(
    office: Office, url: str
) -> None:
    """While whoever gives it is there to hear of it."""
    doors = Doors(office, Settings())
    try:
        await _known(office)
        with pytest.raises(Invalid):
            await doors.endpoint(url)
    finally:
        await doors.reach.close()


@on_one_engine
async def test_private_networks_are_not_reached(office: Office, target: HttpTarget) -> None:
    """Without `webhook.networks` this machine is out of reach, by every name: what counts is the address."""
    hook = Webhook(ports=[443, int(target.url.rpartition(":")[2])])
    doors = Doors(office, settings(webhook=hook))
    try:
        await _known(office)
        port = target.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254"):
            await doors.endpoint(f"https://{host}:{port}/")
        await _send(office, HOOK)
        assert {row.status for row in await doors.rows()} == {"failed"}
        assert all("is not a public address" in row.cause for row in await doors.rows())
        assert target.calls == []
    finally:
        await doors.reach.close()


@on_one_engine
async def test_an_endpoint_that_hangs_delays_no_other(
    office: Office, doors: Doors, target: HttpTarget
) -> None:
    """It is given four at a time, and left alone after five failures; the others get theirs meanwhile; its attempts are not used up."""
    release = asyncio.Event()
    calls = 0

    async def hang(_request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", hang)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hanging = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        await _known(office)
        for n in range(12):
            await doors.endpoint(f"{hanging}/{n}")
        await doors.endpoint(target.url)
        await _send(office, HOOK)
        rows = await doors.rows()
        assert len(target.calls) == 1
        assert [row.status for row in rows].count("queued") == 12
        assert calls == 4
        assert sorted(row.attempts for row in rows) == [0] * 8 + [1] * 5
    finally:
        release.set()
        await runner.cleanup()


# ── text messages ──
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
    await _send(office, TEXT, wait, {"inbox": {"title": "bounced"}, "if": "text.bounced"})
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
        await _send(office, TEXT)
        assert len(target.calls) == calls, word


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
    await _send(office, TEXT)
    [row] = await texts.rows()
    assert (row.status, row.attempts) == (becomes, attempts)


@on_one_engine
async def test_the_next_provider_takes_over(office: Office, target: HttpTarget) -> None:
    """Within the same attempt; both are on record."""
    target.answers = [(500, b""), (201, b'{"sid": "SM2"}')]
    spare = _twilio(target).replace("name=main", "name=spare")
    doors = Doors(office, settings(sms=Sms(providers=[_twilio(target), spare])))
    try:
        await _send(office, TEXT)
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
    await _send(office, {"sms": {"text": "é" * 2_000 + "{{ payload.n }}"}})
    [row] = await texts.rows()
    assert row.cause == "14 segments, sms.max_segments = 10"
    assert target.calls == []


@on_one_engine
async def test_who_has_no_number_is_skipped(office: Office, texts: Doors) -> None:
    """There is nobody to send it to."""
    await _send(office, TEXT, who={"id": "ann"})
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


# ── chats ──
class Said:
    """A service that notes what is said, and takes it or not."""

    def __init__(self, takes: bool = True) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.takes = takes

    def notify(self, *, body: str, title: str, body_format: str) -> bool:
        self.said.append((title, body, body_format))
        return self.takes


SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
CHAT = {"id": "chat", "chat": {"title": "Hi", "body": "{{ payload.n }}", "format": "markdown"}}


@pytest.mark.parametrize("takes", [True, False])
async def test_a_chat_is_told_and_its_secret_is_sealed(
    office: Office, doors: Doors, monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    """Apprise speaks to the service in a thread; the database has the URL sealed, with its service in front."""
    await _known(office)
    await office.engine.addresses.put("default", "ann", "chat", SLACK)
    [row] = await office.engine.addresses.of_user("default", "ann")
    assert row.address.startswith("slack:sealed1.")
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in row.address
    service = Said(takes)
    opened: list[str] = []
    monkeypatch.setattr(chat.Services, "open", lambda _, url: opened.append(url) or service)
    await _send(office, CHAT)
    assert opened == [SLACK]
    assert service.said == [("Hi", "1", "markdown")]
    [sent] = await doors.rows()
    assert (sent.status, sent.attempts) == ("sent" if takes else "queued", 1)


@on_one_engine
@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:8000/",
        "mmost://10.0.0.1/token",
        "ntfy://localhost/topic",
        "mailto://a:b@127.0.0.1",
        "syslog://",
        "dbus://",
        "vapid://a@b.test?keyfile=/etc/passwd",
        f"{SLACK}?template=/etc/passwd",
        f"{SLACK}?redirect=yes",
        f"{SLACK}?verify=no",
        "slack://nonsense",
        "slack",
        "",
        f"slack://{'x' * 3_000}",
    ],
)
async def test_chats_that_could_lead_elsewhere_are_refused(
    office: Office, doors: Doors, url: str
) -> None:
    """Whose URL names the host, or a file, or loosens a check: when it is given, not when it is used."""
    await _known(office)
    with pytest.raises(Invalid):
        await office.engine.addresses.put("default", "ann", "chat", url)


@on_one_engine
async def test_a_chat_sealed_with_another_key_fails_and_says_so(
    office: Office, doors: Doors
) -> None:
    """After the deployment's secret was changed."""
    await _known(office)
    await office.engine.addresses.put("default", "ann", "chat", SLACK)
    doors.reach._chat.apprise._sealer = Sealer("another", Ids())
    await _send(office, CHAT)
    [row] = await doors.rows()
    assert (row.status, row.cause) == ("failed", "it was sealed with another key: set it again")


def test_what_is_sealed_is_opened_for_its_purpose_only() -> None:
    """With another key, for another purpose, or damaged: it is not opened."""
    sealer = Sealer("one", Ids())
    sealed = sealer.seal("secret", "a")
    assert sealer.open(sealed, "a") == "secret"
    assert sealer.seal("secret", "a") != sealed
    for other, text, purpose in (
        (Sealer("two", Ids()), sealed, "a"),
        (sealer, sealed, "b"),
        (sealer, sealed[:-6] + "AAAA==", "a"),
        (sealer, "sealed1.", "a"),
        (sealer, "ü", "a"),
    ):
        with pytest.raises(Unopenable):
            other.open(text, purpose)
