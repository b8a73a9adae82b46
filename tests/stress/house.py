"""Clients of a whole Clarion: their credentials end, and their rooms are counted."""

import asyncio
from collections import Counter
from typing import Any

import jwt

from clarion.clock import SystemClock
from tests.stress.harness import (
    TRANSPORTS,
    Stress,
    check,
    come,
    counted,
    follows,
    heard_all,
    leave,
    said,
    stays,
)
from tests.support.measured import Child
from tests.support.quick_client import Client, NotLetIn

SECRET = "stress, and nothing but stress: 32 bytes"
AUTH = {"jwt_secret": SECRET, "issuer": "stress", "leeway_s": 0}
LIMITS = {"rooms": 60, "commands_per_s": 100_000}
SOON_S = 2.0  # until a token expires
HOME = "/clarion"
OWN_ROOMS = 2_000  # that an application lets a client join


def token(exp: float, secret: str = SECRET) -> str:
    """A token of a user who may join every room, good until `exp`, seconds since 1970."""
    claims = {"iss": "stress", "aud": "clarion", "sub": "ann", "exp": exp}
    return jwt.encode(claims | {"rooms": {"*": ["join"]}}, secret, "HS256")


async def expired_token(stress: Stress) -> str:
    """Who comes with a token that has ended, or was never good, is told which; who is there when it ends is put out, and not
    before. With a fresh one everybody may come in."""
    total = 0
    now_ms = SystemClock().now_ms
    async with stress.server(auth=AUTH, limits=LIMITS) as child:
        for _ in stress.rounds():
            before = await counted(child)
            now = now_ms() / 1000
            good = token(now + 3600)
            bad = {
                token(now - 1): "token_expired",
                token(now + 3600, SECRET[::-1]): "unauthenticated",
                "": "unauthenticated",
            }
            refused = [
                await Client(child.port).open(_first(each)) for each in TRANSPORTS for _ in bad
            ]
            for client, (given, code) in zip(
                refused, [*bad.items()] * len(TRANSPORTS), strict=True
            ):
                await _refused(client, given, code)
            lasting = [await come(child.port, each, token=good) for each in TRANSPORTS]
            passing = await asyncio.gather(*(_put_out(child, each, good) for each in TRANSPORTS))
            await heard_all(*lasting, *passing)
            here = len(lasting) + len(passing)
            due = Counter(
                {"handshakes: opened": here + len(refused)}
                | {"told: connection": here + len(passing)}
                | {"told: server namespace disconnect": len(passing)}
            )
            check(await counted(child) - before, due, "counts")
            await leave(*refused, *lasting, *passing)
            total += len(passing)
    return f"{total} put out"


async def _refused(client: Client, given: str, code: str) -> None:
    try:
        await client.join(token=given)
    except NotLetIn as exc:
        check(exc.told["data"]["code"], code, "the refusal")
    else:
        raise AssertionError(f"let in; {code} is due")


async def _put_out(child: Child, transport: str, good: str) -> Client:
    """Stay until the token ends, and come in again with another one."""
    client, short, ends_ms = await _come_for(child, transport, SOON_S)
    await client.put_out()
    now_ms = SystemClock().now_ms()
    assert now_ms >= ends_ms - 1, f"put out {ends_ms - now_ms} ms too early"
    await _refused(client, short, "token_expired")
    await client.join(token=good)
    return client


async def _come_for(child: Child, transport: str, seconds: float) -> tuple[Client, str, int]:
    """Come in with a token that ends soon; client, token, and when it ends."""
    now_ms = SystemClock().now_ms
    client = await Client(child.port).open(_first(transport))
    while True:
        ends_ms = now_ms() + int(seconds * 1000)
        short = token(ends_ms / 1000)
        try:
            await client.join(token=short)
            break
        except NotLetIn:
            assert now_ms() >= ends_ms, "refused although the token is good"
            seconds *= 2  # a busy machine: it took longer than that to come in
    if transport == "upgrade":
        await client.upgrade()
    return client, short, ends_ms


def _first(transport: str) -> str:
    """Where a client begins."""
    return "websocket" if transport == "websocket" else "polling"


async def many_rooms(stress: Stress) -> str:
    """A socket may be in `limits.rooms` rooms; one more is refused by that name, and leaving makes room. An application's own are not
    counted. Each room reaches its members once, and all are gone with them."""
    total = 0
    most = LIMITS["rooms"]
    async with stress.server(auth=AUTH, limits=LIMITS) as child:
        given = token(SystemClock().now_ms() / 1000 + 3600)
        for _ in stress.rounds():
            empty = (await child.ask("counts"))["rooms"]
            clients = [await come(child.port, each, HOME, token=given) for each in TRANSPORTS]
            own = await come(child.port, "websocket", token=given)
            alone = (await child.ask("counts"))["rooms"]
            names = [f"room {number}" for number in range(most + 1)]
            stress.chance.shuffle(names)
            await asyncio.gather(*(_fill(each, names) for each in clients))
            all_own = [f"own {number}" for number in range(OWN_ROOMS)]
            check(
                await own.ask("join", *all_own),
                [OWN_ROOMS + 2],
                "with those of its id and its user",
            )
            check((await child.ask("counts"))["rooms"], alone + most + OWN_ROOMS, "rooms")
            for room in names:
                reached = await child.ask("emit", room=room, begin=0, end=1, namespace=HOME)
                check(reached, 0 if room == names[1] else len(clients), f"reached in {room}")
            for room in all_own[:: OWN_ROOMS // 50]:
                check(await child.ask("emit", room=room, begin=0, end=1), 1, f"reached in {room}")
            await heard_all(own)
            for client in clients:
                await _ask(client, "leave", names[0])  # behind all that was said
                check(len(client.events), most, "events heard")
                for room in names:
                    follows(said(client, room), 0, int(room != names[1]), room)
            check(len(own.events), 50, "events heard")
            await leave(own, *clients)
            await stays(child, 0)
            check((await child.ask("counts"))["rooms"], empty, "rooms left")
            total += most * len(clients) + OWN_ROOMS
    return f"{total} rooms joined"


async def _fill(client: Client, names: list[str]) -> None:
    """Join as many as are allowed, one more, one again; then leave the second, and the one more fits."""
    *most, extra = names
    for room in most:
        check(await _ask(client, "join", room), {"room": room}, "a join")
    refused = (await _ask(client, "join", extra))["error"]
    check((refused["code"], refused["limit"]), ("too_many", len(most)), "one more")
    assert "limits.rooms" in refused["message"], refused
    check(await _ask(client, "join", names[0]), {"room": names[0]}, "a join again")
    check(await _ask(client, "leave", names[1]), {"room": names[1]}, "a leave")
    check(await _ask(client, "join", extra), {"room": extra}, "a join in its place")


async def _ask(client: Client, command: str, room: str) -> dict[str, Any]:
    [answer] = await client.ask(command, {"room": room})
    found: dict[str, Any] = answer
    return found
