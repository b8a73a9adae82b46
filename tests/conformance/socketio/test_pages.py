"""Sentences of the protocols' pages that bind a server, where no promise of the official suites has them.

docs/explanation/conformance.md goes through both pages sentence by sentence and names the test of each.
"""

import json
import re
from pathlib import Path

import pytest

from clarion.errors import ConnectRefused
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.socketio import Decoder, DecoderLimits, Packet, PacketType, encode
from clarion.telemetry import spawn
from tests.conformance.socketio.test_official_suites import PROMISES
from tests.support.memory_transport import MemoryClient, make_server
from tests.support.raw_client import BINARY, CONTINUATION, TEXT
from tests.support.raw_socketio import Wire, until, wired

ROOT = Path(__file__).parents[3]


# ── Engine.IO, revision 4: transports ──
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_session_is_answered_400(method: str) -> None:
    """Sending and receiving: a sid that is not known is 400, with code 1."""
    async with wired() as wire:
        target = wire.query + b"polling&sid=abcdefghijklmnopqrstuvwx"
        answer = await wire.ask(method, target, b"4hello" if method == "POST" else b"")
        assert answer.status == 400
        assert json.loads(answer.body) == {"code": 1, "message": "Session ID unknown"}


async def test_a_body_without_a_type_is_text() -> None:
    """Headers: without Content-Type the data is plain text."""
    async with wired() as wire:
        wire.io.handle("q", lambda socket, *args: args)
        client = await wire.polling()
        await client.join()
        assert (await client.post('420["q","é"]', b"")).body == b"ok"
        assert (await client.get()).body.decode() == '430["é"]'


async def test_each_packet_has_its_own_frame() -> None:
    """WebSocket: one packet, one unfragmented frame, however many leave at once."""
    async with wired() as wire:
        client = await wire.joined()
        for number in range(5):
            wire.io.emit("e", number, b"\x00")
        raw, seen = client.socket.reader, []
        for _ in range(10):
            first, size = await raw.readexactly(2)
            assert first & 0x80, "FIN"
            assert first & 15 != CONTINUATION
            assert size < 126
            seen.append((first & 15, await raw.readexactly(size)))
        heads = [f'451-["e",{n},{{"_placeholder":true,"num":0}}]'.encode() for n in range(5)]
        assert seen == [each for head in heads for each in ((TEXT, head), (BINARY, b"\x00"))]


async def test_the_server_pings_and_no_client_may() -> None:
    """Heartbeat: in revision 4 pings are the server's; a client's `2` ends the session on either transport."""
    io = make_server()
    for kind in Kind:
        client = MemoryClient(io, kind)
        client.session.receive("2", client.transport)
        assert not client.session.is_open


async def test_a_pending_poll_gets_noop_and_the_probe_its_pong() -> None:
    """Upgrade: `3probe` by WebSocket, and `6` to the GET that is held at that moment."""
    async with wired() as wire:
        client, held = await probing(wire)
        assert (await held).body == b"6"
        assert wire.io.find(client.sid).transport_name == "polling"


async def probing(wire: Wire):
    """A session whose GET is held, and a WebSocket whose probe was answered."""
    client = await wire.polling()
    held = spawn(client.get(), name="held poll")
    session = wire.io.find(client.sid)
    await until(lambda: session.transport.is_writable)
    websocket = await wire.websocket(b"&sid=" + client.sid.encode())
    websocket.say("2probe")
    assert await websocket.hear() == "3probe"
    return client, held


# ── Socket.IO, revision 5: exchange ──
async def fresh(**more):
    """A server, and a client that has heard the Engine.IO handshake."""
    io = make_server(**more)
    client = MemoryClient(io)
    await client.hear()
    return io, client


async def test_connect_is_answered_with_the_sockets_own_id() -> None:
    """Connection: the answer carries a sid, which is not the Engine.IO session's."""
    io, client = await fresh()
    sid = await client.join()
    assert sid in io.of("/").sockets
    assert sid != client.session.id


async def test_a_refusal_is_a_connect_error_with_an_object() -> None:
    """Connection: who is not allowed gets CONNECT_ERROR, whose payload is an object with `message`."""
    io, client = await fresh()

    @io.use
    def refuse(_) -> None:
        raise ConnectRefused("Not authorized")

    client.say("40")
    (told,) = await client.hear()
    assert told.startswith("44{")
    assert json.loads(told[2:])["message"] == "Not authorized"
    assert client.session.is_open


@pytest.mark.parametrize("first", ['42["e"]', "41", "43[]", "4", '44{"message":"x"}', '42/a,["e"]'])
async def test_who_does_not_connect_first_is_closed_at_once(first: str) -> None:
    """Connection: any other packet before CONNECT closes the connection immediately."""
    _, client = await fresh()
    client.say(first)
    assert client.transport.closed is not None


async def test_many_namespaces_share_a_connection() -> None:
    """Connection: a client may be in several at the same time, each with a socket of its own."""
    io, client = await fresh()
    io.of("/a")
    sids = [await client.join(name) for name in ("/", "/a")]
    assert len(set(sids)) == 2
    io.emit("to", "root")
    io.of("/a").emit("to", "a")
    assert await client.hear() == ['42["to","root"]', '42/a,["to","a"]']


async def test_nobody_is_in_the_main_namespace_without_asking() -> None:
    """History, revision 5: there is no implicit connection to `/`."""
    io, client = await fresh()
    io.of("/a")
    await client.join("/a")
    assert io.of("/").sockets == {}
    client.say('42["e"]')
    assert not client.session.is_open


@pytest.mark.parametrize("payload", ["", "[]", "{}", '"e"', "1", "null", "[", "[,]", '["e"]x'])
async def test_an_event_without_a_payload_closes(payload: str) -> None:
    """Sending and receiving: the payload is mandatory and a non-empty array, otherwise the receiver closes."""
    _, client = await fresh()
    await client.join()
    client.say("42" + payload)
    assert client.transport.closed is not None


async def test_an_ack_has_the_events_id_and_an_array() -> None:
    """Acknowledgement: same id, same namespace; the payload is an array, possibly empty."""
    io, client = await fresh()
    io.of("/a").handle("nothing", lambda socket: None)
    io.of("/a").handle("bar", lambda socket: "bar")
    await client.join("/a")
    client.say('42/a,12["nothing"]', '42/a,0["bar"]', '42/a,["bar"]')
    assert await client.hear() == ["43/a,12[]", '43/a,0["bar"]']


@pytest.mark.parametrize("payload", ["", "{}", '"bar"', "null"])
async def test_an_ack_without_an_array_closes(payload: str) -> None:
    """Acknowledgement: the payload is mandatory and an array."""
    _, client = await fresh()
    await client.join()
    client.say("430" + payload)
    assert client.transport.closed is not None


async def test_a_binary_answer_is_taken() -> None:
    """Acknowledgement: BINARY_ACK answers an event of the server, with its attachments in place."""
    io, client = await fresh()
    answers = []

    @io.on("connection")
    async def ask(socket) -> None:
        answers.append(await socket.emit_with_ack("foo"))

    await client.join()
    (asked,) = await client.hear()
    id = re.fullmatch(r'42(\d+)\["foo"\]', asked)[1]
    client.say(f'461-{id}[{{"_placeholder":true,"num":0}}]', b"\x01\x02\x03\x04")
    await client.hear()
    assert answers == [b"\x01\x02\x03\x04"]


async def test_leaving_needs_no_answer_and_keeps_the_connection() -> None:
    """Disconnection: nothing is said; the other namespaces of the connection live on."""
    io, client = await fresh()
    io.of("/a").handle("e", lambda socket: "here")
    await client.join()
    await client.join("/a")
    client.say("41")
    assert await client.hear() == []
    client.say('42/a,1["e"]')
    assert await client.hear() == ['43/a,1["here"]']


# ── Socket.IO, revision 5: encoding ──
BYTES = b"\x01\x02\x03\x04"
EXAMPLES = [
    (Packet(PacketType.CONNECT), ["0"]),
    (Packet(PacketType.CONNECT, "/admin", {"sid": "oSO0"}), ['0/admin,{"sid":"oSO0"}']),
    (Packet(PacketType.CONNECT_ERROR, "/", {"message": "no"}), ['4{"message":"no"}']),
    (Packet(PacketType.EVENT, "/", ["foo"]), ['2["foo"]']),
    (Packet(PacketType.EVENT, "/admin", ["bar"]), ['2/admin,["bar"]']),
    (
        Packet(PacketType.EVENT, "/", ["baz", BYTES]),
        ['51-["baz",{"_placeholder":true,"num":0}]', BYTES],
    ),
    (
        Packet(PacketType.EVENT, "/admin", ["baz", b"\1\2", b"\3\4"]),
        [
            '52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
            b"\1\2",
            b"\3\4",
        ],
    ),
    (Packet(PacketType.EVENT, "/", ["foo"], 12), ['212["foo"]']),
    (Packet(PacketType.ACK, "/admin", ["bar"], 13), ['3/admin,13["bar"]']),
    (
        Packet(PacketType.ACK, "/", ["bar", BYTES], 15),
        ['61-15["bar",{"_placeholder":true,"num":0}]', BYTES],
    ),
    (Packet(PacketType.DISCONNECT), ["1"]),
    (Packet(PacketType.DISCONNECT, "/admin"), ["1/admin,"]),
]


@pytest.mark.parametrize(("packet", "encoded"), EXAMPLES, ids=[str(e[0]) for _, e in EXAMPLES])
def test_the_examples_of_the_page(packet: Packet, encoded: list[str | bytes]) -> None:
    """Packet encoding: each example, both ways; the namespace stands there only where it is not `/`."""
    assert encode(packet) == encoded
    decoder = Decoder(DecoderLimits())
    *parts, last = encoded
    assert [decoder.add(part) for part in parts] == [None] * len(parts)
    assert decoder.add(last) == packet


async def test_the_sample_session() -> None:
    """Sample session: handshake, CONNECT and events by polling, upgrade, a second namespace, a binary ack, ping, close."""
    async with wired() as wire:
        seen: list[str] = []
        wire.io.handle("hello", lambda socket: seen.append("hello"))
        wire.io.handle("world", lambda socket: seen.append("world"))
        wire.io.of("/admin").handle("tellme", lambda socket: b"\x01")
        client = await wire.polling(b"&t=N8hyd6w")
        assert (await client.post("40")).body == b"ok"
        assert (await client.get()).body.startswith(b'40{"sid":"')
        wire.io.emit("hey", "Jude")
        assert (await client.get()).body == b'42["hey","Jude"]'
        assert (await client.post('42["hello"]\x1e42["world"]')).body == b"ok"
        websocket = await wire.websocket(b"&sid=" + client.sid.encode())
        websocket.say("2probe")
        assert await websocket.hear() == "3probe"
        websocket.say("5", '42["hello"]', '42["world"]', "40/admin,")
        assert (await websocket.hear()).startswith('40/admin,{"sid":"')
        websocket.say('42/admin,1["tellme"]')
        assert await websocket.hear() == '461-/admin,1[{"_placeholder":true,"num":0}]'
        assert await websocket.hear() == b"\x01"
        assert seen == ["hello", "world"] * 2
        websocket.say("1")
        assert await websocket.hears_nothing_but_the_end()


# ── the page about it ──
def test_the_page_names_tests_that_exist() -> None:
    """Each test that docs/explanation/conformance.md names is one of ours."""
    page = (ROOT / "docs/explanation/conformance.md").read_text()
    named = re.findall(r"`(test_\w+)`", page)
    promised = re.findall(r"`((?:engine|socket)-\d\d)`", page)
    files = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    ours = {name for text in files for name in re.findall(r"def (test_\w+)", text)}
    assert set(named) - ours == set()
    assert len(named) + len(promised) > 50
    assert {name[:9] for name in promised} <= {name[:9] for name in PROMISES}
