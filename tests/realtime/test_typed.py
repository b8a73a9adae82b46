"""Handlers that say what they take: what is made of arguments, and what a client is told whose arguments are no good."""

import dataclasses
import enum
import functools
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pydantic
import pytest
from structlog.testing import capture_logs

from clarion.errors import UsageError
from clarion.realtime.handlers import Listener, Runner, no_reply
from clarion.realtime.typed import MAX_FAULTS, TypedListener, listen
from clarion.telemetry import REGISTRY
from tests.support.memory_transport import MemoryClient, make_server


class Item(msgspec.Struct):
    name: str
    count: Annotated[int, msgspec.Meta(ge=1)] = 1
    blob: bytes = b""


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class User(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)


class Pair(NamedTuple):
    left: int
    right: str


class Colour(enum.Enum):
    RED = "red"


def answered(handler, *args, takes_socket=False):
    """What a client would be answered."""
    got = []
    listener = listen(handler, takes_socket=takes_socket)
    Runner().call(listener, "SOCKET", args, lambda *a: got.append(a), "event")
    (answer,) = got
    return answer


def errors(answer):
    """Pointers and details of a refusal."""
    (told,) = answer
    assert told["error"]["code"] == "invalid", told
    return [(each["pointer"], each["detail"]) for each in told["error"].get("errors", [])]


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        (Item, {"name": "a", "blob": b"\x00"}, Item("a", 1, b"\x00")),
        (list[Item], [{"name": "a"}], [Item("a")]),
        (Point, {"x": 1}, Point(1.0)),
        (User, {"name": "ada", "age": 36}, User(name="ada", age=36)),
        (dict[str, list[User]], {"a": [{"name": "b", "age": 1}]}, {"a": [User(name="b", age=1)]}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (Pair, [1, "b"], Pair(1, "b")),
        (Colour, "red", Colour.RED),
        (Literal["a", 1], 1, 1),
        (int | None, None, None),
        (float, 1, 1.0),
        (bytes, b"\x00", b"\x00"),
        (datetime, "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (datetime, datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
        (Annotated[str, msgspec.Meta(max_length=3)], "abc", "abc"),
        (Annotated[str, ["metadata", "that has no hash"]], "abc", "abc"),
        (Any, {"a": b"1"}, {"a": b"1"}),
        (object, None, None),
        ("list[Item]", [{"name": "quoted"}], [Item("quoted")]),
    ],
)
def test_arguments_are_made_into_what_a_handler_says(kind, sent, expected):
    """Each kind of annotation, quoted or not; the second time, too, when it is known."""
    for _ in range(2):

        def handler(before, value: kind, *, ack) -> None:
            ack(before, value)

        assert answered(handler, object, sent) == (object, expected)


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        (str, 5, [("/0", "Expected `str`, got `int`")]),
        (int, True, [("/0", "Expected `int`, got `bool`")]),
        (bytes, "aGk=", [("/0", "Expected `bytes`, got `str`")]),
        (Item, {}, [("/0/name", "is missing")]),
        (list[Item], [{"name": 5}], [("/0/0/name", "Expected `str`, got `int`")]),
        (Item, {"name": "a", "count": 0}, [("/0/count", "Expected `int` >= 1")]),
        (Point, {"x": "1"}, [("/0/x", "Expected `float`, got `str`")]),
        (
            list[User],
            [{"name": 1, "age": -1}],
            [
                ("/0/0/name", "Input should be a valid string"),
                ("/0/0/age", "Input should be greater than or equal to 0"),
            ],
        ),
        (Pair, [1], [("/0", "Expected `array` of length 2, got 1")]),
        (Literal["a"], "b", [("/0", "Invalid enum value 'b'")]),
    ],
)
def test_bad_arguments_are_refused_with_a_pointer_to_each_fault(kind, sent, expected):
    """The client is answered `invalid` with JSON pointers, the handler is not called, and no bug is logged."""

    def handler(value: kind) -> None:
        pytest.fail("called")

    with capture_logs() as logs:
        assert errors(answered(handler, sent)) == expected
        assert logs == []
        # Who wants no answer would not know, so the log does.
        Runner().call(listen(handler), None, (sent,), no_reply, "event")
    assert [entry["log_level"] for entry in logs] == ["debug"]


def test_all_bad_arguments_are_named_but_not_thousands():
    """Faults of several arguments come together; a long list of them is cut."""

    def handler(first: int, second: str, *rest: int) -> None:
        pytest.fail("called")

    assert errors(answered(handler, "a", 2, 3, "d")) == [
        ("/0", "Expected `int`, got `str`"),
        ("/1", "Expected `str`, got `int`"),
        ("/3", "Expected `int`, got `str`"),
    ]
    assert len(errors(answered(handler, 1, "b", *"x" * 50))) == MAX_FAULTS


class Service:
    def method(self, item: Item, name: str = "none"):
        return [item.name, name]

    def __call__(self, item: Item):
        return item.name


@functools.wraps(Service.method)
def wrapped(*args):
    return args[1].name


@pytest.mark.parametrize(
    ("handler", "takes_socket", "expected"),
    [
        (Service().method, False, (["a", "none"],)),
        (Service(), False, ("a",)),
        (functools.partial(lambda first, item: item, "bound"), False, ({"name": "a"},)),
        (functools.partial(Service.method, None), False, (["a", "none"],)),
        (wrapped, True, ("a",)),
    ],
)
def test_whatever_can_be_called_may_say_what_it_takes(handler, takes_socket, expected):
    """Methods, objects, partials and wrapped functions; the socket that a namespace's handler gets first is no argument."""
    assert answered(handler, {"name": "a"}, takes_socket=takes_socket) == expected


def test_the_socket_and_the_ack_are_no_arguments():
    """What their annotations say does not matter, and needs no meaning."""

    def handler(socket: "NeverImported", item: Item, ack: "AlsoNever") -> "Nor this":  # noqa: F821, F722
        ack(socket, item.name)

    assert answered(handler, {"name": "a"}, takes_socket=True) == ("SOCKET", "a")


def test_a_handler_that_says_nothing_costs_nothing():
    """It is a plain listener, and no annotations are made for its closures."""

    def make():
        return lambda a, *b: a

    assert type(listen(make())) is type(listen(make())) is Listener
    assert type(listen(print)) is type(listen(lambda a: a, takes_socket=True)) is Listener

    def anything(a: Any, b: object): ...

    assert type(listen(anything)) is Listener

    def something(a: Any, b: int): ...

    assert type(listen(something)) is TypedListener


def test_what_many_handlers_say_is_not_kept_for_ever(monkeypatch):
    """Programs that make code as they run do not fill memory with what was found."""
    monkeypatch.setattr("clarion.realtime.typed._MOST_KEPT", 3)
    from clarion.realtime import typed

    for n in range(10):
        listen(eval(f"lambda a: {n}"))
        assert len(typed._untyped) <= 3


class Plain:
    """Nothing knows how to make one."""


@pytest.mark.parametrize("kind", [Plain, list[Plain], Item | Point, "NotThere", "1 +", "Item.nope"])
def test_an_annotation_that_means_nothing_is_told_at_once(kind):
    """Registering the handler fails, and names it: not the first client that calls it."""

    def my_handler(value: kind): ...

    with pytest.raises(UsageError, match="my_handler"):
        listen(my_handler)


def test_a_type_of_the_enclosing_function_can_be_named():
    """A quoted annotation may mean what the handler sees; a cell that is still empty is no meaning."""

    class Local(msgspec.Struct):
        n: int

    def handler(value: "Local"):
        return type(value) is Local

    assert answered(handler, {"n": 1}) == (True,)

    def early(value: "late"):
        return late

    with pytest.raises(UsageError, match="early"):
        listen(early)
    late = int


async def test_an_event_with_bad_arguments_is_answered_and_counted():
    """By the socket's and the namespace's handlers alike; who wants no answer is counted, and may try again: `once` waits for it."""

    def count() -> float:
        labels = {"reason": "arguments"}
        return REGISTRY.get_sample_value("clarion_events_refused_total", labels) or 0

    io, before = make_server(), count()

    @io.handle("shared")
    def shared(socket, item: Item):
        return item.name

    client = MemoryClient(io)
    sid = await client.join()

    @io.sockets[sid].once("own")
    def own(item: Item):
        return item.name

    @io.sockets[sid].on("disconnect")
    def gone(reason: str, details: Plain): ...

    client.say('420["shared",{"name":"a"}]', '421["shared",{}]', '42["own"]', '42["own",1]')
    client.say('422["own",{"name":"b"}]', '423["own",{"name":"c"}]')
    heard = await client.hear()
    assert heard[0] == '430["a"]'
    assert '"errors":[{"pointer":"/0/name","detail":"is missing"}]' in heard[1]
    assert heard[2] == '432["b"]'
    assert '"code":"unknown_event"' in heard[3]
    assert count() == before + 3
