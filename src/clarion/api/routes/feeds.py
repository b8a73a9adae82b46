"""`/v1/feeds/{stream}`, who may read a stream, and `…/reactions`: streams as their users look at them and answer to them."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.api.routes.activity import StreamName, StreamPath
from clarion.auth import rights
from clarion.auth.principal import Principal
from clarion.auth.rights import ByItem, Right, Self
from clarion.errors import Forbidden, NotFound, TooMany
from clarion.features.activity import (
    Counts,
    Feed,
    Feeds,
    ReactionPage,
    Readers,
    Upto,
    Written,
    user_of,
)
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.topics import Reader, Topics

_READ, _MANAGE = ByItem("topics:read"), Right("topics:manage")

_Id = Annotated[
    str,
    Meta(
        pattern=worded(r"^[0-9a-f-]{36}$(?!\n)", "an id, as an answer has it"),
        description="The activity's id",
    ),
]
_ReactionKind = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[A-Za-z0-9_+-]{1,32}$(?!\n)", "letters, digits, `_`, `+` and `-`, at most 32"
        ),
        description="How they react: `like`",
    ),
]


class ReactionPath(Struct, frozen=True):
    """Names a user's reaction to an activity."""

    stream: StreamName
    id: _Id
    kind: _ReactionKind
    user: Annotated[
        str,
        Meta(
            pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
            max_length=255,
            description="Who reacts, percent-encoded",
        ),
    ]


class ReactionsPath(Struct, frozen=True):
    """Names a kind of reactions to an activity."""

    stream: StreamName
    id: _Id
    kind: _ReactionKind


class ReactionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which reactions."""

    after: Annotated[str, Meta(max_length=255, description="Behind this user's id")] | UnsetType = (
        UNSET
    )
    limit: Annotated[int, Meta(ge=1, le=1000, description="Reactions of a page")] = 100


def add(api: Api, feeds: Feeds, topics: Topics, limits: Limits) -> None:
    """Open the doors of feeds, readers and reactions."""
    reader = Reader(topics.kinds, limits.name_bytes)

    async def reacting(caller: Principal, path: ReactionPath) -> None:
        await reader.find(caller, f"activity:{path.stream}")
        is_theirs = caller.kind == "user" and caller.id == path.user
        if not is_theirs and not rights.holds(caller.scopes, "topics:publish"):
            raise Forbidden("you react for yourself")

    async def looking(caller: Principal, stream: str) -> str:
        topic, kind = reader.named(caller, f"feed:{stream}")
        await kind.admit("subscribe", caller, topic)
        return user_of(caller)

    # ── feeds ──
    @api.route(
        "GET", "/v1/feeds/{stream:path}/groups", right=Self(), limit=PerCaller(), errors=READS
    )
    async def get_feed(caller: Principal, path: StreamPath) -> Feed:
        """Read a stream in groups, with what is new to the caller: the 50 newest groups of its 1,000 newest activities."""
        user = await looking(caller, path.stream)
        return await feeds.looks.feed(caller.tenant, path.stream, user)

    @api.route(
        "POST",
        "/v1/feeds/{stream:path}/seen",
        right=Self(),
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
        example=Upto(),
    )
    async def see_feed(caller: Principal, path: StreamPath, body: Upto) -> Counts:
        """Take the caller to have seen what is there, up to an activity if one is named. Nothing becomes new again; open pages are told."""
        user = await looking(caller, path.stream)
        return await feeds.looks.mark(caller.tenant, path.stream, user, "seen", body)

    @api.route(
        "POST",
        "/v1/feeds/{stream:path}/read",
        right=Self(),
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
        example=Upto(),
    )
    async def read_feed(caller: Principal, path: StreamPath, body: Upto) -> Counts:
        """The same for what they have read, which they have seen, too."""
        user = await looking(caller, path.stream)
        return await feeds.looks.mark(caller.tenant, path.stream, user, "read", body)

    # ── who may read ──
    @api.route(
        "PUT",
        "/v1/activity/{stream:path}/readers",
        right=_MANAGE,
        limit=PerCaller(),
        errors=WRITES,
        example=Readers(followers=True),
    )
    async def set_readers(caller: Principal, path: StreamPath, body: Readers) -> Readers:
        """Say who may read a stream, besides those whose token grants it.

        Who may no longer loses it at once on reading, and with the next position check where they are subscribed.
        """
        reader.named(caller, f"activity:{path.stream}")
        await feeds.streams.set_readers(caller.tenant, path.stream, body)
        return body

    @api.route(
        "GET",
        "/v1/activity/{stream:path}/readers",
        right=_MANAGE,
        limit=PerCaller(),
        errors=READS,
    )
    async def get_readers(caller: Principal, path: StreamPath) -> Readers:
        """Read who may read a stream."""
        reader.named(caller, f"activity:{path.stream}")
        return await feeds.streams.readers(caller.tenant, path.stream)

    # ── reactions ──
    @api.route(
        "PUT",
        "/v1/activity/{stream:path}/activities/{id}/reactions/{kind}/{user:path}",
        right=_READ,
        limit=PerCaller(),
        errors=(*WRITES, NotFound, TooMany),
    )
    async def react(caller: Principal, path: ReactionPath) -> Written:
        """React to an activity; whoever may read it may. Doing it twice changes nothing; open pages see the counters."""
        await reacting(caller, path)
        where = caller.tenant, path.stream, path.id
        return await feeds.reactions.add(*where, path.kind, path.user)

    @api.route(
        "DELETE",
        "/v1/activity/{stream:path}/activities/{id}/reactions/{kind}/{user:path}",
        right=_READ,
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
    )
    async def take_back(caller: Principal, path: ReactionPath) -> Written:
        """Take a reaction back. One that is not there is no error."""
        await reacting(caller, path)
        where = caller.tenant, path.stream, path.id
        return await feeds.reactions.remove(*where, path.kind, path.user)

    @api.route(
        "GET",
        "/v1/activity/{stream:path}/activities/{id}/reactions/{kind}",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def list_reactions(
        caller: Principal, path: ReactionsPath, query: ReactionsQuery
    ) -> ReactionPage:
        """Page through who reacts in one way, in the order of their ids."""
        await reader.find(caller, f"activity:{path.stream}")
        after = "" if query.after is UNSET else query.after
        where = caller.tenant, path.stream, path.id
        return await feeds.reactions.page(*where, path.kind, after, query.limit)
