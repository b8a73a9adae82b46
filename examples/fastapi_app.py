"""A chat in front of a FastAPI application: `uvicorn examples.fastapi_app:app`."""

from fastapi import FastAPI

from clarion.realtime import Server, Socket

io = Server()
api = FastAPI()


@io.on("connection")
def connected(socket: Socket) -> None:
    socket.join("lobby")

    @socket.on("say")
    def say(text: str) -> dict[str, bool]:
        socket.to("lobby").emit("said", text)
        return {"ok": True}


@api.post("/announcements")
async def announce(text: str) -> dict[str, int]:
    return {"told": io.to("lobby").emit("said", text)}


app = io.app(api)  # /socket.io/ is the chat's, everything else FastAPI's, its lifespan, too
