"""The calls to the application's endpoint: batches, order, deadlines, and what is told when it does not answer as it should."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest

from clarion.clock import ManualClock
from clarion.errors import Invalid, Unavailable, UpstreamUnavailable
from clarion.features.upstream.caller import Caller
from clarion.features.upstream.wire import Answer as Reply
from clarion.features.upstream.wire import Client, Request, encode
from clarion.ids import Ids
from clarion.outbound.door import Answer
from clarion.settings import Upstream
from clarion.telemetry import spawn

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Endpoint:
    """An application: answers each batch by `answers`, and keeps what it was asked."""

    def __init__(self, answers: Callable[[list[Any]], Awaitable[Any]] | None = None) -> None:
        self.batches: list[list[Any]] = []
        self.headers: Mapping[str, str] = {}
        self.body = b""
        self.status = 200
        self.answers = answers
        self.gate = asyncio.Event()
        self.gate.set()

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, **_: Any
    ) -> Answer:
        self.headers, self.body = headers, body
        asked = msgspec.json.decode(body)["requests"]
        self.batches.append(asked)
        await self.gate.wait()
        if self.answers is not None:
            return Answer(self.status, (), await self.answers(asked))
        answers = [{"ack": each["args"]} for each in asked]
        return Answer(self.status, (), msgspec.json.encode({"answers": answers}))


def caller_of(endpoint: Endpoint, clock: ManualClock | None = None, **more: Any) -> Caller:
    settings = Upstream(url="http://app/events", secret=SECRET, **more)
    outbound: Any = endpoint
    return Caller(settings, outbound, clock=clock or ManualClock(), ids=Ids.seeded(1))


def event(number: int, socket: str = "s") -> Request:
    return Request("event", "/", Client(socket), event="e", args=[number])


async def test_what_comes_while_all_connections_are_busy_leaves_together() -> None:
    """One by one where there is little to do, in batches where there is much; each gets its own answer."""
    endpoint = Endpoint()
    caller = caller_of(endpoint, connections=1, batch=4)
    endpoint.gate.clear()
    asking = [spawn(caller.ask(event(n, f"s{n}")), name="asking") for n in range(7)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    endpoint.gate.set()
    answers = await asyncio.gather(*asking)
    assert [answer.ack for answer in answers] == [[n] for n in range(7)]
    assert sorted(map(len, endpoint.batches)) == [3, 4]
    await caller.close()


async def test_events_of_one_socket_are_handled_in_their_order() -> None:
    """One at a time, whatever is free; other sockets do not wait for it."""
    endpoint = Endpoint()
    caller = caller_of(endpoint, connections=4)
    asking = [caller.ask(event(n, socket)) for n in range(5) for socket in ("a", "b")]
    await asyncio.gather(*asking)
    for batch in endpoint.batches:
        sockets = [each["socket"]["id"] for each in batch]
        assert len(sockets) == len(set(sockets))
    for socket in ("a", "b"):
        order = [e["args"][0] for b in endpoint.batches for e in b if e["socket"]["id"] == socket]
        assert order == [0, 1, 2, 3, 4]
    await caller.close()


async def test_a_call_is_signed() -> None:
    """As Standard Webhooks say: HMAC-SHA256 over id, time and body."""
    endpoint = Endpoint()
    await caller_of(endpoint).ask(event(1))
    headers = endpoint.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + endpoint.body
    wanted = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-timestamp"] == str(ManualClock().now_ms() // 1000)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"answers":[]}',
        b'{"answers":[null,null]}',
        b'{"answers":[5]}',
        b'{"answers":[{"acks":[1]}]}',
        b'{"answers":[{"emit":[{"args":[]}]}]}',
        b"\xff",
    ],
)
async def test_an_answer_that_is_none_is_told_as_unavailable(body: bytes) -> None:
    """And nothing of it is told to the client."""

    async def answers(_: list[Any]) -> bytes:
        return body

    with pytest.raises(UpstreamUnavailable, match=r"^The application is not available now$"):
        await caller_of(Endpoint(answers)).ask(event(1))


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500, 503])
async def test_only_200_is_an_answer(status: int) -> None:
    endpoint = Endpoint()
    endpoint.status = status
    with pytest.raises(UpstreamUnavailable):
        await caller_of(endpoint).ask(event(1))


async def test_what_has_no_json_is_refused_and_costs_nobody_else_anything() -> None:
    """Half a character, which JavaScript may send: the others of its batch, and the next of its socket, are answered."""
    endpoint = Endpoint()
    caller = caller_of(endpoint, connections=1)
    wrong = Request("event", "/", Client("s"), event="e", args=["\ud83d"])
    asking = [caller.ask(each) for each in (event(1, "a"), wrong, event(2, "b"), event(3))]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(each, Invalid) for each in answers] == [False, True, False, False]
    assert (await caller.ask(event(4))).ack == [4]


async def test_one_wrong_answer_is_wrong_for_one() -> None:
    """The others of its batch have theirs."""

    async def answers(asked: list[Any]) -> bytes:
        given = [5 if each["args"] == [1] else {"ack": each["args"]} for each in asked]
        return msgspec.json.encode({"answers": given})

    endpoint = Endpoint(answers)
    caller = caller_of(endpoint, connections=1)
    asking = [caller.ask(event(n, f"s{n}")) for n in range(3)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(each, UpstreamUnavailable) for each in outcomes] == [False, True, False]
    assert len(endpoint.batches) < 3


async def test_a_bug_of_ours_is_told_and_keeps_nobody_waiting() -> None:
    """The next call is made as if nothing had been."""
    endpoint = Endpoint()
    caller = caller_of(endpoint)
    request = endpoint.request

    async def fail(*_: Any, **__: Any) -> Answer:
        endpoint.request = request  # type: ignore[method-assign]
        raise RuntimeError("a bug")

    endpoint.request = fail  # type: ignore[method-assign]
    outcomes = await asyncio.gather(
        *(caller.ask(event(n)) for n in range(2)), return_exceptions=True
    )
    assert isinstance(outcomes[0], RuntimeError)
    assert isinstance(outcomes[1], Reply)


@pytest.mark.parametrize(
    ("status", "opens"), [(200, False), (400, False), (413, False), (429, True), (500, True)]
)
async def test_an_application_that_says_no_is_there(status: int, opens: bool) -> None:
    """Only silence, 5xx and 429 open the breaker: a client may provoke the rest, and must not keep the others out by it."""

    async def nonsense(_: list[Any]) -> bytes:
        return b"<html>"

    endpoint = Endpoint(nonsense)
    endpoint.status = status
    caller = caller_of(endpoint)
    for n in range(6):
        with pytest.raises(UpstreamUnavailable):
            await caller.ask(event(n))
    assert len(endpoint.batches) == (5 if opens else 6)


async def test_bytes_are_bounded_in_a_call_and_while_they_wait() -> None:
    """Large events leave in smaller batches; more than may wait is refused. One alone always goes."""
    endpoint = Endpoint()
    size = len(encode(event(0, "s0")))
    caller = caller_of(endpoint, connections=1, batch_bytes=2 * size, waiting_bytes=4 * size)
    asking = [caller.ask(event(n, f"s{n}")) for n in range(6)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(each, UpstreamUnavailable) for each in outcomes] == [False] * 4 + [True] * 2
    assert max(map(len, endpoint.batches)) == 2
    assert (await caller.ask(Request("event", "/", Client("s"), args=["x" * 9 * size]))).ack


async def test_null_is_an_empty_answer() -> None:
    async def answers(_: list[Any]) -> bytes:
        return b'{"answers":[null]}'

    answer = await caller_of(Endpoint(answers)).ask(event(1))
    assert (answer.ack, answer.error, answer.emit) == ([], None, [])


async def test_who_waits_too_long_is_told_so() -> None:
    """The deadline counts from the event, waiting included; what nobody waits for any more is not sent."""
    endpoint = Endpoint()
    endpoint.gate.clear()
    caller = caller_of(endpoint, timeout_s=0.05, connections=1)
    outcomes = await asyncio.gather(
        *(caller.ask(event(n)) for n in range(3)), return_exceptions=True
    )
    assert all(isinstance(each, UpstreamUnavailable) for each in outcomes)
    endpoint.gate.set()
    await asyncio.sleep(0.01)
    assert len(endpoint.batches) == 1
    assert (await caller.ask(event(9))).ack == [9]
    await caller.close()


async def test_so_many_may_wait() -> None:
    """One more is told at once; the others are served."""
    endpoint = Endpoint()
    endpoint.gate.clear()
    caller = caller_of(endpoint, waiting=2)
    asking = [spawn(caller.ask(event(n)), name="asking") for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(UpstreamUnavailable, match="too many"):
        await caller.ask(event(2))
    endpoint.gate.set()
    assert [answer.ack for answer in await asyncio.gather(*asking)] == [[0], [1]]
    await caller.close()


async def test_an_application_that_is_down_is_left_alone_until_one_call_finds_it_back() -> None:
    async def down(_: list[Any]) -> bytes:
        raise Unavailable("127.0.0.1 can't be reached: refused")

    endpoint, clock = Endpoint(down), ManualClock()
    caller = caller_of(endpoint, clock)
    for n in range(8):
        with pytest.raises(UpstreamUnavailable) as told:
            await caller.ask(event(n))
    assert len(endpoint.batches) == 5
    assert told.value.retry_after_s == 1.0
    endpoint.answers = None
    clock.advance(1)
    assert (await caller.ask(event(9))).ack == [9]
    assert (await caller.ask(event(10))).ack == [10]
    await caller.close()
