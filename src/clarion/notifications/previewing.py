"""Previewing: what a template, stored or a draft, says with sample facts; or where it fails, with line and column."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from clarion.errors import Fault, Invalid, NotFound
from clarion.notifications.channels import Channels
from clarion.notifications.checking import Checker
from clarion.notifications.constants import fault_of
from clarion.notifications.content import check_json
from clarion.notifications.library import Library
from clarion.notifications.rendering import Renderer, Unrenderable, Wish
from clarion.notifications.sayings import Sayings
from clarion.notifications.template import Key, Locale, Template
from clarion.notifications.workflows.zones import check_zone

FACTS_BYTES: Final = 64 * 1024  # of JSON


class PreviewTemplate(Struct, frozen=True, forbid_unknown_fields=True):
    """What to preview: a stored `template` (its current version, or another), or a `draft`."""

    template: Key | None = None
    version: Annotated[int, Meta(ge=1)] | None = None
    draft: Template | None = None
    channel: Annotated[str, Meta(max_length=64)] | None = None
    """Only this one; None: all that it says something on."""
    locale: Locale | None = None
    """The reader's; None: as `facts.recipient` says."""
    time_zone: Annotated[str, Meta(max_length=64)] | None = None
    facts: Annotated[
        dict[str, Any],
        Meta(description="`payload`, `recipient`, `actor`, … as a run would have them: 64 KiB"),
    ] = {}


class PreviewFault(Struct, frozen=True):
    """What is wrong with a text: where it stands in the content, and where in the template (from 1; 0: it cannot be said)."""

    pointer: str
    detail: str
    template: str
    line: int
    column: int


class ChannelPreview(Struct, frozen=True):
    """What is said on a channel, in the language that was found; `content` null: see `faults`."""

    locale: str
    content: dict[str, Any] | None
    faults: list[PreviewFault]


class Preview(Struct, frozen=True):
    """What a template says, by channel; `faults`: what would keep it from being stored; `warnings`: what would go wrong here."""

    channels: dict[str, ChannelPreview]
    faults: list[Fault]
    warnings: list[Fault]


class Previews:
    """Renders previews.

    Args:
        channels: What can be said, and where.
        library: Stored templates.
        sayings: Puts them together.
        checker: Says what is wrong with a draft.
        renderer: Renders.
    """

    def __init__(
        self,
        channels: Channels,
        library: Library,
        sayings: Sayings,
        checker: Checker,
        renderer: Renderer,
    ) -> None:
        self._channels, self._library, self._sayings = channels, library, sayings
        self._checker, self._renderer = checker, renderer

    async def preview(self, tenant: str, asked: PreviewTemplate) -> Preview:
        """Render a template.

        Raises:
            Invalid: Neither or both of `template` and `draft`, too many facts, no such zone, or a channel on which it says nothing.
            NotFound: There is no such template, or version.
        """
        check_json(asked.facts, FACTS_BYTES, "/facts")
        if (asked.template is None) == (asked.draft is None):
            raise Invalid("give `template` or `draft`", faults=[Fault("/template", "or `draft`")])
        if asked.time_zone:
            try:
                check_zone(asked.time_zone)
            except ValueError as exc:
                raise Invalid(str(exc), faults=[Fault("/time_zone", str(exc))]) from exc
        name = asked.template or (asked.draft.template if asked.draft else "")
        book = await self._library.book(tenant, [name])
        faults: list[Fault] = []
        if asked.draft is not None:
            template, version = asked.draft, book.heads.get(name, 0) + 1
            await self._library.load_named(book, template)
            book = book.with_draft(template, version)
            faults = await self._checker.template(template, book)
        else:
            if name not in book.heads:
                raise NotFound(f"there is no template {name!r}")
            version = asked.version or book.heads[name]
            template = await self._library.version(tenant, name, version)
            await self._library.load_named(book, template)
        if asked.channel is not None and asked.channel not in template.channels:
            why = f"it says nothing on {asked.channel!r}: {', '.join(template.channels) or 'on no channel'}"
            raise Invalid(why, faults=[Fault("/channel", why)])
        recipient = asked.facts.get("recipient")
        recipient = recipient if isinstance(recipient, dict) else {}
        locale = asked.locale or str(recipient.get("locale") or "")
        zone = asked.time_zone or str(recipient.get("time_zone") or "")
        channels = [
            each
            for each in template.channels
            if asked.channel in (None, each) and self._channels.get(each) is not None
        ]
        prepared = [
            self._sayings.prepare_template(template, version, each, book, locale, {})
            for each in channels
        ]
        facts = {"payload": {}, "recipient": {}, "actor": None, "workflow": {}, **asked.facts}
        said = await self._renderer.render([Wish(each, facts, locale, zone) for each in prepared])
        return Preview(
            {
                channel: self._shown(channel, str(each.read.get("locale", "")), content)
                for channel, each, content in zip(channels, prepared, said, strict=True)
            },
            faults,
            self._checker.lost_links(template),
        )

    def _shown(
        self, name: str, locale: str, content: dict[str, Any] | Unrenderable
    ) -> ChannelPreview:
        if isinstance(content, Unrenderable):
            wrong = content.wrong
            fault = PreviewFault(content.at, wrong.why, wrong.template, wrong.line, wrong.column)
            return ChannelPreview(locale, None, [fault])
        channel = self._channels.get(name)
        assert channel is not None, "asked before"
        try:
            msgspec.convert(content, channel.said)
        except msgspec.ValidationError as exc:
            found = fault_of(exc, channel.said)
            fault = PreviewFault(found.pointer, found.detail, "", 0, 0)
            return ChannelPreview(locale, None, [fault])
        return ChannelPreview(locale, content, [])
