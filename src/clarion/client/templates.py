"""What both clients say of templates."""

from collections.abc import Mapping
from typing import Any

from clarion.client import template_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.template_calls import KeptTemplate, PutTemplate


class TemplateCalls(Calls):
    """The part of `Client` that speaks of templates."""

    def put_template(
        self, definition: Mapping[str, Any], *, dry_run: bool = False, if_match: str | None = None
    ) -> PutTemplate:
        """Keep a template as its next version; the same as the current one changes nothing.

        Args:
            definition: As it is written in YAML: `template`, `channels`, …
            dry_run: Check it and say how it differs, and keep nothing.
            if_match: The version that was read, in quotes: refused where another is current by now.
        """
        return self.call(template_calls.put(definition, dry_run=dry_run, if_match=if_match))

    def find_template(self, template: str, version: int | None = None) -> KeptTemplate:
        """A template, in its current version unless another is named."""
        return self.call(template_calls.find(template, version))

    def templates(self, *, after: str = "", limit: int = 50) -> dict[str, Any]:
        """A page of templates: `{items, next}`."""
        return self.call(template_calls.page(after, limit))

    def template_versions(self, template: str, *, limit: int = 50) -> dict[str, Any]:
        """Its versions, the newest first: `{items, next}`."""
        return self.call(template_calls.versions(template, limit))

    def roll_back_template(self, template: str, version: int) -> KeptTemplate:
        """Let a version that there is be the current one."""
        return self.call(template_calls.roll_back(template, version))

    def delete_template(self, template: str) -> None:
        """Delete a template that nothing uses."""
        self.call(template_calls.delete(template))

    def preview_template(
        self,
        template: str | Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
        *,
        locale: str | None = None,
        time_zone: str | None = None,
        channel: str | None = None,
    ) -> dict[str, Any]:
        """What a template says with sample facts: `{channels: {name: {locale, content, faults}}, faults}`.

        Args:
            template: The key of a stored one, or a draft.
            facts: `payload`, `recipient`, … as a run would have them.
            locale: The reader's language; None: as `facts` say.
            time_zone: The reader's time zone, likewise.
            channel: Only this one.
        """
        return self.call(template_calls.preview(template, facts, locale, time_zone, channel))


class AsyncTemplateCalls(AsyncCalls):
    """The same as coroutines."""

    async def put_template(
        self, definition: Mapping[str, Any], *, dry_run: bool = False, if_match: str | None = None
    ) -> PutTemplate:
        """As `TemplateCalls.put_template`."""
        return await self.call(template_calls.put(definition, dry_run=dry_run, if_match=if_match))

    async def find_template(self, template: str, version: int | None = None) -> KeptTemplate:
        """As `TemplateCalls.find_template`."""
        return await self.call(template_calls.find(template, version))

    async def templates(self, *, after: str = "", limit: int = 50) -> dict[str, Any]:
        """As `TemplateCalls.templates`."""
        return await self.call(template_calls.page(after, limit))

    async def template_versions(self, template: str, *, limit: int = 50) -> dict[str, Any]:
        """As `TemplateCalls.template_versions`."""
        return await self.call(template_calls.versions(template, limit))

    async def roll_back_template(self, template: str, version: int) -> KeptTemplate:
        """As `TemplateCalls.roll_back_template`."""
        return await self.call(template_calls.roll_back(template, version))

    async def delete_template(self, template: str) -> None:
        """As `TemplateCalls.delete_template`."""
        await self.call(template_calls.delete(template))

    async def preview_template(
        self,
        template: str | Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
        *,
        locale: str | None = None,
        time_zone: str | None = None,
        channel: str | None = None,
    ) -> dict[str, Any]:
        """As `TemplateCalls.preview_template`."""
        return await self.call(template_calls.preview(template, facts, locale, time_zone, channel))
