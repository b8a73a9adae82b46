"""Connection state recovery, against clients in memory: what comes back, for whom, and what does not."""

import asyncio
import json

import pytest

from clarion.errors import Disconnected, TokenExpired
from clarion.protocol import msgpack_parser
from clarion.protocol.codes import CloseCode
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.socketio import DecoderLimits, Packet, PacketType
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn
from tests.support.memory_transport import MemoryClient, settle
from tests.support.recovering import kept, outcomes, recovering, shape
from tests.support.returning import Returning
from tests.support.vectors import lines


async def unanswered(socket):
    with pytest.raises(Disconnected):
        await socket.emit_with_ack("q")


# ── as in Node ──


def test_the_wire_is_nodes():
    """The captured exchange: offsets on events without ack id, what was missed before the CONNECT answer, same sid, rooms and data."""
    observed = next(each for each in lines("behaviours") if each["name"] == "recovery-in-memory")[
        "observed"
    ]

    async def scenario(io):
        client = await Returning(io).connect()
        socket = io.sockets[client.sid]
        socket.join("room")
        socket.data["n"] = 1
        socket.emit("hello", 1)
        asking = spawn(unanswered(socket), name="asking")
        await settle()
        io.emit("all")
        await client.read()
        io.emit("bin", b"\x01")
        await settle()
        assert [shape(frame) for frame in client.frames] == observed["first"][:4]
        client.cut()
        await asking
        io.to("room").emit("missed", 2)
        io.to(client.sid).emit("to-sid")
        before = client.sid, client.pid
        await client.connect()
        assert [shape(frame) for frame in client.frames] == observed["second"]
        assert (client.sid, client.pid) == before
        assert client.recovered
        socket = io.sockets[client.sid]
        assert socket.recovered
        assert socket.rooms == (client.sid, "room")
        assert socket.data == {"n": 1}
        assert outcomes() == {"recovered": 1}

    recovering(scenario)


def test_who_comes_again_without_a_break_is_recovered_each_time():
    """S4880: once is not enough. Nothing is doubled, whatever was read before each cut."""

    async def scenario(io):
        client = await Returning(io).connect()
        for number in range(10):
            io.emit("n", number)
            await client.read(number % 2)
            client.cut()
            io.emit("away", number)
            await client.connect(Kind.POLLING if number % 3 else Kind.WEBSOCKET)
            assert client.recovered
        assert [event for event in client.events if event[0] == "n"] == [
            ["n", number] for number in range(10)
        ]
        assert len(client.events) == 20
        assert len(io.sockets) == 1

    recovering(scenario)


def test_connection_handlers_are_told():
    """`connection` is called for a recovered socket, too, which says so; middlewares see a new one."""
    seen = []

    async def scenario(io):
        @io.use
        def judge(socket):
            seen.append(("judged", socket.recovered, len(socket.data)))
            socket.data["tries"] = len(seen)

        @io.on("connection")
        def connected(socket):
            seen.append(("connected", socket.recovered, dict(socket.data)))
            socket.data["own"] = True

        client = await Returning(io).connect()
        client.cut()
        await client.connect()

    recovering(scenario)
    assert seen == [
        ("judged", False, 0),
        ("connected", False, {"tries": 1}),
        ("judged", False, 0),
        ("connected", True, {"tries": 3, "own": True}),
    ]


def test_off_is_off():
    """By default there is no `pid` and no offset; whoever brings some from elsewhere is a new client, with its `auth` as it is."""

    async def scenario(io):
        client = Returning(io)
        client.pid, client.offset = "a" * 20, "epoch123.1"
        await client.connect()
        socket = io.sockets[client.sid]
        socket.emit("x", "text")
        io.emit("y", "text")
        assert await client.read() == ['42["x","text"]', '42["y","text"]']
        assert client.pid is None
        assert not socket.recovered
        assert socket.handshake.auth == {"pid": "a" * 20, "offset": "epoch123.1"}
        assert outcomes() == {}

    recovering(scenario, on=Realtime())


def test_it_works_with_msgpack():
    """`pid` and offsets are values like others."""

    async def scenario(io):
        decoder = msgpack_parser.Decoder(DecoderLimits())

        async def connect(auth):
            client = MemoryClient(io)
            await client.hear()
            client.say(*msgpack_parser.encode(Packet(PacketType.CONNECT, "/", auth)))
            return client, [decoder.add(frame) for frame in await client.hear()]

        client, [hello] = await connect(None)
        client.lose()
        io.emit("missed", b"\x01")
        _, [missed, again] = await connect({"pid": hello.data["pid"]})
        assert missed.data[:2] == ["missed", b"\x01"]
        assert again.data == hello.data

    recovering(scenario, on=Realtime(recovery_s=5, parser="msgpack"))


# ── better than Node ──


def test_whoever_has_received_nothing_recovers_too():
    """T26: the client has no offset yet, and says its `pid` alone."""

    async def scenario(io):
        client = await Returning(io).connect()
        io.emit("lost on the way")
        await settle()
        client.cut()
        io.emit("missed")
        await client.connect()
        assert client.recovered
        assert client.events == [["lost on the way"], ["missed"]]

    recovering(scenario)


def test_volatile_events_do_not_spoil_the_offset():
    """Their last argument would be taken for it, were it text. They are not stored."""

    async def scenario(io):
        client = await Returning(io).connect()
        socket = io.sockets[client.sid]
        socket.emit("one")
        socket.volatile.emit("typing", "text")
        io.volatile.emit("typing", "text")
        io.of("/").deliver(io.of("/").prepare("prepared", "text"))
        io.of("/").deliver(io.of("/").prepare("prepared", 1))
        frames = await client.read()
        assert [shape(frame) for frame in frames] == [
            '42["one","<offset>"]',
            '42["typing","text","<offset>"]',
            '42["typing","text","<offset>"]',
            '42["prepared","text",null]',
            '42["prepared",1]',
        ]
        client.cut()
        io.volatile.emit("typing", "text")
        io.emit("two")
        await client.connect()
        assert client.recovered
        assert client.events[-1] == ["two"]

    recovering(scenario)


def test_a_fast_client_takes_over_from_its_own_dead_connection():
    """T26: the end of the old one was not noticed. It is ended now, in all namespaces, and its handlers are told once."""
    told = []

    async def scenario(io):
        io.of("/other")

        @io.handle("disconnect")
        def gone(socket, reason):
            told.append((socket.id, reason))
            socket.broadcast.emit("gone", reason)

        client = await Returning(io).connect()
        witness = await Returning(io).connect()
        socket = io.sockets[client.sid]
        socket.join("room")
        io.emit("read")
        await client.read()
        io.to("room").emit("lost on the way")
        await settle()
        old, sid = client.client, client.sid
        await client.connect()
        assert client.recovered
        assert client.sid == sid
        assert old.transport.closed == (CloseCode.GOING_AWAY, "superseded")
        assert len(io.sockets) == 2
        assert io.sockets[sid] is not socket
        assert client.events == [["read"], ["lost on the way"]]
        io.to("room").emit("live")
        await client.read()
        assert client.events[-1] == ["live"]
        await witness.read()
        assert witness.events[-1] == ["gone", "transport close"]
        assert told == [(sid, "transport close")]

    recovering(scenario)


def test_a_pid_is_good_once():
    """Where Node lets two live sockets share an id, the one that came last has it, and the other one's connection has ended."""

    async def scenario(io):
        client = await Returning(io).connect()
        client.cut()
        thief = Returning(io)
        thief.pid = client.pid
        await thief.connect()
        assert thief.recovered
        await client.connect()
        assert client.recovered
        assert thief.closed is not None
        assert list(io.sockets) == [client.sid]

    recovering(scenario)


def test_a_pid_is_no_sid():
    """Ids of sockets are told to others; with one of them nobody can become another."""

    async def scenario(io):
        client = await Returning(io).connect()
        assert client.pid != client.sid
        other = Returning(io)
        other.pid = client.sid
        await other.connect()
        assert not other.recovered
        assert other.sid != client.sid
        assert client.closed is None

    recovering(scenario)


def test_a_quiet_client_among_busy_ones_recovers():
    """Its last event is long ago, and what others got since is gone: nothing of that was for it."""

    async def scenario(io):
        client = await Returning(io).connect()
        busy = await Returning(io).connect()
        io.sockets[busy.sid].join("busy")
        io.emit("early")
        await client.read()
        for _ in range(30):
            await asyncio.sleep(20)
            for each in (client, busy):  # pings are answered
                if any(frame == "2" for frame in await each.client.hear()):
                    each.client.say("3")
            io.to("busy").emit("talk")
        assert kept("events") < 25
        client.cut()
        io.emit("missed")
        await client.connect()
        assert client.recovered
        assert client.events == [["early"], ["missed"]]

    recovering(scenario)


# ── who may ──


def test_a_token_that_has_expired_is_seen():
    """The middlewares run: nothing of what was missed is told before they have let the client in. Later it can still come back."""

    async def scenario(io):
        @io.use
        async def check(socket):
            await asyncio.sleep(0)
            if socket.handshake.auth != {"token": "fresh"}:
                raise TokenExpired
            socket.user = "ann"

        client = await Returning(io, token="fresh").connect()
        client.cut()
        io.emit("secret")
        client.auth = {"token": "old"}
        await client.connect()
        [refusal] = client.frames
        assert json.loads(refusal[2:])["data"]["code"] == "token_expired"
        assert kept("sockets") == 1
        client.auth = {"token": "fresh"}
        client.client.say(
            f"40{json.dumps({'pid': client.pid, 'offset': client.offset} | client.auth)}"
        )
        await client.read()
        assert client.recovered
        assert client.events == [["secret"]]
        assert "user:ann" in io.sockets[client.sid].rooms

    recovering(scenario)


@pytest.mark.parametrize("told_by", ["user", "user_room"])
def test_another_user_gets_a_new_socket(told_by):
    """A stolen or shared `pid` does not make one user another; whom it belongs to, here or away, keeps everything."""

    async def scenario(io):
        @io.use
        def check(socket):
            user = socket.handshake.auth["user"]
            setattr(socket, told_by, user if told_by == "user" else f"user:{user}")

        ann = await Returning(io, user="ann").connect()
        for _ in range(2):  # once while ann is here, once while she is away
            bob = Returning(io, user="bob")
            bob.pid = ann.pid
            await bob.connect()
            assert not bob.recovered
            assert bob.sid != ann.sid
            assert ann.closed in {None, (None, "")}  # nobody but ann ended it
            ann.cut()
            io.to("user:ann").emit("for ann")
        await bob.read()
        assert bob.events == []
        await ann.connect()
        assert ann.recovered
        assert ann.events == [["for ann"], ["for ann"]]
        assert outcomes() == {"other_user": 2, "recovered": 1}

    recovering(scenario)


def test_middlewares_can_be_skipped_as_in_node():
    """`recovery_skips_middlewares`: user and principal are those of before; who cannot be recovered must pass them."""
    judged = []

    async def scenario(io):
        @io.use
        def check(socket):
            judged.append(socket.id)
            socket.user, socket.principal = "ann", {"scope": "all"}

        client = await Returning(io).connect()
        client.cut()
        await client.connect()
        socket = io.sockets[client.sid]
        assert client.recovered
        assert (socket.user, socket.principal) == ("ann", {"scope": "all"})
        assert len(judged) == 1
        client.cut()
        client.pid = "unknown"
        await client.connect()
        assert not client.recovered
        assert len(judged) == 2
        assert outcomes() == {"recovered": 1, "unknown": 1}

    recovering(scenario, recovery_skips_middlewares=True)


def test_the_application_sees_the_auth_that_its_client_wrote():
    """`pid` and `offset` are the library's: a `pid` is as good as a password."""

    async def scenario(io):
        client = await Returning(io, token="x").connect()
        io.emit("one")
        await client.read()
        client.cut()
        await client.connect()
        assert io.sockets[client.sid].handshake.auth == {"token": "x"}

    recovering(scenario)


@pytest.mark.parametrize("way", ["by itself", "put out", "closed", "revoked", "among all"])
def test_who_was_to_go_does_not_come_back(way):
    """After DISCONNECT, from either side or by a close code that says stop, nothing is kept."""

    async def scenario(io):
        client = await Returning(io).connect()
        socket = io.sockets[client.sid]
        match way:
            case "by itself":
                client.client.say("41")
            case "put out":
                socket.disconnect()
            case "closed":
                socket.disconnect(close=True)
            case "revoked":
                socket.end(CloseCode.REVOKED)
            case "among all":
                await io.of("/").disconnect_sockets()
        await settle()
        assert kept("sockets") == 0
        await client.connect()
        assert not client.recovered

    recovering(scenario)


def test_a_client_that_was_too_slow_starts_anew():
    """What waited for it when it was closed is more than may be sent at once: it would only be closed again."""

    async def scenario(io):
        client = await Returning(io).connect()
        client.client.transport.is_writable = False
        for number in range(30):
            io.emit("n", number, "x" * 200)
        await settle()
        assert client.closed == (CloseCode.SLOW, "slow")
        await client.connect()
        assert not client.recovered
        assert client.events == []
        assert outcomes() == {"too_much": 1}

    recovering(scenario, Limits(egress_hard_bytes=5_000, egress_soft_bytes=1_000))


# ── bad input ──


@pytest.mark.parametrize(
    "auth",
    [
        {"pid": 5},
        {"pid": None, "offset": None},
        {"pid": []},
        {"pid": "", "offset": ""},
        {"pid": "x" * 100_000, "offset": "x" * 100_000},
        {"pid": "__proto__"},
        {"offset": "epoch123.1"},
    ],
)
def test_nonsense_makes_a_new_socket(auth):
    """No error, no socket of somebody else."""

    async def scenario(io):
        client = await Returning(io, **auth).connect()
        assert len(client.sid) == 20
        assert not io.sockets[client.sid].recovered

    recovering(scenario)


@pytest.mark.parametrize("offset", ["x", 7, {}, "epoch123.", "e.1"])
def test_a_bad_offset_makes_a_new_socket(offset):
    """As in Node; the former one is lost, and that is told."""
    lost = []

    async def scenario(io):
        io.on("recovery_expired", lambda expired: lost.append(expired.why))
        client = await Returning(io).connect()
        client.cut()
        client.offset = offset
        await client.connect()
        assert not client.recovered
        assert outcomes() == {"bad_offset": 1}

    recovering(scenario)
    assert lost == ["bad_offset"]


def test_a_pid_belongs_to_its_namespace():
    """In another one it is unknown, and stays good for its own."""

    async def scenario(io):
        io.of("/other")
        client = await Returning(io).connect()
        client.cut()
        other = Returning(io, "/other")
        other.pid = client.pid
        await other.connect()
        assert not other.recovered
        await client.connect()
        assert client.recovered

    recovering(scenario)


def test_a_second_connect_on_the_same_session_is_out_of_turn():
    """With or without a `pid`."""

    async def scenario(io):
        client = await Returning(io).connect()
        client.client.say(f'40{{"pid":"{client.pid}"}}')
        await settle()
        assert client.closed is not None

    recovering(scenario)
