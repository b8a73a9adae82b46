"""`/v1/imports`, `/v1/exports`: people, line by line, in and out."""

from typing import Annotated

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.lines import CSV, NDJSON, Lines
from clarion.api.listing import Format, FormatQuery, streamed
from clarion.api.repeats import Idempotency
from clarion.api.streaming import Stream
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import Conflict, IdempotencyConflict
from clarion.notifications.audiences import AudienceKey
from clarion.notifications.engine import Engine
from clarion.notifications.imports import NotTaken
from clarion.notifications.progress import Job
from clarion.notifications.recipients import Recipient
from clarion.patterns import worded

_READ, _WRITE = Right("subscribers:read"), Right("subscribers:write")
EXAMPLE = {
    NDJSON: '{"id": "ann", "email": "ann@example.org", "attributes": {"plan": "pro"}}\n"ben"\n',
    CSV: "id,email,attributes.plan\r\nann,ann@example.org,pro\r\nben,,\r\n",
}


class ImportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to."""

    audience: Annotated[AudienceKey, Meta(description="They are put into this audience, too")] = ""


class ImportPath(Struct, frozen=True):
    """Names an import."""

    id: Annotated[str, Meta(pattern=worded(r"^[0-9a-f-]{36}$(?!\n)", "an id, as an answer has it"))]


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom, and how."""

    filter: Annotated[
        str,
        Meta(max_length=1_000, description='Whom it lets through: `recipient.locale == "de"`'),
    ] = ""
    audience: Annotated[AudienceKey, Meta(description="The people of this audience")] = ""
    format: Format = "ndjson"


def add(api: Api, engine: Engine) -> None:
    """Open the doors of imports and exports."""
    imports = engine.imports

    @api.route(
        "POST", "/v1/imports", right=_WRITE, limit=PerCaller(), status=202, lines=(NDJSON, CSV),
        errors=(*WRITES, IdempotencyConflict), example=EXAMPLE,
    )  # fmt: skip
    async def import_subscribers(
        caller: Principal, query: ImportQuery, lines: Lines, headers: Idempotency
    ) -> Job:
        """Take in subscribers, one on each line, and put them into an audience if one is named.

        What is absent of one stays as it is stored. When the answer is there all lines are on disk, and a job takes them; of each
        that it cannot take it tells why. A body that breaks off imports nobody.
        """
        return await imports.accept(caller, lines, audience=query.audience, key=headers.key)

    @api.route("GET", "/v1/imports/{id}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_import(caller: Principal, path: ImportPath) -> Job:
        """How far an import is, as the topic `job:<id>` tells it all the time."""
        return await imports.find(caller.tenant, path.id)

    @api.route(
        "DELETE", "/v1/imports/{id}", right=_WRITE, limit=PerCaller(), errors=(*WRITES, Conflict)
    )
    async def cancel_import(caller: Principal, path: ImportPath) -> Job:
        """Take no more lines of an import; who was taken stays."""
        return await imports.cancel(caller.tenant, path.id)

    @api.route(
        "GET", "/v1/imports/{id}/failures", right=_READ, limit=PerCaller(), errors=READS, media=(NDJSON, CSV)
    )  # fmt: skip
    async def list_import_failures(
        caller: Principal, path: ImportPath, query: FormatQuery
    ) -> Reply[Stream]:
        """The lines that were not taken, and why; of more than `limits.import_faults` the first."""
        return streamed(imports.faults(caller.tenant, path.id), NotTaken, query.format)

    @api.route(
        "GET", "/v1/exports/subscribers", right=_READ, limit=PerCaller(), errors=READS, media=(NDJSON, CSV)
    )  # fmt: skip
    async def export_subscribers(caller: Principal, query: ExportQuery) -> Reply[Stream]:
        """All subscribers, or those of a filter or an audience, in a form that an import takes; made while it is sent."""
        people = engine.people.all(caller.tenant, query.filter, query.audience)
        return streamed(people, Recipient, query.format)
