"""The official JavaScript client, unmodified (and python-socketio's), as a process that tells what it sees."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1] / "realtime" / "official"
TRANSPORTS = ["polling,websocket", "websocket", "polling"]


@contextlib.asynccontextmanager
async def official(
    script: str, port: int, *arguments: str
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """The facts that a script tells, as they come."""
    process = await asyncio.create_subprocess_exec(
        "node" if script.endswith("mjs") else sys.executable,
        str(SCRIPTS / script),
        f"http://127.0.0.1:{port}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )

    async def facts() -> AsyncIterator[tuple[str, Any]]:
        assert process.stdout is not None
        while line := await asyncio.wait_for(process.stdout.readline(), 30):
            told = json.loads(line)
            yield told["fact"], told["value"]

    try:
        yield facts()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def what_works(transports: str) -> dict[str, Any]:
    """All that client.mjs tells of a server that works."""
    last = transports.split(",")[-1]
    return {
        "connected": [True, 20, "tests"],
        "transport": [last, last],
        "echo": [1, "é😀", None, {"deep": [[]]}],
        "later": {"value": [1, 2]},
        "refused": {"error": {"code": "conflict", "message": "taken"}},
        "unknown": "unknown_event",
        "asked": ["what?", True, [1, 2]],
        "binary": [[3, 2, 1], 3, 0],
        "big": 0,
        "rooms": [["r"], ["r"]],
        "reached": 1,
        "told": ["hello", {"n": 1}],
        "order": [90, True],
        "auth refused": [
            "a wrong token",
            {"code": "unauthenticated", "message": "a wrong token", "hint": "secret"},
        ],
        "unknown namespace": ["Invalid namespace", "unknown_namespace"],
        "admin": ["root", True],
        "after leaving": "still here",
        "put out": "io server disconnect",
    }
