"""Sealing: secrets of others (chat URLs, signing keys) are stored encrypted, with a key that is not in the database.

AES-256-GCM with a random nonce. The key is derived from the deployment's token secret; who changes that names the former
one in `auth.other_secrets`, or has to set those secrets again.
"""

import base64
import binascii
import contextlib
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clarion.ids import Ids

_NONCE: Final = 12  # bytes
_PREFIX: Final = "sealed1."


class Unopenable(Exception):
    """What was stored was sealed with another key, or is damaged."""


class Sealer:
    """Seals and opens texts.

    Args:
        secret: Of the deployment.
        others: Former or coming ones, whose seals are opened, too.
        ids: Nonces.
    """

    def __init__(self, secret: str, ids: Ids, others: Sequence[str] = ()) -> None:
        self._cipher, self._ids = _cipher(secret), ids
        self._others = [_cipher(other) for other in others]

    def seal(self, text: str, purpose: str) -> str:
        """A text that only this deployment can read, and only as what it was sealed for."""
        nonce = base64.urlsafe_b64decode(self._ids.token(_NONCE))
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), purpose.encode())
        return _PREFIX + base64.urlsafe_b64encode(sealed).decode()

    def open(self, sealed: str, purpose: str) -> str:
        """What was sealed.

        Raises:
            Unopenable: It was not sealed with this key for this purpose.
        """
        try:
            raw = base64.urlsafe_b64decode(sealed.removeprefix(_PREFIX).encode())
            nonce, body = raw[:_NONCE], raw[_NONCE:]
            for cipher in (self._cipher, *self._others):
                with contextlib.suppress(InvalidTag):
                    return cipher.decrypt(nonce, body, purpose.encode()).decode()
        except (binascii.Error, ValueError) as exc:
            raise Unopenable("it is no sealed text: set it again") from exc
        raise Unopenable("it was sealed with another key: set it again")


def _cipher(secret: str) -> AESGCM:
    derived = HKDF(SHA256(), 32, salt=None, info=b"clarion sealing 1").derive(secret.encode())
    return AESGCM(derived)
