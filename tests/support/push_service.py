"""A push service of our own: RFC 8030 towards the application server, Firefox's WebSocket protocol towards a browser.

It checks what a real one checks: the VAPID signature, its audience and end, the key that the subscription was restricted to, TTL,
Urgency, Topic, encoding and size. A `Browser` made here reads what it gets with an independent implementation of RFC 8291.
"""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import http_ece
import jwt
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)

from clarion.ids import Ids
from clarion.notifications.channels.push.encryption import base64url, public_bytes, unbase64


@dataclass
class Browser:
    """A subscription, and what came for it."""

    endpoint: str
    private: EllipticCurvePrivateKey = field(
        default_factory=lambda: generate_private_key(SECP256R1())
    )
    auth: bytes = b"sixteen bytes..."
    got: list[dict[str, Any]] = field(default_factory=list)

    @property
    def subscription(self) -> dict[str, Any]:
        """As `subscription.toJSON()` is."""
        key = base64url(public_bytes(self.private.public_key()))
        keys = {"p256dh": key, "auth": base64url(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def read(self, body: bytes) -> dict[str, Any]:
        text = http_ece.decrypt(body, private_key=self.private, auth_secret=self.auth)
        message: dict[str, Any] = json.loads(text)
        self.got.append(message)
        return message


@dataclass
class Answer:
    """What is answered instead of 201."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


class PushService:
    """One push service; `url` is its origin."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.url, self.port = "", 0
        self.browsers: dict[str, Browser] = {}
        self.keys: dict[str, str | None] = {}
        self.asked: list[dict[str, str]] = []  # the headers of each message
        self.answers: list[Answer] = []  # given first, in this order
        self._channels: dict[str, tuple[str, str]] = {}  # token → user agent, channel
        self._agents: dict[str, web.WebSocketResponse] = {}
        self.greeted = threading.Event()  # a browser is connected
        self.loop: asyncio.AbstractEventLoop | None = None  # of whoever serves it in a thread

    def browser(self) -> Browser:
        """A new subscription."""
        token = Ids().token()
        made = self.browsers[token] = Browser(f"{self.url}/wpush/{token}")
        self.keys[token] = None
        return made

    def end(self, endpoint: str) -> None:
        """The subscription is gone, as after `unsubscribe()`."""
        token = endpoint.rpartition("/")[2]
        self.browsers.pop(token, None)
        self._channels.pop(token, None)

    async def forget(self) -> None:
        """Lose every browser and its subscriptions: who comes back is told that it is somebody else."""
        agents = list(self._agents.values())
        self._agents.clear()
        self._channels.clear()
        for agent in agents:
            await agent.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["PushService"]:
        app = web.Application()
        app.router.add_get("/ws", self._agent)
        app.router.add_get("/ws/", self._agent)
        app.router.add_post("/wpush/{token}", self._push)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            yield self
        finally:
            for agent in self._agents.values():
                await agent.close()
            await runner.cleanup()

    async def _push(self, request: web.Request) -> web.Response:
        token, body = request.match_info["token"], await request.read()
        self.asked.append({name.lower(): value for name, value in request.headers.items()})
        if self.answers:
            answer = self.answers.pop(0)
            return web.Response(status=answer.status, headers=answer.headers, text=answer.body)
        if token not in self.browsers and token not in self._channels:
            return web.json_response({"errno": 106}, status=410)
        if fault := self._fault(request, body, self.keys[token]):
            return web.json_response({"message": fault[1]}, status=fault[0])
        if token in self.browsers:
            self.browsers[token].read(body)
        else:
            agent, channel = self._channels[token]
            message = {
                "messageType": "notification",
                "channelID": channel,
                "version": Ids().token(),
                "ttl": int(request.headers["TTL"]),
                "data": base64url(body),
                "headers": {"encoding": request.headers["Content-Encoding"]},
            }
            await self._agents[agent].send_json(message)
        return web.Response(status=201, headers={"Location": f"{self.url}/m/{Ids().token()}"})

    def _fault(
        self, request: web.Request, body: bytes, restricted: str | None
    ) -> tuple[int, str] | None:
        headers = request.headers
        if not re.fullmatch(r"\d+", headers.get("TTL", "")):
            return 400, "TTL"
        if headers.get("Content-Encoding") != "aes128gcm":
            return 400, "encoding"
        if headers.get("Urgency", "normal") not in ("very-low", "low", "normal", "high"):
            return 400, "urgency"
        if "Topic" in headers and not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", headers["Topic"]):
            return 400, "topic"
        if len(body) > 4096:
            return 413, "too long"
        return self._unsigned(headers.get("Authorization", ""), restricted)

    def _unsigned(self, header: str, restricted: str | None) -> tuple[int, str] | None:
        scheme, _, rest = header.partition(" ")
        if scheme != "vapid":
            return 401, "no VAPID"
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        point = unbase64(parts["k"]) or b""
        if restricted is not None and unbase64(restricted) != point:
            return 403, "another key than the subscription's"
        try:
            key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
            claims = jwt.decode(
                parts["t"],
                key,
                algorithms=["ES256"],
                audience=self.url,
                options={"verify_exp": False, "require": ["exp", "aud"]},
            )
        except (ValueError, jwt.PyJWTError) as exc:
            return 401, str(exc)
        if not 0 < claims["exp"] - self._now_s() <= 86_400:
            return 401, "exp"
        return None

    async def _agent(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["push-notification"])
        await socket.prepare(request)
        agent = ""
        async for frame in socket:
            if frame.type != WSMsgType.TEXT:
                continue
            said = json.loads(frame.data or "{}")
            match said.get("messageType"):
                case "hello":
                    former = said.get("uaid")
                    agent = former if former in self._agents else Ids().token()
                    self._agents[agent] = socket
                    hello = {"uaid": agent, "status": 200, "use_webpush": True, "broadcasts": {}}
                    await socket.send_json({"messageType": "hello", **hello})
                    self.greeted.set()
                case "register":
                    token = Ids().token()
                    self._channels[token] = agent, said["channelID"]
                    self.keys[token] = said.get("key")
                    found = {"channelID": said["channelID"], "status": 200}
                    endpoint = f"{self.url}/wpush/{token}"
                    await socket.send_json(
                        {"messageType": "register", "pushEndpoint": endpoint, **found}
                    )
                case "unregister":
                    for token, (_, channel) in list(self._channels.items()):
                        if channel == said["channelID"]:
                            self._channels.pop(token)
                    found = {"channelID": said["channelID"], "status": 200}
                    await socket.send_json({"messageType": "unregister", **found})
                case None:
                    await socket.send_str("{}")
        return socket
