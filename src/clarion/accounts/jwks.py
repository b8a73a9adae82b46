"""Keys of an application's own login, fetched from the address in the settings (RFC 7517).

One object serves one issuer and one address, so that one issuer's key never checks another's token. Tokens with made-up key names
cost nothing: for a name that is not in the set it is fetched again at most every 30 s. A set that was good stays good while
its address is down or talks nonsense.
"""

import asyncio
from collections.abc import Awaitable, Callable

from clarion.auth.signing import Key, read_key_set
from clarion.clock import Clock
from clarion.errors import ClarionError, Unavailable
from clarion.telemetry import get_logger, spawn

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets the body behind an address; raises a `ClarionError` where it cannot."""

MAX_BODY_BYTES = 64 * 1024
_FETCH_S = 10.0  # for one fetch, whatever the fetching part allows itself
_AFTER_FAILURE_S = 10.0  # until the next try after one that failed
_UNKNOWN_S = 30.0  # until a name that is not in the set is looked for again
_STALE_S = 600.0  # then a set is renewed, beside its use: a key that was withdrawn ends

_log = get_logger(__name__)


class KeySet:
    """The keys of one issuer at one address.

    Args:
        issuer: For log lines.
        url: From the settings, never from a token.
        fetch: Gets a body; follows no redirect to a foreign origin.
        clock: Time now.
    """

    def __init__(self, issuer: str, url: str, fetch: Fetch, clock: Clock) -> None:
        self._issuer = issuer
        self._url = url
        self._fetch = fetch
        self._clock = clock
        # Changes while open; times are monotonic seconds. An empty set was never fetched.
        self._keys: dict[str, Key] = {}
        self._fresh_at = float("-inf")
        self._next_try = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> Key | None:
        """The key of this name; a token without a name may only mean the one key of a set of one.

        Raises:
            Unavailable: No set could be fetched so far.
        """
        key = self._look_up(kid)
        if key is None:
            await self._renew()
            key = self._look_up(kid)
        elif self._clock.monotonic() - self._fresh_at >= _STALE_S:
            self._begin()
        if not self._keys:
            wait_s = max(1.0, self._next_try - self._clock.monotonic())
            raise Unavailable("the keys of the token's issuer cannot be had", retry_after_s=wait_s)
        return key

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _look_up(self, kid: str | None) -> Key | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _renew(self) -> None:
        self._begin()
        if self._fetching is not None:
            # Shielded: the fetch is everybody's, and a caller who gives up must not end it.
            await asyncio.shield(self._fetching)

    def _begin(self) -> None:
        if self._fetching is None and self._clock.monotonic() >= self._next_try:
            self._fetching = spawn(self._run(), name="fetch keys")

    async def _run(self) -> None:
        try:
            self._keys = await self._load()
            self._fresh_at = self._clock.monotonic()
            self._next_try = self._fresh_at + _UNKNOWN_S
        except (ClarionError, TimeoutError, ValueError) as exc:
            self._next_try = self._clock.monotonic() + _AFTER_FAILURE_S
            _log.warning("keys could not be fetched", issuer=self._issuer, reason=str(exc))
        finally:
            self._fetching = None

    async def _load(self) -> dict[str, Key]:
        async with asyncio.timeout(_FETCH_S):
            body = await self._fetch(self._url)
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"the key set exceeds {MAX_BODY_BYTES} bytes")
        keys = read_key_set(body)
        if not keys:
            raise ValueError("no key in the set can be used (RS256, ES256, EdDSA with a kid)")
        return keys
