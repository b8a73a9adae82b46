"""Who is it, how often, and may they? Asked at every door, in this order, before the handler sees anything.

A credential comes in `Authorization: Bearer …` (RFC 6750 §2.1): an access token or an API key. Requests by the server's local
socket come from the machine's operator, whom the socket's file mode has let in.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.api.limits import Limit, PerAccount, PerItem, RateLimits, Unlimited
from clarion.auth import rights
from clarion.auth.principal import Principal, system
from clarion.auth.rights import Declared, Public
from clarion.errors import Blocked, ClarionError, Unauthenticated
from clarion.realtime.addresses import network
from clarion.realtime.transports import LOCAL

AUTHORISED: Final = "clarion.authorised"
"""Key in the scope of a request whose right was checked. A success without it becomes a 500 (`envelope.Doors`)."""

OPERATOR: Final = system("operator")


class Authenticates(Protocol):
    """What a guard needs of `accounts.Authenticator`."""

    async def authenticate(self, credential: str) -> Principal:
        """Who is calling; raises `Unauthenticated`."""
        ...


class Guard:
    """Stands at every door.

    Args:
        authenticator: Checks credentials.
        limits: Counts callers.
    """

    def __init__(self, authenticator: Authenticates, limits: RateLimits) -> None:
        self._authenticator = authenticator
        self._limits = limits

    async def admit(
        self,
        request: Request,
        right: Declared,
        limit: Limit,
        headers: dict[str, str],
        *,
        is_curious: bool = True,
    ) -> Principal | None:
        """Let a caller in.

        Args:
            request: Its scope is marked as authorised.
            right: What the door declares.
            limit: What the door declares.
            headers: Takes what the answer, of whatever kind, must carry.
            is_curious: Whether a door that is open to all wants to know who comes.

        Returns:
            The caller; None where nobody is signed in and nobody needs to be. A door that is open to all does not mind a
            bad credential: a client with an old token must be able to log in.

        Raises:
            Unauthenticated: No credential, or a bad one. It counts for its address, so that guessing is limited, too.
            Blocked: A user who may not come in; counted likewise.
            RateLimited: Too often.
            Forbidden: Known, but not allowed.
        """
        try:
            caller = await self._identify(request, right, is_curious)
        except Blocked:
            self._count(limit, address_of(request.scope), headers)
            raise
        except Unauthenticated as exc:
            self._count(limit, address_of(request.scope), headers)
            headers["www-authenticate"] = _challenge(request, exc)
            raise
        if caller is not OPERATOR:
            who = address_of(request.scope) if caller is None else caller.key
            self._count(limit, who, headers)
        rights.check(right, caller)
        request.scope[AUTHORISED] = True
        return caller

    def count_body(
        self,
        request: Request,
        caller: Principal | None,
        limit: Limit,
        body: Any,
        headers: dict[str, str],
    ) -> None:
        """Count what the body asks for, where the door's limit is about that: a try for an account, or a number of items.

        Raises:
            RateLimited: Too many tries for this account from this address; or too much.
        """
        if is_local(request.scope):
            return
        if isinstance(limit, PerAccount):
            account = getattr(body, limit.field)
            headers.update(self._limits.logins.take((account, address_of(request.scope))))
        if isinstance(limit, PerItem) and caller is not None:
            more = len(getattr(body, limit.field)) // limit.each
            if more:
                headers.update(self._limits.calls.take(caller.key, more))

    async def _identify(
        self, request: Request, right: Declared, is_curious: bool
    ) -> Principal | None:
        if is_local(request.scope):
            return OPERATOR
        given = request.headers.getlist("authorization")
        if isinstance(right, Public) and not (given and is_curious):
            return None
        try:
            return await self._authenticator.authenticate(_credential(given))
        except ClarionError:
            if isinstance(right, Public):
                return None
            raise

    def _count(self, limit: Limit, who: object, headers: dict[str, str]) -> None:
        if not isinstance(limit, Unlimited):
            headers.update(self._limits.calls.take(who))


def _credential(given: list[str]) -> str:
    if not given:
        raise Unauthenticated(
            "sign in first: send Authorization: Bearer and an access token or API key"
        )
    scheme, _, credential = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not credential.strip():
        raise Unauthenticated("the Authorization header is not Bearer and one token")
    return credential.strip()


def _challenge(request: Request, error: Unauthenticated) -> str:
    # RFC 6750 §3.1: no error code where no credential was given.
    if "authorization" not in request.headers:
        return "Bearer"
    return f'Bearer error="invalid_token", error_description="{error.title}"'


def address_of(scope: Mapping[str, Any]) -> str:
    """The peer's address as one to count."""
    client = scope.get("client")
    return network(client[0]) if client else "unknown"


def is_local(scope: Mapping[str, Any]) -> bool:
    """Whether the request came by the server's local socket."""
    return LOCAL in (scope.get("extensions") or {})


def as_local(app: ASGIApp) -> ASGIApp:
    """The application as the local socket's owner sees it: for a command that opens the data itself, where no server runs."""

    async def local(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = {**(scope.get("extensions") or {}), LOCAL: {}}
        await app({**scope, "extensions": extensions}, receive, send)

    return local
