"""Register, sign in, stay signed in, sign out: on each database."""

import asyncio
import threading

import argon2
import pytest

from clarion.accounts import Accounts, Credentials, NewAccount, RefreshToken, SignedIn, User
from clarion.auth import Principal, Revoked
from clarion.errors import Conflict, Forbidden, Invalid, NotFound, Overloaded, Unauthenticated
from clarion.ids import digest
from clarion.storage import Sql, subscribers
from clarion.storage import accounts as rows
from clarion.storage.slices import total
from tests.accounts.conftest import Floor

PASSWORD = "correct horse"
ANN = NewAccount("ann", PASSWORD, "Ann Example")
ALL_LOGINS = Sql("SELECT tenant, family, account, access_ms FROM login", rows.Family)


def token_of(answer: SignedIn) -> RefreshToken:
    return RefreshToken(answer.refresh_token)


async def refused(accounts: Accounts, token: RefreshToken) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await accounts.refresh(token)
    return caught.value.message


async def test_who_registers_is_signed_in_and_may_nothing_special(floor: Floor) -> None:
    """The answer has the user and tokens; the access token is good and has no scopes."""
    answer = await floor.accounts.register(ANN)
    assert answer.user == User("ann", "Ann Example", [], "default")
    assert (answer.token_type, answer.expires_in) == ("Bearer", 900)
    principal = await floor.authenticator.authenticate(answer.access_token)
    assert (principal.id, principal.kind, principal.scopes) == ("ann", "user", frozenset())
    assert principal.expires_ms == floor.clock.now_ms() + 900_000
    assert await floor.accounts.me(principal) == answer.user


async def test_who_registers_can_be_notified(floor: Floor) -> None:
    """A subscriber of the same id exists from the same commit on."""
    await floor.accounts.register(ANN)
    found = await floor.store.fetch(subscribers.FIND, tenant="default", id="ann")
    assert [(row.id, row.name, row.created_ms) for row in found] == [
        ("ann", "Ann Example", floor.clock.now_ms())
    ]


async def test_a_taken_name_is_refused_and_nothing_of_the_call_stays(floor: Floor) -> None:
    """The account that was there keeps its password; the refused one has no login."""
    await floor.accounts.register(ANN)
    with pytest.raises(Conflict, match="ann"):
        await floor.accounts.register(NewAccount("ann", "another password"))
    assert (await floor.accounts.login(Credentials("ann", PASSWORD))).user.name == "Ann Example"
    assert len(await floor.store.fetch(ALL_LOGINS)) == 2


async def test_nobody_can_take_over_the_inbox_of_a_subscriber(floor: Floor) -> None:
    """An id that notifications know already cannot be registered by a stranger: neither account nor login stays."""
    async with floor.store.transaction() as tx:
        await tx.execute(subscribers.ADD, tenant="default", id="ann", name="", now_ms=1)
    with pytest.raises(Conflict):
        await floor.accounts.register(ANN)
    assert await floor.store.fetch(rows.FIND, tenant="default", id="ann") == []
    assert await floor.store.fetch(ALL_LOGINS) == []


async def test_of_two_who_register_a_name_at_once_one_gets_it(floor: Floor) -> None:
    """One account, one Conflict, whatever the order; the winner's password is the one that counts."""
    bodies = [NewAccount("ann", f"password number {n}") for n in range(4)]
    results = await asyncio.gather(*map(floor.accounts.register, bodies), return_exceptions=True)
    winners = [
        body for body, result in zip(bodies, results, strict=True) if isinstance(result, SignedIn)
    ]
    assert len(winners) == 1
    assert [type(r) for r in results if not isinstance(r, SignedIn)] == [Conflict] * 3
    assert (await floor.accounts.login(Credentials("ann", winners[0].password))).user.id == "ann"


async def test_the_same_name_in_another_tenant_is_somebody_else(floor: Floor) -> None:
    """Tenants share no accounts, and a token of one says so."""
    await floor.accounts.register(ANN)
    other = await floor.accounts.register(NewAccount("ann", "another password"), tenant="acme")
    assert (await floor.authenticator.authenticate(other.access_token)).tenant == "acme"
    with pytest.raises(Unauthenticated):
        await floor.accounts.login(Credentials("ann", PASSWORD), tenant="acme")
    assert "not good" in await refused(floor.accounts, token_of(other))
    assert (await floor.accounts.refresh(token_of(other), tenant="acme")).user.tenant == "acme"


@pytest.mark.parametrize(
    "name", ["", "Ann", "-ann", "ann|x", "a n", "ann\n", "é", "x" * 129, "user:ann", "a/b"]
)
async def test_a_user_name_that_cannot_be_one_is_refused(floor: Floor, name: str) -> None:
    """Before anything is hashed or stored, with a pointer to the field."""
    with pytest.raises(Invalid) as caught:
        await floor.accounts.register(NewAccount(name, PASSWORD))
    assert [fault.pointer for fault in caught.value.faults] == ["/username"]


async def test_a_short_password_is_refused(floor: Floor) -> None:
    """With a pointer to the field."""
    with pytest.raises(Invalid) as caught:
        await floor.accounts.register(NewAccount("ann", "7 chars"))
    assert [fault.pointer for fault in caught.value.faults] == ["/password"]


async def test_a_closed_server_takes_no_registrations(floor: Floor) -> None:
    """`auth.registration = false`."""
    closed = floor.restarted(registration=False).accounts
    with pytest.raises(Forbidden):
        await closed.register(ANN)


async def test_with_the_applications_own_login_there_is_no_other(floor: Floor) -> None:
    """Nobody gets in beside it; who came in through it is still somebody."""
    external = floor.restarted(jwt_secret="x" * 32, issuer="app").accounts
    calls = [
        external.register(ANN),
        external.login(Credentials("ann", PASSWORD)),
        external.refresh(RefreshToken("")),
        external.logout(RefreshToken("")),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    ann = Principal(id="auth0:ann", scopes=frozenset({"b", "a"}))
    assert await external.me(ann) == User("auth0:ann", None, ["a", "b"], "default")


async def test_unknown_user_and_wrong_password_get_the_same_answer(floor: Floor) -> None:
    """Nobody learns who has an account; a password that no account can have is no exception."""
    await floor.accounts.register(ANN)
    answers = []
    for body in (
        Credentials("ann", "wrong password"),
        Credentials("nobody", "wrong password"),
        Credentials("ann", "short"),
        Credentials("No Such Name", PASSWORD),
    ):
        with pytest.raises(Unauthenticated) as caught:
            await floor.accounts.login(body)
        answers.append((type(caught.value), caught.value.as_answer()))
    assert all(answer == answers[0] for answer in answers)


async def test_an_unknown_user_costs_a_hash_too(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time does not tell either: exactly one check each, against settings that are alike."""
    await floor.accounts.register(ANN)
    checked: list[str] = []
    check = floor.hasher.check

    async def counted(password: str, stored: str) -> bool:
        checked.append(stored.rsplit("$", 2)[0])
        return await check(password, stored)

    monkeypatch.setattr(floor.hasher, "check", counted)
    for name in ("ann", "nobody"):
        with pytest.raises(Unauthenticated):
            await floor.accounts.login(Credentials(name, "wrong password"))
    assert len(checked) == 2
    assert checked[0] == checked[1]


async def test_an_old_hash_is_replaced_when_its_password_is_known(floor: Floor) -> None:
    """Raised settings reach everybody who signs in."""
    await floor.accounts.register(ANN)
    await put_old_hash(floor)
    await floor.accounts.login(Credentials("ann", PASSWORD))
    found = await floor.store.fetch(rows.FIND, tenant="default", id="ann")
    assert "m=19456,t=2,p=1" in found[0].password
    await floor.accounts.login(Credentials("ann", PASSWORD))


async def test_a_hash_is_not_replaced_when_there_is_no_room(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing in comes first: the next login will replace it."""
    await floor.accounts.register(ANN)
    old = await put_old_hash(floor)

    async def full(password: str) -> str:
        raise Overloaded

    monkeypatch.setattr(floor.hasher, "hash", full)
    assert (await floor.accounts.login(Credentials("ann", PASSWORD))).user.id == "ann"
    found = await floor.store.fetch(rows.FIND, tenant="default", id="ann")
    assert found[0].password == old


async def test_a_hash_is_replaced_only_if_it_is_still_the_one_that_was_checked(
    floor: Floor,
) -> None:
    """A password that was changed in between is not set back."""
    await floor.accounts.register(ANN)
    await put_old_hash(floor)
    async with floor.store.transaction() as tx:
        changed = await tx.execute(
            rows.REPLACE_HASH, tenant="default", id="ann", password="new", former="another"
        )
    assert changed == 0


async def test_a_flood_of_logins_is_refused_and_others_are_served(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are hashed, sixteen wait, all others get 503 with when to come back; who is signed in notices nothing."""
    answer = await floor.accounts.register(ANN)
    gate = threading.Event()

    def held(password: str, stored: str) -> bool:
        assert gate.wait(30)
        return password == PASSWORD

    monkeypatch.setattr("clarion.accounts.hashing.is_password", held)
    loop = asyncio.get_running_loop()
    flood = [loop.create_task(floor.accounts.login(Credentials("ann", "guess"))) for _ in range(60)]
    refused = set[asyncio.Task[SignedIn]]()
    while len(refused) < 42:
        done, _ = await asyncio.wait(set(flood) - refused, return_when=asyncio.FIRST_COMPLETED)
        refused |= done
    for task in refused:
        exc = task.exception()
        assert isinstance(exc, Overloaded)
        assert (exc.status, exc.retry_after_s) == (503, 1)
    answer = await floor.accounts.refresh(token_of(answer))
    assert (await floor.authenticator.authenticate(answer.access_token)).id == "ann"
    gate.set()
    results = await asyncio.gather(*(set(flood) - refused), return_exceptions=True)
    assert [type(result) for result in results] == [Unauthenticated] * 18
    assert (await floor.accounts.login(Credentials("ann", PASSWORD))).user.id == "ann"


async def put_old_hash(floor: Floor) -> str:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    found = await floor.store.fetch(rows.FIND, tenant="default", id="ann")
    async with floor.store.transaction() as tx:
        await tx.execute(
            rows.REPLACE_HASH, tenant="default", id="ann", password=old, former=found[0].password
        )
    return old


async def test_a_refresh_token_brings_new_tokens_once(floor: Floor) -> None:
    """Each is used up by its use; the login goes on with the next."""
    answer = await floor.accounts.register(ANN)
    seen = [answer.refresh_token]
    for _ in range(3):
        floor.clock.advance(1000)
        answer = await floor.accounts.refresh(token_of(answer))
        seen.append(answer.refresh_token)
        assert (await floor.authenticator.authenticate(answer.access_token)).id == "ann"
    assert len(set(seen)) == 4
    assert answer.user == User("ann", "Ann Example", [], "default")
    assert len(await floor.store.fetch(ALL_LOGINS)) == 1


async def test_a_refresh_token_that_comes_twice_ends_its_login(floor: Floor) -> None:
    """Somebody has copied it: the newest refresh token, every access token and what they opened end; other logins go on."""
    first = await floor.accounts.register(ANN)
    elsewhere = await floor.accounts.login(Credentials("ann", PASSWORD))
    second = await floor.accounts.refresh(token_of(first))
    third = await floor.accounts.refresh(token_of(second))
    principal = await floor.authenticator.authenticate(third.access_token)
    assert floor.authenticator.is_good(principal)

    assert "sign in again" in await refused(floor.accounts, token_of(first))

    assert [revoked.ends(principal) for revoked in floor.revoked] == [True]
    assert not floor.authenticator.is_good(principal)
    for answer in (first, second, third):
        with pytest.raises(Unauthenticated, match="ended"):
            await floor.authenticator.authenticate(answer.access_token)
        await refused(floor.accounts, token_of(answer))
    assert (await floor.authenticator.authenticate(elsewhere.access_token)).id == "ann"
    await floor.accounts.refresh(token_of(elsewhere))
    assert len(floor.revoked) == 1


async def test_of_two_refreshes_at_once_one_wins_and_the_login_ends(floor: Floor) -> None:
    """There is no grace: two at once look like a thief and their victim. Never do two get tokens that stay good."""
    answer = await floor.accounts.register(ANN)
    results = await asyncio.gather(
        *(floor.accounts.refresh(token_of(answer)) for _ in range(4)), return_exceptions=True
    )
    winners = [result for result in results if isinstance(result, SignedIn)]
    assert len(winners) == 1
    assert {type(r) for r in results if not isinstance(r, SignedIn)} == {Unauthenticated}
    await refused(floor.accounts, token_of(winners[0]))
    assert len(floor.revoked) == 1


async def test_a_login_that_is_not_used_ends(floor: Floor) -> None:
    """After `auth.refresh_token_s`; that is no theft, so nothing is revoked."""
    answer = await floor.accounts.register(ANN)
    floor.clock.advance(floor.settings.refresh_token_s)
    await refused(floor.accounts, token_of(answer))
    assert floor.revoked == []


@pytest.mark.parametrize(
    "token",
    [
        "",
        "clr_",
        "clr_a_b",
        "x" * 255,
        "clk_0123456789abcdef_" + "x" * 43,
        "clr_" + "a" * 20 + "_" + "b" * 43,
    ],
)
async def test_anything_else_is_not_a_refresh_token(floor: Floor, token: str) -> None:
    """Made-up ones are refused and end nobody's login; signing out with them is fine."""
    await floor.accounts.register(ANN)
    await refused(floor.accounts, RefreshToken(token))
    await floor.accounts.logout(RefreshToken(token))
    assert floor.revoked == []


async def test_an_access_token_does_not_help_to_make_up_a_refresh_token(floor: Floor) -> None:
    """What it shows of its login is a digest: presented as a handle it belongs to no login."""
    answer = await floor.accounts.register(ANN)
    family = (await floor.authenticator.authenticate(answer.access_token)).family
    assert family is not None
    assert family not in answer.refresh_token
    await refused(floor.accounts, RefreshToken(f"clr_{family[:20]}_{'x' * 43}"))
    await floor.accounts.refresh(token_of(answer))


async def test_no_secret_is_in_the_database(floor: Floor) -> None:
    """A copy of it lets nobody in: of the refresh token there is a digest, of its handle the family."""
    answer = await floor.accounts.register(ANN)
    handle, secret = answer.refresh_token[4:24], answer.refresh_token[25:]
    text = "SELECT tenant, family, account, digest, access_ms, expires_ms, created_ms, purge_ms FROM login"
    (login,) = await floor.store.fetch(Sql(text, rows.Login))
    assert login.digest == digest(secret)
    assert handle not in repr(login)
    assert secret not in repr(login)


async def test_signing_out_ends_what_the_login_opened(floor: Floor) -> None:
    """At once, for access tokens as for sockets; doing it again changes nothing."""
    answer = await floor.accounts.register(ANN)
    principal = await floor.authenticator.authenticate(answer.access_token)
    await floor.accounts.logout(token_of(answer))
    assert floor.revoked == [
        Revoked(tenant="default", kind="user", id="ann", family=principal.family)
    ]
    with pytest.raises(Unauthenticated):
        await floor.authenticator.authenticate(answer.access_token)
    await refused(floor.accounts, token_of(answer))
    await floor.accounts.logout(token_of(answer))
    assert len(floor.revoked) == 1


async def test_a_caller_who_leaves_while_signing_out_has_signed_out(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is closed, the request is cancelled: what the login opened ends all the same."""
    answer = await floor.accounts.register(ANN)
    told = asyncio.Event()
    monkeypatch.setattr(floor.revocations, "_on_revoked", lambda _: told.set())
    logout = asyncio.get_running_loop().create_task(floor.accounts.logout(token_of(answer)))
    await asyncio.sleep(0)
    logout.cancel()
    async with asyncio.timeout(10):
        await told.wait()
    assert logout.cancelled()
    with pytest.raises(Unauthenticated):
        await floor.authenticator.authenticate(answer.access_token)


async def test_signing_out_again_repairs_what_was_not_seen(floor: Floor) -> None:
    """The first call failed with an unknown outcome, but the rows say that it ended: the second one makes it known."""
    answer = await floor.accounts.register(ANN)
    principal = await floor.authenticator.authenticate(answer.access_token)
    async with floor.store.transaction() as tx:
        await tx.execute(
            rows.END,
            tenant="default",
            family=principal.family,
            spared="",
            now_ms=floor.clock.now_ms(),
        )
    assert floor.authenticator.is_good(principal)
    await floor.accounts.logout(token_of(answer))
    assert not floor.authenticator.is_good(principal)
    assert len(floor.revoked) == 1


async def test_an_older_token_of_the_login_signs_out_too(floor: Floor) -> None:
    """A page that lost the newest one can still end the login."""
    first = await floor.accounts.register(ANN)
    second = await floor.accounts.refresh(token_of(first))
    await floor.accounts.logout(token_of(first))
    await refused(floor.accounts, token_of(second))


async def test_signing_out_while_refreshing_leaves_nothing_open(floor: Floor) -> None:
    """Whichever comes first: afterwards neither the old nor the new tokens are good."""
    for _ in range(5):
        answer = await sign_in(floor)
        refreshed, _ = await asyncio.gather(
            floor.accounts.refresh(token_of(answer)),
            floor.accounts.logout(token_of(answer)),
            return_exceptions=True,
        )
        await refused(floor.accounts, token_of(answer))
        if isinstance(refreshed, SignedIn):
            await refused(floor.accounts, token_of(refreshed))
            with pytest.raises(Unauthenticated):
                await floor.authenticator.authenticate(refreshed.access_token)


async def sign_in(floor: Floor) -> SignedIn:
    try:
        return await floor.accounts.register(ANN)
    except Conflict:
        return await floor.accounts.login(Credentials("ann", PASSWORD))


async def test_what_was_revoked_stays_revoked_after_a_restart(floor: Floor) -> None:
    """The access token would still verify: its login is remembered in the database."""
    answer = await floor.accounts.register(ANN)
    await floor.accounts.logout(token_of(answer))
    after = floor.restarted()
    assert (
        await after.authenticator.authenticate(answer.access_token)
    ).id == "ann"  # before it has loaded
    await after.revocations.load()
    with pytest.raises(Unauthenticated):
        await after.authenticator.authenticate(answer.access_token)


async def test_a_login_whose_account_is_gone_is_over(floor: Floor) -> None:
    """Somebody deleted the row: the refresh finds nobody."""
    answer = await floor.accounts.register(ANN)
    async with floor.store.transaction() as tx:
        await tx.execute(
            Sql("DELETE FROM account WHERE tenant = :tenant AND id = :id"),
            tenant="default",
            id="ann",
        )
    await refused(floor.accounts, token_of(answer))


async def test_purging_keeps_what_still_matters(floor: Floor) -> None:
    """An ended login is remembered until its last access token has run out, an open one until its refresh token has."""
    ended = await floor.accounts.register(ANN)
    await floor.accounts.logout(token_of(ended))
    await floor.accounts.login(Credentials("ann", PASSWORD))
    assert await total(floor.accounts.purge()) == 0
    floor.clock.advance(899.999)
    assert await total(floor.accounts.purge()) == 0
    with pytest.raises(Unauthenticated):
        await floor.authenticator.authenticate(ended.access_token)
    floor.clock.advance(0.001)
    assert await total(floor.accounts.purge()) == 1
    floor.clock.advance(floor.settings.refresh_token_s)
    assert await total(floor.accounts.purge()) == 1
    assert await floor.store.fetch(ALL_LOGINS) == []


async def test_purging_goes_on_until_nothing_is_left(floor: Floor) -> None:
    """More than one slice, exactly one slice, nothing."""
    for count in (1200, 500):
        logins = [rows.Login("default", f"f{n}", "ann", "", 1, 1, 1, 1) for n in range(count)]
        await floor.store.apply(rows.ADD_LOGIN, logins)
        assert await total(floor.accounts.purge()) == count
    assert await total(floor.accounts.purge()) == 0


async def test_demo_accounts_have_new_passwords_at_each_start(floor: Floor) -> None:
    """Two users who may send notifications and see what is kept of them; the passwords of the former start are gone, its logins go on."""
    first = dict(await floor.accounts.ensure_demo())
    assert list(first) == ["ann", "ben"]
    answer = await floor.accounts.login(Credentials("ben", first["ben"]))
    assert answer.user == User(
        "ben",
        "Ben",
        [
            "notifications:send",
            "captures:read",
            "captures:write",
            "messages:read",
            "messages:write",
        ],
        "default",
    )
    second = dict(await floor.accounts.ensure_demo())
    with pytest.raises(Unauthenticated):
        await floor.accounts.login(Credentials("ann", first["ann"]))
    await floor.accounts.login(Credentials("ann", second["ann"]))
    await floor.accounts.refresh(token_of(answer))
    assert len(await floor.store.fetch(subscribers.FIND, tenant="default", id="ann")) == 1


async def test_demo_never_takes_what_belongs_to_somebody(floor: Floor) -> None:
    """Neither an account that a person made, nor the inbox of a subscriber without an account."""
    await floor.accounts.register(ANN)
    async with floor.store.transaction() as tx:
        await tx.execute(subscribers.ADD, tenant="default", id="ben", name="", now_ms=1)
    assert await floor.accounts.ensure_demo() == []
    assert (await floor.accounts.login(Credentials("ann", PASSWORD))).user.scopes == []
    assert await floor.store.fetch(rows.FIND, tenant="default", id="ben") == []
