"""Planted bugs of what is accepted and of jobs."""

import asyncio
import contextlib
from typing import Any
from unittest.mock import patch

from clarion.jobs import Queue, Worker, queue
from clarion.notifications import Notifications
from clarion.storage import Sql
from clarion.storage.core import Core
from clarion.storage.jobs import CLAIM, FINISH_ONE
from tests.simulation.sabotage.base import bug
from tests.support import memory_store


class _LateCore(Core):
    """Commits a little later than it says."""

    def begin(self) -> None:
        """Commit what is open first."""
        self._end()
        super().begin()

    def commit(self) -> None:
        """Put it off."""
        asyncio.get_running_loop().call_later(0.05, self._end)

    def _end(self) -> None:
        with contextlib.suppress(Exception):
            self._db.execute("COMMIT")


@bug("accept")
def answer_before_commit() -> Any:
    """The store answers before the rows are on disk."""
    return patch.object(memory_store, "Core", _LateCore)


@bug("accept")
def key_ignored() -> Any:
    """The Idempotency-Key of a call is not looked at."""
    send = Notifications.send

    async def keyless(self: Notifications, caller: Any, body: Any, key: str | None = None) -> Any:
        return await send(self, caller, body, None)

    return patch.object(Notifications, "send", keyless)


@bug("accept")
def no_fence() -> Any:
    """Who finishes a job need not hold the newest token."""
    anyone = _changed(FINISH_ONE, "token = :token", ":token > 0")
    return patch.object(queue, "FINISH_ONE", anyone)


@bug("accept")
def token_stands_still() -> Any:
    """A claim does not raise the fencing token."""
    return patch.object(queue, "CLAIM", _changed(CLAIM, "token = token + 1", "token = token"))


@bug("accept")
def claimed_without_lease() -> Any:
    """A claimed job is still due."""
    return patch.object(queue, "CLAIM", _changed(CLAIM, "run_ms = :until", "run_ms = :now"))


@bug("accept")
def lease_never_extended() -> Any:
    """A lease ends while its holder is at work; the fence hides it, at the price of doing the work twice."""

    async def nothing(self: Worker) -> None:
        return

    return patch.object(Worker, "_extend_forever", nothing)


@bug("accept")
def failed_is_done() -> Any:
    """A job that failed is not tried again."""

    async def forget(self: Queue, job: Any, error: str, **how: Any) -> bool:
        await self.finish(job)
        return False

    return patch.object(Queue, "fail", forget)


def _changed(sql: Sql[Any], old: str, new: str) -> Sql[Any]:
    assert old in sql.text, f"nothing to sabotage: {sql.text}"
    return Sql(sql.text.replace(old, new), sql.result)
