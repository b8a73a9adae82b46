"""Socket.IO's text parser against the official one."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import ProtocolError, UsageError
from clarion.protocol.jsontext import MAX_SAFE_INTEGER
from clarion.protocol.socketio import (
    RESERVED_EVENTS,
    Decoder,
    DecoderLimits,
    Packet,
    PacketType,
    check_event_name,
    check_namespace,
    encode,
    encode_ack,
    encode_event,
)
from tests.support.vectors import lines, message, value

# What Node's parser takes and this one refuses; docs/explanation/protocol.md gives the reasons.
STRICTER = {
    # The protocol's text makes the payload of EVENT and ACK mandatory; Node would dispatch an event without a name.
    "ok-event-nodata",
    "ok-event-nsp-nodata",
    "ok-event-id-nodata",
    "ok-ack-nodata",
    "ok-ack-bare",
    "bin-ok-no-data",
    "odd-event-nsp-nocomma",
    # An event has a name.
    "ok-event-empty-name",
    # A space or tab is no digit.
    "ok-event-space-before-json",
    "ok-event-space-in-id",
    "ok-event-id-space-json",
    "ok-event-tab",
    "odd-connect-error-number-json",
    # An id that a float cannot hold.
    "ok-event-big-id",
    # 1,000 arrays inside each other.
    "ok-event-deep-nesting-1000",
    # No packet at all.
    "odd-empty",
    # The number of attachments is written in digits.
    "odd-binary-hex",
    "odd-binary-exp",
    "odd-binary-space",
    # Half an attachment; and one in two places, which an echo would turn into two.
    "bin-ok-num-float",
    "bin-ok-same-twice",
}

# Values that JavaScript writes as null, or with other digits: the first we refuse, the second mean the same.
NOT_BYTE_FOR_BYTE = {"event-nan"}


def packet_of(tagged: dict[str, Any]) -> Packet:
    return Packet(
        PacketType(str(tagged["type"])), tagged["nsp"], value(tagged.get("data")), tagged.get("id")
    )


def named(file: str) -> list[Any]:
    return [pytest.param(line, id=f"{line['n']}-{line['name']}") for line in lines(file)]


def decode(*messages: str | bytes, **limits: int) -> list[Packet]:
    decoder = Decoder(DecoderLimits(**limits))
    return [packet for packet in map(decoder.add, messages) if packet is not None]


# ---- Vectors ----


@pytest.mark.parametrize("line", named("socketio-packets"))
def test_encoder_vector(line: dict[str, Any]) -> None:
    """Every captured packet is encoded byte for byte; what JSON cannot say is an error where Node writes null."""
    packet = packet_of(line["packet"])
    if line["name"] in NOT_BYTE_FOR_BYTE:
        with pytest.raises(UsageError):
            encode(packet)
        return
    assert encode(packet) == [message(frame) for frame in line["frames"]]


def test_large_and_small_floats_mean_the_same() -> None:
    """The rest of the one vector that is not byte for byte: exponents, read as the same numbers."""
    [text] = encode_event("/", ["a", 0, 1e21, 1e-7, 1.0])
    assert text == '2["a",0,1e21,1e-7,1.0]'
    assert decode(text)[0].data == ["a", 0, 1e21, 1e-7, 1]


@pytest.mark.parametrize("line", named("socketio-decode"))
def test_decoder_vector(line: dict[str, Any]) -> None:
    """The official verdict on every captured input, or a stricter one that is listed with its reason."""
    options = line.get("options", {})
    decoder = Decoder(DecoderLimits(attachments=options.get("maxAttachments", 10)))
    packets: list[Packet] = []
    failed_at = None
    for index, frame in enumerate(line["frames"]):
        try:
            packet = decoder.add(message(frame))
        except ProtocolError:
            failed_at = index
            break
        packets += [] if packet is None else [packet]
    if line["name"] in STRICTER:
        assert line["verdict"] != "error", "strike it off the list"
        assert failed_at is not None
    elif line["verdict"] == "error":
        # A bad placeholder is found in the header, where Node waits for the last attachment.
        assert failed_at is not None
        assert failed_at <= line["error_at"]
    else:
        assert failed_at is None
        assert packets == [packet_of(packet) for packet in line["packets"]]
        assert decoder.is_waiting == (line["verdict"] == "pending")


def test_nothing_that_should_pass_is_refused_unseen() -> None:
    """Each name of the list is a vector: the list cannot grow stale."""
    assert {line["name"] for line in lines("socketio-decode")} >= STRICTER
    assert {line["name"] for line in lines("socketio-packets")} >= NOT_BYTE_FOR_BYTE


# ---- Both ways ----

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(max_size=20)
)
# A key `_placeholder` is not escaped by anyone: such data is not for a packet with attachments.
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NAMES = st.text(min_size=1).filter(lambda name: name.isprintable() and name not in RESERVED_EVENTS)
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


@given(st.lists(PACKETS, max_size=3))
def test_packets_come_back(packets: list[Packet]) -> None:
    """What was encoded is decoded to the same, one packet after the other, with and without attachments."""
    messages = [part for packet in packets for part in encode(packet)]
    assert decode(*messages, attachments=100) == packets


@given(
    st.lists(
        st.one_of(
            st.text(st.characters()),
            st.binary(max_size=9),
            st.from_regex(r"[0-6][0-9]{0,3}-?(/[a-z]*,?)?[0-9]{0,20}", fullmatch=True),
            st.from_regex(
                r'5[12]-\["a"(,\{"_placeholder":true,"num":[0-9a-]{1,2}\}){0,3}\]', fullmatch=True
            ),
            st.builds(
                lambda head, tail: head + tail,
                st.from_regex(r"[0-6]/?[a-z]?,?[0-9]?", fullmatch=True),
                st.text('[]{}",:1ae'),
            ),
        ),
        max_size=5,
    )
)
def test_any_messages_are_packets_or_a_protocol_error(messages: list[str | bytes]) -> None:
    """Never another exception; what is accepted is a packet that keeps the rules, and nothing is left behind."""
    decoder = Decoder(DecoderLimits())
    for part in messages:
        try:
            packet = decoder.add(part)
        except ProtocolError:
            assert not decoder.is_waiting
            return
        if packet is not None:
            assert isinstance(packet.data, list) == (
                packet.type in {PacketType.EVENT, PacketType.ACK}
            )
            assert packet.id is None or 0 <= packet.id <= MAX_SAFE_INTEGER
            assert packet.type is not PacketType.EVENT or packet.data
            assert packet.namespace.startswith("/")
    decoder.clear()
    assert not decoder.is_waiting


# ---- Encoding ----


def test_an_event_is_encoded_once_for_many() -> None:
    """Text alone where there are no bytes; the text and then the attachments where there are."""
    assert encode_event("/", ("a", 1)) == ['2["a",1]']
    assert encode_event("/clarion", ["a", b"x"], 7) == [
        '51-/clarion,7["a",{"_placeholder":true,"num":0}]',
        b"x",
    ]
    assert encode_ack("/clarion", (), 0) == ["3/clarion,0[]"]
    assert encode_ack("/", [{"b": bytearray(b"y")}], 12) == [
        '61-12[{"b":{"_placeholder":true,"num":0}}]',
        b"y",
    ]


def test_arguments_that_need_rewriting_may_hold_no_bytes() -> None:
    """A tuple or a date makes no binary packet."""
    assert encode_event("/", ["a", ("b",)]) == ['2["a",["b"]]']


@pytest.mark.parametrize(
    "name", [*sorted(RESERVED_EVENTS), "", "a\nb", "\x7f", "\x85", "\ud800", None, True, [], b"a"]
)
def test_names_that_no_event_may_have(name: Any) -> None:
    """Reserved, empty, with control characters, or no name: the caller's mistake outwards, the peer's inwards."""
    with pytest.raises(UsageError):
        encode_event("/", [name])
    with pytest.raises(UsageError):
        check_event_name(name)


def test_an_event_needs_a_name() -> None:
    """No arguments at all are no event."""
    with pytest.raises(UsageError, match="needs a name"):
        encode_event("/", [])


@pytest.mark.parametrize(
    "name", ["chat message", "\u00a0", "日本語", "😀", "\u2028", "__proto__", "error", 1, 1.5]
)
def test_names_that_events_may_have(name: Any) -> None:
    """Any script, spaces, JavaScript's own words, numbers."""
    [packet] = decode(*encode_event("/", [name]))
    assert packet.data == [name]


@pytest.mark.parametrize("name", ["", "chat", "/a,b", "/a\nb", "/\x00"])
def test_names_that_no_namespace_may_have(name: str) -> None:
    """Without a slash, with a comma or with control characters it could not be addressed."""
    with pytest.raises(UsageError):
        check_namespace(name)


def test_names_that_namespaces_may_have() -> None:
    """The root and what begins with a slash."""
    for name in ("/", "/clarion", "/é😀", "/a/b-c_d"):
        check_namespace(name)


# ---- Bounds of the decoder ----


@pytest.mark.parametrize(
    "name", ['"connect"', '"removeListener"', '"a\\u0000"', '"\\u0085"', '"\\ud800"']
)
def test_names_that_peers_may_not_use(name: str) -> None:
    """E5, E2: reserved names and control characters, however they are written."""
    with pytest.raises(ProtocolError):
        decode(f"2[{name}]")


def test_ids_go_up_to_what_a_float_holds() -> None:
    """2^53-1 passes, 2^53 does not; nor do more digits, though they be zeros."""
    assert decode('29007199254740991["a"]')[0].id == MAX_SAFE_INTEGER
    assert decode('20000000000000007["a"]')[0].id == 7
    for digits in ("9007199254740992", "00000000000000007", "9" * 1_000_000):
        with pytest.raises(ProtocolError, match="id"):
            decode(f'2{digits}["a"]')


@pytest.mark.parametrize("text", ['2²["a"]', '2٣["a"]', '5٣-["a"]', '5²-["a"]', '\uff151-["a"]'])
def test_digits_are_ascii(text: str) -> None:
    """Python knows the digits of every script; the wire knows ten."""
    with pytest.raises(ProtocolError):
        decode(text)


def test_namespaces_are_bounded() -> None:
    """128 bytes of UTF-8 pass, one more does not; a megabyte is refused unread; control characters are refused."""
    assert decode(f"0/{'é' * 63}a,")[0].namespace == f"/{'é' * 63}a"
    for name in ("é" * 64, "a" * 128, "a" * 1_000_000, "a\x00", "\ud800"):
        with pytest.raises(ProtocolError, match="namespace"):
            decode(f"0/{name},")


def test_attachments_are_counted_before_they_come() -> None:
    """CVE-2026-33151: at the limit it passes, one more is refused in the header, as are counts without end."""
    assert decode('52-["a"]', b"1", b"2", attachments=2)
    for count in ("3", "5999999", "9" * 1_000_000, "0", "00000000001", "1.5", "-1", ""):
        with pytest.raises(ProtocolError):
            decode(f'5{count}-["a"]', attachments=2)
    with pytest.raises(ProtocolError):
        decode('51-["a"]', attachments=0)


def test_attachments_are_bounded_in_bytes() -> None:
    """All of a packet's together: at the limit they pass, one byte more is refused and all are dropped."""
    assert decode('52-["a"]', bytes(5), bytes(5), attachment_bytes=10)
    decoder = Decoder(DecoderLimits(attachment_bytes=10))
    decoder.add('53-["a"]')
    decoder.add(bytes(5))
    assert decoder.is_waiting
    with pytest.raises(ProtocolError) as caught:
        decoder.add(bytes(6))
    assert caught.value.facts == {"size": 11, "limit": 10}
    assert not decoder.is_waiting


def test_text_while_attachments_are_due_drops_them() -> None:
    """The packet is broken: nothing of it is kept."""
    decoder = Decoder(DecoderLimits())
    decoder.add('51-["a"]')
    with pytest.raises(ProtocolError, match="due"):
        decoder.add('2["b"]')
    assert not decoder.is_waiting


def test_attachments_that_never_come_can_be_dropped() -> None:
    """CVE-2026-48804: a shell that ends the session frees them."""
    decoder = Decoder(DecoderLimits())
    decoder.add('52-["a"]')
    decoder.add(bytes(100))
    decoder.clear()
    assert not decoder.is_waiting


def test_two_decoders_share_nothing() -> None:
    """What one session waits for never reaches another."""
    limits = DecoderLimits()
    one, other = Decoder(limits), Decoder(limits)
    one.add('52-["a",{"_placeholder":true,"num":0}]')
    other.add('52-["b",{"_placeholder":true,"num":0}]')
    one.add(b"1")
    other.add(b"2")
    first, second = one.add(b""), other.add(b"")
    assert first is not None
    assert second is not None
    assert (first.data, second.data) == (["a", b"1"], ["b", b"2"])


@pytest.mark.parametrize(
    "number", ["1", "-1", '"0"', '"splice"', "0.5", "0.0", "true", "false", "null", "[0]"]
)
def test_placeholders_name_an_attachment(number: str) -> None:
    """CVE-2022-2421: `num` is an index of the announced attachments, or the header is refused."""
    with pytest.raises(ProtocolError, match="placeholder"):
        decode(f'51-["a",{{"b":[{{"_placeholder":true,"num":{number}}}]}}]')


def test_placeholders_are_found_anywhere_and_only_where_announced() -> None:
    """In arrays and objects of any depth; in a packet without attachments such an object is data."""
    header = (
        '52-["a",[{"x":{"_placeholder":true,"num":1}}],{"_placeholder":true,"num":0,"y":{"z":1}}]'
    )
    assert decode(header, b"0", b"1")[0].data == ["a", [{"x": b"1"}], b"0"]
    assert decode('2["a",{"_placeholder":true,"num":0}]')[0].data == [
        "a",
        {"_placeholder": True, "num": 0},
    ]


def test_depth_and_members_are_the_sessions() -> None:
    """The limits of the constructor bound the JSON."""
    assert decode('2["a",[1]]', depth=2, members=4)
    with pytest.raises(ProtocolError):
        decode('2["a",[[1]]]', depth=2)
    with pytest.raises(ProtocolError):
        decode('2["a",[1]]', members=2)


@pytest.mark.parametrize(
    "text",
    ["2" + "1" * 1_000_000, "0/" + "a" * 1_000_000, "5" + "1" * 1_000_000, "2" + "[" * 1_000_000],
)
def test_long_heads_are_refused_in_one_pass(text: str) -> None:
    """CVE-2020-36049: a megabyte of digits or of a name costs one look."""
    with pytest.raises(ProtocolError):
        decode(text)


def test_the_vectors_are_what_was_captured() -> None:
    """`text` and `bytes_b64` of each frame agree: nobody edited one of them."""
    for file in ("socketio-packets", "socketio-decode"):
        for line in lines(file):
            for frame in line["frames"]:
                raw = base64.b64decode(frame["bytes_b64"])
                assert frame.get("text", "").encode() == (raw if "text" in frame else b"")


@pytest.mark.parametrize("first", [0x81, 0x82, 0x86, 0x87])
def test_a_client_of_the_msgpack_parser_is_known_by_its_first_byte(first: int) -> None:
    """A map of two to six keys, as its packets begin, is named as the wrong parser; any other binary message that nobody announced is not."""
    with pytest.raises(ProtocolError) as caught:
        Decoder(DecoderLimits()).add(bytes([first]) + b"\xa4type")
    assert (caught.value.facts.get("name") == "wrong_parser") is (0x82 <= first <= 0x86)
