"""Keys of an application's own login: fetched seldom, kept when their address fails."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from clarion.accounts import jwks
from clarion.accounts.jwks import MAX_BODY_BYTES, KeySet
from clarion.auth.tokens import TokenVerifier
from clarion.clock import ManualClock
from clarion.errors import Unauthenticated, Unavailable
from tests.auth.by_hand import ED25519, NOW_MS, P256, RSA, claims, jwk, token


class Address:
    """Where keys are published: answers what it is told to, and counts."""

    def __init__(self, **keys: Any) -> None:
        self.asked: list[str] = []
        self.fails_with: Exception | None = None
        self.body = b""
        self.publish(**keys)

    def publish(self, **keys: Any) -> None:
        self.body = json.dumps({"keys": [jwk(key, kid=kid) for kid, key in keys.items()]}).encode()

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await asyncio.sleep(0)
        if self.fails_with:
            raise self.fails_with
        return self.body


URL = "https://login.example/keys"


def key_set(fetch: Callable[[str], Awaitable[bytes]]) -> tuple[KeySet, ManualClock]:
    clock = ManualClock()
    return KeySet("app", URL, fetch, clock), clock


async def test_keys_are_fetched_once_from_the_address_of_the_settings() -> None:
    """The first token brings them, all others find them there; each name has its key."""
    address = Address(a=RSA, b=P256)
    keys, _ = key_set(address.fetch)
    found = [await keys.find(kid) for kid in ("a", "b", "a")]
    assert [key.algorithm for key in found if key] == ["RS256", "ES256", "RS256"]
    assert address.asked == [URL]


async def test_many_at_once_wait_for_one_fetch() -> None:
    """A storm of connections is one request."""
    address = Address(a=P256)
    keys, _ = key_set(address.fetch)
    found = await asyncio.gather(*(keys.find("a") for _ in range(1000)))
    assert all(key is not None for key in found)
    assert len(address.asked) == 1


async def test_a_thousand_made_up_names_cost_one_fetch_in_thirty_seconds() -> None:
    """GHSA-fhv5-28vv-h8m8; and they take no memory."""
    address = Address(a=P256)
    keys, clock = key_set(address.fetch)
    await keys.find("a")
    for second in range(90):
        clock.advance(1)
        for n in range(12):
            assert await keys.find(f"made up {second}.{n}") is None
    assert len(address.asked) == 1 + 3


async def test_a_new_key_is_found_and_a_withdrawn_one_is_gone() -> None:
    """The application changes its keys: the first token with the new name brings the new set."""
    address = Address(old=P256)
    keys, clock = key_set(address.fetch)
    await keys.find("old")
    address.publish(new=ED25519)
    assert await keys.find("new") is None
    clock.advance(30)
    found = await keys.find("new")
    assert found is not None
    assert found.algorithm == "EdDSA"
    assert await keys.find("old") is None


async def test_an_old_set_is_renewed_beside_its_use() -> None:
    """After ten minutes: nobody waits for it, and a withdrawn key ends even if no new name comes."""
    address = Address(a=P256, b=RSA)
    keys, clock = key_set(address.fetch)
    await keys.find("a")
    address.publish(a=P256)
    clock.advance(599)
    assert await keys.find("b") is not None
    assert len(address.asked) == 1
    clock.advance(1)
    assert await keys.find("b") is not None
    await settle()
    assert len(address.asked) == 2
    assert await keys.find("b") is None


async def settle() -> None:
    """Let tasks that wait for nothing come to their end."""
    for _ in range(10):
        await asyncio.sleep(0)


BAD_BODIES = [
    b"",
    b"<html>",
    b'{"keys": []}',
    b'{"keys": [{"kty": "oct", "kid": "a"}]}',
    b"x" * (MAX_BODY_BYTES + 1),
]


@pytest.mark.parametrize(
    "failure", [Unavailable("down"), TimeoutError(), *BAD_BODIES], ids=lambda f: repr(f)[:40]
)
async def test_a_set_that_was_good_stays_good_while_its_address_fails(failure: Any) -> None:
    """Down, late, too large, nonsense, or nothing that can be used: known keys go on, and it is tried again every 10 s."""
    address = Address(a=P256)
    good = address.body
    keys, clock = key_set(address.fetch)
    await keys.find("a")
    if isinstance(failure, bytes):
        address.body = failure
    else:
        address.fails_with = failure
    for _ in range(3):
        clock.advance(600)
        assert await keys.find("a") is not None
        assert await keys.find("new") is None
        assert await keys.find("new") is None
    assert len(address.asked) == 4
    clock.advance(10)
    address.fails_with, address.body = None, good
    assert await keys.find("new") is None
    assert len(address.asked) == 5


async def test_without_any_keys_the_server_says_that_it_is_not_the_tokens_fault() -> None:
    """503 with when to come back, and at most one try in 10 s."""
    address = Address(a=P256)
    address.fails_with = Unavailable("down")
    keys, clock = key_set(address.fetch)
    for _ in range(5):
        with pytest.raises(Unavailable) as caught:
            await keys.find("a")
        assert caught.value.retry_after_s == 10
    assert len(address.asked) == 1
    clock.advance(10)
    address.fails_with = None
    assert await keys.find("a") is not None


async def test_a_body_has_a_size() -> None:
    """64 KiB are read, one byte more is refused."""
    address = Address(a=P256)
    address.body += b" " * (MAX_BODY_BYTES - len(address.body))
    keys, _ = key_set(address.fetch)
    assert await keys.find("a") is not None
    address.body += b" "
    keys, _ = key_set(address.fetch)
    with pytest.raises(Unavailable):
        await keys.find("a")


async def test_a_token_without_a_name_means_the_only_key() -> None:
    """Of several it means none: guessing would be choosing."""
    address = Address(a=P256)
    keys, clock = key_set(address.fetch)
    assert await keys.find(None) is not None
    address.publish(a=P256, b=RSA)
    clock.advance(600)
    await keys.find("a")
    await settle()
    assert await keys.find(None) is None


async def test_a_caller_who_gives_up_does_not_end_the_fetch_of_the_others() -> None:
    """The fetch is everybody's."""
    gate = asyncio.Event()
    address = Address(a=P256)

    async def slow(url: str) -> bytes:
        await gate.wait()
        return await address.fetch(url)

    keys, _ = key_set(slow)
    loop = asyncio.get_running_loop()
    impatient, patient = (loop.create_task(keys.find("a")) for _ in range(2))
    await settle()
    impatient.cancel()
    await settle()
    gate.set()
    assert await patient is not None
    assert impatient.cancelled()


async def test_a_fetch_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the fetching part allows itself."""
    monkeypatch.setattr(jwks, "_FETCH_S", 0.01)

    async def hangs(url: str) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    keys, _ = key_set(hangs)
    with pytest.raises(Unavailable):
        await keys.find("a")


async def test_closing_ends_a_fetch() -> None:
    """And whoever waits for it; closing what is idle is fine."""

    async def hangs(url: str) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    keys, _ = key_set(hangs)
    await keys.close()
    waiting = asyncio.get_running_loop().create_task(keys.find("a"))
    await settle()
    await keys.close()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()


async def test_two_issuers_with_one_name_for_their_keys_stay_apart() -> None:
    """In either order, whatever is cached (CVE-2026-49998 GHSA-g6vg-wj8f-48cj)."""
    issuers = {
        "a": KeySet("a", URL, Address(k=P256).fetch, ManualClock()),
        "b": KeySet("b", URL, Address(k=ED25519).fetch, ManualClock()),
    }
    verifier = TokenVerifier(issuers, audience="clarion", leeway_s=0)
    signed = {"a": {"key": P256, "alg": "ES256"}, "b": {"key": ED25519, "alg": "EdDSA"}}
    for issuer, other in (("a", "b"), ("b", "a"), ("a", "b")):
        good = token(claims(iss=issuer), kid="k", **signed[issuer])
        assert (await verifier.verify(good, NOW_MS)).id == "ann"
        with pytest.raises(Unauthenticated):
            await verifier.verify(token(claims(iss=issuer), kid="k", **signed[other]), NOW_MS)


async def test_an_unverified_issuer_is_never_asked() -> None:
    """A token that names another issuer, or an address as one, causes no request (CVE-2026-32301 GHSA-j77h-rr39-c552)."""
    address = Address(k=P256)
    verifier = TokenVerifier({"app": key_set(address.fetch)[0]}, audience="clarion", leeway_s=0)
    for issuer in ("https://evil.example/", URL, "app/../other"):
        with pytest.raises(Unauthenticated):
            await verifier.verify(token(claims(iss=issuer), key=P256, alg="ES256", kid="k"), NOW_MS)
    assert address.asked == []
