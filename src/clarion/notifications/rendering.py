"""Rendering: what steps say, for a slice of recipients at a time.

Constants are constants; a plain text (`Hello {{ recipient.name }}`) is filled in here; everything else goes to the workers, a slice
in one call, and a text that does not depend on the recipient once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.notifications.prepared import Prepared, Slot, refill
from clarion.settings import Templates
from clarion.telemetry import limit_exceeded, template_renders
from clarion.templates.bench import Answer, Item, Source, Wrong, one_line
from clarion.templates.plain import fill
from clarion.templates.pool import Ask, Renders

_COMMON: Final = frozenset({"payload", "actor", "workflow"})
"""Facts that all recipients of a trigger have in common."""

__all__ = ["NeedsWorkers", "Renderer", "Unrenderable", "Wish", "fingerprint"]


class NeedsWorkers(Exception):
    """A text is rendered by workers only, who may take their time."""


class Unrenderable(Exception):
    """A template failed on this recipient's facts; says why."""

    def __init__(self, why: str, wrong: Wrong | None = None, at: str = "") -> None:
        super().__init__(why)
        self.wrong, self.at = wrong or Wrong(why), at


class Wish(Struct, frozen=True):
    """A content, and the facts of one recipient. `locale` and `zone` are theirs, '' where they are not known."""

    prepared: Prepared
    facts: Mapping[str, Any]
    locale: str = ""
    zone: str = ""


class Renderer:
    """Renders contents.

    Args:
        renders: The workers.
        settings: Limits, and the language of whom none is known.
        clock: The time, as templates know it.
    """

    def __init__(self, renders: Renders, settings: Templates, clock: Clock) -> None:
        self._renders, self._settings, self._clock = renders, settings, clock

    async def render(
        self, wishes: Sequence[Wish], *, may_ask_workers: bool = True
    ) -> list[dict[str, Any] | Unrenderable]:
        """What becomes of each content, or why it is none.

        Raises:
            NeedsWorkers: One needs a worker, and none may be asked.
            Unavailable: There is no worker, and can be none.
        """
        asking = _Asking(self._clock.now_ms(), self._settings.locale)
        found = [self._wish(wish, asking) for wish in wishes]
        if asking.items and not may_ask_workers:
            raise NeedsWorkers
        answers = await self._renders.render(asking.ask()) if asking.items else []
        return [
            self._filled(wish, texts, answers) for wish, texts in zip(wishes, found, strict=True)
        ]

    def _wish(self, wish: Wish, asking: "_Asking") -> list[str | int | None]:
        texts: list[str | int | None] = []
        filled = 0
        for slot in wish.prepared.slots:
            text = None
            if slot.plain is not None:
                is_html, most = slot.source.is_html, self._settings.output
                text = fill(slot.plain, wish.facts, is_html=is_html, most=most)
            if text is None:
                texts.append(asking.item(slot, wish))
            else:
                filled += 1
                texts.append(one_line(text) if slot.kind == "line" else text)
        if filled:
            template_renders.labels("plain").inc(filled)
        return texts

    def _filled(
        self, wish: Wish, texts: Sequence[str | int | None], answers: Sequence[Answer]
    ) -> dict[str, Any] | Unrenderable:
        if wish.prepared.wrong:
            return Unrenderable(wish.prepared.wrong)
        done: list[str] = []
        for slot, found in zip(wish.prepared.slots, texts, strict=True):
            text = found
            if isinstance(found, int):
                answer = answers[found]
                if answer.wrong is not None:
                    return Unrenderable(answer.wrong.said(), answer.wrong, slot.at)
                text = answer.text
            assert isinstance(text, str), "filled in, or asked for"
            if len(text) > self._settings.output:
                limit_exceeded.labels("templates.output").inc()
                why = f"{len(text)} characters, {self._settings.output} are allowed"
                return Unrenderable(why, at=slot.at)
            if "\0" in text:  # which a payload may bring, and no database keeps
                return Unrenderable("the character U+0000", at=slot.at)
            done.append(text)
        content: dict[str, Any] = refill(wish.prepared.content, iter(done))
        return content


class _Asking:
    """What a slice asks of the workers: each text that is the same for several once."""

    def __init__(self, now_ms: int, locale: str) -> None:
        self._now_ms, self._locale = now_ms, locale
        self.items: list[Item] = []
        self._sources: dict[str, Source] = {}
        self._shared: list[dict[str, Any]] = []
        self._payloads: dict[int, int] = {}
        self._texts: list[list[dict[str, Any]]] = []
        self._known_texts: dict[int, int] = {}
        self._same: dict[tuple[Any, ...], int] = {}

    def item(self, slot: Slot, wish: Wish) -> int:
        """Ask for a text; returns which answer is its."""
        facts, prepared = wish.facts, wish.prepared
        used = [name for name in facts if name in slot.words]
        locale = zone = ""
        if slot.is_formatted:
            locale = prepared.locale or wish.locale or self._locale
            zone = wish.zone
        key = None
        if _COMMON.issuperset(used):
            common = tuple((name, _identity(name, facts[name])) for name in used)
            key = (slot.source.id, slot.kind, common, locale, zone)
            if (same := self._same.get(key)) is not None:
                template_renders.labels("shared").inc()
                return same
        shared = self._payload(facts["payload"]) if "payload" in used else -1
        own = {name: facts[name] for name in used if name != "payload"}
        texts = self._text(prepared.texts) if prepared.texts and slot.is_formatted else -1
        self._sources |= prepared.sources
        self.items.append(Item(slot.source.id, slot.kind, shared, own, locale, zone, texts))
        if key is not None:
            self._same[key] = len(self.items) - 1
        return len(self.items) - 1

    def ask(self) -> Ask:
        """All of it."""
        return Ask(self._sources, self._shared, self._texts, self.items, [], self._now_ms)

    def _payload(self, payload: Any) -> int:
        # All of a trigger hold the same one, and each wish keeps its own alive: an id is not used twice.
        if (found := self._payloads.get(id(payload))) is None:
            found = self._payloads[id(payload)] = len(self._shared)
            self._shared.append({"payload": payload})
        return found

    def _text(self, texts: list[dict[str, Any]]) -> int:
        if (found := self._known_texts.get(id(texts))) is None:
            found = self._known_texts[id(texts)] = len(self._texts)
            self._texts.append(texts)
        return found


def _identity(name: str, value: Any) -> Any:
    return id(value) if name == "payload" else msgspec.json.encode(value, order="sorted")


def fingerprint(content: Mapping[str, Any]) -> bytes:
    """Equal for equal contents."""
    return msgspec.json.encode(content, order="sorted")
