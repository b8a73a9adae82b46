"""Events of the server itself: who listens, and what happens to those who fail."""

import asyncio

import pytest
from structlog.testing import capture_logs

from clarion.errors import UsageError
from clarion.realtime.emitter import Emitter
from clarion.realtime.handlers import Runner
from tests.support.memory_transport import settle


@pytest.fixture
def emitter() -> Emitter:
    return Emitter(("join_room", "leave_room"), Runner())


def test_listeners_are_called_in_order_with_as_many_arguments_as_they_take(emitter):
    """A listener may take fewer arguments than there are; both spellings of a name mean one event."""
    heard = []
    emitter.on("join_room", lambda room: heard.append(room))

    @emitter.on("join-room")
    def both(room, id):
        heard.append((room, id))

    emitter.tell("join_room", "a", "1")
    emitter.tell("leave_room", "a", "1")
    assert heard == ["a", ("a", "1")]
    assert emitter.listeners("join-room")[1] is both


def test_once_is_once_and_off_is_off(emitter):
    """`once` hears one event, `off` takes away the last place of a handler, and what is not there can be taken away, too."""
    heard = []
    emitter.once("join_room", lambda room: heard.append(("once", room)))

    @emitter.once("join_room")
    def never(room):
        heard.append("never")

    emitter.on("join_room", heard.append)
    emitter.on("join_room", heard.append)
    emitter.off("join_room", never)
    emitter.off("join_room", never)
    emitter.off("leave_room", never)
    emitter.tell("join_room", 1)
    emitter.off("join_room", heard.append)
    emitter.tell("join_room", 2)
    assert heard == [("once", 1), 1, 1, 2]


def test_nobody_listening_is_seen_at_once(emitter):
    """`is_heard` follows every way to come and go: where nobody listens, nothing need be told."""
    seen = [emitter.is_heard]
    emitter.once("join_room", lambda: None)
    seen.append(emitter.is_heard)
    emitter.tell("join_room")
    seen.append(emitter.is_heard)
    emitter.on("join_room", print)
    emitter.on("leave_room", print)
    emitter.remove_all_listeners("join_room")
    seen.append(emitter.is_heard)
    emitter.remove_all_listeners()
    seen.append(emitter.is_heard)
    assert seen == [False, True, False, True, False]


def test_an_event_that_there_is_not_is_the_callers_mistake(emitter):
    """A typo is an error at once, with the names that there are."""
    for call in (emitter.on, emitter.once, emitter.listeners, emitter.remove_all_listeners):
        with pytest.raises(UsageError, match="join_room, leave_room"):
            call("jion_room")


async def test_a_listener_that_fails_hurts_nobody(emitter):
    """What a listener raises is logged, sync or async; the next one is called."""
    heard = []

    @emitter.on("join_room")
    def broken():
        raise ValueError

    @emitter.on("join_room")
    async def later():
        await asyncio.sleep(0)
        raise ValueError

    emitter.on("join_room", lambda: heard.append(1))
    with capture_logs() as logs:
        emitter.tell("join_room", "a")
        await settle()
    assert heard == [1]
    assert [entry["log_level"] for entry in logs] == ["error", "error"]
