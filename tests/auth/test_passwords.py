"""Passwords: what is accepted, what is stored, what verifies."""

import unicodedata

import argon2
import pytest

from clarion.auth.passwords import (
    NO_PASSWORD,
    SALT_BYTES,
    hash_password,
    is_outdated,
    is_password,
)
from clarion.errors import Invalid

SALT = bytes(range(SALT_BYTES))
HORSE = hash_password("correct horse", SALT)


def test_a_password_verifies_against_its_hash_and_no_other_does() -> None:
    """Not even one that differs in a space or in case."""
    assert is_password("correct horse", HORSE)
    assert not is_password("correct horse ", HORSE)
    assert not is_password("Correct horse", HORSE)


def test_what_is_stored_says_how_it_was_made_and_not_what_it_was() -> None:
    """Settings and salt stand in the hash, so that they can be raised later; the salt makes equal passwords differ."""
    assert HORSE.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "horse" not in HORSE
    assert hash_password("correct horse", bytes(SALT_BYTES)) != HORSE


def test_the_same_letters_are_the_same_password() -> None:
    """Composed or decomposed: it depends on the keyboard, not on the person."""
    composed = unicodedata.normalize("NFC", "crème brûlée")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    assert is_password(decomposed, hash_password(composed, SALT))


@pytest.mark.parametrize("password", ["", "7 chars", "x" * 1025])
def test_too_short_and_too_long_are_refused_by_name(password: str) -> None:
    """8 to 1,024 characters; the refusal points to the field."""
    with pytest.raises(Invalid) as caught:
        hash_password(password, SALT)
    assert [fault.pointer for fault in caught.value.faults] == ["/password"]
    assert not is_password(password, HORSE)


@pytest.mark.parametrize("password", ["8 chars.", "x" * 1024, "🔑" * 8, "nul\0 nul"])
def test_the_bounds_themselves_are_accepted(password: str) -> None:
    """Every character counts, wherever it stands, also behind a NUL."""
    stored = hash_password(password, SALT)
    assert is_password(password, stored)
    assert not is_password(password[:-1] + "y", stored)


def test_no_password_is_made_like_a_real_hash_and_matches_nothing() -> None:
    """Checking against it costs what a real check costs, which hides that there is no such user."""
    assert not is_outdated(NO_PASSWORD)
    assert not is_password("correct horse", NO_PASSWORD)
    # It is really computed: a text that is no hash would be refused in no time.
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(NO_PASSWORD, "correct horse")


def test_a_hash_with_other_settings_still_verifies_and_says_so() -> None:
    """Settings may be raised at any time: old hashes are found at the next login."""
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    assert is_password("correct horse", old)
    assert is_outdated(old)
    assert not is_outdated(HORSE)


def test_a_damaged_hash_matches_nothing() -> None:
    """A row that somebody edited locks the account; it does not open it."""
    assert not is_password("correct horse", "")
    assert not is_password("correct horse", "$argon2id$v=19$m=1")
