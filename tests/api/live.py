"""A whole application with clients on its sockets, in this process: for doors that speak to sockets."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from clarion.accounts import load_secrets
from clarion.app import App
from clarion.auth import Principal, TokenIssuer, secret_key
from clarion.settings import Auth, Limits, Settings
from tests.api.conftest import bearer, client
from tests.support.memory_transport import MemoryClient

NAMESPACE = "/chat"


class Guest:
    """Somebody on a socket of `/chat`."""

    def __init__(self, socket: MemoryClient, sid: str) -> None:
        self._socket = socket
        self.sid = sid

    async def heard(self) -> list[Any]:
        """What came since the last call: lists of name and arguments; other packets as they are."""
        prefix = f"42{NAMESPACE},"
        return [
            json.loads(each.removeprefix(prefix)) if str(each).startswith(prefix) else each
            for each in await self._socket.hear()
        ]


class Live:
    """The application."""

    def __init__(self, app: App) -> None:
        self.app = app
        secrets = load_secrets(Path(app.settings.data_dir), app.ids)
        self._issuer = TokenIssuer(
            secret_key(secrets.token_secret), audience=app.settings.auth.audience, life_s=900
        )

    def token(self, user: str, tenant: str = "default", *scopes: str) -> str:
        """An access token."""
        return self._issuer.issue(
            user,
            token_id=self.app.ids.token(),
            family=self.app.ids.token(),
            now_ms=self.app.clock.now_ms(),
            tenant=tenant,
            scopes=list(scopes),
        )

    async def guest(self, user: str | None = None, tenant: str = "default") -> Guest:
        """A socket of a user; None: of nobody."""
        auth = {} if user is None else {"token": self.token(user, tenant)}
        return await self._enter(auth)

    async def machine(self) -> Guest:
        """A socket that comes with an API key."""
        made = await self.app.keys.create(_boss("default"), "machine", ["realtime:emit"])
        return await self._enter({"token": made.key})

    async def _enter(self, auth: dict[str, str]) -> Guest:
        socket = MemoryClient(self.app.io)
        await socket.hear()
        socket.say(f"40{NAMESPACE},{json.dumps(auth)}")
        sockets = self.app.io.of(NAMESPACE).sockets
        before = dict(sockets)
        while len(sockets) == len(before):  # a key is looked up in the database
            await self.app.store.ping()
        await socket.hear()
        (sid,) = sockets.keys() - before.keys()
        return Guest(socket, sid)

    async def back_end(
        self, tenant: str = "default", *, scopes: Sequence[str] = ("realtime:*",)
    ) -> httpx.AsyncClient:
        """A back end with an API key of its tenant, by default one that may everything with sockets."""
        made = await self.app.keys.create(_boss(tenant), "back end", scopes)
        http = client(self.app.asgi)
        http.headers.update(bearer(made.key))
        return http


def _boss(tenant: str) -> Principal:
    return Principal(id="boss", tenant=tenant, scopes=frozenset({"*"}))


@contextlib.asynccontextmanager
async def lively(folder: Path, **limits: Any) -> AsyncIterator[Live]:
    """An application whose namespace `/chat` may be joined by everybody."""
    settings = Settings(
        data_dir=str(folder / "data"),
        auth=Auth(open_namespaces=[NAMESPACE]),
        limits=Limits(**limits),
    )
    async with App(settings, lambda app: app.io.of(NAMESPACE) and None) as app:
        yield Live(app)
