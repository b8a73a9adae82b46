"""Feeds: a stream as a user looks at it, in groups, with what they have not seen and not read. The kind of topic `feed:<stream>`.

How far somebody has seen and read a stream is a place in it, a watermark that only rises; what is above it is new to them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from clarion.auth.principal import Principal
from clarion.clock import as_ms
from clarion.errors import Fault, Forbidden, Invalid, pointer_step
from clarion.features.activity.grouping import LOOKED_AT, Counts, Group, Marks, grouped
from clarion.features.activity.live import Live
from clarion.features.activity.log import NEWEST_MS
from clarion.features.activity.news import News, Notice
from clarion.features.activity.publish import converted
from clarion.features.activity.streams import Streams
from clarion.features.activity.viewing import MayRead
from clarion.features.activity.window import LOG_AGE_S, LOG_SIZE, SPARE, WINDOW, Newest
from clarion.storage import Store
from clarion.storage import activity as rows
from clarion.storage import marks as sql
from clarion.topics.kinds import Kind, Topic
from clarion.topics.publishing import Call, Publish, Published

KIND: Final = "feed"
_NOTHING: Final = (0, "")

What = Literal["seen", "read"]


class Upto(Struct, frozen=True, forbid_unknown_fields=True):
    """How far: up to this activity and including it; by default all that there is."""

    upto: str | UnsetType = UNSET


class Feed(Struct, frozen=True):
    """The groups of a stream, newest first, at most 50; whether there are more; and how many are new to the user."""

    items: list[Group]
    more: bool
    unseen: int
    unread: int


class Looks:
    """What users have seen and read of streams.

    Args:
        store: Where it is.
        streams: Has the activities.
        news: Tells whoever keeps feeds true.
    """

    def __init__(self, store: Store, streams: Streams, news: News) -> None:
        self._store = store
        self._streams = streams
        self._news = news

    async def feed(self, tenant: str, stream: str, user: str) -> Feed:
        """A stream as a user looks at it. Whether they may is checked at the door."""
        newest = await self.newest(tenant, stream, user)
        groups = [msgspec.convert(item.shown, Group) for item in newest.items[:WINDOW]]
        return Feed(groups, len(newest.items) > WINDOW, **newest.counts)

    async def newest(self, tenant: str, stream: str, user: str) -> Newest:
        """The same as what is kept true for pages."""
        of = {"tenant": tenant, "stream": stream}
        # Before the activities: what is added meanwhile is not seen yet.
        marked = await self._store.fetch(sql.MARK, **of, usr=user)
        found = await self._store.fetch(
            rows.BELOW, **of, before_ms=NEWEST_MS, before_id="", n=LOOKED_AT
        )
        marks = Marks(_NOTHING, _NOTHING)
        if marked:
            at = marked[0]
            marks = Marks((at.seen_ms, at.seen_id), (at.read_ms, at.read_id))
        items, counts = grouped(found, marks)
        return Newest(items[: WINDOW + SPARE], msgspec.to_builtins(counts))

    async def mark(self, tenant: str, stream: str, user: str, what: What, given: Upto) -> Counts:
        """Take a user to have seen, or read, a stream; what is read is seen, and nothing becomes new again.

        Raises:
            NotFound: There is no such activity.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        if given.upto is UNSET:
            page = await self._streams.page(tenant, stream, limit=1)
            upto = page.items[0] if page.items else None
        else:
            upto = await self._streams.get(tenant, stream, given.upto)
        if upto is not None:
            at_ms, at_id = as_ms(upto.published), upto.id
            read_ms, read_id = (at_ms, at_id) if what == "read" else _NOTHING
            async with self._store.transaction() as tx:
                await tx.execute(
                    sql.SET,
                    tenant=tenant,
                    stream=stream,
                    usr=user,
                    seen_ms=at_ms,
                    seen_id=at_id,
                    read_ms=read_ms,
                    read_id=read_id,
                )
            await self._news.tell(Notice(tenant, user=user))
        return msgspec.convert((await self.newest(tenant, stream, user)).counts, Counts)


def feed_kind(live: Live, looks: Looks, may_read: MayRead) -> Kind:
    """The kind `feed`: whoever may read the stream has a feed of it, and marks what they have seen."""

    async def begin(topic: Topic, principal: Principal | None, params: Mapping[str, Any]) -> Topic:
        for name in params:
            raise Invalid(faults=[Fault(f"/params/{pointer_step(name)}", "is not known here")])
        user = user_of(principal)
        digest = hashlib.sha256(user.encode(errors="surrogatepass")).hexdigest()[:16]
        meant = Topic(topic.tenant, KIND, f"{topic.name}/{digest}")
        live.keep(meant, _Feed(looks, topic.tenant, topic.name, user))
        return meant

    return Kind(
        name=KIND,
        rights={"subscribe": may_read, "publish": may_read},
        log=live,
        durability="recoverable",
        log_size=LOG_SIZE,
        log_age_s=LOG_AGE_S,
        open=begin,
        publish=partial(_publish, looks),
        watched=live.watched,
    )


def user_of(principal: Principal | None) -> str:
    """Whose feed it is.

    Raises:
        Forbidden: A back end has none.
    """
    if principal is None or principal.kind != "user":
        raise Forbidden("a feed is a user's")
    return principal.id


async def _publish(looks: Looks, call: Call, given: Publish) -> Published:
    """`seen` and `read`, with `{upto?}` as data."""
    if given.event not in ("seen", "read"):
        raise Invalid(faults=[Fault("/event", "expected one of seen, read")])
    upto = converted({} if given.data is None else given.data, Upto)
    user, topic = user_of(call.principal), call.topic
    await looks.mark(topic.tenant, topic.name, user, given.event, upto)  # type: ignore[arg-type]  # one of ours
    return Published(topic.wire, "0", 0, 0, "durable")


class _Feed:
    def __init__(self, looks: Looks, tenant: str, stream: str, user: str) -> None:
        self._looks = looks
        self._tenant = tenant
        self._stream = stream
        self.user = user

    item = None

    async def streams(self) -> Sequence[str]:
        return [self._stream]

    async def read(self) -> Newest:
        return await self._looks.newest(self._tenant, self._stream, self.user)

    def sees(self, stream: str) -> bool:
        return True
