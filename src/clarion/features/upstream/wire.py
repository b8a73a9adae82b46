"""What the application's endpoint is asked and what it may answer; how it knows that it was us.

A POST brings a batch, `{"requests": [...]}`, of what happened at about the same time, one for each socket at most; the answer, status 200,
is `{"answers": [...]}` in the same order. Signed as Standard Webhooks: `webhook-id`, `webhook-timestamp` (s), `webhook-signature`.

Source: the Standard Webhooks specification.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.errors import Invalid

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Client(Struct, frozen=True, omit_defaults=True):
    """The socket that it is about.

    Args:
        id: Its id; '' where a right is asked for, which is of a user's.
        user: Who is signed in; None: nobody.
        tenant: Theirs.
        data: What earlier answers have stored in it.
    """

    id: str
    user: str | None = None
    tenant: str = "default"
    data: Any = None


class Request(Struct, frozen=True, omit_defaults=True):
    """One thing that happened.

    Args:
        type: `event`, `connect` (answered before the client is let in), `disconnect` (the socket is gone: the answer may emit and publish),
            `subscribe` or `publish` (may they, to this topic).
        namespace: Where; '' for topics.
        socket: Whose.
        event: Its name, of an event.
        args: Its arguments; bytes as base64.
        auth: What the client came with, of a connect.
        address: Where it came from, of a connect.
        reason: Why it went, of a disconnect.
        topic: Its name, of a subscribe and a publish.
        publication: What is published: see `topics.publishing.Publish`.
    """

    type: Literal["event", "connect", "disconnect", "subscribe", "publish"]
    namespace: str
    socket: Client
    event: str | UnsetType = UNSET
    args: list[Any] | UnsetType = UNSET
    auth: Any = UNSET
    address: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    publication: Any = UNSET


class Emit(Struct, frozen=True, forbid_unknown_fields=True, rename={"but": "except"}):
    """An event to send: to a `room`, to a `user`, to `everyone` of the namespace, or, with none of these, to the socket itself.

    `except` names rooms and ids of sockets that do not get it. `room`, `user` and `everyone` mean those of the socket's tenant.
    """

    event: Name
    args: list[Any] = []
    room: Name | None = None
    user: Name | None = None
    everyone: bool = False
    but: list[Name] = []


class Error(Struct, frozen=True):
    """Why it is refused: what the client gets in the ack, or as `connect_error`."""

    code: Name
    message: str = ""


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """What the application wants done, in this order; null is an answer with nothing in it.

    Args:
        error: Refuse it. Nothing else is done then.
        allow: They may subscribe or publish; without it they may not.
        ack: The arguments of the ack; absent: none are sent, but the ack is.
        user: Who the client is, of a connect in a namespace without sign-in.
        data: Becomes the socket's `data`, which later requests bring.
        join: Rooms to put the socket into.
        leave: Rooms to take it out of.
        emit: Events to send.
        publish: Publications: what the command `publish` takes. Where a publish is asked about, these take its place.
        disconnect: Put the socket out, after all that.
    """

    error: Error | None = None
    allow: bool = False
    ack: list[Any] = []
    user: Name | None = None
    data: Any = UNSET
    join: list[Name] = []
    leave: list[Name] = []
    emit: list[Emit] = []
    publish: list[dict[str, Any]] = []
    disconnect: bool = False


class _Answers(Struct):
    answers: list[msgspec.Raw]


NOTHING: Final = Answer()
_answers: Final = msgspec.json.Decoder(_Answers).decode
_answer: Final = msgspec.json.Decoder(Answer | None).decode
_encode: Final = msgspec.json.Encoder().encode


def encode(request: Request) -> bytes:
    """A request as it stands in a body.

    Raises:
        Invalid: It has no JSON that every language reads: half of a surrogate pair.
    """
    try:
        return _encode(request)
    except (TypeError, ValueError, RecursionError) as exc:
        raise Invalid("the arguments have no JSON") from exc


def join(requests: Iterable[bytes]) -> bytes:
    """A batch as a body."""
    return b'{"requests":[%s]}' % b",".join(requests)


def split(body: bytes, count: int) -> list[msgspec.Raw]:
    """The answers to `count` requests, each still to be read.

    Raises:
        ValueError: Not JSON, not of that form, or another number of them.
    """
    try:
        answers = _answers(body).answers
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if len(answers) != count:
        raise ValueError(f"{len(answers)} answers to {count} requests")
    return answers


def decode(answer: msgspec.Raw) -> Answer:
    """One answer.

    Raises:
        ValueError: It is not of that form.
    """
    return _answer(answer) or NOTHING


def sign(secret: bytes, id: str, at_s: int, body: bytes) -> Mapping[str, str]:
    """The headers that prove a body."""
    signed = b"%s.%d.%s" % (id.encode(), at_s, body)
    digest = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{digest}",
    }
