"""`/v1/auth`: accounts and logins."""

from clarion.accounts.accounts import Accounts
from clarion.accounts.forms import Credentials, NewAccount, RefreshToken, SignedIn, User
from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerAccount, PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import Public, Self
from clarion.errors import Blocked, Conflict, Forbidden, NotFound, Overloaded, Unauthenticated

_PASSWORD = "correct horse battery"  # noqa: S105  an example


def add(api: Api, accounts: Accounts) -> None:
    """Open the doors of accounts."""

    @api.route(
        "POST",
        "/v1/auth/register",
        right=Public(reason="who has no account has no credential"),
        limit=PerCaller(),
        status=201,
        errors=(*WRITES, Conflict, Forbidden, NotFound, Overloaded),
        example=NewAccount("ann", _PASSWORD, "Ann"),
    )
    async def register(body: NewAccount) -> SignedIn:
        """Make an account and sign in.

        The user name is the user's id for good. New accounts have no scopes. 403 where the operator has closed
        registration, 404 where the application brings its own login.
        """
        return await accounts.register(body)

    @api.route(
        "POST",
        "/v1/auth/login",
        right=Public(reason="this is where a credential is got"),
        limit=PerAccount("username"),
        errors=(*WRITES, Unauthenticated, Blocked, NotFound, Overloaded),
        example=Credentials("ann", _PASSWORD),
    )
    async def login(body: Credentials) -> SignedIn:
        """Sign in with a user name and a password.

        `expires_in` seconds later the access token ends: get a new one with the refresh token before that.
        """
        return await accounts.login(body)

    @api.route(
        "POST",
        "/v1/auth/refresh",
        right=Public(reason="the refresh token in the body is the credential"),
        limit=PerCaller(),
        errors=(*WRITES, Unauthenticated, Blocked, NotFound),
        example=RefreshToken("clr_…"),
    )
    async def refresh(body: RefreshToken) -> SignedIn:
        """Get new tokens for a login.

        A refresh token is good once: keep the new one. One that comes a second time was copied by somebody, and ends the
        login. Do one refresh at a time.
        """
        return await accounts.refresh(body)

    @api.route(
        "POST",
        "/v1/auth/logout",
        right=Public(reason="the refresh token in the body is the credential"),
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound),
        example=RefreshToken("clr_…"),
    )
    async def logout(body: RefreshToken) -> None:
        """End a login, with its access tokens and everything that they opened.

        A token that is unknown or has ended is fine: then nothing is left to end.
        """
        await accounts.logout(body)

    @api.route("GET", "/v1/auth/me", right=Self(), limit=PerCaller(), errors=READS)
    async def me(caller: Principal) -> User:
        """Who is signed in, and what the present credential allows."""
        return await accounts.me(caller)
