"""Access tokens: JWTs (RFC 7519) signed by us, or by the application whose login is used; after RFC 8725.

Who signed is looked up in one table, issuer → keys. Of an unverified token only `iss` and `kid` are read, and only to find a row
of that table: nothing in a token ever names an algorithm, a key or an address that is then used.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import jwt
import msgspec
from msgspec import Meta, Struct

from clarion.auth.principal import DEFAULT_TENANT, Principal
from clarion.auth.signing import Key, Keys
from clarion.errors import TokenExpired, Unauthenticated

ISSUER = "clarion"  # `iss` of our own tokens
MAX_TOKEN_BYTES = (
    8 * 1024
)  # a token travels in a head of 32 KiB; what it grants fits well below this
_MAX_SUBJECT_BYTES = 255
# `|` is allowed, though it parts tenant and name in the names of rooms: no tenant has a `:`, and these rooms are `user:<id>`.
_NOT_IN_SUBJECT = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# RFC 7519 §2 allows fractions; 2^53 keeps what comes of them exact.
_Seconds = Annotated[float, Meta(ge=0, le=2**53)]
_Patterns = dict[str, tuple[str, ...]]


class Claims(Struct, frozen=True, omit_defaults=True):
    """What a token says. Times are seconds since 1970; `scope` is a list with spaces (RFC 8693 §4.2)."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: _Seconds
    iat: _Seconds | None = None
    nbf: _Seconds | None = None
    jti: str | None = None
    tenant: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)")] = DEFAULT_TENANT
    scope: str = ""
    rooms: _Patterns = {}
    topics: _Patterns = {}
    subscribe: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...], Meta(max_length=100)
    ] = ()
    """Topics that a socket is subscribed to when it connects."""
    access: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...], Meta(max_length=100)
    ] = ()
    """Tags of which a document needs one to be seen, if it has any."""
    family: str | None = None
    """The login that the token comes from; only ours have it."""


class _Header(Struct, frozen=True):
    alg: str
    kid: str | None = None
    # RFC 7515 §4.1.11: an extension that must be understood, and we know none.
    crit: Any = None


class _Hint(Struct, frozen=True):
    iss: str = ""


_read_header = msgspec.json.Decoder(_Header).decode
_read_hint = msgspec.json.Decoder(_Hint).decode
_read_claims = msgspec.json.Decoder(Claims).decode
_signatures = jwt.PyJWS()


class TokenVerifier:
    """Turns tokens into principals.

    Args:
        issuers: Whom we trust: `iss` → keys.
        audience: What a token must be made for.
        leeway_s: How far the issuer's clock may differ from ours.
    """

    def __init__(self, issuers: Mapping[str, Keys], *, audience: str, leeway_s: int) -> None:
        self._issuers = dict(issuers)
        self._audience = audience
        self._leeway_s = leeway_s

    async def verify(self, token: str, now_ms: int) -> Principal:
        """Who the token says is calling; waits only where the issuer's keys have to be fetched first.

        Args:
            token: In compact form (`header.claims.signature`), at most 8 KiB.
            now_ms: The time to compare with.

        Raises:
            TokenExpired: It was good once.
            Unauthenticated: It was not; the message says why without repeating any of it.
            Unavailable: The issuer's keys cannot be had now.
        """
        header, issuer = _peek(token)
        keys = self._issuers.get(issuer)
        key = None if keys is None else await keys.find(header.kid)
        if key is None:
            raise Unauthenticated("the token's issuer or its key is not known here")
        if header.alg != key.algorithm:
            raise Unauthenticated("the token is not signed with the algorithm of its key")
        claims = _verified(token, key)
        # The bytes that were signed decide: another reading of `iss` before the check must not matter.
        if claims.iss != issuer:
            raise Unauthenticated("the token's issuer or its key is not known here")
        # The end is the moment from which this method refuses the token, so that whoever is let in is not thrown out at once.
        expires_ms = int((claims.exp + self._leeway_s) * 1000)
        if now_ms >= expires_ms:
            raise TokenExpired
        self._check(claims, now_ms)
        return Principal(
            id=claims.sub,
            tenant=claims.tenant,
            scopes=frozenset(claims.scope.split()),
            rooms=claims.rooms,
            topics=claims.topics,
            access=claims.access,
            subscribe=claims.subscribe,
            expires_ms=expires_ms,
            token_id=claims.jti,
            family=claims.family,
        )

    def _check(self, claims: Claims, now_ms: int) -> None:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self._audience not in audiences:
            raise Unauthenticated(f"the token is not made for {self._audience} (aud)")
        if claims.nbf is not None and now_ms < (claims.nbf - self._leeway_s) * 1000:
            raise Unauthenticated("the token is not valid yet (nbf)")
        if not is_subject(claims.sub):
            raise Unauthenticated(
                "the token's user id (sub) must be 1–255 bytes without control characters"
            )


class TokenIssuer:
    """Makes our own access tokens.

    Args:
        key: Our secret.
        audience: What the tokens are for.
        life_s: How long each lives.
    """

    def __init__(self, key: Key, *, audience: str, life_s: int) -> None:
        self.life_s = life_s
        self._key = key
        self._audience = audience

    def issue(
        self,
        subject: str,
        *,
        token_id: str,
        family: str,
        now_ms: int,
        tenant: str = DEFAULT_TENANT,
        scopes: Iterable[str] = (),
    ) -> str:
        """A token for a user, good for `life_s` seconds.

        Args:
            subject: The user's id.
            token_id: Names this token (`jti`).
            family: The login that it comes from.
            now_ms: The time of issue.
            tenant: The user's tenant.
            scopes: What the user may do.
        """
        now_s = now_ms // 1000
        claims = Claims(
            iss=ISSUER,
            sub=subject,
            aud=self._audience,
            exp=now_s + self.life_s,
            iat=now_s,
            jti=token_id,
            tenant=tenant,
            scope=" ".join(sorted(scopes)),
            family=family,
        )
        return _signatures.encode(
            msgspec.json.encode(claims), self._key.material, algorithm=self._key.algorithm
        )


def is_subject(text: str) -> bool:
    """Whether it can be a user's id: 1–255 bytes, no control characters."""
    return 0 < len(text.encode()) <= _MAX_SUBJECT_BYTES and not _NOT_IN_SUBJECT.search(text)


def _peek(token: str) -> tuple[_Header, str]:
    """Header and `iss` of a token that nobody has checked yet: good for finding a key, and for nothing else."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise Unauthenticated(f"a token is at most {MAX_TOKEN_BYTES} bytes of ASCII")
    parts = token.split(".")
    if len(parts) != 3:
        raise Unauthenticated("this is neither a token (JWT) nor an API key")
    try:
        header, issuer = _read_header(_unpack(parts[0])), _read_hint(_unpack(parts[1])).iss
    # A thousand open brackets fit into a token: msgspec gives up with RecursionError; all its other errors are ValueErrors.
    except (ValueError, RecursionError) as exc:
        raise Unauthenticated("the token does not parse") from exc
    if not issuer:
        raise Unauthenticated("the token names no issuer (iss)")
    if header.crit is not None:
        raise Unauthenticated("the token wants something to be understood that is not (crit)")
    return header, issuer


def _unpack(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _verified(token: str, key: Key) -> Claims:
    payload = _payload(token, key)
    try:
        return _read_claims(payload)
    except (ValueError, RecursionError) as exc:
        # The issuer signed it, so what is wrong may be told: `Expected `str`, got `int` - at `$.sub``.
        raise Unauthenticated(f"the token's claims are not what they should be: {exc}") from exc


def _payload(token: str, key: Key) -> bytes:
    """What was signed, if it was with the key or one of its others."""
    wrong: Exception | None = None
    for material in (key.material, *key.others):
        try:
            found = _signatures.decode_complete(token, material, algorithms=[key.algorithm])
        except jwt.PyJWTError as exc:
            wrong = exc
        else:
            return bytes(found["payload"])
    raise Unauthenticated("the token's signature is wrong") from wrong
