"""What Node's adapters say over Redis is understood, and said again in the same bytes; anything else is refused as such."""

import base64
import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import ProtocolError, UsageError
from clarion.protocol.redis_adapter import (
    Acked,
    AllRooms,
    Beat,
    Broadcast,
    Classic,
    Cluster,
    Counted,
    Disconnect,
    Done,
    Emitted,
    Entry,
    Fetch,
    Fetched,
    Join,
    Kept,
    Leave,
    ListedIds,
    ListIds,
    Options,
    Rooms,
    ServerSide,
)
from clarion.protocol.redis_adapter.streams import id_at, is_offset, position_of
from clarion.protocol.redis_adapter.values import has_bytes
from tests.support import vectors


def raw(line: dict[str, Any]) -> bytes:
    return base64.b64decode(line["bytes_b64"])


def namespace_of(channel: str) -> str:
    return channel.split("#")[1]


CLASSIC = [
    pytest.param(line, prefix, id=f"{name}-{line['n']}-{line['name']}")
    for name, prefix in (
        ("redis-classic", "socket.io"),
        ("redis-classic-specific-channel", "custom"),
        ("redis-emitter", "socket.io"),
    )
    for line in vectors.lines(name)
    if line.get("format") in ("json", "msgpack")
]


@pytest.mark.parametrize(("line", "prefix"), CLASSIC)
def test_the_classic_format_is_nodes_byte_for_byte(line: dict[str, Any], prefix: str) -> None:
    """Read and written again: the same channel, the same bytes."""
    namespace = namespace_of(line["channel"])
    classic = Classic(namespace, prefix)
    message = classic.read(line["channel"], raw(line))
    assert message is not None
    special = classic.answers_to("PZl9-o")
    assert line["channel"] in (classic.channel(message), special)
    if line["name"] == "broadcast-room-number":
        # The only difference: a number that an untyped program takes for a room's name becomes the text that it stands for.
        assert isinstance(message, Broadcast)
        assert message.options.rooms == ("42",)
        return
    assert classic.write(message) == raw(line)


def test_the_classic_format_says_what_nodes_means() -> None:
    """A few of them, in words."""
    found = {line["name"]: line for line in vectors.lines("redis-classic")}
    classic = Classic("/")

    def read(name: str) -> Any:
        return classic.read(found[name]["channel"], raw(found[name]))

    assert read("broadcast-room-except") == Broadcast(
        "gGegYV", ["hello"], Options(("room1",), ("room9",))
    )
    assert read("broadcast-volatile").options.is_volatile
    assert read("broadcast-compress-false").options.compress is False
    assert read("broadcast-binary").event == ["bin", b"\x01\x02\x03", b"\x04\x05"]
    assert read("legacy-remote-disconnect-sid") == Done("leg004")
    assert classic.room("socket.io#/#room1#") == "room1"
    assert classic.room("socket.io#/#a#b é😀#") == "a#b é😀"
    assert classic.room("socket.io#/##") == ""
    assert classic.room("socket.io#/#") is None


SHARDED = [
    pytest.param(line, id=f"{line['n']}-{line['name']}")
    for line in vectors.lines("redis-sharded")
    if line["command"] == "SPUBLISH"
]


@pytest.mark.parametrize("line", SHARDED)
def test_the_sharded_format_is_nodes_byte_for_byte(line: dict[str, Any]) -> None:
    """Read by another server, and written by one of that name."""
    said = line["decoded"]
    writer = Cluster(said["nsp"], said["uid"], mode=line["subscription_mode"])
    reader = Cluster(said["nsp"], "ffffffffffffffff")
    message = reader.read(raw(line))
    assert message is not None
    assert writer.read(raw(line)) is None
    assert writer.write(message) == raw(line)
    if isinstance(message, Broadcast | Fetch | ServerSide | Join | Leave | Disconnect):
        assert writer.channel(message) == line["channel"]


def test_the_sharded_channels_are_nodes() -> None:
    """A server listens on the channel of all, its own, and those of its rooms that have one."""
    uid = ""
    for line in vectors.lines("redis-sharded"):
        mode, channel = line["subscription_mode"], line["channel"]
        if line["command"] != "SSUBSCRIBE":
            continue
        cluster = Cluster("/", uid := line.get("uid", uid), mode=mode)
        name = channel.removeprefix(cluster.common)[:-1]
        if line["name"] == "connect-and-join":
            assert cluster.room(name) == channel
        else:
            assert channel in (cluster.common, cluster.answers_to(name))
    assert Cluster("/", "u").room("room1") is None
    assert Cluster("/", "u", mode="dynamic").room("x" * 20) is None
    assert Cluster("/", "u").own == "socket.io#/#u#"


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=f"{line['n']}-{line['name']}") for line in vectors.lines("redis-streams")]
)  # fmt: skip
def test_the_streams_format_is_nodes_byte_for_byte(line: dict[str, Any]) -> None:
    """Entries, what goes by Pub/Sub, and sessions; the transcript's entries are read by the test of recovery."""
    match line["kind"]:
        case "stream-entry":
            fields = line["fields_bytes_b64"].items()
            entry = Entry.read({k.encode(): base64.b64decode(v) for k, v in fields})
            assert (entry.uid, entry.namespace) == (line["fields"]["uid"], "/")
            assert entry.write() == line["fields"]
            assert is_offset(line["id"])
        case "pubsub":
            writer = Cluster("/", line["decoded"]["uid"])
            message = Cluster("/", "ffffffffffffffff").read(raw(line))
            assert message is not None
            assert writer.write(message, is_packed=True) == raw(line)
        case "key":
            stored = base64.b64decode(line["bytes_b64"])
            kept = Kept.read(stored)
            assert (kept.key, kept.write()) == (line["key"], stored)
            assert kept.data == {"user": "u1", "buf": b"\x01\x02"}
        case _:
            assert all(is_offset(json.loads(f[2:])[-1]) for f in line["received"] if f[:2] == "42")


EVERY = [
    Broadcast("u", ["a", 1.5, b"x", {"b": None}], Options(("r",), ("s",), True, True, True, 5)),
    Broadcast("u", ["a"], request="q"),
    Join("u", Options(("a",)), ("b",)),
    Leave("u", Options(), ("b",)),
    Disconnect("u", Options(), True),
    Fetch("u", Options(), "q"),
    ServerSide("u", ["a", 1]),
    ServerSide("u", ["a"], "q"),
    Fetched("q", [{"id": "x", "rooms": ["x"]}], "u"),
    Emitted("q", None, "u"),
    Counted("q", 3, "u"),
    Acked("q", b"bytes", "u"),
]
ONLY_CLASSIC = [
    AllRooms("u", "q"),
    Rooms("q", ("a",)),
    ListIds("u", "q", ("a",)),
    ListedIds("q", ("i",)),
    Join("u", Options(("s",)), ("a",), "q"),
    Leave("u", Options(("s",)), ("a",), "q"),
    Disconnect("u", Options(("s",)), False, "q"),
    Done("q"),
]
ONLY_CLUSTER = [Beat("u", 1), Beat("u", 13), Broadcast("u", ["a"], ack=4)]


@pytest.mark.parametrize("message", EVERY + ONLY_CLASSIC, ids=repr)
def test_the_classic_format_gives_back_what_it_was_given(message: Any) -> None:
    classic = Classic("/chat", "p")
    if hasattr(message, "uid") and not isinstance(message, Broadcast) and classic.channel(message) == classic.answers:  # fmt: skip
        message = msgspec.structs.replace(message, uid="")
    assert classic.read(classic.channel(message), classic.write(message)) == message


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("message", EVERY + ONLY_CLUSTER, ids=repr)
def test_the_newer_format_gives_back_what_it_was_given(message: Any, is_packed: bool) -> None:
    said = Cluster("/", "u").write(message, is_packed=is_packed)
    assert Cluster("/", "v").read(said) == message
    assert Cluster("/other", "v").read(said) is None


def test_what_a_format_does_not_have_cannot_be_said() -> None:
    for format, message in ((Classic("/"), Beat("u", 1)), (Cluster("/", "u"), Done("q"))):
        with pytest.raises(ProtocolError, match="nothing that this format has"):
            format.write(message)


def test_values_that_cannot_be_sent_are_the_callers_error() -> None:
    for value in (2**60, object(), "\ud800"):
        with pytest.raises(UsageError):
            Classic("/").write(Broadcast("u", ["a", value]))


def test_another_namespace_is_nobody_elses() -> None:
    said = Classic("/a").write(Broadcast("u", ["x"], request="q"))
    assert Classic("/b").read("socket.io-request#/b#", said) is None
    said = Classic("/a").write(Broadcast("u", ["x"]))
    assert Classic("/b").read("socket.io#/b#", said) is None


def test_an_answer_of_an_unknown_kind_is_no_harm() -> None:
    assert Classic("/").read("socket.io-response#/#", b'{"requestId":"q","more":1}') == Done("q")


REQUESTS = [
    b"",
    b"{",
    b"\xc1",
    b"\xff{}",
    b"{\xff}",
    b"[1]",
    b"{}",
    b'{"type":9,"requestId":"q"}',
    b'{"type":5}',
    b'{"type":5,"requestId":5}',
    b'{"type":5,"requestId":"q"}',
    b'{"type":5,"requestId":"q","opts":{"rooms":"all"}}',
    b'{"type":5,"requestId":"q","opts":{"rooms":[[]]}}',
    b'{"type":5,"requestId":"q","opts":{"flags":[]}}',
    b'{"type":2,"opts":{}}',
    b'{"type":6,"data":[]}',
    b'{"type":6,"data":[{}]}',
    b'{"type":7,"requestId":"q","packet":[],"opts":{}}',
    b'{"type":1,"sid":"s","requestId":"q"}',
    b'{"type":2,"sid":5,"requestId":"q"}',
    b"\x81" * 100_000 + b"\x01",
    b"\xdf\xff\xff\xff\xff",
]


@pytest.mark.parametrize("data", REQUESTS, ids=lambda data: repr(data)[:40])
def test_a_request_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Classic("/").read("socket.io-request#/#", data)


@pytest.mark.parametrize(
    "value",
    [None, [], ["u", {}], ["u", 1, {}], [1, {"data": ["x"]}, {}], ["u", {"data": "x"}, {}]],
    ids=repr,
)
def test_a_broadcast_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError):
        Classic("/").read("socket.io#/#", msgspec.msgpack.encode(value))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"type": 99, "data": {}},
        {"type": 3},
        {"type": 3, "data": {"packet": {"data": ["x"], "id": "1"}, "opts": {}}},
        {"type": 7, "data": {"opts": {}}},
        {"type": 8, "data": {"requestId": "q", "sockets": [1]}},
        {"type": 11, "data": {"requestId": "q", "clientCount": "many"}},
    ],
    ids=repr,
)
def test_a_message_of_the_newer_format_that_is_none_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        Cluster("/", "v").read(json.dumps({"uid": "u", "nsp": "/", **said}).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"uid": b"u", b"nsp": b"/", b"type": b"x"},
        {b"uid": b"u", b"nsp": b"/", b"type": b"3", b"data": b"!"},
        {b"uid": b"u", b"nsp": b"/", b"type": b"3", b"data": b"{"},
        {b"uid": b"\xff", b"nsp": b"/", b"type": b"3"},
        {b"uid": b"u", b"nsp": b"/", b"type": b"3"},
    ],
    ids=repr,
)
def test_an_entry_that_is_none_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ProtocolError):
        Entry.read(fields)


def test_ids_of_a_stream_are_numbers_in_their_order() -> None:
    """As Redis orders them, and back."""
    ids = ["0-1", "0-2", "1-0", "9-18446744073709551615", "10-0", "1795747041091-7"]
    positions = [position_of(id) for id in ids]
    assert positions == sorted(positions)
    assert [id_at(position) for position in positions] == ids


def test_what_clarion_keeps_beside_a_session_is_passed_over_by_node() -> None:
    """It comes back, under a name of its own; a session of Node's has nothing there."""
    kept = Kept("id", "pid", ("id", "r"), {"a": 1}, {"nsp": "/", "since": ["1-0"]})
    assert Kept.read(kept.write()) == kept
    plain = Kept("id", "pid", ("id",), None)
    assert Kept.read(plain.write()) == plain
    assert kept.key == "sio:session:pid"


def test_heartbeats_of_older_streams_adapters_are_understood() -> None:
    entry = Entry.read({b"uid": b"u", b"nsp": b"/", b"type": b"2"})
    assert entry == Entry("/", "u", Beat("u", 2))


def test_a_session_that_is_none_is_refused() -> None:
    for value in (b"", b"!", base64.b64encode(b"\x80"), base64.b64encode(b"\x90")):
        with pytest.raises(ProtocolError):
            Kept.read(value)


@given(st.binary(max_size=200))
def test_anything_is_a_message_or_refused(data: bytes) -> None:
    """Nothing else comes of what somebody writes there, and nothing grows."""
    for channel in ("socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"):  # fmt: skip
        for start in (b"", b'{"type":', b"\x93\xa1u"):
            with contextlib.suppress(ProtocolError):
                Classic("/").read(channel, start + data)
            with contextlib.suppress(ProtocolError):
                Cluster("/", "v").read(start + data)


def test_bytes_are_found_wherever_they_are() -> None:
    assert has_bytes([{"a": [1, (b"",)]}])
    assert not has_bytes([{"a": [1, ("text", None)]}])


def test_what_handlers_send_is_sent_as_node_would() -> None:
    """Tuples are arrays, dates are dates, fractions stay."""
    at = datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    said = Classic("/").write(Broadcast("u", ["x", (1.5, at, None)]))
    message = Classic("/").read("socket.io#/#", said)
    assert message == Broadcast("u", ["x", [1.5, at, None]])
    (node,) = (
        line for line in vectors.lines("redis-emitter") if line["name"] == "emit-undefined-date"
    )
    assert msgspec.msgpack.encode(at) in said
    assert msgspec.msgpack.encode(at) in raw(node)
