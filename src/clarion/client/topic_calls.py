"""Topics and blocks over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clarion.client.calls import ApiError, Call, place, query, refused


class Published(msgspec.Struct, frozen=True, rename={"durability": "class"}):
    """Where a publication stands. `durability` is what the topic survives: `ephemeral`, `recoverable`, `durable`.

    `dropped` says why nothing was written: `duplicate`: its id was here before; `older`: the key has a newer version; `same`: it is so already.
    `key` is that of the item, where the kind gives it.
    """

    topic: str
    epoch: str
    offset: int
    mark: int
    durability: str
    dropped: str | None = None
    key: str | None = None


class Item(msgspec.Struct, frozen=True):
    """An item of a map. `offset` is of the publication that changed it last."""

    key: str
    data: Any
    offset: int
    tags: dict[str, str] = {}


class State(msgspec.Struct, frozen=True, rename={"durability": "class"}):
    """A topic's state and its position. `snapshot` is a map's page, None for a stream, else what the kind says."""

    topic: str
    epoch: str
    offset: int
    mark: int
    durability: str
    snapshot: Any = None


class ItemPage(msgspec.Struct, frozen=True):
    """A page of a map's state; of what is no map, an empty one."""

    snapshot: Any = None

    @property
    def items(self) -> list[Item]:
        """In the order of their keys."""
        page = self.snapshot if isinstance(self.snapshot, dict) else {}
        return msgspec.convert(page.get("items", []), list[Item])

    @property
    def next(self) -> str | None:
        """`after` of the page behind; None: there is none."""
        return self.snapshot.get("next") if isinstance(self.snapshot, dict) else None


class Publication(msgspec.Struct, frozen=True):
    """One change of a topic; `at` is when (RFC 3339), where the topic knows."""

    offset: int
    mark: int
    event: str
    data: Any
    key: str | None = None
    tags: dict[str, str] = {}
    at: str | None = None


class PublicationPage(msgspec.Struct, frozen=True):
    """A page of a log."""

    epoch: str
    offset: int
    items: list[Publication]
    more: bool
    gap: bool


class Occupancy(msgspec.Struct, frozen=True):
    """Subscriptions to a topic, and of how many callers they are; `complete` is False where a process did not answer in time."""

    subscriptions: int
    users: int
    complete: bool = True


class Block(msgspec.Struct, frozen=True):
    """A user who may not come in; times are RFC 3339, `until` None is for ever."""

    user: str
    until: str | None
    reason: str
    blocked_at: str


class Result(msgspec.Struct, frozen=True):
    """What became of one of many publications."""

    published: Published | None = None
    error: dict[str, Any] | None = None


class Results(msgspec.Struct, frozen=True):
    """Of all of them, in their order."""

    results: list[Result]


class Ended(msgspec.Struct, frozen=True):
    """How many subscriptions ended."""

    subscriptions: int


class LostPublications(Exception):
    """Some of the publications that were asked for are kept no longer, or the log began anew: read the state instead."""


def publish(topic: str, given: Mapping[str, Any]) -> Call[Published]:
    """`POST /v1/topics/{topic}/publications`."""
    return Call("POST", f"/v1/{place('topics', topic)}/publications", Published, given)


def publish_many(given: Sequence[Mapping[str, Any]]) -> Call[Results]:
    """`POST /v1/publications`."""
    return Call("POST", "/v1/publications", Results, {"publications": list(given)})


def outcomes(results: Results) -> list[Published | ApiError]:
    """What became of each: where it stands, or why not."""
    return [each.published or refused(each.error or {}) for each in results.results]


def publication(
    event: str | None,
    data: Any,
    key: str | None,
    id: str,
    version: int,
    only: Any,
    ttl_s: float | None,
    tags: Mapping[str, str] | None,
) -> dict[str, Any]:
    """A publication's body."""
    given = {
        "event": event,
        "key": key,
        "version": version or None,
        "if": only,
        "ttl_s": ttl_s,
        "tags": None if tags is None else dict(tags),
    }
    body = {name: value for name, value in given.items() if value is not None}
    return {**body, "data": data, "id": id}


def state(topic: str) -> Call[State]:
    """`GET /v1/topics/{topic}`."""
    return Call("GET", f"/v1/{place('topics', topic)}", State)


def items(topic: str, after: str | None) -> Call[ItemPage]:
    """`GET /v1/topics/{topic}`, of a map."""
    return Call("GET", f"/v1/{place('topics', topic)}{query(after=after)}", ItemPage)


def publications(
    topic: str, after: int | None, since_ms: int | None, limit: int
) -> Call[PublicationPage]:
    """`GET /v1/topics/{topic}/publications`."""
    asked = query(after=after, since_ms=since_ms, limit=limit)
    return Call("GET", f"/v1/{place('topics', topic)}/publications{asked}", PublicationPage)


def check_page(page: PublicationPage, epoch: str | None) -> None:
    """Refuse a page that does not follow.

    Raises:
        LostPublications: Something before it is missing.
    """
    if page.gap:
        raise LostPublications("some publications are kept no longer")
    if epoch is not None and page.epoch != epoch:
        raise LostPublications("the log was lost and began anew")


def occupancy(topic: str) -> Call[Occupancy]:
    """`GET /v1/topics/{topic}/occupancy`."""
    return Call("GET", f"/v1/{place('topics', topic)}/occupancy", Occupancy)


def unsubscribe(user: str, topic: str | None) -> Call[Ended]:
    """`POST /v1/users/{id}/unsubscribe`."""
    body = {} if topic is None else {"topic": topic}
    return Call("POST", f"/v1/{place('users', user)}/unsubscribe", Ended, body)


def block(user: str, for_s: float | None, reason: str) -> Call[Block]:
    """`PUT /v1/users/{id}/block`."""
    body = {"for_s": for_s, "reason": reason}
    return Call("PUT", f"/v1/{place('users', user)}/block", Block, body)


def find_block(user: str) -> Call[Block]:
    """`GET /v1/users/{id}/block`."""
    return Call("GET", f"/v1/{place('users', user)}/block", Block)


def unblock(user: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/users/{id}/block`."""
    return Call("DELETE", f"/v1/{place('users', user)}/block", dict)
