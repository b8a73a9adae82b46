"""A chat mounted in a Starlette application: `uvicorn examples.starlette_app:app`. FastAPI's `app.mount` is the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from clarion.realtime import Server, Socket

io = Server()


@io.on("connection")
def connected(socket: Socket) -> None:
    socket.join("lobby")

    @socket.on("say")
    def say(text: str) -> dict[str, bool]:
        socket.to("lobby").emit("said", text)
        return {"ok": True}


async def announce(request: Request) -> JSONResponse:
    text = request.query_params["text"]
    return JSONResponse({"told": io.to("lobby").emit("said", text)})


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    yield
    await io.close()  # nobody tells what is mounted that the process stops


app = Starlette(
    routes=[
        Mount("/socket.io", io.asgi),
        Route("/announcements", announce, methods=["POST"]),
    ],
    lifespan=lifespan,
)
