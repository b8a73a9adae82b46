"""From a credential to a principal: the one way in for HTTP requests and sockets alike.

A credential is an access token or an API key; both come in `Authorization: Bearer …` (RFC 6750 §2.1) or in a socket's `auth`.
"""

from collections.abc import Mapping

from clarion.accounts.jwks import Fetch, KeySet
from clarion.accounts.keys import Keys
from clarion.accounts.revocations import Revocations
from clarion.auth import api_keys, signing
from clarion.auth.principal import Principal
from clarion.auth.tokens import ISSUER, TokenVerifier
from clarion.clock import Clock
from clarion.errors import Blocked, ServerError, TokenExpired, Unauthenticated
from clarion.settings import Auth
from clarion.telemetry import token_checks


def trusted_issuers(
    settings: Auth, own: signing.Key, fetch: Fetch, clock: Clock
) -> Mapping[str, signing.Keys]:
    """Whose tokens are good here: the application's, or our own; never both.

    Args:
        settings: `jwt_secret`, `jwt_public_key` or `jwks_url` with `issuer`; none of them: our own login.
        own: Key of our own tokens.
        fetch: Gets the application's key set.
        clock: Time now.

    Raises:
        SettingsError: A key in the settings is no good.
    """
    if settings.jwt_secret:
        return {
            settings.issuer: signing.OneKey(
                signing.secret_key(settings.jwt_secret, settings.other_secrets)
            )
        }
    if settings.jwt_public_key:
        return {settings.issuer: signing.OneKey(signing.public_key(settings.jwt_public_key))}
    if settings.jwks_url:
        return {settings.issuer: KeySet(settings.issuer, settings.jwks_url, fetch, clock)}
    return {ISSUER: signing.OneKey(own)}


class Authenticator:
    """Checks credentials.

    Args:
        verifier: Checks access tokens.
        keys: Checks API keys.
        revocations: Knows what has ended.
        clock: Time now.
    """

    def __init__(
        self, verifier: TokenVerifier, keys: Keys, revocations: Revocations, clock: Clock
    ) -> None:
        self._verifier = verifier
        self._keys = keys
        self._revocations = revocations
        self._clock = clock

    async def authenticate(self, credential: str) -> Principal:
        """Who is calling.

        Args:
            credential: An access token or an API key, without `Bearer`.

        Raises:
            TokenExpired: An access token that was good once.
            Unauthenticated: Unknown, wrong or revoked.
            Blocked: The user may not come in.
            Unavailable: It cannot be checked now.
        """
        try:
            principal = await self._check(credential)
        except (Unauthenticated, Blocked) as exc:
            result = "expired" if isinstance(exc, TokenExpired) else "refused"
            token_checks.labels(result).inc()
            raise
        except ServerError:
            token_checks.labels("unavailable").inc()
            raise
        token_checks.labels("ok").inc()
        return principal

    def is_good(self, principal: Principal) -> bool:
        """Whether what the principal came in with is still good: neither expired nor revoked, nor its user blocked. For long-lived connections.

        Whoever adds a connection to the list of those that `on_revoked` ends asks once more afterwards: the end may have come between.
        """
        return not principal.has_expired(self._clock.now_ms()) and not self._revocations.has_ended(
            principal
        )

    async def _check(self, credential: str) -> Principal:
        if credential.startswith(api_keys.PREFIX):
            principal = await self._keys.verify(credential)
        else:
            principal = await self._verifier.verify(credential, self._clock.now_ms())
        # After everything that had to be waited for: it may have ended meanwhile.
        self._revocations.check(principal)
        return principal
