"""`/v1/topics/{topic}`: what a topic is now, what its log still has, publishing to it; `/v1/publications`: to many at once.

A back end needs a scope; a user what their token lists under `topics`, as on a socket. The tenant is the credential's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller, PerItem
from clarion.api.routes.emit import UserPath
from clarion.auth.principal import Principal
from clarion.auth.rights import ByItem, Right
from clarion.clock import as_datetime
from clarion.errors import ClarionError, Conflict, Fault, Invalid, TooMany
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded
from clarion.topics import Entry, Publish, PublishArgs, Published, Reader, Subscriptions, Topics
from clarion.topics.batches import publish_many
from clarion.topics.kinds import Durability

_READ, _PUBLISH = ByItem("topics:read"), ByItem("topics:publish")
_MANAGE = Right("topics:manage")


class TopicPath(Struct, frozen=True):
    """Names a topic."""

    topic: Annotated[
        str,
        Meta(
            pattern=worded(
                r"^[^:\x00-\x1f\x7f-\x9f]+:[^\x00-\x1f\x7f-\x9f]+$(?!\n)",
                "a topic, such as board:7",
            ),
            max_length=255,
            description="`kind:name`, percent-encoded: a slash in it is written `%2F`",
        ),
    ]


class StateQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which items."""

    after: (
        Annotated[
            str,
            Meta(max_length=255, description="Of a map: items behind this key; `next` of a page"),
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=500, description="Items of a page")] = 500


class TopicState(Struct, frozen=True, rename={"durability": "class"}):
    """A topic as it is now: what a subscriber would get."""

    topic: str
    epoch: str
    offset: Annotated[int, Meta(description="Where its log stands; the `since` of a subscription")]
    mark: int
    durability: Annotated[Durability, Meta(description="What it survives")]
    snapshot: Annotated[
        Any,
        Meta(
            description="A map's page `{items: [{key, data, offset, tags?}], more, next?}`; null: a stream; else as the kind says"
        ),
    ]


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which publications."""

    after: (
        Annotated[int, Meta(ge=0, le=2**53 - 1, description="Behind this offset; by default all")]
        | UnsetType
    ) = UNSET
    since_ms: (
        Annotated[int, Meta(ge=0, le=2**53 - 1, description="Not older than this (ms since 1970)")]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=1000, description="Publications of a page")] = 100


class PublicationInfo(Struct, frozen=True):
    """One change of a topic."""

    offset: int
    mark: int
    event: str
    data: Any
    key: str | UnsetType = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    at: datetime | UnsetType = UNSET


class PublicationPage(Struct, frozen=True, rename={"durability": "class"}):
    """Publications in their order, and where the log stands."""

    topic: str
    epoch: Annotated[
        str, Meta(description="Another one than before: the log was lost, and began anew")
    ]
    offset: int
    mark: int
    durability: Durability
    items: list[PublicationInfo]
    more: Annotated[
        bool, Meta(description="There are further ones, behind the last one's `offset`")
    ]
    gap: Annotated[
        bool, Meta(description="Some behind `after` are kept no longer: only the state is whole")
    ]


class TopicOccupancy(Struct, frozen=True):
    """Who is subscribed, in numbers."""

    topic: str
    subscriptions: Annotated[int, Meta(description="On all processes that answered")]
    users: Annotated[
        int,
        Meta(
            description="Callers whose they are; with more than 1,000 on one process each counts its own"
        ),
    ]
    complete: Annotated[
        bool, Meta(description="False: a process did not answer within two seconds")
    ]


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """Publications of any topics."""

    publications: Annotated[
        list[PublishArgs], Meta(min_length=1, description="At most `limits.batch` (1,000)")
    ]


class Result(Struct, frozen=True):
    """What became of one publication: one of both."""

    published: Published | UnsetType = UNSET
    error: (
        Annotated[dict[str, Any], Meta(description="`{code, message, …}`, as an ack on a socket")]
        | UnsetType
    ) = UNSET


class Results(Struct, frozen=True):
    """One for each publication, in their order."""

    results: list[Result]


class Unsubscribe(Struct, frozen=True, forbid_unknown_fields=True):
    """Which subscriptions."""

    topic: (
        Annotated[str, Meta(min_length=1, max_length=255, description="By default all of them")]
        | UnsetType
    ) = UNSET


class Unsubscribed(Struct, frozen=True):
    """How many subscriptions ended."""

    subscriptions: int


def add(api: Api, topics: Topics, subscriptions: Subscriptions, limits: Limits) -> None:
    """Open the doors of topics."""
    reader = Reader(topics.kinds, limits.name_bytes)

    @api.route(
        "POST",
        "/v1/topics/{topic:path}/publications",
        right=_PUBLISH,
        limit=PerCaller(),
        errors=(*WRITES, Conflict, TooMany),
        example=Publish(key="pizza", data={"votes": 3}, id="vote-17"),
    )
    async def publish(caller: Principal, path: TopicPath, body: Publish) -> Published:
        """Publish to a topic: append to a stream, set or remove an item of a map.

        `class` says what the topic survives: `ephemeral`, `recoverable` or `durable`. With an `id` the call may be repeated for five
        minutes: the second time nothing is written and the answer is the first one, with `dropped: "duplicate"`. After an error with
        `outcome: unknown` repeat it.
        """
        reader.named(caller, path.topic)
        return await topics.publish(caller, path.topic, body)

    @api.route(
        "POST",
        "/v1/publications",
        right=_PUBLISH,
        limit=PerItem("publications", 100),
        errors=WRITES,
        example=Batch(
            [
                PublishArgs(topic="board:x", key="a", data=1),
                PublishArgs(topic="news:eu", event="posted", data={"id": 17}, id="post-17"),
            ]
        ),
    )
    async def publish_batch(caller: Principal, body: Batch) -> Results:
        """Publish to many topics in one call.

        Publications of one topic are made at one moment and in their order; what is wrong with one does not keep the others. The
        answer is 200 and has a result for each: `published`, or `error`. A body that is no batch is refused as a whole.
        """
        if len(body.publications) > limits.batch:
            limit_exceeded.labels("batch").inc()
            raise Invalid(
                f"{len(body.publications)} publications exceed limits.batch = {limits.batch}",
                faults=[Fault("/publications", f"at most {limits.batch} items")],
                limit=limits.batch,
            )
        outcomes = await publish_many(topics, caller, body.publications, limits.name_bytes)
        return Results([_result(outcome) for outcome in outcomes])

    @api.route(
        "GET",
        "/v1/topics/{topic:path}/publications",
        right=_READ,
        limit=PerCaller(),
        errors=READS,
    )
    async def list_publications(
        caller: Principal, path: TopicPath, query: HistoryQuery
    ) -> PublicationPage:
        """Page through what the topic's log still has, the oldest first.

        What follows a page is behind the `offset` of its last item, as long as `epoch` stays the same.
        """
        found = await reader.history(
            caller, path.topic, _maybe(query.after), _maybe(query.since_ms), query.limit
        )
        at = found.top
        return PublicationPage(
            found.topic.wire,
            at.epoch,
            at.offset,
            at.mark,
            found.kind.durability,
            _infos(found.entries),
            found.has_more,
            found.has_gap,
        )

    @api.route(
        "GET",
        "/v1/topics/{topic:path}/occupancy",
        right=_READ,
        limit=PerCaller(),
        errors=READS,
    )
    async def get_occupancy(caller: Principal, path: TopicPath) -> TopicOccupancy:
        """Count who is subscribed to a topic.

        Who may subscribe may count.
        """
        topic, _ = await reader.find(caller, path.topic)
        found = await subscriptions.occupancy(topic)
        return TopicOccupancy(
            topic.wire, found.subscriptions, found.users, complete=found.is_complete
        )

    @api.route("GET", "/v1/topics/{topic:path}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_topic(caller: Principal, path: TopicPath, query: StateQuery) -> Reply[TopicState]:
        """Read a topic's state, and the position that it belongs to.

        Subscribe with that position as `since` to get what comes after. Of a map this is a page; pages may have different positions:
        of an item and a publication about its key the one with the higher `offset` is right. With If-None-Match a topic that has not
        changed is answered 304.
        """
        after = "" if query.after is UNSET else query.after
        found = await reader.state(caller, path.topic, after, query.limit)
        at = found.position
        body = TopicState(
            found.topic.wire, at.epoch, at.offset, at.mark, found.kind.durability, found.state
        )
        # What somebody may see can depend on who they are: a browser's cache must not take one's for another's.
        vary = {"vary": "authorization"}
        return Reply(body, etag=f'W/"{at.epoch}-{at.offset}-{at.mark}"', headers=vary)

    @api.route(
        "POST",
        "/v1/users/{id:path}/unsubscribe",
        right=_MANAGE,
        limit=PerCaller(),
        errors=READS,
        example=Unsubscribe(topic="board:x"),
    )
    async def unsubscribe_user(
        caller: Principal, path: UserPath, body: Unsubscribe
    ) -> Unsubscribed:
        """End a user's subscriptions, to one topic or to all.

        Their clients are told `unsubscribed` with code 3500, after which ours do not come back by themselves. A user whose token grants
        the topic can subscribe again: to keep them out take the right away, or block them. After a 503 a process did not
        answer, and theirs may live on there: repeat it.
        """
        topic = None if body.topic is UNSET else body.topic
        ended = await subscriptions.end_of_user(caller.tenant, path.id, topic)
        return Unsubscribed(ended)


def _result(outcome: Published | ClarionError) -> Result:
    if isinstance(outcome, ClarionError):
        return Result(error=outcome.as_answer())
    return Result(published=outcome)


def _infos(entries: Sequence[Entry]) -> list[PublicationInfo]:
    return [
        PublicationInfo(
            entry.offset,
            entry.mark,
            entry.event,
            entry.data,
            key=UNSET if entry.key is None else entry.key,
            tags=UNSET if entry.tags is None else dict(entry.tags),
            at=as_datetime(entry.at_ms) if entry.at_ms else UNSET,
        )
        for entry in entries
    ]


def _maybe(value: int | UnsetType) -> int | None:
    return None if value is UNSET else value
