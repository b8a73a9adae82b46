"""Keys that tokens are checked with: each has exactly one algorithm, and the token has no say in it.

A key that is given for RS256 checks RS256 and nothing else; a public key is never taken for a secret (RFC 8725 §3.1). Key sets
(RFC 7517) come from outside: what in them is not a public key for signatures is passed over.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Struct

from clarion.errors import SettingsError

MIN_SECRET_BYTES = 32  # RFC 7518 §3.2: a secret for HS256 is no shorter than its hash
MIN_RSA_BITS = 2048  # RFC 7518 §3.3

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class Key(Struct, frozen=True):
    """What a signature is checked with (and made with, if it is a secret)."""

    algorithm: str
    material: Any
    """A secret (bytes) or a `PublicKey`."""
    others: tuple[bytes, ...] = ()
    """Of a secret: former or coming values, with which a signature is as good. None is made with them."""

    def __repr__(self) -> str:
        return f"Key({self.algorithm})"


class Keys(Protocol):
    """The keys of one issuer."""

    async def find(self, kid: str | None) -> Key | None:
        """The key of this name; None: the issuer has no such key."""
        ...


class OneKey:
    """An issuer with a single key: what the token calls it does not matter."""

    def __init__(self, key: Key) -> None:
        self._key = key

    async def find(self, kid: str | None) -> Key:
        """The key, whatever it is called."""
        return self._key


def secret_key(secret: str, others: Sequence[str] = ()) -> Key:
    """A shared secret for HS256, and others that are as good for a check.

    Raises:
        SettingsError: It is shorter than 32 bytes, or a public key that somebody took for a secret.
    """
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"a secret for tokens has at least {MIN_SECRET_BYTES} bytes (RFC 7518 §3.2)"
        )
    try:
        jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError as exc:
        raise SettingsError(
            "auth.jwt_secret holds a key of another kind: use auth.jwt_public_key"
        ) from exc
    return Key("HS256", secret.encode(), tuple(other.encode() for other in others))


def public_key(pem: str) -> Key:
    """A public key; its kind decides the algorithm: RSA → RS256, P-256 → ES256, Ed25519 → EdDSA.

    Raises:
        SettingsError: Not a public key in PEM, or of another kind, or too short.
    """
    try:
        material = serialization.load_pem_public_key(pem.encode())
    except ValueError as exc:
        raise SettingsError(
            "auth.jwt_public_key is not a public key in PEM (BEGIN PUBLIC KEY)"
        ) from exc
    algorithm = _algorithm_for(material)
    if algorithm is None:
        raise SettingsError("auth.jwt_public_key must be RSA (2048 bits or more), P-256 or Ed25519")
    return Key(algorithm, material)


def read_key_set(body: bytes) -> dict[str, Key]:
    """The usable keys of a JSON Web Key Set, by their `kid`; where a name comes twice, the first counts.

    Raises:
        ValueError: The body is not a key set.
    """
    try:
        entries = msgspec.json.decode(body, type=_KeySet).keys
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    found: dict[str, Key] = {}
    for entry in entries:
        kid, key = entry.get("kid"), _key_of(entry)
        if isinstance(kid, str) and key is not None:
            found.setdefault(kid, key)
    return found


class _KeySet(Struct):
    keys: list[dict[str, Any]]


def _key_of(entry: Mapping[str, Any]) -> Key | None:
    # RFC 7517 §5: keys that are not understood are passed over.
    if entry.get("use", "sig") != "sig":
        return None
    try:
        material = jwt.PyJWK(dict(entry)).key
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        return None
    # Nor is a secret (`oct`) a key: published, it is none.
    algorithm = _algorithm_for(material)
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    return Key(algorithm, material)


def _algorithm_for(material: object) -> str | None:
    match material:
        case RSAPublicKey() if material.key_size >= MIN_RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey() if isinstance(material.curve, SECP256R1):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
        case _:
            return None
