"""Who is it, and what may they? Pure: bytes and times in, principals and refusals out."""

from clarion.auth.capabilities import grants
from clarion.auth.principal import DEFAULT_TENANT, Principal, Revoked, system
from clarion.auth.rights import AllOf, ByItem, Declared, Public, Right, Self, check, declared
from clarion.auth.signing import Key, Keys, OneKey, public_key, read_key_set, secret_key
from clarion.auth.tokens import TokenIssuer, TokenVerifier

__all__ = [
    "DEFAULT_TENANT",
    "AllOf",
    "ByItem",
    "Declared",
    "Key",
    "Keys",
    "OneKey",
    "Principal",
    "Public",
    "Revoked",
    "Right",
    "Self",
    "TokenIssuer",
    "TokenVerifier",
    "check",
    "declared",
    "grants",
    "public_key",
    "read_key_set",
    "secret_key",
    "system",
]
