"""The past of a run: what it has left of its decisions, and what became of its messages by when."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from clarion.clock import as_ms
from clarion.notifications.facts import message_facts
from clarion.notifications.history import Told
from clarion.notifications.workflows.definition import Step
from clarion.notifications.workflows.moves import Done
from clarion.storage.runs import MessageState

OF_NOW: Final = frozenset({"recipient", "inbox", "facts", "preferences"})
"""Roots of facts that change meanwhile."""
_UNKNOWN: Final = MessageState(0, "queued", *(None,) * 7)


class Past(Struct):
    """What a run has left: its records, what steps left for later ones, their messages, and the steps of its version by id."""

    records: list[Told]
    left: Mapping[str, Mapping[str, Any]]
    messages: dict[str, list[MessageState]]
    steps: Mapping[str, Step]
    due_ms: Mapping[str, int]
    """Of a run that waits: the step that it is in → when it goes on."""

    def of(self, step: str) -> list[Told]:
        """The records of a step."""
        return [each for each in self.records if each.step == step]

    def read_by(self, now_ms: int) -> dict[str, Any]:
        """What any step read of what changes, path by path: the last time until then, else the first after it."""
        known: dict[str, Any] = {}
        for record in self.records:
            for path, found in record.read.items():
                is_fact = "." in path and path.split(".")[0] in OF_NOW
                if is_fact and (as_ms(record.at) <= now_ms or path not in known):
                    known[path] = found
        return known

    def done(self, step: str, kept: Sequence[Done]) -> list[Done]:
        """What was done, and the event that a step was told of, if that is no longer kept."""
        left = self.left.get(step, {})
        ids = [each.read["event"] for each in self.of(step) if "event" in each.read]
        if not ids or "event" not in left or any(each.id == ids[0] for each in kept):
            return list(kept)
        return [*kept, Done(ids[0], left["event"], left["at"])]

    # ── messages, by the step that sent them ──
    def times(self, step: str) -> list[int]:
        """When anything became of it."""
        states = self.messages.get(step, ())
        return [at for each in states for at in _moments(each).values() if at is not None]

    def message(self, step: str, at_ms: int) -> dict[str, Any]:
        """What conditions could ask of it at a time. Of one that was never sent nothing has become."""
        return message_facts([_as_of(each, at_ms) for each in self._states(step)])

    def call_off(self, step: str, at_ms: int) -> None:
        """It is called off at a time: unless somebody has it by then, it is not sent later either."""
        if all(_as_of(each, at_ms).status == "queued" for each in self._states(step)):
            self.messages[step] = [replace(_UNKNOWN, status="cancelled", ended_ms=at_ms)]

    def _states(self, step: str) -> Sequence[MessageState]:
        return self.messages.get(step) or [_UNKNOWN]


def put(facts: dict[str, Any], path: Sequence[str], found: Any) -> None:
    """Put what was found at a path there again; what is beside it stays."""
    for name in path[:-1]:
        inner = facts.get(name)
        facts[name] = dict(inner) if isinstance(inner, Mapping) else {}
        facts = facts[name]
    facts[path[-1]] = found


def done_ms(done: Done) -> int:
    """When it was done (ms since 1970)."""
    return as_ms(datetime.fromisoformat(done.at))


def _moments(state: MessageState) -> dict[str, int | None]:
    names: Iterable[str] = MessageState.__struct_fields__
    return {name: getattr(state, name) for name in names if name.endswith("_ms")}


def _as_of(state: MessageState, at_ms: int) -> MessageState:
    times = {n: at for n, at in _moments(state).items() if at is not None and at <= at_ms}
    status = state.status
    if status not in ("", "queued"):
        is_over = status not in ("sent", "delivered") and (state.ended_ms or 0) <= at_ms
        handed = "sent" if "sent_ms" in times else "queued"
        by_then = "delivered" if "delivered_ms" in times else handed
        status = status if is_over else by_then
    return replace(_UNKNOWN, status=status, **times)
