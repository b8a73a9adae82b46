"""The msgpack parser against the official one, and against the text parser."""

import base64
import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import ProtocolError, UsageError
from clarion.protocol import msgpack_parser, socketio
from clarion.protocol.jsontext import MAX_DEPTH, MAX_SAFE_INTEGER
from clarion.protocol.msgpack_parser import Decoder, encode, encode_ack, encode_event
from clarion.protocol.socketio import DecoderLimits, Packet, PacketType
from tests.support.vectors import lines, value

# What notepack writes otherwise than we do: read, it means the same, but for `event-floats`.
OTHER_BYTES = {
    # undefined: a key that is left out, nil in an array.
    "connect-client",
    "connect-server",
    "connect-error",
    "event-undefined",
    # Bytes are bin, typed array or not.
    "event-uint8array",
    "event-arraybuffer",
    # 1e21, of which notepack makes another number.
    "event-floats",
    # What is no value in Python.
    "event-tojson",
    "event-function-key",
}
# Packets that Node sends and receives, and that neither of our parsers has: an event has a name, which is not reserved.
NO_EVENT = {"reserved-event-name", "number-event-name", "empty-event"}
# Taken by Node's decoder, refused by ours.
STRICTER = NO_EVENT | {"ok-id-neg"}
# What JavaScript makes of it cannot be said in the vector.
MEANS = {"ok-proto-key": ["a", {"__proto__": {"x": 1}}]}


def expected(tagged: Any) -> Any:
    """A decoded value of the vectors as it should come: dates as text, undefined as null or absent."""
    if isinstance(tagged, list):
        return [expected(item) for item in tagged]
    if not isinstance(tagged, dict):
        # JavaScript's numbers lose the digits that ours keep.
        return 3875820019684212736 if tagged == 3875820019684212700 else tagged
    if tagged.keys() == {"$date"}:
        return tagged["$date"]
    if tagged.keys() & {"$bytes", "$number", "$undefined"}:
        return value([tagged])[0]
    return {key: expected(item) for key, item in tagged.items() if item != {"$undefined": True}}


def named(file: str) -> list[Any]:
    return [pytest.param(line, id=f"{line['n']}-{line['name']}") for line in lines(file)]


def decode(message: bytes, **limits: int) -> Packet:
    return Decoder(DecoderLimits(**limits)).add(message)


def event(raw: bytes, **limits: int) -> Any:
    """What an argument of an event decodes to, of which the bytes are given."""
    packet = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1x" + raw
    exact, quick = (
        decode(packet, **{"members": len(packet) - 1, **limits}),
        decode(packet, **limits),
    )
    assert repr(exact) == repr(quick)
    return exact.data[1]


# ---- Vectors ----


@pytest.mark.parametrize(
    "line", [each for each in named("msgpack-parser") if "packet" in each.values[0]]
)
def test_encoder_vector(line: dict[str, Any]) -> None:
    """Every captured packet is encoded byte for byte, or listed."""
    packet = line["packet"]
    raw = base64.b64decode(line["bytes_b64"])
    given = Packet(
        PacketType(str(packet["type"])), packet["nsp"], value(packet.get("data")), packet.get("id")
    )
    if line["name"] in NO_EVENT:
        with pytest.raises(UsageError):
            encode(given)
    elif "options" in packet:  # only clients send them
        assert decode(encode(given)[0]) == decode(raw)
    elif line["name"] not in OTHER_BYTES:
        assert encode(given) == [raw]
    elif line["name"] not in {"event-floats", "event-tojson", "event-function-key"}:
        assert decode(encode(given)[0]) == decode(raw)


@pytest.mark.parametrize("line", named("msgpack-parser"))
@pytest.mark.parametrize("members", [10_000, 60])
def test_decoder_vector(line: dict[str, Any], members: int) -> None:
    """The official verdict on every captured message, or a stricter one that is listed; on the quick way and on the exact one."""
    raw = base64.b64decode(line["bytes_b64"])
    message = raw.decode() if line.get("text_frame") else raw
    decoder = Decoder(DecoderLimits(members=members))
    if line["verdict"] == "error" or line["name"] in STRICTER:
        assert line["verdict"] == "error" or line["name"] in STRICTER
        with pytest.raises(ProtocolError):
            decoder.add(message)
        return
    packet, told = decoder.add(message), line["decoded"]
    assert not decoder.is_waiting
    data = MEANS.get(line["name"]) or expected([told.get("data")])[0]
    # By repr: NaN is not equal to itself.
    assert repr(packet.data) == repr(data)
    assert packet.type is PacketType(str(told["type"]))
    assert (packet.namespace, packet.id) == (told["nsp"], told.get("id"))


def test_every_listed_name_is_a_vector() -> None:
    """The lists cannot grow stale."""
    names = {line["name"]: line for line in lines("msgpack-parser")}
    assert names.keys() >= STRICTER | OTHER_BYTES | MEANS.keys()
    assert all(names[name]["verdict"] == "accepted" for name in STRICTER)


@pytest.mark.parametrize(
    "line",
    [each for each in named("msgpack-dialects") if "notepack.io@2" in each.values[0]["name"]],
)
def test_values_of_the_dialect(line: dict[str, Any]) -> None:
    """What notepack 2.2 writes is read as what its own reader makes of it."""
    [told] = expected([line["decoded"]])
    assert repr(event(base64.b64decode(line["bytes_b64"]))) == repr(told)


# ---- Both ways ----

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats()
    | st.text()
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.text(min_size=1).filter(
    lambda name: name.isprintable() and name not in socketio.RESERVED_EVENTS
)
NAMESPACES = st.just("/") | NAMES.map(lambda name: "/" + name.replace(",", "")[:30])
IDS = st.none() | st.integers(0, MAX_SAFE_INTEGER)
OBJECTS = st.dictionaries(st.text(), st.text(), max_size=3)
PACKETS = st.one_of(
    st.builds(
        lambda namespace, name, args, id: Packet(PacketType.EVENT, namespace, [name, *args], id),
        NAMESPACES,
        NAMES | st.integers(-9, 99) | st.just(1.5),
        st.lists(VALUES, max_size=4),
        IDS,
    ),
    st.builds(Packet, st.just(PacketType.ACK), NAMESPACES, st.lists(VALUES, max_size=4), IDS),
    st.builds(Packet, st.just(PacketType.CONNECT), NAMESPACES, st.none() | OBJECTS, IDS),
    st.builds(Packet, st.just(PacketType.DISCONNECT), NAMESPACES, st.none(), IDS),
    st.builds(
        Packet, st.just(PacketType.CONNECT_ERROR), NAMESPACES, st.none() | OBJECTS | st.text(), IDS
    ),
)


@given(PACKETS)
def test_packets_come_back(packet: Packet) -> None:
    """What was encoded is decoded to the same, NaN and -0.0 included, on the quick way and on the exact one."""
    [message] = encode(packet)
    assert isinstance(message, bytes)
    for members in (len(message), len(message) - 1):
        assert repr(decode(message, members=members)) == repr(packet)


@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from(
            [b"\xa4type", b"\xa4data", b"\xa3nsp", b"\xa2id", b"\xa1/", b"\xd4\x00\x00", b"\xc1"]
            + [bytes([byte]) for byte in (0x80, 0x81, 0x83, 0x84, 0x90, 0x92, 0xC0, 0, 1, 2, 3, 4)]
            + [b"\xd7\x00" + bytes(8), b"\xdf\0\0\0\1", b"\xdd\0\0\0\2", b"\xc7\2\0ab", b"\xcb"]
        ),
        max_size=14,
    ).map(lambda parts: b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1x" + b"".join(parts))
)
def test_any_bytes_are_a_packet_or_a_protocol_error(message: bytes) -> None:
    """Never another exception; both ways of reading agree; what is accepted keeps the rules of the text parser."""
    told = []
    for members in (10_000, max(0, len(message) - 1)):
        try:
            packet = decode(message, members=members)
        except ProtocolError:
            told.append("")
            continue
        assert isinstance(packet.data, list) == (packet.type in {PacketType.EVENT, PacketType.ACK})
        assert packet.id is None or 0 <= packet.id <= MAX_SAFE_INTEGER
        assert packet.type is not PacketType.EVENT or packet.data
        assert packet.namespace.startswith("/")
        told.append(repr(packet))
    assert told[0] == told[1]


# ---- The same values as with the text parser ----


@pytest.mark.parametrize(
    "args",
    [
        [datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)],
        [datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
        [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)],
        [{"when": datetime(2023, 1, 1, tzinfo=timezone(timedelta(hours=2)))}],
        [("a", 1), {1: 2}],
        [None, {"a": None}],
        [msgspec.json.decode("[1e21, 1.5, -7, 9007199254740991]")],
        [bytearray(b"x"), memoryview(b"y"), {"z": b""}],
    ],
)
def test_handlers_see_the_same_on_both_parsers(args: list[Any]) -> None:
    """Dates are text, tuples lists, keys text, bytes bytes, whichever parser carries them."""
    text = socketio.Decoder(DecoderLimits())
    parts = socketio.encode_event("/", ["x", *args])
    assert decode(encode_event("/", ["x", *args])[0]) == [text.add(part) for part in parts][-1]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (8_640_000_000_000_001, None),
        (-(2**63), None),
    ],
)
def test_a_date_is_the_text_that_json_has_for_it(ms: int, text: str | None) -> None:
    """As Date.toJSON, in years beyond Python's too; null for what is no date."""
    assert event(b"\xd7\x00" + struct.pack(">q", ms)) == text


def test_extensions() -> None:
    """Undefined is absent, typed arrays are bytes, the rest a pair, as in Node."""
    assert event(b"\x82\xa1a\xd4\x00\x00\xa1b\x01") == {"b": 1}
    assert event(b"\x82\xa1a\x01\xa1a\xd4\x00\x00") == {}
    assert event(b"\x92\xd4\x00\x00\x01") == [None, 1]
    assert event(b"\xc7\x08\x0012345678") == b"12345678"
    assert event(b"\xc8\x00\x01\x00x") == b"x"
    assert event(b"\xc9\x00\x00\x00\x01\x00x") == b"x"
    assert event(b"\xd6\xff\x00\x00\x00\x01") == [-1, b"\x00\x00\x00\x01"]
    assert event(b"\xd8\x0512345678abcdefgh") == [5, b"12345678abcdefgh"]
    assert event(b"\xd5\x0012") == [0, b"12"]
    assert event(b"\xc7\x01\x07x") == [7, b"x"]


def test_numbers() -> None:
    """Every form, exact: integers up to 64 bits, floats of 32 and 64."""
    assert event(b"\xcf" + b"\xff" * 8) == 2**64 - 1
    assert event(b"\xd3\x80" + bytes(7)) == -(2**63)
    assert event(b"\xca\x3f\xc0\x00\x00") == 1.5
    assert repr(event(b"\xcb" + struct.pack(">d", -0.0))) == "-0.0"
    assert event(b"\x82\x01\xc3\xe0\xc2") == {"1": True, "-32": False}


# ---- Bounds ----


@pytest.mark.parametrize(
    "raw",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdc\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xde\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xda\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"\x92\x01",
        b"\xa5abc",
        b"\xcf\x01",
        b"\xc1",
        b"\x01\x01",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
        b"\x81\xc0\x01",
        b"\x81\xcb" + bytes(8) + b"\x01",
        b"\x81\x90\x01",
        b"",
    ],
)
def test_bad_bytes(raw: bytes) -> None:
    """Lengths beyond the message, truncated values, 0xc1, bytes behind it, bad UTF-8, odd keys: no packet."""
    packet = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1x" + raw
    for members in (10_000, len(packet) - 1):
        with pytest.raises(ProtocolError):
            decode(packet, members=members)


def test_depth_and_members_are_the_sessions() -> None:
    """As many levels and values as the limits say, and not one more; the packet's own map is no level."""
    deep = b"\x91" * (MAX_DEPTH - 2) + b"\x90"
    assert event(deep)
    for members in (10_000, 70):
        with pytest.raises(ProtocolError):
            event(b"\x91" + deep, members=members)
    # A packet, its three fields and two arguments are values, too.
    row = b"\xdc\x00\x14" + b"\x01" * 20
    assert event(row, members=25)
    with pytest.raises(ProtocolError, match="too many"):
        event(row, members=24)
    # 100,000 levels are refused, not followed.
    for byte in (b"\x91", b"\x81"):
        with pytest.raises(ProtocolError):
            decode(byte * 100_000)
        with pytest.raises(ProtocolError):
            decode(byte * 9_000)


def test_a_megabyte_of_empty_arrays_is_refused_unmade() -> None:
    """One byte each on the wire, 56 in memory: counted before it is made."""
    with pytest.raises(ProtocolError, match="too many"):
        event(b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": 2, "nsp": "/", "data": ["a"], "id": 2**53},
        {"type": 2, "nsp": "/", "data": ["a"], "id": -1},
        {"type": 2, "nsp": "/", "data": ["a"], "id": True},
        {"type": 2, "nsp": "/", "data": []},
        {"type": 2, "nsp": "/", "data": ["connect"]},
        {"type": 2, "nsp": "/", "data": [b"x"]},
        {"type": 2, "nsp": "", "data": ["a"]},
        {"type": 2, "nsp": "chat", "data": ["a"]},
        {"type": 2, "nsp": "/a,b", "data": ["a"]},
        {"type": 2, "nsp": "/\x00", "data": ["a"]},
        {"type": 2, "nsp": "/" + "é" * 64, "data": ["a"]},
        {"type": 2, "nsp": "/" + "a" * 1_000_000, "data": ["a"]},
        {"type": True, "nsp": "/", "data": ["a"]},
        {"type": 1.0, "nsp": "/"},
        {"type": 0, "nsp": "/", "data": b"x"},
        {"type": 1, "nsp": "/", "data": "x"},
        {"type": 3, "nsp": "/", "data": {}},
        {"type": 4, "nsp": "/", "data": ["x"]},
    ],
)
def test_packets_that_break_the_rules_of_the_text_parser(fields: dict[str, Any]) -> None:
    """Names, ids, namespaces and payloads are judged alike on both."""
    message = msgspec.msgpack.encode(fields)
    for members in (10_000, 4):
        with pytest.raises(ProtocolError):
            decode(message, members=members)


def test_what_json_lacks_is_sent_as_it_is() -> None:
    """NaN and the infinities survive, also where something else has to be rewritten."""
    args = [float("nan"), float("inf"), (-0.0, 1.0), bytearray(b"x")]
    assert repr(decode(encode_event("/", ["a", *args])[0]).data) == (
        "['a', nan, inf, [-0.0, 1.0], b'x']"
    )


def test_names_at_their_limit() -> None:
    """128 bytes of UTF-8; ids up to 2^53-1; an ACK may lack its id."""
    name = f"/{'é' * 63}a"
    assert decode(encode_event(name, ["a"], MAX_SAFE_INTEGER)[0]) == Packet(
        PacketType.EVENT, name, ["a"], MAX_SAFE_INTEGER
    )
    assert decode(encode_ack("/", (), None)[0]).id is None


def test_text_says_that_the_peer_speaks_the_other_parser() -> None:
    """The shell can tell a wrong setting from a broken packet."""
    with pytest.raises(ProtocolError) as caught:
        Decoder(DecoderLimits()).add('2["a"]')
    assert caught.value.facts["name"] == "wrong_parser"
    decoder = Decoder(DecoderLimits())
    decoder.clear()
    assert not decoder.is_waiting


# ---- What a program may send ----


@pytest.mark.parametrize(
    "arg",
    [
        2**53,
        {"a": [-(2**53)]},
        datetime(2023, 1, 1),  # noqa: DTZ001  that is the point
        "\ud83d",
        {b"a": 1},
        {None: 1},
        object(),
    ],
)
def test_values_that_cannot_be_sent(arg: Any) -> None:
    """What would reach a client changed is the caller's error, as with the text parser."""
    with pytest.raises(UsageError):
        encode_event("/", ["a", arg])


def test_what_is_too_deep_cannot_be_sent() -> None:
    """32 levels pass, a cycle does not."""
    value: Any = []
    for _ in range(MAX_DEPTH - 2):
        value = [value]
    assert decode(encode_event("/", ["a", value])[0])
    with pytest.raises(UsageError):
        encode_event("/", ["a", [value]])
    value = {}
    value["self"] = value
    with pytest.raises(UsageError):
        encode_event("/", ["a", value])


@pytest.mark.parametrize("name", ["connect", "", "a\n", None, []])
def test_names_that_no_event_may_have(name: Any) -> None:
    """As with the text parser."""
    with pytest.raises(UsageError):
        encode_event("/", (name,))
    with pytest.raises(UsageError):
        encode_event("/", [])


def test_both_parsers_offer_the_same() -> None:
    """A server takes either module."""
    for name in ("encode", "encode_event", "encode_ack", "Decoder"):
        assert callable(getattr(msgpack_parser, name))
        assert callable(getattr(socketio, name))
