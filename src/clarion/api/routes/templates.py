"""`/v1/templates`: what workflows say, by channel and language, in versions; and how it would look."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.etags import Preconditions
from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import Conflict, Invalid, NotFound, Stale, TooMany
from clarion.notifications.editing import VERSIONS
from clarion.notifications.engine import Engine
from clarion.notifications.previewing import Preview, PreviewTemplate
from clarion.notifications.template import Key, Template
from clarion.notifications.template_shapes import (
    KeptTemplate,
    TemplatePage,
    TemplatePut,
    VersionPage,
)

_READ, _WRITE = Right("workflows:read"), Right("workflows:write")

Version = Annotated[int, Meta(ge=1, le=2**53 - 1, description="The current one by default")]


class TemplatePath(Struct, frozen=True):
    """Names a template."""

    template: Key


class TemplateQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version."""

    version: Version | UnsetType = UNSET


class TemplatesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which templates."""

    after: Annotated[str, Meta(max_length=64, description="Behind this key")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Templates of a page")] = 50


class VersionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which versions."""

    before: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Before this version")] = 2**53 - 1
    limit: Annotated[int, Meta(ge=1, le=VERSIONS, description="Versions of a page")] = 50


class PutTemplateQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How to put it."""

    dry_run: Annotated[bool, Meta(description="Check it, say how it differs, keep nothing")] = False


class RollBack(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version is to be the current one."""

    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]


WELCOME = Template(
    template="welcome",
    locale="en",
    channels={
        "inbox": {
            "en": {"title": "Welcome, {{ recipient.name }}"},
            "de": {"title": "Willkommen, {{ recipient.name }}"},
        }
    },
)


def add(api: Api, engine: Engine) -> None:
    """Open the doors of templates."""
    editor = engine.templates

    @api.route(
        "PUT",
        "/v1/templates/{template}",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, Conflict, Stale, TooMany),
        example=WELCOME,
    )
    async def put_template(
        caller: Principal,
        path: TemplatePath,
        query: PutTemplateQuery,
        body: Template,
        headers: Preconditions,
    ) -> TemplatePut:
        """Keep a template as its next version, which is what is rendered from here on.

        The same as the current one changes nothing. With `dry_run=true` it says what would change, and how. With
        `If-Match: "3"` it is only put where version 3 is the current one.
        """
        if body.template != path.template:
            raise Invalid(f"the path says {path.template!r}, the template {body.template!r}")
        return await editor.put(caller, body, headers.check, is_dry=query.dry_run)

    @api.route("GET", "/v1/templates/{template}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_template(
        caller: Principal, path: TemplatePath, query: TemplateQuery
    ) -> KeptTemplate:
        """A template; a version that was asked for also where the template was deleted."""
        version = None if query.version is UNSET else query.version
        return await editor.find(caller.tenant, path.template, version)

    @api.route("GET", "/v1/templates", right=_READ, limit=PerCaller(), errors=READS)
    async def list_templates(caller: Principal, query: TemplatesQuery) -> TemplatePage:
        """Templates in their current versions, in the order of their keys."""
        return await editor.page(caller.tenant, query.after, query.limit)

    @api.route(
        "GET", "/v1/templates/{template}/versions", right=_READ, limit=PerCaller(), errors=READS
    )
    async def list_template_versions(
        caller: Principal, path: TemplatePath, query: VersionsQuery
    ) -> VersionPage:
        """Its versions, the newest first, with who wrote them."""
        return await editor.versions(caller.tenant, path.template, query.before, query.limit)

    @api.route(
        "PATCH",
        "/v1/templates/{template}",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, Conflict),
        example=RollBack(1),
    )
    async def roll_back_template(
        caller: Principal, path: TemplatePath, body: RollBack
    ) -> KeptTemplate:
        """Roll back, or forward, to a version that there is; the others stay."""
        return await editor.roll_back(caller, path.template, body.version)

    @api.route(
        "DELETE",
        "/v1/templates/{template}",
        right=_WRITE,
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound, Conflict, Stale),
    )
    async def delete_template(
        caller: Principal, path: TemplatePath, headers: Preconditions
    ) -> None:
        """Delete a template that no workflow and no other template uses. Its versions stay for runs that used them."""
        await editor.delete(caller.tenant, path.template, headers.check)

    @api.route(
        "POST",
        "/v1/template-previews",
        right=_READ,
        takes_key=False,
        limit=PerCaller(),
        errors=(*READS, NotFound),
        example=PreviewTemplate(
            draft=WELCOME, locale="de-AT", facts={"recipient": {"id": "ann", "name": "Ann"}}
        ),
    )
    async def preview_template(caller: Principal, body: PreviewTemplate) -> Preview:
        """What a template, stored or a draft, says on each channel with sample facts; where it fails, with line and column."""
        return await engine.previews.preview(caller.tenant, body)
