"""`/v1/preferences`: what people want to be told, and how: by themselves, by back ends, and for all of a deployment."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from clarion.api.etags import IfMatch, require_match
from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.reading import parse_json
from clarion.auth.principal import Principal
from clarion.auth.rights import Right, Self
from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, Invalid, Malformed, NotFound, Stale, TooLarge, TooMany
from clarion.notifications.desk import Overview
from clarion.notifications.engine import Engine
from clarion.notifications.explaining import Explained
from clarion.notifications.preferences.book import Kept, KeptDefaults, Matches
from clarion.notifications.preferences.document import (
    Cap,
    Defaults,
    Document,
    Holidays,
    Moment,
    Muted,
    Schedule,
    Thread,
    Zone,
)
from clarion.notifications.preferences.links import PAGE_S
from clarion.notifications.preferences.quiet import Quiet
from clarion.notifications.recipients import UserId
from clarion.notifications.workflows.definition import Choice, Name

_READ, _WRITE = Right("subscribers:read"), Right("subscribers:write")
_CHANGES = (*WRITES, Stale, TooLarge)
_VARY = {"vary": "authorization"}


class SubscriberPath(Struct, frozen=True):
    """Names a subscriber."""

    id: UserId


class Patch(Struct, frozen=True, forbid_unknown_fields=True):
    """A merge patch (RFC 7396): what is absent stays, null is taken back, lists are replaced as a whole."""

    channels: dict[Name, Choice | None] | UnsetType | None = UNSET
    categories: dict[Name, Choice | dict[Name, Choice | None] | None] | UnsetType | None = UNSET
    workflows: dict[Name, Choice | dict[Name, Choice | None] | None] | UnsetType | None = UNSET
    muted: Annotated[list[Muted], Meta(max_length=500)] | UnsetType | None = UNSET
    quiet: Annotated[list[Quiet], Meta(max_length=50)] | UnsetType | None = UNSET
    holidays: Holidays | UnsetType | None = UNSET
    paused_until: Moment | UnsetType | None = UNSET
    digests: Schedule | UnsetType | None = UNSET
    time_zone: Zone | UnsetType | None = UNSET


class Unmute(Thread, frozen=True, forbid_unknown_fields=True):
    """A thread that is muted."""


class Supposed(Struct, frozen=True, forbid_unknown_fields=True):
    """A message as it might come."""

    channel: Annotated[str, Meta(max_length=64, description="By which it would come")]
    workflow: Annotated[str, Meta(max_length=64, description="Whose it is; absent: nobody's")] = ""
    category: Annotated[
        str, Meta(max_length=64, description="Of a notification that no workflow sends")
    ] = ""
    payload: Annotated[str, Meta(max_length=8_000, description="A JSON object")] = "{}"
    actor: UserId | None = None
    """Who did it."""


class PageLink(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long a link is to be good."""

    good_s: Annotated[int, Meta(ge=60, le=90 * 24 * 3600, description="Seconds")] = PAGE_S


class Link(Struct, frozen=True):
    """The address of a person's page; whoever has it needs no login. It is a path where `public_url` is not set."""

    url: str
    expires_at: datetime


EXAMPLE = Document(
    categories={"social": {"push": "payload.urgent"}},
    muted=[Muted("payload.thread", "t-17")],
    quiet=[Quiet("22:00", "07:00")],
)
PATCH = Patch(categories={"social": {"push": None, "email": False}}, paused_until=None)
DEFAULTS = Defaults(
    categories={"marketing": {"push": False}},
    required=["security"],
    caps=[Cap("push", 5, "1h", over="digest")],
)


def add(api: Api, engine: Engine, clock: Clock) -> None:
    """Open the doors of preferences."""
    _own(api, engine, clock)
    _others(api, engine, clock)
    _defaults(api, engine)


def _own(api: Api, engine: Engine, clock: Clock) -> None:
    desk, book = engine.desk, engine.book

    @api.route("GET", "/v1/preferences", right=Self(), limit=PerCaller(), errors=READS)
    async def get_preferences(caller: Principal) -> Reply[Kept]:
        """What the caller has said; `revision` 0: nothing yet. The `etag` is the revision."""
        return _kept(await book.find(caller.tenant, caller.id))

    @api.route(
        "PUT", "/v1/preferences", right=Self(), limit=PerCaller(), errors=_CHANGES, example=EXAMPLE
    )
    async def put_preferences(caller: Principal, headers: IfMatch, body: Document) -> Reply[Kept]:
        """Say anew what the caller wants; what is not said, the deployment and the workflows decide. The same changes nothing."""
        return _kept(await desk.put(caller.tenant, caller.id, body, _matches(headers)))

    @api.route(
        "PATCH", "/v1/preferences", right=Self(), limit=PerCaller(), errors=_CHANGES, example=PATCH
    )
    async def patch_preferences(caller: Principal, headers: IfMatch, body: Patch) -> Reply[Kept]:
        """Change parts of what the caller wants, by a merge patch: null takes something back."""
        return _kept(await desk.patch(caller.tenant, caller.id, to_builtins(body), _matches(headers)))  # fmt: skip

    @api.route(
        "POST", "/v1/preferences/mute", right=Self(), limit=PerCaller(), errors=(*_CHANGES, TooMany),
        example=Muted("payload.thread", "t-17"),
    )  # fmt: skip
    async def mute(caller: Principal, body: Muted) -> Reply[Kept]:
        """Tell the caller nothing more of one thread: of no message whose payload has this value there."""
        return _kept(await desk.mute(caller.tenant, caller.id, body))

    @api.route(
        "POST", "/v1/preferences/unmute", right=Self(), limit=PerCaller(), errors=_CHANGES,
        example=Unmute("payload.thread", "t-17"),
    )  # fmt: skip
    async def unmute(caller: Principal, body: Unmute) -> Reply[Kept]:
        """Tell the caller of a thread again; one that is not muted stays so."""
        return _kept(await desk.unmute(caller.tenant, caller.id, body.path, body.value))

    @api.route("GET", "/v1/preferences/overview", right=Self(), limit=PerCaller(), errors=READS)
    async def get_preference_overview(caller: Principal) -> Overview:
        """What holds for the caller, by category, workflow and channel, with who says so: what a page of settings shows."""
        return await desk.overview(caller.tenant, caller.id)

    @api.route("GET", "/v1/preferences/explain", right=Self(), limit=PerCaller(), errors=READS)
    async def explain_preferences(caller: Principal, query: Supposed) -> Explained:
        """What would become of a message to the caller now, and why: each rule with what it says."""
        return await _explained(engine, caller.tenant, caller.id, query)

    @api.route(
        "POST", "/v1/preferences/link", right=Self(), takes_key=False, limit=PerCaller(), errors=(*READS, NotFound),
        example=PageLink(),
    )  # fmt: skip
    async def link_preferences(caller: Principal, body: PageLink) -> Link:
        """The address of the caller's page of preferences, for a while; the caller must be a subscriber."""
        await engine.people.find(caller.tenant, caller.id)
        return _link(engine, clock, caller.tenant, caller.id, body)


def _others(api: Api, engine: Engine, clock: Clock) -> None:
    desk, book, people = engine.desk, engine.book, engine.people
    at = "/v1/subscribers/{id}/preferences"

    @api.route("GET", at, right=_READ, limit=PerCaller(), errors=READS)
    async def get_subscriber_preferences(caller: Principal, path: SubscriberPath) -> Reply[Kept]:
        """What a subscriber has said."""
        await people.find(caller.tenant, path.id)
        return _kept(await book.find(caller.tenant, path.id))

    @api.route("PUT", at, right=_WRITE, limit=PerCaller(), errors=_CHANGES, example=EXAMPLE)
    async def put_subscriber_preferences(
        caller: Principal, path: SubscriberPath, headers: IfMatch, body: Document
    ) -> Reply[Kept]:
        """Say anew what a subscriber wants; their open pages are told."""
        await people.find(caller.tenant, path.id)
        return _kept(await desk.put(caller.tenant, path.id, body, _matches(headers)))

    @api.route("PATCH", at, right=_WRITE, limit=PerCaller(), errors=_CHANGES, example=PATCH)
    async def patch_subscriber_preferences(
        caller: Principal, path: SubscriberPath, headers: IfMatch, body: Patch
    ) -> Reply[Kept]:
        """Change parts of what a subscriber wants, by a merge patch."""
        await people.find(caller.tenant, path.id)
        return _kept(await desk.patch(caller.tenant, path.id, to_builtins(body), _matches(headers)))  # fmt: skip

    @api.route(
        "POST", f"{at}/mute", right=_WRITE, limit=PerCaller(), errors=(*_CHANGES, TooMany),
        example=Muted("payload.thread", "t-17"),
    )  # fmt: skip
    async def mute_for_subscriber(
        caller: Principal, path: SubscriberPath, body: Muted
    ) -> Reply[Kept]:
        """Tell a subscriber nothing more of one thread."""
        await people.find(caller.tenant, path.id)
        return _kept(await desk.mute(caller.tenant, path.id, body))

    @api.route(
        "POST", f"{at}/unmute", right=_WRITE, limit=PerCaller(), errors=_CHANGES,
        example=Unmute("payload.thread", "t-17"),
    )  # fmt: skip
    async def unmute_for_subscriber(
        caller: Principal, path: SubscriberPath, body: Unmute
    ) -> Reply[Kept]:
        """Tell a subscriber of a thread again."""
        await people.find(caller.tenant, path.id)
        return _kept(await desk.unmute(caller.tenant, path.id, body.path, body.value))

    @api.route("GET", f"{at}/overview", right=_READ, limit=PerCaller(), errors=READS)
    async def get_subscriber_preference_overview(
        caller: Principal, path: SubscriberPath
    ) -> Overview:
        """What holds for a subscriber, by category, workflow and channel, with who says so."""
        await people.find(caller.tenant, path.id)
        return await desk.overview(caller.tenant, path.id)

    @api.route("GET", f"{at}/explain", right=_READ, limit=PerCaller(), errors=READS)
    async def explain_subscriber_preferences(
        caller: Principal, path: SubscriberPath, query: Supposed
    ) -> Explained:
        """What would become of a message to them now, and why: each rule with what it says. Also of who is not known."""
        return await _explained(engine, caller.tenant, path.id, query)

    @api.route(
        "POST",
        f"{at}/link",
        right=_WRITE,
        takes_key=False,
        limit=PerCaller(),
        errors=READS,
        example=PageLink(),
    )
    async def link_subscriber_preferences(
        caller: Principal, path: SubscriberPath, body: PageLink
    ) -> Link:
        """The address of a subscriber's page of preferences, for a while: who has it may change them without a login."""
        await people.find(caller.tenant, path.id)
        return _link(engine, clock, caller.tenant, path.id, body)


def _defaults(api: Api, engine: Engine) -> None:
    book = engine.book

    @api.route(
        "GET", "/v1/preferences/defaults", right=Right("workflows:read"), limit=PerCaller(), errors=READS
    )  # fmt: skip
    async def get_preference_defaults(caller: Principal) -> Reply[KeptDefaults]:
        """What the deployment says for everybody."""
        return _kept(await book.defaults(caller.tenant))

    @api.route(
        "PUT", "/v1/preferences/defaults", right=Right("workflows:write"), limit=PerCaller(),
        errors=_CHANGES, example=DEFAULTS,
    )  # fmt: skip
    async def put_preference_defaults(
        caller: Principal, headers: IfMatch, body: Defaults
    ) -> Reply[KeptDefaults]:
        """Say what holds for everybody who has not said otherwise; `required`, `holidays` and `caps` hold for all."""
        return _kept(await book.put_defaults(caller.tenant, body, _matches(headers)))


def _kept(found: Any) -> Reply[Any]:
    return Reply(found, etag=f'"{found.revision}"', headers=_VARY)


def _matches(headers: IfMatch) -> Matches | None:
    if_match = headers.if_match
    if if_match is UNSET:
        return None
    return lambda revision: require_match(if_match, f'"{revision}"')


async def _explained(engine: Engine, tenant: str, usr: str, query: Supposed) -> Explained:
    try:
        payload = parse_json(query.payload.encode())
    except Malformed:
        payload = None
    if not isinstance(payload, dict):
        raise Invalid("?payload: not a JSON object", faults=[Fault("?payload", "not an object")])
    return await engine.explainer.explain(
        tenant,
        usr,
        query.channel,
        workflow=query.workflow,
        category=query.category,
        payload=payload,
        actor=query.actor or "",
    )


def _link(engine: Engine, clock: Clock, tenant: str, usr: str, asked: PageLink) -> Link:
    until = as_datetime(clock.now_ms() + asked.good_s * 1000)
    return Link(engine.links.page(tenant, usr, good_s=asked.good_s), until)
