"""Encryption of Web Push messages: RFC 8291 over RFC 8188 (`aes128gcm`), one record. Pure.

Written here, because the library for it (http-ece) lets a message of 3,994 bytes pass, which makes a body of 4,097 and is
refused by every push service; the tests hold this to that library and to the RFC's example, byte by byte.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

MAX_BODY: Final = 4096
"""Bytes that a push service must take (RFC 8030 §7.2), and hardly any takes more."""
_SALT, _KEY, _TAG = 16, 65, 16  # bytes
_HEAD: Final = (
    _SALT + 4 + 1 + _KEY
)  # RFC 8188 §2.1: salt, record size, length of the key's id, the key as its id
MAX_PAYLOAD: Final = MAX_BODY - _HEAD - 1 - _TAG
"""Bytes of a message that fit into it: 3,993."""
# The order of P-256: a private key is a number from 1 to one less.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SEED: Final = 40  # bytes: 8 more than the order has, so that no key is likelier than another


class TooLong(ValueError):
    """The message does not fit; says by how much."""


class Receiver(Struct, frozen=True):
    """Whom a message is encrypted for: a subscription's `p256dh` and `auth`."""

    key: EllipticCurvePublicKey
    auth: bytes


def receiver(p256dh: str, auth: str) -> Receiver:
    """Read a subscription's keys (base64url, padded or not).

    Raises:
        ValueError: They are not a point of P-256 and 16 bytes; says which.
    """
    secret = unbase64(auth)
    if secret is None or len(secret) != 16:
        raise ValueError("`auth` is not 16 bytes of base64url")
    point = unbase64(p256dh)
    try:
        # An x and a y that are no point of the curve would give the key away: this refuses them.
        key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point or b"")
    except ValueError as exc:
        raise ValueError("`p256dh` is not a public key of P-256 in base64url") from exc
    if point is None or len(point) != _KEY:
        raise ValueError("`p256dh` is not an uncompressed public key (65 bytes)")
    return Receiver(key, secret)


def private_key(seed: bytes) -> EllipticCurvePrivateKey:
    """The private key that `SEED` random bytes choose."""
    return derive_private_key(int.from_bytes(seed, "big") % (_ORDER - 1) + 1, SECP256R1())


def encrypt(payload: bytes, to: Receiver, own: EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """The body of a push, to be sent with `Content-Encoding: aes128gcm`.

    Args:
        payload: At most `MAX_PAYLOAD` bytes.
        to: For whom.
        own: Made for this message alone.
        salt: 16 random bytes, for this message alone.

    Raises:
        TooLong: It would be longer than a push service takes.

    Source: RFC 8291 §3, RFC 8188 §2.
    """
    if len(payload) > MAX_PAYLOAD:
        size = len(payload) + MAX_BODY - MAX_PAYLOAD
        raise TooLong(f"{size} bytes when encrypted, {MAX_BODY} are allowed")
    point = public_bytes(own.public_key())
    # §3.4: the shared secret and the subscription's own, with both keys in the info.
    secret = own.exchange(ECDH(), to.key)
    info = b"WebPush: info\0" + public_bytes(to.key) + point
    material = _expand(_hmac(to.auth, secret), info, 32)
    # RFC 8188 §2.2, §2.3
    random = _hmac(salt, material)
    key = _expand(random, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _expand(random, b"Content-Encoding: nonce\0", 12)
    # §4: one record, so the delimiter is that of the last one.
    sealed = AESGCM(key).encrypt(nonce, payload + b"\x02", None)
    return salt + struct.pack("!IB", MAX_BODY, _KEY) + point + sealed


def public_bytes(key: EllipticCurvePublicKey) -> bytes:
    """A public key as 65 bytes: uncompressed (SEC 1)."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64(text: str) -> bytes | None:
    """What base64url stands for, padded or not; None: it is none."""
    text = text.rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None


def _expand(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF's second half (RFC 5869 §2.3), for no more than one block."""
    return _hmac(key, info + b"\x01")[:size]


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)
