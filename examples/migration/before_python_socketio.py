"""The chat before: python-socketio. `uvicorn examples.migration.before_python_socketio:app`."""

import socketio

sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(sio)


@sio.event
async def connect(sid, environ, auth):
    if not auth or not auth.get("name"):
        raise socketio.exceptions.ConnectionRefusedError("a name, please")
    await sio.save_session(sid, {"name": auth["name"]})
    await sio.enter_room(sid, "lobby")
    await sio.emit("joined", auth["name"], room="lobby", skip_sid=sid)


@sio.event
async def say(sid, text):
    session = await sio.get_session(sid)
    message = {"by": session["name"], "text": text}
    await sio.emit("said", message, room="lobby", skip_sid=sid)
    return {"ok": True}


@sio.event
async def who(sid):
    lobby = sio.manager.get_participants("/", "lobby")
    return [(await sio.get_session(each))["name"] for each, _ in lobby]


@sio.event
async def disconnect(sid, reason):
    session = await sio.get_session(sid)
    await sio.emit("left", session["name"], room="lobby", skip_sid=sid)
