"""Deciding: the engine is asked, and what is to be said is rendered, before anything is written."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from clarion.clock import Clock
from clarion.errors import ClarionError
from clarion.ids import Ids
from clarion.jobs.queue import backoff_s
from clarion.notifications.channels import Channel, Channels
from clarion.notifications.going import Decided, Going, decided_of, unchanged
from clarion.notifications.preferences.evaluate import (
    NONE,
    Asked,
    Counted,
    cap_key,
    decide,
    span_ms,
)
from clarion.notifications.preferences.links import Links
from clarion.notifications.rendering import Renderer, Unrenderable, Wish
from clarion.notifications.sayings import Books, Sayings
from clarion.notifications.workflows.advance import advance
from clarion.notifications.workflows.definition import LINKS, Say, Step
from clarion.notifications.workflows.moves import Advanced, Decision, Send
from clarion.telemetry import get_logger

_log = get_logger(__name__)

TURN: Final = 25  # runs that are decided before others get their turn
TRIES: Final = 5  # of a run that fails for a reason of ours


class Decider:
    """Decides what runs do next.

    Args:
        channels: Whom they reach.
        sayings: What they say, in which language.
        renderer: Fills in templates.
        links: Those that need no login, for templates that show them.
        clock: The time.
        ids: Jitter.
    """

    def __init__(
        self,
        channels: Channels,
        sayings: Sayings,
        renderer: Renderer,
        links: Links,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._channels, self._sayings, self._renderer = channels, sayings, renderer
        self._links, self._clock, self._ids = links, clock, ids

    async def decide(
        self, goings: Sequence[Going], *, may_ask_workers: bool = True
    ) -> list[Decided]:
        """What each run of a slice does next, with what it says rendered, all of it together. A failure of ours is tried again, then is the run's own.

        Raises:
            NeedsWorkers: Something is rendered by workers only, and they may not be asked.
        """
        books = await self._sayings.books(goings)
        asking = [_Asking(going) for going in goings]
        open = asking
        while open:
            for n, each in enumerate(open, 1):
                self._ask(each, books)
                if not n % TURN:
                    await asyncio.sleep(0)  # others wait for the loop
            await self._render(
                [each for each in open if each.decided is None], books, may_ask_workers
            )
            # A template failed: what follows may ask for that, so it is decided anew, which costs nothing.
            open = [each for each in open if each.decided is None]
        return [each.decided for each in asking if each.decided is not None]

    def _ask(self, asking: "_Asking", books: Books) -> None:
        """Ask the engine, and note what is to be said."""
        going, asking.sends, asking.decided = asking.going, [], None
        try:
            facts, now_ms = going.facts(), self._clock.now_ms()
            advanced = asking.advanced = advance(
                going.workflow,
                going.state,
                going.event,
                facts,
                run=going.id,
                now_ms=now_ms,
                decide=lambda step: self.may(going, step, asking.failed, books, now_ms),
                done=going.done,
                since_ms=going.since_ms,
            )
            asking.facts = {**advanced.state.left, **facts}
            asking.sends = [(going.workflow.steps[send.step], send) for send in advanced.sends]
            if not asking.sends:
                asking.decided = decided_of(going, advanced, [], self._clock.now_ms())
        except Exception as exc:  # noqa: BLE001  one run's failure is its own, whatever it is
            asking.decided = self._failed(going, exc)

    async def _render(
        self, asking: Sequence["_Asking"], books: Books, may_ask_workers: bool
    ) -> None:
        """Render what several runs say; which of them could say it are decided."""
        wishes: list[Wish] = []
        for each in asking:
            recipient = each.going.recipient or {}
            locale, zone = str(recipient.get("locale", "")), str(recipient.get("time_zone", ""))
            for step, _ in each.sends:
                prepared = self._sayings.prepared(each.going, step, books)
                facts = each.facts
                if any(LINKS in slot.words for slot in prepared.slots):
                    facts = {**facts, LINKS: self._links_of(each.going, step)}
                wishes.append(Wish(prepared, facts, locale, zone))
        try:
            contents = iter(await self._renderer.render(wishes, may_ask_workers=may_ask_workers))
        except ClarionError as exc:
            for each in asking:
                each.decided = self._failed(each.going, exc)
            return
        for each in asking:
            said = [(step, send, next(contents)) for step, send in each.sends]
            try:
                self._said(each, said)
            except Exception as exc:  # noqa: BLE001  likewise
                each.decided = self._failed(each.going, exc)

    def _links_of(self, going: Going, step: Step) -> dict[str, str]:
        assert isinstance(step.act, Say)
        workflow = going.workflow
        is_kept = workflow.is_critical or workflow.category in going.wishes.defaults.required
        out = self._links.unsubscribe(
            going.tenant,
            going.usr,
            step.act.channel,
            category=workflow.category,
            workflow=workflow.key,
        )
        page = self._links.page(going.tenant, going.usr)
        return {"unsubscribe": "" if is_kept else out, "preferences": page}

    def _said(
        self, asking: "_Asking", said: Sequence[tuple[Step, Send, dict[str, Any] | Unrenderable]]
    ) -> None:
        sends: list[tuple[Step, Send, Mapping[str, Any]]] = []
        before = len(asking.failed)
        for step, send, content in said:
            assert isinstance(step.act, Say)
            channel = self._channels.get(step.act.channel)
            assert channel is not None, "decided to send on it"
            if isinstance(content, Unrenderable):
                asking.failed[step.id] = str(content)
                continue
            try:
                msgspec.convert(content, channel.said)
            except msgspec.ValidationError as exc:
                asking.failed[step.id] = str(exc)
            else:
                sends.append((step, send, content))
        if len(asking.failed) == before:
            assert asking.advanced is not None, "asked"
            asking.decided = decided_of(asking.going, asking.advanced, sends, self._clock.now_ms())

    def _failed(self, going: Going, exc: Exception) -> Decided:
        _log.error("run failed", run=going.id, workflow=going.workflow.key, exc_info=exc)
        is_last = going.attempts >= TRIES
        found = unchanged(
            going,
            None if is_last else self._clock.now_ms() + pause_ms(going, self._ids),
            f"{type(exc).__name__}: {exc}"[:1_000],
        )
        found.status = "failed" if is_last else "running"
        return found

    def may(
        self, going: Going, step: Step, failed: Mapping[str, str], books: Books, now_ms: int
    ) -> Decision:
        """What preferences and addresses say of a message of a run; `failed`: steps that could not be rendered, and why."""
        assert isinstance(step.act, Say)
        if (why := failed.get(step.id)) is not None:
            return Decision("fail", why)
        if going.recipient is None:
            return Decision("skip", "the subscriber was deleted")
        channel = self._channels.get(step.act.channel)
        if channel is None:
            return Decision("skip", f"there is no channel {step.act.channel!r} here")
        if (found := unreached(going, channel)) is not None:
            what, why = found
            return Decision("suppress" if what == "suppressed" else "skip", why)
        read = self._sayings.prepared(going, step, books).read
        if going.wishes is NONE and going.workflow.preferences is None:
            return Decision("send", read=read)
        return self._wanted(going, step, channel.name, read, now_ms)

    def _wanted(
        self, going: Going, step: Step, channel: str, read: Mapping[str, Any], now_ms: int
    ) -> Decision:
        said = decide(
            asked_of(going, channel, counted_of(going.state.left.get(step.id, {}))),
            going.wishes,
            now_ms,
        )
        assert said.verdict is not None, "decided"
        return Decision(
            said.verdict,
            said.why,
            said.until_ms,
            {**read, **going.wishes.read, **said.read},
            {cap_key(cap): span_ms(cap) for cap in said.caps},
        )


class _Asking:
    """A run that is being decided."""

    def __init__(self, going: Going) -> None:
        self.going = going
        self.failed: dict[str, str] = {}
        self.sends: list[tuple[Step, Send]] = []
        self.facts: dict[str, Any] = {}
        self.advanced: Advanced | None = None
        self.decided: Decided | None = None


def unreached(
    going: Going, channel: Channel
) -> tuple[Literal["address", "suppressed"], str] | None:
    """What keeps a channel from reaching a run's recipient, and why; None: nothing does."""
    addresses = channel.addresses(going.recipient or {"id": going.usr})
    if not addresses:
        return "address", "no address"
    held = [why for each in addresses if (why := going.suppressed.get((channel.name, each)))]
    return ("suppressed", held[0]) if len(held) == len(addresses) else None


def asked_of(going: Going, channel: str, counted: Mapping[str, Counted] | None) -> Asked:
    """A message of a run, as preferences are asked about it."""
    workflow = going.workflow
    return Asked(
        workflow.key,
        workflow.category,
        channel,
        workflow.is_critical,
        workflow.preferences,
        going.facts(),
        going.collected(),
        counted,
    )


def counted_of(left: Mapping[str, Any]) -> Mapping[str, Counted] | None:
    """What caps have counted of a message."""
    found = left.get("counted")
    return found and {key: Counted(hits, ends_ms) for key, (hits, ends_ms) in found.items()}


def pause_ms(going: Going, ids: Ids) -> int:
    """How long to leave a run alone that could not be carried on."""
    return int(backoff_s(going.attempts + 4, ids) * 1000)
