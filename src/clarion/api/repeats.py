"""Calls that are safe to repeat: `Idempotency-Key` on every POST (draft-ietf-httpapi-idempotency-key-header-07).

The key is taken before the handler runs and has its answer after: the same call gets that answer again for 24 hours, another one with
the key 409, and so does the same while the first still runs. A call that was refused has had no effect, and leaves no key. If the
process dies in the middle, whoever repeats the call a minute later makes it anew: the effect is there at least once. Doors whose effect
is never to come twice (notifications, triggers, imports) write the key with it, and ask for the header themselves.
"""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import ClarionError, IdempotencyConflict, InProgress
from clarion.patterns import worded
from clarion.storage import repeats as sql
from clarion.storage.store import Sql, Store
from clarion.telemetry import get_logger

_log = get_logger(__name__)

RUNS_MS: Final = 60_000
"""How long a call may run before the same may be made anew (ms)."""
ANSWER_BYTES: Final = 64 * 1024  # that are kept


class Idempotency(Struct, frozen=True, rename="kebab"):
    """Makes a call safe to repeat."""

    idempotency_key: (
        Annotated[
            str,
            Meta(
                pattern=worded(
                    r"^[\x21-\x7e]{1,255}$(?!\n)",
                    "1 to 255 printable ASCII characters without spaces",
                ),
                description="1 to 255 printable ASCII characters. For 24 hours the same key and body get the same answer, "
                "and there is one effect",
            ),
        ]
        | UnsetType
    ) = UNSET

    @property
    def key(self) -> str | None:
        """The key; None: none was given."""
        return None if self.idempotency_key is UNSET else self.idempotency_key


class _Answer(Struct, frozen=True, array_like=True):
    status: int
    media_type: str | None
    text: str


class Call:
    """One call with a key, which was taken.

    Args:
        store: Where keys are.
        of: Names the key.
    """

    def __init__(self, store: Store, of: dict[str, str]) -> None:
        self._store, self._of = store, of

    async def answered(self, response: Response) -> None:
        """Keep the answer. If that fails, the effect is there and the caller hears of it; the same call may be made anew in a minute."""
        text = bytes(response.body).decode()
        if len(text) > ANSWER_BYTES:
            _log.warning("answer too long to be kept", route=self._of["route"], bytes=len(text))
            return await self.refused()
        kept = _Answer(response.status_code, response.media_type, text)
        await self._write(sql.ANSWER, answer=msgspec.json.encode(kept).decode())

    async def refused(self) -> None:
        """It has had no effect: its key is free."""
        await self._write(sql.FORGET)

    async def _write(self, statement: Sql[None], **more: str) -> None:
        try:
            async with self._store.transaction() as tx:
                await tx.execute(statement, **self._of, **more)
        except ClarionError as exc:
            _log.warning("key of a call not written", route=self._of["route"], code=exc.code)


class Repeats:
    """The keys of calls.

    Args:
        store: Where they are.
        clock: The time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def begin(self, caller: Principal, route: str, key: str, digest: str) -> Call | Response:
        """Take a key, or give the answer that its call has had.

        Args:
            caller: Whose key it is.
            route: For which door.
            key: As the header has it.
            digest: Tells calls apart.

        Raises:
            IdempotencyConflict: The key was used for another call.
            InProgress: The same call still runs.
        """
        who = f"{caller.kind}:{caller.id}"
        of = {"tenant": caller.tenant, "caller": who, "route": route, "key": key}
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            if await tx.execute(
                sql.TAKE, **of, digest=digest, subject="", answer="", now_ms=now_ms
            ):
                return Call(self._store, of)
            found = await tx.fetch(sql.FIND, **of)
            if not found:  # refused between the two statements: its key is free again
                raise InProgress("the same call has just been refused: repeat it")
            [taken] = found
            if taken.digest != digest:
                raise IdempotencyConflict(
                    "this Idempotency-Key was used for another call: take a new key for a new one"
                )
            if not taken.answer:
                if now_ms - taken.created_ms < RUNS_MS:
                    raise InProgress("the same call still runs: repeat it in a moment")
                await tx.execute(sql.TAKE_OVER, **of, now_ms=now_ms)
                return Call(self._store, of)
        kept = msgspec.json.decode(taken.answer, type=_Answer)
        headers = {"cache-control": "no-store", "idempotency-replayed": "true"}
        return Response(kept.text, kept.status, headers, kept.media_type)
