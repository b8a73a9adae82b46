"""The workflow engine: what a run does next. Pure, and told everything it decides from.

`advance` goes through steps until one of them needs something: time, an answer, company, or nothing any more. What it needs comes
back as `next`; the shell gets it and calls again with what came as the event. Everything that was read to decide stands in the
records, so that a run can be explained, and asked again under another version.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any, Final, assert_never

import msgspec

from clarion.clock import as_ms
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.conditions import value
from clarion.notifications.workflows.definition import (
    Digest,
    Http,
    Say,
    Step,
    Stop,
    Throttle,
    Wait,
    Workflow,
)
from clarion.notifications.workflows.moves import (
    Advanced,
    Answered,
    Await,
    AwaitEvent,
    Closed,
    Collect,
    Count,
    Counted,
    Decide,
    Decision,
    Done,
    Due,
    End,
    Event,
    Fetch,
    Next,
    Outcome,
    Record,
    Send,
    Sleep,
    Spend,
    State,
)
from clarion.notifications.workflows.times import (
    DAYS,
    LATEST_MS,
    moment,
    next_at,
    next_cron,
    zone_of,
)
from clarion.notifications.workflows.zones import RECIPIENT

SKIPPED: Final[Mapping[str, Any]] = {"skipped": True, "settled": True}
START: Final = "(start)"
"""In records: before the first step."""
CAPPED: Final = "capped"
"""Key of the digest of what is over a cap."""
FAILED: Final[Mapping[str, Any]] = {"failed": True, "settled": True}
KEY_BYTES: Final = 500
"""Of what a `key` comes to; PostgreSQL's index takes rows of 2,700."""
USER_CHARS: Final = 128  # of a user's id


def advance(
    workflow: Workflow,
    state: State,
    event: Event,
    facts: Mapping[str, Any],
    *,
    run: str,
    now_ms: int,
    decide: Decide,
    done: Sequence[Done] = (),
    since_ms: int = 0,
) -> Advanced:
    """Go on with a run.

    Args:
        workflow: The version that it began with.
        state: As it was left.
        event: What has come.
        facts: `payload`, `recipient`, `actor`, `workflow`; and of each step that sent something, what became of its message.
        run: Its id: the ids of its messages follow from it, so that a step that is repeated makes none twice.
        now_ms: The time.
        decide: Asked once for each message that would be sent.
        done: If it waits for an event: those that may be the one, the newest first.
        since_ms: When it was triggered.
    """
    return _Run(workflow, state, facts, run, now_ms, decide, done, since_ms).go(event)


def awaited(workflow: Workflow, state: State) -> Wait | None:
    """The wait for an event that a run is in."""
    if not state.is_blocked:
        return None
    act = workflow.steps[state.at].act
    return act if isinstance(act, Wait) and act.event is not None else None


def the_one(
    step: Step, done: Sequence[Done], facts: Mapping[str, Any]
) -> tuple[Done, Mapping[str, Any]] | None:
    """Of what was done, the newest that a wait is for, and what was read to find that out."""
    where = step.extra.get("where")
    for each in done:
        if where is None:
            return each, {}
        holds, read = where({**facts, "event": each.properties})
        if holds:
            return each, read
    return None


class _Run:
    def __init__(
        self,
        workflow: Workflow,
        state: State,
        facts: Mapping[str, Any],
        run: str,
        now_ms: int,
        decide: Decide,
        done: Sequence[Done],
        since_ms: int,
    ) -> None:
        self._done_by_then, self._since_ms = done, since_ms
        self._workflow, self._run, self._now_ms, self._decide = workflow, run, now_ms, decide
        self._at, self._is_blocked, self._starts = state.at, state.is_blocked, state.starts
        self._left = dict(state.left)
        self._facts: dict[str, Any] = {**state.left, **facts}
        self._asked: Mapping[str, Any] = {}
        """What the condition of the step has read that is being begun."""
        self._records: list[Record] = []
        self._sends: list[Send] = []
        self._calls_off: list[str] = []

    def go(self, event: Event) -> Advanced:
        if self._starts and (waits := self._until_start()) is not None:
            return waits
        next = self._resume(event) if self._is_blocked else None
        while next is None and self._at < len(self._workflow.steps):
            next = self._begin(self._workflow.steps[self._at])
        return Advanced(
            State(self._at, self._left, next is not None and not isinstance(next, End)),
            next or End(),
            tuple(self._sends),
            tuple(self._records),
            tuple(self._calls_off),
        )

    def _until_start(self) -> Advanced | None:
        """Wait until the recipient's clock shows the time to begin: asked again when it is there, since they may have moved."""
        zone = value("recipient.time_zone", self._facts)
        until_ms = as_ms(datetime.fromisoformat(self._starts).replace(tzinfo=zone_of(zone)))
        if until_ms <= self._now_ms:
            return None
        read = {"recipient.time_zone": zone, "until_ms": until_ms}
        why = Record(START, "waiting", f"until {self._starts} there", read)
        return Advanced(State(starts=self._starts), Sleep(until_ms), (), (why,))

    # ── a step that was begun, and what has come for it ──
    def _resume(self, event: Event) -> Next | None:
        step = self._workflow.steps[self._at]
        match step.act, event:
            case Wait(message=None, event=None), Due():
                self._done(step, "passed")
                return None
            case Wait(), _:
                return self._wait(step, step.act)  # it is looked at again, whatever woke the run
            case Http(), Answered(facts=facts, error=error):
                if error and step.act.on_error == "stop":
                    self._done(step, "failed", error, facts)
                    return End()
                self._done(step, "failed" if error else "passed", error, facts)
                return None
            case Throttle(), Counted(is_let=is_let, count=count):
                if is_let:
                    self._done(step, "passed", "", None, {"count": count})
                    return None
                self._done(
                    step, "stopped", f"{count} within {step.act.per}", None, {"count": count}
                )
                return End()
            case Digest(), Closed(facts=facts):
                self._facts["digest"] = self._left["digest"] = facts
                self._done(step, "passed")
                return None
            case Say(), Closed(facts=facts):
                # What was over a cap: this one message goes out for all.
                self._facts["digest"] = self._left["digest"] = facts
                self._left[step.id] = {"is_closed": True}
                return None
            case Say(), Due():
                return None  # quiet hours are over: everything is asked anew
            case _:
                # Late, or for another step: what it waits for is still to come.
                return self._again(step)

    def _again(self, step: Step) -> Next:
        found = self._begin(step)
        return End() if found is None else found

    # ── a step from its beginning ──
    def _begin(self, step: Step) -> Next | None:
        self._asked = {}
        if step.when is not None:
            holds, self._asked = step.when(self._facts)
            if not holds:
                left = SKIPPED if isinstance(step.act, Say) else None
                self._done(step, "skipped", f"not: {step.when.text}", left)
                return None
        match step.act:
            case Say():
                return self._say(step)
            case Stop():
                holds, read = step.extra["stop"](self._facts)
                self._done(step, "stopped" if holds else "passed", step.act.condition, None, read)
                return End() if holds else None
            case Wait() as wait:
                return self._wait(step, wait)
            case Http():
                return Fetch(self._at)
            case Throttle() as throttle:
                return Count(self._at, self._throttle(step, throttle))
            case Digest() as digest:
                return self._collect(step, digest)
            case _:
                assert_never(step.act)

    def _say(self, step: Step) -> Next | None:
        decision = self._decide(step)
        match decision.verdict:
            case "send":
                self._send(step, decision)
                return None
            case "skip":
                self._done(step, "skipped", decision.why, SKIPPED, decision.read)
                return None
            case "suppress":
                self._done(step, "suppressed", decision.why, SKIPPED, decision.read)
                return None
            case "fail":
                self._done(step, "failed", decision.why, FAILED, decision.read)
                return None
            case "count":
                return Spend(self._at, decision.spans)
            case "collect":
                if self._left.get(step.id, {}).get("is_closed"):
                    self._send(step, decision)
                    return None
                self._records.append(Record(step.id, "waiting", decision.why, decision.read))
                return Collect(self._at, CAPPED, decision.until_ms, decision.until_ms)
            case "defer":
                self._note(step, "waiting", decision.why, decision.read)
                return Sleep(decision.until_ms)
            case _:
                assert_never(decision.verdict)

    def _send(self, step: Step, decision: Decision) -> None:
        message = message_id(self._run, self._at)
        self._sends.append(Send(self._at, message))
        self._done(step, "sent", decision.why, {"message": message}, decision.read)

    def _wait(self, step: Step, wait: Wait) -> Next | None:
        if wait.event is not None:
            return self._wait_for_event(step, wait)
        if wait.timeout is not None:
            began_ms = self._left.get(step.id, {}).get("began_ms", self._now_ms)
            self._left[step.id] = {"began_ms": began_ms}
            until_ms = began_ms + durations.seconds(wait.timeout) * 1000
            if why := self._is_so(wait):
                self._done(step, "passed", why, {"timed_out": False})
                return None
            message = str(self._left.get(str(wait.message), {}).get("message", ""))
            if until_ms <= self._now_ms:
                if wait.call_off:
                    self._calls_off.append(message)
                self._done(step, "passed", "timed out", {"timed_out": True})
                return None
            return Await(message, until_ms)
        until, read = self._until(wait)
        if until is None or until <= self._now_ms:
            self._done(
                step, "passed", "the time is past" if until else "there is no time", None, read
            )
            return None
        self._note(step, "waiting", "", {**read, "until_ms": until})
        return Sleep(until)

    def _wait_for_event(self, step: Step, wait: Wait) -> Next | None:
        assert wait.event is not None, "waits for one"
        assert wait.timeout is not None, "checked"
        left = self._left.get(step.id)
        if left is None:
            user = value(wait.user or "recipient.id", self._facts)
            if not isinstance(user, str) or not 0 < len(user) <= USER_CHARS:
                self._done(step, "skipped", f"{wait.user} names nobody", {"timed_out": False})
                return None
            since_ms = self._now_ms if wait.since == "step" else self._since_ms
            left = {"began_ms": self._now_ms, "user": user, "since_ms": since_ms}
            self._left[step.id] = left
        elif (found := the_one(step, self._done_by_then, self._facts)) is not None:
            done, read = found
            told = {"timed_out": False, "event": done.properties, "at": done.at}
            self._done(step, "passed", f"{wait.event} happened", told, {"event": done.id, **read})
            return None
        until_ms = left["began_ms"] + durations.seconds(wait.timeout) * 1000
        if until_ms <= self._now_ms:
            self._done(step, "passed", "timed out", {"timed_out": True})
            return None
        return AwaitEvent(left["user"], wait.event, until_ms)

    def _is_so(self, wait: Wait) -> str:
        """Why a message need not be waited for; '' if it must."""
        about = self._facts.get(str(wait.message)) or {}
        if about.get(str(wait.is_)):
            return "happened"
        return f"{wait.message} was not sent" if about.get("skipped") or about.get("failed") else ""

    def _until(self, wait: Wait) -> tuple[int | None, dict[str, Any]]:
        if wait.for_ is not None:
            return self._now_ms + durations.seconds(wait.for_) * 1000, {}
        if wait.until is not None:
            given = value(wait.until, self._facts)
            found = moment(given)
            plus = wait.plus or "0"
            if found is not None and plus != "0":
                sign = -1 if plus.startswith("-") else 1
                found += sign * durations.seconds(plus.removeprefix("-")) * 1000
            return None if found is None else min(found, LATEST_MS), {wait.until: given}
        assert wait.at is not None
        zone = self._zone(wait.zone) or "UTC"
        clock = time(int(wait.at[:2]), int(wait.at[3:]))
        return next_at(clock, zone_of(zone), self._now_ms, wait.days or DAYS), {"zone": zone}

    def _zone(self, named: str | None) -> Any:
        """The zone that a step names, else the recipient's; None where nobody knows it."""
        return value("recipient.time_zone", self._facts) if named in (None, RECIPIENT) else named

    def _throttle(self, step: Step, throttle: Throttle) -> str:
        # Of a category all workflows share one throttle, of a workflow its own step alone.
        if throttle.across is not None:
            return f"category:{throttle.across}:{self._key(throttle.key)}"
        # With another span it begins to count anew, as a cap does: an hour that was begun would outlive the version that said so.
        per = durations.seconds(throttle.per)
        return f"workflow:{self._workflow.key}:{step.id}:{per}:{self._key(throttle.key)}"

    def _collect(self, step: Step, digest: Digest) -> Collect:
        if digest.schedule is not None and (chosen := self._chosen(step)):
            return Collect(self._at, self._key(digest.key), chosen, chosen)
        if digest.cron is None:
            closes_ms = self._now_ms + durations.seconds(str(digest.window)) * 1000
        else:
            closes_ms = next_cron(digest.cron, zone_of(self._zone(digest.zone)), self._now_ms)
        max_s = 0 if digest.max is None else durations.seconds(digest.max)
        max_ms = max(closes_ms, self._now_ms + max_s * 1000)
        return Collect(self._at, self._key(digest.key), closes_ms, max_ms)

    def _chosen(self, step: Step) -> int | None:
        """When the recipient next wants their digests; None: they have not said."""
        wanted = self._facts.get("preferences") or {}
        if not wanted.get("at"):
            return None
        zone, days = zone_of(wanted["zone"]), wanted["days"] or DAYS
        clocks = [time(int(at[:2]), int(at[3:])) for at in wanted["at"]]
        chosen = min(next_at(clock, zone, self._now_ms, days) for clock in clocks)
        self._records.append(
            Record(step.id, "waiting", "as the recipient chose", {"preferences": wanted})
        )
        return chosen

    def _key(self, path: str | None) -> str:
        if path is None:
            return ""
        found = value(path, self._facts)
        text = found if isinstance(found, str) else _json(found)
        raw = text.encode()
        # Whole where it is short, so that people know it again.
        return text if len(raw) <= KEY_BYTES else f"sha256:{hashlib.sha256(raw).hexdigest()}"

    def _done(
        self,
        step: Step,
        outcome: Outcome,
        why: str = "",
        left: Mapping[str, Any] | None = None,
        read: Mapping[str, Any] | None = None,
    ) -> None:
        self._note(step, outcome, why, read or {})
        if left is not None:
            self._left[step.id] = left
            self._facts[step.id] = left
        self._at += 1

    def _note(self, step: Step, outcome: Outcome, why: str, read: Mapping[str, Any]) -> None:
        self._records.append(Record(step.id, outcome, why, {**self._asked, **read}))


def _json(given: Any) -> str:
    return msgspec.json.encode(given, order="sorted").decode()


def message_id(run: str, step: int) -> str:
    """The id of the message that a run's step makes: the same each time."""
    return f"{run}.{step}"
