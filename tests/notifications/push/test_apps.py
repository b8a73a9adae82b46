"""FCM and APNs, each against a local server that speaks its API: APNs by HTTP/2 over TLS, as Apple does."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypercorn.asyncio import serve
from hypercorn.config import Config

from clarion.clock import ManualClock
from clarion.errors import SettingsError, Unavailable
from clarion.notifications.channels.base import NotSent
from clarion.notifications.channels.push import apns, fcm
from clarion.notifications.channels.push.base import Device, Gone, Push, Unwelcome
from clarion.notifications.channels.push.channel import push_providers
from clarion.notifications.channels.push.content import PushSaid, topic_of
from clarion.outbound import Outbound
from tests.outbound.conftest import certificate

__all__ = ["certificate"]  # a fixture


def push(kind: Any = "fcm", address: str = "device", id: str = "m.1", **said: Any) -> Push:
    return Push(
        tenant="default",
        id=id,
        user="ben",
        address="d",
        content={},
        workflow="w",
        category="",
        attempt=1,
        device=Device("d", kind, address, {}, 5),
        said=PushSaid(**{"title": "Hello", **said}),
        report="token",
    )


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


class Google:
    """FCM and the token endpoint, as they answer."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.key = key
        self.sent: list[dict[str, Any]] = []
        self.tokens = 0
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.refuses_tokens = False
        self.url = ""

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if self.refuses_tokens:
            return web.json_response({"error": "invalid_grant"}, status=400)
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = jwt.decode(
            str(form["assertion"]),
            self.key.public_key(),
            algorithms=["RS256"],
            audience=f"{self.url}/token",
            options={"verify_exp": False, "verify_iat": False},
        )
        assert claims["iss"] == "clarion@p.example"
        assert claims["exp"] - claims["iat"] == 3600
        assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
        self.tokens += 1
        answer = {"access_token": f"t{self.tokens}", "expires_in": 3599, "token_type": "Bearer"}
        return web.json_response(answer)

    async def send(self, request: web.Request) -> web.Response:
        assert request.match_info["project"] == "p"
        if request.headers["authorization"] != f"Bearer t{self.tokens}":
            return web.json_response(error(401, "UNAUTHENTICATED"), status=401)
        self.sent.append((await request.json())["message"])
        if self.answers:
            status, headers, body = self.answers.pop(0)
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, headers=headers, text=text)
        return web.json_response({"name": f"projects/p/messages/{len(self.sent)}"})


def error(status: int, general: str, code: str = "", **detail: Any) -> dict[str, Any]:
    """As FCM writes errors."""
    details: list[dict[str, Any]] = []
    if code:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        details.append({"@type": kind, "errorCode": code})
    if detail:
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", **detail})
    about = {"code": status, "message": "words", "status": general, "details": details}
    return {"error": about}


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """Of the service account: making one takes a tenth of a second."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
async def google(rsa_key: rsa.RSAPrivateKey) -> AsyncIterator[Google]:
    google = Google(rsa_key)
    app = web.Application()
    app.router.add_post("/token", google.token)
    app.router.add_post("/v1/projects/{project}/messages:send", google.send)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    google.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield google
    await runner.cleanup()


def door(clock: ManualClock, tls: ssl.SSLContext | None = None, **more: Any) -> Outbound:
    return Outbound(
        clock,
        allow_private=["127.0.0.1/32"],
        allow_http=True,
        ports=range(1, 65536),
        tls=tls,
        **more,
    )


@pytest.fixture
async def to_google(google: Google, tmp_path: Path) -> AsyncIterator[fcm.Fcm]:
    clock = ManualClock()
    path = tmp_path / "account.json"
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k",
        "private_key": pem(google.key),
        "client_email": "clarion@p.example",
        "token_uri": f"{google.url}/token",
    }
    path.write_text(json.dumps(account))
    outbound = door(clock)
    yield fcm.Fcm(
        "fcm", fcm.read_account(path, "s"), outbound, clock=clock, timeout_s=5, url=google.url
    )
    await outbound.close()


async def test_fcm_gets_what_was_said(to_google: fcm.Fcm, google: Google) -> None:
    """In its own words, with one access token for many messages."""
    said = {
        "body": "World",
        "url": "/x",
        "tag": "build 7",
        "badge": 3,
        "ttl": 60,
        "urgency": "normal",
        "data": {"n": 1},
    }
    sent = await to_google.send(push(**said))
    assert sent.provider_id == "projects/p/messages/1"
    await asyncio.gather(*(to_google.send(push()) for _ in range(5)))
    assert google.tokens == 1
    [message, *_] = google.sent
    assert message["token"] == "device"
    assert message["notification"] == {"title": "Hello", "body": "World"}
    assert message["data"] == {
        "report": "token",
        "url": "/x",
        "tag": "build 7",
        "data": '{"n":1}',
    }
    assert message["android"] == {
        "ttl": "60s",
        "priority": "NORMAL",
        "collapse_key": topic_of("build 7"),
        "notification": {"tag": "build 7", "notification_count": 3},
    }


async def test_an_access_token_is_renewed_in_time_and_when_it_is_refused(
    to_google: fcm.Fcm, google: Google
) -> None:
    """Before it ends; after a 401, once; a refused key is the provider's failure."""
    clock = to_google._clock
    assert isinstance(clock, ManualClock)
    await to_google.send(push())
    clock.advance(3_400)
    await to_google.send(push())
    assert google.tokens == 1
    clock.advance(100)
    await to_google.send(push())
    assert google.tokens == 2
    google.tokens += 1  # somebody has revoked ours
    await to_google.send(push())
    assert google.tokens == 4
    clock.advance(3_600)
    google.refuses_tokens = True
    with pytest.raises(NotSent, match="gives no access token: 400") as failed:
        await to_google.send(push())
    assert failed.value.is_providers
    assert not failed.value.is_final


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, error(404, "NOT_FOUND", "UNREGISTERED"), Gone),
        (403, error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Gone),
        (
            400,
            error(
                400,
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
                fieldViolations=[{"field": "message.token"}],
            ),
            Gone,
        ),
        (400, error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), Unwelcome),
        (404, "<html>not found</html>", Unwelcome),
        (404, '{"error": ' + "[" * 5_000, Unwelcome),
        (400, "", Unwelcome),
    ],
)
async def test_fcm_says_that_a_device_is_gone(
    to_google: fcm.Fcm, google: Google, status: int, body: Any, expected: type[NotSent]
) -> None:
    """Only by its own codes: a 404 of a proxy forgets no device."""
    google.answers = [(status, {}, body)]
    with pytest.raises(expected) as refused:
        await to_google.send(push())
    assert refused.value.is_final
    assert not refused.value.is_providers


@pytest.mark.parametrize(
    ("status", "general", "code"),
    [
        (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        (503, "UNAVAILABLE", "UNAVAILABLE"),
        (500, "INTERNAL", "INTERNAL"),
        (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
        (403, "PERMISSION_DENIED", ""),
    ],
)
async def test_fcm_is_asked_again_later(
    to_google: fcm.Fcm, google: Google, status: int, general: str, code: str
) -> None:
    """As its Retry-After says; the failure is the provider's."""
    google.answers = [(status, {"retry-after": "30"}, error(status, general, code))]
    with pytest.raises(NotSent) as failed:
        await to_google.send(push())
    assert not failed.value.is_final
    assert failed.value.is_providers
    if status in (429, 503):
        assert failed.value.retry_after_s == 30


async def test_what_is_too_long_for_fcm_is_not_sent(to_google: fcm.Fcm, google: Google) -> None:
    """The reason says by how much."""
    with pytest.raises(NotSent, match="4096 are allowed") as refused:
        await to_google.send(push(data={"x": '"' * 1_400}))
    assert refused.value.is_final
    assert google.sent == []


class Apple:
    """APNs as it answers, an ASGI application."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[tuple[int, dict[str, Any] | str]] = []
        self.versions: set[str] = set()
        self.port = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        self.versions.add(scope["http_version"])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["path"], headers, json.loads(body)))
        token = headers["authorization"].removeprefix("bearer ")
        assert jwt.get_unverified_header(token)["kid"] == "KEY"
        claims = jwt.decode(
            token, self.key.public_key(), algorithms=["ES256"], options={"verify_iat": False}
        )
        assert claims["iss"] == "TEAM"
        status, said = self.answers.pop(0) if self.answers else (200, "")
        text = said if isinstance(said, str) else json.dumps(said)
        found = [(b"apns-id", headers["apns-id"].encode()), (b"retry-after", b"7")]
        await send({"type": "http.response.start", "status": status, "headers": found})
        await send({"type": "http.response.body", "body": text.encode()})


@pytest.fixture
async def apple(certificate: Path) -> AsyncIterator[Apple]:
    apple, stop = Apple(), asyncio.Event()
    config = Config()
    config.certfile = config.keyfile = str(certificate)
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    sockets = config.create_sockets()
    apple.port = sockets.secure_sockets[0].getsockname()[1]
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]
    config.shutdown_timeout = 0.1
    serving = asyncio.get_running_loop().create_task(
        serve(apple, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    )
    yield apple
    stop.set()
    await serving


@pytest.fixture
async def to_apple(apple: Apple, certificate: Path, tmp_path: Path) -> AsyncIterator[apns.Apns]:
    async def names(host: str, port: int) -> list[str]:
        assert host == "service.test"
        return ["127.0.0.1"]

    clock, path = ManualClock(), tmp_path / "key.p8"
    path.write_text(pem(apple.key))
    tls = ssl.create_default_context(cafile=str(certificate))
    tls.set_alpn_protocols(["h2", "http/1.1"])
    outbound = door(clock, tls, resolver=names)
    yield apns.Apns(
        "apns",
        apns.read_key(path, "s"),
        "KEY",
        "TEAM",
        "com.example.app",
        outbound,
        clock=clock,
        timeout_s=5,
        url=f"https://service.test:{apple.port}",
    )
    await outbound.close()


async def test_apns_gets_what_was_said(to_apple: apns.Apns, apple: Apple) -> None:
    """By HTTP/2; the same message has the same id at every attempt; a device may have a topic of its own."""
    said = {"body": "World", "url": "/x", "tag": "t", "badge": "0", "ttl": 60, "data": {"n": 1}}
    message = push("apns", "ab12", **said)
    sent = await to_apple.send(message)
    await to_apple.send(message)
    [(path, headers, payload), (_, again, _)] = apple.asked
    assert apple.versions == {"2"}
    assert path == "/3/device/ab12"
    assert payload == {
        "aps": {"alert": {"title": "Hello", "body": "World"}, "sound": "default", "badge": 0},
        "report": "token",
        "url": "/x",
        "data": {"n": 1},
    }
    assert sent.provider_id == headers["apns-id"] == again["apns-id"]
    assert headers["authorization"] == again["authorization"]
    assert headers["apns-topic"] == "com.example.app"
    assert headers["apns-push-type"] == "alert"
    assert headers["apns-priority"] == "10"
    assert headers["apns-collapse-id"] == topic_of("t")
    assert int(headers["apns-expiration"]) == to_apple._clock.now_ms() // 1000 + 60
    own = push("apns", ttl=0, urgency="low", id="m.2")
    own.device.data["topic"] = "com.example.other"
    await to_apple.send(own)
    headers = apple.asked[-1][1]
    assert (headers["apns-topic"], headers["apns-priority"]) == ("com.example.other", "5")
    assert headers["apns-expiration"] == "0"
    assert "apns-collapse-id" not in headers


async def test_apples_token_is_made_anew_within_its_hour(to_apple: apns.Apns, apple: Apple) -> None:
    """After 40 minutes; earlier if Apple says that it has expired, but never within 20, which Apple refuses."""
    clock = to_apple._clock
    assert isinstance(clock, ManualClock)

    async def token(*answers: tuple[int, dict[str, Any]]) -> str:
        apple.answers = list(answers)
        await to_apple.send(push("apns"))
        return apple.asked[-1][1]["authorization"]

    first = await token()
    clock.advance(2_399)
    assert await token() == first
    clock.advance(1)
    second = await token()
    assert second != first
    with pytest.raises(NotSent, match="ExpiredProviderToken"):
        await token((403, {"reason": "ExpiredProviderToken"}))
    assert apple.asked[-1][1]["authorization"] == second
    clock.advance(1_200)
    assert await token((403, {"reason": "ExpiredProviderToken"})) != second


@pytest.mark.parametrize(
    ("status", "said", "expected", "since_ms"),
    [
        (410, {"reason": "Unregistered", "timestamp": 77}, Gone, 77),
        (410, "", Gone, None),
        (400, {"reason": "BadDeviceToken"}, Gone, None),
        (400, {"reason": "DeviceTokenNotForTopic"}, Unwelcome, None),
        (400, "garbage", Unwelcome, None),
        (400, '{"reason": ' + "[" * 5_000, Unwelcome, None),
    ],
)
async def test_apple_says_that_a_device_is_gone(
    to_apple: apns.Apns,
    apple: Apple,
    status: int,
    said: Any,
    expected: type[NotSent],
    since_ms: int | None,
) -> None:
    """With the time since when: a device that was registered later is there again."""
    apple.answers = [(status, said)]
    with pytest.raises(expected) as refused:
        await to_apple.send(push("apns"))
    assert refused.value.is_final
    if isinstance(refused.value, Gone):
        assert refused.value.since_ms == since_ms


@pytest.mark.parametrize(
    ("status", "reason", "is_providers"),
    [
        (429, "TooManyRequests", False),
        (429, "TooManyProviderTokenUpdates", True),
        (503, "ServiceUnavailable", True),
        (500, "InternalServerError", True),
        (403, "InvalidProviderToken", True),
    ],
)
async def test_apple_is_asked_again_later(
    to_apple: apns.Apns, apple: Apple, status: int, reason: str, is_providers: bool
) -> None:
    """Too many for one device is not the provider's failure."""
    apple.answers = [(status, {"reason": reason})]
    with pytest.raises(NotSent, match=reason) as failed:
        await to_apple.send(push("apns"))
    assert not failed.value.is_final
    assert failed.value.is_providers is is_providers


async def test_what_is_too_long_for_apple_is_final(to_apple: apns.Apns, apple: Apple) -> None:
    """Whether we see it or Apple does."""
    apple.answers = [(413, {"reason": "PayloadTooLarge"})]
    with pytest.raises(NotSent, match="413 PayloadTooLarge") as refused:
        await to_apple.send(push("apns"))
    assert refused.value.is_final
    with pytest.raises(NotSent, match="4096 are allowed"):
        await to_apple.send(msgspec.structs.replace(push("apns"), report="x" * 4_096))
    assert len(apple.asked) == 1


async def test_a_server_that_does_not_answer_is_tried_again(apple: Apple) -> None:
    """A refused connection is no verdict about the device."""
    clock = ManualClock()
    outbound = door(clock)
    to = apns.Apns(
        "a", apple.key, "K", "T", "t", outbound, clock=clock, timeout_s=1, url="https://127.0.0.1:1"
    )
    with pytest.raises(Unavailable):
        await to.send(push("apns"))
    await outbound.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("fcm:///nowhere.json", "can't be read"),
        ("fcm://{garbage}", "not the JSON key"),
        ("fcm://{key}", "not the JSON key"),
        ("apns://TEAM:KEY@api.push.apple.com{garbage}?topic=t", "not a private key"),
        ("apns://TEAM:KEY@api.push.apple.com{key}", "write apns://"),
        ("apns://api.push.apple.com{key}?topic=t", "write apns://"),
        ("apns://TEAM:KEY@api.push.apple.com{key}?topic=t&tpoic=t", "has no option"),
        ("gcm://x", "no such provider"),
    ],
)
def test_providers_that_are_no_good_stop_the_start(url: str, why: str, tmp_path: Path) -> None:
    """With the setting's name, and without anything of the key."""
    from clarion.ids import Ids
    from clarion.notifications.channels.push.encryption import SEED, private_key
    from clarion.notifications.channels.push.vapid import Vapid
    from clarion.settings import Push as Settings
    from clarion.settings import Sending

    (tmp_path / "key").write_text(pem(ec.generate_private_key(ec.SECP256R1())))
    (tmp_path / "garbage").write_text(
        '{"private_key": "MII-secret", "project_id": "p", "client_email": "c"}'
    )
    given = url.format(key=tmp_path / "key", garbage=tmp_path / "garbage")
    clock = ManualClock()
    with pytest.raises(SettingsError, match=why) as refused:
        push_providers(
            Settings(providers=[given]),
            Sending(),
            Outbound(clock),
            Vapid(private_key(bytes(SEED)), "", clock),
            clock=clock,
            ids=Ids(),
        )
    assert "push.providers" in str(refused.value)
    assert "MII" not in str(refused.value)
