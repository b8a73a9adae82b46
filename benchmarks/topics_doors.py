"""What the HTTP doors of topics cost the server: CPU of one call, from the request's head to the answer, with an API key.

    python benchmarks/topics_doors.py

The application is called in this process, without a network and a client: those would cost more than what is measured.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from typing import Any

import msgspec

from clarion.app import App
from clarion.auth import system
from clarion.settings import Limits, Settings
from clarion.topics import SignedIn

KEYS = 500  # a page of a state
BATCH = 1_000


def setup(app: App) -> None:
    """A map that everybody may change."""
    rights: Any = {"subscribe": SignedIn(), "publish": SignedIn()}
    app.topics.add("board", "map", rights=rights)


async def call(app: App, key: str, method: str, path: str, body: Any = None) -> None:
    """One request, which must succeed."""
    content = b"" if body is None else msgspec.json.encode(body)
    where, _, query = path.partition("?")
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"authorization", f"Bearer {key}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    scope = {
        "type": "http", "method": method, "path": where, "raw_path": where.encode(), "query_string": query.encode(),
        "headers": headers, "client": ("192.0.2.1", 1), "root_path": "", "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    await app.http(scope, receive, send)
    assert sent[0]["status"] == 200, sent


def publication(n: int) -> dict[str, Any]:
    return {"key": f"{n % KEYS}", "data": {"n": n}, "id": f"{n}"}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(api_requests=10**9)
        async with App(Settings(data_dir=f"{folder}/data", limits=limits), setup) as app:
            key = (await app.keys.create(system("bench"), "bench", ["topics:*"])).key
            at = "/v1/topics/board:x"

            async def measure(
                what: str, calls: int, ask: Callable[[int], Any], each: int = 1
            ) -> None:
                begun = time.process_time()
                for n in range(calls):
                    await call(app, key, *ask(n))
                spent_us = 1e6 * (time.process_time() - begun) / calls / each
                print(f"{what:40} {spent_us:8.1f} us of CPU")

            await measure(
                "a publication", 5_000, lambda n: ("POST", f"{at}/publications", publication(n))
            )

            def batch(call: int) -> Any:
                first = (call + 10) * BATCH  # each id is a new one
                many = [{"topic": "board:x", **publication(first + n)} for n in range(BATCH)]
                return "POST", "/v1/publications", {"publications": many}

            await measure("a publication of a batch of 1,000", 30, batch, each=BATCH)
            await measure("a state of 500 items", 1_000, lambda _: ("GET", at))
            await measure(
                "1,000 publications of a log",
                300,
                lambda _: ("GET", f"{at}/publications?limit=1000"),
            )
            await measure("a count of subscribers", 5_000, lambda _: ("GET", f"{at}/occupancy"))


if __name__ == "__main__":
    asyncio.run(main())
