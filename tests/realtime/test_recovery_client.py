"""Connection state recovery as the official JavaScript client sees it, over real connections."""

import pytest

from clarion.errors import TokenExpired
from clarion.realtime import Server
from clarion.settings import Limits, Realtime
from tests.support.official import TRANSPORTS, official
from tests.support.raw_socketio import wired
from tests.support.serving import serving

ON = Realtime(recovery_s=30)


def cut_and_tell(io, *missed, token="fresh"):
    """Have the client cut its connection, and emit once that is noticed: the client is away then."""

    @io.handle("disconnect")
    def gone(socket):
        io.of("/").unhandle("disconnect", gone)
        for event in missed:
            io.to("room").emit("missed", *event)

    io.emit("cut", token)


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_it_comes_back_as_the_same_socket(transports):
    """`recovered` is true, each time; what was missed arrives once, before `connect`; rooms and data are there."""
    async with wired(ON) as wire, official("recovery.mjs", wire.http.port, transports) as facts:
        io = wire.io
        what, (recovered, sid) = await anext(facts)
        assert (what, recovered) == ("connect", False)
        io.sockets[sid].join("room")
        io.sockets[sid].data["n"] = 7
        io.emit("hello", "text")
        assert await anext(facts) == ("hello", ["text"])
        for number in range(2):
            cut_and_tell(io, [number], ["binary", b"\x01\x02"])
            assert (await anext(facts))[0] == "disconnect"
            assert await anext(facts) == ("missed", [number])
            assert await anext(facts) == ("missed", ["binary", [1, 2]])
            assert await anext(facts) == ("connect", [True, sid])
            assert io.sockets[sid].rooms == (sid, "room")
            assert io.sockets[sid].data == {"n": 7}


@pytest.mark.parametrize("transports", ["polling,websocket", "websocket"])
async def test_it_comes_back_though_it_has_received_nothing(transports):
    """Where Node makes a new session, since there is no offset yet."""
    async with (
        wired(ON) as wire,
        official("recovery.mjs", wire.http.port, transports, "early") as it,
    ):
        wire.io.handle("disconnect", lambda socket: wire.io.emit("missed", 1))
        what, (recovered, sid) = await anext(it)
        assert (what, recovered) == ("connect", False)
        assert (await anext(it))[0] == "disconnect"
        assert await anext(it) == ("missed", [1])
        assert await anext(it) == ("connect", [True, sid])


async def test_a_token_that_has_expired_is_refused_and_a_fresh_one_recovers():
    """The client logs in again and connects: then it is recovered, and has missed nothing."""
    async with wired(ON) as wire:

        @wire.io.use
        def check(socket):
            if socket.handshake.auth["token"] != "fresh":
                raise TokenExpired

        async with official("recovery.mjs", wire.http.port, "websocket") as facts:
            _, (_, sid) = await anext(facts)
            wire.io.sockets[sid].join("room")
            cut_and_tell(wire.io, [1], token="old")
            assert (await anext(facts))[0] == "disconnect"
            assert await anext(facts) == ("refused", "token_expired")
            assert await anext(facts) == ("missed", [1])
            assert await anext(facts) == ("connect", [True, sid])


async def test_a_second_connection_takes_the_place_of_the_first():
    """The first was not noticed to be dead: what was lost on it comes on the second, with the same id, and only there."""
    async with wired(ON) as wire, official("recovery.mjs", wire.http.port, "websocket") as facts:
        _, (_, sid) = await anext(facts)
        wire.io.emit("one")
        assert await anext(facts) == ("one", [])
        wire.io.emit("two")
        assert await anext(facts) == ("two", [])
        # It says that it has had nothing since it connected.
        wire.io.sockets[sid].emit("twin", None)
        told = [await anext(facts) for _ in range(5)]
        told.remove(("disconnect", "transport close"))  # of the first, at any time
        assert told == [
            ("twin heard", ["one"]),
            ("twin heard", ["two"]),
            ("twin heard", ["twin", None]),
            ("twin", [True, sid]),
        ]
        assert list(wire.io.sockets) == [sid]


async def test_it_starts_anew_where_too_much_was_missed():
    """`recovered` is false, there is no error, and no half of what was missed."""
    limits = Limits(recovery_events=3, drain_s=0.1, close_s=1.0)
    async with (
        wired(ON, limits) as wire,
        official("recovery.mjs", wire.http.port, "websocket") as facts,
    ):
        _, (_, sid) = await anext(facts)
        wire.io.sockets[sid].join("room")
        wire.io.emit("hello")
        assert await anext(facts) == ("hello", [])
        cut_and_tell(wire.io, *([number] for number in range(4)))
        assert (await anext(facts))[0] == "disconnect"
        what, (recovered, new) = await anext(facts)
        assert (what, recovered) == ("connect", False)
        assert new != sid


async def test_it_starts_anew_after_a_restart_and_recovers_there():
    """The second server knows nobody of the first; what the client remembers of that one does it no harm."""
    sids = []
    async with serving() as placeholder:
        port = placeholder.port
    limits = Limits(drain_s=0.0, close_s=1.0)
    async with official("recovery.mjs", port, "websocket") as facts:
        for _ in range(2):
            io = Server(ON, limits)
            serve = serving(
                io.asgi,
                limits=limits,
                endpoints={io.path: io.admit},
                on_stopping=io.stop,
                port=port,
            )
            async with serve:
                while (fact := await anext(facts))[0] != "connect":
                    pass
                recovered, sid = fact[1]
                assert not recovered
                sids.append(sid)
                if len(sids) == 1:
                    io.emit("hello")
                    assert await anext(facts) == ("hello", [])
                else:
                    io.sockets[sid].join("room")
                    cut_and_tell(io, [1])
                    assert (await anext(facts))[0] == "disconnect"
                    assert await anext(facts) == ("missed", [1])
                    assert await anext(facts) == ("connect", [True, sid])
                await io.close()
    assert sids[0] != sids[1]
