"""Deciding: the engine is asked, and what is to be said is rendered, before anything is written."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.jobs.queue import backoff_s
from clarion.notifications.channels import Channels
from clarion.notifications.going import Decided, Going, decided_of, unchanged
from clarion.notifications.rendering import Renderer, Unrenderable
from clarion.notifications.workflows.advance import Advanced, Decision, Send, advance
from clarion.notifications.workflows.definition import Say, Step
from clarion.telemetry import get_logger

_log = get_logger(__name__)

TRIES: Final = 5  # of a run that fails for a reason of ours


class Decider:
    """Decides what runs do next.

    Args:
        channels: Whom they reach.
        renderer: Fills in templates.
        clock: The time.
        ids: Jitter.
    """

    def __init__(self, channels: Channels, renderer: Renderer, *, clock: Clock, ids: Ids) -> None:
        self._channels, self._renderer = channels, renderer
        self._clock, self._ids = clock, ids

    def decide(self, going: Going) -> Decided:
        """What a run does next, with what it says rendered. A failure of ours is tried again, then is the run's own."""
        try:
            return self._ask(going)
        except Exception as exc:  # noqa: BLE001  one run's failure is its own, whatever it is
            _log.error("run failed", run=going.id, workflow=going.workflow.key, exc_info=exc)
            is_last = going.attempts >= TRIES
            found = unchanged(
                going,
                None if is_last else self._clock.now_ms() + pause_ms(going, self._ids),
                f"{type(exc).__name__}: {exc}"[:1_000],
            )
            found.status = "failed" if is_last else "running"
            return found

    def _ask(self, going: Going) -> Decided:
        sends: list[tuple[Step, Send, Mapping[str, Any]]] = []
        failed: dict[str, str] = {}
        facts = going.facts()
        while True:
            advanced = advance(
                going.workflow,
                going.state,
                going.event,
                facts,
                run=going.id,
                now_ms=self._clock.now_ms(),
                decide=lambda step: self._may(going, step, failed),
            )
            before = len(failed)
            sends = self._render(going, advanced, facts, failed)
            if len(failed) == before:
                break
            # A template failed: what follows may ask for that, so it is decided anew, which costs nothing.
        return decided_of(going, advanced, sends, self._clock.now_ms())

    def _may(self, going: Going, step: Step, failed: Mapping[str, str]) -> Decision:
        assert isinstance(step.act, Say)
        if (why := failed.get(step.id)) is not None:
            return Decision("fail", why)
        if going.recipient is None:
            return Decision("skip", "the subscriber was deleted")
        channel = self._channels.get(step.act.channel)
        if channel is None:
            return Decision("skip", f"there is no channel {step.act.channel!r} here")
        if not channel.addresses(going.recipient):
            return Decision("skip", "no address")
        return Decision("send")

    def _render(
        self, going: Going, advanced: Advanced, facts: Mapping[str, Any], failed: dict[str, str]
    ) -> list[tuple[Step, Send, Mapping[str, Any]]]:
        sends: list[tuple[Step, Send, Mapping[str, Any]]] = []
        for send in advanced.sends:
            step = going.workflow.steps[send.step]
            assert isinstance(step.act, Say)
            channel = self._channels.get(step.act.channel)
            assert channel is not None, "decided to send on it"
            try:
                content = self._renderer.render(step.act.content, {**advanced.state.left, **facts})
                msgspec.convert(content, channel.said)
            except (Unrenderable, msgspec.ValidationError) as exc:
                failed[step.id] = str(exc)
            else:
                sends.append((step, send, content))
        return sends


def pause_ms(going: Going, ids: Ids) -> int:
    """How long to leave a run alone that could not be carried on."""
    return int(backoff_s(going.attempts + 4, ids) * 1000)
