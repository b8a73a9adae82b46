"""Tokens that devices hold: one with each message, to report what became of it, and one to renew a subscription.

A service worker has no login. What it may do is written into what it was given: a text and a keyed hash over it, for one purpose.
"""

import hashlib
import hmac
from typing import Final, Literal

from clarion.errors import Invalid
from clarion.notifications.channels.push.encryption import base64url, unbase64

Purpose = Literal["report", "renew"]
_MAC: Final = 16  # bytes
_SPLIT: Final = "\n"


class Tokens:
    """Makes and reads them.

    Args:
        secret: Of the server, the same in all its processes.
    """

    def __init__(self, secret: str) -> None:
        self._key = secret.encode()

    def make(self, purpose: Purpose, *facts: str) -> str:
        """A token that says these facts; none of them may hold a line feed."""
        text = _SPLIT.join(facts).encode()
        return f"{base64url(text)}.{base64url(self._mac(purpose, text))}"

    def read(self, purpose: Purpose, token: str, count: int) -> list[str]:
        """The facts of a token that was made for this.

        Raises:
            Invalid: It was not, or by somebody else.
        """
        text, _, mac = token.partition(".")
        said, given = unbase64(text), unbase64(mac)
        if said is None or given is None:
            raise Invalid("this is no token of a device")
        if not hmac.compare_digest(given, self._mac(purpose, said)):
            raise Invalid("this token was not given out here")
        facts = said.decode().split(_SPLIT)
        assert len(facts) == count, "made by `make` for the same purpose"
        return facts

    def _mac(self, purpose: Purpose, text: bytes) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\0" + text, hashlib.sha256)[:_MAC]
