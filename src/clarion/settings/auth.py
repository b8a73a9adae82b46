"""Who may come in."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may come in. With one of `jwt_secret`, `jwt_public_key`, `jwks_url` the application's own login is used, and Clarion's accounts are off."""

    jwt_secret: Annotated[
        str, about("The application's secret for HS256 tokens (32 bytes or more)")
    ] = ""
    jwt_public_key: Annotated[
        str, about("The application's public key (PEM) for RS256, ES256 or EdDSA tokens")
    ] = ""
    jwks_url: Annotated[str, about("Where the application publishes its keys (https)")] = ""
    issuer: Annotated[
        str, about("`iss` that a token must carry; needed with the application's own login")
    ] = ""
    token_secret: Annotated[
        str,
        about(
            "Signs Clarion's own access tokens (32 bytes or more); empty: made once, in `data_dir`. Processes that form one server need the same. It also seals what is secret in the database"
        ),
    ] = ""
    other_secrets: Annotated[
        list[str],
        about(
            "Former or coming values of `token_secret` or `jwt_secret`, while they are changed: tokens signed with one are good, what was sealed with one is opened. Nothing is signed with them"
        ),
    ] = []
    audience: Annotated[str, about("`aud` that a token must carry")] = "clarion"
    open_namespaces: Annotated[
        list[str],
        about("Namespaces that may be joined without a token; one that is given is still checked"),
    ] = []
    leeway_s: Annotated[int, about("How far clocks may differ (s)", ge=0, le=60)] = 30
    registration: Annotated[bool, about("Whether people may make an account for themselves")] = True
    access_token_s: Annotated[int, about("Life of an access token (s)", ge=10)] = 900
    refresh_token_s: Annotated[int, about("Life of a refresh token (s)", ge=60)] = 30 * 86_400

    @property
    def is_external(self) -> bool:
        """Whether the application brings its own login."""
        return bool(self.jwt_secret or self.jwt_public_key or self.jwks_url)
