"""What the official server was observed to do below the API (`behaviours.jsonl`), on our side."""

import asyncio
import json

from clarion.settings import Realtime
from clarion.telemetry import spawn
from tests.support.memory_transport import MemoryClient, in_time, make_server
from tests.support.raw_socketio import until, wired
from tests.support.vectors import lines

OBSERVED = {line["name"]: line["observed"] for line in lines("behaviours") if "observed" in line}


def test_ping_timeout_refreshed_once() -> None:
    """The first packet that is no pong restarts the time for the pong, once a ping: 150 ms and 100 ms make 250 ms."""

    async def scenario(loop) -> None:
        io = make_server(Realtime(ping_interval_s=10, ping_timeout_s=0.15))
        client = MemoryClient(io)
        await client.join()
        await asyncio.sleep(10.001 - loop.time())
        assert await client.hear() == ["2"]
        for _ in range(2):
            await asyncio.sleep(0.1)
            client.say('42["e"]')
        observed_s = OBSERVED["ping-timeout-refreshed-once"]["ms_after_ping"] / 1000
        await asyncio.sleep(10 + observed_s - 0.015 - loop.time())
        assert client.session.is_open
        await asyncio.sleep(0.02)
        assert not client.session.is_open

    in_time(scenario)


async def test_protocol_mismatch() -> None:
    """The sid of a session of revision 4 with EIO missing or 3: the same status and body."""
    status, body = OBSERVED["protocol-mismatch"]["response"]
    async with wired() as wire:
        client = await wire.polling()
        for revision in (b"", b"EIO=3&"):
            target = client.target.replace(b"EIO=4&", revision)
            answer = await wire.ask("GET", target)
            assert (answer.status, answer.body.decode()) == (status, body)
        assert (await client.post("3")).status == 200


async def test_handshake() -> None:
    """A socket's handshake has the captured fields, with the same values where they are the client's to choose."""
    observed = OBSERVED["handshake"]
    async with wired() as wire:
        shaken = []
        wire.io.on("connection", lambda socket: shaken.append(socket.handshake))
        client = await wire.raw.websocket(path=b"/socket.io/?x=1&EIO=4&transport=websocket")
        client.send('40{"a":1}')
        for _ in range(2):
            await client.receive()
        (ours,) = shaken
        for name in observed["handshakeKeys"]:
            assert hasattr(ours, name), name
        theirs = observed["handshake"]
        for name in ("address", "xdomain", "secure", "url", "query", "auth"):
            assert getattr(ours, name) == theirs[name], name
        assert json.dumps([ours.time, ours.issued])
        assert "host" in ours.headers
        await client.hang_up()


async def test_volatile_by_polling() -> None:
    """Right after an answer no GET is held, so a volatile event is dropped; with one that is held it is sent."""
    async with wired() as wire:
        client = await wire.polling()
        await client.join()
        wire.io.emit("first")
        heard = (await client.get()).body.decode()
        wire.io.volatile.emit("volatile1")
        held = spawn(client.get(), name="held poll")
        session = wire.io.find(client.sid)
        await until(lambda: session.transport.is_writable)
        wire.io.volatile.emit("volatile2")
        heard += (await held).body.decode()
        told = [json.loads(each)[0] for each in heard.split("42")[1:]]
        assert told == OBSERVED["volatile-polling"]
