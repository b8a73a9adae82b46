"""Who a socket is, and until when: whoever comes in has a credential, and leaves when it ends."""

from collections.abc import Callable

from clarion.accounts import Authenticator, Opened
from clarion.auth import DEFAULT_TENANT, Principal
from clarion.auth.tenants import rooms_of_tenant, user_room
from clarion.errors import ClarionError, Unauthenticated
from clarion.realtime import Namespace, Socket
from clarion.telemetry import get_logger

_log = get_logger(__name__)


class Admission:
    """Lets sockets in.

    Args:
        authenticator: Checks what they come with.
        opened: Ends what a credential opened when that ends.
        open_namespaces: Where one may be without a credential.
        leaving: Called with a socket whose credential has ended, before it is disconnected.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        opened: Opened,
        open_namespaces: list[str],
        leaving: Callable[[Socket], None],
    ) -> None:
        self._authenticator = authenticator
        self._opened = opened
        self._open_namespaces = open_namespaces
        self._leaving = leaving
        # Changes while open. By socket: what `opened` knows it by.
        self._tickets: dict[str, int] = {}

    def guard(self, namespace: Namespace) -> None:
        """Stand at the door of a namespace."""
        namespace.use(self._let_in)
        namespace.on("connection", self._connected)
        namespace.handle("disconnect", self._disconnected)

    async def _let_in(self, client: Socket) -> None:
        credential = _credential(client)
        if credential is None:
            if client.namespace in self._open_namespaces:
                return
            raise Unauthenticated("sign in first: give an access token as `auth: {token}`")
        principal = await self._authenticator.authenticate(credential)
        client.principal = principal
        client.starts_in = rooms_of_tenant(principal.tenant)
        if principal.kind != "user":
            return
        if principal.tenant == DEFAULT_TENANT:
            client.user = principal.id
        else:  # its room's name says whose it is
            client.user_room = user_room(principal.tenant, principal.id)

    def _connected(self, client: Socket) -> None:
        def close(why: ClarionError) -> None:
            _log.info("socket ends with its credential", socket=client.id, code=why.code)
            self._leaving(client)
            client.disconnect()

        principal = principal_of(client)
        if principal is None:
            return
        self._tickets[client.id] = self._opened.add(principal, close)
        if not self._authenticator.is_good(principal):  # it ended while the client was coming in
            close(Unauthenticated())

    def _disconnected(self, client: Socket, _reason: str) -> None:
        if (ticket := self._tickets.pop(client.id, None)) is not None:
            self._opened.remove(ticket)


def principal_of(client: Socket) -> Principal | None:
    """Who came in; None: nobody who is known."""
    principal: Principal | None = client.principal
    return principal


def _credential(client: Socket) -> str | None:
    """What the client came with: `auth.token` of the namespace, or the header of the session's first request."""
    given = client.handshake.auth.get("token")
    if given is not None:
        if not isinstance(given, str) or not given:
            raise Unauthenticated("`auth.token` is not an access token")
        return given
    scheme, _, header = client.handshake.headers.get("authorization", "").partition(" ")
    return (header.strip() or None) if scheme.lower() == "bearer" else None
