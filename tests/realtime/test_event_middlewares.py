"""`socket.use`: what judges every event of a socket, and what happens to the others meanwhile."""

import asyncio

import pytest
from structlog.testing import capture_logs

from clarion.errors import Forbidden, UsageError
from clarion.settings import Limits
from clarion.telemetry import REGISTRY
from tests.support.memory_transport import MemoryClient, make_server, settle


async def connected(**more):
    """A client and its socket, which notes what its handler of `e` gets."""
    io, seen = make_server(**more), []
    client = MemoryClient(io)
    sid = await client.join()
    await client.hear()
    socket = io.sockets[sid]
    socket.on("e", lambda *args: seen.append(args) or len(seen))
    return client, socket, seen


@pytest.mark.parametrize("is_async", [False, True])
async def test_arguments_can_be_changed_and_events_refused(is_async):
    """The handler gets what the middlewares made of it; a refusal is the answer, and the next middleware is not asked."""
    client, socket, seen = await connected()

    def judge(event):
        if event[1] == "bad":
            raise Forbidden("not this")
        event[1:] = [event[1] * 2, "added"]

    async def judge_later(event):
        await asyncio.sleep(0)
        judge(event)

    socket.use(judge_later if is_async else judge)
    asked = []
    socket.use(lambda event: asked.append(list(event)))
    client.say('420["e","x"]', '421["e","bad"]', '42["e","bad"]', '422["e","y"]')
    assert await client.hear() == [
        "430[1]",
        '431[{"error":{"code":"forbidden","message":"not this"}}]',
        "432[2]",
    ]
    assert seen == [("xx", "added"), ("yy", "added")]
    assert asked == [["e", "xx", "added"], ["e", "yy", "added"]]


async def test_events_keep_their_order_while_a_middleware_waits():
    """They pass one after another: a later one does not overtake, whichever middleware is async."""
    client, socket, seen = await connected()
    gates = {1: asyncio.Event()}

    @socket.use
    def first(event):
        seen.append(("first", event[1]))

    @socket.use
    async def second(event):
        if event[1] in gates:
            await gates[event[1]].wait()

    client.say(*(f'42{n}["e",{n}]' for n in range(3)))
    assert await client.hear() == ["430[2]"]
    assert seen == [("first", 0), (0,), ("first", 1)]
    gates[1].set()
    assert await client.hear() == ["431[4]", "432[6]"]


async def test_so_many_events_wait_and_no_more():
    """Beyond `limits.events_waiting` an event is refused by name, and counted; a client that leaves drops what waits."""

    def count() -> float:
        labels = {"limit": "events_waiting"}
        return REGISTRY.get_sample_value("clarion_limit_exceeded_total", labels) or 0

    client, socket, seen = await connected(limits=Limits(events_waiting=2))
    gate, before = asyncio.Event(), count()

    @socket.use
    async def wait(event):
        await gate.wait()

    client.say('42["e",1]', '42["e",2]', '42["e",3]', '420["e",4]')
    (told,) = await client.hear()
    assert '"code":"too_many"' in told
    assert "limits.events_waiting" in told
    assert count() == before + 1
    client.lose()
    gate.set()
    await settle()
    assert seen == []


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("bug", [lambda event: event.clear(), lambda event: 1 / 0])
async def test_a_bug_in_a_middleware_is_told_without_detail(bug, is_async):
    """It is logged whole, the client is answered `internal`, and the next event goes its way."""
    client, socket, _ = await connected()

    async def later(event):
        await asyncio.sleep(0)
        if event[1] == "bug":
            bug(event)

    def at_once(event):
        if event[1] == "bug":
            bug(event)

    socket.use(later if is_async else at_once)
    with capture_logs() as logs:
        client.say('420["e","bug"]', '421["e","fine"]')
        told, fine = await client.hear()
    assert '"code":"internal"' in told
    assert fine == "431[1]"
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_an_event_may_become_another_but_not_one_of_ours():
    """A middleware may rename an event; names that are reserved stay out of reach."""
    client, socket, seen = await connected()
    socket.on("disconnect", lambda *args: seen.append("disconnect"))
    socket.use(lambda event: event.__setitem__(0, event.pop(1)))
    with capture_logs():
        client.say('420["from","e",1]', '421["from","disconnect"]')
        renamed, refused = await client.hear()
    assert renamed == "430[1]"
    assert '"code":"internal"' in refused
    assert seen == [(1,)]


@pytest.mark.parametrize("wrong", [lambda: None, lambda event, proceed: proceed()])
async def test_what_cannot_judge_events_is_refused_when_it_is_registered(wrong):
    """Node's `([event, …args], next)` is an error where it is written."""
    _, socket, _ = await connected()
    with pytest.raises(UsageError, match="called with the list"):
        socket.use(wrong)
