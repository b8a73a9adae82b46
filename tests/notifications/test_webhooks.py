"""Webhooks: from the workflow to real servers on this machine."""

import asyncio

import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from clarion.errors import Conflict, Invalid
from clarion.ids import Ids
from clarion.notifications.sealing import Sealer
from clarion.notifications.webhooks import signature
from clarion.settings import Settings, Webhook
from clarion.storage.addresses import PUT, NewAddress, address_id
from clarion.storage.store import Sql
from tests.notifications.conftest import on_one_engine
from tests.notifications.doors import (
    Doors,
    doors,
    make_known,
    office,
    send,
    settings,
    target,
)
from tests.notifications.office import Office
from tests.support.http_target import HttpTarget

__all__ = ["doors", "office", "target"]

HOOK = {"id": "hook", "webhook": {"event": "greeted", "data": {"n": "{{ payload.n }}"}}}


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
    await make_known(office)
    await doors.endpoint(f"{target.url}/a")
    await doors.endpoint(f"{target.url}/b")
    target.answers = [(503, b"later"), (200, b"")]
    await send(office, HOOK)
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
    await make_known(office)
    await doors.endpoint(target.url)
    endpoints = doors.reach.endpoints
    await endpoints.rotate("default", target.url, 86_400)
    endpoints._sealer = Sealer("another", Ids())
    await send(office, HOOK)
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
    await make_known(office)
    await doors.endpoint(target.url)
    target.answers = [(410, b"bye")]
    await send(office, HOOK)
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
        await make_known(office)
        for path in ("a", "lost", "loop", "inside"):
            await doors.endpoint(f"{url}/{path}")
        await send(office, HOOK)
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
        await make_known(office)
        await doors.endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await send(office, HOOK)
        [provider] = office.sender.status()["webhook"]
        assert (provider.refused, provider.failures) == (1, 0)
    finally:
        await runner.cleanup()
        await doors.reach.close()


@on_one_engine
@pytest.mark.parametrize(
    ("url", "setting"),
    [
        ("https://user:pw@hooks.test/", ""),
        ("ftp://hooks.test/", ""),
        ("hooks.test", ""),
        ("https://hooks.test:22/", "webhook.ports"),
        ("http://hooks.test/", "webhook.networks"),
        (f"https://hooks.test/{'x' * 2_050}", ""),
        ("https://127.0.0.1/", "webhook.networks"),
        ("https://localhost/", "webhook.networks"),
        ("https://[::ffff:127.0.0.1]/", "webhook.networks"),
        ("https://169.254.169.254/latest/", "webhook.networks"),
    ],
)
async def test_what_can_never_be_called_is_refused_when_it_is_given(
    office: Office, url: str, setting: str
) -> None:
    """While whoever gives it is there to hear of it, and of the setting that may allow it."""
    doors = Doors(office, Settings())
    try:
        await make_known(office)
        with pytest.raises(Invalid) as refused:
            await doors.endpoint(url)
        assert [each.pointer for each in refused.value.faults] == ["/address"]
        assert setting in refused.value.message
        assert ("webhook." in refused.value.message) == bool(setting)
    finally:
        await doors.reach.close()


@on_one_engine
async def test_private_networks_are_not_reached(office: Office, target: HttpTarget) -> None:
    """Without `webhook.networks` this machine is out of reach, by every name: what counts is the address, also of one that was taken before."""
    hook = Webhook(ports=[443, int(target.url.rpartition(":")[2])])
    doors = Doors(office, settings(webhook=hook))
    try:
        await make_known(office)
        port = target.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254"):
            url = f"https://{host}:{port}/"
            row = NewAddress(
                "default", address_id("webhook", url), "ann", "webhook", url, "", "", 1
            )
            await office.house.store.apply(PUT, [row])
        await send(office, HOOK)
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
        await make_known(office)
        for n in range(12):
            await doors.endpoint(f"{hanging}/{n}")
        await doors.endpoint(target.url)
        await send(office, HOOK)
        rows = await doors.rows()
        assert len(target.calls) == 1
        assert [row.status for row in rows].count("queued") == 12
        assert calls == 4
        assert sorted(row.attempts for row in rows) == [0] * 8 + [1] * 5
    finally:
        release.set()
        await runner.cleanup()


@on_one_engine
async def test_whatever_an_endpoint_does_its_dead_letter_says_and_no_other_waits_for_it(
    office: Office,
) -> None:
    """One answers 500, one what is no HTTP, one hangs up, one not at all: each is tried as often as allowed, and the one that is well has its message at once."""
    hook = Webhook(
        networks=["127.0.0.0/8"], ports=list(range(1, 65536)), timeout_s=0.2, max_attempts=2
    )
    doors = Doors(office, settings(webhook=hook))
    answers = {
        "500 Internal Server Error": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "garbage": b"\x00\xff what is this\r\n\r\n",
        "hung up": b"",
        "no answer": None,
        "well": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    }
    calls = dict.fromkeys(answers, 0)
    servers = [await _endpoint(name, answer, calls) for name, answer in answers.items()]
    try:
        await make_known(office)
        for server in servers:
            await doors.endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await send(office, HOOK)
        assert calls == dict.fromkeys(answers, 1)
        assert [row.status for row in await doors.rows()].count("sent") == 1
        await office.run(3_600)
        assert calls == {**dict.fromkeys(answers, 2), "well": 1}
        causes = sorted(row.cause for row in await doors.rows() if row.status == "failed")
        for cause, words in zip(
            causes, ("disconnected", "status line", "500", "no answer"), strict=True
        ):
            assert words in cause
        await office.run(86_400)
        assert sum(calls.values()) == 9
    finally:
        for server in servers:
            server.close()
        await doors.reach.close()


async def _endpoint(name: str, answer: bytes | None, calls: dict[str, int]) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        calls[name] += 1
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)
