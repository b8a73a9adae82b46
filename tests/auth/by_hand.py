"""Tokens made by hand, also those that no library would make; keys of every kind."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW_S = 1_790_000_000
NOW_MS = NOW_S * 1000
SECRET = "a secret of thirty-two bytes or so"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def pem(private: Any) -> str:
    """The public half, as it would stand in the settings."""
    public = private.public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(private: Any, **more: Any) -> dict[str, Any]:
    """The public half, as it would stand in a key set."""
    algorithm = {
        rsa.RSAPrivateKey: "RS256",
        ec.EllipticCurvePrivateKey: "ES256",
        ed25519.Ed25519PrivateKey: "EdDSA",
    }
    name = next(name for kind, name in algorithm.items() if isinstance(private, kind))
    made = jwt.get_algorithm_by_name(name).to_jwk(private.public_key(), as_dict=True)
    return {**made, **more}


def pack(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims with changes; None takes one out."""
    good = {"iss": "app", "sub": "ann", "aud": "clarion", "exp": NOW_S + 60}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    payload: dict[str, Any] | bytes | None = None,
    *,
    key: Any = SECRET,
    alg: str = "HS256",
    **header: Any,
) -> str:
    """A token with this header, signed in the way that it says, with whatever key."""
    if payload is None:
        payload = claims()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    head = json.dumps({"alg": alg, "typ": "JWT", **header}).encode()
    signed = f"{pack(head)}.{pack(body)}"
    return f"{signed}.{pack(_sign(signed.encode(), key, alg))}"


def _sign(data: bytes, key: Any, alg: str) -> bytes:
    if alg.startswith("HS"):
        raw = key.encode() if isinstance(key, str) else pem(key).encode()
        return hmac.new(raw, data, getattr(hashlib, f"sha{alg[2:]}")).digest()
    if alg.lower() == "none":
        return b""
    return bytes(jwt.get_algorithm_by_name(alg).sign(data, key))
