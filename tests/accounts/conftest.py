"""The floor as the app would put it together, on each database."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.accounts import Accounts, Authenticator, Hasher, Keys, Revocations, trusted_issuers
from clarion.auth import Revoked, TokenIssuer, TokenVerifier, secret_key
from clarion.clock import ManualClock
from clarion.ids import Ids
from clarion.settings import Auth
from clarion.storage import Store, open_store
from tests.support.services import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty database."""
    async with contextlib.AsyncExitStack() as stack:
        url = ""
        if request.param == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            url = await stack.enter_async_context(server.database())
        store = await open_store(url=url, data_dir=tmp_path, clock=ManualClock())
        yield store
        await store.close()


async def no_fetch(url: str) -> bytes:
    raise AssertionError(f"nothing is fetched with Clarion's own login: {url}")


class Floor:
    """Everything of accounts/, wired."""

    def __init__(self, store: Store, settings: Auth) -> None:
        self.store, self.settings = store, settings
        self.clock, self.ids = ManualClock(), Ids()
        self.revoked: list[Revoked] = []
        self.revocations = Revocations(store, self.clock, self.revoked.append)
        self.hasher = Hasher(16, self.ids)
        key = secret_key("the server's own secret, 32 bytes and more")
        issuer = TokenIssuer(key, audience=settings.audience, life_s=settings.access_token_s)
        self.accounts = Accounts(
            store,
            settings,
            issuer,
            self.hasher,
            self.revocations,
            clock=self.clock,
            ids=self.ids,
        )
        self.keys = Keys(store, self.revocations, clock=self.clock, ids=self.ids)
        issuers = trusted_issuers(settings, key, no_fetch, self.clock)
        verifier = TokenVerifier(issuers, audience=settings.audience, leeway_s=settings.leeway_s)
        self.authenticator = Authenticator(verifier, self.keys, self.revocations, self.clock)

    def restarted(self, **settings: object) -> "Floor":
        """The same data in a new process, at the same time."""
        after = Floor(self.store, Auth(**settings) if settings else self.settings)  # type: ignore[arg-type]
        after.clock.advance(self.clock.monotonic())
        return after


@pytest.fixture
async def floor(store: Store) -> AsyncIterator[Floor]:
    """Clarion's own login on an empty database."""
    floor = Floor(store, Auth(leeway_s=0))
    yield floor
    floor.hasher.close()
