"""Entity tags, as RFC 9110 §13.1 compares them."""

import pytest

from clarion.api.etags import is_unchanged, require_match
from clarion.errors import Stale


@pytest.mark.parametrize(
    ("header", "etag", "expected"),
    [
        ('"a"', '"a"', True),
        ('"b", "a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ("*", '"a"', True),
        ('"b"', '"a"', False),
        ("a", '"a"', False),
        ("", '"a"', False),
        (None, '"a"', False),
        ("*", None, False),
    ],
)
def test_if_none_match_is_weak(header: str | None, etag: str | None, expected: bool) -> None:
    """Much the same is the same for a reader."""
    assert is_unchanged(header, etag) is expected


@pytest.mark.parametrize("header", [None, "*", '"a"', '"b", "a"'])
def test_if_match_lets_the_present_state_be_changed(header: str | None) -> None:
    """Who has read what is there may overwrite it, and who did not ask for the check."""
    require_match(header, '"a"')


@pytest.mark.parametrize("header", ['"b"', 'W/"a"', "a", ""])
def test_if_match_is_strong(header: str) -> None:
    """Another state, or one that is only much the same, may not be overwritten."""
    with pytest.raises(Stale):
        require_match(header, '"a"')
