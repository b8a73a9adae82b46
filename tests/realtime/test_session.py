"""The session's shell: what packets may come when, what ends it, and with which close."""

import asyncio

import pytest
from prometheus_client import Counter

from clarion import telemetry
from clarion.protocol.codes import CloseCode
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime.transports.base import Prepared
from clarion.settings import Limits, Realtime
from tests.support.memory_transport import (
    MemoryClient,
    MemoryTransport,
    handshake,
    in_time,
    make_server,
    settle,
)


def count(counter: Counter, *labels: str) -> float:
    return counter.labels(*labels).value


async def fresh(**more):
    """A server and a client that has heard the handshake."""
    io = make_server(**more)
    client = MemoryClient(io)
    await client.hear()
    return io, client


async def test_the_first_packet_is_the_handshake():
    """Five keys, times in milliseconds; upgrades only where there is something to upgrade to."""
    io = make_server()
    for kind, upgrades in ((Kind.POLLING, '["websocket"]'), (Kind.WEBSOCKET, "[]")):
        client = MemoryClient(io, kind)
        assert await client.hear() == [
            (
                f'0{{"sid":"{client.session.id}","upgrades":{upgrades},'
                '"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
            )
        ]
        assert len(client.session.id) == 24
        assert client.session.transport_name == kind.value
    assert io.sessions == 2
    assert repr(Prepared(["4a"])) == "Prepared(['4a'])"


# ── what may not come ──
@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (['42["e"]'], "forced_server_close"),  # before CONNECT
        (["43[]"], "forced_server_close"),
        (["41"], "forced_server_close"),
        (["40", "40"], "forced_server_close"),  # a second CONNECT
        (["40", "44"], "forced_server_close"),  # CONNECT_ERROR is the server's
        (["40", '42/x,["e"]'], "forced_server_close"),
        (
            ['451-["e",{"_placeholder":true,"num":0}]'],
            "forced_server_close",
        ),  # attachments before CONNECT
        (["40", "4"], "forced_close"),
        (["40", "4abc"], "forced_close"),
        (["40", "42{}"], "forced_close"),
        (["40", "42abc[]"], "forced_close"),
        (["40", "42[{}]"], "forced_close"),  # a name is text or a number
        (["40", "42[null]"], "forced_close"),
        (["40", '42["disconnect"]'], "forced_close"),  # reserved
        (["40", '42["a\\u0000b"]'], "forced_close"),
        (["40", '42["e",' + "[" * 40 + "]" * 40 + "]"], "forced_close"),
        (["40", b"binary that was not announced"], "forced_close"),
        (["40", '451-["e",{"_placeholder":true,"num":0}]', '42["text"]'], "forced_close"),
        (["40", '4511-["e"]'], "forced_close"),  # more attachments than the limit
        (["40", "4" + "2" + "9" * 100_000 + '["e"]'], "forced_close"),
        (["40", ""], "parse_error"),
        (["40", "9"], "parse_error"),
        (["40", "2"], "transport_error"),  # revision 4: only the server pings
        (["40", "1"], "transport_close"),
    ],
)
async def test_what_may_not_come_ends_the_session(story, reason):
    """Broken and misplaced packets end the session with their reason, without a code as in Node; its socket is gone."""
    io, client = await fresh()
    io.on("connection", lambda socket: socket.on("e", lambda *a: None))
    before = count(telemetry.session_closed, reason)
    client.say(*story)
    await settle()
    assert client.transport.closed == (None, "")
    assert count(telemetry.session_closed, reason) == before + 1
    assert io.sessions == 0
    assert io.of("/").sockets == {}
    client.say('42["e"]')
    client.lose()
    assert count(telemetry.session_closed, reason) == before + 1


async def test_late_packets_of_a_namespace_that_was_left_are_ignored():
    """They were on their way in good faith; Node closes the connection."""
    io, client = await fresh()
    client.say("40", "41", '42["e"]', "43[]", "41")
    await settle()
    assert client.session.is_open
    client.say("40")
    await settle()
    assert len(io.of("/").sockets) == 1
    io.of("/s")
    sid = await client.join("/s")
    io.of("/s").sockets[sid].disconnect()
    client.say('42/s,["e"]')
    assert client.session.is_open


async def test_unknown_packets_of_no_meaning_are_ignored():
    """Pongs nobody asked for, `0`, `5` and `6` on an open WebSocket do nothing."""
    io, client = await fresh()
    client.say("40", "3", "0", "5", "6", *["3"] * 1000)
    await client.hear()
    assert client.session.is_open
    assert len(io.wheel) == 1


async def test_too_many_namespaces_are_refused():
    """Above `limits.namespaces` a CONNECT is answered by `too_many`; the others live on."""
    io, client = await fresh(limits=Limits(namespaces=2))
    for name in "abc":
        io.of(name)
    await client.join("/a")
    await client.join("/b")
    client.say("40/c,")
    (told,) = await client.hear()
    assert told.startswith('44/c,{"message":"a session has at most 2 namespaces')
    assert '"code":"too_many","message"' in told
    client.say("41/a,")
    await client.join("/c")


@pytest.mark.parametrize("story", [["40/unknown,"], ["40", "41"]])
async def test_endless_connects_end_the_session(story):
    """Each CONNECT, refused or not, may cost the check of a token: a client may not go on for ever."""
    _, client = await fresh()
    client.say(*story * 100)
    assert client.session.is_open
    client.say(*story)
    assert not client.session.is_open


# ── time ──
def test_heartbeats():
    """A ping each interval; who answers stays, who does not is closed after the time-out."""

    async def scenario(loop) -> None:
        _, client = await fresh(settings=Realtime(ping_interval_s=10, ping_timeout_s=5))
        client.say("40")
        await client.hear()
        for _ in range(3):
            await asyncio.sleep(10.2)
            assert await client.hear() == ["2"]
            client.say("3")
        await asyncio.sleep(10.2)
        assert await client.hear() == ["2"]
        await asyncio.sleep(4)
        assert client.session.is_open
        await asyncio.sleep(1.2)
        assert client.transport.closed == (None, "")

    in_time(scenario)


def test_who_joins_nothing_is_closed():
    """Without a namespace a session ends after connect_timeout, with 3502; one that was in one may stay without."""

    async def scenario(loop) -> None:
        io = make_server(Realtime(connect_timeout_s=9, ping_interval_s=100, ping_timeout_s=100))
        silent, left, inside = (MemoryClient(io) for _ in range(3))
        left.say("40", "41")
        inside.say("40")
        await asyncio.sleep(8.8)
        assert silent.session.is_open
        await asyncio.sleep(0.5)
        assert silent.transport.closed == (CloseCode.UNAUTHENTICATED, "unauthenticated")
        await asyncio.sleep(30)
        assert left.session.is_open
        assert inside.session.is_open

    in_time(scenario)


@pytest.mark.parametrize("announced", ["11", "100", "0", "x"])
async def test_too_many_attachments_are_counted_and_named(announced):
    """The application, and whoever looks at the metrics, learn which limit it was."""
    io, client = await fresh()
    told = []
    io.on("connection", lambda socket: socket.on("disconnect", lambda *all: told.append(all)))
    before = count(telemetry.limit_exceeded, "attachments")
    client.say("40", f'45{announced}-["e"]')
    assert count(telemetry.limit_exceeded, "attachments") == before + 1
    ((reason, details),) = told
    assert reason == "forced close"
    assert "1 to 10 (limits.attachments)" in details.text


def test_attachments_must_come():
    """A packet whose attachments do not come ends the session; one that is complete in time does not."""

    async def scenario(loop) -> None:
        io = make_server()
        slow, quick = MemoryClient(io), MemoryClient(io)
        head = '451-["e",{"_placeholder":true,"num":0}]'
        for client in (slow, quick):
            client.say("40", head)
        await asyncio.sleep(9)
        quick.say(b"here", head)
        await asyncio.sleep(2)
        assert slow.transport.closed == (CloseCode.POLICY, "attachments did not come")
        assert quick.session.is_open
        quick.say(b"here")
        await asyncio.sleep(10)
        assert quick.session.is_open

    in_time(scenario)


# ── flow ──
async def test_a_client_that_does_not_read_is_closed_as_slow():
    """Above the hard mark the session is closed with 3008 in a later turn, counted, and the broadcast reaches everybody else."""
    io = make_server(limits=Limits(egress_soft_bytes=1000, egress_hard_bytes=5000))
    clients = [MemoryClient(io) for _ in range(3)]
    for client in clients:
        await client.join()
    clients[1].transport.is_writable = False
    before = count(telemetry.limit_exceeded, "egress_hard_bytes")
    for number in range(20):
        assert io.emit("e", number, "." * 500) == 3
    await settle()
    assert clients[1].transport.closed == (CloseCode.SLOW, "slow")
    assert count(telemetry.limit_exceeded, "egress_hard_bytes") == before + 1
    assert io.emit("e") == 2
    for client in (clients[0], clients[2]):
        assert len(await client.hear()) == 21


async def test_a_full_transport_is_not_written_to():
    """While the connection's buffer is full everything waits here, and goes on in order afterwards."""
    io, client = await fresh()
    io.handle("from a stranger", lambda socket: pytest.fail("not its transport"))
    sid = await client.join()
    socket = io.of("/").sockets[sid]
    client.transport.is_writable, client.transport.stuck = False, 70_000
    client.session.full(client.transport)
    socket.emit("a")
    socket.emit("b")
    assert await client.hear() == []
    client.transport.is_writable = True
    client.session.writable(client.transport)
    assert await client.hear() == ['42["a"]', '42["b"]']
    stranger = MemoryTransport()
    client.session.full(stranger)
    client.session.writable(stranger)
    client.session.receive('420["from a stranger"]', stranger)
    client.session.lost(stranger)
    assert client.session.is_open
    assert await client.hear() == []


# ── upgrade ──
async def polling(io):
    """A client on polling whose poll is always held, and a WebSocket with its sid."""
    client = MemoryClient(io, Kind.POLLING)
    await client.join()
    await client.hear()
    return client, MemoryTransport()


async def test_an_upgrade_loses_and_doubles_nothing():
    """What was sent before `5` and not fetched leaves by the WebSocket, in order; the held poll is let go with `6`."""
    io = make_server()
    client, websocket = await polling(io)
    session = client.session
    assert session.probe(websocket)
    session.receive("2probe", websocket)
    assert websocket.sent == ["3probe"]
    assert await client.hear() == ["6"]
    client.transport.is_writable = False
    io.emit("while probing")
    await settle()
    client.transport.is_writable = True
    session.receive("5", websocket)
    io.emit("after")
    await settle()
    assert websocket.sent == ["3probe", '42["while probing"]', '42["after"]']
    assert await client.hear() == ["6"]
    assert session.transport_name == "websocket"
    session.receive('42["late, by the old transport"]', client.transport)
    session.lost(client.transport)
    assert session.is_open
    assert not session.probe(MemoryTransport())
    session.lost(websocket)
    assert io.sessions == 0


async def test_a_failed_probe_costs_the_session_nothing():
    """A probe that says anything else is closed, and so is a second one; the session stays on polling."""
    io = make_server()
    client, websocket = await polling(io)
    assert client.session.probe(websocket)
    assert not client.session.probe(MemoryTransport())
    client.session.receive("4hello", websocket)
    assert websocket.closed == (None, "")
    client.session.receive("2probe", websocket)
    again = MemoryTransport()
    assert client.session.probe(again)
    client.session.lost(again)
    broken = MemoryTransport()
    assert client.session.probe(broken)
    client.session.receive("", broken)
    assert broken.closed == (None, "")
    assert client.session.is_open
    io.emit("e")
    assert await client.hear() == ['42["e"]']


async def test_the_end_during_a_probe_closes_both():
    """When the session ends its probe ends, too."""
    client, websocket = await polling(make_server())
    client.session.probe(websocket)
    client.session.drain()
    assert websocket.closed == (None, "")
    assert await client.hear() == ["1"]


# ── the end on polling ──
async def test_the_last_packets_wait_to_be_fetched():
    """On polling the session stays until its last packets were fetched; nothing is added meanwhile."""
    io = make_server()
    client, _ = await polling(io)
    client.transport.is_writable = False
    io.emit("last")
    client.session.drain()
    io.emit("too late")
    assert io.sessions == 1
    client.transport.is_writable = True
    client.session.polled(client.transport)
    assert client.transport.sent == ['42["last"]', "1"]
    assert io.sessions == 0


def test_last_packets_that_nobody_fetches_are_dropped():
    """A client that does not come back is not waited for longer than 5 s."""

    async def scenario(loop) -> None:
        io = make_server()
        client = MemoryClient(io, Kind.POLLING)
        await client.join()
        client.transport.is_writable = False
        client.session.drain()
        await asyncio.sleep(4.8)
        assert io.sessions == 1
        await asyncio.sleep(0.5)
        assert io.sessions == 0

    in_time(scenario)


async def test_gauges_follow_sessions():
    """Open sessions are counted by transport, also over an upgrade."""
    gauge = telemetry.sessions
    before = [gauge.labels(kind.value).value for kind in Kind]
    io = make_server()
    client, websocket = await polling(io)
    client.session.probe(websocket)
    client.session.receive("5", websocket)
    assert [gauge.labels(kind.value).value for kind in Kind] == [before[0], before[1] + 1]
    client.session.drain()
    assert [gauge.labels(kind.value).value for kind in Kind] == before
    assert websocket.closed == (CloseCode.DRAINING, "draining")


async def test_a_simulator_can_open_sessions():
    """`Server.open` takes any transport and the facts of a handshake."""
    io = make_server()
    session = io.open(MemoryTransport(), handshake(address="192.0.2.9"))
    assert io.find(session.id) is session
    assert session.handshake.address == "192.0.2.9"


# ── how long, and how many ──
def test_a_session_reaches_its_age():
    """After `connection_age_s`, give or take a fifth, it is closed with 3002, on any transport; 0 is no limit. One wheel serves all."""

    async def story(loop) -> None:
        io = make_server(limits=Limits(connection_age_s=1_000))
        breach = telemetry.limit_exceeded.labels("connection_age_s")
        before, began, reasons = breach.value, loop.time(), []
        io.handle("disconnect", lambda socket, reason: reasons.append(reason))
        kinds = [Kind.WEBSOCKET] * 20 + [Kind.POLLING] * 5
        clients = [MemoryClient(io, kind) for kind in kinds]
        for client in clients:
            await client.join()
        ended: list[float] = []
        while len(ended) < len(clients):
            await asyncio.sleep(5)
            ended += [loop.time()] * (sum(not c.session.is_open for c in clients) - len(ended))
            for client in clients:
                client.say("3")
        assert ended[0] - began >= 800
        assert ended[-1] - began <= 1_205
        assert len(set(ended)) > 10, "they do not all come back at once"
        assert {c.transport.closed for c in clients} == {(3002, "aged")}
        assert reasons == ["forced server close"] * 25
        assert breach.value == before + 25
        off = make_server(limits=Limits(connection_age_s=0))
        client = MemoryClient(off)
        await client.join()
        for _ in range(300):
            await asyncio.sleep(1_000 / 50)
            client.say("3")
        assert client.session.is_open

    in_time(story)


async def test_a_user_has_so_many_connections():
    """One more is told `too_many_connections` by connect_error and closed with 3505; when one goes another may come."""
    io = make_server(limits=Limits(sessions_per_user=2))
    io.use(lambda socket: setattr(socket, "user", socket.handshake.auth["user"]))
    io.of("/other")
    breach = telemetry.limit_exceeded.labels("sessions_per_user")
    before = breach.value
    clients = [MemoryClient(io) for _ in range(2)]
    for client in clients:
        await client.join(auth={"user": "ann"})
    third = MemoryClient(io)
    await third.hear()
    third.say('40{"user":"ann"}')
    (told,) = await third.hear()
    assert told.startswith(
        '44{"message":"a user has at most 2 connections (limits.sessions_per_user)"'
    )
    assert '"code":"too_many_connections","message":' in told
    assert '"limit":2' in told
    assert third.transport.closed == (3505, "too_many_connections")
    assert breach.value == before + 1
    await MemoryClient(io).join(auth={"user": "ben"})
    clients[0].lose()
    await MemoryClient(io).join(auth={"user": "ann"})


async def test_users_are_told_apart_by_the_room_that_they_have():
    """An application whose users' names are not unique (tenants) names the room: its users are counted each by itself."""
    io = make_server(limits=Limits(sessions_per_user=1))
    io.use(lambda socket: setattr(socket, "user_room", socket.handshake.auth["room"]))
    await MemoryClient(io).join(auth={"room": "acme|user:ann"})
    await MemoryClient(io).join(auth={"room": "other|user:ann"})
    second = MemoryClient(io)
    await second.hear()
    second.say('40{"room":"acme|user:ann"}')
    await second.hear()
    assert second.transport.closed == (3505, "too_many_connections")


async def test_a_session_in_another_namespace_outlives_one_socket_too_many():
    """Only the socket is refused: the rest of the session is nobody's fault."""
    io = make_server(limits=Limits(sessions_per_user=1))
    io.use(lambda socket: setattr(socket, "user", "ann"))
    io.of("/other")
    await MemoryClient(io).join()
    second = MemoryClient(io)
    await second.join("/other")
    second.say("40")
    assert (await second.hear())[0].startswith("44{")
    assert second.session.is_open
    assert second.transport.closed is None


@pytest.mark.parametrize("kind", list(Kind))
def test_who_sends_too_much_is_held(kind):
    """Above the burst reading pauses for as long as the excess takes at the rate; nothing is lost, and nobody is closed."""

    async def story(loop) -> None:
        limits = Limits(
            bytes_per_s=1_000, packets_per_s=100, max_payload_bytes=1_024, attachments=0
        )
        io = make_server(limits=limits)
        heard: list[str] = []
        io.handle("q", lambda socket, text: heard.append(text))
        client = MemoryClient(io, kind)
        await client.join()
        breach = telemetry.limit_exceeded.labels("bytes_per_s")
        before = breach.value
        event = '42["q","%s"]' % ("x" * 980)
        for _ in range(5):
            if kind is Kind.POLLING:
                client.session.receive_payload(event.encode(), client.transport)
            else:
                client.say(event)
        assert breach.value > before
        assert client.transport.held_s == pytest.approx(1.0, abs=0.1)
        assert len(heard) == 5
        client.transport.held_s = 0.0
        await asyncio.sleep(10)
        client.say(event)
        assert client.transport.held_s == 0
        assert client.session.is_open

    in_time(story)


async def test_events_that_nobody_listens_to_can_be_handled_by_one():
    """It gets their names and answers them; whoever listens by name goes first; without it they are unknown."""
    io = make_server()
    io.handle("known", lambda _socket: "by name")
    client = MemoryClient(io)
    await client.join()
    client.say('421["other",5]')
    assert '"code":"unknown_event"' in (await client.hear())[0]

    @io.handle_others
    async def others(_socket, event, *args):
        return event, *args

    client.say('422["known"]')
    assert await client.hear() == ['432["by name"]']
    client.say('423["other",5]')
    assert await client.hear() == ['433["other",5]']
