"""Messages in pieces, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.realtime.transports.fragments import Partial


@given(st.text(), st.lists(st.integers(0, 100)))
def test_text_cut_anywhere_is_the_same_text(text, cuts):
    """A character may lie across fragments."""
    data, partial, at = text.encode(), Partial(is_text=True), 0
    for size in cuts:
        partial.add(data[at : at + size], is_last=False)
        at += size
    partial.add(data[at:], is_last=True)
    assert partial.join() == text
    assert (partial.size, partial.count) == (len(data), len(cuts) + 1)


@given(st.lists(st.binary()))
def test_bytes_stay_bytes(pieces):
    """Binary messages are joined unread, an empty one too."""
    partial = Partial(is_text=False)
    for piece in pieces:
        partial.add(piece, is_last=False)
    assert partial.join() == b"".join(pieces)


def test_bad_text_fails_at_its_fragment():
    """Nobody waits for the end of what can't become text; a character cut off at the end is bad too."""
    with pytest.raises(UnicodeDecodeError):
        Partial(is_text=True).add(b"\xff", is_last=False)
    partial = Partial(is_text=True)
    partial.add(b"\xc3", is_last=False)
    with pytest.raises(UnicodeDecodeError):
        partial.add(b"", is_last=True)
