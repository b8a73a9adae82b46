"""Engine.IO's codec and its refusals, against what engine.io 6.6 puts on the wire."""

import base64
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.errors import ProtocolError
from clarion.protocol.codes import EngineError
from clarion.protocol.engineio import (
    CLOSE,
    MAX_QUERY_KEYS,
    NOOP,
    PING,
    PING_PROBE,
    PONG,
    PONG_PROBE,
    UPGRADE,
    Packet,
    PacketType,
    Query,
    Refused,
    Transport,
    check_request,
    decode,
    decode_payload,
    encode,
    encode_payload,
    handshake,
    parse_query,
)
from tests.support.vectors import lines, value

# Node skips what is not base64 and hands on bytes that nobody sent; we refuse.
STRICTER = {"dec-payload-bad-b64"}

VECTORS = [
    pytest.param(line, id=f"{line['n']}-{line['name']}") for line in lines("engineio-packets")
]


def packet_of(tagged: dict[str, Any]) -> Packet:
    data = value(tagged.get("data"))
    return Packet(PacketType[tagged["type"].upper()], "" if data is None else data)


def as_binary_or_text(line: dict[str, Any]) -> str | bytes:
    return line.get("text", base64.b64decode(line["bytes_b64"]))


@pytest.mark.parametrize("line", VECTORS)
def test_vector(line: dict[str, Any]) -> None:
    """Every captured packet and payload: the same bytes out, the same packets and verdict in."""
    match line["direction"]:
        case "encode" if line["supports_binary"]:
            assert encode(packet_of(line["packet"])) == as_binary_or_text(line)
        case "encode":
            assert encode_payload([encode(packet_of(line["packet"]))]) == line["text"]
        case "encode-payload":
            packets = [packet_of(packet) for packet in line["packets"]]
            assert encode_payload([encode(packet) for packet in packets]) == line["text"]
        case "decode" if line["verdict"] == "accepted":
            assert decode(as_binary_or_text(line)) == packet_of(line["packet"])
        case "decode":
            with pytest.raises(ProtocolError):
                decode(line["text"])
        case "decode-payload":
            good = [packet_of(p) for p in line["packets"] if p["type"] != "error"]
            refused = line["verdict"] == "error" or line["name"] in STRICTER
            read = decode_payload(line["text"], 10)
            if line["name"] in STRICTER:
                good = []
            assert [next(read) for _ in good] == good
            if refused:
                with pytest.raises(ProtocolError):
                    next(read)
            else:
                assert list(read) == []
        case other:
            raise AssertionError(other)


# ---- Packets ----

PACKETS = st.one_of(
    st.builds(Packet, st.sampled_from(PacketType), st.text()),
    st.builds(Packet, st.just(PacketType.MESSAGE), st.binary()),
)


@given(PACKETS)
def test_a_packet_comes_back(packet: Packet) -> None:
    """Decoding what was encoded gives the packet."""
    assert decode(encode(packet)) == packet


def test_ready_packets() -> None:
    """The packets that have no content of their own are what the protocol says."""
    ready = [CLOSE, PING, PONG, PING_PROBE, PONG_PROBE, UPGRADE, NOOP]
    assert [encode(packet) for packet in ready] == ["1", "2", "3", "2probe", "3probe", "5", "6"]


@given(
    st.one_of(st.text(st.characters()), st.binary(), st.from_regex("[0-9b].{0,9}", fullmatch=True))
)
@example("٣")
@example("b=")
@example("bAQ=A")
@example("bA")
@example("bé")
def test_anything_is_a_packet_or_a_protocol_error(message: str | bytes) -> None:
    """Any message whatever: never another exception, and a binary one is always a message."""
    try:
        packet = decode(message)
    except ProtocolError:
        assert isinstance(message, str)
    else:
        assert isinstance(packet.data, bytes) == (isinstance(message, bytes) or message[0] == "b")


@pytest.mark.parametrize(
    "text", ["b@@@@", "bAQID\nBA==", "bAQ==AQ==", "bA", "bAQI=x", "bÄÄÄÄ", "bAQIDBA==="]
)
def test_bytes_that_nobody_sent_are_not_made(text: str) -> None:
    """Base64 with foreign characters, a line break, padding inside or a loose end is refused."""
    with pytest.raises(ProtocolError):
        decode(text)


# ---- Payloads ----

MESSAGES = st.lists(
    st.one_of(
        st.binary(),
        st.builds(lambda kind, text: kind.value + text, st.sampled_from(PacketType), st.text()),
    ).filter(lambda message: isinstance(message, bytes) or "\x1e" not in message),
    min_size=1,
    max_size=10,
)


@given(MESSAGES)
def test_a_payload_comes_back(messages: list[str | bytes]) -> None:
    """Text and binary, in order, also through UTF-8."""
    body = encode_payload(messages)
    assert list(decode_payload(body.encode(), 10)) == [decode(message) for message in messages]


@given(st.one_of(st.binary(), st.text(st.characters())))
def test_any_body_is_packets_or_a_protocol_error(body: str | bytes) -> None:
    """Nothing else comes out of a body."""
    try:
        list(decode_payload(body, 100))
    except ProtocolError:
        return


def test_packets_before_a_bad_one_are_served() -> None:
    """A body breaks off at its first bad packet, not before."""
    read = decode_payload(b"4a\x1e4b\x1ezzz\x1e4c", 10)
    assert [next(read).data, next(read).data] == ["a", "b"]
    with pytest.raises(ProtocolError):
        next(read)


@pytest.mark.parametrize("body", [b"\x1e" * 1_000_000, "4\x1e" * 500_000, b"4a\x1e4b\x1e4c"])
def test_too_many_packets_are_counted_before_they_are_made(body: bytes | str) -> None:
    """CVE-2020-36048, CVE-2026-32689: a body of separators costs a count, and not even its first packet is served."""
    with pytest.raises(ProtocolError) as caught:
        decode_payload(body, 2)
    assert caught.value.facts["name"] == "too_many_packets"
    assert caught.value.facts["limit"] == 2
    assert len(list(decode_payload(b"4a\x1e4b", 2))) == 2


def test_a_body_must_be_utf8() -> None:
    """Bytes that are no text are refused at once, with their place."""
    with pytest.raises(ProtocolError) as caught:
        decode_payload(b"4a\xff", 10)
    assert caught.value.facts["position"] == 2


# ---- Requests ----


def test_the_open_packet_has_exactly_five_keys() -> None:
    """In Node's order, times in milliseconds."""
    packet = handshake(
        "abc",
        upgrades=("websocket",),
        ping_interval_s=25.0,
        ping_timeout_s=0.3,
        max_payload_bytes=1_000_000,
    )
    assert encode(packet) == (
        '0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":300,"maxPayload":1000000}'
    )


# What each captured exchange sets up before: a session on polling, or one that was upgraded.
ON_POLLING = {"transport-mismatch"}
ON_WEBSOCKET = {"poll-after-upgrade", "ws-second-upgrade"}
# Refused here before the 101, where Node sends 101 and then closes, or writes the 400 into the WebSocket.
BEFORE_101 = {"ws-polling-transport": 3, "ws-eio3": 5, "ws-no-eio": 5}
SWITCHED_OFF = {"polling-disabled": ["websocket"]}


def exchanges() -> list[Any]:
    """Captured requests that the query and the method decide."""
    other = {"cors-preflight", "no-trailing-slash", "ws-other-path", "client-js", "no-slash-config"}
    decided = []
    for line in lines("engineio-http"):
        request, response = line.get("request"), line.get("response", {})
        if request is None or line["name"] in other:
            continue
        errors = line.get("connection_error", [])
        if any(error["code"] == EngineError.FORBIDDEN for error in errors):
            continue
        shown = response.get("status") == 200 or errors or " 101 " in response.get("raw", "")
        shown = shown or line["name"] in BEFORE_101
        if shown and (
            "&sid=<sid>" not in request["path"] or errors or line["name"] in ON_WEBSOCKET
        ):
            decided.append(pytest.param(line, id=f"{line['n']}-{line['name']}"))
    return decided


@pytest.mark.parametrize("line", exchanges())
def test_captured_request(line: dict[str, Any]) -> None:
    """The same requests are refused, with the same code, status and body, byte for byte."""
    request, response, name = line["request"], line["response"], line["name"]
    expected = [BEFORE_101[name]] if name in BEFORE_101 else []
    expected = expected or [error["code"] for error in line["connection_error"]]
    session = Transport.POLLING if name in ON_POLLING else None
    session = Transport.WEBSOCKET if name in ON_WEBSOCKET else session
    origin = request.get("headers", {}).get("origin", "")
    refused = None
    try:
        check_request(
            parse_query(urlsplit(request["path"]).query),
            method=request.get("method", "GET"),
            upgrade=request.get("upgrade", False),
            session=session,
            origin=origin,
            transports=SWITCHED_OFF.get(name, ["polling", "websocket"]),
        )
    except Refused as exc:
        refused = exc
    if not expected:
        assert refused is None
    else:
        assert refused is not None
        assert refused.error.value == expected[0]
        for error in line["connection_error"]:
            sid = (
                {"sid": "<sid>"} if "sid" in error["context"] and "<sid>" in request["path"] else {}
            )
            assert refused.context == error["context"] | sid
        if name not in BEFORE_101 and "raw" in response:
            assert response["raw"].endswith("\r\n\r\n" + refused.bare().decode())
        elif "status" in response:
            assert response["status"] == refused.error.status
            assert request["method"] == "HEAD" or response["body"].encode() == refused.body()


def refusal(query: str, **facts: Any) -> tuple[EngineError, Any]:
    with pytest.raises(Refused) as caught:
        check_request(parse_query(query), **{"method": "GET", "upgrade": False} | facts)
    return caught.value.error, caught.value.context.get("name")


def test_an_application_may_refuse_in_its_own_words() -> None:
    """Code 4 as captured: 403 on polling, with the application's text if it has one; the bare text on an upgrade."""
    captured = {
        line["name"]: line["response"] for line in lines("engineio-http") if "response" in line
    }
    own = Refused(EngineError.FORBIDDEN, "go away")
    plain = Refused(EngineError.FORBIDDEN)
    for name, refused in {"refused": own, "refused-default": plain}.items():
        response = captured[f"allow-request-{name}"]
        assert (response["status"], response["body"].encode()) == (403, refused.body())
        assert refused.error.status == 403
    assert captured["ws-forbidden"]["raw"].encode().endswith(b"\r\n\r\n" + plain.bare())
    assert own.bare() == b"go away"


@pytest.mark.parametrize("query", ["transport=websocket&sid=x", "EIO=3&transport=websocket&sid=x"])
def test_an_upgrade_must_speak_the_sessions_revision(query: str) -> None:
    """GHSA-2gc4-cqfq-p2gv: an upgrade without EIO does not turn a session of revision 4 into one of revision 3."""
    assert refusal(query, upgrade=True, session=Transport.POLLING) == (
        EngineError.BAD_REQUEST,
        "PROTOCOL_MISMATCH",
    )


@pytest.mark.parametrize("origin", ["a\x01b", "a\x7fb", "a\x85b", "é", "a\r\nb"])
def test_an_origin_has_no_control_characters(origin: str) -> None:
    """Refused with code 3, before anything is looked up; an ordinary one is not judged here."""
    query = "EIO=4&transport=polling&sid=unknown"
    assert refusal(query, origin=origin)[0] is EngineError.BAD_REQUEST
    assert refusal(query, origin="https://evil.example")[0] is EngineError.UNKNOWN_SID


def test_requests_of_a_session_pass() -> None:
    """GET and POST on its transport, and an upgrade."""
    query = parse_query("EIO=4&transport=polling&sid=x&t=abc")
    for method in ("GET", "POST"):
        check_request(query, method=method, upgrade=False, session=Transport.POLLING)
    query = parse_query("EIO=4&transport=websocket&sid=x")
    check_request(query, method="GET", upgrade=True, session=Transport.POLLING)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("EIO=4&transport=polling&transport=websocket", EngineError.TRANSPORT_UNKNOWN),
        ("EIO=4&transport=polling&transport=polling", EngineError.TRANSPORT_UNKNOWN),
        ("EIO=4&EIO=4&transport=polling", EngineError.UNSUPPORTED_PROTOCOL_VERSION),
        ("EIO=4&transport=polling&sid=a&sid=b", EngineError.UNKNOWN_SID),
        ("EIO=4&transport=polling%00", EngineError.TRANSPORT_UNKNOWN),
        ("EIO=4&transport=%ff", EngineError.TRANSPORT_UNKNOWN),
        ("EIO=٤&transport=polling", EngineError.UNSUPPORTED_PROTOCOL_VERSION),
        ("EIO=4&transport=webtransport", EngineError.TRANSPORT_UNKNOWN),
        ("EIO=4&transport=polling&j=0", EngineError.TRANSPORT_UNKNOWN),  # JSONP
    ],
)
def test_odd_queries_are_refused(query: str, error: EngineError) -> None:
    """CVE-2023-31125: repeated keys, NUL, bad UTF-8 are plain refusals."""
    assert refusal(query)[0] is error


def test_what_a_refusal_was_about_is_cut() -> None:
    """A listener or a log gets 200 characters of what a stranger wrote."""
    with pytest.raises(Refused) as caught:
        check_request(parse_query(f"EIO=4&transport={'x' * 5000}"), method="GET", upgrade=False)
    assert caught.value.context == {"transport": "x" * 200}


def test_a_transport_is_known_only_if_we_speak_it() -> None:
    """A setting cannot switch on what does not exist."""
    assert refusal("EIO=4&transport=x", transports=["x"])[0] is EngineError.TRANSPORT_UNKNOWN


def test_queries_are_bounded() -> None:
    """A hundred keys pass, more are not parsed; the application's own keys do not matter."""
    own = "&".join(f"k{n}=1" for n in range(MAX_QUERY_KEYS - 2))
    assert parse_query(f"EIO=4&transport=polling&{own}") == Query("4", "polling", "")
    assert refusal(f"EIO=4&transport=polling&{own}&one=more")[0] is EngineError.BAD_REQUEST


@given(st.text(st.characters()))
def test_any_query_is_read_or_refused(query: str) -> None:
    """Never another exception, for any query."""
    try:
        check_request(parse_query(query), method="GET", upgrade=False, origin=query)
    except Refused:
        return
