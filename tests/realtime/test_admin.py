"""The endpoint of Socket.IO's admin page: who may look, what is shown, what may be done."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from clarion.clock import ManualClock
from clarion.errors import UsageError
from clarion.protocol import jsontext
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime import Server
from clarion.realtime.admin import AdminUi, instrument
from clarion.realtime.admin.view import MOST_CHARACTERS, MOST_VALUES, shown
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded
from tests.support import vectors
from tests.support.memory_transport import (
    MemoryClient,
    MemoryTransport,
    handshake,
    in_time,
    make_server,
    settle,
)
from tests.support.simulation import SimLoop

PASSWORD = "correct horse"
GOOD = {"username": "admin", "password": PASSWORD}
PREFIX = "42/admin,"


class Page(MemoryClient):
    """A page of an operator: what it is told, as lists of name and arguments."""

    async def told(self, *names: str) -> list[list[Any]]:
        """What came since the last call; of these events alone, if any are named."""
        packets = [json.loads(each.removeprefix(PREFIX)) for each in await self.hear()]
        return [packet for packet in packets if not names or packet[0] in names]

    def do(self, *event: Any) -> None:
        self.say(PREFIX + json.dumps(event))


def server(mode: str = "development", limits: Limits | None = None, **more: Any) -> Server:
    io = make_server(limits=limits)
    instrument(io, AdminUi(password=PASSWORD, mode=mode, **more), server_id="node-1")
    return io


async def page(io: Server, auth: Any = GOOD, address: str = "192.0.2.1") -> Page:
    """A page that has been let in; what it was told at once is still to be read."""
    found = Page(io, shook=handshake(address=address))
    await found.hear()
    found.say(f"40/admin,{'' if auth is None else json.dumps(auth)}")
    heard = await found.hear()
    (connect,) = [each for each in heard if str(each).startswith("40/admin,")]
    # Of its own room it is told before, as by Node: nobody listens yet, and the list of all sockets follows.
    found.transport.sent[:0] = heard[heard.index(connect) + 1 :]
    return found


async def refusal(io: Server, auth: Any, address: str = "192.0.2.1") -> str:
    """What a page is told that is not let in."""
    client = MemoryClient(io, shook=handshake(address=address))
    await client.hear()
    client.say(f"40/admin,{json.dumps(auth)}")
    (answer,) = await client.hear()
    assert str(answer).startswith("44/admin,"), answer
    return str(json.loads(str(answer).removeprefix("44/admin,"))["message"])


# ── who may look ──


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"sessionId": None},
        {"sessionId": "made up"},
        {"sessionId": ["x"]},
        {"username": "admin"},
        {"username": "admin", "password": ""},
        {"username": "admin", "password": PASSWORD + "x"},
        {"username": "Admin", "password": PASSWORD},
        {"username": "admin", "password": [PASSWORD]},
        {"username": None, "password": 5},
        {"username": "admin", "password": "x" * 100_000},
        {"username": "\ud800", "password": "\ud800"},
    ],
)
async def test_who_has_no_password_is_told_the_pages_own_words(auth: Any) -> None:
    """`invalid credentials`, word for word, whatever is wrong; for these the page shows its form again."""
    assert await refusal(server(), auth) == "invalid credentials"


async def test_a_page_with_the_password_gets_a_session_and_needs_no_password_again() -> None:
    """The session comes after CONNECT, where the page listens: in Node it is lost. It ends after a day."""
    clock = ManualClock()
    io = make_server()
    instrument(io, AdminUi(password=PASSWORD), clock=clock)
    first = await page(io)
    ((name, session), *_) = await first.told()
    assert name == "session"
    again = await page(io, {"sessionId": session})
    assert await again.told("session") == []
    clock.advance(86_400)
    assert await refusal(io, {"sessionId": session}) == "invalid credentials"


async def test_passwords_cannot_be_guessed() -> None:
    """Wrong ones are counted by address, a /64 being one; other addresses, sessions and right passwords are not touched."""
    clock = ManualClock()
    io = make_server(limits=Limits(login_tries=3))
    instrument(io, AdminUi(password=PASSWORD), clock=clock)
    session = (await (await page(io)).told("session"))[0][1]
    for _ in range(10):
        await page(io)  # being right costs nothing
    wrong = {"username": "admin", "password": "wrong"}
    for n in range(3):
        assert await refusal(io, wrong, f"2001:db8::{n}") == "invalid credentials"
    for auth in (wrong, GOOD):
        assert "too many" in await refusal(io, auth, "2001:db8::ffff")
    assert await refusal(io, {}, "2001:db8::1") == "invalid credentials"  # a page that only asks
    assert await refusal(io, wrong, "192.0.2.9") == "invalid credentials"
    await page(io, {"sessionId": session}, "2001:db8::1")
    clock.advance(20)
    await page(io)


async def test_an_application_may_check_passwords_itself() -> None:
    """With a function, plain or async; or let everybody in, as Node's `auth: false`."""
    io = make_server()

    async def verify(username: str, password: str) -> bool:
        await asyncio.sleep(0)
        return (username, password) == ("ops", "123")

    instrument(io, AdminUi(), verify=verify)
    await page(io, {"username": "ops", "password": "123"})
    assert await refusal(io, {"username": "ops", "password": "124"}) == "invalid credentials"
    everybody = make_server()
    instrument(everybody, AdminUi(), verify=lambda *_: True)
    await page(everybody, None)


async def test_a_page_that_leaves_while_its_password_is_checked_leaves_nothing() -> None:
    """No session is made for it, and no error comes of it."""
    io = make_server()

    async def slow(*_: str) -> bool:
        await asyncio.sleep(0)
        return True

    instrument(io, AdminUi(), verify=slow)
    client = MemoryClient(io)
    await client.hear()
    client.say("40/admin,{}", "41/admin,")
    assert await client.hear() == []
    assert not io.of("/admin").sockets


def test_an_endpoint_without_any_password_does_not_start() -> None:
    """It would be open to everybody by oversight."""
    with pytest.raises(UsageError, match="password"):
        instrument(Server(), AdminUi())
    with pytest.raises(UsageError, match="12 characters"):
        instrument(Server(), AdminUi(password="short"))


# ── the captured frames ──


@pytest.mark.parametrize(
    ("config", "mode", "readonly"),
    [
        ("dev-basic", "development", False),
        ("prod-noauth", "production", False),
        ("readonly", "development", True),
    ],
)
def test_each_captured_frame_has_ours_of_the_same_shape(
    config: str, mode: str, readonly: bool
) -> None:
    """What the official endpoint says we say, with at least the same members of the same types; what the page says we understand."""

    async def scenario(_: SimLoop) -> None:
        told = await _play(server(mode, readonly=readonly))
        wanted: dict[str, list[Any]] = {}
        for line in vectors.lines("admin-ui"):
            if not line["name"].startswith(config) or line["direction"] != "server→client":
                continue
            event = line["decoded"].get("data")
            if isinstance(event, list):
                wanted.setdefault(event[0], []).append(event)
        ours = {event[0] for event in told}
        assert set(wanted) - {"session"} == ours - {"session"}
        for name, events in wanted.items():
            mine = [event for event in told if event[0] == name]
            for event in events:
                assert any(_is_like(event, one) for one in mine), (event, mine[:2])

    in_time(scenario)


async def _play(io: Server) -> list[list[Any]]:
    """What happened when the frames were captured."""
    io.on("connection", lambda socket: socket.join("room1"))
    io.handle("ping1", lambda socket: socket.emit("hello", "x"))
    io.handle("set", lambda socket: socket.data.update(score=5))
    shook = handshake(
        url="/socket.io/?EIO=4&transport=polling&t=x", raw_headers=b"host:127.0.0.1:39075"
    )
    early = MemoryClient(io, shook=shook)
    await early.join()
    watching = await page(io)
    told = await watching.told()
    app = MemoryClient(io, Kind.POLLING, shook=shook)
    sid = await app.join()
    upgraded = MemoryTransport()
    app.session.probe(upgraded)
    app.session.receive("2probe", upgraded)
    app.session.receive("5", upgraded)
    app.transport = upgraded
    app.say('42["ping1"]', '42["set"]')
    told += await watching.told()
    await asyncio.sleep(2.1)
    watching.do("emit", "/", None, "hello", "from admin", 1)
    watching.do("emit", "/", sid, "hello")
    watching.do("join", "/", "room2", sid)
    await settle()
    watching.do("leave", "/", "room2", sid)
    await settle()
    early.say("41")
    watching.do("_disconnect", "/", False, sid)
    await asyncio.sleep(2.1)
    other = await page(io)
    other.lose()
    await asyncio.sleep(2.1)
    told += await watching.told()
    # What is told together depends on the moment.
    stats = [event[1] for event in told if event[0] == "server_stats"]
    counted = [each for stat in stats for each in stat["aggregatedEvents"]]
    return [*told, ["server_stats", {**stats[-1], "aggregatedEvents": counted}]]


def _is_like(wanted: list[Any], given: list[Any]) -> bool:
    """Whether an event has the shape of another: as many arguments, of the same types."""
    if wanted[0] == "config":
        return wanted == given
    return len(wanted) == len(given) and all(map(_has_shape, wanted, given))


def _has_shape(wanted: Any, given: Any) -> bool:
    match wanted, given:
        case dict(), dict():
            # What is in them is the client's or the application's.
            free = {"headers", "query", "data"}
            return all(
                name in given and (name in free or _has_shape(value, given[name]))
                for name, value in wanted.items()
            )
        case list(), list():
            return all(any(_has_shape(item, one) for one in given) for item in wanted)
        case bool(), _:
            return isinstance(given, bool)
        case int() | float(), _:
            return isinstance(given, int | float)
    return type(wanted) is type(given)


# ── what is shown ──


async def test_what_lets_somebody_in_is_not_shown() -> None:
    """Neither cookies nor credentials of headers, query and `auth`, nor a whole session's id, which would take a session over on polling."""
    io = server()
    shook = handshake(
        url="/socket.io/?EIO=4&token=s3cret&sid=s3cret&room=a%26b",
        raw_headers=b"cookie:s3cret\nauthorization:Bearer s3cret\nuser-agent:x",
    )
    client = MemoryClient(io, shook=shook)
    await client.join(auth={"token": "s3cret"})
    told = await (await page(io)).told()
    (shown,) = [each for each in told[2][1] if each["nsp"] == "/"]
    assert "s3cret" not in json.dumps(told)
    assert client.session.id not in json.dumps(told)
    assert shown["handshake"]["headers"] == {"user-agent": "x"}
    assert shown["handshake"]["query"] == {"EIO": "4", "token": "***", "sid": "***", "room": "a&b"}
    assert shown["handshake"]["url"] == "/socket.io/?EIO=4&token=***&sid=***&room=a%26b"
    assert shown["clientId"] == client.session.id[:12]


async def test_whatever_is_sent_or_kept_can_be_shown() -> None:
    """Bytes, numbers beyond JavaScript's, objects of the application, long texts and lists: cut and named, never an error."""
    io = server()
    watching = await page(io)
    client = MemoryClient(io)
    await client.join()
    (socket,) = io.of("/").sockets.values()
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    strange = [b"abc", 10**30, float("nan"), datetime(2026, 1, 2, tzinfo=UTC), object(), True, 1.5]
    socket.data["strange"] = [*strange, "x" * 5_000, list(range(1_000)), deep, {5: None}]
    assert shown(socket.data["strange"])[:7] == [
        "<3 bytes>",
        str(10**30),
        "nan",
        datetime(2026, 1, 2, tzinfo=UTC),
        "<object>",
        True,
        1.5,
    ]
    await watching.told()
    client.say(
        '42["big",' + "9" * 40 + ',"' + "y" * 100_000 + '"]',
        '451-["bin",{"_placeholder":true,"num":0}]',
    )
    client.say(b"\x00" * 100)
    socket.emit("out", b"\x00" * 10)
    seen = await watching.told("event_received", "event_sent")
    assert [event[3][0] for event in seen] == ["big", "bin", "out"]
    assert seen[1][3] == ["bin", "<100 bytes>"]
    assert len(json.dumps(seen)) < 3_000
    other = await page(io)
    assert "<object>" in json.dumps(await other.told("all_sockets"))


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_any_value_becomes_one_that_can_be_sent(value: Any) -> None:
    """Whatever it is, and however large: text of bounded size comes of it."""
    assert len(jsontext.write([shown(value)], [])) < 2 * MOST_VALUES * MOST_CHARACTERS


async def test_many_events_are_left_out_and_many_sockets_not_listed() -> None:
    """Limits of their own, which are counted; connections are told all the same, since the page's lists live by them."""
    io = server(events_per_s=5, sockets=3)
    clients = [MemoryClient(io) for _ in range(4)]
    for client in clients:
        await client.join()
    before = (_exceeded("admin_ui_events_per_s"), _exceeded("admin_ui_sockets"))
    watching = await page(io)
    ((_, listed),) = await watching.told("all_sockets")
    assert len(listed) == 3
    for _ in range(30):
        clients[0].say('42["x"]')
    assert len(await watching.told("event_received")) == 10
    late = MemoryClient(io)
    await late.join()
    assert len(await watching.told("socket_connected")) == 1
    assert _exceeded("admin_ui_events_per_s") == before[0] + 20
    assert _exceeded("admin_ui_sockets") == before[1] + 1


def _exceeded(limit: str) -> int:
    return limit_exceeded.labels(limit).value


async def test_a_page_that_is_behind_gets_no_events_and_hurts_nobody() -> None:
    """They are volatile; the sockets that it watches go on."""
    io = server(limits=Limits(egress_soft_bytes=1_000), events_per_s=1_000)
    slow, client = await page(io), MemoryClient(io)
    await client.join()
    await slow.told()
    slow.transport.is_writable = False
    slow.session.full(slow.transport)
    for _ in range(100):
        client.say('42["x"]')
    slow.transport.is_writable = True
    slow.session.writable(slow.transport)
    assert 0 < len(await slow.told("event_received")) < 20
    assert client.session.is_open


async def test_nothing_is_watched_while_no_page_is_there() -> None:
    """Before the first and after the last the server is as without the endpoint; in production it always is."""
    for mode in ("development", "production"):
        io = server(mode)
        nsp = io.of("/")
        before = _watchers(io)
        first, second = await page(io), await page(io)
        assert (_watchers(io) == before) == (mode == "production")
        first.say("41/admin,")
        assert (_watchers(io) == before) == (mode == "production")
        second.lose()
        await settle()
        assert _watchers(io) == before
        assert not nsp.adapter.is_heard


def _watchers(io: Server) -> list[Any]:
    root = io.of("/")
    heard = [root.listeners("connection"), root.listeners_any(), root.listeners_any_outgoing()]
    return [*heard, dict(root._hub.listeners.by_event), root.adapter.is_heard]


async def test_namespaces_that_come_and_go_are_watched_too() -> None:
    """One that is made while a page looks; and one that clients made and have left is forgotten."""
    io = server()
    io.of(re.compile("^/room-[0-9]+$"))
    watching = await page(io)
    await watching.told()
    client = MemoryClient(io)
    await client.join("/room-1")
    assert [event[1]["nsp"] for event in await watching.told("socket_connected")] == ["/room-1"]
    client.say("41/room-1,")
    assert [event[1] for event in await watching.told("socket_disconnected")] == ["/room-1"]
    assert "/room-1" not in io.namespaces
    again = MemoryClient(io)
    await again.join("/room-1")
    assert len(await watching.told("socket_connected")) == 1


def test_statistics_come_every_two_seconds_to_pages_that_are_there() -> None:
    """And stop with the last page; what is counted is counted once."""

    async def scenario(_: SimLoop) -> None:
        io = server("production")
        watching = await page(io)
        client = MemoryClient(io)
        await client.join()
        client.say('42["x"]')
        assert len(await watching.told("server_stats")) == 1
        await asyncio.sleep(6.5)
        stats = [event[1] for event in await watching.told("server_stats")]
        assert len(stats) == 3
        counted = {each["type"]: each["count"] for each in stats[0]["aggregatedEvents"]}
        assert counted["rawConnection"] == 1
        assert counted["packetsIn"] == 2
        assert [len(stat["aggregatedEvents"]) for stat in stats[1:]] == [2, 2]  # the statistics
        assert stats[0]["namespaces"] == [
            {"name": "/", "socketsCount": 1},
            {"name": "/admin", "socketsCount": 1},
        ]
        watching.say("41/admin,")
        await asyncio.sleep(10)
        assert not any("server_stats" in str(each) for each in await watching.hear())

    in_time(scenario)


# ── what may be done ──


async def test_operators_reach_everybody_a_room_or_a_socket() -> None:
    """Of the namespace that they name; what they do is in the log."""
    io = server("production")
    io.on("connection", lambda socket: socket.join("room"))
    one, two = MemoryClient(io), MemoryClient(io)
    sid, _ = await one.join(), await two.join()
    operator = await page(io)
    with capture_logs() as logs:
        operator.do("emit", "/", "room", "a", 1, {"b": None})
        operator.do("emit", "/", sid, "c")
        operator.do("emit", "/", "", "d")
        assert await one.hear() == ['42["a",1,{"b":null}]', '42["c"]', '42["d"]']
        assert await two.hear() == ['42["a",1,{"b":null}]', '42["d"]']
        operator.do("join", "/", "new", "room")
        await settle()
        assert io.of("/").rooms == {"room": 2, "new": 2}
        operator.do("leave", "/", "room")
        await settle()
        assert io.of("/").rooms == {"new": 2}
        operator.do("_disconnect", "/", True, sid)
        assert await one.hear() == ["41"]
        assert one.transport.closed
        operator.do("_disconnect", "/", False)
        assert await two.hear() == ["41"]
        assert not two.transport.closed
    did = [line["did"] for line in logs if line["event"] == "admin page"]
    assert did == ["emit", "emit", "emit", "join", "leave", "disconnect", "disconnect"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["emit", "/nowhere", None, "x"], "unknown_namespace"),
        (["emit", None, None, "x"], "unknown_namespace"),
        (["emit", "/", 5, "x"], "invalid"),
        (["emit", "/", None, "disconnect"], "invalid"),
        (["emit", "/", None, {}], "invalid"),
        (["emit", "/"], "invalid"),
        (["join", "/", ""], "invalid"),
        (["join", "/", 5, "x"], "invalid"),
        (["leave", "/", "x" * 300], "invalid"),
        (["join", "/", "a", "b", "c"], "invalid"),
        (["_disconnect", "/nowhere"], "unknown_namespace"),
    ],
)
async def test_a_bad_command_is_refused_and_makes_nothing(command: list[Any], code: str) -> None:
    """Node makes a namespace of whatever name. Who asks for an ack gets the reason."""
    io = server()
    operator = await page(io)
    await operator.told()
    operator.say("42/admin,1" + json.dumps(command))
    (answer,) = [each for each in await operator.hear() if str(each).startswith("43/admin,1")]
    assert json.loads(str(answer).removeprefix("43/admin,1"))[0]["error"]["code"] == code
    assert set(io.namespaces) == {"/", "/admin"}


async def test_a_read_only_page_can_do_nothing() -> None:
    """Its commands have no handlers, whatever it sends."""
    io = server(readonly=True)
    client = MemoryClient(io)
    sid = await client.join()
    operator = await page(io)
    for command in (["emit", "/", None, "x"], ["join", "/", "a", sid], ["_disconnect", "/", True]):
        operator.do(*command)
    await settle()
    assert await client.hear() == []
    assert io.of("/").rooms == {}
