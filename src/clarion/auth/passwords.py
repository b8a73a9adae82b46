"""Passwords: what is accepted, and the memory-hard function (argon2id, RFC 9106) that stands for it on disk.

19 MiB, two passes, one lane: the smallest of OWASP's equivalent settings, 21 ms a hash on one core. More memory would make guessing
dearer, and a flood of logins too: two threads and their queue stay below 40 MiB this way. A hash that was made with other
settings still verifies and is replaced at the next login, so the settings may be raised at any time.
"""

import base64
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from clarion.errors import Fault, Invalid

MIN_CHARACTERS = 8  # NIST SP 800-63B §3.1.1.2
MAX_CHARACTERS = (
    1024  # the time of a hash does not depend on it; the bound is for the memory of who waits
)
SALT_BYTES = 16

_hasher = PasswordHasher(
    time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=SALT_BYTES
)

# A hash that no password has, with today's settings: checking against it takes as long as against a real one.
NO_PASSWORD = (
    f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    f"${base64.b64encode(bytes(SALT_BYTES)).decode().rstrip('=')}"
    f"${base64.b64encode(bytes(_hasher.hash_len)).decode().rstrip('=')}"
)


def hash_password(password: str, salt: bytes) -> str:
    """The hash that is stored, with its settings and salt (PHC string format). Takes 21 ms of a core.

    Args:
        password: 8 to 1,024 characters.
        salt: 16 random bytes.

    Raises:
        Invalid: The password is too short or too long.
    """
    if not is_acceptable(password):
        raise Invalid(
            f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters",
            faults=[Fault("/password", f"{MIN_CHARACTERS} to {MAX_CHARACTERS} characters")],
        )
    return _hasher.hash(_normal(password), salt=salt)


def is_password(password: str, stored: str) -> bool:
    """Whether the password has this hash. Takes 21 ms of a core, unless no account could have such a password.

    Args:
        password: What was typed.
        stored: What `hash_password` made, or `NO_PASSWORD`.
    """
    if not is_acceptable(password):
        return False
    try:
        return _hasher.verify(stored, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other settings than today's."""
    return _hasher.check_needs_rehash(stored)


def is_acceptable(password: str) -> bool:
    """Whether an account may have this password."""
    return MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS


def _normal(password: str) -> bytes:
    # The same letters come composed from one keyboard and decomposed from another (RFC 8265 §4.2.2: NFC).
    return unicodedata.normalize("NFC", password).encode()
