"""Connection state recovery, against clients in memory: what comes back, what does not, and what all of it may cost."""

import asyncio
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.errors import Disconnected, TokenExpired
from clarion.protocol import msgpack_parser
from clarion.protocol.codes import CloseCode
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.socketio import DecoderLimits, Packet, PacketType
from clarion.settings import Limits, Realtime
from clarion.telemetry import limit_exceeded, recovery, recovery_kept, spawn
from tests.support.memory_transport import MemoryClient, in_time, make_server, settle
from tests.support.returning import Returning
from tests.support.vectors import lines

AWAY_S = 120.0
ON = Realtime(recovery_s=AWAY_S)


def outcomes():
    """How often each came about since the last look, those that did."""
    counts = {value: tally.value for value, tally in recovery._tallies.items()}
    changed = {value: count - _SEEN.get(value, 0) for value, count in counts.items()}
    _SEEN.update(counts)
    return {value: count for value, count in changed.items() if count}


_SEEN: dict[str, int] = {}


def kept(what):
    """What is kept of this scenario's server."""
    return recovery_kept.labels(what).value - _KEPT_BEFORE.get(what, 0)


_KEPT_BEFORE: dict[str, int] = {}


def recovering(scenario, limits=None, on=ON, **more):
    """Run a scenario with a server that recovers; afterwards nothing may be kept."""

    async def whole(_loop):
        outcomes()
        _KEPT_BEFORE.update({what: each.value for what, each in recovery_kept._tallies.items()})
        io = make_server(on, limits, **more)
        try:
            await scenario(io)
        finally:
            await io.close()
        assert (kept("events"), kept("bytes"), kept("sockets")) == (0, 0, 0)

    in_time(whole)


def shape(frame):
    """A frame with the values that differ from run to run masked, as in the vectors."""
    text = frame if isinstance(frame, str) else frame.decode()
    text = re.sub(r'"(sid|pid)":"[\w-]{20}"', r'"\1":"<\1>"', text)
    return re.sub(r'"[\w-]{8}\.\d+"\]', '"<offset>"]', text)


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


# ── rooms, while it is away and before ──


def test_what_is_done_to_a_room_is_done_to_those_who_are_away():
    """Who is put into or out of rooms, or put out at all, by an operator, need not be connected at that moment."""
    lost = []

    async def scenario(io):
        io.on("recovery_expired", lambda expired: lost.append((expired.user, expired.why)))

        @io.use
        def who(socket):
            socket.user = socket.handshake.auth["user"]

        ann, bob = [await Returning(io, user=user).connect() for user in ("ann", "bob")]
        io.sockets[ann.sid].join("secret")
        for each in (ann, bob):
            each.cut()
        io.to("secret").emit("before")
        await io.in_("user:ann").sockets_leave("secret")
        await io.in_("user:ann").sockets_join(["lobby"])
        io.to("secret").emit("after")
        io.to("lobby").emit("welcome")
        await io.in_("user:bob").disconnect_sockets()
        await ann.connect()
        await bob.connect()
        assert ann.recovered
        assert ann.events == [["before"], ["welcome"]]
        assert io.sockets[ann.sid].rooms == (ann.sid, "user:ann", "lobby")
        assert not bob.recovered

    recovering(scenario)
    assert lost == [("bob", "disconnect")]


def test_a_room_that_was_left_stays_left():
    """The room of its own id, too."""

    async def scenario(io):
        client = await Returning(io).connect()
        socket = io.sockets[client.sid]
        socket.join("a", "b")
        socket.leave("a")
        socket.leave(socket.id)
        client.cut()
        await client.connect()
        assert client.recovered
        assert io.sockets[client.sid].rooms == ("b",)

    recovering(scenario)


def test_who_spoke_does_not_hear_itself():
    """What it was left out of when it was sent does not come later."""

    async def scenario(io):
        client = await Returning(io).connect()
        socket = io.sockets[client.sid]
        socket.join("a")
        socket.broadcast.emit("own")
        socket.to("a").emit("own")
        io.except_("a").emit("for others")
        io.to("a").except_("b").emit("for it")
        await settle()
        client.cut()
        io.except_(client.sid).emit("for others")
        await client.connect()
        assert client.events == [["for it"]]

    recovering(scenario)


def test_a_namespace_that_was_cleaned_up_still_knows_its_last_client():
    """A child that nobody is in goes; who was in it comes back to a new one of the same name."""

    async def scenario(io):
        io.of(re.compile("^/room-"))
        client = await Returning(io, "/room-1").connect()
        client.cut()
        await settle()
        assert "/room-1" not in io.namespaces
        await client.connect()
        assert client.recovered

    recovering(scenario)


# ── time ──


def test_the_window_ends():
    """Within it the client comes back, after it not; `recovery_expired` tells what is lost, once, when it is."""
    lost = []

    async def scenario(io):
        @io.on("recovery_expired")
        async def gone(expired):
            lost.append(expired)

        client = await Returning(io).connect()
        io.sockets[client.sid].join("room")
        io.sockets[client.sid].data["n"] = 1
        client.cut()
        await asyncio.sleep(AWAY_S - 0.1)
        await client.connect()
        assert client.recovered
        client.cut()
        await asyncio.sleep(AWAY_S - 0.1)
        assert lost == []
        await asyncio.sleep(1.3)
        [expired] = lost
        assert (expired.id, expired.rooms) == (client.sid, (client.sid, "room"))
        assert (expired.data, expired.why, expired.user) == ({"n": 1}, "time", None)
        await client.connect()
        assert not client.recovered
        assert outcomes() == {"recovered": 1, "unknown": 1}

    recovering(scenario)


def test_nobody_is_let_back_late_because_the_sweep_is():
    """The sweep looks once a second; the window is exact."""
    lost = []

    async def scenario(io):
        io.on("recovery_expired", lambda expired: lost.append(expired.why))
        client = await Returning(io).connect()
        await asyncio.sleep(0.5)
        client.cut()
        await asyncio.sleep(AWAY_S + 0.01)
        await client.connect()
        assert not client.recovered
        await asyncio.sleep(5)

    recovering(scenario)
    assert lost == ["time"]


def test_what_is_too_old_goes_by_itself():
    """Events, sockets and bytes; then nothing is waited for any more."""

    async def scenario(io):
        client = await Returning(io).connect()
        for _ in range(100):
            io.emit("x", "y" * 100)
        assert kept("events") == 100
        assert 20_000 < kept("bytes") < 200_000
        client.cut()
        await asyncio.sleep(AWAY_S + 110)
        assert (kept("events"), kept("bytes"), kept("sockets")) == (0, 0, 0)
        assert len(io.wheel) == 0

    recovering(scenario)


def test_a_server_that_was_started_again_knows_nobody():
    """A new client, without an error; afterwards it recovers there, though it still has an offset of the former one."""

    async def scenario(io):
        client = await Returning(io).connect()
        io.emit("one")
        await client.read()
        client.cut()
        await io.close()
        client.server = again = make_server(ON, seed=6)
        await client.connect()
        assert not client.recovered
        client.cut()
        again.emit("missed")
        await client.connect()
        assert client.recovered
        assert client.events == [["one"], ["missed"]]
        await again.close()

    recovering(scenario)


# ── bounds ──


def breaches(limit):
    return limit_exceeded.labels(limit).value


def test_events_are_bounded():
    """At the limit what was missed is there; one event more, and the client starts anew: it is told no half of it."""
    before = breaches("recovery_events")

    async def scenario(io):
        other = io.of("/other")
        client = await Returning(io).connect()
        for count in (5, 6):
            client.cut()
            for number in range(count):
                io.emit("n", number)
            client.events.clear()
            await client.connect()
            assert client.recovered == (count == 5)
            assert len(client.events) == (5 if count == 5 else 0)
        # Those of another namespace count, too; whoever is not concerned by what is gone recovers.
        client.cut()
        for _ in range(9):
            other.emit("elsewhere")
        await client.connect()
        assert client.recovered
        assert kept("events") == 5
        assert outcomes() == {"recovered": 2, "trimmed": 1}

    recovering(scenario, Limits(recovery_events=5))
    assert breaches("recovery_events") > before


def test_bytes_are_bounded():
    """Large events push out small ones; one that is larger than all that may be kept is sent, and not kept."""
    before = breaches("recovery_bytes")

    async def scenario(io):
        client = await Returning(io).connect()
        for _ in range(100):
            io.emit("x", "y" * 400)
            assert kept("bytes") <= 10_000
        assert 4 <= kept("events") <= 10
        io.emit("x", "y" * 20_000)
        assert (kept("events"), kept("bytes")) == (0, 0)
        await client.read()
        assert len(client.events) == 101
        client.cut()
        await client.connect()
        assert client.recovered

    recovering(scenario, Limits(recovery_bytes=10_000))
    assert breaches("recovery_bytes") > before


def test_sockets_are_bounded():
    """Who left first loses its place, and is told of as lost."""
    before, lost = breaches("recovery_sockets"), []

    async def scenario(io):
        io.on("recovery_expired", lambda expired: lost.append((expired.id, expired.why)))
        clients = [await Returning(io).connect() for _ in range(4)]
        sids = [client.sid for client in clients]
        for client in clients:
            client.cut()
        assert kept("sockets") == 3
        for client in clients:
            await client.connect()
        assert [client.recovered for client in clients] == [False, True, True, True]
        assert lost == [(sids[0], "limit")]

    recovering(scenario, Limits(recovery_sockets=3))
    assert breaches("recovery_sockets") == before + 1


def test_too_much_at_once_is_not_sent():
    """More than half of what may wait for one client: it would be closed as too slow again. It starts anew."""

    async def scenario(io):
        client = await Returning(io).connect()
        for count in (4, 5):
            client.cut()
            for _ in range(count):
                io.emit("x", "y" * 1_000)
            await client.connect()
            assert client.recovered == (count == 4)
        assert outcomes() == {"recovered": 1, "too_much": 1}

    recovering(scenario, Limits(egress_hard_bytes=9_000, egress_soft_bytes=9_000))


def test_a_storm_is_served():
    """500 clients lose their connections and come back at once, each missing 100 events: all of them get all, and nothing is left behind."""

    async def scenario(io):
        clients = [await Returning(io).connect() for _ in range(500)]
        for client in clients:
            client.cut()
        for number in range(100):
            io.emit("n", number)
        assert kept("sockets") == 500
        await asyncio.gather(*(client.connect() for client in clients))
        assert all(client.recovered for client in clients)
        assert {len(client.events) for client in clients} == {100}
        assert kept("sockets") == 0
        assert outcomes() == {"recovered": 500}

    recovering(scenario)


def test_a_drain_keeps_nothing():
    """The process ends: who was told to come back elsewhere is a new client there, and listeners are not told of a loss."""
    lost = []

    async def scenario(io):
        io.on("recovery_expired", lambda expired: lost.append(expired))
        for _ in range(3):
            await Returning(io).connect()
        io.emit("x")

    recovering(scenario)
    assert lost == []


# ── the property, over the whole server ──

ROOMS = ("a", "b")
some = st.lists(st.sampled_from(ROOMS), max_size=2, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), some, some),
        st.tuples(st.just("tell")),
        st.tuples(st.just("join"), st.sampled_from(ROOMS)),
        st.tuples(st.just("leave"), st.sampled_from(ROOMS)),
        st.tuples(st.just("read"), st.integers(0, 3)),
        st.tuples(st.just("cut")),
        st.tuples(st.just("connect"), st.sampled_from(Kind)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_two_clients_of_which_one_never_leaves_get_the_same(steps):
    """For any emits, joins, losses and returns, also before the end of the old connection was noticed: the same events, in order."""

    async def scenario(io):
        stays, leaves = [await Returning(io).connect() for _ in range(2)]
        is_cut = False
        for number, (step, *said) in enumerate(steps):
            # Both are in the same rooms: while one is away operators speak of both.
            both = io.in_([stays.sid, leaves.sid])
            match step:
                case "emit":
                    (io.to(*said[0]) if said[0] else io).except_(*said[1]).emit("broadcast", number)
                case "tell":
                    io.to(stays.sid, leaves.sid).emit("told", number)
                    io.volatile.emit("typing", "text")
                case "join":
                    await both.sockets_join(said[0])
                case "leave":
                    await both.sockets_leave(said[0])
                case "read" if not is_cut:
                    await leaves.read(said[0])
                case "cut" if not is_cut:
                    leaves.cut()
                    is_cut = True
                case "connect":
                    await leaves.connect(said[0])
                    assert leaves.recovered
                    is_cut = False
        await leaves.connect()
        await stays.read()
        lasting = [event for event in stays.events if event[0] != "typing"]
        assert [event for event in leaves.events if event[0] != "typing"] == lasting

    recovering(scenario)
