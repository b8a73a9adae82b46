"""The 25 promises that the official Engine.IO suite asks for, and the 32 of Socket.IO's, in our words.

They are asked of `python -m clarion.testing.protocol_server` in a process of its own, which is also the server for the suites
themselves. Promises mostly wait for heartbeats: all of them run at once when the module begins, and each test reports on one.
"""

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from clarion.telemetry import spawn
from tests.support.raw_client import CLOSE, hang_up, upgrade
from tests.support.raw_socketio import Reach, Spoken

ENGINE, SOCKET = b"/engine.io/", b"/socket.io/"
PATIENCE_S = 20.0

Promise = Callable[[Reach], Awaitable[None]]
PROMISES: dict[str, tuple[Promise, bytes]] = {}


def promise(
    engine: int | None = None, *, socket: int | None = None
) -> Callable[[Promise], Promise]:
    """Number a promise: of the Engine.IO suite, of the Socket.IO suite, or of both."""

    def numbered(function: Promise) -> Promise:
        if engine is not None:
            PROMISES[f"engine-{engine:02}-{function.__name__}"] = function, ENGINE
        if socket is not None:
            PROMISES[f"socket-{socket:02}-{function.__name__}"] = function, SOCKET
        return function

    return numbered


# ── handshake ──
HELLO = {"upgrades", "pingInterval", "pingTimeout", "maxPayload", "sid"}


def is_hello(text: str, upgrades: list[str]) -> bool:
    told = json.loads(text[1:])
    return (
        text.startswith("0")
        and set(told) == HELLO
        and isinstance(told["sid"], str)
        and (told["upgrades"], told["pingInterval"], told["pingTimeout"], told["maxPayload"])
        == (upgrades, 300, 200, 1_000_000)
    )


@promise(1, socket=1)
async def polling_opens_with_five_facts(to: Reach) -> None:
    """GET answers 200 with the open packet: exactly five keys, and WebSocket as the one upgrade."""
    answer = await to.ask("GET", to.query + b"polling")
    assert answer.status == 200
    assert is_hello(answer.body.decode(), ["websocket"])


@promise(2, socket=2)
async def polling_needs_the_revision(to: Reach) -> None:
    """EIO missing, or not 4: 400."""
    for query in (b"?transport=polling", b"?EIO=abc&transport=polling"):
        assert (await to.ask("GET", to.path + query)).status == 400


@promise(3, socket=3)
async def polling_needs_a_transport(to: Reach) -> None:
    """Transport missing or unknown: 400."""
    for query in (b"?EIO=4", b"?EIO=4&transport=abc"):
        assert (await to.ask("GET", to.path + query)).status == 400


@promise(4, socket=4)
async def only_get_opens(to: Reach) -> None:
    """POST and PUT without a session: 400."""
    for method in ("POST", "PUT"):
        assert (await to.ask(method, to.query + b"polling")).status == 400


@promise(5, socket=5)
async def websocket_opens_with_five_facts(to: Reach) -> None:
    """The first message is the open packet, with nothing to upgrade to."""
    assert is_hello(await (await to.websocket()).hear(), [])


async def is_no_websocket(to: Reach, query: bytes) -> bool:
    return b" 101 " not in await to.raw.ask(upgrade(path=to.path + query))


@promise(6, socket=6)
async def websocket_needs_the_revision(to: Reach) -> None:
    """EIO missing, or not 4: the connection closes."""
    for query in (b"?transport=websocket", b"?EIO=abc&transport=websocket"):
        assert await is_no_websocket(to, query)


@promise(7, socket=7)
async def websocket_needs_a_transport(to: Reach) -> None:
    """Transport missing or unknown: the connection closes."""
    for query in (b"?EIO=4", b"?EIO=4&transport=abc"):
        assert await is_no_websocket(to, query)


# ── messages of Engine.IO ──
@promise(8)
async def a_text_by_polling(to: Reach) -> None:
    """POST answers 200 `ok`; the message comes back by GET."""
    client = await to.polling()
    sent = await client.post("4hello")
    assert (sent.status, sent.body) == (200, b"ok")
    answer = await client.get()
    assert (answer.status, answer.body) == (200, b"4hello")


@promise(9)
async def several_texts_in_a_payload(to: Reach) -> None:
    """Three packets in one body come back in one answer, in order."""
    client = await to.polling()
    assert (await client.post("4test1\x1e4test2\x1e4test3")).body == b"ok"
    assert (await client.get()).body == b"4test1\x1e4test2\x1e4test3"


@promise(10)
async def text_and_binary_in_a_payload(to: Reach) -> None:
    """A binary packet is base64 behind `b`, both ways."""
    client = await to.polling()
    assert (await client.post("4hello\x1ebAQIDBA==")).body == b"ok"
    assert (await client.get()).body == b"4hello\x1ebAQIDBA=="


@promise(11)
async def a_bad_payload_ends_polling(to: Reach) -> None:
    """A packet of no known type: answered, and the session is gone."""
    client = await to.polling()
    assert (await client.post("abc")).status == 400
    assert (await client.get()).status == 400


@promise(12)
async def two_polls_end_the_session(to: Reach) -> None:
    """Of two GETs at once one gets `1`, the other 400; the session is gone."""
    client = await to.polling()
    answers = await asyncio.gather(client.get(), client.get())
    assert sorted((each.status, each.body) for each in answers) == [(200, b"1"), (400, b"")]
    assert (await client.get()).status == 400


@promise(13)
async def a_cancelled_poll_ends_the_session(to: Reach) -> None:
    """A client that gives its GET up is gone."""
    client = await to.polling()
    _, writer = await to.raw.dial(b"GET " + client.target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(0.05)  # nothing tells that the server holds it
    await hang_up(writer)
    assert (await client.get()).status == 400


@promise(14)
async def a_text_by_websocket(to: Reach) -> None:
    """A message comes back as it was."""
    client = await opened(to)
    client.say("4hello")
    assert await answer_to(client) == "4hello"


@promise(15)
async def binary_by_websocket(to: Reach) -> None:
    """A binary message is data from its first byte."""
    client = await opened(to)
    client.say(b"\x01\x02\x03\x04")
    assert await answer_to(client) == b"\x01\x02\x03\x04"


@promise(16)
async def a_bad_packet_ends_a_websocket(to: Reach) -> None:
    """A packet of no known type closes it."""
    client = await opened(to)
    client.say("abc")
    assert await client.hears_nothing_but_the_end()


async def answer_to(client: Spoken) -> Any:
    """The next message that is no ping: on a busy machine one may come between."""
    while (heard := await client.hear()) == "2":
        client.say("3")
    return heard


async def opened(to: Reach, more: bytes = b"") -> Spoken:
    """A WebSocket that has heard its handshake."""
    client = await to.websocket(more)
    assert (await client.hear()).startswith("0")
    return client


# ── heartbeat ──
@promise(17, socket=8)
async def pings_by_polling(to: Reach) -> None:
    """Three rounds: GET gives exactly `2`, POST of `3` is 200."""
    client = await to.polling()
    for _ in range(3):
        answer = await client.get()
        assert (answer.status, answer.body) == (200, b"2")
        assert (await client.post("3")).status == 200


@promise(18, socket=9)
async def no_pong_ends_polling(to: Reach) -> None:
    """A client that does not answer a ping is gone after the time-out."""
    client = await to.polling()
    assert (await client.get()).body == b"2"
    assert (await client.get()).body == b"1"
    assert (await client.get()).status == 400


@promise(19, socket=10)
async def pings_by_websocket(to: Reach) -> None:
    """Three rounds of `2` and `3`."""
    client = await opened(to)
    for _ in range(3):
        assert await client.hear() == "2"
        client.say("3")


@promise(20, socket=11)
async def no_pong_ends_a_websocket(to: Reach) -> None:
    """A client that does not answer a ping is closed."""
    client = await opened(to)
    assert await client.hear() == "2"
    assert await client.hears_nothing_but_the_end()


# ── close ──
@promise(21, socket=12)
async def a_close_packet_ends_polling(to: Reach) -> None:
    """POST of `1` lets the held GET go with exactly `6`; the session is gone."""
    client = await to.polling()
    held = spawn(client.get(), name="held poll")
    await asyncio.sleep(0.05)  # nothing tells that the server holds it
    await client.post("1")
    answer = await held
    assert (answer.status, answer.body) == (200, b"6")
    assert (await client.get()).status == 400


@promise(22, socket=13)
async def a_close_packet_ends_a_websocket(to: Reach) -> None:
    """`1` closes it."""
    client = await opened(to)
    client.say("1")
    assert await client.hears_nothing_but_the_end()


# ── upgrade ──
async def probed(to: Reach) -> tuple[Any, Spoken]:
    """A session on polling, and a WebSocket with its sid whose probe was answered."""
    client = await to.polling()
    websocket = await to.websocket(b"&sid=" + client.sid.encode())
    websocket.say("2probe")
    assert await websocket.hear() == "3probe"
    return client, websocket


@promise(23)
async def an_upgrade(to: Reach) -> None:
    """`2probe`, `3probe`, a GET gets exactly `6`, `5`, and messages go by WebSocket."""
    client, websocket = await probed(to)
    answer = await client.get()
    assert (answer.status, answer.body) == (200, b"6")
    websocket.say("5", "4hello")
    assert await answer_to(websocket) == "4hello"


@promise(24)
async def polling_is_over_after_an_upgrade(to: Reach) -> None:
    """A GET gets 400, and the WebSocket goes on."""
    client, websocket = await upgraded(to)
    assert (await client.get()).status == 400
    websocket.say("4hello")
    assert await answer_to(websocket) == "4hello"


@promise(25)
async def a_second_websocket_is_closed(to: Reach) -> None:
    """One with the sid of an upgraded session closes, and the first goes on."""
    client, websocket = await upgraded(to)
    second = await to.websocket(b"&sid=" + client.sid.encode())
    assert await second.hears_nothing_but_the_end()
    websocket.say("4hello")
    assert await answer_to(websocket) == "4hello"


async def upgraded(to: Reach) -> tuple[Any, Spoken]:
    """A session that has moved to a WebSocket."""
    client, websocket = await probed(to)
    websocket.say("5")
    websocket.say("3")
    async with asyncio.timeout(5):
        while (await client.get()).status == 200:
            pass  # until the server has read `5`
    return client, websocket


@promise(socket=14)
async def an_upgrade_under_socket_io(to: Reach) -> None:
    """`2probe`, `3probe`, `5`: pings come by WebSocket."""
    _, websocket = await upgraded(to)
    assert await websocket.hear() == "2"


@promise(socket=15)
async def polling_is_over_after_an_upgrade_under_socket_io(to: Reach) -> None:
    """A GET gets 400."""
    client, _ = await upgraded(to)
    assert (await client.get()).status == 400


@promise(socket=16)
async def a_second_websocket_is_closed_under_socket_io(to: Reach) -> None:
    """One with the sid of an upgraded session closes, and the first goes on."""
    client, websocket = await upgraded(to)
    second = await to.websocket(b"&sid=" + client.sid.encode())
    assert await second.hears_nothing_but_the_end()
    assert await websocket.hear() == "2"


# ── connect ──
@promise(socket=17)
async def connect_to_the_main_namespace(to: Reach) -> None:
    """CONNECT is answered with exactly a sid; the handshake's auth is empty."""
    await is_connected(to, "40", "40", '42["auth",{}]')


@promise(socket=18)
async def connect_with_a_payload(to: Reach) -> None:
    """The payload of CONNECT is the handshake's auth."""
    await is_connected(to, '40{"token":"123"}', "40", '42["auth",{"token":"123"}]')


@promise(socket=19)
async def connect_to_another_namespace(to: Reach) -> None:
    """The answer names it."""
    await is_connected(to, "40/custom,", "40/custom,", '42/custom,["auth",{}]')


@promise(socket=20)
async def connect_to_another_namespace_with_a_payload(to: Reach) -> None:
    """The answer names it, and its auth is its own."""
    expected = '42/custom,["auth",{"token":"abc"}]'
    await is_connected(to, '40/custom,{"token":"abc"}', "40/custom,", expected)


async def is_connected(to: Reach, sent: str, head: str, then: str) -> None:
    client = await opened(to)
    client.say(sent)
    answer = await answer_to(client)
    assert answer.startswith(head)
    told = json.loads(answer[len(head) :])
    assert list(told) == ["sid"]
    assert isinstance(told["sid"], str)
    assert await answer_to(client) == then


@promise(socket=21)
async def an_unknown_namespace_is_refused(to: Reach) -> None:
    """CONNECT_ERROR with exactly this message."""
    client = await opened(to)
    client.say("40/random")
    assert await answer_to(client) == '44/random,{"message":"Invalid namespace"}'


@promise(socket=22)
async def junk_instead_of_connect_closes(to: Reach) -> None:
    """The first packet does not parse: closed."""
    client = await opened(to)
    client.say("4abc")
    assert await client.hears_nothing_but_the_end()


@promise(socket=23)
async def silence_instead_of_connect_closes(to: Reach) -> None:
    """Who joins nothing is closed, even while answering pings."""
    client = await opened(to)
    assert await answer_to(client) == (CLOSE, 3502)


# ── disconnect ──
@promise(socket=24)
async def leaving_the_main_namespace(to: Reach) -> None:
    """The next packet is a ping: nothing is said about it, and the connection stays."""
    client = await joined(to)
    client.say("41")
    assert await client.hear() == "2"


@promise(socket=25)
async def leaving_another_namespace(to: Reach) -> None:
    """The main one still works."""
    client = await joined(to)
    client.say("40/custom")
    assert (await answer_to(client)).startswith("40/custom,{")
    assert await answer_to(client) == '42/custom,["auth",{}]'
    client.say("41/custom", '42["message","message to main namespace"]')
    assert await answer_to(client) == '42["message-back","message to main namespace"]'


async def joined(to: Reach) -> Spoken:
    """A WebSocket in the main namespace."""
    client = await opened(to)
    client.say("40")
    assert (await answer_to(client)).startswith("40{")
    assert await answer_to(client) == '42["auth",{}]'
    return client


# ── messages ──
@promise(socket=26)
async def an_event(to: Reach) -> None:
    """Arguments of any JSON come back."""
    client = await joined(to)
    client.say('42["message",1,"2",{"3":[true]}]')
    assert await answer_to(client) == '42["message-back",1,"2",{"3":[true]}]'


HOLES = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@promise(socket=27)
async def an_event_with_attachments(to: Reach) -> None:
    """The header, then its attachments in order."""
    client = await joined(to)
    client.say(f'452-["message",{HOLES}]', b"\x01\x02\x03", b"\x04\x05\x06")
    heard = [await answer_to(client) for _ in range(3)]
    assert heard == [f'452-["message-back",{HOLES}]', b"\x01\x02\x03", b"\x04\x05\x06"]


@promise(socket=28)
async def an_event_with_an_ack(to: Reach) -> None:
    """The answer has the event's id."""
    client = await joined(to)
    client.say('42456["message-with-ack",1,"2",{"3":[false]}]')
    assert await answer_to(client) == '43456[1,"2",{"3":[false]}]'


@promise(socket=29)
async def an_event_with_attachments_and_an_ack(to: Reach) -> None:
    """A binary answer is BINARY_ACK."""
    client = await joined(to)
    client.say(f'452-789["message-with-ack",{HOLES}]', b"\x01\x02\x03", b"\x04\x05\x06")
    heard = [await answer_to(client) for _ in range(3)]
    assert heard == [f"462-789[{HOLES}]", b"\x01\x02\x03", b"\x04\x05\x06"]


@promise(socket=30)
async def an_unknown_packet_type_closes(to: Reach) -> None:
    """Nothing else is known of such a client."""
    await closes(to, "4abc")


@promise(socket=31)
async def a_payload_that_is_no_array_closes(to: Reach) -> None:
    """An event is a list that begins with its name."""
    await closes(to, "42{}")


@promise(socket=32)
async def an_id_that_is_no_number_closes(to: Reach) -> None:
    """Ids are digits."""
    await closes(to, '42abc["message-with-ack",1,"2",{"3":[false]}]')


async def closes(to: Reach, sent: str) -> None:
    client = await joined(to)
    client.say(sent)
    assert await client.hears_nothing_but_the_end()


# ── running them ──
@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The command, as a person would run it; the port it took."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "clarion.testing.protocol_server", "--port", "0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    said = (await process.stdout.readline()).decode()
    port = re.search(r":(\d+)$", said.strip())
    try:
        assert port is not None, (said, await process.communicate())
        yield int(port[1])
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 0
        assert b"Traceback" not in errors
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def all_promises() -> dict[str, Exception | None]:
    """What became of each."""
    outcomes: dict[str, Exception | None] = {}
    turn = asyncio.Semaphore(12)  # more at once would be late for their own pings

    async def one(name: str, port: int) -> None:
        run, path = PROMISES[name]
        to = Reach(port, path)
        try:
            async with asyncio.timeout(PATIENCE_S), turn:
                await run(to)
            outcomes[name] = None
        except Exception as exc:  # noqa: BLE001  each test tells its own
            outcomes[name] = exc
        finally:
            await to.hang_up()

    async with serving() as port:
        await asyncio.gather(*(one(name, port) for name in PROMISES))
    return outcomes


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Exception | None]:
    return asyncio.run(all_promises())


@pytest.mark.parametrize("name", sorted(PROMISES))
def test_promise(outcomes: dict[str, Exception | None], name: str) -> None:
    """What the promise's own docstring says."""
    exc = outcomes[name]
    if exc is not None:
        raise exc


def test_all_promises_are_asked_for() -> None:
    """25 of Engine.IO, 32 of Socket.IO, each number once."""
    numbers = sorted(name.split("-")[0] + name.split("-")[1] for name in PROMISES)
    wanted = [f"engine{n:02}" for n in range(1, 26)] + [f"socket{n:02}" for n in range(1, 33)]
    assert numbers == wanted
