"""A run, gone through once more under some version, in virtual time. Nothing is written, and only what was done is looked up.

The engine is driven a step at a time, and is answered from what the run has left: what it read, what became of its messages and when,
what was fetched, counted and collected. What nobody has recorded is as it is now, and the step says so. As long as all comes out as
it did, the run's own clock is kept to, so that a run under its own version comes out as it is recorded.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from clarion.clock import as_datetime, as_ms
from clarion.notifications.answers import digest_facts
from clarion.notifications.going import Going
from clarion.notifications.history import Replayed, Told
from clarion.notifications.past import OF_NOW, Past, done_ms, put
from clarion.notifications.workflows.advance import START, advance, the_one
from clarion.notifications.workflows.definition import Digest, Http, Say, Step, Throttle, Wait
from clarion.notifications.workflows.moves import (
    Advanced,
    Answered,
    Await,
    AwaitEvent,
    Begin,
    Closed,
    Collect,
    Count,
    Counted,
    Decision,
    Done,
    Due,
    End,
    Event,
    Fetch,
    Record,
    Sleep,
    Spend,
    State,
)
from clarion.notifications.workflows.zones import RECIPIENT

MOVES: Final = 1_000
"""Of one replay: more than 50 steps take, unless something goes round in circles."""
SLACK_MS: Final = 1_000  # between a decision and its record
_BEHIND: Final = Step("", Http(""))
"""Stands for all that follows, so that the engine goes through one step only."""
_VERDICTS: Final[Mapping[str, Any]] = {
    "sent": "send", "skipped": "skip", "suppressed": "suppress", "failed": "fail",
}  # fmt: skip


class Rerun:
    """One replay.

    Args:
        going: The run under the version, with what is known of its recipient now.
        past: What it has left.
        may: What would be decided of a message at a time (ms since 1970) if nothing was recorded.
        done: Gives runs that wait for an event what was done.
        until_ms: The present: beyond it nothing is known.

    Attributes:
        steps: What would have become of them, so far.
    """

    def __init__(
        self,
        going: Going,
        past: Past,
        may: Callable[[Step, int], Decision],
        done: Callable[[Sequence[Going]], Awaitable[None]],
        until_ms: int,
    ) -> None:
        self._going, self._past = going, past
        self._may, self._done, self._until_ms = may, done, until_ms
        self._now_ms = going.created_ms
        self._is_as_it_was = True  # so far, outcomes and times alike
        self._known: set[str] = set()
        self._assumed: set[str] = set()
        """Of the step that is being gone through."""
        self._events: Sequence[Done] = ()
        self._due_ms: int | None = None
        self.steps: list[Replayed] = []

    async def go(self) -> tuple[str, int | None, str | None]:
        """Go through all steps; returns the status, when it is due, and an error."""
        going, event = self._going, None
        steps = going.workflow.steps
        for _ in range(MOVES):
            if going.state.at == len(steps):
                return "done", None, None
            at, is_first = going.state.at, not going.state.is_blocked
            advanced = self._advance(steps[at], event or Begin())
            going.state = advanced.state
            if isinstance(advanced.next, Fetch) and advanced.next.step > at:
                going.state, event = State(at + 1, advanced.state.left), None
            elif isinstance(advanced.next, End):
                return _ended(advanced.records), None, None
            elif (event := await self._answer(steps[at], advanced, is_first)) is None:
                return "done" if self._due_ms is None else "running", self._due_ms, None
        return "running", None, f"cut off after {MOVES:,} moves"

    # ── what the engine is told ──
    def _advance(self, step: Step, event: Event) -> Advanced:
        going = self._going
        alone = (*going.workflow.steps[: going.state.at + 1], _BEHIND)
        advanced = advance(
            replace(going.workflow, steps=alone),
            going.state,
            event,
            self._facts(step),
            run=going.id,
            now_ms=self._now_ms,
            decide=self._decide,
            done=going.done,
            since_ms=going.since_ms,
        )
        for record in advanced.records:
            self._note(record)
        if advanced.calls_off and isinstance(step.act, Wait):
            self._past.call_off(str(step.act.message), self._now_ms)
        return advanced

    def _next(self, step: str) -> Told | None:
        """The record that a step made then, if all has come out as it did so far."""
        n = len(self.steps)
        is_there = self._is_as_it_was and n < len(self._past.records)
        found = self._past.records[n] if is_there else None
        return found if found is not None and found.step == step else None

    def _was(self, step: str) -> Told | None:
        """What a step was recorded with, of several times the last."""
        return self._next(step) or next(reversed(self._past.of(step)), None)

    def _facts(self, step: Step) -> dict[str, Any]:
        """What is known at a step: what it read then; else what another step read, of the nearest time before; else as it is now."""
        going = self._going
        facts: dict[str, Any] = {**going.state.left, **going.facts()}
        name = START if going.state.starts and self._next(START) else step.id
        was, is_next = self._was(name), self._next(name) is not None
        known = self._past.read_by(self._now_ms)
        for path, found in ({} if was is None else was.read).items():
            root, *inner = path.split(".")
            # Without a dot it is a number of something: a revision, a count.
            is_fact = bool(inner) or isinstance(found, Mapping)
            if is_fact and (is_next or root in OF_NOW):
                known[path] = found
            elif path == "zone" and isinstance(step.act, Wait):
                known.setdefault("recipient.time_zone", found)
        for path, found in known.items():
            put(facts, path.split("."), found)
        self._known = known.keys() | (set() if was is None else was.read.keys())
        return facts

    def _decide(self, step: Step) -> Decision:
        """What was decided of the same message then; else what would be now, at that time, with nothing counted."""
        assert isinstance(step.act, Say)
        was, then = self._was(step.id), self._past.steps.get(step.id, step)
        asked = then.when
        is_same = isinstance(then.act, Say) and then.act.channel == step.act.channel
        was_asked = asked is None or was is None or was.why != f"not: {asked.text}"
        if is_same and was is not None and was_asked:
            # What its condition read then is not of the decision.
            read = {
                path: was.read[path] for path in was.read.keys() - (asked.paths if asked else ())
            }
            if was.outcome in _VERDICTS:
                return Decision(_VERDICTS[was.outcome], was.why, read=read)
            if self._next(step.id) is not None:
                until = [as_ms(r.at) for r in self._past.records[len(self.steps) + 1 :]]
                is_over = was.why.startswith("over the cap")
                until_ms = until[0] if until else self._until_ms + 1
                return Decision("collect" if is_over else "defer", was.why, until_ms, read)
        decision = self._may(step, self._now_ms)
        self._assumed |= {"preferences", *decision.read}
        return decision

    async def _answer(self, step: Step, advanced: Advanced, is_first: bool) -> Event | None:
        """What comes for a step that needs something; None: nothing will, or the time is not there yet."""
        going, act, id = self._going, step.act, step.id
        was = self._was(id)
        match advanced.next:
            case Await(until_ms=until_ms):
                assert isinstance(act, Wait)
                times = self._past.times(str(act.message))
                return Due() if self._wake(step, until_ms, times, is_first) else None
            case AwaitEvent(until_ms=until_ms):
                if is_first:
                    await self._done([going])
                    self._events = self._past.done(id, going.done)
                facts = self._facts(step)
                ones = [each for each in self._events if the_one(step, [each], facts)]
                is_there = self._wake(step, until_ms, map(done_ms, ones), is_first)
                then = self._next(id)
                going.done = [
                    each
                    for each in ones
                    if (
                        done_ms(each) <= self._now_ms
                        if then is None
                        else each.id == then.read.get("event")
                    )
                ]
                return Due() if is_there else None
            case Sleep(until_ms=until_ms):
                return Due() if self._wake(step, until_ms) else None
            case Fetch():
                assert isinstance(act, Http)
                self._wake(step, self._now_ms)
                if (
                    was is not None
                    and was.outcome in ("passed", "failed")
                    and id in self._past.left
                ):
                    return Answered(self._past.left[id], was.why)
                self._assumed.add(id)
                return Answered({}, f"would ask {act.method} {act.url}: no answer is known")
            case Count():
                assert isinstance(act, Throttle)
                self._wake(step, self._now_ms)
                if was is not None and isinstance(count := was.read.get("count"), int):
                    return Counted(count <= act.limit, count)
                self._assumed.add("count")
                return Counted(True, 1)
            case Spend(spans=spans):
                counted = {key: [1, self._now_ms + span] for key, span in spans.items()}
                left = {**going.state.left.get(id, {}), "counted": counted}
                going.state = State(going.state.at, {**going.state.left, id: left}, True)
                return Due()
            case Collect(closes_ms=closes_ms):
                return self._collected(step, was, closes_ms)
            case _ as ended:
                raise AssertionError(ended)

    def _collected(self, step: Step, was: Told | None, closes_ms: int) -> Event | None:
        """The digest as it was then; else this run's own payload alone."""
        going, act, left = self._going, step.act, self._past.left
        is_recorded = was is not None and was.outcome != "skipped" and "digest" in left
        if was is not None and was.outcome == "passed" and was.why:
            # Another run went on for it, or nothing was left: here it ended.
            if self._wake(step, closes_ms):
                self._note(Record(step.id, "passed", was.why, was.read))
            return None
        facts = left["digest"] if is_recorded else digest_facts([(going.payload, going.actor)])
        goes_first = isinstance(act, Digest) and (act.lead or act.look_back is not None)
        if goes_first and facts["count"] == 1:
            closes_ms = self._now_ms
        if not is_recorded:
            self._assumed.add("digest")
        return Closed(facts) if self._wake(step, closes_ms) else None

    # ── time, and what became of messages by then ──
    def _wake(
        self, step: Step, until_ms: int, times: Iterable[int] = (), is_first: bool = False
    ) -> bool:
        """Let time pass until the run went on, or would; False: that is still to come."""
        then = self._past.steps.get(step.id)
        if isinstance(step.act, Wait | Digest) and (then is None or then.act != step.act):
            self._is_as_it_was = False
        now_ms = self._now_ms
        was = None if self._going.state.starts else self._next(step.id)
        to_ms = min([until_ms, *(max(at, now_ms) for at in times if at > now_ms or is_first)])
        if was is not None and (as_ms(was.at) > now_ms or is_first):
            to_ms = as_ms(was.at)
        if self._is_as_it_was and len(self.steps) == len(self._past.records):
            to_ms = self._past.due_ms.get(step.id, to_ms)
        if to_ms > self._until_ms:
            self._due_ms = to_ms
            return False
        self._now_ms = max(to_ms, now_ms)
        self._going.about = {
            id: self._past.message(id, self._now_ms)
            for id, left in self._going.state.left.items()
            if "message" in left
        }
        if was is not None and isinstance(step.act, Wait) and step.act.message in self._going.about:
            # What it was told, though the message may be gone by now.
            happened, unsent = was.why == "happened", was.why.endswith("was not sent")
            self._going.about[step.act.message] |= {step.act.is_: happened, "failed": unsent}
        return True

    # ── what is told of it ──
    def _note(self, record: Record) -> None:
        nth = sum(each.step == record.step for each in self.steps)
        past = self._past.of(record.step)
        was = past[nth] if nth < len(past) else None
        differs = was is None or (was.outcome, was.why) != (record.outcome, record.why)
        then = self._next(record.step)
        if differs or then is None or as_ms(then.at) < self._now_ms - SLACK_MS:
            self._is_as_it_was = False
        else:
            self._now_ms = as_ms(then.at)
        assumed = self._assumed | {path for path in record.read if self._is_assumed(path)}
        self.steps.append(
            Replayed(
                record.step,
                record.outcome,
                record.why,
                record.read,
                as_datetime(self._now_ms),
                differs=differs,
                assumed=sorted(assumed),
            )
        )
        self._assumed = set()

    def _is_assumed(self, path: str) -> bool:
        state = self._going.state
        root, left, act = path.split(".")[0], state.left, self._going.workflow.steps[state.at].act
        is_their_zone = path == "zone" and isinstance(act, Wait) and act.zone in (None, RECIPIENT)
        is_unsent = "message" in left.get(root, {}) and root not in self._past.messages
        return path not in self._known and (root in OF_NOW or is_unsent or is_their_zone)


def _ended(records: Sequence[Record]) -> str:
    last = records[-1].outcome if records else "passed"
    return {"stopped": "stopped", "failed": "failed"}.get(last, "done")
