"""Clients that send what may not be sent, beside others who notice nothing of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from msgspec import Struct

from tests.stress.harness import (
    PLAIN,
    TRANSPORTS,
    Stress,
    check,
    come,
    counted,
    heard_all,
    leave,
    stays,
)
from tests.support.measured import Child
from tests.support.quick_client import QUERY
from tests.support.quick_wire import http, masked
from tests.support.raw_client import BINARY, CONTINUATION, PING, TEXT, close_frame, frame

MOST = PLAIN["max_payload_bytes"]
TOO_BIG = "message too big (limits.max_payload_bytes)"
BYSTANDERS = 4  # of each transport


class Offence(Struct, frozen=True):
    """What a client that has joined `/` sends, and how its session ends."""

    what: str
    sent: tuple[str | bytes, ...]
    """Text is a message; bytes go as they are: a frame, or what is none."""
    code: int
    why: str = ""
    reason: str = "transport_close"
    """Of the session's end, as in its metric."""
    limit: str = ""
    """Which is exceeded."""


NO_CODE = 1005
ANNOUNCED = '451-["e",{"_placeholder":true,"num":0}]'


def _bad(what: str, *sent: str | bytes, reason: str) -> Offence:
    """One of Engine.IO's or Socket.IO's rules: closed without a code, as by Node."""
    return Offence(what, sent, NO_CODE, reason=reason)


MALFORMED = (
    # RFC 6455
    Offence("no mask", (frame(TEXT, b"4", masked=False),), 1002),
    Offence("reserved bits", (frame(TEXT, b"4", rsv=4),), 1002, "reserved bits"),
    Offence("an unknown opcode", (frame(3, b"4"),), 1002),
    Offence("a long ping", (frame(PING, b"x" * 126),), 1002),
    Offence("a ping in pieces", (frame(PING, b"x", fin=0),), 1002),
    Offence("nothing to continue", (frame(CONTINUATION, b"4"),), 1002, "nothing to continue"),
    Offence(
        "a message within a message",
        (frame(TEXT, b"4", fin=0), frame(TEXT, b"4")),
        1002,
        "the last message is not finished",
    ),
    Offence("no UTF-8", (frame(TEXT, b"42\xff"),), 1007, "not UTF-8"),
    Offence("a close code that may not be sent", (close_frame(1005),), 1002),
    # Engine.IO
    _bad("an empty message", "", reason="parse_error"),
    _bad("an unknown packet", "9", reason="parse_error"),
    _bad("a ping of the client's", "2", reason="transport_error"),
    # Socket.IO
    _bad("no packet", "4", reason="forced_close"),
    _bad("an unknown type", "47", reason="forced_close"),
    _bad("no JSON", '42["no', reason="forced_close"),
    _bad("no array", "42{}", reason="forced_close"),
    _bad("no name", "42[]", reason="forced_close"),
    _bad("a reserved name", '42["disconnect"]', reason="forced_close"),
    _bad("too deep", f'42["e",{"[" * 99}{"]" * 99}]', reason="forced_close"),
    _bad("bytes that nobody announced", frame(BINARY, b"bytes"), reason="forced_close"),
    _bad("text instead of bytes", ANNOUNCED, '42["text"]', reason="forced_close"),
    _bad("an id without end", "42" + "9" * 5_000 + '["e"]', reason="forced_close"),
    _bad("a second CONNECT", "40", reason="forced_server_close"),
    _bad("CONNECT_ERROR", "44", reason="forced_server_close"),
    _bad("a namespace that was not joined", '42/x,["e"]', reason="forced_server_close"),
    # Limits that are exceeded by a packet's form
    Offence(
        "too many attachments", ('4511-["e"]',), NO_CODE, "", "forced_close", limit="attachments"
    ),
)
OVERSIZED = tuple(
    Offence(what, sent, 1009, why, limit=limit)
    for what, sent, why, limit in (
        ("text", ("4" + "x" * MOST,), TOO_BIG, "max_payload_bytes"),
        ("bytes", (frame(BINARY, b"x" * (MOST + 1)),), TOO_BIG, "max_payload_bytes"),
        (
            "the head of a frame alone",
            (masked(BINARY, b"x" * (MOST + 1))[:14],),
            TOO_BIG,
            "max_payload_bytes",
        ),
        (
            "two halves",
            (frame(TEXT, b"4" * MOST, fin=0), frame(CONTINUATION, b"4")),
            TOO_BIG,
            "max_payload_bytes",
        ),
        (
            "pieces without end",
            (frame(TEXT, b"4", fin=0), frame(CONTINUATION, b"4", fin=0) * 1_100),
            "too many fragments (limits.fragments)",
            "fragments",
        ),
    )
)


async def malformed_protocol(stress: Stress) -> str:
    """Each way to break WebSocket, Engine.IO or Socket.IO ends the session of who does it with its own code and reason, and no other."""
    return await _offend(stress, MALFORMED, _post_nonsense)


async def oversized_frames(stress: Stress) -> str:
    """A message beyond the limit, in whatever pieces, is closed with 1009 and the limit's name as soon as its size is known; a body is refused."""
    return await _offend(stress, OVERSIZED, _post_much)


async def _offend(
    stress: Stress,
    offences: tuple[Offence, ...],
    post: Callable[[Child], Awaitable[Counter[str]]],
) -> str:
    total = 0
    async with stress.server(limits=PLAIN) as child:
        for _ in stress.rounds():
            before = await counted(child)
            others = [
                await come(child.port, each) for each in TRANSPORTS for _ in range(BYSTANDERS)
            ]
            some = stress.chance.sample(offences, len(offences))
            offending = asyncio.gather(*(_commit(child, each) for each in some))
            due, _ = await asyncio.gather(post(child), offending)
            await heard_all(*others)
            for each in some:
                due[f"session_closed: {each.reason}"] += 1
                due[f"told: {each.reason.replace('_', ' ')}"] += 1
                if each.limit:
                    due[f"limit_exceeded: {each.limit}"] += 1
            due["handshakes: opened"] += len(others) + len(some)
            due["told: connection"] += len(others) + len(some)
            await stays(child, len(others))
            check(await counted(child) - before, due, "counts")
            await leave(*others)
            total += len(some)
    return f"{total} offences"


async def _commit(child: Child, offence: Offence) -> None:
    client = await come(child.port, "websocket")
    for each in offence.sent:
        if isinstance(each, bytes):
            client.line.write(each)
        else:
            client.say(each)
    told = await client.gone(), client.reason
    why = offence.why or told[1]
    check(told, (offence.code, why), offence.what)


async def _post_nonsense(child: Child) -> Counter[str]:
    """On polling a body that does not parse is refused and ends its session."""
    client = await come(child.port, "polling")
    posting = await http(child.port)
    status, _ = await posting.ask("POST", f"{QUERY}polling&sid={client.sid}", b"9")
    check(status, 400, "a body that does not parse")
    posting.reset()
    await client.gone()
    ended = ("session_closed: parse_error", "told: parse error")
    return Counter(["handshakes: opened", "told: connection", *ended])


async def _post_much(child: Child) -> Counter[str]:
    """On polling a body that is too large is refused, and its session goes on."""
    client = await come(child.port, "polling")
    posting = await http(child.port)
    body = b"4" * (MOST + 1)
    status, _ = await posting.ask("POST", f"{QUERY}polling&sid={client.sid}", body)
    check(status, 413, "a body that is too large")
    posting.reset()
    await heard_all(client)
    await leave(client)
    ended = ("session_closed: transport_close", "told: transport close")
    here = ("handshakes: opened", "told: connection", "limit_exceeded: max_payload_bytes")
    return Counter([*here, *ended])
