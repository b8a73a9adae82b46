"""Any bytes, any moves: packets or named errors, bounded memory, and a server that nothing hangs or breaks."""

import base64
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.errors import ProtocolError, UsageError
from clarion.protocol import engineio
from clarion.protocol.parser import PARSERS
from clarion.protocol.socketio import DecoderLimits
from tests.fuzz.callers import Caller
from tests.support.counting import peak_bytes
from tests.support.simulation import simulate
from tests.support.vectors import lines, message

# No example is judged by its time. How many there are is the profile's: 100, or what `make fuzz` gives.
patiently = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

# ── what is nearly right is worth more than what is only random ──
PACKETS = sorted(
    {
        message(frame)
        for line in [*lines("socketio-decode"), *lines("socketio-packets")]
        for frame in line.get("frames", [])
        if len(frame["bytes_b64"]) < 400
    },
    key=repr,
)
TEXTS = [each for each in PACKETS if isinstance(each, str)]
GOOD = ["0", "0/b,", "1", "1/b,", '2["q",1]', '27["q",{"a":[1]}]', '2["join","r"]', '2["tell",1]', '2["out"]', '2["out",1]', "30[1]", "31[]",
        '51-["tell",{"_placeholder":true,"num":0}]', '51-7["q",{"_placeholder":true,"num":0}]']  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, of: list[str]) -> str:
    """A text with a piece taken out, put in, doubled or exchanged."""
    text = draw(st.sampled_from(of))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 8)))
        piece = draw(
            st.one_of(
                st.text(max_size=4),
                st.sampled_from(["[", "]", "{", "}", '"', ",", "-", "9" * 20, "\x1e", "b", text]),
            )
        )
        text = text[:start] + piece + text[end:]
    return text


ENGINE = st.one_of(
    st.sampled_from([f"4{each}" for each in GOOD]),
    st.sampled_from(
        ["2", "2probe", "3", "3probe", "5", "6", "1", "0", "4", "", "7", "b", "bAQID", "b!!"]
    ),
    mutated([f"4{each}" for each in TEXTS]),
    st.text(max_size=20),
)
MESSAGES = st.one_of(ENGINE, st.binary(max_size=20))
PAYLOADS = st.one_of(
    st.lists(ENGINE, min_size=1, max_size=6).map(
        lambda parts: "\x1e".join(parts).encode(errors="replace")
    ),
    st.binary(max_size=60),
    st.binary(max_size=20).map(lambda data: b"4" + data),
    st.sampled_from([b"\x1e" * 5000, b"4\x1e" * 3000, b"b" + base64.b64encode(bytes(2000))]),
)


# ── decoders ──
@patiently
@given(PAYLOADS)
def test_any_payload_is_packets_or_a_protocol_error(body: bytes) -> None:
    """Packets, then perhaps a ProtocolError; and the packets, encoded, are a payload that says the same."""
    try:
        packets = list(engineio.decode_payload(body, 2_000))
    except ProtocolError:
        return
    again = engineio.encode_payload([engineio.encode(packet) for packet in packets])
    assert list(engineio.decode_payload(again, 2_000)) == packets


@patiently
@given(
    st.sampled_from(sorted(PARSERS)),
    st.lists(
        st.one_of(mutated(TEXTS), st.sampled_from(PACKETS), st.binary(max_size=80)), max_size=5
    ),
)
def test_any_messages_are_packets_or_a_protocol_error(
    parser: str, messages: list[str | bytes]
) -> None:
    """Of either parser: what comes out can be encoded, and comes out again."""
    spoken = PARSERS[parser]
    decoder = spoken.Decoder(DecoderLimits())
    for each in messages:
        try:
            packet = decoder.add(each, 0)
        except ProtocolError:
            return
        if packet is None:
            continue
        assert packet.namespace.startswith("/")
        try:
            again = spoken.encode(packet)
        except UsageError:
            continue  # what may be read and not be sent: integers beyond 2^53
        *parts, last = again
        other = spoken.Decoder(DecoderLimits())
        assert not any(other.add(part) for part in parts)
        assert repr(other.add(last)) == repr(packet)


@patiently
@given(st.one_of(PAYLOADS, st.sampled_from(PACKETS)), st.integers(1, 300))
def test_memory_is_bounded_by_what_came(piece: str | bytes, times: int) -> None:
    """At most 30 bytes for each that came: four times four where a character is beyond the BMP, a dict for `{"a":1},` at the worst."""
    raw = piece.encode(errors="replace") if isinstance(piece, str) else piece
    body = b"4" + raw * times

    def read() -> None:
        decoder = PARSERS["json"].Decoder(DecoderLimits())
        try:
            for packet in engineio.decode_payload(body, 2_000):
                decoder.add(packet.data, 0)
        except ProtocolError:
            pass

    assert peak_bytes(read) < 30 * len(body) + 100_000


# ── a whole server ──
WHICH = st.integers(0, 3)
MOVES = st.one_of(
    st.tuples(st.just("open")),
    st.tuples(st.just("websocket")),
    st.tuples(st.just("get"), WHICH),
    st.tuples(st.just("post"), WHICH, PAYLOADS),
    st.tuples(
        st.just("post"), WHICH, st.sampled_from([f"4{each}" for each in GOOD]).map(str.encode)
    ),
    st.tuples(st.just("half"), WHICH, PAYLOADS),
    st.tuples(st.just("method"), WHICH, st.sampled_from(["PUT", "HEAD", "OPTIONS", "DELETE", "X"])),
    st.tuples(st.just("give_up"), WHICH),
    st.tuples(st.just("probe"), WHICH),
    st.tuples(st.just("say"), WHICH, MESSAGES),
    st.tuples(st.just("say"), WHICH, st.sampled_from(["2probe", "5", "40", "40/b,", "3", "1"])),
    st.tuples(st.just("hang_up"), WHICH),
    st.tuples(st.just("emit"), st.sampled_from([0, 10, 70_000, 400_000])),
    st.tuples(st.just("ask")),
    st.tuples(st.just("put_out")),
    st.tuples(st.just("drain"), WHICH),
    st.tuples(st.just("wait"), st.sampled_from([0.005, 0.1, 1, 6, 11, 25.2, 46])),
)


@patiently
@given(st.lists(MOVES, max_size=25), st.integers(0, 1 << 20))
def test_no_moves_break_or_hang_the_server(moves: list[tuple[Any, ...]], seed: int) -> None:
    """Whatever clients do, in whatever order: every request that was not given up is answered once, nothing raises, and when all have
    gone no session, socket, room, timer or task is left."""

    async def scenario(_: Any) -> None:
        await Caller().play(moves)

    outcome = simulate(scenario, seed=seed)
    if outcome.error is not None:
        raise outcome.error
