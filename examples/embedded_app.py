"""All of Clarion inside a FastAPI application: `uvicorn examples.embedded_app:app`. Its settings are `CLARION_…` variables."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from clarion.app import App, build
from clarion.auth import system
from clarion.notifications import CreateNotification
from clarion.realtime import Socket
from clarion.settings import load


def setup(clarion: App) -> None:
    """As `clarion serve --app …`: handlers of your own."""

    @clarion.io.on("connection")
    def connected(socket: Socket) -> None:
        socket.on("whoami", lambda: socket.user)


clarion = build(load(env=os.environ).settings, setup)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with clarion:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order}/shipped")
async def shipped(order: int, customer: str) -> dict[str, str]:
    notice = CreateNotification([customer], title=f"Order {order} is on its way")
    accepted = await clarion.notifications.send(system("shop"), notice)
    return {"notification": accepted.id}


app.mount("/", clarion.asgi)  # last: routes above it are found first
