"""Connection state recovery, against clients in memory: rooms, time, and what all of it may cost."""

import asyncio
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.protocol.engineio import Transport as Kind
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded
from tests.support.memory_transport import make_server, settle
from tests.support.recovering import AWAY_S, ON, kept, outcomes, recovering
from tests.support.returning import Returning

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
