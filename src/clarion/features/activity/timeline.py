"""The kind of topic `timeline:<user>`: everybody's own timeline, seen live.

A subscription means `timeline:<user>/<digest>`, where the digest stands for what the token lets them read: two pages of a user whose tokens
differ do not share what one of them may not see.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.auth.principal import Principal
from clarion.auth.rights import Self
from clarion.errors import Fault, Invalid, Unauthenticated, pointer_step
from clarion.features.activity.activity import told_of
from clarion.features.activity.live import Live
from clarion.features.activity.timelines import Timelines
from clarion.features.activity.viewing import MaySee, sees, view_of
from clarion.features.activity.window import (
    LOG_AGE_S,
    LOG_SIZE,
    SPARE,
    WINDOW,
    Item,
    Newest,
    item_of,
)
from clarion.storage.activity import ActivityRow
from clarion.topics.kinds import Kind, Topic

KIND: Final = "timeline"


def timeline_kind(live: Live, timelines: Timelines) -> Kind:
    """The kind `timeline`."""

    async def begin(topic: Topic, principal: Principal | None, params: Mapping[str, Any]) -> Topic:
        for name in params:
            raise Invalid(faults=[Fault(f"/params/{pointer_step(name)}", "is not known here")])
        if principal is None:
            raise Unauthenticated("sign in first")
        meant = Topic(topic.tenant, KIND, f"{topic.name}/{view_of(principal)}")
        live.keep(meant, _Timeline(timelines, topic.tenant, topic.name, sees(principal)))
        return meant

    return Kind(
        name=KIND,
        rights={"subscribe": Self()},
        log=live,
        durability="recoverable",
        log_size=LOG_SIZE,
        log_age_s=LOG_AGE_S,
        open=begin,
        watched=live.watched,
    )


class _Timeline:
    def __init__(self, timelines: Timelines, tenant: str, user: str, may_see: MaySee) -> None:
        self._timelines = timelines
        self._tenant = tenant
        self.user = user
        self._may_see = may_see
        self._readers: dict[str, str] = {}

    def sees(self, stream: str) -> bool:
        return self._may_see(stream, self._readers.get(stream, ""))

    async def streams(self) -> Sequence[str]:
        self._readers = await self._timelines.followed(self._tenant, self.user)
        return list(self._readers)

    async def read(self) -> Newest:
        most = WINDOW + SPARE
        found = await self._timelines.newest(self._tenant, self.user, most, may_see=self._may_see)
        return Newest([_item(each.stream, each) for each in found], {})

    def item(self, stream: str, row: ActivityRow) -> Item:
        return _item(stream, row)


def _item(stream: str, row: Any) -> Item:
    shown = msgspec.to_builtins(told_of(stream, row.id, row))
    return item_of((row.published_ms, row.id), shown)
