"""The words of the workflow engine: what comes to a run, what it needs next, and how it is kept. Pure.

`advance` speaks them with the shell around it: an `Event` goes in, `Advanced` comes out, with what is needed `next`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from clarion.notifications.workflows.definition import Step

# ── what comes in ──


class Begin(Struct, frozen=True, tag=True):
    """The run begins, or goes on after what held it."""


class Due(Struct, frozen=True, tag=True):
    """The time has come that it slept until, or that it would wait at most."""


class Answered(Struct, frozen=True, tag=True):
    """What it fetched: `facts` are known as those of the step. `error`: why there is none."""

    facts: Mapping[str, Any]
    error: str = ""


class Counted(Struct, frozen=True, tag=True):
    """Whether the throttle lets it through, with how many there were."""

    is_let: bool
    count: int


class Closed(Struct, frozen=True, tag=True):
    """The digest has closed and this run goes on for all, or it needs not wait; `facts` has the items and their count."""

    facts: Mapping[str, Any]


Event = Begin | Due | Answered | Counted | Closed

# ── what comes out ──


class End(Struct, frozen=True, tag=True):
    """There is nothing more to do."""


class Sleep(Struct, frozen=True, tag=True):
    """Wake it then."""

    until_ms: int


class Await(Struct, frozen=True, tag=True):
    """Wake it when something becomes of this message, or then."""

    message: str
    until_ms: int


class AwaitEvent(Struct, frozen=True, tag=True):
    """Wake it when this user does that, or then."""

    user: str
    event: str
    until_ms: int


class Fetch(Struct, frozen=True, tag=True):
    """Call out, and tell what was answered."""

    step: int


class Count(Struct, frozen=True, tag=True):
    """Count it in, and tell whether it is within the limit."""

    step: int
    key: str
    """Whose throttle: all runs with the same key of a user share one."""


class Spend(Struct, frozen=True, tag=True):
    """Count a message in at these caps on how many the recipient gets: key → how long its span is (ms)."""

    step: int
    spans: Mapping[str, int]


class Collect(Struct, frozen=True, tag=True):
    """Put it into the open digest, or open one that closes at `closes_ms`, put off at most to `max_ms`."""

    step: int
    key: str
    closes_ms: int
    max_ms: int


Next = End | Sleep | Await | AwaitEvent | Fetch | Count | Spend | Collect
Outcome = Literal["sent", "skipped", "suppressed", "stopped", "passed", "waiting", "failed"]


class Record(Struct, frozen=True):
    """What became of a step, why, and what was read to decide it."""

    step: str
    outcome: Outcome
    why: str = ""
    read: Mapping[str, Any] = {}


class Send(Struct, frozen=True):
    """A message to make: of the step with this number."""

    step: int
    message: str


class Done(Struct, frozen=True):
    """What somebody did: an event, as a wait for it is told."""

    id: str
    properties: Mapping[str, Any]
    at: str


class State(Struct, frozen=True):
    """How far a run is. Kept as JSON; `left` holds what steps have left for later ones."""

    at: int = 0
    left: Mapping[str, Mapping[str, Any]] = {}
    is_blocked: bool = False
    """Whether the step at `at` was begun, and what comes in is its answer."""
    starts: str = ""
    """What the recipient's clock shows when the run may begin; '': it has begun, or may."""


class Advanced(Struct, frozen=True):
    """What comes of it."""

    state: State
    next: Next
    sends: tuple[Send, ...]
    records: tuple[Record, ...]
    calls_off: tuple[str, ...] = ()
    """Messages that nobody wants any more, as far as no provider has them."""


class Decision(Struct, frozen=True):
    """What preferences and addresses say of a message: send it, leave it, not there, not before a time; or that it cannot be rendered.

    Caps first `count` it in (at `spans`); what is over them may be told to `collect` with the step's others until a time.
    """

    verdict: Literal["send", "skip", "suppress", "defer", "fail", "count", "collect"]
    why: str = ""
    until_ms: int = 0
    read: Mapping[str, Any] = {}
    spans: Mapping[str, int] = {}


Decide = Callable[[Step], Decision]
