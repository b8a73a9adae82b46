"""python-socketio on uvicorn, uvloop and httptools, with the handlers that every measured server has; in benchmarks/.venv.

PING_INTERVAL_S=… JWT_SECRET=… python benchmarks/servers/python_socketio.py PORT
"""

# mypy: disable-error-code="import-untyped,untyped-decorator"

import os
import sys
from typing import Any

import jwt
import socketio
import uvicorn

SECRET = os.environ.get("JWT_SECRET")

io = socketio.AsyncServer(
    async_mode="asgi", ping_interval=float(os.environ.get("PING_INTERVAL_S", "25"))
)


@io.event
async def connect(sid: str, _environ: dict[str, Any], auth: dict[str, str] | None) -> None:
    if SECRET:
        token = (auth or {}).get("token", "")
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="bench", audience="clarion")
        await io.save_session(sid, {"user": claims["sub"]})


@io.event
async def join(sid: str, room: int) -> bool:
    await io.enter_room(sid, f"room-{room}")
    return True


@io.event
async def broadcast(_sid: str, message: dict[str, Any]) -> None:
    await io.emit("tick", message)


@io.event
async def burst(_sid: str, message: dict[str, int]) -> None:
    for i in range(message["count"]):
        await io.emit("tick", {"n": message["n"] + i, "t": message["t"]})


@io.event
async def room(_sid: str, number: int, message: dict[str, Any]) -> None:
    await io.emit("tick", message, room=f"room-{number}")


@io.event
async def echo(_sid: str, value: Any) -> Any:
    return value


if __name__ == "__main__":
    uvicorn.run(socketio.ASGIApp(io), port=int(sys.argv[1]), log_level="error", loop="uvloop")
