"""Accounts and logins: register, sign in, stay signed in, sign out.

A login is a family of tokens: short access tokens, and one refresh token that changes with every use. A refresh token that comes a
second time was copied by somebody: the family ends (RFC 9700 §4.14.2). There is no grace for a client that sends it twice by
itself, since that looks the same; a client does one refresh at a time.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from clarion.accounts import demo
from clarion.accounts.forms import USERNAME, Credentials, NewAccount, RefreshToken, SignedIn, User
from clarion.accounts.hashing import Hasher
from clarion.accounts.revocations import Revocations
from clarion.auth import refresh_tokens
from clarion.auth.passwords import NO_PASSWORD, is_outdated
from clarion.auth.principal import DEFAULT_TENANT, Principal, Revoked
from clarion.auth.refresh_tokens import Refresh
from clarion.auth.tokens import TokenIssuer
from clarion.clock import Clock
from clarion.errors import (
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    Overloaded,
    Unauthenticated,
)
from clarion.ids import Ids
from clarion.settings import Auth
from clarion.storage import accounts as rows
from clarion.storage import subscribers
from clarion.storage.slices import in_slices
from clarion.storage.store import Store, Tx
from clarion.telemetry import get_logger, spawn

_PURGED_AT_ONCE = 500  # rows

_log = get_logger(__name__)


class Accounts:
    """Clarion's own accounts. With the application's own login only `me` answers.

    Args:
        store: Where they are kept.
        settings: Lives of tokens, whether people may register.
        issuer: Makes access tokens.
        hasher: Hashes passwords.
        revocations: Told of logins that end.
        clock: Time now.
        ids: Tokens and their ids.
    """

    def __init__(
        self,
        store: Store,
        settings: Auth,
        issuer: TokenIssuer,
        hasher: Hasher,
        revocations: Revocations,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._settings = settings
        self._issuer = issuer
        self._hasher = hasher
        self._revocations = revocations
        self._clock = clock
        self._ids = ids

    async def register(self, body: NewAccount, *, tenant: str = DEFAULT_TENANT) -> SignedIn:
        """Make an account, with a subscriber of the same id, and sign in. New accounts have no scopes.

        Raises:
            Invalid: User name or password are not what they must be.
            Conflict: The id is taken, by an account or by a subscriber: else a stranger could take over an inbox.
            Forbidden: Registration is closed.
            NotFound: The application has its own login.
            Overloaded: Too many are signing in.
        """
        self._need_own_login()
        if not self._settings.registration:
            raise Forbidden("accounts are made by the operator here")
        _check_username(body.username)
        hashed = await self._hasher.hash(body.password)
        user = User(body.username, body.name, [], tenant)
        login, answer = self._new_login(user)
        async with self._store.transaction() as tx:
            await self._add(tx, user, hashed)
            await tx.apply(rows.ADD_LOGIN, [login])
        return answer

    async def login(self, body: Credentials, *, tenant: str = DEFAULT_TENANT) -> SignedIn:
        """Sign in. An unknown user and a wrong password get the same answer after the same time.

        Raises:
            Unauthenticated: User name or password are wrong.
            Blocked: They are right, and the user may not come in.
            NotFound: The application has its own login.
            Overloaded: Too many are signing in.
        """
        self._need_own_login()
        found = await self._store.fetch(rows.FIND, tenant=tenant, id=body.username)
        stored = found[0].password if found else NO_PASSWORD
        is_right = await self._hasher.check(body.password, stored)
        if not found or not is_right:
            raise Unauthenticated("user name or password are wrong")
        account = found[0]
        self._revocations.check_user(tenant, account.id)
        if is_outdated(stored):
            await self._rehash(tenant, account.id, body.password, stored)
        login, answer = self._new_login(_user(account, tenant))
        await self._store.apply(rows.ADD_LOGIN, [login])
        return answer

    async def refresh(self, body: RefreshToken, *, tenant: str = DEFAULT_TENANT) -> SignedIn:
        """New tokens for a login; the refresh token that was given is used up.

        Whoever loses the answer has to sign in again: the same token a second time ends the login.

        Raises:
            Unauthenticated: The token is unknown, used up, or its login has ended.
            Blocked: The user may not come in; the token stays good.
            NotFound: The application has its own login.
        """
        self._need_own_login()
        former = refresh_tokens.parse(body.refresh_token)
        if former is None:
            raise Unauthenticated("this is not a refresh token")
        token, now_ms = former.next(self._ids), self._clock.now_ms()
        access_ms, expires_ms = self._ends(now_ms)
        async with self._store.transaction() as tx:
            kept = await tx.fetch(
                rows.ROTATE,
                tenant=tenant,
                family=token.family,
                former=former.digest,
                digest=token.digest,
                access_ms=access_ms,
                expires_ms=expires_ms,
                purge_ms=max(access_ms, expires_ms),
                now_ms=now_ms,
            )
            found: list[rows.Account] = []
            if kept:
                # Raised inside: the token that was given stays good, for when the block is over.
                self._revocations.check_user(tenant, kept[0].account)
                found = await tx.fetch(rows.FIND, tenant=tenant, id=kept[0].account)
        if not kept and await self._end(tenant, former.family, spared=former.digest):
            _log.warning("refresh token came twice, login ended", family=former.family)
        if not found:
            raise Unauthenticated("the refresh token is not good any more: sign in again")
        return self._answer(_user(found[0], tenant), token, now_ms)

    async def logout(self, body: RefreshToken, *, tenant: str = DEFAULT_TENANT) -> None:
        """End the login that the token belongs to, with all its access tokens and what they opened.

        An unknown or ended login is fine: then there is nothing left to end.

        Raises:
            NotFound: The application has its own login.
        """
        self._need_own_login()
        token = refresh_tokens.parse(body.refresh_token)
        if token is not None:
            await self._end(tenant, token.family)

    async def me(self, principal: Principal) -> User:
        """The signed-in user; somebody who has no account here (the application's own login) has no name."""
        found = await self._store.fetch(rows.FIND, tenant=principal.tenant, id=principal.id)
        name = found[0].name or None if found else None
        return User(principal.id, name, sorted(principal.scopes), principal.tenant)

    async def ensure_demo(self) -> list[tuple[str, str]]:
        """Two accounts to try things with, and new passwords for them: `[(user name, password)]`.

        A name that belongs to somebody else is left alone and left out. Logins of a former start go on.
        """
        made: list[tuple[str, str]] = []
        for username in demo.USERS:
            password = self._ids.token(12)
            hashed = await self._hasher.hash(password)
            try:
                await demo.put(self._store, username, hashed, self._clock.now_ms())
            except Conflict:
                _log.warning("demo account left out: the name is taken", user=username)
            else:
                made.append((username, password))
        return made

    def purge(self) -> AsyncIterator[int]:
        """Delete logins on which nothing depends any more, see `jobs.purging.Slices`."""
        return in_slices(self._store, rows.PURGE, _PURGED_AT_ONCE, now_ms=self._clock.now_ms())

    def _need_own_login(self) -> None:
        if self._settings.is_external:
            raise NotFound("this server uses the application's own login")

    async def _add(self, tx: Tx, user: User, hashed: str) -> None:
        facts = {"tenant": user.tenant, "id": user.id, "name": user.name or ""}
        now_ms = self._clock.now_ms()
        scopes = " ".join(user.scopes)
        if not await tx.execute(rows.ADD, **facts, password=hashed, scopes=scopes, now_ms=now_ms):
            raise Conflict(f"the user name {user.id} is taken")
        if not await tx.execute(subscribers.ADD, **facts, now_ms=now_ms):
            raise Conflict(f"the user name {user.id} is taken")

    async def _rehash(self, tenant: str, account: str, password: str, stored: str) -> None:
        try:
            hashed = await self._hasher.hash(password)
        except Overloaded:
            return  # the next login will do
        async with self._store.transaction() as tx:
            await tx.execute(
                rows.REPLACE_HASH, tenant=tenant, id=account, password=hashed, former=stored
            )

    def _new_login(self, user: User) -> tuple[rows.Login, SignedIn]:
        token, now_ms = refresh_tokens.make(self._ids), self._clock.now_ms()
        access_ms, expires_ms = self._ends(now_ms)
        login = rows.Login(
            tenant=user.tenant,
            family=token.family,
            account=user.id,
            digest=token.digest,
            access_ms=access_ms,
            expires_ms=expires_ms,
            created_ms=now_ms,
            purge_ms=max(access_ms, expires_ms),
        )
        return login, self._answer(user, token, now_ms)

    def _ends(self, now_ms: int) -> tuple[int, int]:
        """When an access token of now is refused by everybody, and when a refresh token is."""
        settings = self._settings
        access_s = self._issuer.life_s + settings.leeway_s
        return now_ms + access_s * 1000, now_ms + settings.refresh_token_s * 1000

    def _answer(self, user: User, token: Refresh, now_ms: int) -> SignedIn:
        access_token = self._issuer.issue(
            user.id,
            token_id=self._ids.token(),
            family=token.family,
            now_ms=now_ms,
            tenant=user.tenant,
            scopes=user.scopes,
        )
        return SignedIn(user, access_token, token.reveal(), self._issuer.life_s)

    async def _end(self, tenant: str, family: str, *, spared: str = "") -> bool:
        """End a login; returns whether one ended that had not before."""

        async def end() -> bool:
            now_ms = self._clock.now_ms()
            async with self._store.transaction() as tx:
                ended = await tx.fetch(
                    rows.END, tenant=tenant, family=family, spared=spared, now_ms=now_ms
                )
            return bool(ended) and self._revocations.add(_revoked(ended[0]), ended[0].access_ms)

        # Not to be cancelled half-way: the rows would say that it ended, and its sockets would live on.
        return await asyncio.shield(spawn(end(), name="end login"))


def _revoked(login: rows.Family) -> Revoked:
    return Revoked(tenant=login.tenant, kind="user", id=login.account, family=login.family)


def _user(account: rows.Account, tenant: str) -> User:
    return User(account.id, account.name or None, account.scopes.split(), tenant)


def _check_username(username: str) -> None:
    if not re.match(USERNAME, username):
        detail = "1 to 128 of a–z, 0–9 and . _ @ + -, beginning with a letter or digit"
        raise Invalid(f"a user name has {detail}", faults=[Fault("/username", detail)])
