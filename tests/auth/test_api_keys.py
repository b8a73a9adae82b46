"""API keys: form, digest, and what is shown of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.auth.api_keys import ApiKey, make, parse
from clarion.ids import Ids, digest


@given(st.integers())
def test_a_key_that_was_made_is_recognised(seed: int) -> None:
    """Whatever its random characters are, `_` and `-` among them."""
    key = make(Ids.seeded(seed))
    assert parse(key.reveal()) == key


def test_a_key_says_what_it_is_and_which_one() -> None:
    """Scanners find the prefix; the id begins with no `-`, so it can be typed behind a command."""
    key = make(Ids())
    assert key.reveal().startswith(f"clk_{key.id}_")
    assert int(key.id, 16) >= 0
    assert len(key.secret) == 43


@given(st.text(max_size=80) | st.from_regex(r"clk_[0-9a-f_]{10,20}_[\w-]{40,45}", fullmatch=True))
def test_anything_is_a_whole_key_or_none(text: str) -> None:
    """Nothing is cut off or filled up: what parses is exactly what was presented."""
    key = parse(text)
    assert key is None or key.reveal() == text


@pytest.mark.parametrize("end", ["\n", " ", "A"])
def test_a_key_with_something_behind_it_is_none(end: str) -> None:
    """A copied line feed is the caller's to cut off."""
    assert parse(make(Ids()).reveal() + end) is None


def test_a_secret_is_stored_as_its_digest_and_compared_by_it() -> None:
    """The database never has what would let somebody in."""
    key = make(Ids())
    assert key.digest == digest(key.secret)
    assert key.has(digest(key.secret))
    assert not key.has(digest(key.secret + "x"))


def test_a_key_shows_its_id_alone() -> None:
    """In logs and tracebacks there is no secret."""
    key = ApiKey("0123456789abcdef", "s" * 43)
    assert repr(key) == "ApiKey(0123456789abcdef)"
