"""The two codecs, taken for each other."""

from typing import Any

import pytest

from clarion.errors import ProtocolError
from clarion.protocol.parser import PARSERS
from clarion.protocol.socketio import DecoderLimits, Packet, PacketType

PACKETS = [
    Packet(PacketType.CONNECT, "/admin", {"token": "x"}),
    Packet(PacketType.CONNECT),
    Packet(PacketType.EVENT, "/", ["a", 1, b"x", {"b": [None, b""]}], 7),
    Packet(PacketType.ACK, "/", [], 0),
    Packet(PacketType.CONNECT_ERROR, "/", {"message": "no"}),
    Packet(PacketType.DISCONNECT, "/admin"),
]


@pytest.mark.parametrize("name", PARSERS)
def test_either_gives_back_what_it_was_given(name: str) -> None:
    """One server works with either module."""
    parser = PARSERS[name]
    decoder = parser.Decoder(DecoderLimits())
    for packet in PACKETS:
        messages = parser.encode(packet)
        told: list[Any] = [decoder.add(message) for message in messages]
        assert told == [None] * (len(messages) - 1) + [packet]
        assert not decoder.is_waiting
    decoder.clear()
    assert parser.encode_event("/", ["a"]) == parser.encode(Packet(PacketType.EVENT, "/", ["a"]))
    assert parser.encode_ack("/", [1], 2) == parser.encode(Packet(PacketType.ACK, "/", [1], 2))


@pytest.mark.parametrize(("ours", "theirs"), [("json", "msgpack"), ("msgpack", "json")])
def test_a_client_with_the_other_parser_is_told_from_a_broken_one(ours: str, theirs: str) -> None:
    """Its CONNECT, the first that it sends, says so."""
    decoder = PARSERS[ours].Decoder(DecoderLimits())
    for packet in (PACKETS[0], PACKETS[1]):
        with pytest.raises(ProtocolError) as caught:
            decoder.add(PARSERS[theirs].encode(packet)[0])
        assert caught.value.facts["name"] == "wrong_parser"
    with pytest.raises(ProtocolError) as caught:
        PARSERS["json"].Decoder(DecoderLimits()).add(b"\x00")
    assert "name" not in caught.value.facts
