"""Rights and the unchanged JavaScript client, which tries what it may not: tokens for one topic, an application that is asked, rights that end."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import jwt

from clarion.clock import SystemClock
from tests.support.official import SCRIPTS
from tests.support.server import free_port, running

SECRET = "the application's own secret, 32 bytes and more"
APP = """
from clarion.topics import Granted

def setup(app):
    app.topics.add("board", "stream", rights={"subscribe": Granted()})
"""


def now_s() -> int:
    return SystemClock().now_ms() // 1000


def token(sub: str, **claims: Any) -> str:
    given = {"iss": "app", "aud": "clarion", "sub": sub, "exp": now_s() + 900, **claims}
    secret = given.pop("signed", SECRET)
    return jwt.encode(given, secret, "HS256" if secret else "none")


class Application:
    """Says yes, no, or nothing; notes what it was asked."""

    def __init__(self) -> None:
        self.port = free_port()
        self.says = "yes"
        self.asked: list[tuple[str, str]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def _allows(self, asked: dict[str, Any]) -> bool:
        # Eve is never let in; who publishes is.
        is_eve = asked["socket"]["user"] == "eve"
        return asked["type"] == "publish" or (self.says == "yes" and not is_eve)

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.tasks += [task] if (task := asyncio.current_task()) else []
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                requests = json.loads(await reader.readexactly(size))["requests"]
                self.asked += [(each["socket"]["user"], each["topic"]) for each in requests]
                if self.says == "silent":
                    await reader.read()  # until the caller gives up
                    return
                answers = [{"allow": self._allows(each)} for each in requests]
                body = json.dumps({"answers": answers}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def test_nobody_gets_what_is_not_theirs_nor_keeps_what_was(tmp_path: Path) -> None:
    """Each try is answered by a code, in time; what ends is told, and nothing is heard after it."""
    (tmp_path / "boards.py").write_text(APP)
    application = Application()
    settings = {
        "CLARION_UPSTREAM_URL": f"http://127.0.0.1:{application.port}/",
        "CLARION_UPSTREAM_SECRET": "a-secret-of-24-characters",
        "CLARION_UPSTREAM_STREAMS": "news",
        "CLARION_UPSTREAM_EVENTS": "",
        "CLARION_UPSTREAM_TIMEOUT_S": "1",
        "CLARION_LIMITS_POSITION_CHECK_S": "0.3",
        "CLARION_AUTH_JWT_SECRET": SECRET,
        "CLARION_AUTH_ISSUER": "app",
        "CLARION_AUTH_LEEWAY_S": "0",
    }
    sub = {"topics": {"board:x": ["subscribe"]}}
    with running(tmp_path, "--app", "boards:setup", **settings) as server:
        key = server.key("topics:*")
        soon = now_s() + 4
        good = token("ann", **sub)
        tokens: dict[str, Any] = {name: token(name) for name in ("ann", "eve", "frida")} | {
            "x": token("ann", exp=soon, **sub),
            "short": token("hasty", exp=soon, topics={"board:*": ["subscribe"]}),
            "bad": {
                "somebody else's": token("eve", **sub),
                "of another tenant": token("ann", tenant="other", **sub),
                "for another": token("ann", topics={"board:y": ["subscribe"]}),
                "a pattern": token("ann", topics={"board:*": ["subscribe"]}),
                "to publish": token("ann", topics={"board:x": ["publish"]}),
                "over": token("ann", exp=now_s() - 5, **sub),
                "cut": good[:-4],
                "of another key": token("ann", signed="another secret, of 32 bytes or more", **sub),
                "unsigned": token("ann", signed="", **sub),
                "an API key": key,
                "no token": "hello",
            },
        }
        told = await told_by(application, server.port, tokens, lambda n: say(server, key, n))
        assert "Traceback" not in server.log
    refused = dict.fromkeys(tokens["bad"], "unauthenticated")
    refused |= dict.fromkeys(
        [
            "somebody else's",
            "of another tenant",
            "for another",
            "a pattern",
            "to publish",
            "an API key",
        ],
        "forbidden",
    )
    assert told == {
        "bad tokens": refused | {"over": "token_expired"},
        "odd tokens": ["invalid", "invalid", "forbidden", "invalid", "unauthenticated"],
        "without one": "forbidden",
        "with it": "recoverable",
        "not for another": "forbidden",
        "heard": [["board:x", 0]],
        "its end": ["board:x", 3501],
        "over": [[], "forbidden", "token_expired", True],
        "asked": "recoverable",
        "another's yes is not theirs": "forbidden",
        "taken back": ["news:a", 3500],
        "no more": [[], True],
        "silence": ["unavailable"],
        "in time": True,
        "back": "recoverable",
        "short": ["recoverable", "io server disconnect"],
        "nothing after": [],
    }


def say(server: Any, key: str, number: int) -> None:
    """Publish to both topics."""
    for topic in ("board:x", "news:a"):
        body = {"event": "said", "data": number}
        assert server.post(f"/v1/topics/{topic}/publications", body, token=key).status_code == 200


async def told_by(
    application: Application, port: int, tokens: dict[str, Any], publish: Any
) -> dict[str, Any]:
    """Run the client; do what it wants on the way."""
    told: dict[str, Any] = {}
    count = 0
    async with await asyncio.start_server(application.serve, "127.0.0.1", application.port):
        process = await asyncio.create_subprocess_exec(
            "node", str(SCRIPTS / "rights.mjs"), f"http://127.0.0.1:{port}", json.dumps(tokens),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=sys.stderr,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        while line := await asyncio.wait_for(process.stdout.readline(), 15):
            fact, value = json.loads(line).values()
            if value is None:
                if fact == "said":
                    await asyncio.to_thread(publish, count)
                    count += 1
                else:
                    application.says = fact
                process.stdin.write(b"\n")
            else:
                told[fact] = value
        await process.wait()
        await application.close()
    return told
