"""Handlers: how they are called, and what becomes the answer."""

import asyncio
import functools

import pytest
from structlog.testing import capture_logs

from clarion.errors import AckTimeout, Conflict, Disconnected, UsageError
from clarion.realtime.handlers import Listener, Runner, no_reply
from tests.support.memory_transport import settle


class Answers:
    """Notes answers."""

    def __init__(self) -> None:
        self.got: list[tuple] = []

    def __call__(self, *args) -> None:
        self.got.append(args)


async def answered(handler, *args, takes_socket: bool = False):
    """What a client would be answered."""
    reply, runner = Answers(), Runner()
    runner.call(Listener(handler, takes_socket=takes_socket), "SOCKET", args, reply, "event")
    await settle()
    await runner.close(1)
    assert len(reply.got) == 1, reply.got
    return reply.got[0]


class Service:
    def method(self, a, b=2):
        return a, b

    async def slow(self, a):
        await asyncio.sleep(0)
        return a


@functools.wraps(Service.method)
def wrapped(*args):
    return len(args)


@pytest.mark.parametrize(
    ("handler", "args", "expected"),
    [
        (lambda: None, (), ()),
        (lambda: 0, (), (0,)),
        (list, (), ([],)),
        (lambda a, b: (a, b), (1, 2), (1, 2)),
        (lambda *a: a, (1, 2, 3), (1, 2, 3)),
        (lambda a, b=5: a + b, (1,), (6,)),
        (Service().method, (1,), (1, 2)),
        (Service().slow, ("x",), ("x",)),
        (functools.partial(lambda a, b: [a, b], 1), (2,), ([1, 2],)),
        (functools.partial(lambda a, *b, ack, c=1: ack(a, *b), 1), (2, 3), (1, 2, 3)),
        (wrapped, (1, 2), (2,)),
        (lambda a, ack: ack(a, "by ack"), (1,), (1, "by ack")),
        (lambda a, *, ack: ack(a) or "means nothing", (1,), (1,)),
    ],
)
async def test_what_a_handler_returns_is_the_answer(handler, args, expected):
    """None answers with no argument, a tuple with several, all else with one; who takes `ack` answers by it alone."""
    assert await answered(handler, *args) == expected


async def test_a_handler_of_a_namespace_gets_the_socket_first():
    """It is registered once for all sockets, and the client's arguments come behind."""
    assert await answered(lambda s, x: [s, x], 1, takes_socket=True) == (["SOCKET", 1],)


@pytest.mark.parametrize("args", [(), (1, 2, 3)])
@pytest.mark.parametrize(
    "handler", [lambda a, b=1: a, Service().method, functools.partial(lambda a, b=1: a)]
)
async def test_a_wrong_number_of_arguments_is_the_clients_mistake(handler, args):
    """The client is told, and no bug is logged: it chose the arguments."""
    with capture_logs() as logs:
        (told,) = await answered(handler, *args)
    assert told["error"]["code"] == "invalid"
    assert logs == []


async def test_who_takes_any_number_says_so():
    """A client is told the fewest that are needed, also by a handler of all sockets."""
    for handler, takes_socket in ((lambda a, *more: a, False), (lambda s, a, *more: a, True)):
        (told,) = await answered(handler, takes_socket=takes_socket)
        assert told["error"]["message"] == "this event takes 1 or more arguments, not 0"


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_refusal_is_told_as_it_is(is_async):
    """A PeerError that a handler raises is the answer."""

    def refuse():
        raise Conflict("taken", who="ada")

    async def later():
        refuse()

    with capture_logs() as logs:
        (told,) = await answered(later if is_async else refuse)
    assert told == {"error": {"code": "conflict", "message": "taken", "who": "ada"}}
    assert logs == []


@pytest.mark.parametrize("error", [ValueError("secret"), UsageError("secret")])
async def test_a_bug_is_logged_whole_and_told_without_detail(error):
    """The client learns that it was our fault, and nothing else; the log has everything."""

    def broken():
        raise error

    with capture_logs() as logs:
        (told,) = await answered(broken)
    assert told["error"]["code"] == "internal"
    assert "secret" not in str(told)
    assert logs[0]["exc_info"] is error


@pytest.mark.parametrize("error", [AckTimeout(), Disconnected("the client left")])
async def test_a_client_that_never_answers_is_no_bug(error):
    """A handler that asks a client, which leaves or stays silent, fills no log with tracebacks."""

    async def asks():
        raise error

    with capture_logs() as logs:
        (told,) = await answered(asks)
    assert told["error"]["code"] == "internal"
    assert [(each["log_level"], "exc_info" in each) for each in logs] == [("info", False)]


async def test_an_answer_that_cannot_be_sent_is_a_bug():
    """The client still gets an answer."""
    got = []

    def reply(*args):
        if args == (1,):
            raise UsageError("cannot be sent")
        got.append(args)

    with capture_logs() as logs:
        Runner().call(Listener(lambda: 1), None, (), reply, "event")
    assert got[0][0]["error"]["code"] == "internal"
    assert logs[0]["log_level"] == "error"


async def test_an_async_handler_may_answer_before_it_ends():
    """With `ack` the answer goes out when the handler says so; what it raises afterwards is logged, not answered again."""

    async def early(ack):
        ack("early")
        await asyncio.sleep(0)

    assert await answered(early) == ("early",)


async def test_what_still_runs_is_let_end_then_cancelled():
    """Closing waits for handlers for a while, then cancels them."""
    runner, ended, cancelled = Runner(), [], []

    async def quick():
        await asyncio.sleep(0)
        ended.append(1)

    async def endless():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    for handler in (quick, endless):
        assert runner.call(Listener(handler), None, (), no_reply, "event")
    await runner.close(0.05)
    assert (ended, cancelled) == ([1], [1])
    await runner.close(0.05)
