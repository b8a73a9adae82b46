"""Segments of text messages: the limits of 3GPP TS 23.038 and 23.040."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.notifications.channels.segments import Segments, segments


@pytest.mark.parametrize(
    ("text", "alphabet", "units", "count"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("a" * 152 + "€" + "a" * 153, "GSM-7", 307, 3),
        ("é" * 160, "GSM-7", 160, 1),
        ("ê", "UCS-2", 1, 1),
        ("я" * 70, "UCS-2", 70, 1),
        ("я" * 71, "UCS-2", 71, 2),
        ("я" * 134, "UCS-2", 134, 2),
        ("я" * 135, "UCS-2", 135, 3),
        ("😀" * 35, "UCS-2", 70, 1),
        ("я" * 66 + "😀" + "я" * 66, "UCS-2", 134, 3),
    ],
)
def test_known_texts(text: str, alphabet: str, units: int, count: int) -> None:
    """At each limit and one above it; what needs two units is not cut in two."""
    assert segments(text) == Segments(alphabet, units, count)  # type: ignore[arg-type]


@given(st.text(max_size=400))
def test_segments_hold_the_text(text: str) -> None:
    """As many as the units need, and at most one more for each that is not filled."""
    found = segments(text)
    joined = 153 if found.alphabet == "GSM-7" else 67
    assert found.segments == 1 or -(-found.units // joined) <= found.segments <= -(-found.units // (joined - 1))  # fmt: skip
