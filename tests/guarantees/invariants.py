"""What must hold whatever has failed: each rule returns what breaks it, and nothing where it holds. The numbers are those of docs/explanation/failures.md."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from msgspec import Struct, field

CODES = frozenset({"unavailable", "outcome_unknown", "overloaded", "in_progress", "storage_full"})
"""What a server may answer while something is away."""
QUIET_S = 30.0
"""For what must come true after the end."""
LONGEST_S = 10.0
"""For an answer, whatever it is."""

LEAVES_PER_S = 50.0
"""So fast clients are let go where they are few."""
WINDOW_S, STOPPING_S, BACK_S = 10.0, 15.0, 5.0
"""Over which a node spreads its closes (`limits.drain_s`); what it may take beyond that to end, and a client to be back."""


class Span(Struct):
    """What a client has heard of a topic without a break: it began at a position, and each publication followed."""

    who: str
    epoch: str
    base: int
    offsets: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    reason: str = ""
    """Why it is not the continuation of the one before."""


class Call(Struct, frozen=True):
    """A request, and what came of it; status 0: the connection broke."""

    what: str
    status: int
    code: str
    took_s: float


def gaps(spans: Iterable[Span]) -> list[str]:
    """I1: offsets follow the position without a gap and without a double."""
    return [
        f"{span.who}: {at} after {span.base + n} in {span.epoch}"
        for span in spans
        for n, at in enumerate(span.offsets)
        if at != span.base + n + 1
    ][:20]


def unlike_the_log(spans: Iterable[Span], epoch: str, log: Sequence[str]) -> list[str]:
    """I2: what was heard is what the log has there, and the last one of each client has come to its end."""
    wrong, last = [], dict[str, Span]()
    for span in spans:
        last[span.who] = span
        heard = log[span.base : span.base + len(span.said)] if span.epoch == epoch else []
        if span.epoch == epoch and list(heard) != span.said:
            wrong.append(f"{span.who}: from {span.base} on it heard something else")
    wrong += [
        f"{who}: stands at {span.base + len(span.said)} of {len(log)}"
        for who, span in last.items()
        if (span.epoch, span.base + len(span.said)) != (epoch, len(log))
    ]
    return wrong


def began_anew(spans: Iterable[Span]) -> list[str]:
    """I2: who returned to a log that is whole goes on where it was."""
    return [f"{span.who}: {span.reason}" for span in spans if span.reason]


def ghosts(present: Sequence[str], living: Iterable[str]) -> list[str]:
    """I3, I6: who is present is who is there, each once."""
    counted = Counter(present)
    counted.subtract(living)
    return [f"{who}: {n:+}" for who, n in counted.items() if n]


def lost_or_doubled(
    answered: Mapping[str, int], tried: Iterable[str], log: Sequence[str]
) -> list[str]:
    """I4: what was answered is there, at its offset, and nothing that nobody said, nor anything twice."""
    wrong = [f"{id} is not at {at}" for id, at in answered.items() if log[at - 1 : at] != [id]]
    wrong += [f"{id} is there {n} times" for id, n in Counter(log).items() if n > 1]
    return wrong + [f"{id} was never said" for id in set(log) - set(tried)]


def not_once(inboxes: Mapping[str, Sequence[str]], accepted: Iterable[str]) -> list[str]:
    """I5: everybody's inbox has each accepted notification once."""
    wrong, wanted = [], Counter(list(accepted))
    for who, messages in inboxes.items():
        counted = Counter(messages)
        counted.subtract(wanted)
        wrong += [f"{who}: {id} {n:+}" for id, n in counted.items() if n]
    return wrong


def unexplained(calls: Iterable[Call]) -> list[str]:
    """I8: every answer comes in time, and has a documented code."""
    return [
        f"{call.what}: {call.status} {call.code} after {call.took_s:.1f} s"
        for call in calls
        if call.took_s > LONGEST_S or (call.status >= 400 and call.code not in CODES)
    ]


def late(
    stops: Iterable[tuple[int, float]], away_s: Iterable[float], notice_s: float = 0.0
) -> list[str]:
    """I9: a node that is told to end does so in order and in time, and no client is away for longer than a drain takes."""
    wrong = [
        f"a node ended with {status} after {took_s:.1f} s"
        for status, took_s in stops
        if status or took_s > notice_s + WINDOW_S + STOPPING_S
    ]
    return wrong + [f"a client was away for {s:.1f} s" for s in away_s if s > WINDOW_S + BACK_S]


def busiest(times: Iterable[float]) -> int:
    """How many of these times are within one second, at most."""
    some = sorted(times)
    most = behind = 0
    for n, at in enumerate(some):
        while some[behind] < at - 1:
            behind += 1
        most = max(most, n - behind + 1)
    return most


async def eventually_nothing(rule: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """What a rule still finds after a while; most often nothing, soon."""
    loop = asyncio.get_running_loop()
    end = loop.time() + QUIET_S
    while (found := await rule()) and loop.time() < end:  # noqa: ASYNC110  another process has to do it
        await asyncio.sleep(0.1)
    return found


def left_behind(
    before: Mapping[str, float], after: Mapping[str, float], most: float = 0
) -> list[str]:
    """I10: what was there before is there afterwards, and not more."""
    return [
        f"{what}: {after[what]:g}, before {n:g}"
        for what, n in before.items()
        if after[what] > n + most
    ]
