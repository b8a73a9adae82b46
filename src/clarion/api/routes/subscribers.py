"""`/v1/subscribers`, `/v1/audiences`: whom notifications can reach, and named sets of them."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.lines import NDJSON
from clarion.api.streaming import Stream, ndjson
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import Conflict
from clarion.notifications.audiences import (
    Audience,
    AudienceDefinition,
    AudienceKey,
    AudiencePage,
    ChangeMembers,
    MembersChanged,
    People,
)
from clarion.notifications.engine import Engine
from clarion.notifications.people_shapes import Changed, Described, Page, Subscriber
from clarion.notifications.recipients import Recipient, UserId
from clarion.patterns import worded

_READ, _WRITE = Right("subscribers:read"), Right("subscribers:write")


class SubscriberPath(Struct, frozen=True):
    """Names a subscriber."""

    id: UserId


class AddressPath(Struct, frozen=True):
    """Names an address of a subscriber."""

    id: UserId
    address: Annotated[
        str, Meta(pattern=worded(r"^[0-9a-f]{64}$(?!\n)", "an id, as an answer has it"))
    ]


class AudiencePath(Struct, frozen=True):
    """Names an audience."""

    audience: AudienceKey


class SubscribersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which subscribers."""

    after: Annotated[str, Meta(max_length=128, description="Behind this id")] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="Subscribers of a page")] = 50
    filter: Annotated[
        str,
        Meta(max_length=1_000, description='Whom it lets through: `recipient.locale == "de"`'),
    ] = ""


class AudiencesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which audiences."""

    after: Annotated[str, Meta(max_length=64, description="Behind this key")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Audiences of a page")] = 50


class PeopleQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which people."""

    after: Annotated[str, Meta(max_length=128, description="Behind this id")] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="People of a page")] = 100


class Several(Struct, frozen=True, forbid_unknown_fields=True):
    """Subscribers with what should be known of them; what is absent of one stays as it is stored."""

    subscribers: Annotated[list[Recipient], Meta(min_length=1, max_length=1_000)]


class Kept(Struct, frozen=True):
    """How many were kept, each once."""

    subscribers: int


class Erasing(Struct, frozen=True):
    """They are forgotten; what is theirs is being erased by this job."""

    job: str


class NewAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """An address on a channel that has its own."""

    channel: Annotated[
        str,
        Meta(
            pattern=worded(
                r"^[a-z][a-z0-9_-]{0,31}$(?!\n)",
                "a name: a-z, 0-9, `_` and `-`, at most 32, the first a letter",
            )
        ),
    ]
    address: Annotated[
        str,
        Meta(
            min_length=1, max_length=2_048, pattern=worded(r"^[^\u0000]*$", "text without U+0000")
        ),
    ]
    data: Annotated[dict[str, Any], Meta(description="What the channel needs beside it")] | None = (
        None
    )
    label: Annotated[
        str, Meta(max_length=200, pattern=worded(r"^[^\u0000]*$", "text without U+0000"))
    ] = ""


class AddressId(Struct, frozen=True):
    """The id of an address."""

    id: str


class Address(Struct, frozen=True):
    """An address without what is secret of it. `failures`: how often in a row it has not taken a message."""

    id: str
    channel: str
    label: str
    failures: int
    error: str | None


class AddressList(Struct, frozen=True):
    """All addresses of a subscriber."""

    items: list[Address]


def add(api: Api, engine: Engine) -> None:
    """Open the doors of subscribers and audiences."""
    _subscribers(api, engine)
    _addresses(api, engine)
    _audiences(api, engine)


def _subscribers(api: Api, engine: Engine) -> None:
    people = engine.people

    @api.route(
        "PUT", "/v1/subscribers/{id}", right=_WRITE, limit=PerCaller(), errors=WRITES,
        example=Described(name="Ann", email="ann@example.org", attributes={"plan": "pro"}),
    )  # fmt: skip
    async def put_subscriber(
        caller: Principal, path: SubscriberPath, body: Described
    ) -> Subscriber:
        """Keep a subscriber as they are described here: what is absent is not known any longer."""
        return await people.put(caller.tenant, path.id, body)

    @api.route("GET", "/v1/subscribers/{id}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_subscriber(caller: Principal, path: SubscriberPath) -> Subscriber:
        """A subscriber."""
        return await people.find(caller.tenant, path.id)

    @api.route(
        "PATCH", "/v1/subscribers/{id}", right=_WRITE, limit=PerCaller(), errors=WRITES,
        example=Changed(locale="de"),
    )  # fmt: skip
    async def change_subscriber(
        caller: Principal, path: SubscriberPath, body: Changed
    ) -> Subscriber:
        """Change what is known of a subscriber: what is absent stays, null is forgotten, of attributes each member by itself."""
        return await people.change(caller.tenant, path.id, body)

    @api.route(
        "DELETE", "/v1/subscribers/{id}", right=_WRITE, limit=PerCaller(), status=202, errors=WRITES
    )
    async def delete_subscriber(caller: Principal, path: SubscriberPath) -> Erasing:
        """Forget a subscriber, with everything of theirs: inbox, runs, messages, addresses, places in audiences.

        At once nobody can reach them, and what waits for them ends; the rest is erased by a job. An account to sign in with stays.
        """
        return Erasing(await people.erase(caller.tenant, path.id))

    @api.route("GET", "/v1/subscribers", right=_READ, limit=PerCaller(), errors=READS)
    async def list_subscribers(caller: Principal, query: SubscribersQuery) -> Page:
        """Subscribers in the order of their ids."""
        return await people.page(caller.tenant, query.filter, query.after, query.limit)

    @api.route(
        "POST", "/v1/subscribers", right=_WRITE, limit=PerCaller(), errors=WRITES,
        example=Several([Recipient("ann", name="Ann"), Recipient("ben", locale="de")]),
    )  # fmt: skip
    async def keep_subscribers(caller: Principal, body: Several) -> Kept:
        """Make up to 1,000 subscribers known, or say more of them: what is absent of one stays as it is stored."""
        return Kept(await people.know(caller.tenant, body.subscribers))

    @api.route(
        "GET", "/v1/subscribers/{id}/export", right=_READ, limit=PerCaller(), errors=READS,
        media=(NDJSON,),
    )  # fmt: skip
    async def export_subscriber(caller: Principal, path: SubscriberPath) -> Reply[Stream]:
        """Everything that is kept of a subscriber, a JSON object a line: `kind` says what it is."""
        return Reply(ndjson(people.tell_all(caller.tenant, path.id)), media_type=NDJSON)


def _addresses(api: Api, engine: Engine) -> None:
    people, addresses = engine.people, engine.addresses

    @api.route(
        "GET", "/v1/subscribers/{id}/addresses", right=_READ, limit=PerCaller(), errors=READS
    )
    async def list_addresses(caller: Principal, path: SubscriberPath) -> AddressList:
        """Where a subscriber can be reached, on channels that have addresses of their own."""
        await people.find(caller.tenant, path.id)
        found = await addresses.of_user(caller.tenant, path.id)
        return AddressList(
            [Address(row.id, row.channel, row.label, row.failures, row.error) for row in found]
        )

    @api.route(
        "POST", "/v1/subscribers/{id}/addresses", right=_WRITE, limit=PerCaller(), status=201,
        errors=WRITES, example=NewAddress("webhook", "https://hooks.example.org/clarion"),
    )  # fmt: skip
    async def put_address(caller: Principal, path: SubscriberPath, body: NewAddress) -> AddressId:
        """Reach a subscriber there from now on, and nobody else."""
        addresses.check_channel(body.channel)
        await people.find(caller.tenant, path.id)
        return AddressId(
            await addresses.put(
                caller.tenant, path.id, body.channel, body.address, body.data, label=body.label
            )
        )

    @api.route(
        "DELETE", "/v1/subscribers/{id}/addresses/{address}", right=_WRITE, limit=PerCaller(), status=204, errors=WRITES
    )  # fmt: skip
    async def remove_address(caller: Principal, path: AddressPath) -> None:
        """Reach a subscriber there no longer. An address that is not there, or somebody else's, stays as it is."""
        await addresses.remove(caller.tenant, path.address, path.id)


def _audiences(api: Api, engine: Engine) -> None:
    audiences = engine.audiences

    @api.route(
        "PUT", "/v1/audiences/{audience}", right=_WRITE, limit=PerCaller(), errors=(*WRITES, Conflict),
        example=AudienceDefinition("Customers who pay", 'recipient.attributes.plan == "pro"'),
    )  # fmt: skip
    async def put_audience(
        caller: Principal, path: AudiencePath, body: AudienceDefinition
    ) -> Audience:
        """Make an audience, or describe it anew: who was put in stays.

        Its people are those who were put in, the people of the audiences that it includes, and whom its filter lets through.
        """
        return await audiences.put(caller.tenant, path.audience, body)

    @api.route("GET", "/v1/audiences/{audience}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_audience(caller: Principal, path: AudiencePath) -> Audience:
        """An audience."""
        return await audiences.find(caller.tenant, path.audience)

    @api.route("GET", "/v1/audiences", right=_READ, limit=PerCaller(), errors=READS)
    async def list_audiences(caller: Principal, query: AudiencesQuery) -> AudiencePage:
        """Audiences in the order of their keys."""
        return await audiences.page(caller.tenant, query.after, query.limit)

    @api.route(
        "DELETE", "/v1/audiences/{audience}", right=_WRITE, limit=PerCaller(), status=204, errors=(*WRITES, Conflict)
    )  # fmt: skip
    async def delete_audience(caller: Principal, path: AudiencePath) -> None:
        """Forget an audience; its people stay."""
        await audiences.delete(caller.tenant, path.audience)

    @api.route(
        "POST", "/v1/audiences/{audience}/members", right=_WRITE, limit=PerCaller(), errors=WRITES,
        example=ChangeMembers(add=["ann", "ben"]),
    )  # fmt: skip
    async def change_members(
        caller: Principal, path: AudiencePath, body: ChangeMembers
    ) -> MembersChanged:
        """Put people in, and take people out, up to 1,000 of each; who is not known here is named in the answer."""
        return await audiences.change_members(caller.tenant, path.audience, body)

    @api.route(
        "GET", "/v1/audiences/{audience}/people", right=_READ, limit=PerCaller(), errors=READS
    )
    async def list_people(caller: Principal, path: AudiencePath, query: PeopleQuery) -> People:
        """All whom a send to the audience would reach now, with those of audiences inside and of filters."""
        return await audiences.people(caller.tenant, path.audience, query.after, query.limit)
