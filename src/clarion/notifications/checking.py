"""Checking: what is wrong with a content or a template, found before anybody is told anything.

Syntax, filters and names are asked of the workers that would render it; which templates it names, and what its channel knows, is
looked at here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import Fault, Invalid
from clarion.notifications.channels import Channels
from clarion.notifications.channels.email.channel import NAME as EMAIL
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.constants import (
    MayCall,
    names_links,
    wrong_constants,
    wrong_fetch,
    wrong_url,
)
from clarion.notifications.library import Book
from clarion.notifications.prepared import Tangled, linked, texts_in
from clarion.notifications.sayings import Sayings
from clarion.notifications.template import Template, chain, choose
from clarion.notifications.workflows.contents import check_content, merge
from clarion.notifications.workflows.definition import FACTS, LINKS, Http, Say, Workflow
from clarion.settings import Templates
from clarion.telemetry import limit_exceeded
from clarion.templates import reading
from clarion.templates.bench import Checked, Source
from clarion.templates.pool import Ask, Renders

NO_ADDRESS: Final = "public_url is not set: emails have no way out (List-Unsubscribe), and links are paths that lead nowhere"
Known = Callable[[str], bool]
"""Whether a template may read the fact of that name (`payload.text`)."""


class _Text(Struct, frozen=True):
    """A source that is to be checked, and where it stands."""

    at: str
    source: Source


class Checker:
    """Checks contents.

    Args:
        channels: What can be said, and where.
        sayings: Puts templates together.
        renders: The workers.
        settings: Limits, and the default language.
        may_call: Refuses an address of the outside that could never be called.
        has_address: Whether it is known where people reach this server: links lead through it.
        clock: The time.
    """

    def __init__(
        self,
        channels: Channels,
        sayings: Sayings,
        renders: Renders,
        settings: Templates,
        *,
        may_call: MayCall,
        has_address: bool,
        clock: Clock,
    ) -> None:
        self._channels, self._sayings, self._renders = channels, sayings, renders
        self._may_call, self._has_address = may_call, has_address
        self._settings, self._clock = settings, clock

    async def template(self, template: Template, book: Book) -> list[Fault]:
        """What is wrong with a stored template.

        Args:
            template: The draft.
            book: What there is else, the draft among it.
        """
        if not template.channels and not template.part:
            return [Fault("", "says nothing: it has neither `channels` nor `part`")]
        own = template.locale or self._settings.locale
        faults: list[Fault] = []
        texts: list[_Text] = []
        contents = self._channels.contents()
        for channel, said in template.channels.items():
            at = f"/channels/{channel}"
            if channel not in contents:
                known = ", ".join(contents)
                faults.append(Fault(at, f"there is no channel {channel[:40]!r}; there are {known}"))
                continue
            faults += self._fallback(said, own, at)
            for locale, content in said.items():
                try:
                    check_content(content, contents[channel], f"{at}/{locale}")
                except Invalid as exc:
                    faults += exc.faults
                    continue
                faults += self._never(channel, content, f"{at}/{locale}")
                texts += self._texts(content, book, f"{at}/{locale}", locale, faults)
        if template.part:
            faults += self._fallback(template.part, own, "/part")
        for locale, text in template.part.items():
            # HTML or not depends on who names it; what is wrong with it is wrong with both.
            texts += self._texts(
                {"html": text}, book, f"/part/{locale}", locale, faults, (template.template,)
            )
        return faults + await self._wrong(texts, None)

    async def workflow(
        self, workflow: Workflow, schema: Mapping[str, Any] | None, book: Book | None
    ) -> list[Fault]:
        """What is wrong with what a workflow says.

        Args:
            workflow: The workflow, read.
            schema: Of its payload.
            book: Stored templates; None where it names none.
        """
        faults: list[Fault] = []
        texts: list[_Text] = []
        for step in workflow.steps:
            if isinstance(step.act, Http):
                faults += wrong_fetch(step.act, step.at, self._may_call)
            if not isinstance(step.act, Say):
                continue
            say, at = step.act, step.at
            texts += self._texts(say.content, book, at, "", faults)
            if say.template:
                faults += self._stored(say, book, at)
            else:
                faults += self._never(say.channel, say.content, at)
        steps = {step.id for step in workflow.steps}
        return faults + await self._wrong(texts, knows(steps, schema))

    def warnings(self, workflow: Workflow) -> list[Fault]:
        """What is not wrong with a workflow, and not what somebody wants who sends it to people."""
        if self._has_address:
            return []
        says = [(step.at, step.act) for step in workflow.steps if isinstance(step.act, Say)]
        return [
            Fault(at, NO_ADDRESS)
            for at, say in says
            if (say.channel == EMAIL and not workflow.is_critical)
            or (say.channel != INBOX and names_links(say.content))
        ]

    def lost_links(self, template: Template) -> list[Fault]:
        """The channels on which a template says links that would lead nowhere."""
        if self._has_address:
            return []
        return [
            Fault(f"/channels/{channel}", NO_ADDRESS)
            for channel, said in template.channels.items()
            if channel != INBOX and any(map(names_links, said.values()))
        ]

    def _stored(self, say: Say, book: Book | None, at: str) -> list[Fault]:
        stored = None if book is None else book.find(say.template)
        if stored is None:
            return [Fault(f"{at}/template", f"there is no template {say.template!r}")]
        said = stored.template.channels.get(say.channel)
        if not said:
            return [Fault(f"{at}/template", f"{say.template!r} says nothing on {say.channel}")]
        content = self._channels.contents()[say.channel]
        for each in said.values():
            try:
                whole = check_content(merge(each, say.content), content, at)
            except Invalid as exc:
                return list(exc.faults)
            if faults := self._never(say.channel, whole, at):
                return faults
        return []

    def _never(self, channel: str, content: Mapping[str, Any], at: str) -> list[Fault]:
        """What is wrong with it whoever is told."""
        known = self._channels.get(channel)
        assert known is not None, "looked up before"
        faults = wrong_constants(content, known.said, at)
        if channel == EMAIL:
            for n, each in enumerate(content.get("attachments", ())):
                faults += wrong_url(
                    each.get("url", ""), f"{at}/attachments/{n}/url", self._may_call
                )
        return faults

    def _fallback(self, said: Mapping[str, Any], own: str, at: str) -> list[Fault]:
        if choose(said, self._settings.locale, own) is not None:
            return []
        default = next(chain(own))
        return [Fault(at, f"needs {default!r}, for whose language is not there: or say `locale`")]

    def _texts(
        self,
        content: Mapping[str, Any],
        book: Book | None,
        at: str,
        locale: str,
        faults: list[Fault],
        above: Sequence[str] = (),
    ) -> list[_Text]:
        """The texts of a content; what is wrong with what they name is noted."""
        texts: list[_Text] = []
        for place, text, kind in texts_in(content):
            if "{" not in text:
                continue
            where = at if above else f"{at}{place}"
            is_html = kind in ("html", "mjml")
            faults += [
                Fault(where, f"{why} (line {each.line}, column {each.column})")
                for each in reading.named(text)
                if (why := _unnamed(each, book)) is not None
            ]
            try:
                source, _ = linked(
                    text,
                    "",
                    is_html,
                    self._sayings.finder(book, locale),
                    self._settings.parts,
                    tuple(above),
                )
            except Tangled as exc:
                limit_exceeded.labels("templates.parts").inc()
                faults.append(Fault(where, str(exc)))
                continue
            texts.append(_Text(where, source))
        return texts

    async def _wrong(self, texts: Sequence[_Text], is_known: Known | None) -> list[Fault]:
        """What the workers say."""
        if not texts:
            return []
        sources = {each.source.id: each.source for each in texts}
        checks = list(sources)
        answers = await self._renders.render(Ask(sources, [], [], [], checks, self._clock.now_ms()))
        by_id = dict(zip(checks, answers, strict=True))
        faults: list[Fault] = []
        for each in texts:
            answer = by_id[each.source.id]
            checked = answer.checked or Checked([], [])
            wrong = checked.wrong if answer.wrong is None else [answer.wrong]
            faults += [Fault(each.at, one.said()) for one in wrong]
            if is_known is not None:
                strange = [name for name in checked.names if not is_known(name)]
                faults += [
                    Fault(each.at, f"`{name[:80]}` is nothing that is known here")
                    for name in strange
                ]
        return faults


def knows(steps: set[str], schema: Mapping[str, Any] | None) -> Known:
    """What templates of a workflow may read: facts, what steps have left, and of the payload what its schema allows."""
    properties = (schema or {}).get("properties")
    is_closed = (
        schema is not None
        and schema.get("additionalProperties") is False
        and isinstance(properties, Mapping)
        and "patternProperties" not in schema
    )

    def is_known(name: str) -> bool:
        head, *rest = name.split(".")
        if head == "payload" and rest and is_closed:
            assert isinstance(properties, Mapping)
            return rest[0] in properties
        return head in FACTS or head == LINKS or head in steps

    return is_known


def _unnamed(named: reading.Named, book: Book | None) -> str | None:
    if not named.name:
        return "which template is meant has to be written here as a text"
    stored = None if book is None else book.find(named.name)
    if stored is None:
        return f"there is no template {named.name[:64]!r}"
    return None if stored.template.part else f"the template {named.name!r} has no `part`"
