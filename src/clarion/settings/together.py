"""What settings must not be together, and what the type of one cannot say."""

from collections.abc import Mapping

from clarion.errors import SettingsError
from clarion.settings.realtime import check_password
from clarion.settings.upstream import check_upstream
from clarion.settings.whole import Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def check_together(settings: Settings, sources: Mapping[str, str]) -> None:
    """Raise SettingsError where settings do not go together; `sources` says where each came from."""
    auth = settings.auth
    if settings.demo and settings.host not in LOOPBACK:
        raise SettingsError(
            f"demo accounts are for loopback only, and host is {settings.host} ({sources.get('host', 'default')})"
        )
    if settings.database_url and not settings.database_url.startswith(
        ("postgresql://", "postgres://")
    ):
        raise SettingsError(
            "database_url must begin with postgresql:// (leave it empty for SQLite in data_dir)"
        )
    if settings.workers > 1 and settings.database_url and not settings.redis_url:
        raise SettingsError(
            f"workers is {settings.workers}, and with database_url they need redis_url, too: they hear of each other over Redis"
        )
    if settings.node_url and not settings.redis_url:
        raise SettingsError("node_url needs redis_url: where processes are is told over Redis")
    if sum(map(bool, (auth.jwt_secret, auth.jwt_public_key, auth.jwks_url))) > 1:
        raise SettingsError(
            "set one of auth.jwt_secret, auth.jwt_public_key and auth.jwks_url, not several"
        )
    if auth.is_external and not auth.issuer:
        raise SettingsError(
            "auth.issuer must be set with the application's own login: a token without a known issuer is refused"
        )
    if auth.is_external and settings.demo:
        raise SettingsError(
            "demo accounts need Clarion's own login: unset auth.jwt_secret, auth.jwt_public_key and auth.jwks_url"
        )
    if auth.jwt_secret and len(auth.jwt_secret.encode()) < 32:
        raise SettingsError("auth.jwt_secret must be at least 32 bytes long (RFC 7518 §3.2)")
    if any(len(secret.encode()) < 32 for secret in auth.other_secrets):
        raise SettingsError(
            "auth.other_secrets: each must be at least 32 bytes long (RFC 7518 §3.2)"
        )
    if auth.jwks_url and not auth.jwks_url.startswith("https://"):
        raise SettingsError("auth.jwks_url must begin with https://")
    if settings.delivery_allow and settings.delivery != "allowlist":
        raise SettingsError("delivery_allow goes with delivery = allowlist")
    check_password(settings.admin_ui)
    check_upstream(settings.upstream)
    if settings.admin_ui.namespace == settings.realtime.namespace:
        raise SettingsError("admin_ui.namespace and realtime.namespace must not be the same")
    if settings.limits.egress_soft_bytes > settings.limits.egress_hard_bytes:
        raise SettingsError("limits.egress_soft_bytes must not exceed limits.egress_hard_bytes")
    for origin in (
        *settings.allowed_origins,
        *([settings.public_url] if settings.public_url else []),
    ):
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise SettingsError(
                f"{origin!r} is not an origin: it must begin with http:// or https://"
            )
