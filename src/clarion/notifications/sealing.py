"""Sealing: secrets of others (chat URLs, signing keys) are stored encrypted, with a key that is not in the database.

AES-256-GCM with a random nonce. The key is derived from the deployment's token secret; who changes that has to set those secrets again.
"""

import base64
import binascii
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
        ids: Nonces.
    """

    def __init__(self, secret: str, ids: Ids) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=b"clarion sealing 1").derive(secret.encode())
        self._cipher, self._ids = AESGCM(derived), ids

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
            opened = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], purpose.encode())
        except (InvalidTag, binascii.Error, ValueError) as exc:
            raise Unopenable("it was sealed with another key: set it again") from exc
        return opened.decode()
