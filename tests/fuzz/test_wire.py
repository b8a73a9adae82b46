"""Any bytes on real connections: what comes after an upgrade, and instead of a request."""

import asyncio
import os
import random  # noqa: TID251  seeded
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from clarion.realtime.transports import run
from clarion.settings import Limits
from tests.fuzz.test_fuzz import GOOD, PACKETS
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    frame,
    hang_up,
    upgrade,
)
from tests.support.raw_socketio import QUERY, Wire, until, wired

CONNECTIONS = 150
OPCODES = [TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG, 3, 11]


def mangled(chance: random.Random, data: bytes) -> bytes:
    """With bits turned, a piece cut out, or one doubled; often as it was."""
    raw = bytearray(data)
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        at = chance.randrange(len(raw) or 1)
        match chance.randrange(3):
            case 0 if raw:
                raw[at] ^= 1 << chance.randrange(8)
            case 1:
                del raw[at : at + chance.randrange(8)]
            case _:
                raw[at:at] = raw[at : at + chance.randrange(16)]
    return bytes(raw)


def frames(chance: random.Random) -> bytes:
    """Frames of a client, right and wrong."""
    sent = b""
    for _ in range(chance.randrange(1, 8)):
        what: str | bytes = chance.choice(
            [*PACKETS, *GOOD, "2probe", "5", "3", chance.randbytes(40)]
        )
        data = (
            what
            if isinstance(what, bytes)
            else f"{chance.choice('4444123')}{what}".encode(errors="replace")
        )
        op = chance.choice([TEXT, TEXT, TEXT, BINARY, *OPCODES])
        fin, rsv = chance.choice([1, 1, 1, 0]), chance.choice([0] * 9 + [1, 2, 4])
        sent += frame(op, data, fin=fin, rsv=rsv, masked=chance.random() > 0.05)
    return mangled(chance, sent)


def request(chance: random.Random, sid: str) -> bytes:
    """A request, more or less."""
    path = QUERY + chance.choice(
        [b"polling", b"websocket", b"polling&sid=" + sid.encode(), b"websocket&sid=" + sid.encode()]
    )
    match chance.randrange(4):
        case 0:
            whole = upgrade(path=path) + frames(chance)
        case 1:
            body = "\x1e".join(f"4{chance.choice(GOOD)}" for _ in range(3)).encode()
            whole = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
                path,
                len(body),
                body,
            )
        case 2:
            whole = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path
        case _:
            whole = chance.randbytes(200)
    return mangled(chance, whole)


async def one(wire: Wire, chance: random.Random, sid: str) -> None:
    """A connection: bytes in pieces, then gone in one way or another."""
    is_websocket = chance.random() < 0.6
    path = QUERY + b"websocket"
    data = upgrade(path=path) + frames(chance) if is_websocket else request(chance, sid)
    reader, writer = await wire.raw.dial()
    try:
        while data:
            size = chance.choice([1, 7, 100, 4096, 4096])
            writer.write(data[:size])
            data = data[size:]
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
        match chance.randrange(3):
            case 0:
                writer.write_eof()
            case 1:
                async with asyncio.timeout(chance.choice([0.001, 0.02])):
                    await reader.read(65536)
    except (OSError, TimeoutError):
        pass
    await hang_up(writer)


async def rough_hour(seed: int) -> None:
    """All at once, beside a client that behaves."""
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
    chance = random.Random(seed)
    limits = Limits(drain_s=0.1, close_s=0.2, handshakes_per_s=100_000)
    with capture_logs() as logs:
        async with wired(limits=limits) as wire:
            wire.io.handle("q", lambda socket, *args: args)
            wire.io.handle("tell", lambda socket, *args: socket.broadcast.emit("told", *args))
            sessions = wire.io._sessions
            polled = await wire.polling()
            good = await wire.joined()
            files = len(os.listdir("/proc/self/fd"))
            clients = (random.Random(chance.random()) for _ in range(CONNECTIONS))
            await asyncio.gather(*(one(wire, each, polled.sid) for each in clients))
            good.say('421["q","still here"]')
            while (heard := await good.hear()) != '431["still here"]':
                assert heard[:2] in {"42", "45"} or isinstance(heard, bytes), heard
            # Those on polling are given their time: nobody has hung up there.
            await until(lambda: kinds(sessions).count("websocket") == 1)
            await until(lambda: len(os.listdir("/proc/self/fd")) <= files)
            assert len(wire.io.wheel) <= len(sessions)
    assert errors == []
    assert [entry for entry in logs if entry["log_level"] in {"error", "critical"}] == []


def kinds(sessions: Mapping[str, Any]) -> list[str]:
    return [each.transport_name for each in sessions.values()]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_any_bytes_hurt_nobody(loop: str) -> None:
    """A hundred and fifty rough connections: a client beside them is served, nothing raises or is logged as an error, and when they
    have gone no session, timer or file of theirs is left."""
    run(rough_hour(seed=1), use_uvloop=loop == "uvloop")
