"""WebSockets over the wire: handshake, upgrade, what may not come, and how connections end."""

import asyncio
import json

import pytest

from clarion.realtime.transports.base import Prepared
from clarion.realtime.transports.websocket import SessionSocket
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn
from tests.support.raw_client import BINARY, CLOSE, TEXT, close_frame, frame, upgrade
from tests.support.raw_socketio import QUERY, until, wired


async def test_a_handshake_and_events_both_ways():
    """The open packet has no upgrades; text, binary and acks go both ways."""
    async with wired() as wire:
        wire.io.handle("q", lambda socket, *args: args)
        client = await wire.websocket()
        assert json.loads((await client.hear())[1:])["upgrades"] == []
        client.say("40")
        assert (await client.hear()).startswith('40{"sid":"')
        client.say('420["q","é"]', '451-1["q",{"_placeholder":true,"num":0}]', b"\0\1")
        assert await client.hear() == '430["é"]'
        assert await client.hear() == '461-1[{"_placeholder":true,"num":0}]'
        assert await client.hear() == b"\0\1"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b"?EIO=4&transport=abc", 400),
        (b"?EIO=4", 400),
        (b"?EIO=3&transport=websocket", 400),
        (b"?transport=websocket", 400),
        (b"?EIO=4&transport=polling", 400),
        (b"?EIO=4&transport=websocket&sid=unknown", 400),
        (b"?EIO=4&transport=websocket&transport=websocket", 400),
        (b"?EIO=4&transport=websocket&x=%00%ff" + b"&y=1" * 200, 400),
    ],
)
async def test_what_is_no_handshake_is_refused_before_the_101(query, code):
    """Everything is checked before the connection becomes a WebSocket: 400 with Engine.IO's words."""
    async with wired() as wire:
        heard = await wire.raw.ask(upgrade(path=b"/socket.io/" + query))
        assert heard.startswith(b"HTTP/1.1 %d" % code)
        assert wire.io.sessions == 0


async def test_pages_of_foreign_sites_get_no_websocket():
    """A foreign Origin is refused with 403, which Node does not; the server's own and listed ones are served."""
    async with wired(allowed_origins=["https://app.example"]) as wire:
        for origin, status in (
            (b"https://evil.example", 403),
            (b"null", 403),
            (b"http://x", 101),
            (b"https://app.example", 101),
        ):
            target = QUERY + b"websocket"
            asked = upgrade(b"Origin: " + origin + b"\r\n", path=target)
            assert await wire.raw.first_status(asked) == status


async def test_an_upgrade_keeps_order():
    """Polling, probe, `5`: what was sent meanwhile comes once and in order; polling is over afterwards."""
    async with wired() as wire:
        wire.io.handle("q", lambda socket, n: n)
        client = await wire.polling()
        await client.join()
        held = spawn(client.get(), name="held poll")
        socket = await wire.websocket(b"&sid=" + client.sid.encode())
        socket.say("2probe")
        assert await socket.hear() == "3probe"
        assert (await held).body == b"6"
        wire.io.emit("while probing")
        socket.say("5", '420["q",1]')
        assert [await socket.hear(), await socket.hear()] == ['42["while probing"]', "430[1]"]
        answer = await client.get()
        assert (answer.status, json.loads(answer.body)["code"]) == (400, 3)
        second = await wire.websocket(b"&sid=" + client.sid.encode())
        assert await second.hear() == (CLOSE, 0)
        socket.say('421["q",2]')
        assert await socket.hear() == "431[2]"


async def test_a_failed_probe_leaves_the_session_on_polling():
    """Any other first packet, a second probe, and a probe that says nothing in time end that WebSocket alone."""
    async with wired(Realtime(upgrade_timeout_s=0.2)) as wire:
        client = await wire.polling()
        await client.join()
        sid = b"&sid=" + client.sid.encode()
        wrong, second = await wire.websocket(sid), await wire.websocket(sid)
        assert await second.hear() == (CLOSE, 0)
        wrong.say("4hello")
        assert await wrong.hear() == (CLOSE, 0)
        silent = await wire.websocket(sid)
        assert await silent.hear() == (CLOSE, 0)
        gone = await wire.websocket(sid)
        await gone.hang_up()
        wire.io.emit("still here")
        assert (await client.get()).body == b'42["still here"]'


async def test_nothing_follows_a_close_frame():
    """RFC 6455 §5.5.1: what is emitted while a connection is closing stays here, also what would go out without a detour."""
    async with wired() as wire:

        @wire.io.handle("q")
        async def later(socket):
            await asyncio.sleep(0)
            assert socket.connected
            socket.emit("late")
            wire.io.emit("late")

        client = await wire.joined()
        reserved_bits = bytes([0xC1, 0x80, 0, 0, 0, 0])
        client.socket.writer.write(frame(TEXT, b'42["q"]') + reserved_bits)
        assert await client.hear() == (CLOSE, 1002)
        assert await client.socket.reader.read() == b""


async def test_an_upgrade_that_names_no_revision_is_refused():
    """GHSA-2gc4-cqfq-p2gv: the session's revision can't be changed by its upgrade."""
    async with wired() as wire:
        client = await wire.polling()
        target = b"/socket.io/?transport=websocket&sid=" + client.sid.encode()
        assert await wire.raw.first_status(upgrade(path=target)) == 400


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"4abc"), 0),
        (frame(TEXT, b""), 0),
        (frame(TEXT, b"7"), 0),
        (frame(TEXT, b'42["e"]'), 0),
        (frame(TEXT, b"40") + frame(TEXT, b"40"), 0),
        (frame(TEXT, b"40") + frame(BINARY, b"\0"), 0),
        (frame(TEXT, b"40") + frame(TEXT, b'42["disconnect"]'), 0),
        (frame(TEXT, b"40") + frame(TEXT, b'42["\\u0000"]'), 0),
        (frame(TEXT, b"40") + frame(TEXT, b"4" + b"[" * 100_000), 0),
        (frame(TEXT, b"1"), 0),
        (frame(TEXT, b"4\xff"), 1007),
        (frame(TEXT, b"4" + b"." * 1_000_000), 1009),
        (close_frame(1000), 1000),
    ],
)
async def test_what_may_not_come_closes_the_connection(sent, code):
    """Broken Engine.IO and Socket.IO end the connection without a code, as in Node; broken WebSocket with its code."""
    async with wired() as wire:
        client = await wire.websocket()
        await client.hear()
        client.socket.writer.write(sent)
        heard = await client.hear()
        while not isinstance(heard, tuple):
            heard = await client.hear()
        assert heard == (CLOSE, code)
        await client.hang_up()
        await until(lambda: not wire.io.sessions)


async def test_a_message_of_a_megabyte_is_echoed_one_of_more_is_not():
    """Exactly `max_payload` passes; one byte more closes with 1009."""
    async with wired() as wire:
        wire.io.handle("q", lambda socket, text: len(text))
        client = await wire.joined()
        text = '420["q","%s"]'
        client.say(text % ("." * (1_000_000 - len(text) + 2)))
        assert await client.hear() == f"430[{1_000_000 - len(text) + 2}]"
        client.say(text % ("." * (1_000_000 - len(text) + 3)))
        assert await client.hear() == (CLOSE, 1009)


async def test_a_peer_that_does_not_answer_pings_is_closed():
    """A ping each interval; without a pong the connection ends after the time-out."""
    async with wired(Realtime(ping_interval_s=0.2, ping_timeout_s=0.15)) as wire:
        client = await wire.joined()
        for _ in range(2):
            assert await client.hear() == "2"
            client.say("3")
        assert await client.hear() == "2"
        assert await client.hear() == (CLOSE, 0)


async def test_a_client_that_never_reads_is_closed_as_slow_and_hurts_nobody():
    """Its session ends with 3008 and is counted, memory stays bounded; another client gets every event, in order."""
    limits = Limits(
        egress_soft_bytes=64 * 1024, egress_hard_bytes=256 * 1024, close_s=1, drain_s=0.1
    )
    async with wired(limits=limits) as wire:
        gone: list[str] = []
        wire.io.handle("disconnect", lambda socket, reason: gone.append(reason))
        deaf, reader = await wire.joined(), await wire.joined()
        deaf.socket.reader._transport.pause_reading()
        most = 0
        for number in range(3000):
            wire.io.emit("e", number, "." * 10_000)
            assert (await reader.hear()).startswith(f'42["e",{number},')
            waits = [socket.egress.waiting for socket in wire.io.of("/").sockets.values()]
            most = max(most, *waits)
            if gone:
                break
        assert gone == ["transport error"]
        assert most <= 256 * 1024
        deaf.socket.reader._transport.resume_reading()
        heard = await deaf.hear()
        while not isinstance(heard, tuple):
            heard = await deaf.hear()
        assert heard == (CLOSE, 3008)
        assert wire.io.emit("e", "last") == 1


async def test_a_dead_connection_does_not_end_a_broadcast():
    """Clients that have reset their connections are skipped, everybody else gets the event."""
    async with wired() as wire:
        clients = [await wire.joined() for _ in range(6)]
        for client in clients[::2]:
            client.socket.writer.transport.abort()
        for number in range(50):
            wire.io.emit("e", number)
            await asyncio.sleep(0)
        for client in clients[1::2]:
            assert [await client.hear() for _ in range(50)] == [f'42["e",{n}]' for n in range(50)]


async def test_the_server_closes_so_that_clients_come_back():
    """On `close` nobody gets a DISCONNECT packet: a WebSocket ends with 3001, and sockets are told why."""
    async with wired() as wire:
        reasons: list[str] = []
        wire.io.handle("disconnect", lambda socket, reason: reasons.append(reason))
        clients = [await wire.joined() for _ in range(3)]
        await wire.io.close(drain_s=0.02)
        assert [await client.hear() for client in clients] == [(CLOSE, 3001)] * 3
        assert reasons == ["server shutting down"] * 3
        assert wire.io.sessions == 0


async def test_a_drain_takes_one_after_another():
    """When the process stops each WebSocket is closed with 3001 in its turn, also one that only probes."""
    async with wired() as wire:
        client = await wire.joined()
        polled = await wire.polling()
        probe = await wire.websocket(b"&sid=" + polled.sid.encode())
        probe.say("2probe")
        await probe.hear()
        wire.http.stop()
        assert await probe.hear() == (CLOSE, 0)
        assert await client.hear() == (CLOSE, 3001)


class Unopened(SessionSocket):
    """Notes writes."""

    __slots__ = ("written",)

    def write_frames(self, data: bytes) -> None:
        self.written = [*getattr(self, "written", []), data]


def test_many_are_written_up_to_what_the_buffer_takes():
    """Frames are joined up to 64 KiB; one that is larger goes alone."""
    socket = Unopened(lambda _: None)
    items = [Prepared(["4" + "." * 30_000]) for _ in range(5)]
    assert socket.write_many(items) == 2
    assert socket.write_many([Prepared(["4" + "." * 100_000]), items[0]]) == 1
    assert socket.write_many(items[:1]) == 1
    assert [len(data) // 30_000 for data in socket.written] == [2, 3, 1]


def test_a_write_to_a_connection_that_was_reset_says_nothing():
    """Uvloop raises where asyncio shrugs: whoever walks over a room must not notice."""

    def broken(data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    socket = SessionSocket(lambda _: None)
    socket._write = broken
    socket.write(Prepared(["4a"]))
    assert not socket.is_open


def test_a_drain_before_the_session_began_closes():
    """A WebSocket without a session is closed like any other when the process stops."""
    Unopened(lambda _: None).on_drain()
