"""Refresh tokens: form, family, succession."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.auth.refresh_tokens import make, parse
from clarion.ids import Ids, digest


@given(st.integers())
def test_a_token_that_was_made_is_recognised(seed: int) -> None:
    """Whatever its random characters are, `_` and `-` among them."""
    token = make(Ids.seeded(seed))
    assert parse(token.reveal()) == token


@given(st.text(max_size=80) | st.from_regex(r"clr_[\w-]{18,22}_[\w-]{41,45}", fullmatch=True))
def test_anything_is_a_whole_token_or_none(text: str) -> None:
    """Nothing is cut off or filled up: what parses is exactly what was presented."""
    token = parse(text)
    assert token is None or token.reveal() == text


def test_a_line_feed_behind_a_token_makes_it_none() -> None:
    """Exactly as it was given out, or not at all."""
    assert parse(make(Ids()).reveal() + "\n") is None


def test_the_next_token_is_of_the_same_family_and_another() -> None:
    """What stays names the login, what changes is the secret."""
    ids = Ids()
    first = make(ids)
    second = first.next(ids)
    assert second.family == first.family
    assert second.digest != first.digest
    assert make(ids).family != first.family


def test_what_is_stored_and_shown_lets_nobody_in() -> None:
    """The database and access tokens have digests, logs have the family."""
    token = make(Ids())
    assert token.digest == digest(token.secret)
    for shown in (token.family, token.digest, repr(token)):
        assert token.handle not in shown
        assert token.secret not in shown
