"""Both parsers on a server: the official client with `socket.io-msgpack-parser`, and clients that are set to the other one."""

from datetime import UTC, datetime

import pytest

from clarion.protocol import msgpack_parser
from clarion.protocol.socketio import DecoderLimits, Packet, PacketType
from clarion.settings import Realtime
from tests.realtime.official.server import set_up
from tests.support.memory_transport import Kind, MemoryClient, in_time, make_server
from tests.support.official import TRANSPORTS, official, what_works
from tests.support.raw_socketio import wired

MSGPACK = Realtime(parser="msgpack")


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_the_official_client_works_with_msgpack(transports):
    """All that it does with the text parser, to the same answers."""
    async with wired(MSGPACK) as wire:
        set_up(wire.io)
        async with official("client.mjs", wire.http.port, transports, "msgpack") as facts:
            seen = {fact: value async for fact, value in facts}
    assert seen == what_works(transports)


async def test_values_that_only_msgpack_has():
    """A Date comes as the text that JSON has for it, and goes out as a Date; NaN passes; typed arrays are bytes."""
    async with wired(MSGPACK) as wire:
        heard = []

        @wire.io.on("connection")
        def connected(socket):
            socket.emit("values", datetime(2023, 1, 1, tzinfo=UTC), float("nan"), b"\x01")

        @wire.io.handle("types")
        def types(socket, *args):
            heard.extend(args)
            return [type(each).__name__ for each in args]

        async with official("values.mjs", wire.http.port, "websocket") as facts:
            seen = dict([fact async for fact in facts])
    assert seen == {
        "heard": ["2023-01-01T00:00:00.000Z", "NaN", [1]],
        "said": ["str", "float", "bytes", "dict", "int", "float"],
    }
    assert heard[0] == "2001-09-09T01:46:40.000Z"
    assert heard[3] == {"b": [None]}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("parser", "message"),
    [
        ("msgpack", "40"),
        ("msgpack", '40/admin,{"token":"x"}'),
        ("json", msgpack_parser.encode(Packet(PacketType.CONNECT))[0]),
        ("json", msgpack_parser.encode(Packet(PacketType.CONNECT, "/", {"a": 1}))[0]),
    ],
)
def test_a_client_with_the_other_parser_is_told_so(kind, parser, message):
    """Its session is closed with 1003, by name; the client can read it, and so can the log."""

    async def scenario(_loop):
        client = MemoryClient(make_server(Realtime(parser=parser)), kind)
        client.say(message)
        await client.hear()
        assert client.transport.closed == (1003, "wrong parser")

    in_time(scenario)


@pytest.mark.parametrize("parser", ["json", "msgpack"])
def test_a_broken_packet_closes_without_a_code(parser):
    """As in Node: that is no matter of settings."""

    async def scenario(_loop):
        client = MemoryClient(make_server(Realtime(parser=parser)))
        client.say("4abc" if parser == "json" else b"\x84abc")
        await client.hear()
        assert client.transport.closed == (None, "")

    in_time(scenario)


def test_who_has_joined_speaks_the_right_parser():
    """Bytes or text that come then are a broken packet like any other."""

    async def scenario(_loop):
        for parser, message in (("json", b"\x83"), ("msgpack", '42["a"]')):
            server = make_server(Realtime(parser=parser))
            client = MemoryClient(server)
            connect = (
                ["40"] if parser == "json" else msgpack_parser.encode(Packet(PacketType.CONNECT))
            )
            client.say(*connect)
            await client.hear()
            client.say(message)
            assert client.transport.closed == (None, "")

    in_time(scenario)


def test_all_kinds_of_packets_are_spoken_in_msgpack():
    """CONNECT, refusals, events, acks and DISCONNECT; a broadcast is one binary message for all."""

    async def scenario(_loop):
        server = make_server(MSGPACK)
        decoder = msgpack_parser.Decoder(DecoderLimits())
        clients = [MemoryClient(server) for _ in range(2)]
        for client in clients:
            client.say(*msgpack_parser.encode(Packet(PacketType.CONNECT)))
            hello, connected = await client.hear()
            assert hello.startswith("0{")
            assert decoder.add(connected).data.keys() == {"sid"}
        assert server.emit("news", b"x") == 2
        for client in clients:
            [news] = await client.hear()
            assert decoder.add(news) == Packet(PacketType.EVENT, "/", ["news", b"x"])
        client.say(*msgpack_parser.encode(Packet(PacketType.CONNECT, "/nowhere")))
        [refused] = await client.hear()
        assert decoder.add(refused).type is PacketType.CONNECT_ERROR
        client.say(*msgpack_parser.encode_event("/", ["nobody listens"], 3))
        [answer] = await client.hear()
        assert decoder.add(answer).id == 3
        await server.of("/").disconnect_sockets()
        [goodbye] = await client.hear()
        assert decoder.add(goodbye) == Packet(PacketType.DISCONNECT)

    in_time(scenario)
