"""permessage-deflate: what is agreed, and that inflating stays within its bounds."""

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import ProtocolError, TooLarge
from clarion.protocol.deflate import Agreed, Deflate, Deflater, Inflater, negotiate

PLAIN = Deflate()
TAKEOVER = Deflate(has_takeover=True)
BOTH = "; server_no_context_takeover; client_no_context_takeover"


def agree(header: str, ours: Deflate = PLAIN) -> str | None:
    agreed = negotiate(header.encode(), ours)
    return None if agreed is None else agreed.header.decode().removeprefix("permessage-deflate")


@pytest.mark.parametrize(
    ("offer", "ours", "answer"),
    [
        ("permessage-deflate", PLAIN, BOTH),
        ("permessage-deflate", TAKEOVER, ""),
        ("permessage-deflate; server_no_context_takeover", TAKEOVER, "; server_no_context_takeover"),
        ("permessage-deflate; client_no_context_takeover", TAKEOVER, "; client_no_context_takeover"),
        ("permessage-deflate; client_max_window_bits", TAKEOVER, ""),
        ("permessage-deflate; client_max_window_bits=15", TAKEOVER, ""),
        ("permessage-deflate; client_max_window_bits=8", TAKEOVER, "; client_max_window_bits=8"),
        ("permessage-deflate; client_max_window_bits", Deflate(window_bits=10), BOTH + "; client_max_window_bits=10"),
        ("permessage-deflate", Deflate(window_bits=10), BOTH),
        ("permessage-deflate; server_max_window_bits=15", TAKEOVER, "; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=9", TAKEOVER, "; server_max_window_bits=9"),
        ("permessage-deflate; server_max_window_bits=12", Deflate(window_bits=10), BOTH + "; server_max_window_bits=10"),
        ('permessage-deflate; server_max_window_bits="10"', TAKEOVER, "; server_max_window_bits=10"),
        ("permessage-deflate ;\tserver_max_window_bits = 10 ", TAKEOVER, "; server_max_window_bits=10"),
        # Several offers: the first that can be met.
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", TAKEOVER, ""),
        ("x-webkit-deflate-frame, , permessage-deflate; server_max_window_bits=9,permessage-deflate", TAKEOVER, "; server_max_window_bits=9"),
        ("foo, bar; baz=1, permessage-deflate", TAKEOVER, ""),
    ],
)  # fmt: skip
def test_the_first_offer_that_can_be_met_is_taken(offer, ours, answer):
    """The answer names what holds: never a parameter that the client did not allow, always what it demanded (RFC 7692 §7.1)."""
    assert agree(offer, ours) == answer


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "foo",
        "permessage-deflate=1",
        "Permessage-deflate",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=x",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=+9",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits=9; client_max_window_bits=10",
        "permessage-deflate; unknown",
        "permessage-deflate; constructor=1",
    ],
)
def test_offers_that_cannot_be_met_are_declined(offer):
    """Unknown, repeated and wrong parameters decline the offer (§7): the connection goes on without compression."""
    assert agree(offer) is None


@pytest.mark.parametrize(
    "header",
    ["permessage-deflate; ", "permessage-deflate;; x", "=", 'a; b="c', "a; b=c d", "a b", ";", 'a; b="x y"', "\x80"],
)  # fmt: skip
def test_a_header_that_breaks_the_grammar_is_an_error(header):
    """RFC 6455 §9.1: that is no handshake at all."""
    with pytest.raises(ProtocolError, match="Sec-WebSocket-Extensions"):
        negotiate(header.encode("latin-1"), PLAIN)


@given(st.binary(max_size=300))
def test_any_header_is_answered_or_refused(header):
    """No bytes lead anywhere else."""
    try:
        agreed = negotiate(header, PLAIN)
    except ProtocolError:
        return
    assert agreed is None or isinstance(agreed, Agreed)


@given(
    st.lists(st.binary(max_size=2000), max_size=5),
    st.integers(9, 15),
    st.booleans(),
    st.integers(1, 500),
)
def test_what_was_deflated_inflates_to_itself(messages, bits, takeover, size):
    """Message after message, in pieces of any size, with and without a shared window."""
    deflater = Deflater(PLAIN, bits, has_takeover=takeover)
    inflater = Inflater(bits, has_takeover=takeover, limit=2000)
    for message in messages:
        packed = deflater.deflate(message)
        pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
        parts = [inflater.inflate(piece, is_last=False) for piece in pieces]
        assert b"".join([*parts, inflater.inflate(b"", is_last=True)]) == message


@pytest.mark.parametrize(
    "packed",
    [
        "f248cdc9c90700",  # §7.2.3.1: one block
        "000500faff48656c6c6f00",  # §7.2.3.3: no compression
        "f348cdc9c90700" + "00",  # §7.2.3.4: a block that ends the stream
        "f24805000000ffffcac9c90700",  # §7.2.3.5: two blocks
    ],
)
def test_the_examples_of_the_rfc_inflate(packed):
    """Each of them is `Hello`."""
    inflater = Inflater(15, has_takeover=False, limit=5)
    assert inflater.inflate(bytes.fromhex(packed), is_last=True) == b"Hello"


def test_a_message_may_refer_to_the_one_before():
    """§7.2.3.2: with takeover the second `Hello` is five bytes; without it that is no data."""
    first, second = bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000")
    inflater = Inflater(15, has_takeover=True, limit=5)
    assert [inflater.inflate(each, is_last=True) for each in (first, second)] == [b"Hello"] * 2
    alone = Inflater(15, has_takeover=False, limit=5)
    assert alone.inflate(first, is_last=True) == b"Hello"
    with pytest.raises(ProtocolError):
        alone.inflate(second, is_last=True)


def test_a_bomb_is_refused_before_it_is_inflated():
    """50 KB that would be 50 MB: one byte above the limit is all that is ever made of it."""
    packed = Deflater(PLAIN, 15, has_takeover=False).deflate(bytes(50_000_000))
    inflater = Inflater(15, has_takeover=False, limit=1000)
    with pytest.raises(TooLarge) as raised:
        inflater.inflate(packed, is_last=True)
    assert raised.value.facts["limit"] == 1000
    exact = Deflater(PLAIN, 15, has_takeover=False).deflate(bytes(1000))
    again = Inflater(15, has_takeover=False, limit=1000)
    assert again.inflate(exact, is_last=True) == bytes(1000)


def test_many_ends_of_a_stream_in_one_message_are_refused():
    """Each costs a fresh inflater: a megabyte of them would be half a million."""
    end = zlib.compressobj(6, zlib.DEFLATED, -15).flush()
    few = Inflater(15, has_takeover=True, limit=1000)
    assert few.inflate(end * 10 + b"\x00", is_last=True) == b""
    with pytest.raises(ProtocolError, match="ends of a stream"):
        Inflater(15, has_takeover=False, limit=1000).inflate(end * 1000, is_last=True)


def test_text_behind_an_ended_stream_may_refer_to_what_came_before_it():
    """The window goes on over the end of a stream, inside a message."""
    first = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = first.compress(b"Hello, Hello") + first.flush()
    second = zlib.compressobj(6, zlib.DEFLATED, -15, zdict=b"Hello, Hello")
    packed += second.compress(b"Hello, Hello") + second.flush(zlib.Z_SYNC_FLUSH)[:-4]
    inflater = Inflater(15, has_takeover=False, limit=1000)
    assert inflater.inflate(packed, is_last=True) == b"Hello, Hello" * 2


@given(st.binary(max_size=200))
def test_any_bytes_inflate_within_the_limit_or_are_refused(data):
    """No input is a trace, or more than the limit."""
    inflater = Inflater(15, has_takeover=False, limit=100)
    with contextlib.suppress(ProtocolError, TooLarge):
        assert len(inflater.inflate(data, is_last=True)) <= 100
