"""Topics of tokens on real sockets of a whole server: the claim `subscribe`, and a token for one topic alone."""

import asyncio
import json
from pathlib import Path
from typing import Any

import jwt

from clarion.app import App
from clarion.settings import Auth, Settings
from clarion.topics import Granted
from tests.support.memory_transport import MemoryClient

SECRET = "the application's own secret, 32 bytes and more"


class Client:
    """A socket of `/clarion`."""

    def __init__(self, app: App) -> None:
        self._socket = MemoryClient(app.io)
        self._acks = 0
        self._heard: list[str] = []

    async def connect(self, token: str) -> None:
        await self._socket.hear()
        self._socket.say(f"40/clarion,{json.dumps({'token': token})}")

    async def heard(self, wanted: str) -> Any:
        """The next packet that begins so, as JSON."""
        for _ in range(1_000):
            self._heard += map(str, await self._socket.hear())
            for at, packet in enumerate(self._heard):
                if packet.startswith(wanted):
                    return json.loads(self._heard.pop(at).removeprefix(wanted))
            await asyncio.sleep(0)
        raise AssertionError(f"no {wanted} came")

    async def ask(self, command: str, **given: Any) -> Any:
        self._acks += 1
        self._socket.say(f"42/clarion,{self._acks}{json.dumps([command, given])}")
        return (await self.heard(f"43/clarion,{self._acks}"))[0]


def token(app: App, **claims: Any) -> str:
    ends = app.clock.now_ms() // 1000 + 900
    given = {"iss": "app", "aud": "clarion", "sub": "ann", "exp": ends, **claims}
    return jwt.encode(given, SECRET, "HS256")


async def test_tokens_bring_subscriptions_and_grant_single_topics(tmp_path: Path) -> None:
    """`subscribed` comes without a command; a token in `subscribe` opens what the socket's does not, and only that."""
    auth = Auth(jwt_secret=SECRET, issuer="app")
    settings = Settings(data_dir=str(tmp_path / "data"), auth=auth)
    async with App(
        settings,
        lambda app: app.topics.add("board", "map", rights={"subscribe": Granted()}) and None,
    ) as app:
        await app.topics.of("board:x").set("a", 1)
        ann = Client(app)
        topics = {"board:x": ["subscribe"]}
        await ann.connect(token(app, subscribe=["inbox:ann", "board:x"], topics=topics))
        event, inbox = await ann.heard("42/clarion,")
        assert (event, inbox["topic"], inbox["snapshot"]["unread"]) == (
            "subscribed",
            "inbox:ann",
            0,
        )
        event, board = await ann.heard("42/clarion,")
        assert (event, board["topic"], board["offset"]) == ("subscribed", "board:x", 1)
        await app.topics.of("board:x").set("a", 2)
        event, publication = await ann.heard("42/clarion,")
        assert (event, publication["offset"], publication["data"]) == ("publication", 2, 2)

        refused = await ann.ask("subscribe", topic="board:y")
        assert refused["error"]["code"] == "forbidden"
        other = token(app, topics={"board:y": ["subscribe"]})
        granted = await ann.ask("subscribe", topic="board:y", token=other)
        assert (granted["topic"], granted["recovered"]) == ("board:y", False)
        for wrong in ("nonsense", token(app, sub="ben", topics={"board:z": ["subscribe"]})):
            answer = await ann.ask("subscribe", topic="board:z", token=wrong)
            assert answer["error"]["code"] in {"unauthenticated", "forbidden"}
