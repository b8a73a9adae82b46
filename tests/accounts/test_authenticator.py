"""The one check of every credential."""

import json
from typing import Any

import pytest

from clarion.accounts import Authenticator, NewAccount, RefreshToken, trusted_issuers
from clarion.auth import OneKey, Principal, TokenVerifier, secret_key, system
from clarion.auth.tokens import ISSUER
from clarion.clock import ManualClock
from clarion.errors import SettingsError, TokenExpired, Unauthenticated, Unavailable
from clarion.settings import Auth
from clarion.telemetry import token_checks
from tests.accounts.conftest import Floor, no_fetch
from tests.auth.by_hand import ED25519, SECRET, claims, jwk, pem, token

OWN = secret_key("the server's own secret, 32 bytes and more")


def counts() -> dict[str, float]:
    names = ("ok", "expired", "refused", "unavailable")
    return {name: token_checks.labels(name)._value.get() for name in names}


async def test_tokens_and_keys_come_in_by_one_door(floor: Floor) -> None:
    """What the credential is shows in its form."""
    answer = await floor.accounts.register(NewAccount("ann", "correct horse"))
    key = await floor.keys.create(system("cli"), "shop", ["notifications:send"])
    user = await floor.authenticator.authenticate(answer.access_token)
    back_end = await floor.authenticator.authenticate(key.key)
    assert [(p.kind, p.id) for p in (user, back_end)] == [("user", "ann"), ("key", key.id)]


async def test_every_check_is_counted_by_its_result(floor: Floor) -> None:
    """Good, expired, refused, impossible."""
    answer = await floor.accounts.register(NewAccount("ann", "correct horse"))
    before = counts()
    await floor.authenticator.authenticate(answer.access_token)
    for bad in ("", "nonsense", "clk_nonsense", "Bearer x", answer.access_token + "x"):
        with pytest.raises(Unauthenticated):
            await floor.authenticator.authenticate(bad)
    floor.clock.advance(900)
    with pytest.raises(TokenExpired):
        await floor.authenticator.authenticate(answer.access_token)

    async def down(url: str) -> bytes:
        raise Unavailable("down")

    settings = Auth(jwks_url="https://login.example/keys", issuer="app")
    issuers = trusted_issuers(settings, OWN, down, floor.clock)
    verifier = TokenVerifier(issuers, audience="clarion", leeway_s=0)
    cut_off = Authenticator(verifier, floor.keys, floor.revocations, floor.clock)
    with pytest.raises(Unavailable):
        await cut_off.authenticate(token(claims(), kid="k"))
    assert {name: n - before[name] for name, n in counts().items()} == {
        "ok": 1,
        "expired": 1,
        "refused": 5,
        "unavailable": 1,
    }


async def test_what_came_in_stays_good_until_it_expires_or_is_revoked(floor: Floor) -> None:
    """What a long-lived connection asks, without any waiting."""
    answer = await floor.accounts.register(NewAccount("ann", "correct horse"))
    ann = await floor.authenticator.authenticate(answer.access_token)
    assert floor.authenticator.is_good(ann)
    floor.clock.advance(899.999)
    assert floor.authenticator.is_good(ann)
    floor.clock.advance(0.001)
    assert not floor.authenticator.is_good(ann)

    again = await floor.accounts.refresh(RefreshToken(answer.refresh_token))
    ann = await floor.authenticator.authenticate(again.access_token)
    await floor.accounts.logout(RefreshToken(again.refresh_token))
    assert not floor.authenticator.is_good(ann)
    assert floor.authenticator.is_good(system("cli"))
    assert floor.authenticator.is_good(Principal(id="ann"))


async def test_a_revoked_key_is_forgotten_in_time(floor: Floor) -> None:
    """The memory of it covers connections that were being made, not more."""
    key = await floor.keys.create(system("cli"), "shop", ["a"])
    principal = await floor.keys.verify(key.key)
    await floor.keys.revoke(system("cli"), key.id)
    floor.revocations.forget_past()
    assert floor.revocations.has_ended(principal)
    floor.clock.advance(60)
    floor.revocations.forget_past()
    assert not floor.revocations.has_ended(principal)


EXTERNAL: list[tuple[Auth, dict[str, Any]]] = [
    (Auth(jwt_secret=SECRET, issuer="app"), {"key": SECRET}),
    (Auth(jwt_public_key=pem(ED25519), issuer="app"), {"key": ED25519, "alg": "EdDSA"}),
    (
        Auth(jwks_url="https://login.example/keys", issuer="app"),
        {"key": ED25519, "alg": "EdDSA", "kid": "k"},
    ),
]


@pytest.mark.parametrize(("settings", "signed"), EXTERNAL, ids=["secret", "public key", "key set"])
async def test_with_the_applications_own_login_its_tokens_are_good_and_ours_are_not(
    settings: Auth, signed: dict[str, Any]
) -> None:
    """One of the two, never both: the server's own secret opens nothing then."""

    async def fetch(url: str) -> bytes:
        return json.dumps({"keys": [jwk(ED25519, kid="k")]}).encode()

    clock = ManualClock()
    issuers = trusted_issuers(settings, OWN, fetch, clock)
    assert list(issuers) == ["app"]
    verifier = TokenVerifier(issuers, audience="clarion", leeway_s=30)
    assert (await verifier.verify(token(**signed), clock.now_ms())).id == "ann"
    ours = token(claims(iss=ISSUER), key="the server's own secret, 32 bytes and more")
    with pytest.raises(Unauthenticated):
        await verifier.verify(ours, clock.now_ms())


def test_without_settings_our_own_login_is_trusted_alone() -> None:
    """Nothing is fetched."""
    issuers = trusted_issuers(Auth(), OWN, no_fetch, ManualClock())
    assert list(issuers) == [ISSUER]
    assert isinstance(issuers[ISSUER], OneKey)


def test_a_bad_key_in_the_settings_stops_the_start() -> None:
    """With a message for whoever set it."""
    with pytest.raises(SettingsError):
        trusted_issuers(Auth(jwt_public_key="x", issuer="a"), OWN, no_fetch, ManualClock())
