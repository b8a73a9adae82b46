"""A provider of letters that does everything providers do, and remembers what it was given.

At each handing over it looks at the row of the message, as it stands at that moment: what was sent, or called off, or is in the
hands of somebody with a newer token, may not be handed over any more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from clarion.notifications.channels import NotSent, Outgoing, Sent
from clarion.outbound import Answer
from tests.support.simulation import HOST, SimLoop

TIMEOUT_S = 5.0
ATTEMPTS = 5
_ROW = """SELECT o.status, o.attempts,
    (SELECT max(n) FROM story WHERE kind = 'claimed' AND id = o.id)
    > (SELECT n FROM story WHERE kind = 'cancelled' AND id = o.trigger_id)
  FROM outgoing o WHERE o.id = ?"""


class Letter(Struct, frozen=True, forbid_unknown_fields=True):
    """What a letter says."""

    text: str


class Receipt(Struct):
    """One handing over."""

    host: str
    attempt: int
    at_s: float
    text: str
    became: str = "under way"
    """`taken`, `refused`, `put off`, `lost`: nobody there took it."""
    is_answered: bool = False
    """Whether the node was told what became of it."""
    ended_s: float = 0.0


class Post:
    """The provider.

    Args:
        loop: Of this run.
        db: A connection to the store's data, to look at.
        blame: Is told of every promise that was broken.
        is_calm: Whether it only takes, puts off and refuses.
    """

    def __init__(
        self,
        loop: SimLoop,
        db: apsw.Connection,
        blame: Callable[[str], None],
        *,
        is_calm: bool,
    ) -> None:
        # Fixed at creation
        self._loop, self._rng, self._db, self._blame = loop, loop.rng, db, blame
        self._is_calm = is_calm
        # Changes while the world turns
        self.is_healed = False
        self.is_fenced = True
        """Whether the clocks agree: where they do not, somebody may believe that another's lease has ended."""
        self.cut_until = 0.0
        self.receipts: dict[str, list[Receipt]] = {}
        """By the message's id."""
        self.kills: Callable[[str], bool] = lambda host: False
        """Asked when a letter has been taken and the node does not know it yet: whether the node dies of it."""

    async def take(self, message: Outgoing) -> Sent:
        """Be handed a letter."""
        receipt = Receipt(HOST.get(), message.attempt, self._loop.time(), message.content["text"])
        self._look(message)
        self.receipts.setdefault(message.id, []).append(receipt)
        try:
            await self._treat(receipt)
            receipt.is_answered = True
            return Sent("post", f"no. {message.id}")
        except (NotSent, ConnectionError, ValueError):
            receipt.is_answered = receipt.became != "taken"
            raise
        finally:
            receipt.ended_s = self._loop.time()

    async def _treat(self, receipt: Receipt) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.1))
        if self._loop.time() < self.cut_until:
            receipt.became = "lost"
            raise ConnectionResetError("the line is cut")
        kinds, weights = _CALM if self._is_calm or self.is_healed else _WILD
        match self._rng.choices(kinds, weights)[0]:
            case "refuse":
                receipt.became = "refused"
                raise NotSent("moved away", provider="post", is_final=True)
            case "put off":
                receipt.became = "put off"
                raise NotSent("come back", provider="post", retry_after_s=self._rng.uniform(0, 6))
            case "hang":
                receipt.became = "lost"
                await asyncio.sleep(3600)
            case "garbage":
                receipt.became = "lost"
                raise ValueError("250-\x00\xff?")
            case "take and hang":
                await self._taken(receipt)
                await asyncio.sleep(3600)
            case "take and babble":
                await self._taken(receipt)
                raise ValueError("<html>502</html>")
            case "take late":
                await self._taken(receipt)
                await asyncio.sleep(self._rng.uniform(1, TIMEOUT_S))
            case _:
                await self._taken(receipt)
                await asyncio.sleep(self._rng.uniform(0, 0.05))

    async def _taken(self, receipt: Receipt) -> None:
        receipt.became = "taken"
        if self.kills(receipt.host):
            await self._loop.create_future()  # nothing of a dead host goes on

    def _look(self, message: Outgoing) -> None:
        [(status, attempts, is_late)] = self._db.execute(_ROW, (message.id,))
        if is_late:
            self._blame(f"{message.id} was handed over after its trigger was called off")
        if status != "queued":
            self._blame(f"{message.id} was handed over although it is {status}")
        if attempts != message.attempt and self.is_fenced:
            self._blame(
                f"{message.id} was handed over at attempt {message.attempt}, the newest is {attempts}"
            )


_CALM = (("take", "put off", "refuse"), (8, 1, 1))
_WILD = (
    (
        "take",
        "put off",
        "refuse",
        "hang",
        "garbage",
        "take and hang",
        "take and babble",
        "take late",
    ),
    (8, 2, 1, 1, 1, 1, 1, 2),
)


class Letters:
    """The channel."""

    name, content, said = "letter", Letter, Letter
    timeout_s, max_attempts, needs_addresses = TIMEOUT_S, ATTEMPTS, False

    def __init__(self, post: Post) -> None:
        self._post = post

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Everybody lives somewhere."""
        return [f"{recipient['id']}'s house"]

    async def send(self, message: Outgoing) -> Sent:
        """Hand it over."""
        return await self._post.take(message)


class Library:
    """Where workflows fetch data from: an `Outbound` that answers, is slow, or fails."""

    def __init__(self, loop: SimLoop) -> None:
        self._rng = loop.rng

    def check(self, url: str) -> None:
        """Whatever is written may be called."""

    async def request(self, method: str, url: str, *args: Any, **more: Any) -> Any:
        """Answer with what was asked for."""
        await asyncio.sleep(self._rng.uniform(0, 0.5))
        if self._rng.random() < 0.2:
            return Answer(503, (), b"")
        return Answer(200, (), msgspec.json.encode({"of": url.rpartition("/")[2]}))
