"""Server frames."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.errors import UsageError
from clarion.protocol.frames import (
    MAX_CLOSE_REASON,
    Opcode,
    close_payload,
    may_be_sent,
    message_frame,
    server_frame,
)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_length_takes_its_shortest_form(size: int, head: bytes) -> None:
    """RFC 6455 §5.2 at the edges of its three forms; no mask, whole, final."""
    assert server_frame(Opcode.BINARY, bytes(size)) == head + bytes(size)


def test_text_is_utf8() -> None:
    """The example of RFC 6455 §5.7, and a text that is longer in bytes than in characters."""
    assert server_frame(Opcode.TEXT, "Hello") == bytes.fromhex("810548656c6c6f")
    assert server_frame(Opcode.TEXT, "é€") == b"\x81\x05\xc3\xa9\xe2\x82\xac"


@given(st.text(max_size=200) | st.binary(max_size=200))
@example("x" * 125)
@example("é" * 63)
def test_a_message_is_one_frame_of_its_kind(message: str | bytes) -> None:
    """Text for text, binary for bytes, whatever the length."""
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    assert message_frame(message) == server_frame(opcode, message)


def test_control_frames_are_short() -> None:
    """125 bytes pass, 126 are the caller's mistake (§5.5)."""
    assert server_frame(Opcode.PING, bytes(125))[:2] == b"\x89\x7d"
    with pytest.raises(UsageError, match="at most 125"):
        server_frame(Opcode.PONG, bytes(126))


def test_close_carries_code_and_reason() -> None:
    """The code in network order, then the reason; without a code nothing, as Node closes."""
    assert close_payload(3008, "slow") == b"\x0b\xc0slow"
    assert close_payload(1000) == b"\x03\xe8"
    assert close_payload(None, "unsaid") == b""


@given(st.text(st.characters(), max_size=200))
@example("x" * 124)
@example("é" * 62)
@example("x" + "😀" * 31)
def test_a_long_reason_is_cut_at_a_character(reason: str) -> None:
    """Any reason fits a control frame and is UTF-8; what fits is not touched."""
    payload = close_payload(3001, reason)
    assert len(payload) <= 125
    text = payload[2:].decode()
    whole = reason.encode(errors="replace")
    assert whole.decode().startswith(text)
    if len(whole) <= MAX_CLOSE_REASON:
        assert payload[2:] == whole
    else:
        assert len(whole.decode()[len(text)].encode()) > MAX_CLOSE_REASON - len(text.encode())


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_536])
def test_codes_that_must_not_be_sent(code: int) -> None:
    """§7.4: reserved codes never stand in a frame."""
    assert not may_be_sent(code)
    with pytest.raises(UsageError, match=str(code)):
        close_payload(code)


def test_a_compressed_message_has_rsv1() -> None:
    """RFC 7692 §6: the bit tells it from a plain one; all else of the frame is the same."""
    assert server_frame(Opcode.TEXT, b"x", is_compressed=True) == b"\xc1\x01x"
