"""Who sends: voluntary application server identification (RFC 8292).

The key is made at the first start and kept in the database, for browsers bind each subscription to its public half: with
another key every device would have to subscribe anew.
"""

from typing import Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels.push.encryption import (
    SEED,
    base64url,
    private_key,
    public_bytes,
    unbase64,
)
from clarion.storage import secrets as sql
from clarion.storage.store import Store

NAME: Final = "vapid"
LIFE_S: Final = (
    12 * 3_600
)  # RFC 8292 §2: at most a day; half of it leaves room for clocks that differ
USED_S: Final = 6 * 3_600  # then the next one is made
ORIGINS: Final = 1_000  # whose tokens are kept


class Vapid:
    """Signs for push services.

    Args:
        key: P-256.
        subject: Whom a push service writes to when something is wrong: `mailto:` or `https:`; '' leaves it out.
        clock: When a token ends.

    Attributes:
        public_key: What a page subscribes with (`applicationServerKey`): 65 bytes as base64url.
    """

    def __init__(self, key: EllipticCurvePrivateKey, subject: str, clock: Clock) -> None:
        self._key, self._subject, self._clock = key, subject, clock
        self.public_key = base64url(public_bytes(key.public_key()))
        self._headers: dict[str, tuple[float, str]] = {}

    def authorization(self, endpoint: str) -> str:
        """The Authorization header for an endpoint; the same for all of its origin, for some hours."""
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        found = self._headers.get(origin)
        now_s = self._clock.now_ms() / 1000
        # A calendar that was set back must not leave a token that ends too late.
        if found is not None and found[0] - USED_S <= now_s < found[0]:
            return found[1]
        claims: dict[str, str | int] = {"aud": origin, "exp": int(now_s) + LIFE_S}
        if self._subject:
            claims["sub"] = self._subject
        token = jwt.encode(claims, self._key, algorithm="ES256")
        header = f"vapid t={token}, k={self.public_key}"
        while len(self._headers) >= ORIGINS:
            self._headers.pop(next(iter(self._headers)))
        self._headers[origin] = (now_s + USED_S, header)
        return header


async def load_key(store: Store, ids: Ids) -> EllipticCurvePrivateKey:
    """The server's key; the first who asks makes it, and all processes have the same."""
    seed = unbase64(ids.token(SEED))
    assert seed is not None, "a token is base64url"
    fresh = private_key(seed).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kept = await sql.secret_of(store, NAME, fresh.decode())
    key = load_pem_private_key(kept.encode(), None)
    assert isinstance(key, EllipticCurvePrivateKey), "made above"
    return key
