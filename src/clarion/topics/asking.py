"""A right that is asked for: the application says, each time anew, whether somebody may do something with a topic.

    async def may(principal, action, topic): return await members.has(principal.id, topic.name)
    app.topics.add("room", "stream", rights={"subscribe": Ask(may), "publish": Ask(may)})

What it said is remembered for a moment, in a bounded number of answers; how long it may take and how many questions are under way
are bounded, too. Without an answer nobody is let in. Who is in already is asked about with every position check, and an old yes
covers a short silence of the application's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.errors import ServerError, Unavailable
from clarion.telemetry import get_logger, rights_asked, spawn
from clarion.topics.names import Topic

_log = get_logger(__name__)

Hook = Callable[[Principal, str, Topic], Awaitable[bool]]
"""Whether a principal may do something (`subscribe`, `publish`) with a topic."""

_Question = tuple[tuple[str, str, str], str, Topic]

CACHE_S: Final = 10.0
TRUST_S: Final = 60.0
WAIT_S: Final = 2.0
AT_ONCE: Final = 64
REMEMBERED: Final = 10_000


class _Said(Struct, frozen=True):
    answer: bool
    at_s: float


class Ask:
    """Callers for whom a hook of the application says yes.

    Args:
        hook: The question; what it raises is no answer.
        cache_s: For how long (s) an answer holds for whoever comes again.
        trust_s: For how long (s) a yes holds for who is in already, while the hook does not answer.
        wait_s: How long (s) it may take, with the time in the queue.
        at_once: Questions under way.
        remembered: Answers kept; of more, the oldest goes.
    """

    def __init__(
        self,
        hook: Hook,
        *,
        cache_s: float = CACHE_S,
        trust_s: float = TRUST_S,
        wait_s: float = WAIT_S,
        at_once: int = AT_ONCE,
        remembered: int = REMEMBERED,
    ) -> None:
        # Fixed at creation
        self._hook = hook
        self._cache_s = cache_s
        self._trust_s = trust_s
        self._wait_s = wait_s
        self._remembered = remembered
        # Changes while open
        self._room = asyncio.Semaphore(at_once)
        self._said: dict[_Question, _Said] = {}  # the newest last
        # The same question is asked once, however many wait for the answer.
        self._asking: dict[_Question, asyncio.Task[bool | None]] = {}

    async def allows(self, principal: Principal, action: str, topic: Topic) -> bool:
        """Whether somebody may, by what was said a moment ago or by asking now.

        Raises:
            Unavailable: There is no answer.
        """
        question = principal.key, action, topic
        said = self._said.get(question)
        if said is not None and _now_s() - said.at_s < self._cache_s:
            return said.answer
        return await self._ask(question, principal)

    async def still_allows(self, principal: Principal, action: str, topic: Topic) -> bool:
        """Whether somebody who was let in may still, by asking now; without an answer a yes of the last `trust_s` counts.

        Raises:
            Unavailable: There is neither.
        """
        question = principal.key, action, topic
        try:
            return await self._ask(question, principal)
        except Unavailable:
            said = self._said.get(question)
            if said is None or _now_s() - said.at_s >= self._trust_s:
                raise
            return said.answer

    def asked_as(self, principal: Principal) -> Hashable:
        """What two principals have in common whose questions have one answer: a user is one, whatever their tokens."""
        return principal.key

    def remembers(self, principal: Principal, action: str, topic: Topic) -> bool:
        """Whether it said yes within `trust_s`, without asking."""
        said = self._said.get((principal.key, action, topic))
        return said is not None and said.answer and _now_s() - said.at_s < self._trust_s

    async def _ask(self, question: _Question, principal: Principal) -> bool:
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = spawn(
                self._run(question, principal), name="topics: a right is asked for"
            )
            task.add_done_callback(lambda _: self._asking.pop(question, None))
        # Whoever gives up must not take the answer from the others.
        answer = await asyncio.shield(task)
        if answer is None:
            raise Unavailable("the application does not say now whether this is allowed")
        return answer

    async def _run(self, question: _Question, principal: Principal) -> bool | None:
        _, action, topic = question
        try:
            async with asyncio.timeout(self._wait_s), self._room:
                answer = await self._hook(principal, action, topic) is True
        except TimeoutError:
            rights_asked.labels("late").inc()
            return None
        except Exception as exc:  # noqa: BLE001  whatever the application's own code raises is no answer
            rights_asked.labels("failed").inc()
            if not isinstance(exc, ServerError):  # its bug, not its outage
                _log.exception("a right could not be asked for", kind=topic.kind, action=action)
            return None
        rights_asked.labels("yes" if answer else "no").inc()
        self._said.pop(question, None)
        self._said[question] = _Said(answer, _now_s())
        if len(self._said) > self._remembered:
            del self._said[next(iter(self._said))]
        return answer


def _now_s() -> float:
    return asyncio.get_running_loop().time()
